/* SPDX-License-Identifier: MIT */
/*
 * A long session: the load rises and falls, and in each trough memory must come back by itself. To
 * be run under a preloaded allocator:
 *
 *     LODE_OPTIONS=purge=auto LD_PRELOAD=liblode.so soak SECONDS [THREADS]
 *
 * Each cycle every thread fills its share of about 256 MiB with blocks of 16 B to 256 KiB
 * (log-uniform by size), made in groups; then, in turn,
 *
 *     random   frees four blocks of five, anywhere
 *     groups   frees four groups of five, whole
 *
 * and everybody sleeps for two seconds without calling the allocator. Then the resident set, less
 * what it was before the first block, is set against the OS pages that hold a live block (random:
 * at most 1.15 x and 4 MiB) and against the live bytes (groups: at most 1.2 x and 4 MiB). CSV, a
 * row a trough; exit status 1 when one was missed. The program's own tables are mapped and touched
 * beforehand.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 16, GROUP_BLOCKS = 512, SLEEP_S = 2 };

#define LOAD_BYTES ((size_t)256 << 20)
#define BLOCKS_MAX ((size_t)1 << 20)

struct block {
    unsigned char *at;
    size_t bytes;
};

struct worker {
    pthread_t thread;
    struct block *blocks; /* BLOCKS_MAX of them */
    size_t count;
    size_t live_bytes;
    uint64_t random;
    int by_groups;
};

static struct worker workers[THREADS_MAX];
static int thread_count = 2;
static pthread_barrier_t step;
static volatile int finished;
static uintptr_t *pages; /* room to sort the pages of all live blocks */
static size_t pages_max;

static uint64_t next_random(struct worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

/* 16 B to 256 KiB, each doubling as likely as the next; most bytes are in the large ones. */
static size_t random_bytes(struct worker *w)
{
    unsigned log = 4 + (unsigned)(next_random(w) % 14);
    return ((size_t)1 << log) + next_random(w) % ((size_t)1 << log);
}

static void fill(struct worker *w)
{
    while (w->live_bytes < LOAD_BYTES / (size_t)thread_count && w->count < BLOCKS_MAX) {
        size_t bytes = random_bytes(w);
        unsigned char *at = malloc(bytes);
        if (at == NULL) {
            fprintf(stderr, "soak: malloc failed\n");
            exit(2);
        }
        memset(at, (int)(bytes & 255), bytes);
        w->blocks[w->count++] = (struct block){at, bytes};
        w->live_bytes += bytes;
    }
}

static void drain(struct worker *w)
{
    size_t kept = 0;
    int keep = 0;
    for (size_t i = 0; i < w->count; i++) {
        struct block b = w->blocks[i];
        if (!w->by_groups || i % GROUP_BLOCKS == 0)
            keep = next_random(w) % 5 == 0;
        if (b.at[0] != (b.bytes & 255) || b.at[b.bytes - 1] != (b.bytes & 255)) {
            fprintf(stderr, "soak: block %p of %zu bytes is damaged\n", (void *)b.at, b.bytes);
            exit(2);
        }
        if (keep) {
            w->blocks[kept++] = b;
            continue;
        }
        w->live_bytes -= b.bytes;
        free(b.at);
    }
    w->count = kept;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    while (pthread_barrier_wait(&step), !finished) {
        fill(w);
        pthread_barrier_wait(&step);
        drain(w);
        pthread_barrier_wait(&step);
    }
    return NULL;
}

static size_t resident_bytes(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%ld %ld", &size, &resident) != 2)
        exit(2);
    fclose(f);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

static int by_value(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

/* Bytes of the OS pages that hold a part of a live block. */
static size_t live_page_bytes(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0, different = 0;
    for (int t = 0; t < thread_count; t++) {
        for (size_t i = 0; i < workers[t].count; i++) {
            uintptr_t at = (uintptr_t)workers[t].blocks[i].at & ~(page - 1);
            uintptr_t end = (uintptr_t)workers[t].blocks[i].at + workers[t].blocks[i].bytes;
            for (; at < end && n < pages_max; at += page)
                pages[n++] = at;
        }
    }
    qsort(pages, n, sizeof(pages[0]), by_value);
    for (size_t i = 0; i < n; i++)
        different += i == 0 || pages[i] != pages[i - 1];
    return different * page;
}

static void *map_touched(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        exit(2);
    memset(p, 1, bytes);
    return p;
}

static int report(unsigned cycle, size_t base)
{
    size_t live = 0, rss = resident_bytes(), held = live_page_bytes();
    for (int t = 0; t < thread_count; t++)
        live += workers[t].live_bytes;
    rss = rss > base ? rss - base : 0;
    int groups = workers[0].by_groups;
    size_t limit = groups ? live + live / 5 : held + held * 3 / 20;
    limit += (size_t)4 << 20;
    printf("%u,%s,%zu,%zu,%zu,%.3f,%.3f,%s\n", cycle, groups ? "groups" : "random", live >> 10,
           held >> 10, rss >> 10, (double)rss / (double)live, (double)rss / (double)held,
           rss <= limit ? "ok" : "MISS");
    fflush(stdout);
    return rss > limit;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 20;
    if (argc > 2)
        thread_count = atoi(argv[2]);
    if (thread_count < 1 || thread_count > THREADS_MAX)
        return 2;
    pages_max = (LOAD_BYTES / 4096) * 4;
    pages = map_touched(pages_max * sizeof(pages[0]));
    pthread_barrier_init(&step, NULL, (unsigned)thread_count + 1);
    for (int t = 0; t < thread_count; t++) {
        workers[t].blocks = map_touched(BLOCKS_MAX * sizeof(struct block));
        workers[t].random = 0x9e3779b97f4a7c15u + (uint64_t)t;
        pthread_create(&workers[t].thread, NULL, work, &workers[t]);
    }
    printf("cycle,trough,live_kib,live_pages_kib,rss_kib,rss_to_live,rss_to_pages,verdict\n");
    size_t base = resident_bytes();
    int missed = 0;
    unsigned cycle = 0;
    for (time_t end = time(NULL) + (time_t)seconds; time(NULL) < end; cycle++) {
        for (int t = 0; t < thread_count; t++)
            workers[t].by_groups = (int)(cycle % 2);
        pthread_barrier_wait(&step);
        pthread_barrier_wait(&step);
        pthread_barrier_wait(&step);
        sleep(SLEEP_S);
        missed += report(cycle, base);
    }
    finished = 1;
    pthread_barrier_wait(&step);
    for (int t = 0; t < thread_count; t++)
        pthread_join(workers[t].thread, NULL);
    fprintf(stderr, "soak: %u troughs, %d missed\n", cycle, missed);
    return missed > 0;
}
