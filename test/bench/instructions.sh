#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Count the instructions of one malloc and one free of a library, by valgrind's callgrind.
#
#   usage: instructions.sh [-p PROGRAM] LIB.so...      CSV on stdout, one row a library
#
# lode-fast-path (PROGRAM; by default $LODE_FAST_PATH or ./lode-fast-path) runs under each library
# twice per function, for a small and a large number of rounds; only instructions executed inside
# that function, what it calls or jumps to included, are collected. The figures come from the
# difference of the two runs, so start-up and warm-up are in neither:
#
#   *_instructions  the usual path: every instruction that ran in more than half of the calls,
#                   return included. What the calling loop or its PLT entry spends is not in it.
#   *_average       all instructions over all calls: with the slow paths' share.
#
# A function is found by its exported name, aliases at the same address included, so it is found in
# a stripped library too.
set -eu

program=${LODE_FAST_PATH:-./lode-fast-path}
if [ "${1:-}" = -p ]; then
    program=$2
    shift 2
fi
if [ $# -eq 0 ]; then
    echo "usage: instructions.sh [-p PROGRAM] LIB.so..." >&2
    exit 2
fi
for tool in valgrind nm awk realpath; do
    command -v "$tool" >/dev/null || { echo "instructions.sh: needs $tool" >&2; exit 2; }
done
few=200 many=600
calls_per_round=128
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The options that collect $2 in library $1: one for each exported name at that address.
toggles() {
    nm -D --defined-only "$1" | awk -v want="$2" '
        { name = $3; sub(/@.*/, "", name); at[NR] = $1; names[NR] = name
          if (name == want) address = $1 }
        END { for (i = 1; i <= NR; i++)
                  if (address != "" && at[i] == address)
                      print "--toggle-collect=" names[i] }'
}

# Run $3 rounds under library $1 collecting function $2 into the file $4.
collect() {
    options=$(toggles "$1" "$2")
    if [ -z "$options" ]; then
        echo "instructions.sh: $1 exports no $2" >&2
        return 1
    fi
    # shellcheck disable=SC2086  (one option a word)
    LD_PRELOAD=$1 valgrind -q --tool=callgrind --soname-synonyms=somalloc=nouserintercepts \
        --demangle=no --dump-instr=yes --compress-pos=no --compress-strings=no \
        --collect-atstart=no --callgrind-out-file="$4" $options "$program" "$3" \
        >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
}

# Print "usual average" of what file $2 has over file $1; $3 calls lie between them.
compare() {
    awk -v calls="$3" '
        FNR == 1 { sign = NR == 1 ? -1 : 1 }
        /^calls=/ { inclusive = 1; next }   # the next line is the callee again: not counted twice
        /^0x/ { if (inclusive) { inclusive = 0; next }
                ran[$1] += sign * $NF; total += sign * $NF }
        END { for (address in ran)
                  if (ran[address] > calls / 2)
                      usual += int(ran[address] / calls + 0.5)
              printf "%d %.1f\n", usual, total / calls }' "$1" "$2"
}

echo library,malloc_instructions,free_instructions,malloc_average,free_average
for library in "$@"; do
    library=$(realpath "$library")
    usual= averages=
    for function in malloc free; do
        collect "$library" "$function" "$few" "$work/few"
        collect "$library" "$function" "$many" "$work/many"
        result=$(compare "$work/few" "$work/many" $(((many - few) * calls_per_round)))
        usual=$usual,${result% *}
        averages=$averages,${result#* }
    done
    echo "$library$usual$averages"
done
