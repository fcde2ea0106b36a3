/* SPDX-License-Identifier: MIT */
/*
 * Frame arenas looked at: figures, whose memory an address is, and the common interface. Owns and
 * changes nothing; framearena.c has the rules. The lock is held while looking.
 */
#include "ext/framearena.h"

#include "ext/ops.h"
#include "ext/poison.h"

/* ---- figures ---- */

static int in_large(const struct lodei_frame_large *l, uintptr_t at)
{
    for (; l != NULL; l = l->next)
        if (at - (uintptr_t)(l + 1) < l->total_bytes - sizeof(*l))
            return 1;
    return 0;
}

static int in_lane(const struct lode_frame *f, const struct lodei_frame_lane *lane, uintptr_t at)
{
    for (uint32_t a = 0; a <= f->age_mask; a++)
        for (unsigned n = 0; n < LODEI_FRAME_CHUNKS; n++) {
            const struct lodei_frame_chunk *chunk = &lane->ages[a].chunks[n];
            if (at - lodei_frame_base(chunk) < lodei_frame_units(chunk) << LODEI_FRAME_UNIT_LOG2)
                return 1;
        }
    return 0;
}

int lode_frame_owns(struct lode_frame *f, const void *block)
{
    uintptr_t at = (uintptr_t)block;
    pthread_mutex_lock(&f->lock);
    int found = in_large(f->spare, at);
    for (uint32_t a = 0; a <= f->age_mask && !found; a++)
        found = in_large(f->larges[a].list, at);
    for (unsigned i = 0; i < LODEI_FRAME_LANES && !found; i++) {
        const struct lodei_frame_lane *lane = lodei_frame_lane(f, i);
        found = lane != NULL && in_lane(f, lane, at);
    }
    pthread_mutex_unlock(&f->lock);
    return found;
}

/* Room of all chunks. */
static size_t chunk_room(const struct lode_frame *f)
{
    size_t units = 0;
    for (unsigned i = 0; i < LODEI_FRAME_LANES; i++) {
        const struct lodei_frame_lane *lane = lodei_frame_lane(f, i);
        for (uint32_t a = 0; lane != NULL && a <= f->age_mask; a++)
            for (unsigned n = 0; n < LODEI_FRAME_CHUNKS; n++)
                units += lodei_frame_units(&lane->ages[a].chunks[n]);
    }
    return units << LODEI_FRAME_UNIT_LOG2;
}

/* The largest small request that this thread's lane serves without the heap. */
static size_t largest_small(const struct lode_frame *f)
{
    struct lodei_frame_lane *lane = lodei_frame_lane(f, lodei_frame_lane_number());
    /* relaxed: it changes under the lock */
    uint64_t now = atomic_load_explicit(&f->generation, memory_order_relaxed);
    if (lane == NULL)
        return 0;
    const struct lodei_frame_age *age = lodei_frame_age(f, lane, now);
    size_t largest =
        lodei_frame_units(&age->chunks[age->full]) - lodei_frame_last_units(f, lane, now);
    for (unsigned n = age->full + 1; n < LODEI_FRAME_CHUNKS; n++)
        largest = lodei_max(largest, lodei_frame_units(&age->chunks[n]));
    return lodei_min(largest, f->small_units) << LODEI_FRAME_UNIT_LOG2;
}

void lodei_frame_describe(void *object, struct lode_allocator_stats *ret_stats)
{
    struct lode_frame *f = object;
    pthread_mutex_lock(&f->lock);
    size_t small = lodei_frame_used_small(f), large = lodei_frame_used_large(f);
    size_t own = sizeof(*f) + f->lane_count * lodei_frame_lane_bytes(f);
    size_t spare = 0, largest = largest_small(f);
    for (const struct lodei_frame_large *l = f->spare; l != NULL; l = l->next) {
        size_t bytes = lodei_round_down(l->total_bytes - sizeof(*l), LODEI_FRAME_UNIT);
        spare += bytes;
        largest = lodei_max(largest, bytes);
    }
    *ret_stats = (struct lode_allocator_stats){
        .used_bytes = small + large,
        .requested_bytes = small + large,
        .peak_used_bytes = lodei_max(f->peak_bytes, small + large),
        .free_bytes = chunk_room(f) - small + spare,
        .mapped_bytes = f->total_bytes + own,
        .metadata_bytes = own,
        .largest_free_bytes = largest,
        .misses = f->misses,
        .failures = atomic_load_explicit(&f->failures, memory_order_relaxed), /* a figure */
    };
    pthread_mutex_unlock(&f->lock);
}

void lode_frame_stats(struct lode_frame *f, struct lode_allocator_stats *ret_stats)
{
    lodei_frame_describe(f, ret_stats);
}

/* ---- as an allocator ---- */

static const struct lode_allocator_ops frame_ops;

static void *op_alloc(void *ctx, size_t bytes, size_t align)
{
    return lode_frame_alloc(ctx, bytes, align);
}

static void *op_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    if (block == NULL || bytes > old_bytes)
        return lodei_resize_by_moving(&frame_ops, ctx, block, old_bytes, bytes, align);
    return lodei_align_take(align) != 0 ? block : NULL;
}

/* Its memory comes back with its frame. Only the watchers hear of it. */
static int op_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)align;
    if (lode_unlikely(lodei_watched) && block != NULL && lode_frame_owns(ctx, block))
        lodei_taken(block, lodei_max(bytes, 1));
    return 0;
}

static size_t op_max_bytes(void *ctx)
{
    const struct lode_frame *f = ctx;
    return lodei_min(f->max_bytes, lodei_source_max_bytes());
}

/* Is there a chunk for so many units in this thread's lane, or may there be one? */
static int can_small(const struct lode_frame *f, size_t units)
{
    struct lodei_frame_lane *lane = lodei_frame_lane(f, lodei_frame_lane_number());
    /* relaxed, both: they change under the lock, or are out of date at once */
    uint64_t now = atomic_load_explicit(&f->generation, memory_order_relaxed);
    if (lane == NULL)
        return lodei_frame_chunk_size(f, 0) >> LODEI_FRAME_UNIT_LOG2 >= units;
    uint64_t word = atomic_load_explicit(&lane->word, memory_order_relaxed);
    const struct lodei_frame_age *age = lodei_frame_age(f, lane, now);
    unsigned number = lodei_frame_chunk_in(word);
    size_t has = lodei_frame_units(&age->chunks[number]);
    if (lodei_frame_position(word) + units <= has)
        return 1;
    for (number += has != 0; number < LODEI_FRAME_CHUNKS; number++) {
        has = lodei_frame_units(&age->chunks[number]);
        if (has == 0)
            return lodei_frame_chunk_size(f, number) >> LODEI_FRAME_UNIT_LOG2 >= units;
        if (has >= units)
            return 1;
    }
    return 0;
}

static int can_large(const struct lode_frame *f, size_t need)
{
    for (const struct lodei_frame_large *l = f->spare; l != NULL; l = l->next)
        if (l->total_bytes >= need && l->total_bytes / 2 <= need)
            return 1;
    return need <= lodei_min(f->max_bytes - f->total_bytes, lodei_source_max_bytes());
}

static int op_can_allocate(void *ctx, size_t bytes, size_t align)
{
    struct lode_frame *f = ctx;
    align = lodei_align_take(align);
    if (align == 0 || bytes > PTRDIFF_MAX / 2 || align > PTRDIFF_MAX / 4)
        return 0;
    size_t whole = lodei_round_up(lodei_max(bytes, 1), LODEI_FRAME_UNIT) + lodei_frame_slack(align);
    size_t units = whole >> LODEI_FRAME_UNIT_LOG2;
    pthread_mutex_lock(&f->lock);
    int can = units <= f->small_units ? can_small(f, units)
                                      : can_large(f, whole + sizeof(struct lodei_frame_large));
    pthread_mutex_unlock(&f->lock);
    return can;
}

static int op_owns(void *ctx, const void *block)
{
    return lode_frame_owns(ctx, block);
}

static const struct lode_allocator_ops frame_ops = {
    .alloc = op_alloc,
    .resize = op_resize,
    .free = op_free,
    .max_bytes = op_max_bytes,
    .can_allocate = op_can_allocate,
    .owns = op_owns,
    .stats = lodei_frame_describe,
};

void lode_frame_allocator(struct lode_frame *frame, struct lode_allocator *ret_allocator)
{
    *ret_allocator = (struct lode_allocator){
        .ops = &frame_ops, .ctx = frame, .traits = LODE_TRAIT_THREADS | LODE_TRAIT_DESTROYS};
}
