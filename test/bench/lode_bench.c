/* SPDX-License-Identifier: MIT */
/*
 * lode-bench: runs one allocation pattern in this process and prints one CSV row about it.
 *
 *     pattern,size,ops,ns_per_op,user_s,sys_s,peak_rss_kb,minor_faults
 *
 * One pattern a process, so that the peak RSS belongs to it. A tenth of the operations is run first
 * and discarded: first touches of the machine's memory and the allocator's own start are no part of
 * the figure. Time, user and system seconds and faults cover the timed part only; the peak RSS is
 * that of the whole process, from VmHWM: ru_maxrss would report the RSS of the process that spawned
 * us where that was larger.
 */
#include "lode_bench.h"

#include <argp.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct arguments {
    const char *pattern;
    double scale;
    int list;
};

static const struct {
    const struct bench_pattern *patterns;
    const size_t *count;
} groups[] = {
    {bench_small_patterns, &bench_small_count},
    {bench_large_patterns, &bench_large_count},
    {bench_thread_patterns, &bench_thread_count},
};

void bench_die(const char *what)
{
    fprintf(stderr, "lode-bench: %s\n", what);
    exit(2);
}

static const struct bench_pattern *find_pattern(const char *name)
{
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
        for (size_t i = 0; i < *groups[g].count; i++)
            if (strcmp(groups[g].patterns[i].name, name) == 0)
                return &groups[g].patterns[i];
    return NULL;
}

static void list_patterns(void)
{
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
        for (size_t i = 0; i < *groups[g].count; i++)
            printf("%-20s %s\n", groups[g].patterns[i].name, groups[g].patterns[i].what);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double timeval_s(struct timeval from, struct timeval to)
{
    return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_usec - from.tv_usec) / 1e6;
}

/* Read without stdio, so that the question does not change the answer. */
static long peak_rss_kb(void)
{
    char text[4096];
    const char *field;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    field = strstr(text, "VmHWM:");
    return field ? strtol(field + strlen("VmHWM:"), NULL, 10) : 0;
}

static void measure(const struct bench_pattern *pattern, double scale)
{
    uint64_t ops = (uint64_t)((double)pattern->ops * scale), begin, end;
    struct rusage before, after;
    long rss_kb;

    if (ops == 0)
        ops = 1;
    if (pattern->start)
        pattern->start(pattern);
    pattern->run(pattern, ops / 10 + 1);

    getrusage(RUSAGE_SELF, &before);
    begin = now_ns();
    pattern->run(pattern, ops);
    end = now_ns();
    getrusage(RUSAGE_SELF, &after);
    rss_kb = peak_rss_kb();

    if (pattern->stop)
        pattern->stop(pattern);
    printf("pattern,size,ops,ns_per_op,user_s,sys_s,peak_rss_kb,minor_faults\n");
    printf("%s,%zu,%llu,%.3f,%.6f,%.6f,%ld,%ld\n", pattern->name, pattern->size_bytes,
           (unsigned long long)ops, (double)(end - begin) / (double)ops,
           timeval_s(before.ru_utime, after.ru_utime), timeval_s(before.ru_stime, after.ru_stime),
           rss_kb, after.ru_minflt - before.ru_minflt);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case 's':
        arguments->scale = strtod(arg, NULL);
        if (!(arguments->scale > 0 && arguments->scale <= 1000))
            argp_error(state, "scale must be above 0 and at most 1000");
        return 0;
    case 'l':
        arguments->list = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one pattern a run");
        arguments->pattern = arg;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->pattern && !arguments->list)
            argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"scale", 's', "F", 0, "multiply the fixed number of operations by F", 0},
        {"list", 'l', NULL, 0, "print the patterns", 0},
        {NULL, 0, NULL, 0, NULL, 0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "PATTERN",
        .doc = "Run one allocation pattern under whichever malloc this process has.",
    };
    struct arguments arguments = {NULL, 1.0, 0};
    const struct bench_pattern *pattern;

    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (arguments.list) {
        list_patterns();
        return 0;
    }
    pattern = find_pattern(arguments.pattern);
    if (!pattern) {
        fprintf(stderr, "lode-bench: no pattern '%s', see --list\n", arguments.pattern);
        return 2;
    }
    measure(pattern, arguments.scale);
    return 0;
}
