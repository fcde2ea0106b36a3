#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the libraries export: TAP.

    symbols.py [--update] [--shim LIB.so]... [--quiet-about-malloc LIB.so]...

Each library's exports are compared with the reviewed list beside this script (liblode.so:
liblode.sym), one sorted name a line. A change of the lists is a change of the ABI: it is made with
--update and read in the diff. A --shim must also export every name of the malloc family that glibc
exports, and every operator new and delete that libstdc++ does; a library that is
--quiet-about-malloc must export none of them. No library may have relocations in its text.
"""

import argparse
import os
import re
import sys

import tap

HERE = os.path.dirname(os.path.abspath(__file__))
MALLOC_FAMILY = re.compile(
    r"(__libc_)?(malloc|calloc|realloc|reallocarray|free|memalign|aligned_alloc|valloc|pvalloc|"
    r"mallopt|mallinfo2?)|cfree|posix_memalign|malloc_(usable_size|trim|info|stats)")
CXX_OPERATORS = re.compile(r"_Zn[wa].*|_Zd[la].*")
# Not in this glibc, but names under which programs know malloc all the same.
NEWER_OR_BSD = {"reallocf", "free_sized", "free_aligned_sized", "malloc_good_size"}


def exports(library, private=False):
    """The names a library defines for others; those of glibc's private version only if asked."""
    names = set()
    for line in tap.output_of("nm", "-D", "--defined-only", library).splitlines():
        fields = line.split()
        if len(fields) >= 3 and fields[-2] in "TWVDBRiu":
            name, _, version = fields[-1].partition("@")
            if private or "GLIBC_PRIVATE" not in version:
                names.add(name)
    return names


def loaded(soname):
    """The file that the loader gives this process for `soname`."""
    import ctypes
    ctypes.CDLL(soname)
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if os.path.basename(path).startswith(soname):
                return path
    raise FileNotFoundError(soname)


def check_list(results, library, update):
    soname = os.path.basename(library).split(".so")[0]
    path = os.path.join(HERE, soname + ".sym")
    now = sorted(exports(library))
    if update:
        with open(path, "w", encoding="ascii") as out:
            out.write("".join(name + "\n" for name in now))
    name = f"{soname}.so exports what {soname}.sym lists"
    if not os.path.exists(path):
        results.ok(False, name, [f"there is no {soname}.sym: make it with --update and read it"])
        return
    with open(path, encoding="ascii") as listing:
        listed = listing.read().split()
    faults = [f"new, not listed: {n}" for n in now if n not in listed]
    faults += [f"listed, but gone: {n}" for n in listed if n not in now]
    if listed != sorted(listed):
        faults.append(f"{soname}.sym is not sorted")
    results.none(faults, name)


def check_family(results, library):
    mine, name = exports(library), os.path.basename(library)
    libc = {n for n in exports(loaded("libc.so.6")) if MALLOC_FAMILY.fullmatch(n)}
    results.none([f"missing: {n}" for n in sorted(libc - mine)],
                 f"{name} exports all {len(libc)} malloc names of glibc")
    results.none([f"missing: {n}" for n in sorted(NEWER_OR_BSD - mine)],
                 f"{name} exports the malloc names that this glibc lacks")
    try:
        cxx = {n for n in exports(loaded("libstdc++.so.6")) if CXX_OPERATORS.fullmatch(n)}
    except OSError:
        results.skip(f"{name} exports the C++ operators", "no libstdc++.so.6")
        return
    results.none([f"missing: {n}" for n in sorted(cxx - mine)],
                 f"{name} exports all {len(cxx)} operators new and delete of libstdc++")


def check_quiet(results, library):
    found = [n for n in sorted(exports(library))
             if MALLOC_FAMILY.fullmatch(n) or CXX_OPERATORS.fullmatch(n) or n in NEWER_OR_BSD]
    results.none([f"exported: {n}" for n in found],
                 f"{os.path.basename(library)} exports no malloc name")


def check_text(results, library):
    dynamic = tap.output_of("readelf", "-dW", library)
    results.ok("TEXTREL" not in dynamic, f"{os.path.basename(library)} has no text relocations")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the lists anew")
    parser.add_argument("--shim", action="append", default=[], metavar="LIB.so")
    parser.add_argument("--quiet-about-malloc", action="append", default=[], metavar="LIB.so",
                        dest="quiet")
    args = parser.parse_args()
    results = tap.Tap()
    for library in args.shim + args.quiet:
        check_list(results, library, args.update)
        check_text(results, library)
    for library in args.shim:
        check_family(results, library)
    for library in args.quiet:
        check_quiet(results, library)
    return results.done()


if __name__ == "__main__":
    sys.exit(main())
