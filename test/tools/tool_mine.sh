#!/bin/sh
# SPDX-License-Identifier: MIT
# `lode mine`: the same world from every storage, thread count and allocator; output; bad input.
# shellcheck source=tool_tap.sh
. "$(dirname "$0")/tool_tap.sh"

unset LD_PRELOAD LODE_OPTIONS
few="--edits 3000"

# mine ARGUMENTS: run it as JSON
mine() {
    # shellcheck disable=SC2086 # words
    lode mine --json $few "$@"
}

mine
status_is 0 && err_lacks . && hash=$(field hash) && [ -n "$hash" ]
say "a run of malloc"
if command -v python3 >/dev/null; then
    python3 - "$tap_dir/out" 2>>"$tap_dir/err" <<'PYTHON'
import json, re, sys
run = json.load(open(sys.argv[1]))
assert run["alloc"] == "malloc" and run["threads"] == 1 and run["edits"] == 3000
for key in "hash", "contents_hash":
    assert re.fullmatch("0x[0-9a-f]+", run[key])
assert run["window_voxels"] == {"x": 168, "y": 128, "z": 104}
bricks, nodes, size = run["bricks"], run["nodes"], run["bytes"]
assert bricks["places"] == 2 * 21 * 16 * 13
assert 0 < bricks["8"] < bricks["16"] and 0 < bricks["4"] < bricks["interface"] <= bricks["places"]
assert bricks["16"] + bricks["8"] + bricks["4"] <= bricks["interface"]
assert size["distances"] == 1024 * bricks["16"] + 512 * bricks["8"] + 256 * bricks["4"]
assert size["contents"] == 512 * bricks["contents"]
assert size["nodes"] == 64 * nodes["interface"]
assert size["live"] == sum(size[k] for k in ("distances", "contents", "nodes", "index"))
resident = run["resident_bytes"]
assert resident["start"] < resident["built"] <= resident["end"] <= resident["peak"]
assert len(resident["course"]) == 16 and resident["start"] < min(resident["course"])
assert resident["end"] - resident["start"] >= size["distances"] + size["contents"]
assert run["bits_per_voxel"]["live"] <= run["bits_per_voxel"]["resident"]
assert run["edits_per_s"] > 0 and run["shifts"] > 0 and run["shifted_bricks"] > 0
for spread in [run["edit_us"], *run["tool_us"].values(), *run["shift_us"].values()]:
    assert 0 <= spread["p50"] <= spread["p99"] <= spread["p99.9"] <= spread["max"]
    assert 0 < spread["mean"] <= spread["max"]
assert set(run["tool_us"]) == {"drill", "explosive", "precision"}
assert set(run["shift_us"]) == {"leave", "enter", "whole"}
for phase, memory in run["memory_operations"].items():
    assert memory["count"] > 0 and memory["ns_each"] > 0 and 0 < memory["share"], phase
    assert run["seconds"][phase] > 0
assert 0 < run["memory_share"] < 1
PYTHON
    say "--json: all figures, and they agree with each other"
else
    skip "--json: all figures, and they agree with each other" "no python3"
fi
mine
[ "$(field hash)" = "$hash" ]
say "the same world every time"
mine --threads 2
status_is 0 && [ "$(field hash)" = "$hash" ]
say "the same world by two threads"
mine --alloc pools
status_is 0 && [ "$(field hash)" = "$hash" ]
say "the same world in the pools"
mine --alloc pools --threads 2
status_is 0 && [ "$(field hash)" = "$hash" ]
say "the same world in the pools by two threads"
mine --alloc malloc-in-place
status_is 0 && [ "$(field hash)" = "$hash" ]
say "the same world where bricks are written in place"
mine --seed 2
status_is 0 && [ "$(field hash)" != "$hash" ]
say "another seed, another world"
mine --edits 0
status_is 0 && [ "$(field hash)" != "$hash" ] && [ "$(field contents_hash)" != "" ] &&
    [ "$(field p50)" = null ]
say "no edits"

mine --edits 2000 --tier 16 --window 96x64x72
status_is 0 && [ "$(field 8)" -eq 0 ] && [ "$(field 4)" -eq 0 ] && [ "$(field x)" -eq 96 ]
say "--tier and --window"
mine --edits 2000 --channels distances
status_is 0 && [ "$(field contents)" -eq 0 ]
say "--channels=distances"
lode mine --json --channels nodes
status_is 0 && [ "$(field distances)" -eq 0 ] && [ "$(field nodes)" -gt 0 ] &&
    [ "$(field edits)" -eq 0 ]
say "--channels=nodes"
mine --edits 500 --repeat 2 --threads 2
status_is 0 && first=$(field hash) && mine --edits 500 --repeat 2 && [ "$(field hash)" = "$first" ]
say "--repeat"

lode mine --json --edits 0 --window all
contents=$(field contents_hash)
[ -n "$contents" ] && [ "$(field places)" -eq 16384 ]
say "the whole world"
lode mine --json --edits 0 --window all --alloc pools
status_is 0 && [ "$(field contents_hash)" = "$contents" ]
say "pools hold the same world"
for rival in naive-node naive-voxel godot; do
    lode mine --json --alloc "$rival"
    status_is 0 && [ "$(field contents_hash)" = "$contents" ] && [ "$(field hash)" = null ]
    say "$rival holds the same world"
    lode mine --alloc "$rival" --edits 5
    status_is 2 && err_has "--alloc=$rival --channels=both cannot be dug in"
    say "$rival cannot be dug in"
done

if [ -n "${LODE_PRELOADED:-}" ]; then
    LD_PRELOAD=$LODE_PRELOADED mine
    status_is 0 && [ "$(field hash)" = "$hash" ] && [ "$(field malloc_owner)" = "$LODE_PRELOADED" ]
    say "the same world under a preloaded malloc, whose name is printed"
    mine
    [ "$(field malloc_owner)" != "$LODE_PRELOADED" ]
    say "and libc's without"
else
    skip "the same world under a preloaded malloc, whose name is printed" "sanitized"
    skip "and libc's without" "sanitized"
fi

# shellcheck disable=SC2086 # words
lode mine $few
status_is 0 && out_has "^hash $hash\$" &&
    out_has '^malloc, malloc is that of /.*; 1 thread, seed 1$' &&
    out_has '^bricks: [0-9]+ stored of 8736: ' && out_has '^nodes: interface [0-9]+, ' &&
    out_has '^resident, built ' && out_has '^bits a voxel: ' && out_has ' edits/s, ' &&
    out_has '^shift: leave +[1-9][0-9]* ' && out_has '^enter +[0-9]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ %$'
say "the figures as text"
lode mine --edits 100 --picture "$tap_dir/slice.png"
status_is 0 && [ "$(head -c 4 "$tap_dir/slice.png" | tail -c 3)" = PNG ] &&
    out_has 'slice.png: above, red 16 bits, '
say "--picture, and what its colours mean"
lode mine --edits 100 --picture "$tap_dir/nosuch/slice.png"
status_is 2 && err_has 'nosuch/slice.png: '
say "a picture that cannot be written"
ln -s /dev/full "$tap_dir/full.png"
lode mine --edits 100 --picture "$tap_dir/full.png"
status_is 2 && err_has 'full.png: ' && [ -c "$tap_dir/full.png" ]
say "a device that takes no picture is left alone"
lode mine --json --edits 100 --samples "$tap_dir/samples"
status_is 0 && size=$(wc -c <"$tap_dir/samples") && [ "$size" -ge 400 ] && [ $((size % 4)) -eq 0 ]
say "--samples: 4 bytes an edit, 12 a shift"
lode mine --edits 100 --samples /dev/full
status_is 2 && err_has '/dev/full: could not be written'
say "samples on a full disk"
lode mine --alloc godot --picture "$tap_dir/slice.png"
status_is 2 && err_has 'godot has no --picture'
say "no picture of what is only held"

refused() { # MESSAGE ARGUMENT...
    message=$1
    shift
    lode mine "$@"
    status_is 2 && err_has "$message"
    say "refused: $*"
}
refused "unknown 'nosuch', there are: malloc, " --alloc nosuch
refused "bad number '3', allowed: 1-2" --threads 3
refused "bad number '-1', allowed: 0-" --edits=-1
refused "bad number '17', allowed: 1-16" --repeat 17
refused "expected XxYxZ or all, got '8x8'" --window 8x8
refused "expected XxYxZ or all, got '-8x128x104'" --window=-8x128x104
refused "multiples of 8, at least 64" --window 100x128x96
refused "multiples of 8, at least 64" --window 56x128x96
refused "unknown '12', there are: 16, 8, 4, distance" --tier 12
refused "unknown 'all', there are: both, distances, nodes" --channels all
refused "channels=nodes cannot be dug in" --channels nodes --edits 1
refused "Too many arguments" extra
refused 'nosuch/minetest-v7-424242.u16.zst: No such file' --data "$tap_dir/nosuch"
refused 'lode-mine-malloc.so: no such module in ' --lib-dir "$tap_dir"

# damaged ARGUMENT...: a copy of the world in $tap_dir/world, with the last files replaced
world=$(dirname "$LODE")
damaged() { # DESCRIPTION MESSAGE
    lode mine --edits 0 --data "$tap_dir/world"
    status_is 2 && err_has "$2"
    say "$1"
    cp "$world"/minetest-v7-424242.* "$tap_dir/world"
}
mkdir "$tap_dir/world"
cp "$world"/minetest-v7-424242.* "$tap_dir/world"
nodes=$tap_dir/world/minetest-v7-424242.u16.zst
palette=$tap_dir/world/minetest-v7-424242.palette.txt
: >"$nodes"
damaged "an empty world" 'u16.zst: is empty'
head -c 100000 "$world/minetest-v7-424242.u16.zst" >"$nodes"
damaged "a world cut off" 'u16.zst: .*(size|incomplete|wrong|incorrect)'
echo nonsense >"$nodes"
damaged "no zstd file" 'u16.zst: '
sed -i 's/^126 air .*/126 air 2179240/' "$palette"
damaged "a count that is wrong" 'palette.txt: 2179240 nodes of air are named, .* has 2179241'
sed -i '/^126 air /d' "$palette"
damaged "nodes without a name" 'palette.txt: 2179241 nodes of the world have no name'
sed -i 's/^126 air /126 vacuum /' "$palette"
damaged "a world without air" 'the palette has no air'
echo "126 air" >>"$palette"
damaged "a palette's row that is none" 'palette.txt:[0-9]+: expected: id name count'
rm "$palette"
damaged "no palette" 'palette.txt: No such file'
finish
