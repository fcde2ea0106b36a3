# SPDX-License-Identifier: MIT
"""TAP output for the checks in this directory, and the files of the source tree they look at."""

import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Tap:
    def __init__(self):
        self.points = 0
        self.failures = 0

    def ok(self, passed, name, faults=()):
        """One point; `faults` are printed when it failed."""
        self.points += 1
        self.failures += not passed
        print(f"{'ok' if passed else 'not ok'} {self.points} - {name}")
        if not passed:
            for fault in faults:
                for line in str(fault).splitlines():
                    print("# " + line)

    def none(self, faults, name):
        """A point that passes when there are no faults."""
        faults = list(faults)
        self.ok(not faults, name, faults)

    def skip(self, name, reason):
        self.points += 1
        print(f"ok {self.points} - {name} # SKIP {reason}")

    def done(self):
        """The plan; what main() should exit with."""
        print(f"1..{self.points}")
        return 1 if self.failures else 0


def source_files():
    """The project's files, relative to its root: what git knows or would add, no build output."""
    git = subprocess.run(["git", "-C", ROOT, "-c", "safe.directory=*", "ls-files", "--cached",
                          "--others", "--exclude-standard", "-z"], capture_output=True, check=False)
    if git.returncode == 0:
        paths = [p for p in git.stdout.decode().split("\0") if p]
        return sorted(p for p in set(paths) if os.path.isfile(os.path.join(ROOT, p)))
    found = []
    for folder, folders, files in os.walk(ROOT):
        if folder == ROOT:
            folders[:] = [f for f in folders if not f.startswith(("build", ".git", ".cache"))]
        folders[:] = [f for f in folders if f != "__pycache__"]
        found += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    return sorted(found)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as text:
        return text.read()


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
