/* SPDX-License-Identifier: MIT */
/*
 * Patterns across threads: producer and consumer, larson-like churn, thread start and stop.
 *
 * Producer and consumer share a ring of batches; the two positions are the only shared words and
 * stand on lines of their own:
 *
 *     [batch 0][batch 1] ... [batch 63]     each: 64 pointers
 *          ^tail: next to free   ^head: next to fill        head - tail <= 64
 *
 * The larson-like pattern follows Larson and Krishnan, "Memory Allocation for Long-Running Server
 * Applications" (ISMM 1998): blocks outlive the thread that allocated them, and are freed by its
 * successor.
 */
#include "lode_bench.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

enum {
    RING_BATCHES = 64,
    BATCH_BLOCKS = 64,
    SPINS = 200,
    CHAINS = 2,
    SLOTS = 1000,
    OPS_PER_THREAD = 10000,
    FEW = 16,
    STACK_BYTES = 256 * 1024,
};

/* Small stacks: the stack's own pages are no part of what is measured. */
static pthread_attr_t thread_attr;

static void start_threads(const struct bench_pattern *pattern)
{
    (void)pattern;
    if (pthread_attr_init(&thread_attr) || pthread_attr_setstacksize(&thread_attr, STACK_BYTES))
        bench_die("thread attributes");
}

static void start_thread(pthread_t *thread, void *(*body)(void *), void *arg)
{
    if (pthread_create(thread, &thread_attr, body, arg))
        bench_die("pthread_create failed");
}

/* Producer and consumer. */

static struct {
    _Alignas(64) _Atomic uint64_t head; /* written by the producer */
    _Alignas(64) _Atomic uint64_t tail; /* written by the consumer */
    _Alignas(64) void *batches[RING_BATCHES][BATCH_BLOCKS];
} ring;

static void wait_a_little(unsigned *spins)
{
    if (++*spins < SPINS)
        __asm__ volatile("" : : : "memory");
    else
        sched_yield();
}

static void *consume(void *arg)
{
    uint64_t batches = *(const uint64_t *)arg;

    for (uint64_t n = 0; n < batches; n++) {
        void **batch = ring.batches[n % RING_BATCHES];
        unsigned spins = 0;

        /* Acquire: pairs with the release of head in run_producer. */
        while (atomic_load_explicit(&ring.head, memory_order_acquire) == n)
            wait_a_little(&spins);
        for (unsigned i = 0; i < BATCH_BLOCKS; i++)
            bench_free(batch[i]);
        /* Release: pairs with the acquire of tail in run_producer. */
        atomic_store_explicit(&ring.tail, n + 1, memory_order_release);
    }
    return NULL;
}

static void run_producer(const struct bench_pattern *pattern, uint64_t ops)
{
    uint64_t batches = (ops + BATCH_BLOCKS - 1) / BATCH_BLOCKS;
    pthread_t consumer;

    atomic_store(&ring.head, 0);
    atomic_store(&ring.tail, 0);
    start_thread(&consumer, consume, &batches);
    for (uint64_t n = 0; n < batches; n++) {
        void **batch = ring.batches[n % RING_BATCHES];
        unsigned spins = 0;

        /* Acquire: pairs with the release of tail in consume. */
        while (n - atomic_load_explicit(&ring.tail, memory_order_acquire) >= RING_BATCHES)
            wait_a_little(&spins);
        for (unsigned i = 0; i < BATCH_BLOCKS; i++)
            batch[i] = bench_alloc(pattern->size_bytes);
        /* Release: pairs with the acquire of head in consume. */
        atomic_store_explicit(&ring.head, n + 1, memory_order_release);
    }
    pthread_join(consumer, NULL);
}

/* Larson-like churn: each chain is a sequence of threads, one alive at a time. */

struct chain {
    void *slots[SLOTS];
    uint64_t random;
    uint64_t ops_left;
    sem_t *finished;
};

static struct chain chains[CHAINS];

static void *churn(void *arg)
{
    struct chain *chain = arg;
    uint64_t n = chain->ops_left < OPS_PER_THREAD ? chain->ops_left : OPS_PER_THREAD;
    pthread_t successor;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t draw = bench_random(&chain->random);
        void **slot = &chain->slots[draw % SLOTS];

        bench_free(*slot);
        *slot = bench_alloc(16 + (draw >> 40) % 497);
    }
    chain->ops_left -= n;
    if (chain->ops_left == 0) {
        sem_post(chain->finished);
        return NULL;
    }
    start_thread(&successor, churn, chain);
    pthread_detach(successor);
    return NULL;
}

static void start_larson(const struct bench_pattern *pattern)
{
    start_threads(pattern);
    for (unsigned c = 0; c < CHAINS; c++) {
        chains[c].random = 123456789u + c;
        for (unsigned i = 0; i < SLOTS; i++)
            chains[c].slots[i] = bench_alloc(16 + (bench_random(&chains[c].random) >> 40) % 497);
    }
}

static void run_larson(const struct bench_pattern *pattern, uint64_t ops)
{
    sem_t finished;

    (void)pattern;
    sem_init(&finished, 0, 0);
    for (unsigned c = 0; c < CHAINS; c++) {
        pthread_t first;

        chains[c].ops_left = ops / CHAINS + 1;
        chains[c].finished = &finished;
        start_thread(&first, churn, &chains[c]);
        pthread_detach(first);
    }
    for (unsigned c = 0; c < CHAINS; c++)
        sem_wait(&finished);
    sem_destroy(&finished);
}

static void stop_larson(const struct bench_pattern *pattern)
{
    (void)pattern;
    for (unsigned c = 0; c < CHAINS; c++)
        for (unsigned i = 0; i < SLOTS; i++)
            bench_free(chains[c].slots[i]);
}

/* Thread start and stop: an op is one thread with a few allocations, joined. */

static void *allocate_a_few(void *arg)
{
    static const size_t sizes[FEW] = {16,  24,  32,  48,  64,  64,  96,  128,
                                      160, 200, 256, 320, 400, 512, 768, 1024};
    void *blocks[FEW];

    for (unsigned i = 0; i < FEW; i++)
        blocks[i] = bench_alloc(sizes[i]);
    for (unsigned i = 0; i < FEW; i++)
        bench_free(blocks[i]);
    return arg;
}

static void run_start_stop(const struct bench_pattern *pattern, uint64_t ops)
{
    (void)pattern;
    for (uint64_t i = 0; i < ops; i++) {
        pthread_t thread;

        start_thread(&thread, allocate_a_few, NULL);
        pthread_join(thread, NULL);
    }
}

const struct bench_pattern bench_thread_patterns[] = {
    {
        .name = "producer-consumer",
        .what = "64 B blocks freed by another thread, batches of 64; op: malloc + free",
        .size_bytes = 64,
        .ops = 10000000,
        .start = start_threads,
        .run = run_producer,
    },
    {
        .name = "larson",
        .what = "2 chains of threads, 1,000 slots each, 16-512 B, handed on; op: free + malloc",
        .ops = 8000000,
        .start = start_larson,
        .run = run_larson,
        .stop = stop_larson,
    },
    {
        .name = "thread-start-stop",
        .what = "a thread with 16 allocations; op: one thread",
        .ops = 8000,
        .start = start_threads,
        .run = run_start_stop,
    },
};
const size_t bench_thread_count = sizeof(bench_thread_patterns) / sizeof(bench_thread_patterns[0]);
