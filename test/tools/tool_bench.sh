#!/bin/sh
# SPDX-License-Identifier: MIT
# `lode bench`: table, CSV, metric, choice of allocators, failures, interruption; no times.
# shellcheck disable=SC2016 # the commands under test expand their own variables
# shellcheck source=tool_tap.sh
. "$(dirname "$0")/tool_tap.sh"

unset LD_PRELOAD LODE_OPTIONS
mkdir "$tap_dir/lib"
cp "$FIXTURES/liblode-standin.so" "$tap_dir/lib/liblode.so"
cp "$FIXTURES/liblode-standin.so" "$tap_dir/lib/liblode-mimalloc.so"
dir="--lib-dir=$tap_dir/lib"
csv=$tap_dir/runs.csv

lode bench "$dir" -n 3 --only glibc,lode,lode-mimalloc --csv "$csv" -- true
status_is 0 && out_has '^allocator +wall s +to best +user\+sys s +to best +peak RSS KiB ' &&
    out_has ' page faults +to best +failed$' &&
    [ "$(grep -Ec '^(glibc|glibc-again|lode|lode-mimalloc) .* 0/3$' "$tap_dir/out")" -eq 4 ] &&
    [ "$(grep -c 'x1\.000' "$tap_dir/out")" -ge 1 ]
say "a row per allocator, with ratios to the best"
out_has '^noise, glibc against itself \(A/A\): wall x[0-9.]+ spread [0-9.]+%, user\+sys '
say "the noise"
err_lacks .
say "no progress line where there is no terminal"
[ "$(head -n 1 "$csv")" = allocator,run,wall_s,user_s,sys_s,rss_kb,faults,status,metric ] &&
    [ "$(grep -Ec '^(glibc|lode)(-[a-z]+)?,[123],([0-9]+\.[0-9]{6},){3}[0-9]+,[0-9]+,0,$' "$csv")" \
        -eq 12 ] &&
    [ "$(wc -l <"$csv")" -eq 13 ]
say "the CSV file: header, and every run but the warm-up"
lode bench "$dir" -n 4 --only glibc,lode --csv "$tap_dir/again.csv" -- true
lode bench "$dir" -n 4 --only glibc,lode --csv "$tap_dir/again2.csv" -- true
order() { sed -n "$2p" "$tap_dir/$1.csv" | cut -d, -f1,2; }
[ "$(order again '2,$')" = "$(order again2 '2,$')" ] &&
    [ "$(order again 2,4 | tr -d 1)" != "$(order again 5,7 | tr -d 2)" ]
say "the order changes from round to round, and is the same every time"

lode bench "$dir" -n 2 --only lode --csv "$csv" --metric 'ms=([0-9.]+)' -- \
    sh -c 'echo ms=1 ms=2; echo ms=3.5 x; echo no'
status_is 0 && out_has ' metric +to best ' && out_has '^lode .* 3\.50 +x1\.000 ' &&
    [ "$(grep -c ',3\.5$' "$csv")" -eq 2 ]
say "--metric takes the last match"
lode bench "$dir" -n 1 --only glibc,lode --higher-is-better --metric 'n=([0-9]+)' -- \
    sh -c 'case "$LD_PRELOAD" in *liblode*) echo n=200;; *) echo n=100;; esac'
out_has '^lode .* 200\.00 +x1\.000 ' && out_has '^glibc .* 100\.00 +x2\.000 '
say "--higher-is-better"
lode bench "$dir" -n 1 --only lode --metric 'ms=' -- true
status_is 2 && err_has 'no group'
say "a metric without a group"
lode bench "$dir" -n 1 --only lode --metric '(' -- true
status_is 2 && err_has 'bad regular expression'
say "a bad expression"
lode bench "$dir" -n 1 --only lode --verbose -- echo shown
[ "$(grep -c '^shown$' "$tap_dir/out")" -eq 2 ]
say "--verbose shows the output"
lode bench "$dir" -n 1 --only lode -o thp=never --metric 'thp=(n)' --verbose -- \
    sh -c 'echo "$LODE_OPTIONS"'
err_has '^purge=auto,thp=never$'
say "-o reaches our rows, which otherwise run as under lode run"

lode bench "$dir" -n 2 --only glibc,lode -- sh -c 'case "$LD_PRELOAD" in *liblode*) exit 1;; esac'
status_is 0 && out_has '^lode +- +- .* 2/2$' && out_has '^glibc .* 0/2$'
say "a row of failures has no figures beside rows that succeeded"
lode bench "$dir" -n 2 --only lode -- false
status_is 0 && out_has '^lode +[0-9.]+ +x1\.000 .* 2/2$'
say "where nothing succeeds, all runs count"

lode bench "$dir" -n 1 --only lode,nosuch -- true
status_is 2 && err_has "unknown allocator 'nosuch', there are: glibc,lode"
say "--only with an unknown name"
lode bench "$dir" -n 1 --only mine --peer mine="$tap_dir/lib/liblode.so" -- true
status_is 0 && out_has '^mine '
say "--peer"
lode bench "$dir" -n 1 --only bad --peer bad=/etc/passwd -- true
status_is 2 && err_has 'bad: /etc/passwd is of no use here'
say "a --peer that the loader refuses"
lode bench "$dir" -n 1 --peer bad=/nosuch/lib.so -- true
status_is 2 && err_has '^lode bench: --peer=bad=/nosuch/lib.so: No such file'
say "a --peer that is missing"
lode bench "$dir" -n 1 --peer /nosuch -- true
status_is 2 && err_has 'expected NAME=LIB.so'
say "a --peer without a name"
lode bench "$dir" -n 0 -- true
status_is 2 && err_has "bad number '0'"
say "a bad number of runs"
lode bench "$dir" -n 1 --only glibc -- nosuchcommand
status_is 2 && err_has '^lode bench: nosuchcommand: No such file'
say "a command that is missing"
lode bench "$dir" --csv /nosuch/dir/file -n 1 --only glibc -- true
status_is 2 && err_has '/nosuch/dir/file'
say "a CSV file that cannot be written"

# LeakSanitizer's last look at the process hangs when signals arrive during it.
status=0
env --default-signal=INT ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" timeout --preserve-status \
    -s INT 1.5 "$LODE" bench "$dir" -n 1000 --only glibc,lode -- sleep 0.05 \
    >"$tap_dir/out" 2>"$tap_dir/err" || status=$?
status_is 130 && out_has '^lode .* 0/[0-9]+$'
say "interrupted, it prints what was measured"
finish
