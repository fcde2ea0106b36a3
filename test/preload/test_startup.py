#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How the library starts and lives in a strange process: its options, AT_SECURE, tight limits,
seccomp, closed descriptors, allocations ahead of every constructor, and children of all kinds."""
import os
import shutil
import signal
import sys

import preload_tap as tap

UNKNOWN = "lode: unknown option '{}' (see `lode options`)\n"
BAD = "lode: option '{}': bad value '{}', allowed: {}\n"
PURGE = "inline|thread|auto|off"

OPTION_FAULTS = (
    ("bogus=1", UNKNOWN.format("bogus")),
    ("=auto", UNKNOWN.format("")),
    ("Purge=off", UNKNOWN.format("Purge")),
    ("purgeoff=1,purge=off", UNKNOWN.format("purgeoff")),
    ("purge=never", BAD.format("purge", "never", PURGE)),
    ("purge=of", BAD.format("purge", "of", PURGE)),
    ("purge=off2", BAD.format("purge", "off2", PURGE)),
    ("purge=", BAD.format("purge", "", PURGE)),
    ("misuse=yes", BAD.format("misuse", "yes", "abort|ignore")),
    ("thp=1", BAD.format("thp", "1", "kind|never|always")),
    ("reserve_gib=0", BAD.format("reserve_gib", "0", "1-16384")),
    ("reserve_gib=16385", BAD.format("reserve_gib", "16385", "1-16384")),
    ("reserve_gib=-1", BAD.format("reserve_gib", "-1", "1-16384")),
    ("reserve_gib=8x", BAD.format("reserve_gib", "8x", "1-16384")),
    ("reserve_gib=99999999999999999999999",
     BAD.format("reserve_gib", "99999999999999999999999", "1-16384")),
    ("purge_delay_ms=abc", BAD.format("purge_delay_ms", "abc", "0-600000")),
    ("bogus=1,purge=never,reserve_gib=8",
     UNKNOWN.format("bogus") + BAD.format("purge", "never", PURGE)),
)

OPTIONS_FINE = ("", "purge=off", "purge=thread", "purge=auto,purge_delay_ms=0", "thp=never",
                "thp=always", "reserve_gib=1", "reserve_gib=16384", "misuse=ignore",
                "purge=inline,purge_delay_ms=600000,purge_budget_us=10")


def under_limit(kib):
    return ["sh", "-c", f'ulimit -v {kib} && exec "$@"', "sh"]


class Startup(tap.Suite):
    def options_fault(self, options, err):
        """The line is printed once, and the program runs on the default."""
        tap.expect_clean(self.run([self.program("starved"), "plain"], options=options), err)

    def options_fine(self, options):
        tap.expect_clean(self.run([self.program("starved"), "plain"], options=options))

    def options_after_fault(self):
        """An option behind a faulty one still counts."""
        with tap.scratch() as folder:
            path = os.path.join(folder, "stats")
            result = self.run(["true"], options=f"bogus=1,stats_file={path}")
            tap.expect_clean(result, UNKNOWN.format("bogus"))
            if not os.path.exists(path):
                raise tap.Fail("stats_file was not heeded")

    def secure(self, options):
        """A process whose real and effective user differ has AT_SECURE set, as a setuid one has."""
        program = self.program("secure")
        if not os.path.exists(program):
            raise tap.Skip("secure is not built")
        plain = self.run([program], options="misuse=ignore", preload=False)
        tap.expect_clean(plain)
        if "secure 0" not in plain.out:
            raise tap.Skip("this process is AT_SECURE itself")
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            raise tap.Skip("needs root and setpriv")
        result = self.run([program], options=options, preload=False,
                          prefix=["setpriv", "--ruid", "65534"])
        if "secure 1" not in result.out:
            raise tap.Skip("AT_SECURE could not be brought about: " + result.err.strip())
        tap.expect_fatal(result, "double free of")

    def forking(self, way, count, options):
        result = self.run([self.program("forking"), way, str(count)], options=options, timeout=120)
        tap.expect_clean(result)
        if f"children {count}" not in result.out:
            raise tap.Fail(result.describe())

    def limited(self, kib, *command):
        tap.expect_clean(self.run(list(command), prefix=under_limit(kib)))

    def clean(self, program, *words):
        result = self.run([self.program(program), *words])
        if result.status == 77:
            raise tap.Skip("not possible here")
        tap.expect_clean(result)

    def closed_bad(self):
        result = self.run([self.program("confined"), "closed-bad"])
        if result.status != -signal.SIGABRT or result.err:
            raise tap.Fail("expected SIGABRT without a word, got " + result.describe())

    def early_preloaded(self, before):
        """Another preloaded library whose constructor allocates, on either side of ours."""
        library = self.program("libpreload-early.so")
        if before:
            result = self.run(["env", f"LD_PRELOAD={library} {self.args.lib}",
                               self.program("early")], preload=False)
        else:
            result = self.run([self.program("early")], libs=[library])
        tap.expect_clean(result)

    def empty_environment(self):
        result = self.run(["env", "-i", f"LD_PRELOAD={self.args.lib}", self.program("starved"),
                           "plain"], preload=False)
        tap.expect_clean(result)

    def main_ends_first(self, way, options):
        result = self.run([self.program("mainexit"), way], options=options, timeout=20)
        if result.status == 77:
            raise tap.Skip("no memory can be locked here")
        tap.expect_clean(result)

    def cancelled(self, way, options):
        result = self.run([self.program("cancelled"), way], options=options)
        if way == "bad":
            if result.status != -signal.SIGABRT or "lode: double free of 0x" not in result.err:
                raise tap.Fail(result.describe())
        elif result.status != 0:
            raise tap.Fail(result.describe())

    def full_disk(self, options, err):
        tap.expect_clean(self.run(["true"], options=options), err)

    def add_options(self):
        for options, err in OPTION_FAULTS:
            self.add(f"option fault: {options}", self.options_fault, options, err)
        for options in OPTIONS_FINE:
            self.add(f"options in order: '{options}'", self.options_fine, options)
        self.add("stats_file on a full disk", self.full_disk, "stats_file=/dev/full",
                 "lode: cannot write stats_file '/dev/full'\n")
        self.add("leaks_file on a full disk", self.full_disk, "leaks=exact,leaks_file=/dev/full",
                 "lode: leaks: could not write all of '/dev/full'\n")
        self.add("an option behind a faulty one counts", self.options_after_fault)
        self.add("AT_SECURE: misuse=ignore is not heeded", self.secure, "misuse=ignore")
        self.add("AT_SECURE: an unknown option is not mentioned", self.secure, "bogus=1")

    def add_start(self):
        for kib in (65536, 262144):
            self.add(f"ulimit -v {kib}: true", self.limited, kib, "true")
            self.add(f"ulimit -v {kib}: sort", self.limited, kib, "sort", "/etc/passwd")
            self.add(f"ulimit -v {kib}: small program", self.limited, kib,
                     self.program("starved"), "plain")
        self.add("ulimit -v 262144: 96 MiB can be had", self.limited, 262144,
                 self.program("starved"), "need", "96")
        # The last segment is cut short, and the slice table does not end on a page.
        self.add("ulimit -v 819200: all there is", self.limited, 819200,
                 self.program("starved"), "full")
        self.add("every mapping used up", self.clean, "starved", "maps")
        self.add("seccomp filter after start", self.clean, "confined", "seccomp")
        self.add("all descriptors closed", self.clean, "confined", "closed")
        self.add("all descriptors closed, then a double free", self.closed_bad)
        self.add("malloc from .preinit_array and early constructors", self.clean, "early")
        self.add("early library preloaded after ours", self.early_preloaded, False)
        self.add("early library preloaded before ours", self.early_preloaded, True)
        self.add("empty environment", self.empty_environment)
        self.add("a block with the program's borders grows when mappings are short", self.clean,
                 "starved", "borders")
        for options in ("purge=inline", "purge=thread", "purge=auto"):
            for way in ("plain", "locked"):
                self.add(f"main ends before its thread, {way}, {options}", self.main_ends_first,
                         way, options)

    def add_cancel(self):
        for options in (None, "leaks=exact,leaks_file=/dev/null"):
            for way in ("malloc", "fork", "foreign", "bad"):
                self.add(f"no cancellation point: {way}, {options}", self.cancelled, way, options)

    def add_fork(self):
        count = 1000 if self.args.long else 200
        for options in ("purge=inline", "purge=thread", "purge=auto,purge_delay_ms=0"):
            self.add(f"{count} children under load, {options}", self.forking, "fork", count,
                     options)
        self.add(f"{count} children by a raw system call", self.forking, "raw", count,
                 "purge=inline")
        self.add(f"{count} children by a raw system call, purge=thread", self.forking, "raw", count,
                 "purge=thread")
        self.add("children by a raw system call, traced", self.forking, "raw", count,
                 "leaks=exact,leaks_file=/dev/null")
        self.add("children beside stdio", self.forking, "stdio", count // 4, "purge=inline")
        self.add("children by vfork", self.forking, "vfork", count // 4, "purge=thread")


def main():
    suite = Startup(tap.arguments(__doc__))
    suite.add_options()
    suite.add_start()
    suite.add_cancel()
    suite.add_fork()
    return suite.run_all()


if __name__ == "__main__":
    sys.exit(main())
