/* SPDX-License-Identifier: MIT */
/*
 * Releases by threads that do not own the pool: a bit map as inbox.
 *
 * Beside the bits that say who is live, a descriptor has one bit an object that says: released, not
 * yet taken back. Whoever sets one queues the descriptor unless it is queued. The pool's thread
 * takes the whole queue when it runs dry and at each epoch, and of each descriptor clears first
 * `queued`, then looks for bits of objects that are still live: a bit set later queues it again.
 * The bit itself stays until the object is taken out of its chunk anew (poolchunk.c), so a second
 * release finds it whenever it comes. The queue is a stack that is only ever taken whole (Treiber
 * 1986, without its ABA problem); that the message is a bit, so that nothing is written into the
 * object and a double release shows, is ours.
 *
 * Owns the queue. Lock-free for those who release; lodei_pool_collect() runs under pool->lock.
 */
#include "ext/poolcore.h"

#include <errno.h>

#include "ext/poison.h"

static void enqueue(struct lodei_pool *p, struct lode_pool_chunk *chunk)
{
    /* acq_rel: whoever clears `queued` sees our bit; pairs with the exchange in
     * lodei_pool_collect() */
    if (__atomic_exchange_n(&chunk->queued, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    struct lode_pool_chunk *head = atomic_load_explicit(&p->queue, memory_order_relaxed);
    do
        chunk->queue_next = head;
    /* release: queue_next; pairs with the exchange of the head in lodei_pool_collect() */
    while (!atomic_compare_exchange_weak_explicit(&p->queue, &head, chunk, memory_order_release,
                                                  memory_order_relaxed));
}

int lode_pool_release_remote(struct lode_pool *pool, void *object)
{
    struct lodei_pool *p = lodei_pool_of(pool);
    uint32_t slot;
    if (!(p->flags & LODE_POOL_REMOTE))
        return -ENOTSUP;
    if (object == NULL)
        return 0;
    struct lode_pool_chunk *chunk = lodei_pool_find(p, object, &slot);
    if (chunk == NULL || !lodei_pool_bit(lodei_pool_bits(chunk), slot))
        return lodei_pool_misused(p);
    uint64_t bit = (uint64_t)1 << (slot % 64), *word = &chunk->remote[slot / 64];
    if (lodei_pool_bit(chunk->remote, slot))
        return lodei_pool_misused(p);
    lodei_taken(object, p->object_bytes);
    /* acq_rel: the caller's use of the object happens before its next user's; pairs with
     * collect_word(). There is no second look at the live bit: it may be gone already because our
     * own release was taken back, by way of another one that queued the chunk. */
    if (__atomic_fetch_or(word, bit, __ATOMIC_ACQ_REL) & bit)
        return lodei_pool_misused(p);
    enqueue(p, chunk);
    return 0;
}

static void collect_word(struct lodei_pool *p, struct lode_pool_chunk *chunk, uint32_t i)
{
    uint64_t *bits = lodei_pool_bits(chunk);
    /* acquire: pairs with lode_pool_release_remote(). Bits of objects that are not live were
     * collected before. */
    uint64_t freed = __atomic_load_n(&chunk->remote[i], __ATOMIC_ACQUIRE) & bits[i];
    if (freed == 0)
        return;
    __atomic_store_n(&bits[i], bits[i] & ~freed, __ATOMIC_RELAXED);
    for (; freed != 0; freed &= freed - 1)
        lodei_pool_count_back(p, chunk, i * 64 + (uint32_t)__builtin_ctzll(freed));
}

void lodei_pool_collect(struct lodei_pool *p)
{
    if (atomic_load_explicit(&p->queue, memory_order_relaxed) == NULL)
        return;
    lodei_pool_note_peak(p);
    /* acquire: pairs with enqueue() */
    struct lode_pool_chunk *chunk = atomic_exchange_explicit(&p->queue, NULL, memory_order_acquire);
    while (chunk != NULL) {
        struct lode_pool_chunk *next = chunk->queue_next;
        /* pairs with the exchange in enqueue() */
        (void)__atomic_exchange_n(&chunk->queued, 0, __ATOMIC_ACQ_REL);
        for (uint32_t i = 0; i * 64 < p->front.slots; i++)
            collect_word(p, chunk, i);
        chunk = next;
    }
}
