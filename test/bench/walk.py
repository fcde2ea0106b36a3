#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What Morton placement is worth to walks across bricks: time, and misses simulated by cachegrind.

    walk.py [--build DIR] [--rounds N] [--side N] [--huge] [--no-misses] [--no-world]

Runs lode-morton-walk (see the top of ext_walk.c): bricks of 1 KiB on a synthetic terrain and on the
real world of test/data, records of 16 bytes on a larger terrain. Prints a table: each placement
against insertion order, in time (ratio of medians of interleaved rounds) and in misses of the walk
alone, of a first-level data cache of 32 KiB, 8-way, and a last-level cache of 8 MiB, 16-way. Below
1 Morton placement wins; above, it loses.

Where both visit in the same order, bricks cannot show fewer misses: a brick is whole cache lines,
and the same ones are read in the same order. What they gain there is in the TLB and in prefetching,
which cachegrind does not simulate.
"""

import argparse
import csv
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile

import peers

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "minetest-v7-424242")
CACHES = ["--I1=32768,8,64", "--D1=32768,8,64", "--LL=8388608,16,64"]
PLACEMENTS = ("morton", "bulk")
ORDERS = ("stored", "morton", "row", "stream")
SOLID = re.compile(r"default:(stone.*|cobble|mossycobble|dirt.*|sand|silver_sand|gravel)$"
                   r"|default:(tree|chest)$|stairs:stair_cobble$")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="build directory, default build/ of the source tree")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--side", type=int, default=192, help="columns of the terrain, each way")
    parser.add_argument("--huge", action="store_true", help="on transparent huge pages")
    parser.add_argument("--no-misses", action="store_true", help="without cachegrind")
    parser.add_argument("--no-world", action="store_true", help="without the real world")
    args = parser.parse_args()
    args.program = peers.built("test/bench/lode-morton-walk", args.build)
    if not args.program:
        parser.error("lode-morton-walk is not built; give --build")
    return args


def real_world(directory):
    """Arguments for the real world, unpacked into `directory`; None if that is not possible."""
    if not shutil.which("zstd") or not os.path.exists(DATA + ".u16.zst"):
        print("walk.py: no zstd or no test/data: without the real world", file=sys.stderr)
        return None
    nodes = os.path.join(directory, "nodes.u16")
    subprocess.run(["zstd", "-q", "-d", DATA + ".u16.zst", "-o", nodes], check=True)
    empty = []
    with open(DATA + ".palette.txt", encoding="utf-8") as palette:
        for line in palette:
            number, name, _ = line.split()
            if not SOLID.match(name):
                empty.append(number)
    return ["--world", nodes, "--empty", ",".join(empty)]


def rows_of(command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return list(csv.DictReader(io.StringIO(done.stdout)))


def misses_of(path):
    """(first-level, last-level) data misses of the walk, from cachegrind's output file."""
    events, first, last, inside = [], 0, 0, False
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("events:"):
                events = line.split()[1:]
            elif line.startswith("fn="):
                inside = line[3:].startswith(("walk_neighbours", "walk_stream", "walk_records"))
            elif inside and line[0].isdigit():
                counts = dict(zip(events, map(int, line.split()[1:])))
                first += counts["D1mr"] + counts["D1mw"]
                last += counts["DLmr"] + counts["DLmw"]
    return first, last


def simulate(command, directory):
    out = os.path.join(directory, "cachegrind.out")
    subprocess.run(["valgrind", "--tool=cachegrind", "--cache-sim=yes", *CACHES,
                    "--cachegrind-out-file=" + out, *command, "--rounds", "1"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return misses_of(out)


def table_of(command, args, directory):
    """Lines of the table for one world."""
    times = {(r["order"], r["placement"]): r
             for r in rows_of([*command, "--rounds", str(args.rounds)])}
    for order in ORDERS:
        before = times[order, "insertion"]
        misses = {}
        if not args.no_misses:
            for placement in ("insertion", *PLACEMENTS):
                misses[placement] = simulate(
                    [*command, "--order", order, "--placement", placement], directory)
        for placement in PLACEMENTS:
            after = times[order, placement]
            what = "records" if "--records" in command else "bricks"
            cells = [before["world"], before["bricks"] + " " + what, order, placement,
                     before["median_ns"], after["median_ns"],
                     f'{float(after["median_ns"]) / float(before["median_ns"]):.2f}']
            for level in (0, 1):
                cells.append(f'{misses[placement][level] / misses["insertion"][level]:.2f}'
                             if misses else "-")
            yield cells


def main():
    args = arguments()
    if not args.no_misses and not shutil.which("valgrind"):
        print("walk.py: no valgrind: without simulated misses", file=sys.stderr)
        args.no_misses = True
    head = ("world", "blocks", "visits", "placement", "insertion ns", "ns a block", "time", "D1",
            "LL")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    with tempfile.TemporaryDirectory() as directory:
        commands = [[args.program, "--side", str(args.side)]]
        world = None if args.no_world else real_world(directory)
        if world:
            commands.append([args.program, *world])
        commands.append([args.program, "--side", str(args.side * 5 // 2), "--records"])
        for command in commands:
            for cells in table_of(command + (["--huge"] if args.huge else []), args, directory):
                print("| " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
