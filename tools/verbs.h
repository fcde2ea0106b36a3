/* SPDX-License-Identifier: MIT */
/*
 * The verbs of the `lode` program: THE table, from which lode.c dispatches and prints its help.
 * One row per verb, one file verb_NAME.c behind it.
 *
 * A verb is called with argv[0] = "lode NAME" and returns the exit status of the program. Messages
 * go through warnx() and friends, which prefix them with the same "lode NAME: ".
 */
#ifndef LODEI_VERBS_H
#define LODEI_VERBS_H

/*    V(name, what it does) */
#define LODE_VERB_TABLE(V)                                                     \
    V(run, "run a command on Lode's heap, with a report at its end")           \
    V(bench, "run a command in turns under every allocator found and compare") \
    V(leaks, "resolve a leak file to functions and source lines")              \
    V(herd, "run a herd of creatures over pools or over malloc, and measure")  \
    V(mine, "dig in a real world over pools or over malloc, and measure")      \
    V(options, "list the options that LODE_OPTIONS understands")

#define LODE_VERB_DECLARE(name, help) int lodei_verb_##name(int argc, char **argv);
LODE_VERB_TABLE(LODE_VERB_DECLARE)
#undef LODE_VERB_DECLARE

/* What `lode` says when it fails by itself, as opposed to the command it runs. */
enum lodei_exit {
    LODEI_EXIT_BAD_INPUT = 2,    /* bad arguments, an unreadable or bad file */
    LODEI_EXIT_RUN_FAILED = 125, /* `lode run` could not get as far as starting the command */
    LODEI_EXIT_NOT_EXECUTABLE = 126,
    LODEI_EXIT_NOT_FOUND = 127,
};

#endif
