/* SPDX-License-Identifier: MIT */
/*
 * Conformance: what cannot be granted. Sizes too large at every entry point, and running out of
 * memory under RLIMIT_AS and RLIMIT_DATA: NULL with ENOMEM, and after freeing the program goes on.
 */
#include "conform_areas.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

static void expect_none(const char *name, void *p, size_t bytes)
{
    CHECK(!p && errno == ENOMEM, "%s of %zx bytes: %p, errno %d", name, bytes, p, errno);
    errno = 0;
}

static void too_large_everywhere(void)
{
    const size_t top = (size_t)PTRDIFF_MAX;
    const size_t sizes[] = {top + 1,         SIZE_MAX,        SIZE_MAX - 1,     SIZE_MAX - 15,
                            SIZE_MAX - 4095, SIZE_MAX - 4096, SIZE_MAX - 65536, top,
                            top - 1,         top - 4096,      top - 65536,      SIZE_MAX / 4 * 3};

    errno = 0;
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = opaque_size(sizes[i]);
        void *p = NULL;

        expect_none("malloc", malloc(n), n);
        expect_none("calloc(1, n)", calloc(1, n), n);
        expect_none("calloc(n, 1)", calloc(n, 1), n);
        expect_none("realloc", realloc(NULL, n), n);
        expect_none("reallocarray", reallocarray(NULL, n, 1), n);
        expect_none("memalign", memalign(64, n), n);
        expect_none("memalign page", memalign(4096, n), n);
        expect_none("aligned_alloc", aligned_alloc(64, n), n);
        expect_none("valloc", valloc(n), n);
        expect_none("pvalloc", pvalloc(n), n);
        CHECK(posix_memalign(&p, 64, n) == ENOMEM && !p, "posix_memalign of %zx bytes: %p", n, p);
        if (conform_names.reallocf)
            expect_none("reallocf", conform_names.reallocf(NULL, n), n);
        if (conform_names.malloc_good_size)
            (void)conform_names.malloc_good_size(n);
        errno = 0;
    }
}

static void product_overflow(void)
{
    const size_t half = (size_t)1 << 32;
    const size_t pairs[][2] = {
        {half, half},
        {half + 1, half},
        {SIZE_MAX, 2},
        {2, SIZE_MAX},
        {SIZE_MAX, SIZE_MAX},
        {SIZE_MAX / 2 + 1, 2},
        {SIZE_MAX / 16 + 2, 16},
        {16, SIZE_MAX / 16 + 2},
        {SIZE_MAX / 3 + 1, 3},
        {(size_t)PTRDIFF_MAX / 8 + 1, 8},
    };

    errno = 0;
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        size_t a = opaque_size(pairs[i][0]), b = opaque_size(pairs[i][1]);

        expect_none("calloc", calloc(a, b), a);
        expect_none("reallocarray", reallocarray(NULL, a, b), a);
    }
}

/*
 * Allocate blocks of `bytes`, touching each, until one is refused or `cap_bytes` are held; free
 * them in turn and allocate once more. Returns the bytes that were had.
 */
static size_t exhaust(size_t bytes, size_t cap_bytes, bool must_fail)
{
    struct link {
        struct link *next;
    } *head = NULL;
    size_t had = 0;

    errno = 0;
    while (had < cap_bytes) {
        struct link *p = malloc(bytes);

        if (!p)
            break;
        p->next = head;
        head = p;
        had += bytes;
    }
    if (had < cap_bytes)
        CHECK(errno == ENOMEM, "out of memory with errno %d", errno);
    else
        CHECK(!must_fail, "%zu bytes granted above the limit", had);
    while (head) {
        struct link *next = head->next;

        free(head);
        head = next;
    }
    head = malloc(bytes);
    CHECK(head, "nothing to be had after everything was freed");
    free(head);
    return had;
}

static void limit(int what, size_t bytes)
{
    struct rlimit l = {bytes, RLIM_INFINITY};

    getrlimit(what, &l);
    l.rlim_cur = bytes;
    REQUIRE(setrlimit(what, &l) == 0, "setrlimit: %s", strerror(errno));
}

/*
 * RLIMIT_AS set once the program runs. An allocator that reserved its addresses before may go on
 * serving from them; whoever refuses must say ENOMEM and recover.
 */
static void limit_as_after_start(void)
{
    static const size_t sizes[] = {100, 3000, 40000, 300000, 3 * MIB, 0};

    free(malloc(100));
    limit(RLIMIT_AS, conform_vm_bytes() + 48u * MIB);
    for (int i = 0; sizes[i]; i++)
        exhaust(sizes[i], 192u * MIB, false);
}

static void limit_data_after_start(void)
{
    static const size_t sizes[] = {100, 3000, 40000, 300000, 3 * MIB, 0};

    free(malloc(100));
    limit(RLIMIT_DATA, conform_data_bytes() + 48u * MIB);
    for (int i = 0; sizes[i]; i++) {
        size_t had = exhaust(sizes[i], 192u * MIB, true);

        CHECK(had >= 16u * MIB, "blocks of %zu: only %zu bytes under a limit of 48 MiB", sizes[i],
              had);
    }
}

int conform_mode_limit_as(void)
{
    static const size_t sizes[] = {100, 40000, 3 * MIB, 0};

    for (int i = 0; sizes[i]; i++) {
        size_t had = exhaust(sizes[i], 256u * MIB, true);

        CHECK(had >= 32u * MIB, "blocks of %zu: only %zu bytes", sizes[i], had);
        if (had < 32u * MIB || had >= 256u * MIB)
            return 1;
    }
    return 0;
}

static void limit_as_before_start(void)
{
    int status;

    limit(RLIMIT_AS, 256u * MIB);
    status = conform_exec("limit-as");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "with RLIMIT_AS 256 MiB: status %x",
          status);
}

/* Hold up to 16 MiB in blocks of 1,000 bytes. NULL when all went well, else a message. */
static void *greedy_thread(void *arg)
{
    enum { N = 16 * MIB / 1000 };
    void **held = arg;
    const char *wrong = NULL;
    int n = 0;

    errno = 0;
    while (n < N && (held[n] = malloc(1000))) {
        memset(held[n], n & 0xFF, 1000);
        n++;
    }
    if (n < N && errno != ENOMEM)
        wrong = "refused without ENOMEM";
    while (n-- > 0) {
        if (!conform_all(held[n], n & 0xFF, 1000))
            wrong = "block overwritten";
        free(held[n]);
    }
    return (void *)(uintptr_t)wrong;
}

int conform_mode_limit_threads(void)
{
    enum { THREADS = 64, SLOTS = 16 * MIB / 1000 + 1 };
    static void *held[THREADS][SLOTS];
    pthread_t threads[THREADS];
    pthread_attr_t attr;
    int started = 0, bad = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[started], &attr, greedy_thread, held[i]) == 0)
            started++;
    }
    for (int i = 0; i < started; i++) {
        void *wrong = NULL;

        pthread_join(threads[i], &wrong);
        if (wrong) {
            fprintf(stderr, "thread %d: %s\n", i, (const char *)wrong);
            bad = 1;
        }
    }
    for (int i = 0; i < 1000; i++)
        free(malloc(1000));
    return bad || started < 4 || exhaust(1000, 8u * MIB, false) < 8u * MIB;
}

static void limit_threads(void)
{
    int status;

    limit(RLIMIT_AS, 512u * MIB);
    status = conform_exec("limit-threads");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "64 threads in 512 MiB: status %x",
          status);
}

const struct conform_test conform_limits[] = {
    {"limits/sizes too large at every entry point", too_large_everywhere, 0},
    {"limits/product of count and size overflows", product_overflow, 0},
    {"limits/RLIMIT_AS set after start", limit_as_after_start, 60},
    {"limits/RLIMIT_AS set before start", limit_as_before_start, 60},
    {"limits/RLIMIT_DATA", limit_data_after_start, 60},
    {"limits/many threads in little memory", limit_threads, 60},
    {NULL, NULL, 0},
};
