/* SPDX-License-Identifier: MIT */
/*
 * Running and measuring a command; see launch.h.
 *
 * fork() and not vfork() or posix_spawn(): at exec the kernel folds the peak RSS of the old address
 * space into the process's figure. Of a forked child that is the little it touched itself, of a
 * child sharing our memory it would be all of ours, which is more than a small command ever uses.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"
#include "verbs.h"

volatile sig_atomic_t lodei_launch_interrupted;

/* SIGPIPE: whoever reads our output may go before the end, which is no reason to stay unfinished.
 */
static const int caught[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE};

#define CAUGHT_COUNT (sizeof(caught) / sizeof(caught[0]))

/* Set while a command runs; changed only with the caught signals blocked. */
static volatile pid_t running_pid;

static void on_signal(int number)
{
    int saved = errno;

    if (number != SIGPIPE)
        lodei_launch_interrupted = number;
    if (running_pid > 0 && (number == SIGTERM || number == SIGHUP))
        kill(running_pid, number);
    errno = saved;
}

void lodei_launch_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < CAUGHT_COUNT; i++) {
        struct sigaction before;

        if (sigaction(caught[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(caught[i], &action, NULL);
    }
}

static void block_caught(sigset_t *ret_before)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < CAUGHT_COUNT; i++)
        sigaddset(&set, caught[i]);
    sigprocmask(SIG_BLOCK, &set, ret_before);
}

/* Our handlers must not run in the child, whose running_pid is not its own to signal. */
static void uncatch_signals(void)
{
    for (size_t i = 0; i < CAUGHT_COUNT; i++) {
        struct sigaction now;

        if (sigaction(caught[i], NULL, &now) == 0 && now.sa_handler == on_signal)
            signal(caught[i], SIG_DFL);
    }
}

/* The child: becomes the command, or writes its errno to `report_fd` and ends. */
__attribute__((noreturn)) static void become(const struct lodei_launch *launch,
                                             const sigset_t *mask, int report_fd)
{
    int fault;

    uncatch_signals();
    sigprocmask(SIG_SETMASK, mask, NULL);
    if ((launch->input_fd < 0 || dup2(launch->input_fd, STDIN_FILENO) >= 0) &&
        (launch->output_fd < 0 || (dup2(launch->output_fd, STDOUT_FILENO) >= 0 &&
                                   dup2(launch->output_fd, STDERR_FILENO) >= 0)))
        execvpe(launch->argv[0], launch->argv, launch->env);
    fault = errno;
    while (write(report_fd, &fault, sizeof(fault)) < 0 && errno == EINTR)
        ;
    _exit(LODEI_EXIT_NOT_FOUND);
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void fill_outcome(struct lodei_outcome *outcome, int status, const struct rusage *usage,
                         const struct timespec *start, const struct timespec *end)
{
    outcome->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    outcome->status = WIFSIGNALED(status) ? 128 + outcome->signal : WEXITSTATUS(status);
    outcome->wall_s =
        (double)(end->tv_sec - start->tv_sec) + (double)(end->tv_nsec - start->tv_nsec) / 1e9;
    outcome->user_s = seconds_of(usage->ru_utime);
    outcome->system_s = seconds_of(usage->ru_stime);
    outcome->rss_kb = (uint64_t)usage->ru_maxrss;
    outcome->faults = (uint64_t)usage->ru_minflt + (uint64_t)usage->ru_majflt;
}

/* 0 once the other end closed without a word, as exec makes it; else the errno it sent. */
static int read_report(int fd)
{
    int fault = 0;
    ssize_t got;

    do
        got = read(fd, &fault, sizeof(fault));
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(fault) ? fault : 0;
}

int lodei_launch_run(const struct lodei_launch *launch, struct lodei_outcome *ret_outcome)
{
    struct timespec start, end;
    struct rusage usage;
    sigset_t before;
    int report[2], status = 0, fault;
    pid_t pid;

    memset(ret_outcome, 0, sizeof(*ret_outcome));
    ret_outcome->status = LODEI_EXIT_RUN_FAILED;
    if (pipe2(report, O_CLOEXEC) != 0)
        return errno;
    block_caught(&before);
    clock_gettime(CLOCK_MONOTONIC, &start);
    pid = fork();
    fault = errno;
    if (pid == 0)
        become(launch, &before, report[1]);
    running_pid = pid;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return fault;
    }

    fault = read_report(report[0]);
    close(report[0]);
    while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
        ;
    clock_gettime(CLOCK_MONOTONIC, &end);
    block_caught(&before);
    running_pid = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);

    fill_outcome(ret_outcome, status, &usage, &start, &end);
    ret_outcome->pid = pid;
    if (fault != 0)
        ret_outcome->status = fault == ENOENT ? LODEI_EXIT_NOT_FOUND : LODEI_EXIT_NOT_EXECUTABLE;
    return fault;
}
