#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Real programs under a preloaded library: TAP, one point a program.

    programs.py --lib LIB.so [--short] [--no-stats] [--only REGEX]

A point passes when the program ends with status 0, prints what is expected, and no line of its
output starts with 'lode:'; and when the library was really in it: the file asked for with
LODE_OPTIONS=stats_file=... exists afterwards and tells of live blocks (--no-stats leaves this last
check out, for a library without our heap's figures; the first point looks into /proc/self/maps
instead). A program that is not installed is a SKIP with its reason. Each program has a time limit
and a directory of its own, removed afterwards. The programs themselves stand in program_list.py.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import program_list


class Skip(Exception):
    """The program is not here: the reason."""


class Failed(Exception):
    """What was wrong, in a line, with output worth reading after it."""


class Run:
    """What a program's test is given: its directory, the environment, and ways to run and check."""

    def __init__(self, args, limit_s):
        self.lib = os.path.abspath(args.lib)
        self.short = args.short
        self.stats = not args.no_stats
        self.dir = tempfile.mkdtemp(prefix="lode-program-")
        # Programs that drop root write their figures here too.
        os.chmod(self.dir, 0o777)
        self.stats_file = os.path.join(self.dir, "stats.txt")
        self.deadline = time.monotonic() + limit_s
        self.running = []

    def env(self, preload=True, **extra):
        """Our environment without what would steer the program from outside."""
        env = {key: value for key, value in os.environ.items()
               if key not in ("LD_PRELOAD", "LODE_OPTIONS") and not key.startswith("GIT_")}
        env.update(HOME=self.dir, TMPDIR=self.dir, LC_ALL="C.UTF-8", **extra)
        if preload:
            env["LD_PRELOAD"] = self.lib
        if self.stats:
            env["LODE_OPTIONS"] = "stats_file=" + self.stats_file
        return env

    def path(self, name, text=None):
        """A path in the program's directory, written with `text` if given."""
        path = os.path.join(self.dir, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
        return path

    def need(self, *programs):
        """The paths of the first program found of each `a|b`; Skip if there is none."""
        found = []
        for names in programs:
            paths = [shutil.which(name) for name in names.split("|")]
            if not any(paths):
                raise Skip(f"{names.replace('|', ' or ')} is not installed")
            found.append(next(path for path in paths if path))
        return found[0] if len(found) == 1 else found

    def skip(self, reason):
        raise Skip(reason)

    def works(self, command):
        """Whether `command`, without the library, ends with status 0."""
        return subprocess.run(command, cwd=self.dir, env=self.env(preload=False), check=False,
                              capture_output=True).returncode == 0

    def start(self, command, preload=True, stdin=None, **extra):
        """Start `command` in a session of its own, so that nothing of it outlives the test."""
        child = subprocess.Popen(command, cwd=self.dir, env=self.env(preload, **extra), text=True,
                                 errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                                 start_new_session=True)
        self.running.append(child)
        return child

    def finish(self, child, stdin=None, status=0, name=None):
        """Wait for `child`; its output, checked for status and for lines of ours."""
        name = name or os.path.basename(child.args[0])
        try:
            output, _ = child.communicate(stdin, timeout=max(1, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill(child)
            raise Failed(f"{name}: still running at the time limit") from None
        if child.returncode == 77 and child.args[0].endswith(".sh"):
            raise Skip(output.strip().splitlines()[-1])
        if child.returncode != status:
            raise Failed(f"{name}: exit status {child.returncode}, wanted {status}\n{output}")
        if re.search(r"^lode:|^ERROR: ld\.so:", output, re.MULTILINE):
            raise Failed(f"{name}: a complaint of ours or the loader's in its output\n{output}")
        return output

    def run(self, command, stdin=None, status=0, preload=True, **extra):
        return self.finish(self.start(command, preload, stdin, **extra), stdin, status)

    def expect(self, output, pattern, name):
        if not re.search(pattern, output, re.MULTILINE):
            raise Failed(f"{name}: no '{pattern}' in its output\n{output}")

    def check_loaded(self):
        if not self.stats:
            return
        try:
            with open(self.stats_file, encoding="ascii") as figures:
                live = re.search(r"^live_blocks=(\d+)$", figures.read(), re.MULTILINE)
        except FileNotFoundError:
            raise Failed("no stats_file was written: was the library in it?") from None
        if not live or int(live.group(1)) == 0:
            raise Failed("stats_file tells of no live block: was the library used?")

    @staticmethod
    def kill(child):
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()

    def close(self):
        for child in self.running:
            # Groups of finished children too: a daemon left behind would outlive the test.
            self.kill(child)
        shutil.rmtree(self.dir, ignore_errors=True)


def diagnose(text):
    for line in text.splitlines()[-40:]:
        print("# " + line)


def run_point(number, program, args):
    """Run one program and print its TAP point. True unless it failed."""
    name, limit_s, test = program
    run, began = Run(args, limit_s), time.monotonic()
    try:
        test(run)
        run.check_loaded()
        print(f"ok {number} - {name} # {time.monotonic() - began:.1f} s")
        return True
    except Skip as reason:
        print(f"ok {number} - {name} # SKIP {reason}")
        return True
    except Failed as failure:
        title, _, rest = str(failure).partition("\n")
        print(f"not ok {number} - {name}")
        diagnose(title)
        diagnose(rest)
        return False
    finally:
        run.close()
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", required=True, help="the library to preload")
    parser.add_argument("--short", action="store_true", help="less work for each program")
    parser.add_argument("--no-stats", action="store_true", help="do not ask for a stats_file")
    parser.add_argument("--only", default="", metavar="REGEX", help="only programs that match")
    args = parser.parse_args()
    if not os.path.isfile(args.lib):
        parser.error(f"{args.lib} is not a file")
    programs = [p for p in program_list.PROGRAMS if re.search(args.only, p[0])]
    print(f"1..{len(programs)}")
    results = [run_point(n, program, args) for n, program in enumerate(programs, 1)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
