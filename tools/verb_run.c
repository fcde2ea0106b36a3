/* SPDX-License-Identifier: MIT */
/*
 * `lode run [OPTION...] -- COMMAND [ARG...]`: runs a command with our library preloaded and returns
 * its exit status. With --summary or --leaks the library writes its figures to files in a private
 * directory, which are read and printed when the command has ended.
 */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "childenv.h"
#include "elfprobe.h"
#include "launch.h"
#include "libfind.h"
#include "optiontable.h"
#include "reportdir.h"
#include "summary.h"
#include "units.h"
#include "verbs.h"
#include "xalloc.h"

enum { OPTION_LIB_DIR = 256, OPTION_HEAP, OPTION_LEAKS, OPTION_SUMMARY, OPTION_FRAMES, OPTION_TOP };

struct run {
    char **command;
    const char *lib_dir, *heap;
    char *options; /* what the command line adds to LODE_OPTIONS */
    int leaks, summary;
    uint64_t top;
    char *dir; /* of our own reports; NULL: none needed */
};

static void add_option(struct run *run, const char *assignment, struct argp_state *state)
{
    char *fault = lodei_options_take(&run->options, assignment);

    if (fault != NULL)
        argp_error(state, "%s", fault);
    free(fault);
}

static void add_value(struct run *run, const char *key, const char *value, struct argp_state *state)
{
    char *assignment = lodei_xasprintf("%s=%s", key, value);

    add_option(run, assignment, state);
    free(assignment);
}

static error_t parse_reports(int key, char *arg, struct argp_state *state)
{
    struct run *run = state->input;

    switch (key) {
    case OPTION_LEAKS:
        arg = arg != NULL ? arg : (char *)(uintptr_t) "exact";
        add_value(run, "leaks", arg, state);
        run->leaks = strcmp(arg, "off") != 0;
        run->summary = 1;
        return 0;
    case OPTION_SUMMARY:
        run->summary = 1;
        return 0;
    case OPTION_FRAMES:
        add_value(run, "leaks_frames", arg, state);
        return 0;
    case OPTION_TOP:
        add_value(run, "leaks_top", arg, state);
        lodei_units_parse(arg, 1, UINT64_MAX, &run->top);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct run *run = state->input;

    switch (key) {
    case 'o':
        add_option(run, arg, state);
        return 0;
    case OPTION_LIB_DIR:
        run->lib_dir = arg;
        return 0;
    case OPTION_HEAP:
        if (strcmp(arg, "native") != 0 && strcmp(arg, "mimalloc") != 0)
            argp_error(state, "--heap: bad value '%s', allowed: native|mimalloc", arg);
        run->heap = arg;
        return 0;
    case ARGP_KEY_ARG:
        run->command = state->argv + state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which command?");
        return EINVAL;
    default:
        return parse_reports(key, arg, state);
    }
}

static const struct argp_option options[] = {
    {"option", 'o', "KEY=VALUE", 0, "set an option of the library; may be repeated", 1},
    {"heap", OPTION_HEAP, "HEAP", 0, "native or mimalloc (default: as installed)", 1},
    {"lib-dir", OPTION_LIB_DIR, "DIR", 0, "where the libraries are", 1},
    {"summary", OPTION_SUMMARY, NULL, 0, "print time, memory and heap figures at the end", 2},
    {"leaks", OPTION_LEAKS, "exact", OPTION_ARG_OPTIONAL,
     "report what is still live at the end, by call stack; implies --summary", 2},
    {"frames", OPTION_FRAMES, "N", 0, "keep N call stack frames per block", 2},
    {"top", OPTION_TOP, "N", 0, "print the N largest stacks (default: 20)", 2},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[--] COMMAND [ARG...]",
    .doc = "Run COMMAND on Lode's heap and return its exit status.",
};

/* The value that `key` has for the command, from wherever it was set; NULL for none. */
static char *given_value(const struct run *run, const char *key)
{
    char *value = lodei_options_lookup(run->options, key);

    return value != NULL ? value : lodei_options_lookup(getenv("LODE_OPTIONS"), key);
}

/* Have the library write what `key` names into our directory, unless the user said where. */
static void ask_for_report(struct run *run, const char *key, const char *name)
{
    char *given = given_value(run, key), *path;

    if (given == NULL || given[0] == '\0') {
        path = lodei_xasprintf("%s/%s.%%p", run->dir, name);
        run->options = lodei_options_append(run->options, key, path);
        free(path);
    }
    free(given);
}

static size_t list_reports(const struct run *run, const char *key, const char *name, pid_t pid,
                           struct lodei_report_path **ret_paths)
{
    char *value = given_value(run, key);
    size_t count;

    if (strncmp(value, run->dir, strlen(run->dir)) == 0)
        count = lodei_reportdir_list(run->dir, name, pid, ret_paths);
    else
        count = lodei_reportdir_single(value, pid, ret_paths);
    free(value);
    return count;
}

static void print_reports(const struct run *run, const struct lodei_outcome *outcome)
{
    struct lodei_terminal terminal;
    struct lodei_report_path *paths;
    size_t count;

    fflush(stdout);
    lodei_terminal_init(&terminal, stderr);
    lodei_summary_print(&terminal, run->command[0], outcome);
    count = list_reports(run, "stats_file", "stats", outcome->pid, &paths);
    lodei_summary_heap(&terminal, paths, count, outcome->pid);
    lodei_reportdir_free_list(paths, count);
    if (run->leaks) {
        count = list_reports(run, "leaks_file", "leaks", outcome->pid, &paths);
        lodei_summary_leaks(&terminal, paths, count, outcome->pid, run->top);
        lodei_reportdir_free_list(paths, count);
    }
    lodei_terminal_finish(&terminal);
}

/* The library's path, or NULL after a message. */
static char *find_library(const struct run *run)
{
    char *library = lodei_libfind_ours(run->lib_dir, run->heap);

    if (library == NULL) {
        warnx("no library for --heap=%s %s%s", run->heap != NULL ? run->heap : "(default)",
              run->lib_dir != NULL ? "in " : "beside this program (see --lib-dir)",
              run->lib_dir != NULL ? run->lib_dir : "");
        return NULL;
    }
    if (!lodei_childenv_can_preload(library)) {
        warnx("%s cannot be preloaded: blanks and colons separate names in LD_PRELOAD", library);
        free(library);
        return NULL;
    }
    return library;
}

static int run_command(struct run *run, const char *library)
{
    struct lodei_launch launch = {.argv = run->command, .input_fd = -1, .output_fd = -1};
    struct lodei_outcome outcome;
    char *text = lodei_childenv_options(run->options);
    int fault;

    launch.env = lodei_childenv_create(library, text);
    lodei_elfprobe_warn(run->command);
    lodei_launch_catch_signals();
    fault = lodei_launch_run(&launch, &outcome);
    if (fault != 0)
        warnx("%s: %s", run->command[0], strerror(fault));
    else if (run->summary)
        print_reports(run, &outcome);
    lodei_childenv_destroy(launch.env);
    free(text);
    return outcome.status;
}

int lodei_verb_run(int argc, char **argv)
{
    struct run run = {.top = 20};
    char *library;
    int status = LODEI_EXIT_RUN_FAILED;

    argp_err_exit_status = LODEI_EXIT_RUN_FAILED;
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &run) != 0)
        return LODEI_EXIT_RUN_FAILED;
    library = find_library(&run);
    if (library == NULL)
        return LODEI_EXIT_RUN_FAILED;
    if (run.summary)
        run.dir = lodei_reportdir_create();
    if (run.summary && run.dir == NULL) {
        warn("no directory for the reports");
    } else {
        if (run.summary)
            ask_for_report(&run, "stats_file", "stats");
        if (run.leaks)
            ask_for_report(&run, "leaks_file", "leaks");
        status = run_command(&run, library);
    }
    lodei_reportdir_destroy(run.dir);
    free(run.options);
    free(library);
    return status;
}
