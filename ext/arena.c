/* SPDX-License-Identifier: MIT */
/*
 * Arenas. Owns the chunks it bumps blocks through (ext/chunks.h), the table of marks and, unless it
 * was given one, the heap they are from. Bumping is inline in lode/arena.h.
 *
 *     below:  lent <- chunk <- chunk <- current          blocks bump through these
 *     alone:  block <- block                             each has a chunk for itself
 *     spare:  free chunks, in the order they will be used
 *
 * A mark is the current chunk, head.next, and the newest of `alone`: coming back to it moves the
 * chunks above to `spare`, so a frame that repeats itself runs through the same memory.
 *
 * At the end of a chunk a block goes on in the next one or gets one for itself. Going on passes
 * over the tail of the current chunk; a spare chunk is used in the way that passes over less, and a
 * new one is made to measure for a block that is more than a quarter of an ordinary chunk, unless
 * the tail is less than an eighth.
 *
 * head.end is where the inline path ends: the end of the current chunk, or head.next while ASan or
 * memcheck are to hear of each block (ext/poison.h).
 *
 * Not locked: one thread at a time. What another thread may read (head.next, struct figures, those
 * of the chunks) is written with lodei_put(); it follows no pointer. Calls nothing but the heap.
 */
#include "lode/arena.h"

#include <errno.h>
#include <string.h>

#include "ext/chunks.h"
#include "ext/marks.h"
#include "ext/ops.h"
#include "ext/opts.h"
#include "ext/poison.h"
#include "ext/registry.h"

struct figures {
    uintptr_t start, end; /* of the current chunk */
    size_t below_bytes;   /* used in the chunks under it */
    size_t alone_bytes;   /* used by blocks that have a chunk for themselves */
    size_t peak_bytes;
    size_t mark_bytes; /* of a table of marks outside the structure */
    uint64_t resets, rewinds, extended, failures;
};

struct arena {
    struct lode_arena head; /* first: a struct lode_arena * points here */
    struct lodei_chunk *current;
    struct lodei_chunk *alone;
    struct figures figures;
    struct lodei_chunks chunks;
    struct lodei_marks marks;
    struct lodei_registered registered;
};

_Static_assert(sizeof(struct lode_arena_opts) == 8 + 8 * sizeof(size_t), "no hidden padding");

static struct arena *arena_of(const struct lode_arena *head)
{
    return (struct arena *)(uintptr_t)head;
}

/* ---- where it stands ---- */

static void move_to(struct arena *a, uintptr_t next)
{
    lodei_put(a->head.next, next);
    lodei_put(a->head.end, lode_unlikely(lodei_watched) ? next : a->current->end);
}

static void enter(struct arena *a, struct lodei_chunk *chunk, uintptr_t next)
{
    a->current = chunk;
    lodei_put(a->figures.start, chunk->start);
    lodei_put(a->figures.end, chunk->end);
    move_to(a, next);
}

/* Any thread may ask; a torn look shows less than there is. */
static size_t used_bytes(const struct arena *a)
{
    uintptr_t start = lodei_get(a->figures.start), next = lodei_get(a->head.next);
    size_t here = next >= start && next <= lodei_get(a->figures.end) ? next - start : 0;
    return here + lodei_get(a->figures.below_bytes) + lodei_get(a->figures.alone_bytes);
}

/* The arena only fills up between two calls of this. */
static void note_peak(struct arena *a)
{
    size_t used = used_bytes(a);
    if (used > a->figures.peak_bytes)
        lodei_put(a->figures.peak_bytes, used);
}

/* Chunks of single blocks newer than `last` are spare; the oldest is used first again. */
static void alone_fall(struct arena *a, const struct lodei_chunk *last)
{
    struct lodei_chunk *oldest = NULL, *chunk;
    while ((chunk = a->alone) != last) {
        a->alone = chunk->below;
        chunk->below = oldest;
        oldest = chunk;
    }
    while ((chunk = oldest) != NULL) {
        oldest = chunk->below;
        lodei_sub(a->figures.alone_bytes, chunk->next - chunk->start);
        lodei_taken((void *)chunk->start, chunk->next - chunk->start);
        lodei_spare_last(&a->chunks, chunk);
    }
}

/* Come back to where a mark was made: everything newer is nobody's. */
static void fall(struct arena *a, struct lodei_chunk *chunk, uintptr_t next,
                 const struct lodei_chunk *alone)
{
    note_peak(a);
    alone_fall(a, alone);
    uintptr_t behind = a->head.next;
    while (a->current != chunk) {
        struct lodei_chunk *top = a->current, *below = top->below;
        lodei_taken((void *)top->start, behind - top->start);
        lodei_spare_first(&a->chunks, top);
        behind = below->next;
        lodei_sub(a->figures.below_bytes, behind - below->start);
        a->current = below;
    }
    lodei_taken((void *)next, behind - next);
    enter(a, chunk, next);
}

/* ---- allocation ---- */

/* Go on in `chunk`, which has room. */
static void *advance(struct arena *a, struct lodei_chunk *chunk, size_t bytes, size_t mask)
{
    uintptr_t at = lodei_place_in(chunk, bytes, mask);
    a->current->next = a->head.next;
    lodei_add(a->figures.below_bytes, a->current->next - a->current->start);
    chunk->below = a->current;
    enter(a, chunk, at + bytes);
    return (void *)at;
}

/* Give `chunk`, which has room, to this block alone. */
static void *settle_alone(struct arena *a, struct lodei_chunk *chunk, size_t bytes, size_t mask)
{
    uintptr_t at = lodei_place_in(chunk, bytes, mask);
    chunk->next = at + bytes;
    chunk->below = a->alone;
    a->alone = chunk;
    lodei_add(a->figures.alone_bytes, chunk->next - chunk->start);
    return (void *)at;
}

static void *alloc_beyond(struct arena *a, size_t bytes, size_t mask)
{
    size_t tail = a->current->end - a->head.next;
    struct lodei_chunk *chunk = lodei_spare_take(&a->chunks, bytes, mask);
    if (chunk != NULL) {
        if (a->chunks.fixed || tail <= lodei_chunk_room(chunk) - bytes)
            return advance(a, chunk, bytes, mask);
        return settle_alone(a, chunk, bytes, mask);
    }
    size_t need = lodei_room_needed(bytes, mask), room = lodei_chunks_next_room(&a->chunks);
    if (need == 0)
        return NULL;
    lodei_add(a->chunks.figures.misses, 1);
    if (need <= room && (a->chunks.fixed || need <= room / 4 || tail <= room / 8)) {
        chunk = lodei_chunk_take(&a->chunks, room);
        if (chunk != NULL)
            return advance(a, chunk, bytes, mask);
    }
    chunk = lodei_chunk_take(&a->chunks, need);
    return chunk != NULL ? settle_alone(a, chunk, bytes, mask) : NULL;
}

void *lode_arena_alloc_slow(struct lode_arena *arena, size_t bytes, size_t align)
{
    struct arena *a = arena_of(arena);
    void *block = NULL;
    bytes = lodei_max(bytes, 1);
    align = lodei_align_take(align);
    if (align != 0) {
        size_t mask = (align - 1) | a->head.mask;
        uintptr_t at = lodei_place(a->head.next, a->current->end, bytes, mask);
        block = (void *)at;
        if (at != 0)
            move_to(a, at + bytes);
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
static int has_room(const struct arena *a, size_t bytes, size_t mask)
{
    return lodei_place(a->head.next, a->current->end, bytes, mask) != 0 ||
           lodei_spare_fits(&a->chunks, bytes, mask);
}

int lode_arena_reserve(struct lode_arena *arena, size_t bytes)
{
    struct arena *a = arena_of(arena);
    bytes = lodei_max(bytes, 1);
    if (has_room(a, bytes, 15 | a->head.mask))
        return 0;
    size_t need = lodei_room_needed(bytes, 15 | a->head.mask);
    struct lodei_chunk *chunk = need != 0 ? lodei_chunk_take(&a->chunks, need) : NULL;
    if (chunk == NULL)
        return -ENOMEM;
    lodei_spare_first(&a->chunks, chunk);
    return 0;
}

/* ---- single blocks ---- */

/* Single frees and extensions touch nothing older: what a mark comes back to stays. */
static int is_last(const struct arena *a, const void *block, size_t bytes)
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
static struct lodei_chunk **alone_find(struct arena *a, const void *block, size_t bytes)
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
    struct arena *a = arena_of(arena);
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
    note_peak(a);
    if (last) {
        move_to(a, at + bytes);
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
    struct arena *a = arena_of(arena);
    struct lodei_chunk **from;
    if (block == NULL)
        return;
    bytes = lodei_max(bytes, 1);
    note_peak(a);
    if (lode_unlikely(lodei_watched) && lode_arena_owns(arena, block) &&
        lode_arena_owns(arena, (char *)block + bytes - 1))
        lodei_taken(block, bytes);
    if (is_last(a, block, bytes)) {
        move_to(a, (uintptr_t)block);
    } else if ((from = alone_find(a, block, bytes)) != NULL) {
        struct lodei_chunk *chunk = *from;
        *from = chunk->below;
        lodei_sub(a->figures.alone_bytes, chunk->next - chunk->start);
        lodei_spare_last(&a->chunks, chunk);
    }
}

/* ---- marks ---- */

lode_mark lode_arena_mark(struct lode_arena *arena, const char *why)
{
    struct arena *a = arena_of(arena);
    lode_mark mark;
    struct lodei_marked *entry = lodei_marks_push(&a->marks, &a->chunks.source, &mark);
    if (entry == NULL)
        return 0;
    lodei_put(a->figures.mark_bytes, lodei_marks_bytes(&a->marks));
    entry->why = why;
    entry->chunk = a->current;
    entry->at = a->head.next;
    entry->more = a->alone;
    return mark;
}

static void rewind_to(struct arena *a, uint32_t index)
{
    const struct lodei_marked *entry = &a->marks.entries[index];
    fall(a, entry->chunk, entry->at, entry->more);
    a->marks.depth = index;
    lodei_add(a->figures.rewinds, 1);
}

int lode_arena_rewind(struct lode_arena *arena, lode_mark mark)
{
    struct arena *a = arena_of(arena);
    uint32_t index;
    int error = lodei_marks_newest(&a->marks, mark, &index);
    if (error == 0)
        rewind_to(a, index);
    return error;
}

int lode_arena_unwind(struct lode_arena *arena, lode_mark mark)
{
    struct arena *a = arena_of(arena);
    uint32_t index;
    int error = lodei_marks_find(&a->marks, mark, &index);
    if (error == 0)
        rewind_to(a, index);
    return error;
}

int lode_arena_keep(struct lode_arena *arena, lode_mark mark)
{
    struct arena *a = arena_of(arena);
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
    struct arena *a = arena_of(arena);
    fall(a, &a->chunks.lent, a->chunks.lent.start, NULL);
    a->marks.depth = 0;
    lodei_add(a->figures.resets, 1);
}

size_t lode_arena_trim(struct lode_arena *arena)
{
    return lodei_spare_give(&arena_of(arena)->chunks);
}

size_t lode_arena_clear(struct lode_arena *arena)
{
    lode_arena_reset(arena);
    return lode_arena_trim(arena);
}

int lode_arena_owns(const struct lode_arena *arena, const void *block)
{
    const struct arena *a = arena_of(arena);
    return lodei_chunks_own(&a->chunks, a->current, (uintptr_t)block) ||
           lodei_chunks_own(&a->chunks, a->alone, (uintptr_t)block);
}

/* ---- figures ---- */

/* Free behind the current block. */
static size_t tail_bytes(const struct arena *a)
{
    uintptr_t next = lodei_get(a->head.next), end = lodei_get(a->figures.end);
    return end > next ? end - next : 0;
}

void lode_arena_growth(const struct lode_arena *arena, struct lode_arena_growth *ret_growth)
{
    const struct figures *f = &arena_of(arena)->figures;
    const struct lodei_chunk_figures *c = &arena_of(arena)->chunks.figures;
    size_t used = used_bytes(arena_of(arena));
    struct lode_arena_growth g = {
        .used_bytes = used,
        .peak_used_bytes = lodei_max(lodei_get(f->peak_bytes), used),
        .held_bytes = lodei_get(c->room_bytes),
        .peak_held_bytes = lodei_get(c->peak_room_bytes),
        .chunks = lodei_get(c->chunks),
        .spare_chunks = lodei_get(c->spare_chunks),
        .chunks_taken = lodei_get(c->taken),
        .chunks_given = lodei_get(c->given),
        .resets = lodei_get(f->resets),
        .rewinds = lodei_get(f->rewinds),
        .extended = lodei_get(f->extended),
    };
    size_t known = used + lodei_get(c->spare_bytes) + tail_bytes(arena_of(arena));
    g.passed_bytes = g.held_bytes > known ? g.held_bytes - known : 0;
    *ret_growth = g;
}

static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    const struct arena *a = object;
    const struct lodei_chunk_figures *c = &a->chunks.figures;
    size_t tail = tail_bytes(a), own = sizeof(*a) + lodei_get(a->figures.mark_bytes);
    struct lode_allocator_stats s = {
        .used_bytes = used_bytes(a),
        .free_bytes = lodei_get(c->spare_bytes) + tail,
        .mapped_bytes = lodei_get(c->total_bytes) + lodei_chunk_room(&a->chunks.lent) + own,
        .metadata_bytes = lodei_get(c->chunks) * sizeof(struct lodei_chunk) + own,
        .misses = lodei_get(c->misses),
        .failures = lodei_get(a->figures.failures),
    };
    s.requested_bytes = s.used_bytes;
    s.peak_used_bytes = lodei_max(lodei_get(a->figures.peak_bytes), s.used_bytes);
    size_t pad = (0 - lodei_get(a->head.next)) & (15 | a->head.mask);
    size_t slack = a->head.mask > 15 ? a->head.mask : 0;
    size_t spare = lodei_get(c->spare_largest_bytes);
    s.largest_free_bytes =
        lodei_max(tail > pad ? tail - pad : 0, spare > slack ? spare - slack : 0);
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

static size_t op_max_bytes(void *ctx)
{
    const struct arena *a = ctx;
    return lodei_chunks_max_bytes(&a->chunks);
}

static int op_can_allocate(void *ctx, size_t bytes, size_t align)
{
    const struct arena *a = ctx;
    align = lodei_align_take(align);
    size_t mask = (align - 1) | a->head.mask;
    bytes = lodei_max(bytes, 1);
    if (align == 0)
        return 0;
    size_t need = lodei_room_needed(bytes, mask);
    return has_room(a, bytes, mask) ||
           (need != 0 &&
            need <= lodei_min(lodei_chunks_left(&a->chunks), lodei_source_max_bytes()));
}

static int op_owns(void *ctx, const void *block)
{
    return lode_arena_owns(ctx, block);
}

static const struct lode_allocator_ops arena_ops = {
    .alloc = op_alloc,
    .resize = op_resize,
    .free = op_free,
    .max_bytes = op_max_bytes,
    .can_allocate = op_can_allocate,
    .owns = op_owns,
    .stats = describe,
};

void lode_arena_allocator(struct lode_arena *arena, struct lode_allocator *ret_allocator)
{
    uint32_t traits = LODE_TRAIT_RESIZES | LODE_TRAIT_DESTROYS;
    if (arena_of(arena)->chunks.fixed)
        traits |= LODE_TRAIT_BOUNDED;
    *ret_allocator =
        (struct lode_allocator){.ops = &arena_ops, .ctx = arena_of(arena), .traits = traits};
}

/* ---- life ---- */

int lode_arena_create(const struct lode_arena_opts *opts, struct lode_arena **ret_arena)
{
    struct lode_arena_opts o;
    struct lodei_source source;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error != 0)
        return error;
    struct lodei_chunks_opts c = {.memory = o.memory,
                                  .memory_bytes = o.memory_bytes,
                                  .initial_bytes = o.initial_bytes,
                                  .chunk_bytes = o.chunk_bytes,
                                  .max_bytes = o.max_bytes,
                                  .fixed = (o.flags & LODE_ARENA_FIXED) != 0};
    if (o.flags & ~LODE_ARENA_FIXED || (o.align != 0 && !lodei_is_power_of_two(o.align)))
        return -EINVAL;
    error = lodei_chunks_check(&c);
    if (error == 0)
        error = lodei_source_open(&source, o.heap, o.tag, o.name != NULL ? o.name : "arena");
    if (error != 0)
        return error;
    struct arena *a = lodei_source_calloc(&source, sizeof(*a));
    error = a != NULL ? lodei_chunks_start(&a->chunks, &c, &source) : -ENOMEM;
    if (error != 0) {
        lodei_source_free(a, sizeof(*a));
        lodei_source_close(&source);
        return error;
    }
    a->head.mask = o.align != 0 ? o.align - 1 : 0;
    lodei_marks_init(&a->marks);
    enter(a, &a->chunks.lent, a->chunks.lent.start);
    lodei_registry_add(&a->registered, "arena", o.name, a, describe);
    *ret_arena = &a->head;
    return 0;
}

void lode_arena_destroy(struct lode_arena *arena)
{
    if (arena == NULL)
        return;
    struct arena *a = arena_of(arena);
    struct lodei_source source = a->chunks.source;
    lodei_registry_remove(&a->registered);
    lode_arena_reset(arena);
    lodei_chunks_finish(&a->chunks);
    lodei_marks_finish(&a->marks);
    lodei_source_free(a, sizeof(*a));
    lodei_source_close(&source);
}
