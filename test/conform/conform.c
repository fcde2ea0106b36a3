/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite's runner: arguments, one forked child a test, TAP on stdout, and the
 * helpers that the tests share (see conform.h). It calls malloc only through libc's own stdio.
 *
 *   conform [--known ALLOCATOR] [--only TEXT] [--list]
 */
#include "conform.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_SKIP = 77, SECONDS_DEFAULT = 20, MESSAGES_MAX = 16 };

struct conform_names conform_names;
bool conform_expect_all;
size_t conform_sizes[CONFORM_SIZES_MAX];
unsigned conform_size_count;

static int report_fd = STDERR_FILENO;
static unsigned failures;

void conform_fail(const char *file, int line, const char *fmt, ...)
{
    char text[512];
    const char *base = strrchr(file, '/');
    int n = snprintf(text, sizeof text, "%s:%d: ", base ? base + 1 : file, line);
    va_list ap;

    if (++failures > MESSAGES_MAX)
        return;
    va_start(ap, fmt);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (n > (int)sizeof text - 2)
        n = (int)sizeof text - 2;
    text[n++] = '\n';
    if (write(report_fd, text, (size_t)n) < 0)
        _exit(1);
}

void conform_end(void)
{
    _exit(failures ? 1 : 0);
}

void conform_skip(const char *why)
{
    if (write(report_fd, why, strlen(why)) < 0)
        _exit(1);
    _exit(failures ? 1 : EXIT_SKIP);
}

void conform_find(const char *name, void *ret_fn)
{
    void *sym = dlsym(RTLD_DEFAULT, name);

    memcpy(ret_fn, &sym, sizeof sym);
}

bool conform_is_glibc(void)
{
    Dl_info of_malloc, of_libc;
    void *sym = dlsym(RTLD_DEFAULT, "malloc");
    void *libc = dlsym(RTLD_DEFAULT, "gnu_get_libc_version");

    return dladdr(sym, &of_malloc) && dladdr(libc, &of_libc) &&
           of_malloc.dli_fbase == of_libc.dli_fbase;
}

const char *conform_folder(void)
{
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    char *slash;

    path[n > 0 ? n : 0] = 0;
    slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    return path;
}

int conform_exec(const char *mode)
{
    int status = -1;
    pid_t pid = fork();

    REQUIRE(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        execl("/proc/self/exe", "conform", "--mode", mode, (char *)NULL);
        _exit(126);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* A field of /proc/self/status in bytes. No stdio: these are read between allocations. */
static size_t status_bytes(const char *field)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    const char *at;

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    at = strstr(text, field);
    return at ? strtoul(at + strlen(field), NULL, 10) * 1024 : 0;
}

size_t conform_rss_bytes(void)
{
    return status_bytes("VmRSS:");
}

size_t conform_vm_bytes(void)
{
    return status_bytes("VmSize:");
}

size_t conform_data_bytes(void)
{
    return status_bytes("VmData:");
}

static void sizes_init(void)
{
    size_t base, step;
    unsigned n = 0;

    for (base = 1; base <= 128; base++)
        conform_sizes[n++] = base;
    for (base = 128; base < (8u << 20); base *= 2) {
        for (step = 8; step < 16; step++) {
            conform_sizes[n++] = base * step / 8 - 1;
            conform_sizes[n++] = base * step / 8;
            conform_sizes[n++] = base * step / 8 + 1;
        }
    }
    conform_size_count = n;
}

/* Position and key give the byte; 251 is prime, so shifted copies of a block never look right. */
static unsigned char byte_at(size_t i, unsigned key)
{
    return (unsigned char)((i % 251) ^ (i >> 12) ^ (key * 37u));
}

void conform_fill(void *p, size_t bytes, unsigned key)
{
    unsigned char *b = p;

    for (size_t i = 0; i < bytes; i++)
        b[i] = byte_at(i, key);
}

bool conform_filled(const void *p, size_t bytes, unsigned key)
{
    const unsigned char *b = p;

    for (size_t i = 0; i < bytes; i++)
        if (b[i] != byte_at(i, key))
            return false;
    return true;
}

bool conform_all(const void *p, int value, size_t bytes)
{
    const unsigned char *b = p;

    return bytes == 0 || (b[0] == value && memcmp(b, b + 1, bytes - 1) == 0);
}

static void names_init(void)
{
    const char *all = getenv("LODE_EXPECT_ALL");

    conform_expect_all = all && strcmp(all, "1") == 0;
    conform_find("free_sized", &conform_names.free_sized);
    conform_find("free_aligned_sized", &conform_names.free_aligned_sized);
    conform_find("reallocf", &conform_names.reallocf);
    conform_find("cfree", &conform_names.cfree);
    conform_find("malloc_good_size", &conform_names.malloc_good_size);
    conform_find("mallinfo2", &conform_names.mallinfo2);
}

/* Run one test in a child. Its diagnostics end up in `report`. Returns the wait status. */
static int run_test(const struct conform_test *test, char *report, size_t cap)
{
    int ends[2], status = -1;
    ssize_t n;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        abort();
    pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        report_fd = ends[1];
        dup2(STDERR_FILENO, STDOUT_FILENO);
        alarm(test->seconds ? test->seconds : SECONDS_DEFAULT);
        test->run();
        conform_end();
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    /* Grandchildren that a failed test left behind would hold on to the terminal and the machine.
     */
    kill(-pid, SIGKILL);
    close(ends[1]);
    n = read(ends[0], report, cap - 1);
    report[n > 0 ? n : 0] = 0;
    close(ends[0]);
    return status;
}

static const char *known_miss(const char *allocator, const char *test)
{
    const struct conform_known *k;

    for (k = conform_knowns; allocator && k->test; k++)
        if (strcmp(k->allocator, allocator) == 0 && strcmp(k->test, test) == 0)
            return k->why;
    return NULL;
}

static void print_report(const char *report)
{
    char line[600];

    while (*report) {
        size_t n = strcspn(report, "\n");

        snprintf(line, sizeof line, "# %.*s\n", (int)n, report);
        fputs(line, stdout);
        report += n + (report[n] == '\n');
    }
}

/* Print the TAP line of one finished test. Returns 1 if it counts as a failure. */
static int judge(unsigned number, const struct conform_test *test, int status, const char *report,
                 const char *known)
{
    bool exited = WIFEXITED(status);

    if (exited && WEXITSTATUS(status) == EXIT_SKIP) {
        printf("ok %u - %s # SKIP %s\n", number, test->name, report);
        return 0;
    }
    if (exited && WEXITSTATUS(status) == 0) {
        printf("ok %u - %s\n", number, test->name);
        return 0;
    }
    print_report(report);
    if (!exited && WTERMSIG(status) == SIGALRM)
        printf("# over its time limit\n");
    else if (!exited)
        printf("# killed by signal %d\n", WTERMSIG(status));
    if (known)
        printf("not ok %u - %s # TODO %s\n", number, test->name, known);
    else
        printf("not ok %u - %s\n", number, test->name);
    return known ? 0 : 1;
}

static bool selected(const struct conform_test *test, const char *only)
{
    return !only || strstr(test->name, only);
}

static unsigned count_tests(const char *only, bool list)
{
    unsigned count = 0;

    for (const struct conform_area *a = conform_areas; a->tests; a++) {
        for (const struct conform_test *t = a->tests; t->name; t++) {
            if (!selected(t, only))
                continue;
            count++;
            if (list)
                puts(t->name);
        }
    }
    return count;
}

static int run_all(const char *only, const char *allocator)
{
    static char report[16384];
    unsigned number = 0;
    int failed = 0;

    printf("1..%u\n", count_tests(only, false));
    for (const struct conform_area *a = conform_areas; a->tests; a++) {
        for (const struct conform_test *t = a->tests; t->name; t++) {
            int status;

            if (!selected(t, only))
                continue;
            fflush(stdout);
            status = run_test(t, report, sizeof report);
            failed += judge(++number, t, status, report, known_miss(allocator, t->name));
        }
    }
    return failed ? 1 : 0;
}

static int run_mode(const char *name)
{
    for (const struct conform_mode *m = conform_modes; m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m->run();
    fprintf(stderr, "conform: no mode '%s'\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"known", required_argument, NULL, 'k'},
        {"only", required_argument, NULL, 'o'},
        {"list", no_argument, NULL, 'l'},
        {"mode", required_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    const char *only = NULL, *allocator = NULL, *mode = NULL;
    bool list = false;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'k')
            allocator = optarg;
        else if (c == 'o')
            only = optarg;
        else if (c == 'l')
            list = true;
        else if (c == 'm')
            mode = optarg;
        else
            return 2;
    }
    names_init();
    sizes_init();
    if (mode)
        return run_mode(mode);
    if (list)
        return count_tests(only, true) ? 0 : 1;
    return run_all(only, allocator);
}
