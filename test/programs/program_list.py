# SPDX-License-Identifier: MIT
"""The programs that programs.py runs: what each does, and how its answer is known to be right."""

import os
import re
import time

HERE = os.path.dirname(os.path.abspath(__file__))

REGEX_SOURCE = r"""
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <vector>
int main()
{
    const std::regex word("([a-z]+)([0-9]*)");
    const std::string text = "drill7 brick42 voxel terrain9";
    std::map<std::string, std::vector<std::string>> found;
    for (std::sregex_iterator at(text.begin(), text.end(), word), end; at != end; ++at)
        found[(*at)[1]].push_back((*at)[2]);
    for (const auto &entry : found)
        std::cout << entry.first << '=' << entry.second.at(0) << ';';
    std::cout << '\n';
    return 0;
}
"""

SQL = """
PRAGMA journal_mode = WAL;
CREATE TABLE ore (id INTEGER PRIMARY KEY, name TEXT, depth INTEGER, grade REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    INSERT INTO ore SELECT i, 'vein ' || (i * 7919 % 100003), i % 997, i / 3.0 FROM n;
CREATE INDEX ore_name ON ore (name);
CREATE INDEX ore_depth ON ore (depth, grade);
DELETE FROM ore WHERE id % 3 = 0;
SELECT count(*), sum(depth), count(DISTINCT name) FROM ore;
SELECT group_concat(d) FROM (SELECT DISTINCT depth AS d FROM ore ORDER BY depth LIMIT 5);
VACUUM;
PRAGMA integrity_check;
"""

PERL = r"""
my (%count, $digest, @rows);
for my $i (1 .. 60000) {
    my $key = sprintf "vein-%05d", $i * 7919 % 10007;
    $count{$key} .= chr(97 + $i % 26);
    push @rows, [$i, $key, {length => length $count{$key}}];
}
for my $key (sort keys %count) {
    (my $text = $count{$key}) =~ s/([aeiou])(.?)/uc($1) . ($2 ? "<$2>" : "")/ge;
    $digest = ($digest * 31 + unpack "%32C*", $text) % 1000003;
}
@rows = map { $_->[1] } sort { $a->[1] cmp $b->[1] || $a->[0] <=> $b->[0] } @rows;
printf "%d keys, digest %d, rows %d\n", scalar(keys %count), $digest, scalar @rows;
"""

NODE = r"""
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
function work(seed, rounds) {
    let sum = 0;
    for (let i = 0; i < rounds; i++) {
        const cells = Array.from({ length: 50 }, (_, n) => n * i);
        const value = { seed, name: 'brick'.repeat(i % 7), cells };
        const text = JSON.stringify(JSON.parse(JSON.stringify(value)));
        const bytes = Buffer.alloc(4096 + i % 5000, text);
        sum = (sum + bytes.toString('base64').length + bytes.readUInt8(i % 4096)) % 1000003;
    }
    return sum;
}
const rounds = Number(process.argv[2]);
if (isMainThread) {
    const alone = work(1, rounds);
    let left = 3;
    for (let n = 0; n < 3; n++)
        new Worker(__filename, { argv: [rounds], workerData: 1 }).on('message', (sum) => {
            if (sum !== alone)
                throw new Error(`worker computed ${sum}, main thread ${alone}`);
            if (--left === 0)
                console.log('workers agree');
        });
} else {
    parentPort.postMessage(work(workerData, rounds));
}
"""

DEBUGGED = r"""
#include <stdlib.h>
struct brick { int tier; char name[8]; };
static int dig(struct brick *brick) { return brick->tier + brick->name[0]; }
int main(void)
{
    struct brick *brick = malloc(sizeof *brick);
    brick->tier = 3;
    brick->name[0] = 'd';
    int answer = dig(brick);
    free(brick);
    return answer - 103;
}
"""


def preload(run):
    """No program of note: the library must stand in the map of what it was loaded into."""
    output = run.run([run.need("cat"), "/proc/self/maps"])
    run.expect(output, re.escape(os.path.basename(os.path.realpath(run.lib))), "maps of cat")


def game(script, *arguments):
    return [os.path.join(HERE, "games", script), *arguments]


def minetest(run):
    half, blocks = (64, 648) if run.short else (160, 3528)
    # The script preloads the library into the server alone.
    output = run.run(game("minetest.sh", run.lib, "1", str(half)), preload=False,
                     LODE_GAME_PORT=str(20000 + os.getpid() % 20000))
    run.expect(output, rf"^EMERGE blocks={blocks} ", "minetest-server")


def openttd(run):
    ticks, map_log2 = ("2000", "8") if run.short else ("4000", "9")
    output = run.run(game("openttd.sh", run.lib, ticks, map_log2), preload=False)
    run.expect(output, r"^wall=", "openttd")


def python_tests(run):
    python = run.need("/usr/bin/python3")
    if not run.works([python, "-c", "import test.test_gc, test.test_json"]):
        run.skip("python's own tests are not installed")
    tests = ["test_list", "test_dict", "test_json", "test_threading_local", "test_gc"]
    output = run.run([python, "-m", "test", "-q", *tests], PYTHONMALLOC="malloc")
    run.expect(output, r"SUCCESS", "python -m test")


def compiler(*names):
    def test(run):
        path = run.need(*names)
        run.path("words.cc", REGEX_SOURCE)
        run.run([path, "-std=c++17", "-O0" if run.short else "-O2", "-o", "words", "words.cc"])
        output = run.run([run.path("words")])
        run.expect(output, r"^brick=42;drill=7;terrain=9;voxel=;$", "the compiled program")
    return test


def sqlite(run):
    output = run.run([run.need("sqlite3"), "ore.db"], stdin=SQL)
    run.expect(output, r"^66667\|33130168\|66667$", "sqlite3")
    run.expect(output, r"^0,1,2,3,4$", "sqlite3")
    run.expect(output, r"^ok$", "sqlite3 integrity_check")


def perl(run):
    output = run.run([run.need("perl"), run.path("veins.pl", PERL)])
    run.expect(output, r"^10007 keys, digest 894626, rows 60000$", "perl")


def git(run):
    program = run.need("git")
    identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                for what, value in (("NAME", "A Miner"), ("EMAIL", "miner@example.invalid"))}
    identity["GIT_CONFIG_NOSYSTEM"] = "1"

    def command(*arguments):
        return run.run([program, "-C", repository, *arguments], **identity)

    repository = run.path("mine")
    os.mkdir(repository)
    command("init", "-q")
    for version in (1, 2):
        for n in range(500):
            with open(os.path.join(repository, f"vein-{n:03d}.txt"), "w", encoding="ascii") as out:
                out.write("".join(f"{n} {line * version % 97} ore\n" for line in range(60)))
        command("add", ".")
        command("commit", "-q", "-m", f"survey {version}")
    command("gc", "-q", "--aggressive", "--prune=now")
    command("fsck", "--full", "--strict")
    run.expect(command("log", "--format=%s"), r"^survey 2\nsurvey 1$", "git log")
    run.expect(command("diff", "--stat", "HEAD~1"), r" 500 files changed", "git diff")


def node(run):
    script = run.path("work.js", NODE)
    output = run.run([run.need("node|nodejs"), script, "500" if run.short else "20000"])
    run.expect(output, r"^workers agree$", "node")


def redis(run):
    """redis links jemalloc: our malloc comes first, and it must not notice."""
    server, client = run.need("redis-server", "redis-cli")
    socket = run.path("redis.sock")
    child = run.start([server, "--port", "0", "--unixsocket", socket, "--dir", run.dir,
                       "--save", "", "--enable-debug-command", "local"])

    def ask(*arguments):
        return run.run([client, "-s", socket, *arguments], preload=False).strip()

    while not os.path.exists(socket) and child.poll() is None and time.monotonic() < run.deadline:
        time.sleep(0.02)
    if child.poll() is None:
        keys = 20000 if run.short else 100000
        ask("DEBUG", "POPULATE", str(keys), "vein", "200")
        run.expect(ask("DBSIZE"), rf"^{keys}$", "redis DBSIZE")
        run.expect(ask("MEMORY", "USAGE", "vein:7"), r"^[1-9]\d+$", "redis MEMORY USAGE")
        run.expect(ask("BGSAVE"), r"Background saving started", "redis BGSAVE")
        while "rdb_bgsave_in_progress:1" in ask("INFO", "persistence") and (
                time.monotonic() < run.deadline):
            time.sleep(0.05)
        run.expect(ask("INFO", "persistence"), r"^rdb_last_bgsave_status:ok", "redis BGSAVE")
        run.expect(ask("DEBUG", "RELOAD"), r"^OK$", "redis DEBUG RELOAD")
        run.expect(ask("DBSIZE"), rf"^{keys}$", "redis DBSIZE after reload")
        ask("SHUTDOWN", "NOSAVE")
    run.finish(child, name="redis-server")


def gdb(run):
    program, compiler_path = run.need("gdb", "gcc|clang|cc")
    run.path("dig.c", DEBUGGED)
    run.run([compiler_path, "-g", "-O0", "-o", "dig", "dig.c"], preload=False)
    output = run.run([program, "-nx", "-batch", "-ex", "set confirm off", "-ex", "break dig",
                      "-ex", "run", "-ex", "backtrace", "-ex", "print *brick", "-ex", "continue",
                      run.path("dig")])
    if re.search(r"Could not trace the inferior|ptrace: Operation not permitted", output):
        run.skip("ptrace is not permitted here")
    run.expect(output, r"#1 .* main ", "gdb backtrace")
    run.expect(output, r"tier = 3, name = \"d", "gdb print")
    run.expect(output, r"exited normally", "gdb")


# name, seconds allowed, test
PROGRAMS = [
    ("the library is loaded", 20, preload),
    ("minetest-server generates its world", 150, minetest),
    ("openttd simulates a map", 100, openttd),
    ("python's own tests", 150, python_tests),
    ("g++ compiles <regex>", 100, compiler("g++")),
    ("clang++ compiles <regex>", 100, compiler("clang++")),
    ("sqlite3 fills, indexes and vacuums a table", 60, sqlite),
    ("perl hashes and regular expressions", 60, perl),
    ("git add, commit, gc and fsck", 100, git),
    ("node JSON, Buffer and worker threads", 100, node),
    ("redis-server saves in a forked child and reloads", 100, redis),
    ("gdb runs a program to a breakpoint", 60, gdb),
]
