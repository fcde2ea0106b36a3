#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`lode herd`: Lode's pools against plain malloc under every allocator there is, interleaved.

    herd.py [--build DIR] [-n ROUNDS] [--creatures N] [--frames N] [--seed N] [--csv FILE]

In each round every column runs the same herd, in an order of its own: --alloc=pools, and
--alloc=malloc with nothing preloaded (glibc) and with mimalloc, jemalloc and tcmalloc. All must end
with the same creatures and leave nothing behind. The same frame does the same work in every round,
so each frame counts with the median of what it took in all rounds: that leaves the scheduler's
interruptions out, and keeps what an allocator does every time. Of these medians the table has, in
microseconds,

    p50, p99, p99.9, max        of a frame's memory operations: getting, resizing, giving back
    room, kill, spawn, scratch  p99.9 of each part of them
    frame, its p99.9            all of a frame, with what first touches the memory that was got

and besides, medians over the rounds: resident growth at the end, and the raw p99.9 of memory
operations with the interruptions. The pools are compared with the best malloc column of each;
p99.9 of memory at most 0.5 x. glibc runs twice; the ratio of the two, A/A, is the noise.

The exit status says only whether all ran, agree and left nothing.
"""

import argparse
import array
import csv
import statistics
import sys

import peers

PARTS = ("room", "kill", "spawn", "scratch")
# title, figure, goal
GOALS = (("memory, p50", "p50", None), ("memory, p99", "p99", None),
         ("memory, p99.9", "p99.9", 0.5), ("memory, mean", "mean", None),
         ("frame, p50", "frame_p50", None), ("frame, p99.9", "frame_p99.9", None),
         ("RSS", "rss", None))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="build directory, default build/ of the source tree")
    parser.add_argument("-n", type=int, default=15, metavar="ROUNDS", dest="rounds")
    parser.add_argument("--creatures", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=36000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", metavar="FILE", help="write every run there")
    args = parser.parse_args()
    args.lode = peers.built("tools/lode", args.build)
    if not args.lode:
        parser.error("tools/lode is not built")
    return args


class Column(peers.WorkloadColumn):
    """One storage under one allocator, and what its runs took."""

    def run(self, args, path):
        result = self.run_once(args.lode, "herd", f"--creatures={args.creatures}",
                               f"--frames={args.frames}", f"--seed={args.seed}",
                               f"--samples={path}")
        left = result["left"]
        if left["creature_blocks"] or left["blocks"] or left["bytes"]:
            raise RuntimeError(f"{self.name} left {left} behind")
        samples = array.array("I")
        with open(path, "rb") as file:
            samples.frombytes(file.read())
        self.samples.append(samples)
        return result

    def figures(self):
        usual = [statistics.median(times) / 1000 for times in zip(*self.samples)]
        width = len(PARTS) + 1
        rows = [usual[i:i + width] for i in range(0, len(usual), width)]
        memory = sorted(sum(row[:-1]) for row in rows)
        frame = sorted(row[-1] for row in rows)
        figures = {f"p{share * 100:g}": peers.quantile(memory, share)
                   for share in (0.5, 0.99, 0.999, 1)}
        figures["mean"] = statistics.fmean(memory)
        figures |= {name: peers.quantile(sorted(row[i] for row in rows), 0.999)
                    for i, name in enumerate(PARTS)}
        figures["frame_p50"] = peers.quantile(frame, 0.5)
        figures["frame_p99.9"] = peers.quantile(frame, 0.999)
        figures["rss"] = statistics.median(map(peers.grown, self.results))
        figures["raw"] = statistics.median(r["us"]["memory"]["p99.9"] for r in self.results)
        return figures


def report(args, columns):
    figures = {column.name: column.figures() for column in columns}
    table = [[name, *(f"{f[key]:.2f}" for key in ("p50", "p99", "p99.9", "p100", *PARTS)),
              f"{f['frame_p50']:.1f}", f"{f['frame_p99.9']:.1f}", f"{f['rss'] / 1024:.0f}",
              f"{f['raw']:.0f}"] for name, f in figures.items()]
    print(f"{args.creatures} creatures, {args.frames} frames, medians over {args.rounds} "
          "interleaved rounds; us.\n")
    print(peers.markdown(["under", "p50", "p99", "p99.9", "max", *PARTS, "frame", "its p99.9",
                          "RSS KiB", "raw p99.9"], table))
    first, again = figures["glibc"], figures["glibc again"]
    print("\nA/A, glibc against itself: " + ", ".join(
        f"{title} {first[key] / again[key]:.3f}" for title, key, _ in GOALS))
    if "pools" not in figures:
        return
    rivals = [column.name for column in columns if column.alloc == "malloc"]
    print("\n" + peers.markdown(["pools to the best malloc", "ratio", "best", "goal", ""],
                                peers.judge(figures, "pools", rivals, GOALS)))
    left = [r["left"] for column in columns if column.name == "pools" for r in column.results]
    print(f"\nAfter the last despawn the pools had {max(l['blocks'] for l in left)} blocks and "
          f"{max(l['bytes'] for l in left):.0f} bytes left.")


def write_csv(columns, path):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["round", "column", "p50_us", "p99_us", "p99.9_us", "max_us", "frame_us",
                         "rss"])
        for column in columns:
            for number, r in enumerate(column.results):
                memory = r["us"]["memory"]
                writer.writerow([number, column.name, memory["p50"], memory["p99"],
                                 memory["p99.9"], memory["max"], r["us"]["frame"]["mean"],
                                 peers.grown(r)])


def main():
    args = arguments()
    columns = peers.workload_columns(Column, args.lode, "herd")
    peers.interleave(args, columns)
    report(args, columns)
    if args.csv:
        write_csv(columns, args.csv)


if __name__ == "__main__":
    sys.exit(main())
