#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every misuse of the heap, one program run each: by default the exact line on stderr and SIGABRT;
with misuse=ignore no word, exit 0, and the misuse counted in stats_file."""
import os
import signal
import sys

import preload_tap as tap

SMALL = (16, 24, 48, 64, 100, 128, 256, 512, 1000, 1024)
MEDIUM = (5000, 20000, 100000)
LARGE = (1 << 20, 10 << 20)
VERBS = {"free": "free", "realloc": "realloc", "usable": "malloc_usable_size"}


def stale_line(verb):
    return "double free of" if verb == "free" else f"stale {VERBS[verb]} of"


def stale_faults():
    for size in SMALL + MEDIUM + LARGE:
        for verb in VERBS:
            yield verb, ["stale", size], stale_line(verb)
    for size in (64, 5000, 100000, 1 << 20):
        for fault in ("stale-calloc", "wrong-order", "after-realloc-to-zero", "by-other-thread",
                      "by-two-others", "owner-asleep", "owner-frees-after-other", "owner-gone",
                      "owner-gone-alive"):
            yield "free", [fault, size], "double free of"
    for size in (64, 5000):
        for fault in ("by-other-thread", "owner-gone", "owner-asleep"):
            for verb in ("realloc", "usable"):
                yield verb, [fault, size], stale_line(verb)
        yield "free", ["after-realloc-moved", size], "double free of"
    for align in (64, 4096, 65536):
        yield "free", ["stale-aligned", 300, align], "double free of"
    for size in (16, 100, 1024, 5000, 20000):
        for others in (1, 10, 300, 5000):
            yield "free", ["stale-after-others", size, others], "double free of"
            yield "free", ["stale-after-all", size, others], "double free of"
    for size, others in ((100000, 300), (1 << 20, 10), (1 << 20, 100)):
        yield "free", ["stale-after-others", size, others], "double free of"
        yield "free", ["stale-after-all", size, others], "double free of"


def pointer_faults():
    interior = ((256, 16), (256, 64), (100, 32), (1024, 512), (5000, 16), (20000, 4096),
                (20000, 8192), (100000, 65536), (1 << 20, 16), (1 << 20, 4096), (1 << 20, 65536),
                (10 << 20, 5 << 20))
    misaligned = ((256, 1), (256, 8), (24, 8), (16, 4), (5000, 1), (20000, 8), (100000, 8),
                  (1 << 20, 1), (1 << 20, 8), (10 << 20, 4097))
    for verb, name in VERBS.items():
        for size, offset in interior:
            yield verb, ["offset", size, offset], f"interior {name} of"
        for size, offset in misaligned:
            yield verb, ["offset", size, offset], f"misaligned {name} of"
        for fault in ("of-stack", "of-static", "of-literal", "of-reservation"):
            yield verb, [fault], f"foreign {name} of"
        for byte in (0, 0x41, 0xFF):
            for offset in (0, 16, 4096):
                yield verb, ["of-mapping", byte, offset], f"foreign {name} of"
        for number in (0x10, 0x1000, 0xDEADBEEFDEADBEEF, 0x7FFFFFFFF000, 0xFFFFFFFFFFFFFFF0):
            yield verb, ["of-number", hex(number)], f"foreign {name} of"


CXX_FAULTS = {
    "delete-twice": "double free of",
    "delete-array-twice": "double free of",
    "sized-delete-twice": "double free of",
    "aligned-delete-twice": "double free of",
    "free-then-delete": "double free of",
    "delete-then-free": "double free of",
    "delete-of-stack": "foreign free of",
    "delete-interior": "interior free of",
    "delete-misaligned": "misaligned free of",
}

CORRUPT_SIZES = (16, 64, 256, 1024, 5000)
CORRUPT_FOUND = ("corrupt-first", "corrupt-both", "corrupt-overflow")
CORRUPT_EITHER = ("corrupt-second", "corrupt-zero", "corrupt-live", "corrupt-remote")


class Faults(tap.Suite):
    def aborts(self, command, line):
        tap.expect_fatal(self.run(command), line)

    def ignored(self, command):
        with tap.scratch() as folder:
            path = os.path.join(folder, "stats")
            result = self.run(command, options=f"misuse=ignore,stats_file={path}")
            tap.expect_clean(result)
            if "survived" not in result.out:
                raise tap.Fail("the program did not go on: " + result.describe())
            if not os.path.exists(path):
                raise tap.Fail("no stats_file was written")
            if tap.read_stats(path).get("misuse_count", 0) < 1:
                raise tap.Fail("misuse_count is 0")

    def found_or_harmless(self, command, options=None):
        """A word of a free block was overwritten: reported, or no block is handed out wrongly."""
        result = self.run(command, options=options)
        if result.status == 0:
            tap.expect_clean(result)
            return
        if result.status != -signal.SIGABRT or not result.err.startswith(
                "lode: corrupted free block 0x"):
            raise tap.Fail("neither found nor harmless: " + result.describe())

    def found(self, command):
        tap.expect_fatal(self.run(command), "corrupted free block")

    def add_all(self):
        program = self.program("fault")
        rows = list(stale_faults()) + list(pointer_faults())
        for verb, fault, line in rows:
            words = [program, verb, *map(str, fault)]
            name = " ".join(words[1:])
            self.add(f"abort: {name}", self.aborts, words, line)
        for index, (verb, fault, line) in enumerate(rows):
            words = [program, verb, *map(str, fault)]
            # Every fault once in the short form would double the time: a third, and all in --long.
            if self.args.long or index % 3 == 0:
                self.add("ignore: " + " ".join(words[1:]), self.ignored, words)
        for fault, line in CXX_FAULTS.items():
            words = [self.program("fault-cxx"), fault]
            self.add(f"abort: {fault}", self.aborts, words, line)
            self.add(f"ignore: {fault}", self.ignored, words)
        for size in CORRUPT_SIZES:
            for fault in CORRUPT_FOUND:
                words = [program, "free", fault, str(size)]
                self.add(f"abort: {fault} {size}", self.found, words)
            for fault in CORRUPT_EITHER:
                words = [program, "free", fault, str(size)]
                self.add(f"found or harmless: {fault} {size}", self.found_or_harmless, words)
                self.add(f"ignore: {fault} {size}", self.found_or_harmless, words, "misuse=ignore")


def main():
    suite = Faults(tap.arguments(__doc__))
    suite.add_all()
    return suite.run_all()


if __name__ == "__main__":
    sys.exit(main())
