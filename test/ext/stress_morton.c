/* SPDX-License-Identifier: MIT */
/*
 * A Morton pool and many threads. Each owns a part of space, whose blocks it stamps and checks; all
 * contend for another part, acquire, find and release there by code; one walks, trims, reads
 * figures, and releases what is not the pool's. Then every block is released by two threads at
 * once, of which one must succeed; and a child forked in the middle of it all goes on by itself.
 * Run under TSan as well.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lode/morton.h"
#include "morton_model.h"
#include "morton_verify.h"

#define OWNERS 3
#define CELLS  3000 /* of a thread's part; of the contended part, a tenth */
#define STEPS  300000
#define BYTES  96

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct lode_morton_pool *pool;
static _Atomic int running;

static void failed(const char *what, int line)
{
    fprintf(stderr, "stress_morton.c:%d: %s does not hold\n", line, what);
    abort();
}

/* A thread's n-th cell: parts are many zones apart, cells of one spread over a few. */
static uint64_t code_of(unsigned part, unsigned n)
{
    return ((uint64_t)part << 40) + (uint64_t)n * 61;
}

static void stamp(void *block, uint64_t code)
{
    memcpy(block, &code, sizeof(code));
    memcpy((char *)block + BYTES - sizeof(code), &code, sizeof(code));
}

static void check_stamp(const void *block, uint64_t code)
{
    CHECK(memcmp(block, &code, sizeof(code)) == 0);
    CHECK(memcmp((const char *)block + BYTES - sizeof(code), &code, sizeof(code)) == 0);
}

static void own_step(unsigned part, void **blocks, uint64_t random)
{
    unsigned n = (unsigned)(random >> 8) % CELLS;
    uint64_t code = code_of(part, n), got;
    CHECK(lode_morton_pool_find(pool, code) == blocks[n]);
    if (blocks[n] == NULL) {
        unsigned other = (unsigned)(random >> 32) % CELLS;
        int status =
            random % 4 == 0 && blocks[other] != NULL
                ? lode_morton_pool_acquire_near(pool, code, blocks[other], &blocks[n], NULL)
                : lode_morton_pool_acquire(pool, code, &blocks[n]);
        CHECK(status == 0);
        stamp(blocks[n], code);
    } else {
        check_stamp(blocks[n], code);
        CHECK(lode_morton_pool_code(pool, blocks[n], &got) == 0 && got == code);
        CHECK(lode_morton_pool_release(pool, blocks[n]) == 0);
        blocks[n] = NULL;
    }
}

static void contend(uint64_t random)
{
    uint64_t code = code_of(0, (unsigned)(random >> 8) % (CELLS / 10));
    void *block;
    int status;
    switch (random % 3) {
    case 0:
        status = lode_morton_pool_acquire(pool, code, &block);
        CHECK(status == 0 || status == -EEXIST);
        break;
    case 1:
        status = lode_morton_pool_release_code(pool, code);
        CHECK(status == 0 || status == -ENOENT);
        break;
    default:
        /* Whoever has it may have released it by now, and it may be another's. */
        block = lode_morton_pool_find(pool, code);
        if (block != NULL) {
            status = lode_morton_pool_code(pool, block, &code);
            CHECK(status == 0 || status == -EINVAL);
        }
    }
}

static void *owner(void *arg)
{
    unsigned part = *(unsigned *)arg;
    uint64_t state = part;
    void **blocks = calloc(CELLS, sizeof(*blocks));
    CHECK(blocks != NULL);
    for (int step = 0; step < STEPS; step++) {
        uint64_t random = morton_random(&state);
        if (random >> 60 < 12)
            own_step(part, blocks, random);
        else
            contend(random);
    }
    for (unsigned n = 0; n < CELLS; n++)
        if (blocks[n] != NULL) {
            check_stamp(blocks[n], code_of(part, n));
            CHECK(lode_morton_pool_release(pool, blocks[n]) == 0);
        }
    free(blocks);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

struct walked {
    uint64_t last;
    size_t count;
};

static int visit(void *ctx, uint64_t code, void *block)
{
    struct walked *walked = ctx;
    CHECK(walked->count == 0 || code > walked->last);
    CHECK(block != NULL);
    walked->last = code;
    walked->count++;
    return 0;
}

static void *observer(void *arg)
{
    char *foreign = malloc(4096);
    struct lode_allocator_stats stats;
    (void)arg;
    while (atomic_load(&running) > 0) {
        struct walked walked = {0};
        CHECK(lode_morton_pool_walk(pool, 0, LODE_MORTON_NO_CODE, visit, &walked) == 0);
        lode_morton_pool_stats(pool, &stats);
        CHECK(stats.blocks <= (OWNERS + 1) * CELLS);
        (void)lode_morton_pool_trim(pool);
        CHECK(lode_morton_pool_release(pool, foreign) == -EINVAL);
    }
    free(foreign);
    return NULL;
}

/* Other threads hold locks at the moment of the fork; the child finds them free and all whole. */
static void fork_meanwhile(void)
{
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            void *block;
            for (unsigned n = 0; n < 500; n++)
                CHECK(lode_morton_pool_acquire(pool, code_of(OWNERS + 1, n * 7), &block) == 0);
            CHECK(morton_verify(pool) == NULL);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void *twice[CELLS];
static _Atomic int released;
static pthread_barrier_t barrier;

static void *release_all(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&barrier);
    for (unsigned n = 0; n < CELLS; n++) {
        int status = lode_morton_pool_release(pool, twice[n]);
        CHECK(status == 0 || status == -EINVAL);
        atomic_fetch_add(&released, status == 0);
    }
    return NULL;
}

static void release_twice(void)
{
    pthread_t threads[2];
    for (int round = 0; round < 10; round++) {
        atomic_store(&released, 0);
        for (unsigned n = 0; n < CELLS; n++)
            CHECK(lode_morton_pool_acquire(pool, code_of(1, n), &twice[n]) == 0);
        for (int i = 0; i < 2; i++)
            CHECK(pthread_create(&threads[i], NULL, release_all, NULL) == 0);
        for (int i = 0; i < 2; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(atomic_load(&released) == CELLS);
    }
}

int main(void)
{
    struct lode_morton_pool_opts opts = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_allocator_stats stats;
    pthread_t threads[OWNERS + 1];
    unsigned parts[OWNERS];
    opts.block_bytes = BYTES;
    CHECK(lode_morton_pool_create(&opts, &pool) == 0);
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    atomic_store(&running, OWNERS);
    for (unsigned i = 0; i < OWNERS; i++) {
        parts[i] = i + 1;
        CHECK(pthread_create(&threads[i], NULL, owner, &parts[i]) == 0);
    }
    CHECK(pthread_create(&threads[OWNERS], NULL, observer, NULL) == 0);
    fork_meanwhile();
    for (unsigned i = 0; i <= OWNERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (unsigned n = 0; n < CELLS / 10; n++)
        if (lode_morton_pool_find(pool, code_of(0, n)) != NULL)
            CHECK(lode_morton_pool_release_code(pool, code_of(0, n)) == 0);
    release_twice();
    const char *fault = morton_verify(pool);
    if (fault != NULL)
        failed(fault, __LINE__);
    lode_morton_pool_trim(pool);
    lode_morton_pool_stats(pool, &stats);
    CHECK(stats.blocks == 0 && stats.mapped_bytes == stats.metadata_bytes);
    lode_morton_pool_destroy(pool);
    pthread_barrier_destroy(&barrier);
    puts("ok");
    return 0;
}
