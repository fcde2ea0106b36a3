#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/requirements.txt is true: every row has tests, and they exist and are built: TAP.

    requirements.py

The list says itself how it is written. What is checked of each test: the file is there; a
meson.build of its directory builds or runs it, or, if it is a script, at least names it, as does
the README; and the name stands in it, not in a comment. Of the list: IDs go from 01 on without a
gap, and each public header of liblode-ext is in some row, each header in a row is there.
"""

import functools
import os
import re
import sys

import tap

LIST = "test/requirements.txt"
HEADERS = "ext/include/"
ROW = re.compile(r"(?P<source>S[0-4]|A[0-9]+|B)-(?P<number>\d\d) \| (?P<rest>.+)")
SCRIPTS = (".py", ".sh")
COMMENTS = {
    ".c": r"/\*.*?\*/|//[^\n]*|^[ \t]*#[ \t]*if 0\b.*?^[ \t]*#[ \t]*endif[^\n]*",
    ".py": r"^[ \t]*#[^\n]*",
}
COMMENTS |= {".cc": COMMENTS[".c"], ".cpp": COMMENTS[".c"], ".sh": COMMENTS[".py"]}
# A string first, so that what looks like a comment in it is none.
STRINGS = r'"(?:[^"\\\n]|\\.)*"'


class Row:
    def __init__(self, match, number):
        self.id = f"{match['source']}-{match['number']}"
        self.source, self.number, self.line = match["source"], int(match["number"]), number
        self.what, _, headers = match["rest"].partition(" | ")
        self.headers = headers.split()
        self.tests, self.missing, self.later = [], [], []

    def add(self, text):
        """One of the indented lines."""
        word, _, rest = text.partition(": ")
        if word == "not yet":
            self.missing.append(rest)
        elif word == "later":
            self.later.append(rest)
        else:
            self.tests.append((word, rest))


def rows_of(text):
    """The rows, and what is neither a row nor a heading; all before the first heading is prose."""
    rows, strange, listing = [], [], False
    for number, line in enumerate(text.splitlines(), 1):
        match = ROW.fullmatch(line)
        if line.startswith("== "):
            listing = True
        elif match and listing:
            rows.append(Row(match, number))
        elif line.startswith("    ") and listing and rows:
            rows[-1].add(line.strip())
        elif line and listing:
            strange.append(f"{LIST}:{number}: {line}")
    return rows, strange


@functools.lru_cache(None)
def code_of(path):
    """A file without its comments."""
    comments = COMMENTS[os.path.splitext(path)[1]]
    return re.sub(rf"{STRINGS}|(?P<comment>{comments})",
                  lambda m: "" if m["comment"] is not None else m[0], tap.read(path),
                  flags=re.S | re.M)


def quoted(text):
    return re.findall(r"'([^']*)'", text)


def built_by(build):
    """The names of files that a meson.build names, whole or as a pattern over a list."""
    text = re.sub(r"#[^\n]*", "", build)
    names = {os.path.basename(name) for name in quoted(text)}
    lists = {}
    for name, items in re.findall(r"^[ \t]*(\w+) \+?= ([\[{].*?[\]}]|'[^']*')$", text,
                                  re.M | re.S):
        # Of a dictionary, the keys.
        lists.setdefault(name, []).extend(
            re.findall(r"'([^']*)'\s*:", items) if items[0] == "{" else quoted(items))
    for loop in re.finditer(r"foreach (\w+)(?:, \w+)? : (\[.*?\]|\w+)(.*?)endforeach", text, re.S):
        variable, over, body = loop.groups()
        items = quoted(over) if over[0] == "[" else lists.get(over, [])
        patterns = re.findall(rf"'([\w.]*)' \+ {variable} \+ '([\w.]+)'", body)
        patterns += re.findall(rf"'([\w.]*)@0@([\w.]+)'\.format\({variable}\)", body)
        names |= {before + item + after for item in items for before, after in patterns}
    return names


@functools.lru_cache(None)
def build_of(directory):
    """The text of a directory's meson.build, and the files it names."""
    path = os.path.join(directory, "meson.build")
    text = tap.read(path) if os.path.isfile(os.path.join(tap.ROOT, path)) else ""
    return text, built_by(text)


def is_built(path):
    """Whether something builds or runs this file; of a script, whether it says how to run it."""
    directory, name = os.path.split(path)
    text, names = build_of(directory)
    if name in names or not name.endswith(SCRIPTS):
        return name in names
    return any(re.search(rf"(?<![\w.-]){re.escape(word)}(?!\w)", where)
               for word, where in ((name, text), (path, tap.read("README.md"))))


def has_name(path, name):
    """Whether the test, point or row of this name stands in the file."""
    code = code_of(path)
    if not re.search(r"^(\w*Test\(|#include <criterion/)", code, re.M):
        return f'"{name}"' in code
    # Test(suite, name, or a macro of the file's own that makes one of its argument.
    for test in re.finditer(rf"^(\w+)\(((?:[^(),]+, )*){re.escape(name)}\b([^\n]*)", code, re.M):
        macro, before, options = test.groups()
        if ".disabled" in options:
            return False
        if macro in ("Test", "ParameterizedTest", "Theory"):
            return before != ""
        if re.search(rf"#define {macro}\(name\).*?Test\([^)]*\bname\)", code, re.S):
            return True
    return False


def faults_of(row):
    if not row.tests and not row.missing and not row.later:
        yield "has no test"
    for path, name in row.tests:
        if not os.path.isfile(os.path.join(tap.ROOT, path)):
            yield f"{path} is not there"
        elif not is_built(path):
            yield f"{path}: nothing builds or runs it"
        elif name and not has_name(path, name):
            yield f"{path} has no {name}"
    if len(set(row.tests)) != len(row.tests):
        yield "names a test twice"
    for header in row.headers:
        if not os.path.isfile(os.path.join(tap.ROOT, HEADERS + header)):
            yield f"{header} is not there"


def gaps(rows):
    expected = {}
    for row in rows:
        number = expected.get(row.source, 0) + 1
        if row.number != number:
            yield f"{LIST}:{row.line}: {row.id} where {row.source}-{number:02} comes next"
        expected[row.source] = row.number
    yield from (f"no row of {source}" for source in ("S0", "S1", "S2", "S3", "S4", "B")
                if source not in expected)


def unnamed_headers(rows):
    named = {header for row in rows for header in row.headers if row.tests}
    return [path for path in tap.source_files()
            if path.startswith(HEADERS) and path[len(HEADERS):] not in named]


def main():
    results = tap.Tap()
    rows, strange = rows_of(tap.read(LIST))
    results.none(strange, "rows and tests are written as the list says")
    results.none(gaps(rows), "IDs go on without a gap, each once")
    results.none(unnamed_headers(rows), "each public header is in a row with tests")
    for row in rows:
        faults = [f"{LIST}:{row.line}: {fault}" for fault in faults_of(row)]
        title = f"{row.id} {row.what}"
        if row.tests or faults:
            results.none(faults, title)
        for reason in row.missing:
            results.skip(f"{row.id}: what is missing", "not yet: " + reason)
        for reason in row.later:
            print(f"# {row.id} {'in part' if row.tests else row.what}: later: {reason}")
    return results.done()


if __name__ == "__main__":
    sys.exit(main())
