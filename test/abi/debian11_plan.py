#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The shell script that debian11.sh runs inside its root, on stdout.

    debian11_plan.py BUILD

Meson knows which programs the preload and conformance tests are made of, how each is compiled and
how each test is run; ninja knows the exact commands. Both are asked, so a test added there is run
here too. The root sees the source tree and BUILD's libraries at the paths they have outside, which
lets the commands stay as they are. Tests over the mimalloc route are left out: Debian 11 has no
libmimalloc.
"""

import json
import os
import re
import shlex
import subprocess
import sys

SUITES = {"conform", "preload"}
COMPILERS = re.compile(r"(cc|c\+\+|gcc|g\+\+)(-[\d.]+)?")
LEFT_OUT = "liblode-mimalloc"


def introspect(build, what):
    done = subprocess.run(["meson", "introspect", what, build], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def tests_of(build):
    for test in introspect(build, "--tests"):
        suites = {suite.split(":")[-1] for suite in test["suite"]}
        if suites & SUITES and LEFT_OUT not in json.dumps([test["cmd"], test["env"]]):
            yield test


def outputs_of(build):
    """Files of the test programs and libraries, relative to the build directory."""
    for target in introspect(build, "--targets"):
        folder = os.path.basename(os.path.dirname(target["defined_in"]))
        if folder in SUITES and target["type"] != "custom":
            for path in target["filename"]:
                yield os.path.relpath(path, build)


def compile_commands(build, outputs):
    """Ninja's commands in order, with Debian 11's compilers by their plain names."""
    done = subprocess.run(["ninja", "-C", build, "-t", "commands", *outputs],
                          stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        words = shlex.split(line)
        if os.path.basename(words[0]) == "ccache":
            words = words[1:]
        name = COMPILERS.fullmatch(os.path.basename(words[0])) if words else None
        if name:
            output = words[words.index("-o") + 1]
            if output.startswith(("lib/", "interpose/")):
                continue  # what is to be tested is what was built here
            yield output, shlex.join([name.group(1)] + words[1:])


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: debian11_plan.py BUILD")
    build = os.path.abspath(sys.argv[1])
    outputs = list(outputs_of(build))
    if not outputs:
        sys.exit("debian11_plan.py: the build has no preload or conformance tests")
    print(f"set -u\ncd {shlex.quote(build)} || exit 2")
    for output, command in compile_commands(build, outputs):
        print(f"mkdir -p {shlex.quote(os.path.dirname(output) or '.')}")
        print(f"{command} || {{ echo 'not ok - compiling {output}'; exit 1; }}")
    for test in tests_of(build):
        env = [f"{key}={value}" for key, value in test["env"].items()]
        words = ["python3" if os.path.basename(word) == "python3" else word for word in test["cmd"]]
        command = shlex.join(["timeout", str(test["timeout"] or 600), "env", *env, *words])
        print(f"echo '## {test['name']}'")
        print(f"cd {shlex.quote(test['workdir'] or build)} && {command}")
        # A TAP program that died says nothing of the points it did not reach.
        print("status=$?; [ $status -le 1 ] || "
              f"echo 'not ok - {test['name']} ended with status '$status")


if __name__ == "__main__":
    main()
