#!/bin/sh
# SPDX-License-Identifier: MIT
# `lode herd`: the same creatures from every storage and allocator, nothing left of them; output;
# bad input.
# shellcheck source=tool_tap.sh
. "$(dirname "$0")/tool_tap.sh"

unset LD_PRELOAD LODE_OPTIONS
few="--creatures 300 --frames 1200"

# field NAME: the value of a field of the JSON in out, by its last name
field() {
    sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",{]\{1,\}\).*/\1/p" "$tap_dir/out" | head -n 1
}

# herd ARGUMENTS: run it as JSON
herd() {
    # shellcheck disable=SC2086 # words
    lode herd --json $few "$@"
}

nothing_left() {
    [ "$(field creature_blocks)" = 0 ] && [ "$(field blocks)" = 0 ] && [ "$(field bytes)" = 0.0 ] &&
        [ "$(field spawned)" = "$(field died)" ]
}

herd
status_is 0 && err_lacks . && hash=$(field hash) && [ -n "$hash" ]
say "a run of malloc"
[ "$(field creature_blocks)" = 0 ] && [ "$(field blocks)" = 0 ]
say "malloc: no block is left"
if command -v python3 >/dev/null; then
    python3 - "$tap_dir/out" 2>>"$tap_dir/err" <<'PYTHON'
import json, re, sys
run = json.load(open(sys.argv[1]))
assert run["alloc"] == "malloc" and run["frames"] == 1200 and run["seed"] == 1
assert re.fullmatch("0x[0-9a-f]+", run["hash"])
creatures, resident = run["creatures"], run["resident_bytes"]
assert creatures["max"] == creatures["alive_peak"] == 300
assert creatures["spawned"] == creatures["died"] > 300
assert 2 <= creatures["alive_end"] <= 300
assert 1 < creatures["died_at_once"] < 300 and 1 < creatures["born_at_once"] < 300
parts = "room", "kill", "spawn", "scratch"
for part in parts:
    assert run["operations"][part] > 0, part
for name in *parts, "memory", "frame":
    spread = run["us"][name]
    assert 0 <= spread["p50"] <= spread["p99"] <= spread["p99.9"] <= spread["max"], name
assert abs(sum(run["us"][p]["mean"] for p in parts) / run["us"]["memory"]["mean"] - 1) < 0.01
assert run["us"]["memory"]["mean"] < run["us"]["frame"]["mean"]
assert 0 < run["memory_share"] < 1
assert run["live_bytes"] > creatures["alive_end"] * (64 + 256)
assert resident["start"] < resident["end"]
PYTHON
    say "--json: all figures, and they agree with each other"
else
    skip "--json: all figures, and they agree with each other" "no python3"
fi
herd
[ "$(field hash)" = "$hash" ]
say "the same creatures every time"
herd --alloc pools
status_is 0 && [ "$(field hash)" = "$hash" ]
say "the same creatures in the pools"
nothing_left
say "despawning gives every byte back to the pools"
herd --alloc pools --creatures 2
status_is 0 && nothing_left
say "two creatures"
herd --seed 2
status_is 0 && [ "$(field hash)" != "$hash" ]
say "another seed, other creatures"

if [ -n "${LODE_PRELOADED:-}" ]; then
    LD_PRELOAD=$LODE_PRELOADED herd
    status_is 0 && [ "$(field hash)" = "$hash" ] && [ "$(field malloc_owner)" = "$LODE_PRELOADED" ]
    say "the same creatures under a preloaded malloc, whose name is printed"
else
    skip "the same creatures under a preloaded malloc, whose name is printed" "sanitized"
fi

# shellcheck disable=SC2086 # words
lode herd $few --alloc pools
status_is 0 && out_has "^hash $hash\$" &&
    out_has '^pools, malloc is that of /.*; 1200 frames, seed 1$' &&
    out_has '^creatures: [0-9]+ born, ' && out_has '^memory +1200 +[0-9]' &&
    out_has '; left: 0 blocks of creatures, 0 in all, 0 bytes$'
say "the figures as text"
lode herd --json --creatures 20 --frames 50 --samples "$tap_dir/samples"
status_is 0 && [ "$(wc -c <"$tap_dir/samples")" -eq 1000 ]
say "--samples: 20 bytes a frame"
lode herd --creatures 20 --frames 50 --samples /dev/full
status_is 2 && err_has '/dev/full: could not be written'
say "samples on a full disk"

refused() { # MESSAGE ARGUMENT...
    message=$1
    shift
    lode herd "$@"
    status_is 2 && err_has "$message"
    say "refused: $*"
}
refused "unknown 'nosuch', there are: malloc, pools" --alloc nosuch
refused "bad number '1', allowed: 2-" --creatures 1
refused "bad number '0', allowed: 1-" --frames 0
refused "Too many arguments" extra
refused 'lode-herd-malloc.so: no such module in ' --lib-dir "$tap_dir"
refused 'nosuch/samples: No such file' --frames 2 --samples "$tap_dir/nosuch/samples"

finish
