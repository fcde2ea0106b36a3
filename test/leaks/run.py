#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Leak reports of programs with planted leaks, and of programs without any. TAP on stdout.

What must be reported stands in the sources of the programs: a comment `planted: FUNCTION BYTES` on
the line of the allocating call. BYTES is the sum over all blocks of that call's stack.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile


class Skip(Exception):
    """A check that cannot run here."""


class Fail(Exception):
    """A check that found something wrong."""


SUMMARY = re.compile(r"^lode: leaks: (\d+) bytes? in (\d+) blocks?, (\d+) stacks? "
                     r"\(suppressed: \d+ bytes? in \d+ blocks?\)$", re.M)


class Bench:
    """Where things are, and how a program is run."""

    def __init__(self, args, stage):
        # As installed: liblode.so finds liblode-trace.so in its own folder. The name `lib` serves
        # the build tree's RUNPATH, $ORIGIN/../lib, as well as $ORIGIN.
        folder = os.path.join(stage, "lib")
        os.mkdir(folder)
        for path in (args.lib, *args.beside):
            os.symlink(path, os.path.join(folder, os.path.basename(path)))
        self.lib = os.path.join(folder, os.path.basename(args.lib))
        self.lode = args.lode
        self.bin = args.bin
        self.source = os.path.dirname(os.path.abspath(__file__))

    def path(self, name):
        return os.path.join(self.bin, name)

    def run(self, words, options="leaks=exact", timeout=60):
        env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "LODE_OPTIONS")}
        env["LD_PRELOAD"] = self.lib
        env["LODE_OPTIONS"] = options
        return subprocess.run(words, env=env, timeout=timeout, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              errors="replace", encoding="utf-8")

    def planted(self):
        return [self.path("leaks-planted"), self.path("leaks-stays.so"), self.path("leaks-gone.so")]


def expect(condition, message, done=None):
    if not condition:
        if done:
            message += f"\nexit {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-3000:]}"
        raise Fail(message)


def planted_leaks(bench):
    """[(function, bytes or None, file name, line)]"""
    leaks = []
    for name in ("planted.cpp", "plugin.c"):
        with open(os.path.join(bench.source, name), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                found = re.search(r"planted: (\w+)(?: (\w+))?", line)
                if found and found[1] == "PLUGIN_FUNCTION":
                    leaks.append(("plugin_leak_stays", 2001, name, number))
                    leaks.append(("plugin_leak_gone", 2002, name, number))
                elif found:
                    leaks.append((found[1], int(found[2]) if found[2] else None, name, number))
    return leaks


def parse_text(err):
    """[(bytes, [function names])] of a text report."""
    stacks = []
    for line in err.splitlines():
        if found := re.match(r"(\d+) bytes? in \d+ blocks?$", line):
            stacks.append((int(found[1]), []))
        elif found := re.match(r"    #(\d+) 0x[0-9a-f]+ (.*) \(/.*\)$", line):
            expect(stacks and int(found[1]) == len(stacks[-1][1]), f"frame out of place: {line}")
            stacks[-1][1].append(re.sub(r"\+0x[0-9a-f]+$|\(.*", "", found[2]))
    return stacks


def text_report(bench):
    done = bench.run(bench.planted())
    stacks = parse_text(done.stderr)
    left = list(stacks)
    expect(done.returncode == 0, "bad exit status", done)
    for function, size, _, _ in planted_leaks(bench):
        match = [s for s in left if function in s[1][:3] and (size is None or s[0] == size)]
        expect(match, f"{function}, {size} bytes: not reported", done)
        left.remove(match[0])
    # leak_string() has two: the text, planted above, and the string itself.
    left = [s for s in left if s[1][:1] != ["leak_string"]]
    expect(not left, f"reported, but not planted: {left}", done)
    found = SUMMARY.search(done.stderr)
    expect(found and int(found[3]) == len(stacks) and int(found[1]) == sum(s[0] for s in stacks),
           "the summary does not add up", done)
    sizes = [s[0] for s in stacks]
    expect(sizes == sorted(sizes, reverse=True), "not in order of bytes", done)


def file_report(bench):
    with tempfile.TemporaryDirectory(prefix="lode-leaks-") as folder:
        done = bench.run(bench.planted(), f"leaks=exact,leaks_file={folder}/%p.leaks")
        names = os.listdir(folder)
        expect(done.returncode == 0 and done.stderr == "", "bad exit status or noise", done)
        expect(len(names) == 1, f"files: {names}")
        with open(os.path.join(folder, names[0]), encoding="utf-8") as file:
            text = file.read()
    form = (r"lode-leaks 1\npid (\d+)\nexe /.*leaks-planted\n"
            r"(?:module [0-9a-f]+ [0-9a-f]+ [0-9a-f]+ .+\n)+"
            r"suppressed \d+ \d+\ntotal (\d+) (\d+)\n(?:leak \d+ \d+(?: [0-9a-f]+)*\n)+end\n")
    whole = re.fullmatch(form, text)
    expect(whole, "not the format:\n" + text)
    expect(names[0] == whole[1] + ".leaks", "not the process id")
    leaks = [tuple(map(int, m)) for m in re.findall(r"^leak (\d+) (\d+)", text, re.M)]
    expect((sum(m[0] for m in leaks), sum(m[1] for m in leaks)) == (int(whole[2]), int(whole[3])),
           "the total does not add up")
    expect("leaks-gone.so\n" in text, "the unloaded library has no line")


def lines_report(bench):
    if not bench.lode:
        raise Skip("built without the lode program")
    env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "LODE_OPTIONS")}
    words = [bench.lode, "run", "--lib-dir=" + os.path.dirname(bench.lib), "--leaks", "--"]
    done = subprocess.run([*words, *bench.planted()], env=env, timeout=60,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, encoding="utf-8")
    done.stderr = ""
    expect(done.returncode == 0, "bad exit status", done)
    for function, _, name, line in planted_leaks(bench):
        expect(re.search(rf"{function}\b.*\b{re.escape(name)}:{line}\b", done.stdout),
               f"{function}: no frame at {name}:{line}", done)


def expect_none(done):
    found = SUMMARY.search(done.stderr)
    expect(done.returncode == 0, "bad exit status", done)
    expect(found and found.groups() == ("0", "0", "0"), "leaks in a program without any", done)


def clean(bench):
    expect_none(bench.run([bench.path("leaks-clean")]))


def churn(bench, children):
    with tempfile.TemporaryDirectory(prefix="lode-leaks-") as folder:
        done = bench.run([bench.path("leaks-churn"), bench.path("leaks-stays.so"), str(children)],
                         f"leaks=exact,leaks_file={folder}/%p", timeout=300)
        expect(done.returncode == 0 and done.stderr == "", "bad exit status or noise", done)
        totals = []
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                totals += re.findall(r"^total (.*)$", file.read(), re.M)
    expected = ["0 0"] + ["1 777"] * children
    expect(sorted(totals) == expected, f"totals: {sorted(totals)[:5]} … of {len(totals)}")


def forked_without_pid(bench):
    """Two processes, one file name: the child appends its process id."""
    with tempfile.TemporaryDirectory(prefix="lode-leaks-") as folder:
        bench.run([bench.path("leaks-churn"), bench.path("leaks-stays.so"), "1"],
                  f"leaks=exact,leaks_file={folder}/leaks")
        names = sorted(os.listdir(folder))
    expect(len(names) == 2 and names[0] == "leaks" and re.fullmatch(r"leaks\.\d+", names[1]),
           f"files: {names}")


def reload(bench):
    done = bench.run([bench.path("leaks-reload"), bench.path("leaks-small.so"),
                      bench.path("leaks-large.so")])
    if done.returncode == 77:
        raise Skip("the second library was not loaded at the first one's place")
    stacks = parse_text(done.stderr)
    expect(done.returncode == 0 and len(stacks) == 1, "not one leak", done)
    expect(stacks[0][1][:4] == ["leak_below_library", "call_through", "leak_after_reload", "main"],
           "a wrong stack", done)


def ending(bench, how, reported):
    done = bench.run([bench.path("leaks-endings"), how])
    stacks = parse_text(done.stderr)
    if reported:
        expect(done.returncode == 0 and [s[0] for s in stacks] == [555], "not one leak", done)
    else:
        expect(not stacks and not SUMMARY.search(done.stderr), "a report", done)


def unwritable(bench):
    done = bench.run([bench.path("leaks-endings"), "return"],
                     "leaks=exact,leaks_file=/nonexistent/leaks")
    expect("lode: leaks: cannot write '/nonexistent/leaks', the report follows\n" in done.stderr and
           [s[0] for s in parse_text(done.stderr)] == [555], "not said, or no report", done)


def checks(args):
    yield "every planted leak is named, and nothing else", text_report
    yield "the report file has its format and adds up", file_report
    yield "lode run --leaks names file and line", lines_report
    yield "the runtimes' own blocks are not reported; exceptions and backtrace() work", clean
    yield "threads, unloading and forked children", lambda b: churn(b, args.children)
    yield "a forked child does not overwrite its parent's file", forked_without_pid
    yield "a library loaded over another's addresses", reload
    for how in ("return", "exit", "quick_exit", "thread"):
        yield f"a report at the end by {how}", lambda b, how=how: ending(b, how, True)
    for how in ("_exit", "abort"):
        yield f"no report at the end by {how}", lambda b, how=how: ending(b, how, False)
    yield "a report file that cannot be written", unwritable


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lib", required=True, help="liblode.so, absolute")
    parser.add_argument("--beside", action="append", default=[],
                        help="another library of ours, for the same folder; may be repeated")
    parser.add_argument("--bin", required=True, help="folder of the programs")
    parser.add_argument("--lode", help="the lode program")
    parser.add_argument("--children", type=int, default=100, help="forks of the churn program")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lode-leaks-stage-") as stage:
        return run_checks(Bench(args, stage), list(checks(args)))


def run_checks(bench, plan):
    failed = False
    print(f"1..{len(plan)}")
    for number, (name, check) in enumerate(plan, 1):
        try:
            check(bench)
            print(f"ok {number} - {name}")
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}")
        except (Fail, subprocess.TimeoutExpired) as wrong:
            failed = True
            for line in str(wrong).splitlines():
                print("# " + line)
            print(f"not ok {number} - {name}")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
