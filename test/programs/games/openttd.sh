#!/bin/sh
# SPDX-License-Identifier: MIT
#
# openttd without screen or sound: generate a map from a fixed seed and run its simulation.
#
#   usage: openttd.sh [LIBRARY.so [TICKS [MAP_LOG2]]]
#
# TICKS (default 12,000) are simulated on a map of 2^MAP_LOG2 (default 10) tiles a side. Prints
#
#   wall=S user=S sys=S rssKB=N            of the game process
#
# and every line of ours (lode: ...). Exit status: the game's; 77 when it is not installed.
set -eu

library=${1:-} ticks=${2:-12000} map_log2=${3:-10}
game=
for candidate in /usr/games/openttd "$(command -v openttd || :)"; do
    [ -x "$candidate" ] && game=$candidate && break
done
[ -n "$game" ] && [ -x /usr/bin/time ] || { echo "openttd or time missing" >&2; exit 77; }

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cat >"$home/openttd.cfg" <<EOF
[game_creation]
map_x = $map_log2
map_y = $map_log2
[difficulty]
number_towns = 3
industry_density = 5
EOF

status=0
HOME=$home /usr/bin/time -o "$home/figures" -f 'wall=%e user=%U sys=%S rssKB=%M' \
    timeout 240 env LD_PRELOAD="$library" \
    "$game" -x -c "$home/openttd.cfg" -G 42 -g -b 8bpp-simple -s null -m null \
    -v "null:ticks=$ticks" >"$home/log" 2>&1 || status=$?
grep -aE '^lode: ' "$home/log" || :
tail -n 1 "$home/figures"
if [ "$status" -ne 0 ]; then
    tail -n 20 "$home/log" >&2
fi
exit "$status"
