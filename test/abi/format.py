#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""C sources are as clang-format 14 leaves them: TAP. Another version formats otherwise: a SKIP.

    format.py [--fix]
"""

import os
import re
import shutil
import subprocess
import sys

import tap

VERSION = "14"
# Files laid out by hand where a table reads better that way, and why.
BY_HAND = {
}


def formatter():
    for name in (f"clang-format-{VERSION}", "clang-format"):
        path = shutil.which(name)
        if path and re.search(rf"version {VERSION}\.", tap.output_of(path, "--version")):
            return path
    return None


def main():
    results, tool = tap.Tap(), formatter()
    files = [f for f in tap.source_files() if f.endswith((".c", ".h", ".cc", ".cpp", ".hpp"))]
    if not tool:
        results.skip("C sources are formatted", f"no clang-format {VERSION}")
        return results.done()
    for path in files:
        if path in BY_HAND:
            results.skip(path, BY_HAND[path])
            continue
        full = os.path.join(tap.ROOT, path)
        if "--fix" in sys.argv[1:]:
            subprocess.run([tool, "-i", full], check=True)
        done = subprocess.run([tool, "--dry-run", "--Werror", full], capture_output=True, text=True,
                              check=False)
        results.ok(done.returncode == 0, f"{path} is formatted", done.stderr.splitlines()[:6])
    return results.done()


if __name__ == "__main__":
    sys.exit(main())
