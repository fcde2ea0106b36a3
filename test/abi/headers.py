#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every public header compiles alone, included twice, as C11 and as C++17, without a warning: TAP.

    headers.py

Compilers: gcc, clang, g++, clang++; one that is not installed is a SKIP. A .hpp header is C++ only,
and compiles without exceptions and run-time types too, as engines do.
"""

import os
import shutil
import subprocess
import sys

import tap

INCLUDE_DIRS = ("lib/include", "ext/include")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wstrict-prototypes", "-Werror"]
COMPILERS = (("gcc", "c", "c11"), ("clang", "c", "c11"),
             ("g++", "c++", "c++17"), ("clang++", "c++", "c++17"))
LEAN = ("-fno-exceptions", "-fno-rtti")


def public_headers():
    for directory in INCLUDE_DIRS:
        prefix = directory + "/"
        for path in tap.source_files():
            if path.startswith(prefix) and path.endswith((".h", ".hpp")):
                yield path[len(prefix):]


def compile_alone(compiler, language, standard, header, options=()):
    warnings = [w for w in WARNINGS if language == "c" or w != "-Wstrict-prototypes"]
    includes = [f"-I{os.path.join(tap.ROOT, d)}" for d in INCLUDE_DIRS]
    source = f"#include <{header}>\n#include <{header}>\n"
    done = subprocess.run([compiler, "-x", language, f"-std={standard}", *warnings, *includes,
                           *options, "-fsyntax-only", "-"],
                          input=source, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stderr


def main():
    results = tap.Tap()
    headers = list(public_headers())
    results.ok(bool(headers), "there are public headers")
    for compiler, language, standard in COMPILERS:
        for header in headers:
            name = f"<{header}> by {compiler} -std={standard}"
            if header.endswith(".hpp") and language == "c":
                continue
            if not shutil.which(compiler):
                results.skip(name, f"no {compiler}")
                continue
            passed, faults = compile_alone(compiler, language, standard, header)
            results.ok(passed, name, [faults])
            if header.endswith(".hpp"):
                passed, faults = compile_alone(compiler, language, standard, header, LEAN)
                results.ok(passed, f"{name} {' '.join(LEAN)}", [faults])
    return results.done()


if __name__ == "__main__":
    sys.exit(main())
