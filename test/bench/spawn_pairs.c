/* SPDX-License-Identifier: MIT */
/*
 * lode-spawn-pairs: spawns a command many times, in turns with and without preloaded libraries, and
 * prints a CSV row for each: round,column,us,maxrss_kb. Column 0 is without a library, column N
 * with the Nth. startup.py makes medians of it.
 *
 * A program of its own, linked statically, for two reasons. The kernel carries the peak RSS of the
 * spawning process over into the ru_maxrss of the spawned one, so the spawner must be smaller than
 * the smallest command measured. And a loader or interpreter between two clock readings would be
 * noise larger than what is looked for.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LIBRARIES = 16 };

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void spawn_once(long round, int column, char **command, char **environment, int print)
{
    struct rusage usage;
    double begin, end;
    pid_t child;
    int status;

    begin = now_us();
    if (posix_spawn(&child, command[0], NULL, NULL, command, environment))
        die(command[0]);
    if (wait4(child, &status, 0, &usage) != child)
        die("wait4");
    end = now_us();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "lode-spawn-pairs: %s ended with wait status %d\n", command[0], status);
        exit(1);
    }
    if (print)
        printf("%ld,%d,%.1f,%ld\n", round, column, end - begin, usage.ru_maxrss);
}

int main(int argc, char **argv)
{
    char preload[MAX_LIBRARIES + 1][4096];
    char path[] = "PATH=/usr/bin:/bin";
    char *plain[] = {path, NULL};
    int libraries = 0, command;
    long rounds;

    for (command = 2; command < argc && strcmp(argv[command], "--") != 0; command++)
        libraries++;
    if (argc < 4 || command + 1 >= argc || libraries > MAX_LIBRARIES) {
        fprintf(stderr, "usage: lode-spawn-pairs ROUNDS [LIBRARY...] -- COMMAND [ARGUMENT...]\n");
        return 2;
    }
    rounds = strtol(argv[1], NULL, 10);
    for (int n = 1; n <= libraries; n++)
        if (snprintf(preload[n], sizeof(preload[n]), "LD_PRELOAD=%s", argv[1 + n]) >=
            (int)sizeof(preload[n]))
            die("library path");

    printf("round,column,us,maxrss_kb\n");
    /* Round 0 warms the page cache and is not printed; the order turns by one each round. */
    for (long round = 0; round <= rounds; round++)
        for (int turn = 0; turn <= libraries; turn++) {
            int column = (int)((turn + round) % (libraries + 1));
            char *loaded[] = {path, preload[column], NULL};

            spawn_once(round, column, argv + command + 1, column ? loaded : plain, round > 0);
        }
    return 0;
}
