#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs link with what pkg-config says of each library, as README tells to, and run.

usage: pkgconfig.py BUILD/meson-uninstalled

The uninstalled .pc files are made of the same declarations as the installed ones.
"""

import os
import shutil
import subprocess
import sys
import tempfile

from tap import Tap

# What the headers of each library offer, those of the libraries below included.
C_HEAP = """
#include <lode/heap.h>
int main(void)
{
    lode_free(lode_malloc(1));
    return 0;
}
"""
C_EXT = """
#include <lode/lode.h>
int main(void)
{
    struct lode_arena *arena;
    if (lode_arena_create(NULL, &arena) != 0)
        return 1;
    lode_arena_destroy(arena);
    lode_free(lode_malloc(1));
    return lode_handle_is_live(LODE_HANDLE_NULL);
}
"""
CXX_EXT = """
#include <lode/lode.hpp>
#include <vector>
int main()
{
    lode::heap heap("ores");
    lode::tag_scope tag(7);
    std::vector<int, lode::allocator<int>> ores(3, 0, lode::allocator<int>(heap.get()));
    return ores[0];
}
"""
PROGRAMS = [("lode-heap", "cc", ".c", C_HEAP), ("lode", "cc", ".c", C_HEAP),
            ("lode-ext", "cc", ".c", C_EXT), ("lode-ext", "c++", ".cc", CXX_EXT)]


def fault(folder, package, compiler, suffix, text):
    """What the compiler, the linker or the program had against it; empty: nothing."""
    env = dict(os.environ, PKG_CONFIG_PATH=folder)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", package], env=env,
                           capture_output=True, text=True, check=False)
    if flags.returncode != 0:
        return flags.stderr
    words = flags.stdout.split()
    with tempfile.TemporaryDirectory() as scratch:
        source, program = os.path.join(scratch, "t" + suffix), os.path.join(scratch, "t")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        paths = ["-Wl,-rpath," + word[2:] for word in words if word.startswith("-L")]
        made = subprocess.run([compiler, source, "-o", program] + words + paths,
                              capture_output=True, text=True, check=False)
        if made.returncode != 0:
            return made.stderr
        ran = subprocess.run([program], capture_output=True, text=True, check=False)
        return "" if ran.returncode == 0 else f"exit status {ran.returncode}\n{ran.stderr}"


def main():
    tap = Tap()
    for package, compiler, suffix, text in PROGRAMS:
        name = f"a {compiler} program links with pkg-config --libs {package}"
        if shutil.which("pkg-config") is None or shutil.which(compiler) is None:
            tap.skip(name, f"no pkg-config or {compiler}")
            continue
        found = fault(sys.argv[1], package, compiler, suffix, text)
        tap.ok(not found, name, [found])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
