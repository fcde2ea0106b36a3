/* SPDX-License-Identifier: MIT */
/*
 * Conformance: the process around the allocator. Signals, fork in its forms, exec, exit handlers,
 * mlockall.
 */
#include "conform_areas.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

extern char **environ;

/* A little of everything. Returns 0 if all blocks held what was written. */
static int exercise(unsigned key)
{
    enum { N = 200 };
    char *p[N];
    int bad = 0;

    for (int i = 0; i < N; i++) {
        size_t n = i % 40 == 0 ? 200000 : (size_t)(i * 41) % 3000 + 1;

        p[i] = i % 3 ? malloc(n) : calloc(1, n);
        if (!p[i])
            return 1;
        conform_fill(p[i], 1, key);
        p[i] = realloc(p[i], n + 100);
        if (!p[i])
            return 1;
        conform_fill(p[i], n + 100, key + (unsigned)i);
    }
    for (int i = 0; i < N; i++) {
        size_t n = i % 40 == 0 ? 200000 : (size_t)(i * 41) % 3000 + 1;

        bad |= !conform_filled(p[i], n + 100, key + (unsigned)i);
        free(p[i]);
    }
    return bad;
}

static volatile int handler_result = -1;

static void handler(int sig)
{
    handler_result = exercise((unsigned)sig);
}

static void on_alternate_stack(void)
{
    /* The main thread is in sigsuspend, not in malloc: calling malloc from the handler is fine. */
    stack_t stack = {.ss_sp = malloc(256 * 1024), .ss_size = 256 * 1024};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

    REQUIRE(stack.ss_sp && sigaltstack(&stack, NULL) == 0, "sigaltstack: %s", strerror(errno));
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 20; i++) {
        handler_result = -1;
        raise(SIGUSR1);
        REQUIRE(handler_result == 0, "malloc in a handler: %d", handler_result);
    }
}

static void *only_in_handler(void *arg)
{
    char *stack_memory = arg;
    stack_t stack = {.ss_sp = stack_memory, .ss_size = 256 * 1024};

    sigaltstack(&stack, NULL);
    pthread_kill(pthread_self(), SIGUSR1);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    return NULL;
}

/* A thread whose very first allocation happens in a signal handler on an alternate stack. */
static void first_malloc_in_handler(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    void *memory =
        mmap(NULL, 256 * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(memory != MAP_FAILED, "mmap: %s", strerror(errno));
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;

        handler_result = -1;
        REQUIRE(pthread_create(&thread, NULL, only_in_handler, memory) == 0, "pthread_create");
        pthread_join(thread, NULL);
        REQUIRE(handler_result == 0, "malloc in a handler: %d", handler_result);
    }
}

static void wait_for(pid_t pid, const char *what)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %x", what, status);
}

static void in_forked_child(void)
{
    void *kept = malloc(5000), *large = malloc(3 * MIB);

    REQUIRE(kept && large, "malloc: NULL");
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();

        REQUIRE(pid >= 0, "fork: %s", strerror(errno));
        if (pid == 0) {
            alarm(10);
            /* The child may free and grow what its parent allocated. */
            free(kept);
            large = realloc(large, 5 * MIB);
            if (!large)
                _exit(2);
            free(large);
            malloc_trim(0);
            _exit(exercise((unsigned)i));
        }
        wait_for(pid, "child of fork");
        REQUIRE(exercise(1) == 0, "the parent lost contents");
    }
    free(kept);
    free(large);
}

static void in_grandchild(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        pid_t inner = fork();
        int status = -1;

        if (inner == 0)
            _exit(exercise(7));
        waitpid(inner, &status, 0);
        _exit(status != 0 || exercise(8));
    }
    wait_for(pid, "grandchild");
}

static void *fork_in_thread(void *arg)
{
    pid_t pid;

    exercise(3);
    pid = fork();
    if (pid == 0) {
        alarm(10);
        _exit(exercise(4));
    }
    wait_for(pid, "child forked by a thread");
    return arg;
}

static void from_thread(void)
{
    for (int i = 0; i < 20; i++) {
        pthread_t thread;

        REQUIRE(pthread_create(&thread, NULL, fork_in_thread, NULL) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
}

int conform_mode_child(void)
{
    return exercise(5);
}

static char *const child_argv[] = {(char *)(uintptr_t) "conform", (char *)(uintptr_t) "--mode",
                                   (char *)(uintptr_t) "child", NULL};

/* On its own, so that no variable of a caller lives across vfork's second return. */
static pid_t vfork_child(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execv("/proc/self/exe", child_argv);
        _exit(127);
    }
    return pid;
}

static void vfork_and_exec(void)
{
    for (int i = 0; i < 20; i++) {
        void *p = malloc(1000);
        pid_t pid = vfork_child();

        wait_for(pid, "vfork and exec");
        free(p);
        REQUIRE(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, child_argv, environ) == 0,
                "posix_spawn");
        wait_for(pid, "posix_spawn");
    }
    REQUIRE(exercise(6) == 0, "contents lost");
}

static void shell_commands(void)
{
    char line[64] = "";
    FILE *pipe_end = popen("echo hello", "r");

    REQUIRE(pipe_end, "popen: %s", strerror(errno));
    CHECK(fgets(line, sizeof line, pipe_end) && strcmp(line, "hello\n") == 0, "popen gave '%s'",
          line);
    CHECK(pclose(pipe_end) == 0, "pclose");
    CHECK(system("exit 3") == 3 << 8, "system");
}

static char *from_main;

static void at_exit_first(void)
{
    if (exercise(9) || !conform_filled(from_main, 3000, 2))
        _exit(3);
    free(from_main);
    from_main = malloc(100);
}

static void at_exit_last(void)
{
    free(from_main);
    if (exercise(10))
        _exit(4);
}

static bool in_exit_mode;

/* Runs after the exit handlers, in an order towards the allocator's own destructor that is open. */
__attribute__((destructor)) static void at_unload(void)
{
    if (in_exit_mode && exercise(11))
        _exit(5);
}

int conform_mode_atexit(void)
{
    in_exit_mode = true;
    from_main = malloc(3000);
    conform_fill(from_main, 3000, 2);
    return atexit(at_exit_last) || atexit(at_exit_first);
}

int conform_mode_quick_exit(void)
{
    from_main = malloc(3000);
    conform_fill(from_main, 3000, 2);
    if (at_quick_exit(at_exit_last) || at_quick_exit(at_exit_first))
        return 1;
    quick_exit(0);
}

static void at_exit(void)
{
    int status = conform_exec("atexit");

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "exit handlers: status %x", status);
    status = conform_exec("quick-exit");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "quick_exit: status %x", status);
}

static void locked_memory(void)
{
    size_t before, grew;
    char *p;

    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        conform_skip("mlockall is not permitted");
    before = conform_rss_bytes();
    CHECK(before < 64u * MIB, "mlockall alone makes RSS %zu", before);
    for (int i = 0; i < 1024; i++) {
        p = malloc(1024);
        REQUIRE(p, "malloc: NULL");
        memset(p, 1, 1024);
    }
    p = malloc(MIB);
    REQUIRE(p, "malloc of 1 MiB: NULL");
    grew = conform_rss_bytes() - before;
    CHECK(grew < 64u * MIB, "2 MiB allocated under MCL_FUTURE take %zu", grew);
    CHECK(exercise(12) == 0, "contents lost");
}

const struct conform_test conform_process[] = {
    {"signal/handler on an alternate stack", on_alternate_stack, 0},
    {"signal/first malloc of a thread in a handler", first_malloc_in_handler, 0},
    {"fork/child allocates and frees", in_forked_child, 60},
    {"fork/grandchild", in_grandchild, 0},
    {"fork/by a thread", from_thread, 0},
    {"fork/vfork and posix_spawn", vfork_and_exec, 0},
    {"fork/popen and system", shell_commands, 0},
    {"exit/handlers and destructors allocate", at_exit, 0},
    {"mlockall/RSS stays sane", locked_memory, 0},
    {NULL, NULL, 0},
};
