#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Under valgrind --soname-synonyms=somalloc=nouserintercepts the preloaded library stays the malloc
there is, and tells memcheck of its blocks: one fault a run, each found with its block named."""
import shutil
import sys

import preload_tap as tap

FOUND = 9
VALGRIND = ("valgrind", "-q", "--soname-synonyms=somalloc=nouserintercepts", "--leak-check=full",
            f"--error-exitcode={FOUND}", "--trace-children=yes")


class Memcheck(tap.Suite):
    def check(self, fault, *expected):
        if not shutil.which("valgrind"):
            raise tap.Skip("valgrind is not installed")
        result = self.run([self.program("checked"), fault], timeout=120, prefix=VALGRIND)
        missing = [words for words in expected if words not in result.err]
        if missing or result.status != (FOUND if expected else 0):
            raise tap.Fail(f"lacks {missing}: {result.describe()}")
        if not expected and result.err:
            raise tap.Fail(result.describe())


def main():
    suite = Memcheck(tap.arguments(__doc__))
    suite.add("nothing to find", suite.check, "none")
    suite.add("a read of a freed block", suite.check, "freed", "Invalid read of size 1",
              "50 bytes inside a block of size 112 free'd")
    suite.add("a read of a freed large block", suite.check, "large", "Invalid read of size 1",
              "5,000 bytes inside a block of size 300,000 free'd")
    suite.add("a read beyond a block", suite.check, "beyond", "Invalid read of size 1",
              "0 bytes after a block of size 112 alloc'd")
    suite.add("a read beyond what was asked for", suite.check, "little", "Invalid read of size 1",
              "0 bytes after a block of size 101 alloc'd")
    suite.add("a read beyond what was asked for, of a large block", suite.check, "tail",
              "Invalid read of size 1", "0 bytes after a", "block of size 300,001 alloc'd")
    suite.add("a read beyond what realloc was asked for", suite.check, "shrunk",
              "Invalid read of size 1", "0 bytes after a block of size 107 alloc'd")
    suite.add("a value never set", suite.check, "unset",
              "Conditional jump or move depends on uninitialised value")
    suite.add("a lost block", suite.check, "lost", "112 bytes in 1 blocks are definitely lost")
    return suite.run_all()


if __name__ == "__main__":
    sys.exit(main())
