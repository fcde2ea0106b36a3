#!/bin/sh
# SPDX-License-Identifier: MIT
#
# minetest-server, a voxel mining game, generating the same piece of world every time and stopping.
#
#   usage: minetest.sh [LIBRARY.so [EMERGE_THREADS [HALF_WIDTH]]]
#
# RUNNER (environment): a command put in front of the server's instead of LIBRARY, such as
# "lode run --leaks --"; its messages go to stderr.
#
# HALF_WIDTH (nodes, default 160) gives 3,528 map blocks of 16^3 nodes; 64 gives 648. Prints
#
#   EMERGE blocks=N ms=T                   from a mod inside the server
#   wall=S user=S sys=S rssKB=N            of the server process
#
# and every line of ours (lode: ...). Exit status: the server's; 77 when it is not installed.
set -eu

library=${1:-} threads=${2:-1} half=${3:-160}
server=
for candidate in /usr/lib/minetest/minetestserver "$(command -v minetestserver || :)"; do
    [ -x "$candidate" ] && server=$candidate && break
done
[ -n "$server" ] && [ -x /usr/bin/time ] || { echo "minetest-server or time missing" >&2; exit 77; }

world=$(mktemp -d)
trap 'rm -rf "$world"' EXIT
mod=$world/worldmods/generate
mkdir -p "$mod"
echo 'name = generate' >"$mod/mod.conf"
cat >"$mod/init.lua" <<EOF
local count, began = 0
local function generated(_, _, remaining)
    count = count + 1
    if remaining > 0 then
        return
    end
    local ms = (core.get_us_time() - began) / 1000
    print(string.format("EMERGE blocks=%d ms=%.1f", count, ms))
    core.request_shutdown("world generated", false, 0)
end
core.after(0, function()
    began = core.get_us_time()
    core.emerge_area({x = -$half, y = -64, z = -$half}, {x = $half, y = 63, z = $half}, generated)
end)
EOF
cat >"$world/world.mt" <<EOF
gameid = minetest
backend = dummy
auth_backend = files
player_backend = files
EOF
cat >"$world/server.conf" <<EOF
mg_name = v7
fixed_map_seed = 424242
num_emerge_threads = $threads
emergequeue_limit_total = 1000000
emergequeue_limit_generate = 1000000
emergequeue_limit_diskonly = 1000000
dedicated_server_step = 0.01
server_announce = false
bind_address = 127.0.0.1
port = ${LODE_GAME_PORT:-31777}
EOF

if [ -n "${RUNNER:-}" ]; then
    # shellcheck disable=SC2086 # RUNNER is a command with its arguments
    HOME=$world MINETEST_USER_PATH=$world $RUNNER \
        "$server" --world "$world" --config "$world/server.conf" --logfile ""
    exit
fi
status=0
HOME=$world MINETEST_USER_PATH=$world /usr/bin/time -o "$world/figures" \
    -f 'wall=%e user=%U sys=%S rssKB=%M' \
    timeout 240 env LD_PRELOAD="$library" \
    "$server" --world "$world" --config "$world/server.conf" --logfile "" \
    >"$world/log" 2>&1 || status=$?
grep -aE '^EMERGE |^lode: ' "$world/log" || :
tail -n 1 "$world/figures"
if [ "$status" -ne 0 ]; then
    tail -n 20 "$world/log" >&2
fi
exit "$status"
