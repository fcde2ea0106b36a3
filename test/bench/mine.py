#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`lode mine`: Lode's pools against plain malloc under every allocator there is, interleaved.

    mine.py [--build DIR] [-n ROUNDS] [--threads N] [--edits N] [--sizes] [--csv FILE]

In each round every column digs once with the same seed, in an order of its own: --alloc=pools, and
--alloc=malloc with nothing preloaded (glibc) and with mimalloc, jemalloc and tcmalloc. All must end
in the same world. The same edit does the same work in every round, so each edit and each window
shift counts with the median of what it took in all rounds: that leaves the scheduler's
interruptions out, and keeps what an allocator does every time. Of these medians the table has

    edits/s, p50, p99, p99.9    of edits, without shifts
    leave, enter                medians over the shifts: giving back what left the window, making
                                what entered
    shift, its p99              both

and besides, as the runs themselves print it, medians over the rounds: resident growth at the end
(what malloc had freed before the start, and kept resident, it uses again without growth; the pools
have no such), all that is resident then, the share of the time spent in memory operations at most
(no storage could be faster by more), and the raw p99.9 with the interruptions. The pools are
compared with the best malloc column of each: edits/s at least 1.0 x, p99.9 at most 0.8 x, a shift
a third, RSS 1.0 x. glibc runs twice; the ratio of the two, A/A, is the noise. The last line says
what memory operations that take no time would have won.

--sizes compares resident sizes of the whole world instead: with the octree of the textbooks, one
malloc for each child of a node, down to bricks or down to voxels, and with godot_voxel's blocks.

The exit status says only whether all ran and agree.
"""

import argparse
import array
import csv
import statistics

import peers

SHIFT_FIELDS = 3  # of a shift's row in the file of samples: leave, enter, bricks
SIZE_CHANNELS = ("both", "distances")
SIZE_RIVALS = (("naive-voxel", 0.15), ("naive-node", None), ("godot", 0.5))
# title, figure, goal
GOALS = (("edits/s", "edits_per_s", 1.0), ("p99.9 of an edit", "p99.9", 0.8),
         ("leave", "leave", 1 / 3), ("enter", "enter", None), ("shift", "shift", 1 / 3),
         ("shift, p99", "shift_p99", None), ("RSS", "rss", 1.0),
         ("RSS of the process", "rss_whole", None))
MORE = ("edits_per_s",)  # is better


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="build directory, default build/ of the source tree")
    parser.add_argument("-n", type=int, default=15, metavar="ROUNDS", dest="rounds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--edits", type=int, default=200000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", action="store_true", help="the whole world's sizes instead")
    parser.add_argument("--csv", metavar="FILE", help="write every run there")
    args = parser.parse_args()
    args.lode = peers.built("tools/lode", args.build)
    if not args.lode:
        parser.error("tools/lode is not built")
    return args


def share_of(result, phases):
    """Of the time of these phases, what their memory operations took: at most, and at most all."""
    whole = sum(result["seconds"][phase] for phase in phases)
    taken = [min(operations["count"] * operations["ns_each"] / 1e9, result["seconds"][phase])
             for phase in phases for operations in (result["memory_operations"][phase],)]
    return sum(taken) / whole


def edit_share(result):
    return share_of(result, ("edit",))


def shift_share(result):
    return share_of(result, ("leave", "enter"))


class Column(peers.WorkloadColumn):
    """One storage under one allocator, and what its runs took."""

    def run(self, args, path):
        self.run_once(args.lode, "mine", f"--threads={args.threads}", f"--edits={args.edits}",
                      f"--seed={args.seed}", f"--samples={path}")
        samples = array.array("I")
        with open(path, "rb") as file:
            samples.frombytes(file.read())
        self.samples.append(samples)
        return self.results[-1]

    def figures(self, args):
        """Microseconds, but for edits_per_s, rss and memory."""
        usual = [statistics.median(times) / 1000 for times in zip(*self.samples)]
        edits = sorted(usual[:args.edits])
        rows = [usual[i:i + 2] for i in range(args.edits, len(usual), SHIFT_FIELDS)
                if usual[i + 2] > 0]
        parts = [sorted(part) for part in zip(*rows)]
        whole = sorted(map(sum, rows))
        figures = {"edits_per_s": args.threads * len(edits) / sum(edits) * 1e6}
        figures |= {f"p{share * 100:g}": peers.quantile(edits, share)
                    for share in (0.5, 0.99, 0.999)}
        figures |= {name: peers.quantile(part, 0.5) for name, part in
                    zip(("leave", "enter", "shift"), parts + [whole])}
        figures["shift_p99"] = peers.quantile(whole, 0.99)
        figures["rss"] = statistics.median(map(peers.grown, self.results))
        figures["rss_whole"] = statistics.median(r["resident_bytes"]["end"] for r in self.results)
        figures["edit_bound"] = 1 / (1 - statistics.median(map(edit_share, self.results)))
        figures["shift_bound"] = 1 - statistics.median(map(shift_share, self.results))
        figures["memory"] = statistics.median(r["memory_share"] for r in self.results)
        figures["raw_p99.9"] = statistics.median(r["edit_us"]["p99.9"] for r in self.results)
        return figures


def columns_of(args):
    columns = peers.workload_columns(Column, args.lode, "mine")
    columns.append(Column("glibc, in place", "malloc-in-place", ""))
    return columns


def report(args, columns):
    figures = {column.name: column.figures(args) for column in columns}
    table = [[name, f"{f['edits_per_s']:.0f}", f"{f['p50']:.2f}", f"{f['p99']:.1f}",
              f"{f['p99.9']:.1f}", f"{f['leave']:.1f}", f"{f['enter']:.1f}",
              f"{f['shift']:.1f}", f"{f['shift_p99']:.0f}",
              f"{f['rss'] / 1024:.0f}", f"{f['rss_whole'] / 1024:.0f}",
              f"{f['memory'] * 100:.1f}", f"{f['raw_p99.9']:.0f}"]
             for name, f in figures.items()]
    print(f"{args.edits} edits, {args.threads} thread{'s' if args.threads > 1 else ''}, medians "
          f"over {args.rounds} interleaved rounds; us.\n")
    print(peers.markdown(["under", "edits/s", "p50", "p99", "p99.9", "leave", "enter",
                          "shift", "its p99", "RSS KiB", "whole", "memory %", "raw p99.9"], table))
    first, again = figures["glibc"], figures["glibc again"]
    print("\nA/A, glibc against itself: " + ", ".join(
        f"{title} {first[key] / again[key]:.3f}" for title, key, _ in GOALS))
    if "pools" in figures:
        rivals = [column.name for column in columns if column.alloc == "malloc"]
        print("\n" + peers.markdown(["pools to the best malloc", "ratio", "best", "goal", ""],
                                    peers.judge(figures, "pools", rivals, GOALS, MORE)))
        print("\nWith memory operations that take no time the best malloc would have "
              f"{bound(figures, rivals, 'edits_per_s', max, 'edit_bound'):.3f} x its edits/s and "
              f"{bound(figures, rivals, 'shift', min, 'shift_bound'):.3f} x its time of a shift.")


def bound(figures, rivals, key, better, share):
    return figures[better(rivals, key=lambda name: figures[name][key])][share]


def write_csv(columns, path):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["round", "column", "edits_per_s", "p99.9_us", "shift_p50_us", "rss",
                         "memory_share", "cpu_s"])
        for column in columns:
            for number, r in enumerate(column.results):
                writer.writerow([number, column.name, r["edits_per_s"], r["edit_us"]["p99.9"],
                                 r["shift_us"]["whole"]["p50"], peers.grown(r), r["memory_share"],
                                 r["seconds"]["dig_cpu"]])


def report_sizes(args):
    ours = "pools" if peers.has_storage(args.lode, "mine", "pools") else "malloc"
    table = []
    for channels in SIZE_CHANNELS:
        words = ("--edits=0", f"--channels={channels}")
        whole = peers.run_workload(args.lode, "mine", ours, "", "--window=all", *words)
        table.append([f"{ours}, {channels}", f"{peers.grown(whole) / 1024:.0f}", "", "", ""])
        for rival, goal in SIZE_RIVALS:
            result = peers.run_workload(args.lode, "mine", rival, "", *words)
            if result["contents_hash"] != whole["contents_hash"] and channels == "both":
                raise RuntimeError(f"{rival} holds another world")
            ratio = peers.grown(whole) / peers.grown(result)
            table.append([f"{rival}, {channels}", f"{peers.grown(result) / 1024:.0f}",
                          f"{ratio:.3f}", f"{goal}" if goal else "",
                          ("pass" if ratio <= goal else "MISS") if goal else ""])
    print("Resident growth for the whole world, and ours to it.\n")
    print(peers.markdown(["storage, channels", "KiB", "ratio", "goal", ""], table))


def main():
    args = arguments()
    if args.sizes:
        report_sizes(args)
        return
    columns = columns_of(args)
    peers.interleave(args, columns)
    report(args, columns)
    if args.csv:
        write_csv(columns, args.csv)


if __name__ == "__main__":
    main()
