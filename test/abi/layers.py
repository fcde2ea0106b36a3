#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The layer law and the shape of the source tree: TAP.

    layers.py

    lib/base -> lib/os -> lib/heap -> { interpose, ext, lib/trace } -> tools, test

Each may include only what stands before it; interpose, ext and lib/trace never include each other;
tools and benchmarks see public headers only; each third-party library enters through one file.
Beside that: sizes, unique names, licence lines, and nothing unknown at the top of the tree.
"""

import os
import re
import sys

import tap

# layer: directories whose private headers it may include
LAYERS = {
    "lib/include": (),
    "ext/include": (),
    "lib/base": ("lib/base",),
    "lib/os": ("lib/base", "lib/os"),
    "lib/heap": ("lib/base", "lib/os", "lib/heap"),
    "lib/trace": ("lib/base", "lib/os", "lib/heap", "lib/trace"),
    "interpose": ("lib/base", "lib/os", "lib/heap", "interpose"),
    "ext": ("lib/base", "lib/os", "lib/heap", "ext"),
    "tools": ("tools",),
    "test/bench": ("test/bench",),
}
# where public headers stand, and which layers may include which
PUBLIC_OF_LIB, PUBLIC_OF_EXT = "lib/include/lode", "ext/include/lode"
SEES_EXT = ("ext", "ext/include", "tools", "test/bench")
SEES_NOTHING_PUBLIC = ("lib/base",)
# A private header that a later layer may see all the same, and why.
EXTRA = {
    ("tools", "lib/base/conf.h"): "the option table: `lode options` prints it",
    ("tools", "ext/sdfpack.h"): "the kernels over bricks: `lode mine` gives malloc'd ones the same",
}
# library: how its headers are named, and the files through which it may enter
THIRD_PARTY = {
    "libunwind": (r"libunwind.*\.h", r"lib/trace/stack\.c"),
    "mimalloc": (r"mimalloc.*\.h", r"interpose/route_mimalloc\.[ch]"),
    "zstd": (r"zstd.*\.h|zdict\.h", r"(ext/[a-z_]*codec|tools/worldfile)[a-z_]*\.c"),
    "numa": (r"numa(if|compat1)?\.h", r"ext/[a-z_]*numa[a-z_]*\.c"),
    "jansson": (r"jansson\.h", r"tools/jsondoc\.c"),
    "libpng": (r"png\.h", r"tools/picture\.c"),
    "libdw": (r"elfutils/.*\.h|dwarf\.h", r"tools/[a-z_]+\.c"),
    "libelf": (r"libelf\.h|gelf\.h", r"tools/[a-z_]+\.c"),
    "ncurses": (r"n?curses.*\.h|term(info)?\.h|menu\.h|panel\.h", r"tools/[a-z_]+\.c"),
    "vulkan": (r"vulkan/.*\.h", r"ext/.*"),
}
TOP_LEVEL = {"meson.build", "meson_options.txt", "lib", "interpose", "ext", "tools", "test",
             "README.md", "COPYING"}
LICENCE = "SPDX-License-Identifier: MIT"
FILE_LINES, FUNCTION_LINES, COLUMNS = 600, 60, 100
# path, or (path, function): why it may be longer
LONGER = {
}
C_SUFFIXES = (".c", ".h", ".cc", ".cpp", ".hpp")
SOURCE_SUFFIXES = C_SUFFIXES + (".py", ".sh")


def layer_of(path):
    fitting = [layer for layer in LAYERS if path.startswith(layer + "/")]
    return max(fitting, key=len, default=None)


def includes_of(path):
    """(line number, '"' or '<', name) of each #include."""
    for number, line in enumerate(tap.read(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            yield number, match.group(1), match.group(2)


def resolve(name, path, files):
    """The file of ours that an #include names, or None for somebody else's header."""
    nearby = os.path.normpath(os.path.join(os.path.dirname(path), name))
    if nearby in files:
        return nearby
    suffix = "/" + name.lstrip("./")
    return next((f for f in files if ("/" + f).endswith(suffix) and f.endswith((".h", ".hpp"))),
                None)


def include_fault(path, layer, target):
    """Why `path` may not include `target`; None if it may."""
    if target.startswith(PUBLIC_OF_LIB):
        return "sees no public header" if layer in SEES_NOTHING_PUBLIC else None
    if target.startswith(PUBLIC_OF_EXT):
        return None if layer in SEES_EXT else "stands before ext"
    if (layer, target) in EXTRA or os.path.dirname(target) in LAYERS[layer]:
        return None
    return "may include only " + (", ".join(LAYERS[layer]) or "public headers")


def layer_faults(layer, files):
    for path in files:
        if layer_of(path) != layer or not path.endswith(C_SUFFIXES):
            continue
        for number, mark, name in includes_of(path):
            target = resolve(name, path, files)
            if target is None:
                if mark == '"':
                    yield f"{path}:{number}: \"{name}\" is no header of this tree"
                continue
            if mark == "<" and not name.startswith("lode/"):
                # <string.h> is libc's, whatever we may call a file
                continue
            fault = include_fault(path, layer, target)
            if fault:
                yield f"{path}:{number}: includes {target}, but {layer} {fault}"


def third_party_faults(headers, allowed, files):
    entered = []
    for path in files:
        if path.startswith("test/") or not path.endswith(C_SUFFIXES):
            continue
        numbers = [n for n, mark, name in includes_of(path)
                   if mark == "<" and re.fullmatch(headers, name)]
        if numbers:
            entered.append(path)
            if not re.fullmatch(allowed, path):
                yield f"{path}:{numbers[0]}: the library enters through {allowed} only"
    if len(entered) > 1:
        yield "enters through more than one file: " + ", ".join(entered)


def long_files(files):
    for path in files:
        if path.endswith(SOURCE_SUFFIXES) and path not in LONGER:
            lines = tap.read(path).count("\n")
            if lines > FILE_LINES:
                yield f"{path}: {lines} lines, at most {FILE_LINES}"


def long_functions(files):
    """In this tree a function's body opens and closes with a brace in column 1."""
    for path in files:
        if not path.endswith((".c", ".cc")):
            continue
        lines, head, opened = tap.read(path).splitlines(), 0, 0
        for number, line in enumerate(lines, 1):
            if line == "{":
                opened = number
            elif line == "}" and opened:
                if number - head > FUNCTION_LINES:
                    name = re.search(r"(\w+)\s*\(", lines[head])
                    name = name.group(1) if name else lines[head]
                    if (path, name) not in LONGER:
                        yield (f"{path}:{head + 1}: {name}: {number - head} lines, "
                               f"at most {FUNCTION_LINES}")
                opened = 0
            elif not opened and re.match(r"[A-Za-z_].*\(", line) and not line.endswith(";"):
                head = number - 1


def wide_lines(files):
    for path in files:
        if path.endswith(SOURCE_SUFFIXES):
            for number, line in enumerate(tap.read(path).splitlines(), 1):
                if len(line) > COLUMNS or "\t" in line or line != line.rstrip():
                    yield f"{path}:{number}: over {COLUMNS} columns, a tab or trailing blanks"


def repeated_names(files):
    seen = {}
    for path in files:
        if path.endswith((".c", ".h")):
            seen.setdefault(os.path.basename(path), []).append(path)
    return [", ".join(paths) for paths in seen.values() if len(paths) > 1]


def unlicensed(files):
    for path in files:
        if path.endswith(SOURCE_SUFFIXES) or path.startswith(".ci/"):
            if not any(LICENCE in line for line in tap.read(path).splitlines()[:2]):
                yield f"{path}: no SPDX line at its top"


def strangers_at_top(files):
    top = {path.split("/")[0] for path in files}
    return sorted(name for name in top if name not in TOP_LEVEL and not name.startswith("."))


def main():
    results, files = tap.Tap(), tap.source_files()
    for layer in LAYERS:
        results.none(layer_faults(layer, files), f"{layer} includes only what stands before it")
    for library, (headers, allowed) in THIRD_PARTY.items():
        results.none(third_party_faults(headers, allowed, files),
                     f"{library} enters through one file")
    results.none(long_files(files), f"files have at most {FILE_LINES} lines")
    results.none(long_functions(files), f"functions have at most {FUNCTION_LINES} lines")
    results.none(wide_lines(files), f"lines have at most {COLUMNS} columns")
    results.none(repeated_names(files), ".c and .h names are unique")
    results.none(unlicensed(files), "every source has its SPDX line")
    results.none(strangers_at_top(files), "nothing unknown at the top of the tree")
    results.none((key for key in LONGER if (key if isinstance(key, str) else key[0]) not in files),
                 "the table of longer files names files that exist")
    return results.done()


if __name__ == "__main__":
    sys.exit(main())
