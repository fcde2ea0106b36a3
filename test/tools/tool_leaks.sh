#!/bin/sh
# SPDX-License-Identifier: MIT
# `lode leaks`: resolving to functions and lines, JSON, truncated and bad files.
# shellcheck source=tool_tap.sh
. "$(dirname "$0")/tool_tap.sh"

good=$tap_dir/good
for maker in tool-leakmaker tool-leakmaker-fixed; do
    "$FIXTURES/$maker" >"$good" 2>"$tap_dir/lines"
    read -r inlined outer main <"$tap_dir/lines"
    lode leaks "$good"
    status_is 0 && err_lacks . && out_has '^leaks of process [0-9]+, ' &&
        out_has '^200 bytes in 2 blocks$' &&
        out_has "^  #0 +leak_inlined \(inlined\)  .*leakmaker\.c:$inlined$" &&
        out_has "^  #1 +leak_outer  .*leakmaker\.c:$outer$" &&
        out_has "^  #2 +main  .*leakmaker\.c:$main$"
    say "$maker: functions and lines, the inlined one too"
    out_has '^  #0 +0x10$' && out_has '^leaked in all: 300 bytes in 3 blocks \(300 B\);' &&
        out_has '; live by design: 100 bytes in 2 blocks$'
    say "$maker: an address of no module, and the totals"
done
strip -o "$tap_dir/stripped" "$FIXTURES/tool-leakmaker"
"$tap_dir/stripped" >"$good" 2>/dev/null
lode leaks "$good"
status_is 0 && out_has "^  #0 +.*  in $tap_dir/stripped\+0x[0-9a-f]+$"
say "a stripped program: module and offset"
lode leaks --top=1 "$good"
out_has '^100 bytes in 1 block in stacks not shown'
say "--top"
"$LODE" leaks - <"$good" >"$tap_dir/out"
out_has '^leaks of process'
say "- is standard input"

"$FIXTURES/tool-leakmaker" >"$good" 2>"$tap_dir/lines"
read -r inlined outer main <"$tap_dir/lines"
lode leaks --json "$good"
if command -v python3 >/dev/null; then
    python3 - "$tap_dir/out" "$inlined" "$outer" "$main" 2>>"$tap_dir/err" <<'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
frames = report["leaks"][0]["frames"]
assert report["complete"] is True
assert report["total"] == {"blocks": 3, "bytes": 300}
assert report["suppressed"] == {"blocks": 2, "bytes": 100}
assert [f["function"] for f in frames] == ["leak_inlined", "leak_outer", "main"]
assert [f["line"] for f in frames] == [int(n) for n in sys.argv[2:]]
assert [f["inlined"] for f in frames] == [True, False, False]
assert report["leaks"][1]["frames"][0]["function"] is None
PYTHON
    say "--json"
else
    skip "--json" "no python3"
fi

head -n -1 "$good" >"$tap_dir/cut"
lode leaks "$tap_dir/cut"
status_is 0 && out_has 'cut off' && out_has '^200 bytes'
say "a file without its end is said to be cut off"
printf 'leak 5 50' >>"$tap_dir/cut"
lode leaks "$tap_dir/cut"
status_is 0 && out_has 'cut off' && ! out_has '^50 bytes'
say "of a line cut off nothing is believed"

# bad CONTENT NAME LINE REGEX: a file of CONTENT, with the escapes of printf, is refused
bad() {
    printf '%b' "$1" >"$tap_dir/bad"
    lode leaks "$tap_dir/bad"
    status_is 2 && err_has "^lode leaks: $tap_dir/bad:$3: $4" &&
        [ "$(wc -l <"$tap_dir/err")" -eq 1 ]
    say "$2"
}
bad '' "an empty file" 1 "not a leak file"
bad 'hello\n' "another file" 1 "not a leak file"
bad 'lode-leaks 2\n' "another version" 1 "a leak file of another version"
bad 'lode-leaks 1\npid x\n' "a bad pid" 2 "a number is missing"
bad 'lode-leaks 1\nleak 1 -5\n' "a negative number" 2 "a number is missing"
bad 'lode-leaks 1\nleak 1 99999999999999999999\n' "a number too large" 2 "bad number"
bad 'lode-leaks 1\nleak 1 5 12xy\n' "a bad frame" 2 "bad hexadecimal"
bad 'lode-leaks 1\nmodule 20 10 0 /x\n' "a module upside down" 2 "a module that ends"
bad 'lode-leaks 1\npid 1\nfoo 1\n' "an unknown record" 3 "unknown record"
bad 'lode-leaks 1\ntotal 0 0\nend\npid 1\n' "text after end" 4 "text after 'end'"
bad 'lode-leaks 1\nend\n' "no total" 2 "'end' without"
bad 'lode-leaks 1\npid\00001\n' "a NUL byte" 2 "a NUL byte"
lode leaks "$tap_dir/nosuch"
status_is 2 && err_has 'No such file'
say "a missing file"
lode leaks
status_is 2 && err_has 'which file'
say "no file"
finish
