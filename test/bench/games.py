#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The games of test/programs/games under glibc, lode and mimalloc, interleaved.

    games.py [--build DIR] [-n ROUNDS] [--games REGEX] [--csv FILE]

Medians are compared: peak RSS against the smaller of glibc's and mimalloc's (passes at <= 1.05),
and user + system seconds against glibc's (for minetest the time of its map generation, because its
wall time comes in steps of half a second and its main thread polls). glibc runs twice in each
round; the ratio of the two, A/A, is the noise, and time passes if it is no worse than glibc's
slower half. The exit status says only whether the games ran.
"""

import argparse
import csv
import os
import re
import statistics
import subprocess
import sys

import peers

SCRIPTS = os.path.join(peers.ROOT, "test", "programs", "games")
GAMES = ("minetest", "openttd", "freeciv")
RSS_LIMIT, RUN_SECONDS = 1.05, 300
WARM_KIB = 512 * 1024  # more than any of the games needs


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="build directory, default build/ of the source tree")
    parser.add_argument("--lode", help="liblode.so, default that of --build")
    parser.add_argument("-n", type=int, default=5, metavar="ROUNDS", dest="rounds")
    parser.add_argument("--games", default="", metavar="REGEX", help="only games that match")
    parser.add_argument("--csv", metavar="FILE", help="write every run there")
    args = parser.parse_args()
    args.lode = args.lode or peers.built("interpose/liblode.so", args.build)
    return args


def run_one(game, library):
    """Seconds and KiB: wall, user, sys, time (what is compared), rss_kb. None: not installed."""
    done = subprocess.run([os.path.join(SCRIPTS, game + ".sh"), library], capture_output=True,
                          text=True, timeout=RUN_SECONDS, errors="replace")
    if done.returncode == 77:
        return None
    figures = re.search(r"wall=(\S+) user=(\S+) sys=(\S+) rssKB=(\d+)", done.stdout)
    if done.returncode != 0 or not figures:
        raise RuntimeError(f"{game} under {library or 'glibc'}: exit status {done.returncode}\n"
                           f"{done.stdout}{done.stderr}")
    row = dict(zip(("wall", "user", "sys", "rss_kb"), map(float, figures.groups())))
    emerge = re.search(r"EMERGE blocks=\d+ ms=(\S+)", done.stdout)
    row["time"] = float(emerge.group(1)) / 1000 if emerge else row["user"] + row["sys"]
    return row


def collect(args, columns, games):
    rows, total = [], args.rounds * len(games) * len(columns)
    for number in range(args.rounds):
        for game in list(games):
            for name, library in peers.shuffled(columns, number):
                peers.warm_memory(WARM_KIB)
                figures = run_one(game, library)
                if figures is None:
                    print(f"\n{game} is not installed, left out", file=sys.stderr)
                    games.remove(game)
                    break
                rows.append({"round": number, "game": game, "allocator": name, **figures})
                percent = 100 * len(rows) // total
                peers.progress(f"round {number + 1}/{args.rounds} {percent:3d} % {game} {name}",
                               True)
    peers.progress_end()
    return rows


def report(args, columns, rows):
    names = [name for name, _ in columns]
    table = []
    for game in dict.fromkeys(row["game"] for row in rows):
        def median(field, name, game=game):
            return statistics.median(row[field] for row in rows
                                     if row["game"] == game and row["allocator"] == name)
        pair = sorted((median("time", "glibc"), median("time", "glibc again")))
        floor = min(median("rss_kb", name) for name in ("glibc", "mimalloc") if name in names)
        for name in names:
            time, rss = median("time", name), median("rss_kb", name)
            mark = ""
            if name == "lode":
                misses = (["time"] if time > pair[1] else []) + (
                    ["RSS"] if rss > floor * RSS_LIMIT else [])
                mark = "MISS " + " and ".join(misses) if misses else "pass"
            table.append([game, name, f"{time:.3f}", f"{time / median('time', 'glibc'):.3f}",
                          f"{pair[1] / pair[0]:.3f}", f"{rss:.0f}", f"{rss / floor:.3f}", mark])
    print(f"Medians over {args.rounds} interleaved runs. Seconds: user + system, minetest: map "
          "generation.\n")
    print(peers.markdown(["game", "under", "seconds", "/ glibc", "A/A", "peak KiB",
                          "/ min(glibc, mimalloc)", ""], table))


def main():
    args = arguments()
    columns = [("glibc", ""), ("glibc again", "")]
    if args.lode:
        columns.append(("lode", args.lode))
    else:
        print("games.py: liblode.so is not built, running without it", file=sys.stderr)
    mimalloc = peers.installed_peers().get("mimalloc")
    if mimalloc:
        columns.append(("mimalloc", mimalloc))
    games = [game for game in GAMES if re.search(args.games, game)]
    rows = collect(args, columns, games)
    if not rows:
        sys.exit("games.py: no game to run")
    report(args, columns, rows)
    if args.csv:
        with open(args.csv, "w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
