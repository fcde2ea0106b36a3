#!/bin/sh
# SPDX-License-Identifier: MIT
# `lode run`: exit statuses, environment, faults in options, warnings, signals, reports.
# shellcheck disable=SC2016 # the commands under test expand their own variables
# shellcheck source=tool_tap.sh
. "$(dirname "$0")/tool_tap.sh"

unset LD_PRELOAD LODE_OPTIONS
mkdir "$tap_dir/lib" "$tap_dir/blank dir"
cp "$FIXTURES/liblode-standin.so" "$tap_dir/lib/liblode.so"
cp "$FIXTURES/liblode-standin.so" "$tap_dir/lib/liblode-mimalloc.so"
lib=$(realpath "$tap_dir/lib")
dir="--lib-dir=$lib"

# --- exit statuses
lode run "$dir" -- true
status_is 0 && err_lacks .
say "status 0, and not a word"
lode run "$dir" -- sh -c 'exit 7'
status_is 7
say "the command's status"
lode run "$dir" -- sh -c 'kill -9 $$'
status_is 137
say "128 + the signal"
lode run "$dir" -- nosuchcommand
status_is 127 && err_has '^lode run: nosuchcommand: '
say "127: not found"
lode run "$dir" -- /etc/passwd
status_is 126
say "126: not executable"
lode run "$dir" sh -c 'exit 3'
status_is 3
say "the command may stand without --"
printf 'exit 4\n' >"$tap_dir/script" && chmod +x "$tap_dir/script"
lode run "$dir" -- "$tap_dir/script"
status_is 4
say "a script without #! runs as a shell would run it"

# --- faults
lode run "$dir"
status_is 125 && err_has 'which command'
say "no command"
lode run "$dir" -o nosuch=1 -- true
status_is 125 && err_has "^lode run: unknown option 'nosuch' \(see .lode options.\)$"
say "an unknown option"
lode run "$dir" -o purge=never -- true
status_is 125 && err_has "option 'purge': bad value 'never', allowed: inline\|thread\|auto\|off$"
say "a bad choice"
lode run "$dir" -o leaks_frames=63 -- true
status_is 125 && err_has "option 'leaks_frames': bad value '63', allowed: 1-62$"
say "a number out of range"
lode run "$dir" --frames=x -- true
status_is 125 && err_has "option 'leaks_frames': bad value 'x'"
say "a bad --frames"
lode run "$dir" -o misuse -- true
status_is 125 && err_has "option 'misuse': no value"
say "an option without a value"
lode run --heap=other -- true
status_is 125 && err_has 'native\|mimalloc'
say "a bad --heap"
lode run --lib-dir="$tap_dir" -- true
status_is 125 && err_has 'no library'
say "no library where --lib-dir says"
cp "$lib/liblode.so" "$tap_dir/blank dir/"
lode run --lib-dir="$tap_dir/blank dir" -- true
status_is 125 && err_has 'cannot be preloaded'
say "a path that LD_PRELOAD cannot hold"

# --- environment
lode run "$dir" -- sh -c 'echo "$LD_PRELOAD $LODE_OPTIONS"'
out_has "^$lib/liblode.so purge=auto$"
say "LD_PRELOAD is absolute, purge=auto the default"
lode run "$dir" --heap=mimalloc -- sh -c 'echo "$LD_PRELOAD"'
out_has "^$lib/liblode-mimalloc.so$"
say "--heap=mimalloc"
lode run "$dir" --heap=native -- sh -c 'echo "$LD_PRELOAD"'
out_has "^$lib/liblode.so$"
say "--heap=native is liblode.so where there is no other name"
cp "$lib/liblode.so" "$lib/liblode-native.so"
lode run "$dir" --heap=native -- sh -c 'echo "$LD_PRELOAD"'
out_has "^$lib/liblode-native.so$"
say "--heap=native takes liblode-native.so where it stands"
export LODE_OPTIONS=thp=never,purge=off
lode run "$dir" -o misuse=ignore -o thp=always -- sh -c 'echo "$LODE_OPTIONS"'
out_has '^thp=never,purge=off,misuse=ignore,thp=always$'
say "the user's options come first, purge stays theirs"
unset LODE_OPTIONS
lode run "$dir" -o purge=inline -- sh -c 'echo "$LODE_OPTIONS"'
out_has '^purge=inline$'
say "-o purge=... takes the place of the default"
LD_PRELOAD=$lib/liblode-mimalloc.so
export LD_PRELOAD
lode run "$dir" -- sh -c 'echo "$LD_PRELOAD"'
out_has "^$lib/liblode.so:$lib/liblode-mimalloc.so$"
say "an LD_PRELOAD already set is kept behind ours"
unset LD_PRELOAD
if [ -n "${LODE_HAVE_LIBRARY:-}" ]; then
    lode run -- sh -c 'echo "$LD_PRELOAD"'
    status_is 0 && out_has '^/.*/interpose/liblode\.so$'
    say "the build tree's own library is found beside the program"
else
    skip "the build tree's own library is found beside the program" "not built"
fi

# --- warnings
lode run "$dir" -- "$FIXTURES/tool-static"
status_is 0 && err_has '^lode run: .*tool-static is statically linked'
say "a static executable"
lode run "$dir" -- "$FIXTURES/tool-golike"
status_is 0 && err_has '^lode run: .*tool-golike is a Go program'
say "a Go program"
lode run "$dir" -- "$FIXTURES/tool-ownmalloc"
err_has '^lode run: .*tool-ownmalloc defines malloc itself'
say "a program that defines malloc"
lode run "$dir" -- "$FIXTURES/tool-useallocator"
status_is 0 && err_has '^lode run: .*tool-useallocator links the allocator libjemalloc\.so\.2'
say "a program that links an allocator"
cp /bin/true "$tap_dir/thirtytwo"
printf '\001' | dd of="$tap_dir/thirtytwo" bs=1 seek=4 conv=notrunc 2>"$tap_dir/dd"
lode run "$dir" -- "$tap_dir/thirtytwo"
err_has '32-bit executable'
say "a 32-bit executable"
printf '#!%s\n' "$FIXTURES/tool-static" >"$tap_dir/script"
lode run "$dir" -- "$tap_dir/script"
err_has 'tool-static is statically linked'
say "the interpreter of a script is what counts"
printf '#!/usr/bin/env tool-static\n' >"$tap_dir/script"
PATH="$FIXTURES:$PATH" "$LODE" run "$dir" -- "$tap_dir/script" 2>"$tap_dir/err"
err_has 'tool-static is statically linked'
say "also behind env"
privileged=
for file in /bin/su /usr/bin/passwd /usr/bin/chfn; do
    [ -u "$file" ] && privileged=$file && break
done
if [ "$(id -u)" = 0 ]; then
    cp /bin/true "$tap_dir/setuid" && chown 65534 "$tap_dir/setuid" && chmod 4755 "$tap_dir/setuid"
    privileged=$tap_dir/setuid
fi
if [ -n "$privileged" ]; then
    lode run "$dir" -- "$privileged" --help
    err_has 'is setuid: the loader ignores LD_PRELOAD'
    say "a setuid executable"
else
    skip "a setuid executable" "none here"
fi

# --- signals
ready() { # wait until the command has made the file
    tries=0
    while [ ! -e "$tap_dir/ready" ] && [ $tries -lt 200 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
}
env --default-signal=TERM,INT "$LODE" run "$dir" -- \
    sh -c 'trap "exit 9" TERM; >"$0"; while :; do sleep 0.05; done' "$tap_dir/ready" &
tool=$!
ready
kill -TERM $tool
wait $tool
[ $? -eq 9 ]
say "SIGTERM is passed on"
rm -f "$tap_dir/ready"
env --default-signal=TERM,INT "$LODE" run "$dir" -- \
    sh -c '>"$0"; while [ -e "$0" ]; do sleep 0.05; done; exit 5' "$tap_dir/ready" &
tool=$!
ready
kill -INT $tool
sleep 0.1
rm -f "$tap_dir/ready"
wait $tool
[ $? -eq 5 ]
say "SIGINT is the command's affair"

# --- reports
lode run "$dir" --summary -- "$FIXTURES/tool-exitwith" 6
status_is 6 && err_has '^summary of .*tool-exitwith$' &&
    err_has '^  wall +[0-9.]+ s' && err_has '^  user ' &&
    err_has '^  system ' && err_has '^  peak RSS +[0-9.]+ MiB' && err_has '^  exit status +6$'
say "--summary: the kernel's figures"
err_has '^  mapped_bytes +3\.0 MiB +address space' && err_has '^  live_blocks +42 ' &&
    err_lacks 'leaks of process'
say "--summary: the heap's figures"
lode run "$dir" --leaks -- "$FIXTURES/tool-exitwith" 8 1
status_is 8 && [ "$(grep -c '^leaks of process' "$tap_dir/err")" -eq 2 ] &&
    err_has '^4096 bytes in 3 blocks$' && err_has '^  #0 +0x1234$' && err_has '^  #1 +0x5678$' &&
    err_has '^leaked in all: 4096 bytes in 3 blocks \(4\.0 KiB\); live by design: 8 bytes in 1 bl'
say "--leaks: a report of each process"
lode run "$dir" --leaks --frames=5 --top=3 -- sh -c 'echo "$LODE_OPTIONS"'
out_has 'leaks=exact,leaks_frames=5,leaks_top=3,stats_file=/.*/stats\.%p,leaks_file=/.*/leaks\.%p$'
say "--leaks, --frames and --top become options"
reports=$(sed -n 's/.*stats_file=\(.*\)\/stats.*/\1/p' "$tap_dir/out")
[ -n "$reports" ] && [ ! -e "$reports" ]
say "the directory of the reports is gone"
lode run "$dir" --leaks -o leaks_file="$tap_dir/mine.%p" -- true
err_has '^4096 bytes in 3 blocks$' && ls "$tap_dir"/mine.[0-9]* >/dev/null
say "a user's own leaks_file is read and left"
lode run "$dir" --leaks -- sh -c 'kill -KILL $$'
status_is 137 && err_has '^  exit status +137 +Killed' && err_has '^no heap figures' &&
    err_has '^no leak report'
say "a killed command has no report, which is said"
# --- a reader that goes before the end
mkdir "$tap_dir/tmp"
{
    TMPDIR=$tap_dir/tmp "$LODE" run "$dir" --summary -- sh -c 'sleep 0.3; exit 5'
    echo $? >"$tap_dir/status"
} 2>&1 | true
[ "$(cat "$tap_dir/status")" -eq 5 ] && rmdir "$tap_dir/tmp"
say "nobody reads the summary: the command's status, and no files left"
finish
