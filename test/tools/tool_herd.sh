#!/bin/sh
# SPDX-License-Identifier: MIT
# `lode herd`: the same herd from both storages and every allocator; nothing left; bad input.
# shellcheck source=tool_tap.sh
. "$(dirname "$0")/tool_tap.sh"

unset LD_PRELOAD LODE_OPTIONS
few="--frames 1200 --creatures 500"

# herd ARGUMENTS: run it as JSON
herd() {
    # shellcheck disable=SC2086 # words
    lode herd --json $few "$@"
}

# check_json NAME: the figures in out are all there, and agree with each other
check_json() {
    if ! command -v python3 >/dev/null; then
        skip "--json: figures of $1" "no python3"
        return
    fi
    python3 - "$tap_dir/out" "$1" 2>>"$tap_dir/err" <<'PYTHON'
import json, re, sys
run = json.load(open(sys.argv[1]))
assert run["alloc"] == sys.argv[2] and run["frames"] == 1200 and run["seed"] == 1
assert re.fullmatch("0x[0-9a-f]+", run["hash"])
herd = run["creatures"]
assert herd["max"] == 500 and herd["spawned"] == herd["died"] > 500
assert 0 < herd["alive_end"] <= herd["alive_peak"] <= 500
assert herd["born_at_once"] > 10 and herd["died_at_once"] > 10
assert set(run["us"]) == {"room", "kill", "spawn", "scratch", "memory", "frame"}
for spread in run["us"].values():
    assert 0 <= spread["p50"] <= spread["p99"] <= spread["p99.9"] <= spread["max"]
    assert 0 < spread["mean"] <= spread["max"]
means = {name: spread["mean"] for name, spread in run["us"].items()}
assert abs(sum(means[p] for p in run["operations"]) - means["memory"]) < 0.001 * means["memory"]
assert means["memory"] < means["frame"] and 0 < run["memory_share"] < 1
assert all(count > 0 for count in run["operations"].values())
assert run["live_bytes"] > herd["alive_end"] * (64 + 256) and run["despawn_us"] > 0
assert run["resident_bytes"]["start"] < run["resident_bytes"]["end"]
assert run["left"]["creature_blocks"] == 0 and run["left"]["blocks"] == 0
assert run["left"]["bytes"] in (0, None)
PYTHON
    say "--json: figures of $1, and nothing is left"
}

herd
status_is 0 && err_lacks . && hash=$(field hash) && [ -n "$hash" ]
say "a run of malloc"
check_json malloc
herd
[ "$(field hash)" = "$hash" ]
say "the same herd every time"
herd --alloc pools
status_is 0 && err_lacks . && [ "$(field hash)" = "$hash" ]
say "the same herd in the pools"
check_json pools
[ "$(field bytes)" = 0.0 ]
say "the pools' heap has not a byte left"
herd --seed 2
status_is 0 && other=$(field hash) && [ "$other" != "$hash" ]
say "another seed, another herd"
herd --seed 2 --alloc pools
status_is 0 && [ "$(field hash)" = "$other" ]
say "and the same in the pools"
for alloc in malloc pools; do
    herd --creatures 2 --frames 700 --alloc $alloc
    status_is 0 && [ "$(field blocks)" = 0 ]
    say "a herd of two, $alloc"
done

if [ -n "${LODE_PRELOADED:-}" ]; then
    LD_PRELOAD=$LODE_PRELOADED herd
    status_is 0 && [ "$(field hash)" = "$hash" ] && [ "$(field bytes)" = 0.0 ] &&
        [ "$(field malloc_owner)" = "$LODE_PRELOADED" ]
    say "the same herd under a preloaded malloc, whose name is printed"
else
    skip "the same herd under a preloaded malloc, whose name is printed" "sanitized"
fi

# shellcheck disable=SC2086 # words
lode herd $few --alloc pools
status_is 0 && out_has "^hash $hash\$" &&
    out_has '^pools, malloc is that of /.*; 1200 frames, seed 1$' &&
    out_has '^creatures: [0-9]+ born, [0-9]+ died, ' && out_has '^memory +1200 ' &&
    out_has ' % of the time in memory$' &&
    out_has 'left: 0 blocks of creatures, 0 in all, 0 bytes$'
say "the figures as text"
herd --samples "$tap_dir/samples"
status_is 0 && [ "$(wc -c <"$tap_dir/samples")" -eq 24000 ]
say "--samples: 20 bytes a frame"
herd --samples "$tap_dir/nosuch/samples"
status_is 2 && err_has 'nosuch/samples: '
say "samples that cannot be written"
herd --samples /dev/full
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
refused "bad number 'x', allowed: 0-" --seed x
refused "Too many arguments" extra
refused 'lode-herd-malloc.so: no such module in ' --lib-dir "$tap_dir"
finish
