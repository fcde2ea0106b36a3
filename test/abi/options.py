#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""README's option table is what the program prints: TAP.

    options.py LODE

The table stands in README.md between <!-- options --> and <!-- /options -->.
"""

import difflib
import os
import re
import sys

import tap


def lines_of(text):
    return [line.rstrip() for line in text.strip().splitlines()]


def main():
    results, name = tap.Tap(), "README's option table is that of `lode options --markdown`"
    if len(sys.argv) != 2:
        sys.exit("usage: options.py LODE")
    readme = tap.read("README.md") if os.path.exists(os.path.join(tap.ROOT, "README.md")) else ""
    table = re.search(r"<!-- options -->\n(.*?)<!-- /options -->", readme, re.DOTALL)
    if not table:
        results.skip(name, "README.md has no <!-- options --> markers")
        return results.done()
    printed = tap.output_of(sys.argv[1], "options", "--markdown")
    results.none(difflib.unified_diff(lines_of(table.group(1)), lines_of(printed), "README.md",
                                      "lode options --markdown", lineterm=""), name)
    return results.done()


if __name__ == "__main__":
    sys.exit(main())
