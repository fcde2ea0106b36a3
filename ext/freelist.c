/* SPDX-License-Identifier: MIT */
/*
 * Free list allocators: cutting pieces and joining them. Owns the memory, unless it was lent, a bit
 * for each unit of it, and unless it was given one, the heap of both. freepieces.h has the layout;
 * how free pieces are found is the business of freebins.c or freetree.c.
 *
 * A pointer is believed only if its bit says that a live block starts there, and its tags only if
 * they agree with those of the neighbours: what a stray write has done to a tag is answered with
 * -EINVAL before anything is built on it.
 *
 * Not locked: one thread at a time. Figures that other threads read are written with lodei_put().
 * Calls nothing but the heap.
 */
#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "ext/freepieces.h"
#include "ext/ops.h"
#include "ext/opts.h"

#define BYTES_LEAST ((size_t)64)
#define BYTES_MOST  ((size_t)1 << 35) /* units in 31 bits */

_Static_assert(sizeof(struct lode_freelist_opts) == 8 + 4 * sizeof(size_t), "no hidden padding");

/* ---- pieces ---- */

/* What a piece of so many units holds. */
static size_t bytes_in(uint32_t units)
{
    return units * LODEI_PIECE_UNIT - LODEI_PIECE_TAG;
}

/* Units of a piece that holds so many bytes; 0: more than there ever are. */
static uint32_t units_for(const struct lode_freelist *f, size_t bytes)
{
    if (bytes > bytes_in(f->count))
        return 0;
    return (uint32_t)((lodei_max(bytes, 1) + LODEI_PIECE_TAG + LODEI_PIECE_UNIT - 1) /
                      LODEI_PIECE_UNIT);
}

static void tag_set(struct lode_freelist *f, uint32_t at, uint32_t units, int live, uint32_t before)
{
    lodei_tag_put(f, at, (struct lodei_piece_tag){units << 1 | (uint32_t)live, before});
}

static void before_set(struct lode_freelist *f, uint32_t at, uint32_t before)
{
    struct lodei_piece_tag tag = lodei_tag_get(f, at);
    tag.before = before;
    lodei_tag_put(f, at, tag);
}

/* Its tag is set. */
static void free_add(struct lode_freelist *f, uint32_t at, uint32_t units)
{
    lodei_add(f->free_pieces, 1);
    lodei_add(f->free_bytes, bytes_in(units));
    if (f->fit == LODE_FIT_FIRST)
        lodei_tree_add(f, at, units);
    else
        lodei_bins_add(f, at, units);
}

static void free_remove(struct lode_freelist *f, uint32_t at, uint32_t units)
{
    lodei_sub(f->free_pieces, 1);
    lodei_sub(f->free_bytes, bytes_in(units));
    if (f->fit == LODE_FIT_FIRST)
        lodei_tree_remove(f, at);
    else
        lodei_bins_remove(f, at, units);
}

static uint32_t free_find(const struct lode_freelist *f, uint32_t units, size_t align)
{
    return f->fit == LODE_FIT_FIRST ? lodei_tree_find(f, units, align)
                                    : lodei_bins_find(f, units, align);
}

static uint32_t largest(const struct lode_freelist *f)
{
    return f->fit == LODE_FIT_FIRST ? f->root_units : lodei_bins_largest(f);
}

/* Behind a live piece comes a free one of `units`, or none if these are 0. */
static void behind_set(struct lode_freelist *f, uint32_t at, uint32_t live_units, uint32_t units)
{
    uint32_t rest = at + live_units;
    if (units != 0) {
        tag_set(f, rest, units, 0, live_units);
        before_set(f, rest + units, units);
        free_add(f, rest, units);
    } else {
        before_set(f, rest, live_units);
    }
}

static void account(struct lode_freelist *f, size_t more, size_t less)
{
    lodei_put(f->used_bytes, f->used_bytes + more - less);
    if (f->used_bytes > f->peak_bytes)
        lodei_put(f->peak_bytes, f->used_bytes);
}

/* Where a live block starts, with its tag; NONE: it is none, or its tags are not right. */
static uint32_t live_find(const struct lode_freelist *f, const void *block,
                          struct lodei_piece_tag *ret_tag)
{
    size_t offset = (uintptr_t)block - f->origin, at = offset / LODEI_PIECE_UNIT;
    if (offset % LODEI_PIECE_UNIT != 0 || at >= f->count || !lodei_bitmap_get(f->live, at))
        return LODEI_PIECE_NONE;
    struct lodei_piece_tag tag = lodei_tag_get(f, (uint32_t)at);
    uint32_t units = lodei_tag_units(tag);
    if (!lodei_tag_live(tag) || units == 0 || units > f->count - at || tag.before > at ||
        (tag.before == 0) != (at == 0))
        return LODEI_PIECE_NONE;
    if (lodei_tag_get(f, (uint32_t)at + units).before != units ||
        (at != 0 && lodei_tag_units(lodei_tag_get(f, (uint32_t)at - tag.before)) != tag.before))
        return LODEI_PIECE_NONE;
    *ret_tag = tag;
    return (uint32_t)at;
}

/* ---- blocks ---- */

void *lode_freelist_alloc(struct lode_freelist *f, size_t bytes, size_t align)
{
    uint32_t at = LODEI_PIECE_NONE, units = units_for(f, bytes);
    align = lodei_align_take(align);
    if (lode_likely(units != 0 && align != 0)) {
        align = lodei_max(align, LODEI_PIECE_UNIT);
        at = free_find(f, units, align);
    }
    if (lode_unlikely(at == LODEI_PIECE_NONE)) {
        lodei_add(f->failures, 1);
        return NULL;
    }
    struct lodei_piece_tag tag = lodei_tag_get(f, at);
    uint32_t have = lodei_tag_units(tag), pad = (uint32_t)lodei_piece_pad(f, at, align);
    free_remove(f, at, have);
    if (pad != 0) {
        tag_set(f, at, pad, 0, tag.before);
        free_add(f, at, pad);
        at += pad;
        have -= pad;
        tag.before = pad;
    }
    tag_set(f, at, units, 1, tag.before);
    behind_set(f, at, units, have - units);
    lodei_bitmap_put(f->live, at, 1, 1);
    account(f, bytes_in(units), 0);
    lodei_add(f->blocks, 1);
    lodei_add(f->allocs, 1);
    void *block = (void *)(f->origin + at * LODEI_PIECE_UNIT);
    lodei_given(block, lodei_max(bytes, 1));
    return block;
}

int lode_freelist_free(struct lode_freelist *f, void *block)
{
    struct lodei_piece_tag tag, other;
    if (lode_unlikely(block == NULL))
        return 0;
    uint32_t at = live_find(f, block, &tag);
    if (lode_unlikely(at == LODEI_PIECE_NONE))
        return -EINVAL;
    uint32_t units = lodei_tag_units(tag), next = at + units;
    lodei_taken(block, bytes_in(units));
    lodei_bitmap_put(f->live, at, 1, 0);
    account(f, 0, bytes_in(units));
    lodei_sub(f->blocks, 1);
    other = lodei_tag_get(f, next);
    if (!lodei_tag_live(other)) {
        free_remove(f, next, lodei_tag_units(other));
        units += lodei_tag_units(other);
    }
    if (at != 0) {
        other = lodei_tag_get(f, at - tag.before);
        if (!lodei_tag_live(other)) {
            at -= tag.before;
            free_remove(f, at, tag.before);
            units += tag.before;
            tag.before = other.before;
        }
    }
    tag_set(f, at, units, 0, tag.before);
    before_set(f, at + units, units);
    free_add(f, at, units);
    return 0;
}

int lode_freelist_extend(struct lode_freelist *f, void *block, size_t old_bytes, size_t bytes)
{
    struct lodei_piece_tag tag, next;
    uint32_t at = live_find(f, block, &tag), units = units_for(f, bytes);
    if (at == LODEI_PIECE_NONE)
        return -EINVAL;
    uint32_t have = lodei_tag_units(tag), behind = 0;
    next = lodei_tag_get(f, at + have);
    if (!lodei_tag_live(next))
        behind = lodei_tag_units(next);
    if (units == 0 || units > have + behind)
        return -ENOMEM;
    if (units != have) {
        if (behind != 0)
            free_remove(f, at + have, behind);
        tag_set(f, at, units, 1, tag.before);
        behind_set(f, at, units, have + behind - units);
        account(f, bytes_in(units), bytes_in(have));
    }
    old_bytes = lodei_max(old_bytes, 1);
    bytes = lodei_max(bytes, 1);
    if (bytes > old_bytes)
        lodei_given((char *)block + old_bytes, bytes - old_bytes);
    else
        lodei_taken((char *)block + bytes, old_bytes - bytes);
    return 0;
}

size_t lode_freelist_block_bytes(const struct lode_freelist *f, const void *block)
{
    struct lodei_piece_tag tag;
    return live_find(f, block, &tag) != LODEI_PIECE_NONE ? bytes_in(lodei_tag_units(tag)) : 0;
}

void lode_freelist_reset(struct lode_freelist *f)
{
    memset(f->live, 0, f->live_bytes);
    lodei_put(f->used_bytes, 0);
    lodei_put(f->free_bytes, 0);
    lodei_put(f->free_pieces, 0);
    lodei_put(f->blocks, 0);
    lodei_bins_init(f);
    lodei_tree_init(f);
    lodei_taken((void *)(f->origin - LODEI_PIECE_TAG),
                f->count * LODEI_PIECE_UNIT + LODEI_PIECE_TAG);
    tag_set(f, 0, f->count, 0, 0);
    tag_set(f, f->count, 0, 1, f->count);
    free_add(f, 0, f->count);
}

/* ---- figures ---- */

int lode_freelist_owns(const struct lode_freelist *f, const void *block)
{
    return (uintptr_t)block - f->origin < f->count * LODEI_PIECE_UNIT - LODEI_PIECE_TAG;
}

static size_t own_bytes(const struct lode_freelist *f)
{
    return sizeof(*f) + f->live_bytes;
}

/* Any thread may ask; the largest free piece is told by its bin. */
static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    const struct lode_freelist *f = object;
    uint32_t large = f->fit == LODE_FIT_FIRST ? lodei_get(f->root_units) : lodei_bins_large(f);
    size_t blocks = lodei_get(f->blocks), pieces = blocks + lodei_get(f->free_pieces) + 1;
    uint64_t allocs = lodei_max(lodei_get(f->allocs), blocks);
    *ret_stats = (struct lode_allocator_stats){
        .used_bytes = lodei_get(f->used_bytes),
        .requested_bytes = lodei_get(f->used_bytes),
        .peak_used_bytes = lodei_get(f->peak_bytes),
        .free_bytes = lodei_get(f->free_bytes),
        .mapped_bytes = f->memory_bytes + own_bytes(f),
        .metadata_bytes = own_bytes(f) + pieces * LODEI_PIECE_TAG,
        .largest_free_bytes = large != 0 ? bytes_in(large) : 0,
        .blocks = blocks,
        .allocs = allocs,
        .frees = allocs - blocks,
        .failures = lodei_get(f->failures),
    };
}

void lode_freelist_stats(const struct lode_freelist *f, struct lode_allocator_stats *ret_stats)
{
    uint32_t units = largest(f);
    describe((void *)(uintptr_t)f, ret_stats);
    ret_stats->largest_free_bytes = units != 0 ? bytes_in(units) : 0;
}

/* ---- as an allocator ---- */

static const struct lode_allocator_ops freelist_ops;

static void *op_alloc(void *ctx, size_t bytes, size_t align)
{
    return lode_freelist_alloc(ctx, bytes, align);
}

static void *op_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    if (block == NULL)
        return op_alloc(ctx, bytes, align);
    if (lodei_align_take(align) == 0)
        return NULL;
    int error = lode_freelist_extend(ctx, block, old_bytes, bytes);
    if (error != -ENOMEM)
        return error == 0 ? block : NULL;
    return lodei_resize_by_moving(&freelist_ops, ctx, block, old_bytes, bytes, align);
}

static int op_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)bytes;
    (void)align;
    return lode_freelist_free(ctx, block);
}

static size_t op_max_bytes(void *ctx)
{
    const struct lode_freelist *f = ctx;
    return bytes_in(f->count);
}

static int op_can_allocate(void *ctx, size_t bytes, size_t align)
{
    const struct lode_freelist *f = ctx;
    uint32_t units = units_for(f, bytes);
    align = lodei_align_take(align);
    return units != 0 && align != 0 &&
           free_find(f, units, lodei_max(align, LODEI_PIECE_UNIT)) != LODEI_PIECE_NONE;
}

static int op_owns(void *ctx, const void *block)
{
    return lode_freelist_owns(ctx, block);
}

static void op_stats(void *ctx, struct lode_allocator_stats *ret_stats)
{
    lode_freelist_stats(ctx, ret_stats);
}

static const struct lode_allocator_ops freelist_ops = {
    .alloc = op_alloc,
    .resize = op_resize,
    .free = op_free,
    .max_bytes = op_max_bytes,
    .can_allocate = op_can_allocate,
    .owns = op_owns,
    .stats = op_stats,
};

void lode_freelist_allocator(struct lode_freelist *freelist, struct lode_allocator *ret_allocator)
{
    *ret_allocator = (struct lode_allocator){.ops = &freelist_ops,
                                             .ctx = freelist,
                                             .traits = LODE_TRAIT_FREES | LODE_TRAIT_BOUNDED |
                                                       LODE_TRAIT_CHECKED | LODE_TRAIT_RESIZES |
                                                       LODE_TRAIT_DESTROYS};
}

/* ---- life ---- */

/* Memory, and the bits beside it. */
static int start(struct lode_freelist *f, const struct lode_freelist_opts *o)
{
    uintptr_t memory = (uintptr_t)o->memory;
    f->memory_bytes = o->bytes;
    f->fit = o->fit;
    if (o->memory == NULL) {
        f->memory = lodei_source_alloc(&f->source, o->bytes, LODEI_PIECE_UNIT);
        if (f->memory == NULL)
            return -ENOMEM;
        memory = (uintptr_t)f->memory;
    }
    f->origin = lodei_round_up(memory + LODEI_PIECE_TAG, LODEI_PIECE_UNIT);
    f->count = (uint32_t)((memory + o->bytes - f->origin) / LODEI_PIECE_UNIT);
    f->live_bytes = ((size_t)f->count + 63) / 64 * 8;
    f->live = lodei_source_alloc(&f->source, f->live_bytes, 16);
    if (f->live == NULL)
        return -ENOMEM;
    lode_freelist_reset(f);
    return 0;
}

static void finish(struct lode_freelist *f)
{
    struct lodei_source source = f->source;
    lodei_source_free(f->memory, f->memory_bytes);
    lodei_source_free(f->live, f->live_bytes);
    lodei_source_free(f, sizeof(*f));
    lodei_source_close(&source);
}

int lode_freelist_create(const struct lode_freelist_opts *opts, struct lode_freelist **ret_freelist)
{
    struct lode_freelist_opts o;
    struct lodei_source source;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error != 0)
        return error;
    if (o.bytes < BYTES_LEAST || o.bytes >= BYTES_MOST || o.fit > LODE_FIT_FIRST)
        return -EINVAL;
    error = lodei_source_open(&source, o.heap, o.tag, o.name != NULL ? o.name : "freelist");
    if (error != 0)
        return error;
    struct lode_freelist *f = lodei_source_calloc(&source, sizeof(*f));
    if (f == NULL) {
        lodei_source_close(&source);
        return -ENOMEM;
    }
    f->source = source;
    error = start(f, &o);
    if (error != 0) {
        finish(f);
        return error;
    }
    lodei_registry_add(&f->registered, "freelist", o.name, f, describe);
    *ret_freelist = f;
    return 0;
}

void lode_freelist_destroy(struct lode_freelist *f)
{
    if (f == NULL)
        return;
    lodei_registry_remove(&f->registered);
    lodei_forgotten((void *)(f->origin - LODEI_PIECE_TAG),
                    f->count * LODEI_PIECE_UNIT + LODEI_PIECE_TAG);
    finish(f);
}
