# SPDX-License-Identifier: MIT
"""Which allocators the benchmark scripts compare, and where they lie.

A column is a name and the library preloaded for it ('' for glibc's own malloc). Libraries of the
peers are found through the loader's cache, so nothing here depends on a distribution's paths; our
own are found beside the script in a build directory.
"""

import json
import mmap
import os
import random
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEER_LIBRARIES = {
    "mimalloc": "libmimalloc.so.2",
    "jemalloc": "libjemalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
    "tbbmalloc": "libtbbmalloc_proxy.so.2",
}


def loader_cache():
    """The libraries the loader knows: file name -> path, the first one listed."""
    ldconfig = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    if not ldconfig:
        return {}
    lines = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in lines.splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow and ("x86-64" in name or "64bit" in name or "libc6)" in name):
            found.setdefault(name.split(" ")[0], path)
    return found


def installed_peers():
    cache = loader_cache()
    return {name: cache[lib] for name, lib in PEER_LIBRARIES.items() if lib in cache}


def parse_peer(text):
    """NAME=LIB.so for argparse; the path comes back absolute."""
    name, equals, library = text.partition("=")
    if not equals or not name or not os.path.isfile(library):
        raise ValueError(f"{text}: want NAME=LIBRARY, an existing file")
    return name, os.path.abspath(library)


def built(path, build=None):
    """The absolute path of `path` in the build directory, None if it is not built."""
    path = os.path.join(build or os.path.join(ROOT, "build"), path)
    return os.path.abspath(path) if os.path.isfile(path) else None


def environment(library):
    """Our environment with `library` preloaded, or nothing preloaded for ''."""
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    if library:
        env["LD_PRELOAD"] = library
    return env


def shuffled(columns, round_number):
    """The columns in this round's order: random, so that none always runs after the same one (whose
    pages it inherits), and the same in every repetition."""
    return random.Random(round_number).sample(columns, len(columns))


def warm_memory(kib):
    """Touch and free so much memory just before a run. A virtual machine gives free pages back to
    its host after two seconds, and faulting them in again costs five times what a page costs
    otherwise: whoever ran after a small program would pay for it."""
    with mmap.mmap(-1, max(kib, 4) * 1024, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, len(memory), mmap.PAGESIZE):
            memory[at] = 1


def progress(text, milestone):
    """One line on stderr: rewritten on a terminal, elsewhere only printed at milestones."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif milestone:
        print(text, file=sys.stderr, flush=True)


def progress_end():
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def markdown(header, rows):
    """A markdown table, columns padded so that it reads well as text too. Numbers go right."""
    widths = [max(len(str(row[i])) for row in [header] + rows) for i in range(len(header))]
    lines = ["| " + " | ".join(str(h).ljust(w) for h, w in zip(header, widths)) + " |",
             "|" + "|".join("-" * (w + 1) + "-:"[i > 0] for i, w in enumerate(widths)) + "|"]
    for row in rows:
        cells = [str(c).ljust(w) if i == 0 else str(c).rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


# --- The workloads of `lode`: `lode mine`, `lode herd` ---

WORKLOAD_SECONDS, WORKLOAD_WARM_KIB = 600, 256 * 1024
WORKLOAD_PEERS = ("mimalloc", "jemalloc", "tcmalloc")


class WorkloadColumn:
    """One storage under one allocator, and what its runs printed and sampled."""

    def __init__(self, name, alloc, library):
        self.name, self.alloc, self.library = name, alloc, library
        self.results, self.samples = [], []

    def run_once(self, lode, verb, *words):
        """Run `lode VERB`, and keep and return the JSON it prints."""
        warm_memory(WORKLOAD_WARM_KIB)
        self.results.append(run_workload(lode, verb, self.alloc, self.library, *words))
        return self.results[-1]


def run_workload(lode, verb, alloc, library, *words):
    """The JSON of one run."""
    done = subprocess.run([lode, verb, "--json", f"--alloc={alloc}", *words],
                          env=environment(library), capture_output=True, text=True,
                          timeout=WORKLOAD_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"--alloc={alloc} under {library or 'glibc'}: exit status "
                           f"{done.returncode}\n{done.stderr}")
    result = json.loads(done.stdout)
    if library and not os.path.samefile(result["malloc_owner"], library):
        raise RuntimeError(f"{library} was preloaded, malloc is that of {result['malloc_owner']}")
    return result


def has_storage(lode, verb, name):
    return os.path.isfile(os.path.join(os.path.dirname(lode), f"lode-{verb}-{name}.so"))


def workload_columns(column, lode, verb):
    """A column (of class `column`) for malloc under each allocator, glibc twice, and the pools."""
    columns = [column("glibc", "malloc", ""), column("glibc again", "malloc", "")]
    installed = installed_peers()
    columns += [column(name, "malloc", installed[name])
                for name in WORKLOAD_PEERS if name in installed]
    if has_storage(lode, verb, "pools"):
        columns.append(column("pools", "pools", ""))
    else:
        print(f"lode-{verb}-pools.so is not built, running without it", file=sys.stderr)
    return columns


def grown(result):
    """By how much resident memory was larger in the end than before."""
    return result["resident_bytes"]["end"] - result["resident_bytes"]["start"]


def quantile(ordered, share):
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def interleave(args, columns):
    """Run every column once in each round, in an order of its own: column.run(args, path of a file
    for samples) returns the JSON of a run. All have to end with the same hash."""
    hashes = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(args.rounds):
            for column in shuffled(columns, number):
                result = column.run(args, os.path.join(scratch, "samples"))
                hashes.setdefault(result["hash"], set()).add(column.name)
                progress(f"round {number + 1}/{args.rounds} {column.name}", True)
    progress_end()
    if len(hashes) > 1:
        raise RuntimeError(f"they did not do the same: {hashes}")


def judge(figures, ours, rivals, goals, more=()):
    """Rows: what `ours` has of each goal's figure to the best rival's, less being better but for
    those in `more`. A goal is title, figure, bound of the ratio (None: any)."""
    table = []
    for title, key, goal in goals:
        best = (max if key in more else min)(rivals, key=lambda name, key=key: figures[name][key])
        ratio, mark = figures[ours][key] / figures[best][key], ""
        if goal is not None:
            mark = "pass" if (ratio >= goal if key in more else ratio <= goal) else "MISS"
        table.append([title, f"{ratio:.3f}", best, f"{goal:.3f}" if goal else "", mark])
    return table
