#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count the tests in meson's testlog.json: every TAP line of a TAP program, every other program as
one. Prints "N passed, N failed, N skipped" with the commas left out between number and word."""
import json
import re
import sys

passed = failed = skipped = 0
with open(sys.argv[1], encoding="utf-8") as log:
    for line in log:
        test = json.loads(line)
        points = re.findall(r"^(ok|not ok)\b(.*)$", test.get("stdout") or "", re.M)
        if not points:
            passed += test["result"] in ("OK", "EXPECTEDFAIL")
            skipped += test["result"] == "SKIP"
            failed += test["result"] not in ("OK", "EXPECTEDFAIL", "SKIP")
            continue
        bad = 0
        for verdict, rest in points:
            if re.search(r"#\s*(SKIP|TODO)", rest, re.I):
                skipped += 1
            elif verdict == "ok":
                passed += 1
            else:
                bad += 1
        failed += max(bad, test["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"))
print(f"{passed} passed {failed} failed {skipped} skipped")
