#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Whether the libraries a game loads run where games run: TAP.

    glibc.py [--installed] LIB.so...

For each: no symbol version above GLIBC_2.31 (Debian 11, Steam's runtime); needs no library but
those design allows it; finds its sisters through $ORIGIN alone (--installed: RUNPATH is exactly
$ORIGIN; in a build directory it may lead on from there); and takes at most 64 bytes of static TLS.
"""

import os
import re
import sys

import tap

NEWEST = (2, 31)
TLS_BYTES = 64
LIBC = r"libc\.so\.6"
HEAP = r"liblode-heap\.so(\.\d+)?"
# library: the only ones it may need
NEEDS = {
    "liblode-heap": {LIBC},
    "liblode": {LIBC, HEAP},
    "liblode-mimalloc": {LIBC, HEAP, r"libmimalloc\.so\.\d+"},
    "liblode-ext": {LIBC, HEAP},
    "liblode-trace": {LIBC, HEAP, r"libunwind(-x86_64)?\.so\.\d+"},
}


def version_faults(library):
    """Symbols of ours that want a newer glibc than the oldest we run on."""
    for line in tap.output_of("objdump", "-T", library).splitlines():
        version = re.search(r"GLIBC_(\d+)\.(\d+)", line)
        if "*UND*" in line and version and tuple(map(int, version.groups())) > NEWEST:
            yield f"{line.split()[-1]} wants {version.group(0)}"
    # A version may be needed with no symbol to show for it (ABI markers such as GLIBC_ABI_DT_RELR).
    for version in set(re.findall(r"Name: (GLIBC_\S+)", tap.output_of("readelf", "-VW", library))):
        number = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", version)
        if not number:
            yield f"needs the version {version}"
        elif (int(number.group(1)), int(number.group(2))) > NEWEST:
            yield f"needs the version {version}"


def need_faults(library, dynamic):
    name = os.path.basename(library).split(".so")[0]
    allowed = NEEDS.get(name)
    if allowed is None:
        yield f"no entry for {name} in glibc.py's table"
        return
    for needed in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
        if not any(re.fullmatch(pattern, needed) for pattern in allowed):
            yield f"needs {needed}"


def path_faults(dynamic, installed):
    if "(RPATH)" in dynamic:
        yield "has an RPATH"
    sisters = re.search(r"\(NEEDED\).*\[liblode", dynamic)
    runpath = re.search(r"\(RUNPATH\).*\[(.*)\]", dynamic)
    if not runpath:
        if sisters:
            yield "no RUNPATH, so it cannot find its sisters"
        return
    for entry in runpath.group(1).split(":"):
        if entry != "$ORIGIN" and (installed or not entry.startswith("$ORIGIN/")):
            yield f"RUNPATH has {entry}"


def tls_faults(library):
    for line in tap.output_of("readelf", "-lW", library).splitlines():
        fields = line.split()
        if fields[:1] == ["TLS"] and int(fields[5], 16) > TLS_BYTES:
            yield f"{int(fields[5], 16)} bytes"


def main():
    libraries = [arg for arg in sys.argv[1:] if arg != "--installed"]
    installed = len(libraries) < len(sys.argv) - 1
    if not libraries:
        sys.exit("usage: glibc.py [--installed] LIB.so...")
    results = tap.Tap()
    for library in libraries:
        name, dynamic = os.path.basename(library), tap.output_of("readelf", "-dW", library)
        results.none(version_faults(library), f"{name} runs on glibc {NEWEST[0]}.{NEWEST[1]}")
        results.none(need_faults(library, dynamic), f"{name} needs only what it may")
        results.none(path_faults(dynamic, installed), f"{name} finds its sisters through $ORIGIN")
        results.none(tls_faults(library), f"{name} takes at most {TLS_BYTES} bytes of TLS")
    return results.done()


if __name__ == "__main__":
    sys.exit(main())
