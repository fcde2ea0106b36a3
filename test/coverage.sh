#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Line coverage of lib and interpose by the suites that run in one build: the table, and its total.
#
#     test/coverage.sh [DIRECTORY]      built there, default build-coverage; needs gcovr
#
# What children that end by _exit() run is not counted, nor what runs after gcov has written its
# files: part of fork.c, the reports at exit. Two tests fail in such a build by gcov's own doing: it
# opens files under a seccomp filter, and does not look whether malloc gave it memory.
set -eu
cd "$(dirname "$0")/.."
directory=${1:-build-coverage}
[ -f "$directory/build.ninja" ] || meson setup "$directory" -Db_coverage=true -Dbuildtype=debug \
    -Doptimization=1 >/dev/null
ninja -C "$directory" >/dev/null
meson test -C "$directory" --no-rebuild --suite unit --suite conform --suite stress \
    --suite preload --suite leaks --suite fuzz --suite tools | tail -8
gcovr --root . --object-directory "$directory" --filter lib/ --filter interpose/ \
    --gcov-ignore-parse-errors --print-summary "$directory"
