#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every figure of README's table about the mining pools, in its order; half an hour, on a machine
# that does nothing else.
#
#     test/bench/mining.sh [BUILD [ROUNDS]]
#
# BUILD (default build) is a release build with -Dtests=enabled; of what is interleaved there are
# ROUNDS (default 15).
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build} rounds=${2:-15}

title() { printf '\n## %s\n\n' "$*"; }

title "1. Bits per voxel of one channel"
"$build/test/bench/lode-sdf-density"
title "1. The octree"
"$build/test/bench/lode-svo-density"
for run in 1 2 3; do
    title "2. Nanoseconds an operation, run $run of 3"
    "$build/test/bench/lode-ext-bench"
    title "2. A brick moved to another tier, run $run of 3"
    "$build/test/bench/lode-sdf-retier"
done
for run in 1 2 3 4; do
    title "2. Two threads, run $run of 4"
    "$build/test/bench/lode-ext-scale" -n 41
done
title "3. lode mine, one thread"
test/bench/mine.py --build "$build" -n "$rounds"
title "3. lode mine, two threads"
test/bench/mine.py --build "$build" -n "$rounds" --threads 2
title "3. The whole world"
"$build/tools/lode" mine --alloc=pools --edits=0 --channels=distances --window=all
test/bench/mine.py --build "$build" --sizes
title "4. Walks across bricks"
test/bench/walk.py --build "$build"
title "5. 10,000 shifts of the window"
"$build/test/ext/sdf-shifts" 10000
for seed in 1 2 3; do
    title "6. lode herd, seed $seed"
    test/bench/herd.py --build "$build" -n "$rounds" --seed "$seed"
done
