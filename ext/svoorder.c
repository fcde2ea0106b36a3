/* SPDX-License-Identifier: MIT */
/*
 * Putting the groups of an octree into Morton order in memory, a little at a time.
 *
 * A tree has two heaps. A pass walks the groups in Morton order and copies each into the other heap
 * than the one groups came from so far; edits, too, take from there as soon as it has begun. A heap
 * that starts empty hands blocks of a size out in rising addresses, so they lie in the order of the
 * walk. What is left of the old heap's spans is free when the pass has gone by, and is where the
 * next pass copies to. The idea is that of a copying collector (Cheney 1970), depth first.
 *
 * Copying within one heap does not do: what one step frees, the next one gets.
 *
 * The lock is held for one batch of groups; old versions are freed after it.
 */
#include "ext/svotree.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ext/grace.h"

#define BATCH 8

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Under the lock. A group that is gone or pinned is passed by. */
static int move_group(struct lode_svo *svo, lode_handle group, void **ret_old)
{
    struct lodei_svo_spot spot = {.group = group, .word = lodei_handle_word(group)};
    *ret_old = NULL;
    if (spot.word == 0 || (spot.word & LODEI_SLOT_KEPT_MASK) != 0)
        return 0;
    unsigned mask = lodei_svo_mask(spot.word);
    struct lode_svo_line *block = lodei_svo_block(svo, mask);
    if (block == NULL)
        return -ENOMEM;
    memcpy(block, lodei_word_block(spot.word), lodei_svo_size(mask) * sizeof(*block));
    int status = lodei_svo_swap(svo, &spot, block, mask, ret_old);
    if (status != 0) {
        lode_free(block);
        return status;
    }
    svo->reordered++;
    return 0;
}

/* Move these; 0 or -ENOMEM. */
static int move_groups(struct lode_svo *svo, const lode_handle *groups, unsigned count,
                       const struct lodei_svo_scan *behind)
{
    void *old[BATCH];
    unsigned done = 0;
    int status = 0;
    pthread_mutex_lock(&svo->lock);
    for (; done < count && status == 0; done++)
        status = move_group(svo, groups[done], &old[done]);
    if (status == 0) {
        svo->pass_start = behind->start;
        svo->pass_level = behind->level;
    }
    pthread_mutex_unlock(&svo->lock);
    for (unsigned i = 0; i < done; i++)
        if (old[i] != NULL)
            lodei_grace_free(old[i]);
    return status;
}

/* 1: go on at svo->pass_*; 0: there is nothing to do; -EBUSY, -ENOMEM. */
static int pass_enter(struct lode_svo *svo)
{
    pid_t self = getpid(); /* in a forked child, whoever was at it is gone */
    int status = 1;
    pthread_mutex_lock(&svo->lock);
    if (svo->reordering == self) {
        status = -EBUSY;
    } else if (!svo->in_pass) {
        if (svo->edits == svo->pass_edits)
            status = 0;
        else
            status = lodei_svo_second_heap(svo) != 0 ? -ENOMEM : 1;
        if (status == 1) {
            svo->heap ^= 1;
            svo->in_pass = 1;
            svo->pass_edits = svo->edits;
            svo->pass_start = 0;
            svo->pass_level = svo->levels;
        }
    }
    if (status == 1)
        svo->reordering = self;
    pthread_mutex_unlock(&svo->lock);
    return status;
}

static void pass_leave(struct lode_svo *svo, int ended)
{
    pthread_mutex_lock(&svo->lock);
    svo->reordering = 0;
    if (ended)
        svo->in_pass = 0;
    pthread_mutex_unlock(&svo->lock);
}

int lode_svo_reorder(struct lode_svo *svo, uint32_t max_us)
{
    struct lodei_svo_scan scan;
    uint64_t end = now_us() + max_us;
    int status = pass_enter(svo), more = 1;
    if (status != 1)
        return status;
    lodei_svo_scan_init(&scan, svo, LODEI_SVO_SCAN_GROUPS);
    scan.capacity = BATCH;
    scan.start = svo->pass_start; /* only the thread that is in the pass writes them */
    scan.level = svo->pass_level;
    status =
        scan.start == 0 && scan.level == svo->levels ? move_groups(svo, &svo->root, 1, &scan) : 0;
    while (status == 0 && more == 1) {
        more = lodei_svo_scan(svo, &scan);
        status = more < 0 ? more : move_groups(svo, scan.children, scan.count, &scan);
        if (now_us() >= end)
            break;
    }
    pass_leave(svo, status == 0 && more == 0);
    return status != 0 ? status : more;
}

/* ---- how far it is ---- */

struct measure {
    uintptr_t last_end[9]; /* of the last group of so many lines; 0: there was none */
    uint64_t pairs, near_pairs, bytes;
};

static void measure_group(struct measure *m, lode_handle group)
{
    uint64_t word = lodei_handle_word(group);
    if (word == 0)
        return;
    unsigned n = lodei_svo_size(lodei_svo_mask(word));
    uintptr_t start = (uintptr_t)lodei_word_block(word), last = m->last_end[n];
    uint64_t distance = start > last ? start - last : last - start;
    if (last != 0) {
        m->pairs++;
        m->near_pairs += distance <= 4096;
        m->bytes += distance;
    }
    m->last_end[n] = start + n * sizeof(struct lode_svo_line);
}

int lode_svo_order(struct lode_svo *svo, struct lode_svo_order *ret_order)
{
    struct lodei_svo_scan scan;
    struct measure m = {.pairs = 0};
    int more = 1;
    lodei_svo_scan_init(&scan, svo, LODEI_SVO_SCAN_GROUPS);
    while (more == 1) {
        more = lodei_svo_scan(svo, &scan);
        for (uint32_t i = 0; i < scan.count; i++)
            measure_group(&m, scan.children[i]);
    }
    if (more != 0)
        return more;
    *ret_order = (struct lode_svo_order){
        .pairs = m.pairs,
        .near_pairs = m.near_pairs,
        .mean_bytes = m.pairs != 0 ? m.bytes / m.pairs : 0,
    };
    return 0;
}
