/* SPDX-License-Identifier: MIT */
/*
 * A small allocating program that must go on, or be told NULL with ENOMEM, whatever the kernel
 * refuses: starved WAY, for test_syscalls.py and test_startup.py.
 *
 *   plain   every kind of allocation once or more, with a thread, a trim and large blocks
 *   maps    the same after vm.max_map_count was used up, and once more after it was released
 *   borders a block of which parts were advised grows while mappings are short
 *   full    all the memory there is, in blocks of 60,000 bytes that keep their contents
 *   need N  allocate and fill N MiB in mixed blocks; a refusal is a failure
 *
 * A getppid system call marks the start of main for whoever watches. Only write(2) is used to
 * speak. Exit 0: fine; 3: a wrong errno or contents. A crash is what the tests look for.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 400, MIB = 1 << 20 };

static void die(const char *why)
{
    if (write(STDERR_FILENO, why, strlen(why)) >= 0)
        (void)!write(STDERR_FILENO, "\n", 1);
    _exit(3);
}

static void *checked(void *p, size_t bytes)
{
    if (!p && errno != ENOMEM)
        die("NULL without ENOMEM");
    if (p)
        memset(p, 0x33, bytes);
    return p;
}

static size_t slot_bytes(int i)
{
    static const size_t sizes[] = {16, 100, 1000, 5000, 40000, 150000, 2 * MIB};

    return sizes[i % 7 == 6 && i % 5 ? 2 : i % 7];
}

/* Some slots may stay empty; those that were filled must keep their contents. */
static void round_of_blocks(void)
{
    unsigned char *p[SLOTS];

    for (int i = 0; i < SLOTS; i++) {
        size_t bytes = slot_bytes(i);

        errno = 0;
        if (i % 3 == 0)
            p[i] = checked(calloc(1, bytes), bytes);
        else if (i % 3 == 1)
            p[i] = checked(malloc(bytes), bytes);
        else
            p[i] = checked(memalign(256, bytes), bytes);
    }
    for (int i = 0; i < SLOTS; i += 2) {
        unsigned char *q;

        if (!p[i])
            continue;
        errno = 0;
        q = realloc(p[i], slot_bytes(i) * 3);
        if (!q && errno != ENOMEM)
            die("realloc: NULL without ENOMEM");
        p[i] = q ? q : p[i];
    }
    for (int i = 0; i < SLOTS; i++) {
        if (p[i] && (p[i][0] != 0x33 || p[i][slot_bytes(i) - 1] != 0x33))
            die("contents lost");
        free(p[i]);
    }
}

static void *thread_body(void *arg)
{
    round_of_blocks();
    return arg;
}

static int plain(void)
{
    pthread_t thread;

    for (int round = 0; round < 3; round++) {
        round_of_blocks();
        if (pthread_create(&thread, NULL, thread_body, NULL) == 0)
            pthread_join(thread, NULL);
        malloc_trim(0);
    }
    return 0;
}

/* Alternate protections, so that the kernel cannot merge the pages into one mapping. */
static int maps(void)
{
    enum { MAPS_MAX = 200000 };
    static void *pages[MAPS_MAX];
    int n = 0;

    while (n < MAPS_MAX) {
        void *p =
            mmap(NULL, 4096, n & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            break;
        pages[n++] = p;
    }
    if (n == MAPS_MAX)
        return 77;
    for (int round = 0; round < 3; round++)
        round_of_blocks();
    malloc_trim(0);
    while (n-- > 0)
        munmap(pages[n], 4096);
    for (int round = 0; round < 3; round++)
        round_of_blocks();
    free(malloc(64 * MIB));
    errno = 0;
    if (!malloc(MIB))
        die("nothing to be had after the mappings were released");
    return 0;
}

enum { GROWN = 16 * MIB, MAPS = 140000 };

/* All but `spare` of the mappings there may be. */
static char *use_up_maps(int spare)
{
    int n = 0;
    char *pages = mmap(NULL, (size_t)MAPS * 8192, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (pages == MAP_FAILED)
        _exit(77);
    while (n < MAPS && mprotect(pages + (size_t)n * 8192, 4096, PROT_READ) == 0)
        n++;
    if (n == MAPS)
        _exit(77);
    while (spare-- > 0)
        mprotect(pages + (size_t)--n * 8192, 4096, PROT_NONE);
    return pages;
}

static int borders(void)
{
    for (int spare = 0; spare < 12; spare++) {
        unsigned char *block = malloc(GROWN), *behind = malloc(GROWN), *grown;

        if (!block || !behind)
            die("refused");
        for (size_t at = 0; at < GROWN; at += 4096)
            memcpy(block + at, &at, sizeof at);
        for (size_t at = 2 * MIB; at < GROWN; at += 2 * MIB)
            madvise(block + at, MIB, MADV_DONTDUMP);
        char *pages = use_up_maps(spare);
        grown = realloc(block, 4 * GROWN);
        munmap(pages, (size_t)MAPS * 8192);
        if (!grown)
            grown = block;
        for (size_t at = 0; at < GROWN; at += 4096)
            if (memcmp(grown + at, &at, sizeof at) != 0)
                die("contents lost");
        free(grown);
        free(behind);
    }
    return 0;
}

static int full(void)
{
    enum { BLOCKS = 16384, BYTES = 60000 };
    static unsigned char *p[BLOCKS];

    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            if (p[i] || !(p[i] = malloc(BYTES)))
                continue;
            memset(p[i], i % 251, 4096);
            if (i % 4 != 3)
                continue;
            free(p[i - 3]); /* there is always something to reuse at the lowest addresses */
            p[i - 3] = NULL;
        }
        round_of_blocks();
        for (int i = 0; i < BLOCKS; i++) {
            if (p[i] && (p[i][0] != i % 251 || memcmp(p[i], p[i] + 1, 4095) != 0))
                die("contents lost");
            if (i % 3 != round % 3)
                continue;
            free(p[i]);
            p[i] = NULL;
        }
    }
    return 0;
}

static int need(size_t bytes)
{
    size_t had = 0;

    for (int i = 0; had < bytes; i++) {
        size_t n = slot_bytes(i);
        void *p = malloc(n);

        if (!p)
            die("refused");
        memset(p, 0x44, n);
        had += n;
    }
    return 0;
}

int main(int argc, char **argv)
{
    getppid();
    if (argc == 2 && strcmp(argv[1], "plain") == 0)
        return plain();
    if (argc == 2 && strcmp(argv[1], "maps") == 0)
        return maps();
    if (argc == 2 && strcmp(argv[1], "full") == 0)
        return full();
    if (argc == 2 && strcmp(argv[1], "borders") == 0)
        return borders();
    if (argc == 3 && strcmp(argv[1], "need") == 0)
        return need((size_t)atoi(argv[2]) * MIB);
    die("starved: bad arguments");
    return 2;
}
