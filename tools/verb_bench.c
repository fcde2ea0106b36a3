/* SPDX-License-Identifier: MIT */
/*
 * `lode bench [OPTION...] -- COMMAND [ARG...]`: runs a command in turns under every allocator.
 *
 * Rounds: in each one every allocator runs once, in an order shuffled anew with a fixed seed, so
 * that drift of the machine and the neighbour a run had before it fall on all alike, and the same
 * command line gives the same order. The first round warms caches up and is thrown away.
 */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <regex.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_report.h"
#include "bench_rows.h"
#include "elfprobe.h"
#include "optiontable.h"
#include "units.h"
#include "verbs.h"
#include "xalloc.h"

enum { OPTION_CSV = 256, OPTION_PEER, OPTION_ONLY, OPTION_METRIC, OPTION_HIGHER, OPTION_LIB_DIR };
enum { DEFAULT_ROUNDS = 15, MAX_ROUNDS = 100000 };

struct request {
    char **command;
    uint64_t rounds;
    const char *csv_path;
    struct lodei_bench_choice choice;
    char *options;
    regex_t metric;
    int with_metric, higher_is_better, verbose;
};

/* What stays the same from run to run. */
struct session {
    const struct request *request;
    struct lodei_bench bench;
    struct lodei_terminal progress;
    FILE *csv;
    int null_fd;
    uint64_t random; /* state of the shuffle */
};

static void set_metric(struct request *request, const char *pattern, struct argp_state *state)
{
    char text[256];
    int fault;

    if (request->with_metric)
        regfree(&request->metric);
    fault = regcomp(&request->metric, pattern, REG_EXTENDED | REG_NEWLINE);
    if (fault != 0) {
        regerror(fault, &request->metric, text, sizeof(text));
        argp_error(state, "--metric: bad regular expression '%s': %s", pattern, text);
    } else if (request->metric.re_nsub < 1) {
        argp_error(state, "--metric: '%s' has no group (...) around the number", pattern);
    }
    request->with_metric = 1;
}

static void add_option(struct request *request, const char *assignment, struct argp_state *state)
{
    char *fault = lodei_options_take(&request->options, assignment);

    if (fault != NULL)
        argp_error(state, "%s", fault);
    free(fault);
}

static void add_peer(struct lodei_bench_choice *choice, char *peer)
{
    choice->peers =
        lodei_xreallocarray(choice->peers, choice->peer_count + 1, sizeof(*choice->peers));
    choice->peers[choice->peer_count++] = peer;
}

static error_t parse_what(int key, char *arg, struct argp_state *state)
{
    struct request *request = state->input;

    switch (key) {
    case OPTION_PEER:
        add_peer(&request->choice, arg);
        return 0;
    case OPTION_ONLY:
        request->choice.only = arg;
        return 0;
    case OPTION_LIB_DIR:
        request->choice.lib_dir = arg;
        return 0;
    case 'o':
        add_option(request, arg, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct request *request = state->input;

    switch (key) {
    case 'n':
        if (lodei_units_parse(arg, 1, MAX_ROUNDS, &request->rounds) != 0)
            argp_error(state, "--runs: bad number '%s', allowed: 1-%d", arg, MAX_ROUNDS);
        return 0;
    case OPTION_CSV:
        request->csv_path = arg;
        return 0;
    case OPTION_METRIC:
        set_metric(request, arg, state);
        return 0;
    case OPTION_HIGHER:
        request->higher_is_better = 1;
        return 0;
    case 'v':
        request->verbose = 1;
        return 0;
    case ARGP_KEY_ARG:
        request->command = state->argv + state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which command?");
        return EINVAL;
    default:
        return parse_what(key, arg, state);
    }
}

static const struct argp_option options[] = {
    {"runs", 'n', "N", 0, "runs of each allocator (default: 15)", 1},
    {"csv", OPTION_CSV, "FILE", 0, "write every single run there", 1},
    {"metric", OPTION_METRIC, "REGEX", 0,
     "also compare a number that the command prints: group 1 of the last match", 1},
    {"higher-is-better", OPTION_HIGHER, NULL, 0, "the best metric is the largest", 1},
    {"verbose", 'v', NULL, 0, "show the command's output", 1},
    {"peer", OPTION_PEER, "NAME=LIB.so", 0, "compare with this library too; may be repeated", 2},
    {"only", OPTION_ONLY, "NAME,NAME", 0, "only these allocators", 2},
    {"lib-dir", OPTION_LIB_DIR, "DIR", 0, "where our libraries are", 2},
    {"option", 'o', "KEY=VALUE", 0, "set an option of our library; may be repeated", 2},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[--] COMMAND [ARG...]",
    .doc =
        "Run COMMAND in turns under glibc's malloc, Lode's heaps and every other allocator found, "
        "and print medians and their ratios to the best.",
};

/* The last number that the metric matches in the output captured in `fd`; NaN without one. */
static double read_metric(const struct request *request, int fd)
{
    double metric = NAN;
    char *line = NULL;
    size_t room = 0;
    int copy = dup(fd);
    FILE *in = copy >= 0 ? fdopen(copy, "r") : NULL;

    if (in == NULL)
        err(LODEI_EXIT_BAD_INPUT, "captured output");
    rewind(in);
    while (getline(&line, &room, in) > 0) {
        regmatch_t match[2];
        char *end;

        for (char *at = line;
             regexec(&request->metric, at, 2, match, at > line ? REG_NOTBOL : 0) == 0;
             at += match[0].rm_eo > 0 ? match[0].rm_eo : 1) {
            if (match[1].rm_so >= 0) {
                double value = strtod(at + match[1].rm_so, &end);

                metric = end > at + match[1].rm_so ? value : metric;
            }
            if (at[match[0].rm_eo] == '\0')
                break;
        }
    }
    free(line);
    fclose(in);
    return metric;
}

/* What the command printed, for --verbose together with --metric. */
static void show_output(int fd)
{
    char text[4096];
    off_t at = 0;
    ssize_t length;

    while ((length = pread(fd, text, sizeof(text), at)) > 0) {
        fwrite(text, 1, (size_t)length, stderr);
        at += length;
    }
}

/* Run one row once. Returns 0, or the errno of what kept the command from starting. */
static int measure(struct session *session, const struct lodei_bench_row *row,
                   struct lodei_bench_run *ret_run)
{
    const struct request *request = session->request;
    struct lodei_launch launch = {.argv = request->command, .env = row->env};
    int fault;

    launch.input_fd = session->null_fd;
    launch.output_fd = request->verbose ? -1 : session->null_fd;
    if (request->with_metric)
        launch.output_fd = memfd_create("lode-bench-output", MFD_CLOEXEC);
    if (request->with_metric && launch.output_fd < 0)
        return errno;
    fault = lodei_launch_run(&launch, &ret_run->outcome);
    ret_run->metric = NAN;
    if (request->with_metric) {
        ret_run->metric = read_metric(request, launch.output_fd);
        if (request->verbose)
            show_output(launch.output_fd);
        close(launch.output_fd);
    }
    return fault;
}

/* xorshift64; the state is never 0. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void shuffle(uint64_t *random, size_t *order, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = next_random(random) % i, last = order[i - 1];

        order[i - 1] = order[other];
        order[other] = last;
    }
}

/* Keep a run, in the row and in the CSV file. */
static void keep(struct session *session, struct lodei_bench_row *row,
                 const struct lodei_bench_run *run)
{
    row->runs[row->run_count++] = *run;
    if (session->csv != NULL)
        lodei_bench_csv_line(session->csv, row->name, row->run_count, run);
}

/* One round; `round` 0 warms up. Returns 0, or -1 when the command cannot be started or a signal
 * said to stop: what was measured in part is dropped. */
static int run_round(struct session *session, uint64_t round, size_t *order)
{
    struct lodei_bench *bench = &session->bench;
    const struct request *request = session->request;

    shuffle(&session->random, order, bench->row_count);
    for (size_t i = 0; i < bench->row_count; i++) {
        struct lodei_bench_row *row = &bench->rows[order[i]];
        struct lodei_bench_run run;
        int fault;

        if (round == 0)
            lodei_terminal_progress(&session->progress, "warm-up, %zu of %zu: %s", i + 1,
                                    bench->row_count, row->name);
        else
            lodei_terminal_progress(&session->progress, "round %llu of %llu, %zu of %zu: %s",
                                    (unsigned long long)round, (unsigned long long)request->rounds,
                                    i + 1, bench->row_count, row->name);
        fault = measure(session, row, &run);
        if (fault != 0) {
            lodei_terminal_progress_end(&session->progress);
            warnx("%s: %s", request->command[0], strerror(fault));
            return -1;
        }
        if (lodei_launch_interrupted)
            return -1;
        if (round > 0)
            keep(session, row, &run);
    }
    return 0;
}

static void print_result(struct session *session)
{
    struct lodei_terminal terminal;

    lodei_terminal_progress_end(&session->progress);
    for (size_t r = 0; r < session->bench.row_count; r++) {
        if (session->bench.rows[r].run_count == 0)
            continue;
        lodei_terminal_init(&terminal, stdout);
        lodei_bench_print(&session->bench, &terminal);
        lodei_terminal_finish(&terminal);
        return;
    }
    warnx("nothing was measured");
}

static int run_rounds(struct session *session)
{
    struct lodei_bench *bench = &session->bench;
    size_t *order = lodei_xcalloc(bench->row_count, sizeof(*order));
    uint64_t round = 0;

    for (size_t r = 0; r < bench->row_count; r++) {
        order[r] = r;
        bench->rows[r].runs = lodei_xcalloc(session->request->rounds, sizeof(*bench->rows[r].runs));
    }
    lodei_launch_catch_signals();
    while (round <= session->request->rounds && run_round(session, round, order) == 0)
        round++;
    free(order);
    print_result(session);
    if (lodei_launch_interrupted)
        return 128 + lodei_launch_interrupted;
    return round > session->request->rounds ? 0 : LODEI_EXIT_BAD_INPUT;
}

static int run_session(struct request *request)
{
    struct session session = {.request = request, .null_fd = -1, .random = 0x10de};
    int status = LODEI_EXIT_BAD_INPUT;

    session.bench.with_metric = request->with_metric;
    session.bench.higher_is_better = request->higher_is_better;
    request->choice.options = request->options;
    lodei_terminal_init(&session.progress, stderr);
    if (lodei_bench_rows_create(&session.bench, &request->choice) != 0)
        goto out;
    session.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (request->csv_path != NULL) {
        session.csv = fopen(request->csv_path, "we");
        if (session.csv == NULL) {
            warn("%s", request->csv_path);
            goto out;
        }
        lodei_bench_csv_header(session.csv);
    }
    lodei_elfprobe_warn(request->command);
    status = run_rounds(&session);
    if (session.csv != NULL && ferror(session.csv)) {
        warnx("%s: could not be written", request->csv_path);
        status = LODEI_EXIT_BAD_INPUT;
    }
out:
    if (session.csv != NULL)
        fclose(session.csv);
    if (session.null_fd >= 0)
        close(session.null_fd);
    lodei_bench_rows_destroy(&session.bench);
    lodei_terminal_finish(&session.progress);
    return status;
}

int lodei_verb_bench(int argc, char **argv)
{
    struct request request = {.rounds = DEFAULT_ROUNDS};
    int status = LODEI_EXIT_BAD_INPUT;

    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &request) == 0)
        status = run_session(&request);
    if (request.with_metric)
        regfree(&request.metric);
    free(request.choice.peers);
    free(request.options);
    return status;
}
