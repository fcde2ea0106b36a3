/* SPDX-License-Identifier: MIT */
/*
 * The `lode` program: `lode VERB [ARGUMENTS]`. Looks the verb up in LODE_VERB_TABLE and hands it
 * the rest of the command line untouched; `lode VERB --help` is therefore the verb's own.
 */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verbs.h"
#include "xalloc.h"

/* argp looks for it by name: it has to be seen outside this program. */
__attribute__((visibility("default"))) const char *argp_program_version = "lode " LODE_VERSION;

static const struct verb {
    const char *name;
    const char *program; /* what messages are prefixed with */
    const char *help;
    int (*run)(int argc, char **argv);
} verbs[] = {
#define VERB_ROW(name, help) {#name, "lode " #name, help, lodei_verb_##name},
    LODE_VERB_TABLE(VERB_ROW)
#undef VERB_ROW
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

struct choice {
    const struct verb *verb;
    int index; /* of the verb in argv */
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct choice *choice = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        choice->verb = find_verb(arg);
        if (choice->verb == NULL)
            argp_error(state, "unknown verb '%s'", arg);
        choice->index = state->next - 1;
        state->next = state->argc; /* the rest is the verb's */
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which verb?");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* argp takes its documentation as one string: the list of verbs is composed from the table. */
static char *help_filter(int key, const char *text, void *input)
{
    char *list;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    list = lodei_xasprintf("Verbs:\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        char *longer = lodei_xasprintf("%s  %-10s %s\n", list, verbs[i].name, verbs[i].help);

        free(list);
        list = longer;
    }
    return list;
}

/* Runs after every verb and --help: output that did not get where it was meant to is a failure, but
 * a reader who has seen enough is not worth a word. */
static void check_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    if (errno != EPIPE)
        warn("standard output");
    _exit(LODEI_EXIT_BAD_INPUT);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "VERB [ARGUMENTS]",
        .doc = "A drop-in malloc for games: run programs on it, measure it, read its reports."
               "\v`lode VERB --help` tells more.",
        .help_filter = help_filter,
    };
    struct choice choice = {0};

    atexit(check_output);
    argp_err_exit_status = LODEI_EXIT_BAD_INPUT;
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &choice) != 0)
        return LODEI_EXIT_BAD_INPUT;
    argv[choice.index] = (char *)(uintptr_t)choice.verb->program;
    program_invocation_short_name = (char *)(uintptr_t)choice.verb->program;
    return choice.verb->run(argc - choice.index, argv + choice.index);
}
