/* SPDX-License-Identifier: MIT */
/* `lode leaks FILE`: prints a leak file of liblode-trace.so with functions and source lines. */
#include <argp.h>
#include <errno.h>
#include <stdint.h>

#include "leakreport.h"
#include "units.h"
#include "verbs.h"

struct request {
    const char *path;
    uint64_t top;
    int json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct request *request = state->input;

    switch (key) {
    case 'j':
        request->json = 1;
        return 0;
    case 't':
        if (lodei_units_parse(arg, 1, SIZE_MAX, &request->top) != 0)
            argp_error(state, "--top: bad number '%s'", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (request->path != NULL)
            argp_error(state, "one file at a time");
        request->path = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which file?");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int lodei_verb_leaks(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", 'j', NULL, 0, "as JSON", 0},
        {"top", 't', "N", 0, "print the N largest stacks (default: all)", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "FILE",
        .doc =
            "Print a leak file, as the option leaks_file=PATH writes it, with function names and "
            "source lines. FILE may be - for standard input.",
    };
    struct request request = {.top = SIZE_MAX};
    struct lodei_leakfile file;

    if (argp_parse(&argp, argc, argv, 0, NULL, &request) != 0)
        return LODEI_EXIT_BAD_INPUT;
    if (lodei_leakfile_read(request.path, &file) != 0)
        return LODEI_EXIT_BAD_INPUT;
    if (request.json) {
        lodei_leakreport_json(&file, request.top, stdout);
    } else {
        struct lodei_terminal terminal;

        lodei_terminal_init(&terminal, stdout);
        lodei_leakreport_print(&file, request.top, &terminal);
        lodei_terminal_finish(&terminal);
    }
    lodei_leakfile_finish(&file);
    return 0;
}
