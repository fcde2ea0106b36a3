#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One fault a run on every allocator, or every other kind of block: ASan or memcheck must find it,
and must find nothing in a program that does nothing wrong: TAP.

    test_misused.py HOW MISUSED         misused or misused-kinds

    asan        MISUSED was built with ASan, and so was liblode-heap
    asan-alone  only MISUSED was: what liblode-heap itself hands out is not announced
    asan-below  only the libraries were: faults go unseen, but nothing right may be reported
    memcheck    nothing was; under valgrind
"""
import os
import shutil
import subprocess
import sys

FAULTS = ("freed", "beyond")
# Of these, the ones seen in what liblode-heap hands out itself: it has no red zones.
HEAP_FAULTS = {"asan": ("freed",), "asan-alone": (), "memcheck": FAULTS}
FOUND = 9
WORDS = {"asan": ("ERROR: AddressSanitizer: ", "READ of size 1"),
         "memcheck": ("Invalid read of size 1",)}


def run(how, command):
    env = dict(os.environ)
    options = ["exitcode=%d" % FOUND, "detect_leaks=0"]
    if how == "asan-below":
        # Its runtime comes behind the program: that is the point.
        options.append("verify_asan_link_order=0")
    env["ASAN_OPTIONS"] = ":".join(options)
    if how == "memcheck":
        command = ["valgrind", "-q", f"--error-exitcode={FOUND}", *command]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120,
                          check=False)


def faults_of(how, words):
    faults = HEAP_FAULTS[how] if "heap" in words else FAULTS
    return [fault for fault in faults if fault == "freed" or "freed" not in words]


def check(how, misused, name, fault):
    """What is wrong with that run; None: nothing."""
    result = run(how, [misused, name, fault])
    words = () if fault == "none" else WORDS[how.split("-", maxsplit=1)[0]]
    missing = [w for w in words if w not in result.stderr]
    silent = words or not result.stderr
    if result.returncode == (FOUND if words else 0) and not missing and silent:
        return None
    return f"exit {result.returncode}, lacks {missing}\n{result.stderr[-1500:]}"


def main():
    how, misused = sys.argv[1:]
    if how == "memcheck" and not shutil.which("valgrind"):
        print("1..0 # SKIP valgrind is not installed")
        return 0
    rows = [line.split() for line in run(how, [misused, "list"]).stdout.splitlines()]
    checks = [(row[0], "none") for row in rows]
    if how != "asan-below":
        checks += [(row[0], fault) for row in rows for fault in faults_of(how, row[1:])]
    failed = 0
    print(f"1..{len(checks)}")
    for number, (name, fault) in enumerate(checks, 1):
        wrong = check(how, misused, name, fault)
        if wrong:
            failed += 1
            for line in wrong.splitlines():
                print("# " + line)
        print(f"{'not ok' if wrong else 'ok'} {number} - {name}: {fault}")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
