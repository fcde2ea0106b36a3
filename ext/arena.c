/* SPDX-License-Identifier: MIT */
/*
 * Arenas: blocks, marks, and what the outside asks. Owns the chunks (arenachunks.h has the layout),
 * the table of marks and, unless it was given one, the heap they are from. Bumping is inline in
 * lode/arena.h; here is what happens at the end of a chunk.
 *
 * There, a block goes on in the next chunk or gets one for itself. Going on passes over the tail of
 * the current chunk; a spare chunk is used in the way that passes over less, and a new one is made
 * to measure for a block that is more than a quarter of an ordinary chunk, unless the tail is less
 * than an eighth.
 *
 * No lock, and none needed: see arenachunks.h. Calls nothing but the heap below.
 */
#include "lode/arena.h"

#include <errno.h>
#include <string.h>

#include "ext/arenachunks.h"
#include "ext/ops.h"
#include "ext/opts.h"
#include "ext/poison.h"

_Static_assert(sizeof(struct lode_arena_opts) == 8 + 8 * sizeof(size_t), "no hidden padding");

static struct lodei_arena *arena_of(const struct lode_arena *head)
{
    return (struct lodei_arena *)(uintptr_t)head;
}

/* ---- allocation ---- */

/* Go on in `chunk`, which has room. */
static void *advance(struct lodei_arena *a, struct lodei_chunk *chunk, size_t bytes, size_t mask)
{
    uintptr_t at = lodei_place(chunk->start, chunk->end, bytes, mask);
    a->current->next = a->head.next;
    lodei_add(a->figures.below_bytes, a->current->next - a->current->start);
    chunk->below = a->current;
    lodei_arena_enter(a, chunk, at + bytes);
    return (void *)at;
}

/* Give `chunk`, which has room, to this block alone. */
static void *settle_alone(struct lodei_arena *a, struct lodei_chunk *chunk, size_t bytes,
                          size_t mask)
{
    uintptr_t at = lodei_place(chunk->start, chunk->end, bytes, mask);
    chunk->next = at + bytes;
    chunk->below = a->alone;
    a->alone = chunk;
    lodei_add(a->figures.alone_bytes, chunk->next - chunk->start);
    return (void *)at;
}

/* Room for a block that starts behind a chunk's header; 0: too much for any. */
static size_t room_needed(size_t bytes, size_t mask)
{
    size_t slack = mask > 15 ? mask - 15 : 0;
    return bytes <= PTRDIFF_MAX && slack <= PTRDIFF_MAX - bytes ? bytes + slack : 0;
}

static void *alloc_beyond(struct lodei_arena *a, size_t bytes, size_t mask)
{
    size_t tail = a->current->end - a->head.next;
    struct lodei_chunk *before, *chunk = lodei_spare_find(a, bytes, mask, &before);
    if (chunk != NULL) {
        lodei_spare_remove(a, chunk, before);
        if (a->fixed || tail <= lodei_chunk_room(chunk) - bytes)
            return advance(a, chunk, bytes, mask);
        return settle_alone(a, chunk, bytes, mask);
    }
    size_t need = room_needed(bytes, mask), room = lodei_arena_next_room(a);
    if (need == 0)
        return NULL;
    lodei_add(a->figures.misses, 1);
    if (need <= room && (a->fixed || need <= room / 4 || tail <= room / 8)) {
        chunk = lodei_chunk_take(a, room);
        if (chunk != NULL)
            return advance(a, chunk, bytes, mask);
    }
    chunk = lodei_chunk_take(a, need);
    return chunk != NULL ? settle_alone(a, chunk, bytes, mask) : NULL;
}

void *lode_arena_alloc_slow(struct lode_arena *arena, size_t bytes, size_t align)
{
    struct lodei_arena *a = arena_of(arena);
    void *block = NULL;
    bytes = lodei_max(bytes, 1);
    align = lodei_align_take(align);
    if (align != 0) {
        size_t mask = (align - 1) | a->head.mask;
        uintptr_t at = lodei_place(a->head.next, a->current->end, bytes, mask);
        block = (void *)at;
        if (at != 0)
            lodei_arena_move(a, at + bytes);
        else
            block = alloc_beyond(a, bytes, mask);
    }
    if (block != NULL)
        lodei_given(block, bytes);
    else
        lodei_add(a->figures.failures, 1);
    return block;
}

void *lode_arena_calloc(struct lode_arena *arena, size_t count, size_t bytes, size_t align)
{
    void *block = lode_arena_alloc_array(arena, count, bytes, align);
    if (block != NULL)
        memset(block, 0, count * bytes);
    return block;
}

/* Is there room for such a block without the heap? */
static int has_room(struct lodei_arena *a, size_t bytes, size_t mask)
{
    struct lodei_chunk *before;
    return lodei_place(a->head.next, a->current->end, bytes, mask) != 0 ||
           lodei_spare_find(a, bytes, mask, &before) != NULL;
}

int lode_arena_reserve(struct lode_arena *arena, size_t bytes)
{
    struct lodei_arena *a = arena_of(arena);
    bytes = lodei_max(bytes, 1);
    if (has_room(a, bytes, 15 | a->head.mask))
        return 0;
    size_t need = room_needed(bytes, 15 | a->head.mask);
    struct lodei_chunk *chunk = need != 0 ? lodei_chunk_take(a, need) : NULL;
    if (chunk == NULL)
        return -ENOMEM;
    lodei_spare_first(a, chunk);
    return 0;
}

/* ---- single blocks ---- */

/* Single frees and extensions touch nothing older: what a mark comes back to stays. */
static int is_last(const struct lodei_arena *a, const void *block, size_t bytes)
{
    uintptr_t oldest = a->current->start;
    if (a->marks.depth > 0) {
        const struct lodei_marked *newest = &a->marks.entries[a->marks.depth - 1];
        if (newest->chunk == a->current)
            oldest = newest->at;
    }
    return (uintptr_t)block + bytes == a->head.next && (uintptr_t)block >= oldest;
}

/* Where the chunk that [block, +bytes) has for itself is linked, if it is newer than the newest
 * mark; NULL: it has none. */
static struct lodei_chunk **alone_find(struct lodei_arena *a, const void *block, size_t bytes)
{
    const struct lodei_chunk *last = NULL;
    if (a->marks.depth > 0)
        last = a->marks.entries[a->marks.depth - 1].more;
    for (struct lodei_chunk **from = &a->alone; *from != last; from = &(*from)->below)
        if ((*from)->next == (uintptr_t)block + bytes && (uintptr_t)block >= (*from)->start)
            return from;
    return NULL;
}

int lode_arena_extend(struct lode_arena *arena, void *block, size_t old_bytes, size_t bytes)
{
    struct lodei_arena *a = arena_of(arena);
    struct lodei_chunk **from, *chunk = a->current;
    uintptr_t at = (uintptr_t)block;
    old_bytes = lodei_max(old_bytes, 1);
    bytes = lodei_max(bytes, 1);
    int last = is_last(a, block, old_bytes);
    if (!last) {
        from = alone_find(a, block, old_bytes);
        if (from == NULL)
            return -EBUSY;
        chunk = *from;
    }
    if (bytes > chunk->end - at)
        return -ENOMEM;
    lodei_arena_note_peak(a);
    if (last) {
        lodei_arena_move(a, at + bytes);
    } else {
        chunk->next = at + bytes;
        lodei_add(a->figures.alone_bytes, bytes - old_bytes);
    }
    if (bytes > old_bytes) {
        lodei_add(a->figures.extended, 1);
        lodei_given((char *)block + old_bytes, bytes - old_bytes);
    } else {
        lodei_taken((char *)block + bytes, old_bytes - bytes);
    }
    return 0;
}

void lode_arena_free(struct lode_arena *arena, void *block, size_t bytes)
{
    struct lodei_arena *a = arena_of(arena);
    struct lodei_chunk **from;
    if (block == NULL)
        return;
    bytes = lodei_max(bytes, 1);
    lodei_arena_note_peak(a);
    if (lode_unlikely(lodei_watched) && lode_arena_owns(arena, block) &&
        lode_arena_owns(arena, (char *)block + bytes - 1))
        lodei_taken(block, bytes);
    if (is_last(a, block, bytes)) {
        lodei_arena_move(a, (uintptr_t)block);
    } else if ((from = alone_find(a, block, bytes)) != NULL) {
        struct lodei_chunk *chunk = *from;
        *from = chunk->below;
        lodei_add(a->figures.alone_bytes, -(chunk->next - chunk->start));
        lodei_spare_last(a, chunk);
    }
}

/* ---- marks ---- */

lode_mark lode_arena_mark(struct lode_arena *arena, const char *why)
{
    struct lodei_arena *a = arena_of(arena);
    lode_mark mark;
    struct lodei_marked *entry = lodei_marks_push(&a->marks, &a->source, &mark);
    if (entry == NULL)
        return 0;
    lodei_put(a->figures.mark_bytes, lodei_marks_bytes(&a->marks));
    entry->why = why;
    entry->chunk = a->current;
    entry->at = a->head.next;
    entry->more = a->alone;
    return mark;
}

static void rewind_to(struct lodei_arena *a, uint32_t index)
{
    const struct lodei_marked *entry = &a->marks.entries[index];
    lodei_arena_fall(a, entry->chunk, entry->at, entry->more);
    a->marks.depth = index;
    lodei_add(a->figures.rewinds, 1);
}

int lode_arena_rewind(struct lode_arena *arena, lode_mark mark)
{
    struct lodei_arena *a = arena_of(arena);
    uint32_t index;
    int error = lodei_marks_newest(&a->marks, mark, &index);
    if (error == 0)
        rewind_to(a, index);
    return error;
}

int lode_arena_unwind(struct lode_arena *arena, lode_mark mark)
{
    struct lodei_arena *a = arena_of(arena);
    uint32_t index;
    int error = lodei_marks_find(&a->marks, mark, &index);
    if (error == 0)
        rewind_to(a, index);
    return error;
}

int lode_arena_keep(struct lode_arena *arena, lode_mark mark)
{
    struct lodei_arena *a = arena_of(arena);
    uint32_t index;
    int error = lodei_marks_newest(&a->marks, mark, &index);
    if (error == 0)
        a->marks.depth = index;
    return error;
}

lode_mark lode_arena_marked(const struct lode_arena *arena, const char *why)
{
    return lodei_marks_named(&arena_of(arena)->marks, why);
}

const char *lode_arena_innermost(const struct lode_arena *arena, uint32_t *ret_depth)
{
    const struct lodei_marks *marks = &arena_of(arena)->marks;
    if (ret_depth != NULL)
        *ret_depth = marks->depth;
    return marks->depth > 0 ? marks->entries[marks->depth - 1].why : NULL;
}

/* ---- all of it ---- */

void lode_arena_reset(struct lode_arena *arena)
{
    struct lodei_arena *a = arena_of(arena);
    lodei_arena_fall(a, &a->lent, a->lent.start, NULL);
    a->marks.depth = 0;
    lodei_add(a->figures.resets, 1);
}

size_t lode_arena_trim(struct lode_arena *arena)
{
    return lodei_spare_give(arena_of(arena));
}

size_t lode_arena_clear(struct lode_arena *arena)
{
    lode_arena_reset(arena);
    return lode_arena_trim(arena);
}

static int in_list(const struct lodei_chunk *chunk, uintptr_t at)
{
    for (; chunk != NULL; chunk = chunk->below)
        if (at >= chunk->start && at < chunk->end)
            return 1;
    return 0;
}

int lode_arena_owns(const struct lode_arena *arena, const void *block)
{
    const struct lodei_arena *a = arena_of(arena);
    uintptr_t at = (uintptr_t)block;
    return in_list(a->current, at) || in_list(a->alone, at) || in_list(a->spare, at);
}

/* ---- figures ---- */

void lode_arena_growth(const struct lode_arena *arena, struct lode_arena_growth *ret_growth)
{
    const struct lodei_arena_figures *f = &arena_of(arena)->figures;
    size_t used = lodei_arena_used(arena_of(arena)), next = lodei_get(arena->next);
    uintptr_t end = lodei_get(f->end);
    struct lode_arena_growth g = {
        .used_bytes = used,
        .peak_used_bytes = lodei_max(lodei_get(f->peak_bytes), used),
        .held_bytes = lodei_get(f->room_bytes),
        .peak_held_bytes = lodei_get(f->peak_room_bytes),
        .chunks = lodei_get(f->chunks),
        .spare_chunks = lodei_get(f->spare_chunks),
        .chunks_taken = lodei_get(f->taken),
        .chunks_given = lodei_get(f->given),
        .resets = lodei_get(f->resets),
        .rewinds = lodei_get(f->rewinds),
        .extended = lodei_get(f->extended),
    };
    size_t known = used + lodei_get(f->spare_bytes) + (end > next ? end - next : 0);
    g.passed_bytes = g.held_bytes > known ? g.held_bytes - known : 0;
    *ret_growth = g;
}

static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    const struct lodei_arena *a = object;
    const struct lodei_arena_figures *f = &a->figures;
    uintptr_t next = lodei_get(a->head.next), end = lodei_get(f->end);
    size_t left = end > next ? end - next : 0, pad = (0 - next) & (15 | a->head.mask);
    struct lode_allocator_stats s = {
        .used_bytes = lodei_arena_used(a),
        .free_bytes = lodei_get(f->spare_bytes) + left,
        .metadata_bytes = sizeof(*a) + lodei_get(f->chunks) * sizeof(struct lodei_chunk) +
                          lodei_get(f->mark_bytes),
        .misses = lodei_get(f->misses),
        .failures = lodei_get(f->failures),
    };
    s.requested_bytes = s.used_bytes;
    s.peak_used_bytes = lodei_max(lodei_get(f->peak_bytes), s.used_bytes);
    s.mapped_bytes = lodei_get(f->total_bytes) + lodei_chunk_room(&a->lent) + sizeof(*a) +
                     lodei_get(f->mark_bytes);
    size_t slack = a->head.mask > 15 ? a->head.mask : 0, spare = lodei_get(f->spare_largest_bytes);
    s.largest_free_bytes =
        lodei_max(left > pad ? left - pad : 0, spare > slack ? spare - slack : 0);
    *ret_stats = s;
}

void lode_arena_stats(const struct lode_arena *arena, struct lode_allocator_stats *ret_stats)
{
    describe(arena_of(arena), ret_stats);
}

/* ---- as an allocator ---- */

static const struct lode_allocator_ops arena_ops;

static void *op_alloc(void *ctx, size_t bytes, size_t align)
{
    return lode_arena_alloc(ctx, bytes, align);
}

static void *op_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    if (block == NULL || lodei_align_take(align) == 0)
        return block == NULL ? op_alloc(ctx, bytes, align) : NULL;
    if (lode_arena_extend(ctx, block, old_bytes, bytes) == 0 || bytes <= old_bytes)
        return block;
    return lodei_resize_by_moving(&arena_ops, ctx, block, old_bytes, bytes, align);
}

static int op_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)align;
    lode_arena_free(ctx, block, bytes);
    return 0;
}

static size_t op_alloc_many(void *ctx, size_t bytes, size_t align, void **ret_blocks, size_t count)
{
    return lodei_alloc_each(&arena_ops, ctx, bytes, align, ret_blocks, count);
}

static int op_free_many(void *ctx, void *const *blocks, size_t count, size_t bytes, size_t align)
{
    return lodei_free_each_backwards(&arena_ops, ctx, blocks, count, bytes, align);
}

static size_t op_max_bytes(void *ctx)
{
    struct lodei_arena *a = ctx;
    size_t heap = lodei_min(a->max_room_bytes, lodei_source_max_bytes());
    return lodei_max(heap, lodei_chunk_room(&a->lent));
}

static int op_can_allocate(void *ctx, size_t bytes, size_t align)
{
    struct lodei_arena *a = ctx;
    align = lodei_align_take(align);
    size_t mask = (align - 1) | a->head.mask;
    bytes = lodei_max(bytes, 1);
    if (align == 0)
        return 0;
    size_t need = room_needed(bytes, mask);
    return has_room(a, bytes, mask) ||
           (need != 0 && need <= lodei_arena_heap_room(a) && need <= lodei_source_max_bytes());
}

static int op_owns(void *ctx, const void *block)
{
    return lode_arena_owns(ctx, block);
}

static const struct lode_allocator_ops arena_ops = {
    .alloc = op_alloc,
    .resize = op_resize,
    .free = op_free,
    .alloc_many = op_alloc_many,
    .free_many = op_free_many,
    .max_bytes = op_max_bytes,
    .can_allocate = op_can_allocate,
    .owns = op_owns,
    .stats = describe,
};

void lode_arena_allocator(struct lode_arena *arena, struct lode_allocator *ret_allocator)
{
    uint32_t traits = LODE_TRAIT_RESIZES | LODE_TRAIT_DESTROYS;
    if (arena_of(arena)->fixed)
        traits |= LODE_TRAIT_BOUNDED;
    *ret_allocator =
        (struct lode_allocator){.ops = &arena_ops, .ctx = arena_of(arena), .traits = traits};
}

/* ---- life ---- */

static int opts_check(const struct lode_arena_opts *o)
{
    if (o->flags & ~LODE_ARENA_FIXED)
        return -EINVAL;
    if (o->align != 0 && !lodei_is_power_of_two(o->align))
        return -EINVAL;
    if ((o->memory == NULL) != (o->memory_bytes == 0))
        return -EINVAL;
    if (o->flags & LODE_ARENA_FIXED && o->initial_bytes == 0 && o->memory == NULL)
        return -EINVAL;
    return 0;
}

/* The initial chunk: where blocks start, unless the caller's memory comes first. */
static int start_room(struct lodei_arena *a, size_t bytes)
{
    struct lodei_chunk *chunk = bytes != 0 ? lodei_chunk_take(a, bytes) : NULL;
    if (chunk != NULL)
        lodei_spare_first(a, chunk);
    return chunk != NULL || bytes == 0 ? 0 : -ENOMEM;
}

int lode_arena_create(const struct lode_arena_opts *opts, struct lode_arena **ret_arena)
{
    struct lode_arena_opts o;
    struct lodei_source source;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error == 0)
        error = opts_check(&o);
    if (error == 0)
        error = lodei_source_open(&source, o.heap, o.tag, o.name != NULL ? o.name : "arena");
    if (error != 0)
        return error;
    struct lodei_arena *a = lodei_source_calloc(&source, sizeof(*a));
    if (a == NULL) {
        error = -ENOMEM;
        goto fail;
    }
    a->source = source;
    a->head.mask = o.align != 0 ? o.align - 1 : 0;
    a->fixed = (o.flags & LODE_ARENA_FIXED) != 0;
    a->chunk_bytes = a->fixed ? o.initial_bytes : o.chunk_bytes;
    a->max_room_bytes = o.max_bytes != 0 ? o.max_bytes : SIZE_MAX;
    if (a->fixed)
        a->max_room_bytes = lodei_min(a->max_room_bytes, o.initial_bytes);
    a->lent.start = a->lent.next = (uintptr_t)o.memory;
    a->lent.end = a->lent.start + o.memory_bytes;
    a->figures.room_bytes = a->figures.peak_room_bytes = o.memory_bytes;
    lodei_marks_init(&a->marks);
    lodei_arena_enter(a, &a->lent, a->lent.start);
    error = start_room(a, o.initial_bytes);
    if (error != 0)
        goto fail_object;
    lodei_taken(o.memory, o.memory_bytes);
    lodei_registry_add(&a->registered, "arena", o.name, a, describe);
    *ret_arena = &a->head;
    return 0;

fail_object:
    lodei_source_free(a, sizeof(*a));
fail:
    lodei_source_close(&source);
    return error;
}

void lode_arena_destroy(struct lode_arena *arena)
{
    if (arena == NULL)
        return;
    struct lodei_arena *a = arena_of(arena);
    struct lodei_source source = a->source;
    lodei_registry_remove(&a->registered);
    (void)lode_arena_clear(arena);
    lodei_forgotten((void *)a->lent.start, lodei_chunk_room(&a->lent));
    lodei_marks_finish(&a->marks);
    lodei_source_free(a, sizeof(*a));
    lodei_source_close(&source);
}
