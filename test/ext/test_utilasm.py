#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What lode/util.h's barriers and hints become on x86-64: TAP.

    test_utilasm.py CC INCLUDE_DIR
"""

import platform
import re
import subprocess
import sys

SOURCE = """
#include <lode/util.h>
void compiler(int *p) { *p = 1; lode_barrier_compiler(); *p = 2; }
void full(void) { lode_barrier_full(); }
int acquire(int *p) { int v = *p; lode_barrier_acquire(); return v + *p; }
void pause(void) { lode_spin_pause(); }
void read(const void *p) { lode_prefetch(p); }
void once(const void *p) { lode_prefetch_once(p); }
"""
# function: what its instructions have, and what they must not have
EXPECTED = {
    "compiler": (r"movl\s+\$1.*movl\s+\$2", r"fence|lock"),
    "full": (r"mfence|lock", None),
    "acquire": (r"\(%rdi\).*\(%rdi\)", r"fence|lock"),
    "pause": (r"pause|rep;?\s*nop", None),
    "read": (r"prefetcht0", None),
    "once": (r"prefetchnta", None),
}


def main():
    compiler, include = sys.argv[1:]
    if platform.machine() != "x86_64":
        print("1..0 # SKIP not x86-64")
        return 0
    done = subprocess.run([compiler, "-xc", "-O2", "-std=c11", f"-I{include}", "-S", "-o-", "-"],
                          input=SOURCE, capture_output=True, text=True, check=True)
    failed = 0
    for number, (name, (wanted, unwanted)) in enumerate(EXPECTED.items(), 1):
        body = re.search(rf"^{name}:\n(.*?)\n\s*\.size\s+{name}", done.stdout, re.M | re.S).group(1)
        code = "\n".join(line for line in body.splitlines() if not re.match(r"\s*\.", line))
        good = re.search(wanted, code, re.S) and not (unwanted and re.search(unwanted, code))
        failed += not good
        print(f"{'' if good else 'not '}ok {number} - {name} is what it should be")
    print(f"1..{len(EXPECTED)}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
