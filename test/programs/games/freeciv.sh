#!/bin/sh
# SPDX-License-Identifier: MIT
#
# freeciv-server playing a game among computer players with fixed seeds, 30 turns long.
#
#   usage: freeciv.sh [LIBRARY.so [TURNS]]
#
# Prints
#
#   Game ended ...                         from the server, where it says so
#   wall=S user=S sys=S rssKB=N            of the server process
#
# and every line of ours (lode: ...). The server refuses to run as root: root drops to uid 65534,
# for which LIBRARY.so must be readable. Exit status: the server's; 77 when it is not installed.
set -eu

library=${1:-} turns=${2:-30}
server=
for candidate in /usr/games/freeciv-server "$(command -v freeciv-server || :)"; do
    [ -x "$candidate" ] && server=$candidate && break
done
[ -n "$server" ] && [ -x /usr/bin/time ] || { echo "freeciv-server or time missing" >&2; exit 77; }

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cat >"$home/game.serv" <<EOF
set mapseed 42
set gameseed 42
set xsize 80
set ysize 50
set aifill 12
set minplayers 0
set endturn $turns
set timeout -1
set saveturns 0
hard
create Alpha
start
EOF
drop=
if [ "$(id -u)" -eq 0 ]; then
    drop='setpriv --reuid=65534 --regid=65534 --clear-groups'
    chmod -R a+rwX "$home"
fi

cd "$home"
status=0
# shellcheck disable=SC2086  (a command of several words, or none)
HOME=$home /usr/bin/time -o "$home/figures" -f 'wall=%e user=%U sys=%S rssKB=%M' \
    timeout 240 $drop env LD_PRELOAD="$library" \
    "$server" -r game.serv -q 1 --exit-on-end --bind 127.0.0.1 -p "${LODE_GAME_PORT:-31778}" \
    </dev/null >"$home/log" 2>&1 || status=$?
grep -aE '^lode: |Game ended|Final' "$home/log" || :
tail -n 1 "$home/figures"
if [ "$status" -ne 0 ]; then
    tail -n 20 "$home/log" >&2
fi
exit "$status"
