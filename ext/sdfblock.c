/* SPDX-License-Identifier: MIT */
/*
 * Where the blocks of bricks come from, and where those of replaced versions go: the heap of the
 * tier, by way of what is kept ready for tools once there was a hint (ready.c).
 *
 *     hint --touched--> ready --> new bricks, new versions --old versions--> ready, heap
 *
 * Old versions come back to what is ready, for else the blocks that one thread made ready would go
 * home to that thread's part of the heap with the first edit, and the thread that edits would meet
 * fresh memory all the same. Blocks that are ready are nobody's memory for ASan and memcheck.
 */
#include "ext/grace.h"
#include "ext/poison.h"
#include "ext/sdfpool.h"

struct lodei_ready *lodei_sdf_ready(struct lode_sdf *sdf)
{
    struct lodei_ready *ready = atomic_load_explicit(&sdf->ready, memory_order_acquire);
    if (ready != NULL)
        return ready;
    struct lodei_ready *made = lodei_ready_create(sdf->ready_limit);
    /* release: pairs with the acquire of whoever finds it */
    if (made == NULL || atomic_compare_exchange_strong_explicit(
                            &sdf->ready, &ready, made, memory_order_release, memory_order_acquire))
        return made;
    lodei_ready_destroy(made); /* another thread was faster */
    return ready;
}

void *lodei_sdf_block_ready(const struct lode_sdf *sdf, struct lodei_ready *ready, unsigned tier)
{
    void *block = lodei_ready_take(ready, tier);
    if (block != NULL)
        lodei_given(block, sdf->block_bytes[tier]);
    return block;
}

int lodei_sdf_block_keep(const struct lode_sdf *sdf, struct lodei_ready *ready, unsigned tier,
                         void *block)
{
    lodei_taken(block, sdf->block_bytes[tier]); /* before another thread can take it */
    if (lodei_ready_put(ready, tier, block) == 0)
        return 1;
    lodei_forgotten(block, sdf->block_bytes[tier]);
    return 0;
}

void lodei_sdf_block_old(const struct lode_sdf *sdf, void *block, unsigned tier)
{
    /* acquire: pairs with the release in lodei_sdf_ready() */
    struct lodei_ready *ready = atomic_load_explicit(&sdf->ready, memory_order_acquire);
    if (block == NULL)
        return;
    if (lode_unlikely(ready != NULL) && tier != LODEI_TIER_RAW &&
        lodei_ready_count(ready, tier) < ready->limit && lodei_grace_quiet() &&
        lodei_sdf_block_keep(sdf, ready, tier, block))
        return;
    lodei_grace_free(block);
}

size_t lodei_sdf_unready(struct lode_sdf *sdf, size_t bytes)
{
    /* acquire: as above */
    struct lodei_ready *ready = atomic_load_explicit(&sdf->ready, memory_order_acquire);
    size_t given = 0;
    for (unsigned t = 0; t < LODE_TIER_COUNT && ready != NULL; t++) {
        void *block;
        while (given < bytes && (block = lodei_ready_withdraw(ready, t)) != NULL) {
            lodei_forgotten(block, sdf->block_bytes[t]);
            lode_free(block);
            given += sdf->block_bytes[t];
        }
    }
    return given;
}
