#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every pattern of lode-bench under every allocator, interleaved, and how Lode stands among them.

    compare.py [--build DIR] [-n ROUNDS] [--patterns REGEX] [--quick] [--csv FILE]
               [--peer NAME=LIB]...

Columns are glibc, glibc a second time (the A/A noise), lode, and the peers found (or those given by
--peer, which replace them). In each round every column runs every pattern once, a process each, in
random order, and as much memory as the pattern needs is touched and freed before each. What is
compared are medians:

  time  lode's ns per op / the best peer's for that pattern; passes at <= max(1.03, A/A ratio)
  RSS   lode's peak against the smallest of the three fastest peers; passes at <= 1.10 x + 512 KiB

Lode itself is no peer. The exit status tells only whether the runs worked, never how fast they
were. --csv writes every single run.
"""

import argparse
import csv
import io
import re
import statistics
import subprocess
import sys

import peers

TIME_LIMIT, RSS_LIMIT, RSS_SLACK_KIB = 1.03, 1.10, 512
RUN_SECONDS = 300
FIRST_WARM_KIB = 64 * 1024


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="build directory, default build/ of the source tree")
    parser.add_argument("--bench", help="the lode-bench program, default that of --build")
    parser.add_argument("--lode", help="liblode.so, default that of --build")
    parser.add_argument("--peer", type=peers.parse_peer, action="append", metavar="NAME=LIB",
                        help="compare with this library instead of the peers found")
    parser.add_argument("-n", type=int, default=15, metavar="ROUNDS", dest="rounds")
    parser.add_argument("--patterns", default="", metavar="REGEX", help="only patterns that match")
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual operations")
    parser.add_argument("--quick", action="store_true", help="3 rounds of a tenth of the work")
    parser.add_argument("--csv", metavar="FILE", help="write every run there")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.scale = 3, args.scale / 10
    args.bench = args.bench or peers.built("test/bench/lode-bench", args.build)
    args.lode = args.lode or peers.built("interpose/liblode.so", args.build)
    if not args.bench:
        parser.error("lode-bench is not built; give --build or --bench")
    return args


def columns_of(args):
    columns = [("glibc", ""), ("glibc again", "")]
    if args.lode:
        columns.append(("lode", args.lode))
    else:
        print("compare.py: liblode.so is not built, comparing the peers alone", file=sys.stderr)
    return columns + (args.peer or list(peers.installed_peers().items()))


def patterns_of(args):
    listing = subprocess.run([args.bench, "--list"], capture_output=True, text=True, check=True)
    names = [line.split()[0] for line in listing.stdout.splitlines()]
    return [name for name in names if re.search(args.patterns, name)]


def run_one(args, pattern, library):
    done = subprocess.run([args.bench, f"--scale={args.scale}", pattern], capture_output=True,
                          text=True, env=peers.environment(library), timeout=RUN_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"{pattern} under {library or 'glibc'}: exit status {done.returncode}: "
                           f"{done.stderr.strip()}")
    return next(csv.DictReader(io.StringIO(done.stdout)))


def collect(args, columns, patterns):
    """Rows of all runs, each with its round and allocator added."""
    rows, total = [], args.rounds * len(patterns) * len(columns)
    peak_kib = dict.fromkeys(patterns, FIRST_WARM_KIB)  # the largest any column needed so far
    for number in range(args.rounds):
        for pattern in patterns:
            for name, library in peers.shuffled(columns, number):
                row = {"round": number, "allocator": name}
                peers.warm_memory(peak_kib[pattern])
                row.update(run_one(args, pattern, library))
                peak_kib[pattern] = max(peak_kib[pattern], int(row["peak_rss_kb"]))
                rows.append(row)
                percent = 100 * len(rows) // total
                peers.progress(f"round {number + 1}/{args.rounds} {percent:3d} % {pattern} {name}",
                               len(rows) % (len(columns) * len(patterns)) == 0)
    peers.progress_end()
    return rows


def medians(rows, field):
    """{pattern: {allocator: median}}"""
    values = {}
    for row in rows:
        by_allocator = values.setdefault(row["pattern"], {})
        by_allocator.setdefault(row["allocator"], []).append(float(row[field]))
    return {pattern: {name: statistics.median(v) for name, v in by_allocator.items()}
            for pattern, by_allocator in values.items()}


def standing(times, rss):
    """One row of the verdict table for one pattern."""
    pair = sorted((times["glibc"], times["glibc again"]))
    noise = pair[1] / pair[0]
    ranking = sorted((name for name in times if name not in ("lode", "glibc again")), key=times.get)
    best, smallest = ranking[0], min(ranking[:3], key=rss.get)
    row = [best, f"{times[best]:.2f}", f"{noise:.3f}", smallest, f"{rss[smallest]:.0f}"]
    if "lode" not in times:
        return ["-", "-"] + row[:3] + ["-", "-", "-"] + row[3:] + ["-"]
    ratio, limit = times["lode"] / times[best], max(TIME_LIMIT, noise)
    rss_limit = rss[smallest] * RSS_LIMIT + RSS_SLACK_KIB
    return [f"{times['lode']:.2f}", f"{ratio:.3f}"] + row[:3] + [
        "pass" if ratio <= limit else "MISS", f"{rss['lode']:.0f}",
        f"{rss['lode'] / rss[smallest]:.2f}"] + row[3:] + [
        "pass" if rss["lode"] <= rss_limit else "MISS"]


def report(args, columns, rows):
    times, rss = medians(rows, "ns_per_op"), medians(rows, "peak_rss_kb")
    print(f"Ratios of medians over {args.rounds} interleaved runs, scale {args.scale:g}. "
          f"Time passes at max({TIME_LIMIT}, A/A), RSS at {RSS_LIMIT:.2f} x the smallest of the "
          f"three fastest + {RSS_SLACK_KIB} KiB.\n")
    header = ["pattern", "lode ns", "ratio", "best peer", "its ns", "A/A", "time",
              "lode KiB", "ratio", "smallest of 3", "its KiB", "RSS"]
    table = [[pattern] + standing(times[pattern], rss[pattern]) for pattern in times]
    print(peers.markdown(header, table))
    if "lode" in dict(columns):
        misses = sum(row.count("MISS") for row in table)
        print(f"\n{len(table)} patterns, {misses} misses.")
    names = [name for name, _ in columns]
    for title, values, form in (("ns per op", times, ".2f"), ("peak RSS KiB", rss, ".0f")):
        print(f"\nMedians, {title}\n")
        print(peers.markdown(["pattern"] + names,
                             [[p] + [format(values[p][n], form) for n in names] for p in values]))


def main():
    args = arguments()
    columns, patterns = columns_of(args), patterns_of(args)
    if not patterns:
        sys.exit("compare.py: no pattern matches")
    rows = collect(args, columns, patterns)
    report(args, columns, rows)
    if args.csv:
        with open(args.csv, "w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
