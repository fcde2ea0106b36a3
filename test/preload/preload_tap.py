# SPDX-License-Identifier: MIT
"""What the drivers of test/preload share: running a program under a preloaded library, judging how
it ended, and TAP on stdout.

The library is named in the environment of the program under test only; the driver itself runs on
plain libc. Standard error of the program is compared whole, line by line.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile


class Skip(Exception):
    """Raised by a check that cannot run here, with the reason."""


class Fail(Exception):
    """Raised by a check that found something wrong."""


class Result:
    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err

    def describe(self):
        how = f"exit {self.status}" if self.status >= 0 else f"signal {-self.status}"
        return f"{how}\nstdout: {self.out[-300:]!r}\nstderr: {self.err[-600:]!r}"


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--lib", required=True, help="the malloc library to preload")
    parser.add_argument("--bin", required=True, help="folder of the programs under test")
    parser.add_argument("--only", help="run only the checks whose name contains this")
    parser.add_argument("--long", action="store_true", help="full counts instead of short ones")
    return parser.parse_args()


class Suite:
    """A list of named checks, run in order, one TAP line each."""

    def __init__(self, args):
        self.args = args
        self.checks = []

    def add(self, name, function, *parameters):
        self.checks.append((name, function, parameters))

    def run_all(self):
        checks = [c for c in self.checks if not self.args.only or self.args.only in c[0]]
        failed = 0
        print(f"1..{len(checks)}")
        for number, (name, function, parameters) in enumerate(checks, 1):
            try:
                function(*parameters)
                print(f"ok {number} - {name}")
            except Skip as reason:
                print(f"ok {number} - {name} # SKIP {reason}")
            except (Fail, subprocess.TimeoutExpired) as wrong:
                failed += 1
                for line in str(wrong).splitlines():
                    print(f"# {line}")
                print(f"not ok {number} - {name}")
            sys.stdout.flush()
        return 1 if failed else 0

    def program(self, name):
        return os.path.join(self.args.bin, name)

    def run(self, command, options=None, preload=True, timeout=30, libs=(), prefix=()):
        """Run `command` (a list) with the library preloaded and LODE_OPTIONS=`options`."""
        env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "LODE_OPTIONS")}
        words = ["env"]
        if preload:
            words.append("LD_PRELOAD=" + " ".join([self.args.lib, *libs]))
        if options is not None:
            words.append("LODE_OPTIONS=" + options)
        # Set by env(1), so that a prefix such as strace itself stays on libc.
        done = subprocess.run([*prefix, *words, *command], env=env, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return Result(done.returncode, done.stdout.decode(errors="replace"),
                      done.stderr.decode(errors="replace"))


def announced(result):
    """The address the program printed before its deed, or None."""
    found = re.findall(r"^ptr (0x[0-9a-f]+)$", result.out, re.M)
    return found[-1] if found else None


def expect_fatal(result, what):
    """Died by SIGABRT with exactly the line `lode: WHAT ADDRESS`, the address announced."""
    address = announced(result)
    expected = f"lode: {what} {address}\n"
    if result.status != -signal.SIGABRT or result.err != expected:
        raise Fail(f"expected SIGABRT and {expected!r}, got {result.describe()}")


def expect_clean(result, err=""):
    if result.status != 0 or result.err != err:
        raise Fail(f"expected exit 0 and stderr {err!r}, got {result.describe()}")


def read_stats(path):
    """The file that stats_file= wrote, as a dict of int."""
    stats = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, _, value = line.strip().partition("=")
            stats[name] = int(value)
    return stats


def scratch():
    """A temporary folder, as a context manager."""
    return tempfile.TemporaryDirectory(prefix="lode-preload-")
