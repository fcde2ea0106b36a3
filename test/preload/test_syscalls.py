#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""System calls, watched and spoilt with strace: none in steady state, and each call that asks the
kernel for memory refused in turn. A refusal may cost the program a NULL with ENOMEM, never more."""
import os
import re
import shutil
import subprocess
import sys

import preload_tap as tap

MEMORY_CALLS = ("mmap", "mprotect", "madvise", "mremap", "munmap")
# madvise with no delay, so that purging is spoilt too.
OPTIONS = "purge=inline,purge_delay_ms=0"
RUNS_PER_CALL = 24
# Stop at the named calls only: many times faster than stopping at all of them.
STRACE_SOME = ("strace", "-f", "--seccomp-bpf")
CALL = re.compile(r"^(\d+) +([a-z_0-9]+)\((.*)")


def need_strace():
    if not shutil.which("strace"):
        raise tap.Skip("strace is not installed")
    probe = subprocess.run([*STRACE_SOME, "-o", os.devnull, "-e",
                            "inject=getppid:error=ENOMEM:when=1", "true"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if probe.returncode != 0:
        raise tap.Skip("strace cannot trace here")


def calls_of(trace):
    """(pid, name, rest) for every system call entered, in order."""
    with open(trace, encoding="ascii", errors="replace") as file:
        for line in file:
            found = CALL.match(line)
            if found:
                yield found.group(1), found.group(2), found.group(3)


def reserves(name, rest):
    """The heap's reservation: a mapping of at least 1 MiB without access."""
    found = re.match(r"\S+, (\d+), PROT_NONE, [A-Z_|]*MAP_NORESERVE", rest)
    return name == "mmap" and found and int(found.group(1)) >= 1 << 20


class Syscalls(tap.Suite):
    def steady(self, way):
        need_strace()
        with tap.scratch() as folder:
            trace = os.path.join(folder, "trace")
            result = self.run([self.program("steady"), way], options="purge=off", timeout=60,
                              prefix=["strace", "-f", "-o", trace])
            tap.expect_clean(result)
            marks, between = 0, []
            for _, name, rest in calls_of(trace):
                if name == "getppid":
                    marks += 1
                # Two threads that meet at a lock of a slow path may wait there: the program's own
                # doing. One thread alone has nobody to wait for.
                elif marks == 1 and not (way == "two" and name == "futex"):
                    between.append(f"{name}({rest}")
            if marks != 2:
                raise tap.Fail(f"{marks} marks seen instead of 2")
            if between:
                raise tap.Fail(f"{len(between)} system calls in steady state:\n"
                               + "\n".join(between[:10]))

    def ordinals(self, call):
        """Numbers of the main thread's `call`s from the heap's first on, and the first past main's
        start. strace counts per thread, across exec."""
        with tap.scratch() as folder:
            trace = os.path.join(folder, "trace")
            watched = ",".join((*MEMORY_CALLS, "getppid", "execve"))
            prefix = [*STRACE_SOME, "-o", trace, "-e", "trace=" + watched]
            tap.expect_clean(self.run([self.program("starved"), "plain"], options=OPTIONS,
                                      prefix=prefix))
            main_pid, count, first, first_in_main, started = None, 0, None, None, False
            for pid, name, rest in calls_of(trace):
                main_pid = main_pid or pid
                if pid != main_pid:
                    continue
                if name == "execve":
                    started = False
                started = started or bool(reserves(name, rest)) or name == "getppid"
                if name == "getppid":
                    first_in_main = count + 1
                if name == call:
                    count += 1
                    if started and first is None:
                        first = count
                if name == "execve":
                    first = None
            return first, first_in_main, count

    def spoil(self, call, when, before_main):
        inject = f"inject={call}:error=ENOMEM:when={when}"
        result = self.run([self.program("starved"), "plain"], options=OPTIONS,
                          prefix=[*STRACE_SOME, "-o", os.devnull, "-e", "trace=" + call,
                                  "-e", inject])
        # Before main the call may be the dynamic linker's, which gives up with 127.
        if result.status == 0 or (before_main and result.status == 127):
            return
        raise tap.Fail(f"{call} refused, when={when}: " + result.describe())

    def spoil_each(self, call):
        need_strace()
        first, first_in_main, last = self.ordinals(call)
        if first is None:
            raise tap.Skip(f"the heap never calls {call} in this program")
        numbers = range(first, last + 1)
        if not self.args.long and len(numbers) > RUNS_PER_CALL:
            step = len(numbers) / RUNS_PER_CALL
            numbers = sorted({first + int(i * step) for i in range(RUNS_PER_CALL)} | {last})
        for number in numbers:
            self.spoil(call, str(number), number < first_in_main)

    def spoil_from(self, call):
        need_strace()
        first, first_in_main, last = self.ordinals(call)
        if first is None or first_in_main > last:
            raise tap.Skip(f"the heap never calls {call} in main")
        for number in sorted({first_in_main, first_in_main + 1, (first_in_main + last) // 2, last}):
            self.spoil(call, f"{number}+", False)

    def add_all(self):
        self.add("no system call in steady state, one thread", self.steady, "one")
        self.add("no system call in steady state, two threads", self.steady, "two")
        for call in MEMORY_CALLS:
            self.add(f"each {call} refused in turn", self.spoil_each, call)
            self.add(f"{call} refused from some point on", self.spoil_from, call)


def main():
    suite = Syscalls(tap.arguments(__doc__))
    suite.add_all()
    return suite.run_all()


if __name__ == "__main__":
    sys.exit(main())
