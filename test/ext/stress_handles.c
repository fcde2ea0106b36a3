/* SPDX-License-Identifier: MIT */
/*
 * Handles under threads: few slots, so that every transition meets every other; blocks that say
 * which version they are in every word, so that a reader sees a torn one, or one that was freed and
 * is somebody else's, at once; under ASan and TSan also by their reports.
 *
 *     lives       publish, swap, release, pin, unpin, peek, by threads that know each other's
 *                 handles only from a table that is often out of date
 *     readers     many threads, half of which end inside a reading section
 *     ends        owners and heaps that are destroyed while others read, and settle what waits
 *
 *     stress-handles [ROUNDS [SEED [PART]]]
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/slotgrip.h"
#include "lode/stats.h"

#define THREADS  5
#define SLOTS    16
#define WORDS    32 /* of a block */
#define VERSIONS (1u << 20)
#define LIVES    1024 /* of a slot that are remembered */
#define KEY      7
#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct lode_heap *heap;
static struct lodei_slots owner;
static uint32_t first_slot;
static unsigned rounds = 100000;

static _Atomic uint64_t next_version = 1;
/* By version: the handle whose life it is of; 0: not known yet. By slot and life: its handle's life
 * above, the first version's number below. */
static _Atomic uint64_t life_of[VERSIONS];
static _Atomic uint64_t began[SLOTS][LIVES];
static _Atomic lode_handle known[SLOTS]; /* the last that was published, as far as one knows */
static _Atomic uint64_t published, released;

static void failed(const char *what, int line)
{
    fprintf(stderr, "stress_handles.c:%d: %s does not hold\n", line, what);
    abort();
}

struct worker {
    uint64_t random;
    pthread_t thread;
    struct seen { /* handles got from a slot, and how many versions there were then */
        lode_handle handle;
        uint64_t versions;
    } seen[32];
    unsigned seen_next;
};

static uint32_t below(struct worker *w, uint32_t limit)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((w->random >> 33) % limit);
}

/* ---- blocks that tell what they are ---- */

static uint64_t *block_new(uint64_t *ret_version)
{
    uint64_t version = atomic_fetch_add(&next_version, 1);
    uint64_t *block = lode_heap_aligned_alloc(heap, 64, WORDS * sizeof(*block));
    CHECK(block != NULL);
    atomic_store_explicit(&life_of[version % VERSIONS], 0, memory_order_relaxed);
    for (uint64_t i = 0; i < WORDS; i++)
        block[i] = version * WORDS + i;
    *ret_version = version;
    return block;
}

static uint64_t block_version(const uint64_t *block)
{
    uint64_t version = block[0] / WORDS;
    for (uint64_t i = 0; i < WORDS; i++)
        CHECK(block[i] == version * WORDS + i);
    return version;
}

/* The block is of the life that the handle names; of one that a thread had while it did not run for
 * a million versions nothing is known any more. */
static void check_block(lode_handle handle, const uint64_t *block)
{
    uint64_t version = block_version(block);
    uint64_t life = atomic_load(&life_of[version % VERSIONS]);
    CHECK(life == 0 || life == handle || atomic_load(&next_version) - version >= VERSIONS);
}

/* ---- lives ---- */

static lode_handle pick(struct worker *w, uint32_t *ret_slot)
{
    *ret_slot = below(w, SLOTS);
    return atomic_load_explicit(&known[*ret_slot], memory_order_acquire);
}

static void do_publish(struct worker *w)
{
    uint64_t version;
    uint64_t *block = block_new(&version);
    uint32_t slot = below(w, SLOTS);
    lode_handle handle;
    int status = lodei_slot_publish(first_slot + slot, KEY, block, 1, &handle);
    if (status != 0) {
        CHECK(status == -EEXIST);
        lode_free(block);
        return;
    }
    atomic_store(&life_of[version % VERSIONS], handle);
    atomic_store(&began[slot][(handle >> 32) % LIVES], handle >> 32 << 32 | (uint32_t)version);
    atomic_fetch_add(&published, 1);
    atomic_store_explicit(&known[slot], handle, memory_order_release);
}

static void do_swap(struct worker *w)
{
    uint32_t slot;
    lode_handle handle = pick(w, &slot);
    uint64_t version, expected = 0;
    uint64_t *block = block_new(&version);
    void *old = NULL;
    CHECK(lode_read_begin() == 0);
    if (below(w, 2) != 0)
        expected = lodei_handle_word(handle);
    atomic_store(&life_of[version % VERSIONS], handle);
    int status = lodei_slot_swap(handle, expected, block, below(w, 3), &old);
    lode_read_end();
    CHECK(status == 0 || status == -ESTALE || (status == -EAGAIN && expected != 0));
    if (status != 0)
        lode_free(block);
    if (old != NULL) {
        check_block(handle, old);
        lodei_grace_free(old);
    }
}

static void do_edit(struct worker *w)
{
    uint32_t slot;
    lode_handle handle = pick(w, &slot);
    struct lodei_grip grip;
    uint64_t version;
    void *old = NULL;
    if (lodei_slot_grip(&grip, handle) != 0)
        return;
    check_block(handle, lodei_word_block(grip.word));
    uint64_t *block = block_new(&version);
    atomic_store(&life_of[version % VERSIONS], handle);
    check_block(handle, lodei_word_block(grip.word));
    int status = lodei_slot_swap_gripped(&grip, block, below(w, 3), &old);
    CHECK(status == 0 || status == -ESTALE || status == -EAGAIN);
    CHECK(old == NULL || old == lodei_word_block(grip.word));
    if (status != 0)
        lode_free(block);
    if (old != NULL)
        lodei_grace_free(old);
}

static void do_release(struct worker *w)
{
    uint32_t slot;
    lode_handle handle = pick(w, &slot);
    void *old = NULL;
    if (handle == 0)
        return;
    int status = lodei_slot_release(lodei_handle_page(handle), handle, &old);
    CHECK(status == 0 || status == -ESTALE);
    CHECK(!lode_handle_is_live(handle));
    if (status == 0)
        atomic_fetch_add(&released, 1);
    if (old != NULL) {
        check_block(handle, old);
        lodei_grace_free(old);
    }
}

static void do_pin(struct worker *w)
{
    uint32_t slot;
    lode_handle handle = pick(w, &slot);
    const uint64_t *block = lode_pin(handle);
    if (block == NULL) {
        CHECK(errno == ESTALE);
        return;
    }
    check_block(handle, block);
    uint64_t version = block_version(block);
    for (uint32_t more = below(w, 4); more > 0; more--) {
        do_swap(w);
        do_release(w);
    }
    CHECK(block_version(block) == version);
    check_block(handle, block);
    CHECK(lode_unpin(handle) == 0);
}

static void do_peek(struct worker *w)
{
    uint32_t slot;
    CHECK(lode_read_begin() == 0);
    for (uint32_t more = below(w, 6); more > 0; more--) {
        lode_handle handle = pick(w, &slot);
        const uint64_t *block = lode_peek(handle);
        if (block == NULL)
            continue;
        uint64_t version = block_version(block);
        check_block(handle, block);
        if (below(w, 2) != 0)
            do_swap(w);
        CHECK(block_version(block) == version);
    }
    lode_read_end();
}

/* A handle that a slot gave names a life that had begun by then. */
static void do_look(struct worker *w)
{
    uint32_t slot = below(w, SLOTS);
    lode_handle handle = lodei_slot_handle(first_slot + slot);
    struct seen *seen = &w->seen[w->seen_next++ % 32];
    if (seen->handle != 0) {
        uint64_t life =
            atomic_load(&began[(uint32_t)seen->handle - first_slot][(seen->handle >> 32) % LIVES]);
        CHECK(life >> 32 != seen->handle >> 32 || (uint32_t)life < (uint32_t)seen->versions);
    }
    *seen = (struct seen){handle, atomic_load(&next_version)};
}

static void *live(void *arg)
{
    static void (*const acts[])(struct worker *) = {do_publish, do_publish, do_release, do_release,
                                                    do_swap,    do_pin,     do_peek,    do_look,
                                                    do_edit,    do_edit};
    struct worker *w = arg;
    for (unsigned i = 0; i < rounds; i++)
        acts[below(w, sizeof(acts) / sizeof(acts[0]))](w);
    return NULL;
}

static void quiet(void)
{
    struct lode_read_stats stats;
    struct lode_stats blocks = {.size = sizeof(blocks)};
    lodei_grace_settle();
    lode_read_stats(&stats);
    CHECK(stats.readers == 0 && stats.waiting_blocks == 0 && stats.parked_blocks == 0);
    CHECK(lode_stats_get(heap, &blocks) == 0 && blocks.live_blocks == 0);
}

static void start(struct worker *w, uint64_t seed, void *(*work)(void *))
{
    w->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    CHECK(pthread_create(&w->thread, NULL, work, w) == 0);
}

static void part_lives(uint64_t seed)
{
    static struct worker workers[THREADS];
    uint32_t second;
    uint64_t left = 0;
    CHECK(lode_heap_create(NULL, &heap) == 0);
    lodei_slots_init(&owner, &owner);
    CHECK(lodei_slots_take(&owner, KEY, &first_slot) == 0);
    CHECK(lodei_slots_take(&owner, KEY, &second) == 0 && second == first_slot + 8);
    for (uint64_t t = 0; t < THREADS; t++)
        start(&workers[t], seed * THREADS + t, live);
    for (int t = 0; t < THREADS; t++)
        pthread_join(workers[t].thread, NULL);
    lodei_slots_verify(&owner);
    for (uint32_t i = 0; i < SLOTS; i++) {
        lode_handle handle = lodei_slot_handle(first_slot + i);
        void *old = NULL;
        if (handle == 0)
            continue;
        left++;
        CHECK(lode_handle_pins(handle) == 0);
        CHECK(lodei_slot_release(lodei_handle_page(handle), handle, &old) == 0);
        check_block(handle, old);
        lodei_grace_free(old);
    }
    CHECK(atomic_load(&published) == atomic_load(&released) + left);
    quiet();
    CHECK(lodei_slots_give(&owner, first_slot) == 0);
    CHECK(lodei_slots_give(&owner, second) == 0);
    lodei_slots_verify(&owner);
    lodei_slots_finish(&owner);
    lode_heap_destroy(heap);
}

/* ---- readers ---- */

#define READERS 48

static lode_handle read_handle;
static _Atomic int reading, writing;

static void *read_some(void *arg)
{
    struct worker *w = arg;
    for (uint32_t i = below(w, 20); i > 0; i--) {
        uint32_t depth = 1 + below(w, 3);
        for (uint32_t d = 0; d < depth; d++)
            CHECK(lode_read_begin() == 0);
        const uint64_t *block = lode_peek(read_handle);
        uint64_t version = block_version(block);
        for (uint32_t d = 1; d < depth; d++)
            lode_read_end();
        CHECK(block_version(block) == version);
        lode_read_end();
        lode_read_end(); /* one too many: nothing */
    }
    if (below(w, 2) != 0) { /* ends inside */
        CHECK(lode_read_begin() == 0);
        CHECK(lode_read_begin() == 0);
        (void)block_version(lode_peek(read_handle));
    }
    atomic_fetch_sub(&reading, 1);
    return NULL;
}

static void *write_on(void *arg)
{
    (void)arg;
    while (atomic_load(&writing)) {
        uint64_t version;
        uint64_t *block = block_new(&version);
        void *old = NULL;
        CHECK(lode_read_begin() == 0);
        CHECK(lodei_slot_swap(read_handle, 0, block, 1, &old) == 0);
        lode_read_end();
        lodei_grace_free(old);
    }
    return NULL;
}

static void part_readers(uint64_t seed)
{
    static struct worker workers[READERS], writer;
    uint64_t version;
    void *old;
    CHECK(lode_heap_create(NULL, &heap) == 0);
    lodei_slots_init(&owner, &owner);
    CHECK(lodei_slots_take(&owner, KEY, &first_slot) == 0);
    CHECK(lodei_slot_publish(first_slot, KEY, block_new(&version), 1, &read_handle) == 0);
    atomic_store(&writing, 1);
    start(&writer, seed, write_on);
    for (unsigned round = 0; round < rounds / 2000 + 1; round++) {
        atomic_store(&reading, READERS);
        for (uint64_t t = 0; t < READERS; t++)
            start(&workers[t], seed * 1000 + round * READERS + t, read_some);
        for (int t = 0; t < READERS; t++)
            pthread_join(workers[t].thread, NULL);
        CHECK(atomic_load(&reading) == 0);
    }
    atomic_store(&writing, 0);
    pthread_join(writer.thread, NULL);
    CHECK(lodei_slot_release(lodei_handle_page(read_handle), read_handle, &old) == 0);
    lodei_grace_free(old);
    quiet();
    lodei_slots_finish(&owner);
    lode_heap_destroy(heap);
}

/* ---- ends ---- */

/* Its own heap and owner: made, used, destroyed, while others do the same. */
static void *make_and_end(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < rounds / 100; i++) {
        struct lode_heap *mine;
        struct lodei_slots slots;
        lode_handle handles[8];
        uint32_t first, pinned = below(w, 2);
        CHECK(lode_heap_create(NULL, &mine) == 0);
        lodei_slots_init(&slots, w);
        CHECK(lodei_slots_take(&slots, KEY, &first) == 0);
        for (uint32_t k = 0; k < 8; k++)
            CHECK(lodei_slot_publish(first + k, KEY, lode_heap_aligned_alloc(mine, 64, 64), 1,
                                     &handles[k]) == 0);
        if (pinned)
            CHECK(lode_pin(handles[6]) != NULL);
        CHECK(lode_read_begin() == 0);
        for (uint32_t k = 0; k < 7; k++) {
            void *old = NULL, *next = lode_heap_aligned_alloc(mine, 64, 64);
            CHECK(lodei_slot_swap(handles[k], 0, next, 1, &old) == 0);
            if (old != NULL)
                lodei_grace_free(old); /* waits, for this section */
        }
        lode_read_end();
        lodei_slots_verify(&slots);
        lodei_slots_finish(&slots);
        lodei_grace_wait();
        lode_heap_destroy(mine);
        for (uint32_t k = 0; k < 8; k++)
            CHECK(!lode_handle_is_live(handles[k]));
        CHECK(!pinned || lode_unpin(handles[6]) == -EINVAL); /* whoever has the slot now */
    }
    return NULL;
}

static void part_ends(uint64_t seed)
{
    static struct worker workers[THREADS];
    for (uint64_t t = 0; t < THREADS; t++)
        start(&workers[t], seed * THREADS + t + 77, make_and_end);
    for (int t = 0; t < THREADS; t++)
        pthread_join(workers[t].thread, NULL);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    const char *part = argc > 3 ? argv[3] : "";
    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 10);
    if (*part == 0 || strcmp(part, "lives") == 0)
        part_lives(seed);
    if (*part == 0 || strcmp(part, "readers") == 0)
        part_readers(seed);
    if (*part == 0 || strcmp(part, "ends") == 0)
        part_ends(seed);
    printf("%u rounds from seed %llu\n", rounds, (unsigned long long)seed);
    return 0;
}
