/* SPDX-License-Identifier: MIT */
/*
 * Run one command to its end and measure it, passing signals on as a shell would.
 */
#ifndef LODEI_LAUNCH_H
#define LODEI_LAUNCH_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

struct lodei_launch {
    char **argv;   /* argv[0] is looked up in PATH */
    char **env;    /* whole environment of the command */
    int input_fd;  /* becomes its stdin; -1: ours */
    int output_fd; /* becomes its stdout and stderr; -1: ours */
};

struct lodei_outcome {
    pid_t pid;
    int status; /* as a shell says it: 128 + n for signal n, 126 and 127 if it did not start */
    int signal; /* that ended it; 0 for none */
    double wall_s, user_s, system_s;
    uint64_t rss_kb; /* peak of it or of the largest of its waited-for children */
    uint64_t faults; /* minor and major */
};

/* Set on SIGINT, SIGQUIT, SIGTERM or SIGHUP since the handlers were installed: the number. */
extern volatile sig_atomic_t lodei_launch_interrupted;

/*
 * From now on SIGTERM and SIGHUP are passed on to the running command, SIGINT and SIGQUIT, which
 * the terminal sends to it too, are only noted. Signals ignored at our start stay ignored, also in
 * the command.
 */
void lodei_launch_catch_signals(void);

/*
 * Run the command. Returns 0 when it has ended, or the errno of what kept it from starting;
 * `ret_outcome` is written in both cases.
 */
int lodei_launch_run(const struct lodei_launch *launch, struct lodei_outcome *ret_outcome);

#endif
