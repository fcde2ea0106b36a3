#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What preloading a library adds to the start of `true`: microseconds and resident KiB.

    startup.py [--build DIR] [-n SPAWNS] [LIB.so...]

lode-spawn-pairs spawns `true` SPAWNS times bare and under each library, in turns. The time is the
median of the paired differences (each spawn against the bare one of its round); RSS is the
difference of the medians. An empty difference column, `true` against itself, is the noise. Without
LIB.so: liblode.so and liblode-mimalloc.so of the build directory and the peers found.
"""

import argparse
import csv
import io
import os
import shutil
import statistics
import subprocess
import sys

import peers


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="build directory, default build/ of the source tree")
    parser.add_argument("--spawner", help="the lode-spawn-pairs program, default that of --build")
    parser.add_argument("-n", type=int, default=300, metavar="SPAWNS", dest="spawns")
    parser.add_argument("--csv", metavar="FILE", help="write every spawn there")
    parser.add_argument("libraries", nargs="*", metavar="LIB.so")
    args = parser.parse_args()
    args.spawner = args.spawner or peers.built("test/bench/lode-spawn-pairs", args.build)
    if not args.spawner:
        parser.error("lode-spawn-pairs is not built; give --build or --spawner")
    if not args.libraries:
        ours = [peers.built("interpose/liblode.so", args.build),
                peers.built("interpose/liblode-mimalloc.so", args.build)]
        args.libraries = [lib for lib in ours if lib] + list(peers.installed_peers().values())
    args.libraries = [os.path.abspath(lib) for lib in args.libraries]
    return args


def main():
    args = arguments()
    # The first "library" is empty: LD_PRELOAD= loads nothing, so it shows the noise.
    command = [args.spawner, str(args.spawns), "", *args.libraries, "--", shutil.which("true")]
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    if args.csv:
        with open(args.csv, "w", encoding="utf-8") as out:
            out.write(text)
    us, rss = {}, {}
    for row in csv.DictReader(io.StringIO(text)):
        us.setdefault(int(row["column"]), []).append(float(row["us"]))
        rss.setdefault(int(row["column"]), []).append(int(row["maxrss_kb"]))

    table = [["true alone", f"{statistics.median(us[0]):.0f} us", "",
              f"{statistics.median(rss[0]):.0f} KiB", ""]]
    for column, library in enumerate([""] + args.libraries, 1):
        added = [here - bare for here, bare in zip(us[column], us[0])]
        quarter = statistics.quantiles(added, n=4)
        table.append([os.path.basename(library) or "true again (noise)",
                      f"{statistics.median(added):+.0f} us",
                      f"{quarter[0]:+.0f} .. {quarter[2]:+.0f}",
                      f"{statistics.median(rss[column]) - statistics.median(rss[0]):+.0f} KiB",
                      f"{max(rss[column]) - max(rss[0]):+d}"])
    print(f"Start-up of `true`, {args.spawns} spawns each, in turns.\n")
    print(peers.markdown(["", "time added", "quartiles", "peak RSS added", "of maxima"], table))


if __name__ == "__main__":
    sys.exit(main())
