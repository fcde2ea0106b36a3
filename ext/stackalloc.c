/* SPDX-License-Identifier: MIT */
/*
 * Stack allocators. Owns the chunks (ext/chunks.h), the table of marks and, unless it was given
 * one, the heap they are from.
 *
 *     chunk:  [header | block | pad | block ...  |   free   | record record record]
 *                     start                      next      low                  end
 *
 * Each block has a record: its distance from `start` in units of 16 bytes, newest lowest. Padding
 * in front of an aligned block has a record too, marked dead, and goes when that block goes. So
 * records rise with the addresses: whether a pointer is a live block is a binary search, and a bad
 * free is told from a free out of order. Records lie where ASan and memcheck let nobody look; they
 * are read in here by functions that are not instrumented.
 *
 * Chunks form a stack, `current` on top, `lent` at the bottom; every other one has a record.
 * Emptied chunks are spare, the newest first in line.
 *
 * Not locked: one thread at a time. What other threads may read (`next`, `low`, struct figures,
 * those of the chunks) is written with lodei_put(); they follow no pointer. Calls nothing but the
 * heap.
 */
#include "lode/stackalloc.h"

#include <errno.h>
#include <string.h>

#include "ext/chunks.h"
#include "ext/marks.h"
#include "ext/ops.h"
#include "ext/opts.h"
#include "ext/poison.h"
#include "ext/registry.h"

#define UNIT_LOG2    4
#define UNIT         ((size_t)1 << UNIT_LOG2)
#define RECORD_BYTES sizeof(uint32_t)
#define DEAD         0x80000000u /* padding, or a block that was moved from under its successor */
/* A chunk is addressed by 31 bits of units, 32 GiB. Half of that is asked for at most: the heap
 * rounds up, and a block must not begin in what is more. */
#define ROOM_MAX ((size_t)1 << 34)

_Static_assert(sizeof(struct lode_stack_opts) == 8 + 7 * sizeof(size_t), "no hidden padding");

struct figures {
    uintptr_t start, end; /* of the current chunk */
    size_t below_bytes;   /* used in chunks under it */
    size_t below_records; /* bytes of records there */
    size_t blocks;
    size_t peak_bytes;
    size_t mark_bytes; /* of a table of marks outside the structure */
    uint64_t allocs, frees, failures;
};

struct lode_stack {
    uintptr_t next; /* in the current chunk */
    uintptr_t low;
    struct lodei_chunk *current;
    struct figures figures;
    struct lodei_chunks chunks;
    struct lodei_marks marks;
    struct lodei_registered registered;
};

/* ---- records ---- */

LODE_BLOCK_INLINE uint32_t record_get(uintptr_t at)
{
    lodei_hush();
    uint32_t record = *(const uint32_t *)at;
    lodei_speak();
    return record;
}

LODE_BLOCK_INLINE void record_put(uintptr_t at, uint32_t record)
{
    lodei_hush();
    *(uint32_t *)at = record;
    lodei_speak();
}

static uintptr_t block_of(const struct lodei_chunk *chunk, uint32_t record)
{
    return chunk->start + ((size_t)(record & ~DEAD) << UNIT_LOG2);
}

static uint32_t units_of(const struct lode_stack *s, uintptr_t at)
{
    return (uint32_t)((at - s->current->start) >> UNIT_LOG2);
}

/* ---- where it stands ---- */

static void stand(struct lode_stack *s, uintptr_t next, uintptr_t low)
{
    lodei_put(s->next, next);
    lodei_put(s->low, low);
}

static void enter(struct lode_stack *s, struct lodei_chunk *chunk)
{
    s->current = chunk;
    lodei_put(s->figures.start, chunk->start);
    lodei_put(s->figures.end, chunk->end);
    stand(s, chunk->next, chunk->low);
}

static size_t used_bytes(const struct lode_stack *s)
{
    uintptr_t start = lodei_get(s->figures.start), next = lodei_get(s->next);
    size_t here = next >= start && next <= lodei_get(s->figures.end) ? next - start : 0;
    return here + lodei_get(s->figures.below_bytes);
}

/* The stack only fills up between two calls of this. */
static void note_peak(struct lode_stack *s)
{
    size_t used = used_bytes(s);
    if (used > s->figures.peak_bytes)
        lodei_put(s->figures.peak_bytes, used);
}

/* What a block takes with its records, if padding goes before it; 0: more than any chunk has. */
static size_t whole_bytes(size_t bytes)
{
    if (bytes > ROOM_MAX)
        return 0;
    return lodei_round_up(lodei_max(bytes, 1), UNIT) + 2 * RECORD_BYTES;
}

/* Where it would stand in the current chunk; 0: there is no room. */
static uintptr_t place_here(const struct lode_stack *s, size_t bytes, size_t align)
{
    size_t whole = whole_bytes(bytes);
    return whole != 0 ? lodei_place(s->next, s->low, whole, lodei_max(align, UNIT) - 1) : 0;
}

/* Go on in a chunk with room for the block. */
static int climb(struct lode_stack *s, size_t bytes, size_t align)
{
    size_t whole = whole_bytes(bytes), mask = lodei_max(align, UNIT) - 1;
    struct lodei_chunk *top = s->current;
    size_t need = whole != 0 ? lodei_room_needed(whole, mask) : 0;
    if (need == 0 || need > ROOM_MAX)
        return 0;
    struct lodei_chunk *chunk = lodei_spare_take(&s->chunks, whole, mask);
    if (chunk == NULL) {
        lodei_add(s->chunks.figures.misses, 1);
        size_t room = lodei_min(lodei_chunks_next_room(&s->chunks), ROOM_MAX);
        chunk = lodei_chunk_take(&s->chunks, lodei_max(need, room));
    }
    if (chunk == NULL)
        chunk = lodei_chunk_take(&s->chunks, need);
    if (chunk == NULL)
        return 0;
    top->next = s->next;
    top->low = s->low;
    lodei_add(s->figures.below_bytes, top->next - top->start);
    lodei_add(s->figures.below_records, top->end - top->low);
    chunk->below = top;
    chunk->next = chunk->start;
    chunk->low = lodei_round_down(chunk->end, RECORD_BYTES);
    enter(s, chunk);
    return 1;
}

/* The current chunk is empty: back to the one below it. */
static void descend(struct lode_stack *s)
{
    struct lodei_chunk *top = s->current, *below = top->below;
    lodei_sub(s->figures.below_bytes, below->next - below->start);
    lodei_sub(s->figures.below_records, below->end - below->low);
    enter(s, below);
    lodei_spare_first(&s->chunks, top);
}

/* Has the current chunk a record? */
static int has_record(const struct lode_stack *s)
{
    return s->current->end - s->low >= RECORD_BYTES;
}

/* Drop the newest record; its block or padding is free. */
static void pop(struct lode_stack *s, uintptr_t at)
{
    stand(s, at, s->low + RECORD_BYTES);
    if (!has_record(s) && s->current != &s->chunks.lent)
        descend(s);
}

/* Drop what is dead and newest now. */
static void pop_dead(struct lode_stack *s)
{
    while (has_record(s)) {
        uint32_t record = record_get(s->low);
        if (!(record & DEAD))
            return;
        pop(s, block_of(s->current, record));
    }
}

/* ---- blocks ---- */

void *lode_stack_alloc(struct lode_stack *s, size_t bytes, size_t align)
{
    uintptr_t at = 0;
    align = lodei_align_take(align);
    if (lode_likely(align != 0)) {
        at = place_here(s, bytes, align);
        if (lode_unlikely(at == 0) && climb(s, bytes, align))
            at = place_here(s, bytes, align);
    }
    if (lode_unlikely(at == 0)) {
        lodei_add(s->figures.failures, 1);
        return NULL;
    }
    uintptr_t low = s->low;
    if (at != s->next)
        record_put(low -= RECORD_BYTES, units_of(s, s->next) | DEAD);
    record_put(low -= RECORD_BYTES, units_of(s, at));
    stand(s, at + lodei_round_up(lodei_max(bytes, 1), UNIT), low);
    lodei_add(s->figures.blocks, 1);
    lodei_add(s->figures.allocs, 1);
    lodei_given((void *)at, lodei_max(bytes, 1));
    return (void *)at;
}

/* Is a live block at `at` in that chunk? */
static int is_live_in(const struct lodei_chunk *chunk, uintptr_t low, uintptr_t at)
{
    size_t from = 0, to = (chunk->end - low) / RECORD_BYTES;
    while (from < to) { /* from `low` on they fall */
        size_t middle = (from + to) / 2;
        uint32_t record = record_get(low + middle * RECORD_BYTES);
        uintptr_t block = block_of(chunk, record);
        if (block == at)
            return !(record & DEAD);
        if (block > at)
            from = middle + 1;
        else
            to = middle;
    }
    return 0;
}

static int is_live(const struct lode_stack *s, uintptr_t at)
{
    for (const struct lodei_chunk *c = s->current; c != NULL; c = c->below)
        if (at >= c->start && at < c->end)
            return is_live_in(c, c == s->current ? s->low : c->low, at);
    return 0;
}

/* 0: it is the newest block and no mark protects it. */
static int newest_check(const struct lode_stack *s, uintptr_t at)
{
    const struct lodei_chunk *c = s->current;
    if (lode_unlikely(!has_record(s) || block_of(c, record_get(s->low)) != at))
        return is_live(s, at) ? -EBUSY : -EINVAL;
    if (s->marks.depth > 0) {
        const struct lodei_marked *newest = &s->marks.entries[s->marks.depth - 1];
        if (newest->chunk == c && newest->at == s->next)
            return -EBUSY;
    }
    return 0;
}

int lode_stack_free(struct lode_stack *s, void *block)
{
    uintptr_t at = (uintptr_t)block;
    if (block == NULL)
        return 0;
    int error = newest_check(s, at);
    if (lode_unlikely(error != 0))
        return error;
    note_peak(s);
    lodei_taken(block, s->next - at);
    pop(s, at);
    pop_dead(s);
    lodei_sub(s->figures.blocks, 1);
    lodei_add(s->figures.frees, 1);
    return 0;
}

int lode_stack_extend(struct lode_stack *s, void *block, size_t old_bytes, size_t bytes)
{
    uintptr_t at = (uintptr_t)block;
    int error = newest_check(s, at);
    if (error != 0)
        return error;
    old_bytes = lodei_max(old_bytes, 1);
    bytes = lodei_max(bytes, 1);
    if (bytes > PTRDIFF_MAX - UNIT || lodei_round_up(bytes, UNIT) > s->low - at)
        return -ENOMEM;
    note_peak(s);
    lodei_put(s->next, at + lodei_round_up(bytes, UNIT));
    if (bytes > old_bytes)
        lodei_given((char *)block + old_bytes, bytes - old_bytes);
    else
        lodei_taken((char *)block + bytes, old_bytes - bytes);
    return 0;
}

/* Resize the newest block, which does not fit where it is: the new one goes on top, in another
 * chunk, and the old one is dead beneath it until it is freed. */
static void *move_newest(struct lode_stack *s, void *block, size_t old_bytes, size_t bytes,
                         size_t align)
{
    uintptr_t record = s->low;
    void *to = lode_stack_alloc(s, bytes, align);
    if (to == NULL)
        return NULL;
    memcpy(to, block, lodei_min(old_bytes, bytes));
    record_put(record, record_get(record) | DEAD);
    lodei_taken(block, old_bytes);
    lodei_sub(s->figures.blocks, 1);
    lodei_add(s->figures.frees, 1);
    return to;
}

void *lode_stack_newest(const struct lode_stack *s)
{
    return has_record(s) ? (void *)block_of(s->current, record_get(s->low)) : NULL;
}

/* ---- marks ---- */

lode_mark lode_stack_mark(struct lode_stack *s, const char *why)
{
    lode_mark mark;
    struct lodei_marked *entry = lodei_marks_push(&s->marks, &s->chunks.source, &mark);
    if (entry == NULL)
        return 0;
    lodei_put(s->figures.mark_bytes, lodei_marks_bytes(&s->marks));
    entry->why = why;
    entry->chunk = s->current;
    entry->at = s->next;
    entry->more = (void *)s->low;
    entry->count = s->figures.blocks;
    return mark;
}

/* Come back to where there were `blocks` blocks. */
static void fall(struct lode_stack *s, const struct lodei_chunk *chunk, uintptr_t next,
                 uintptr_t low, size_t blocks)
{
    note_peak(s);
    while (s->current != chunk) {
        lodei_taken((void *)s->current->start, s->next - s->current->start);
        descend(s);
    }
    lodei_taken((void *)next, s->next - next);
    stand(s, next, low);
    lodei_add(s->figures.frees, s->figures.blocks - blocks);
    lodei_put(s->figures.blocks, blocks);
}

static void rewind_to(struct lode_stack *s, uint32_t index)
{
    const struct lodei_marked *entry = &s->marks.entries[index];
    fall(s, entry->chunk, entry->at, (uintptr_t)entry->more, entry->count);
    s->marks.depth = index;
}

int lode_stack_rewind(struct lode_stack *s, lode_mark mark)
{
    uint32_t index;
    int error = lodei_marks_newest(&s->marks, mark, &index);
    if (error == 0)
        rewind_to(s, index);
    return error;
}

int lode_stack_unwind(struct lode_stack *s, lode_mark mark)
{
    uint32_t index;
    int error = lodei_marks_find(&s->marks, mark, &index);
    if (error == 0)
        rewind_to(s, index);
    return error;
}

int lode_stack_keep(struct lode_stack *s, lode_mark mark)
{
    uint32_t index;
    int error = lodei_marks_newest(&s->marks, mark, &index);
    if (error == 0)
        s->marks.depth = index;
    return error;
}

lode_mark lode_stack_marked(const struct lode_stack *s, const char *why)
{
    return lodei_marks_named(&s->marks, why);
}

const char *lode_stack_innermost(const struct lode_stack *s, uint32_t *ret_depth)
{
    if (ret_depth != NULL)
        *ret_depth = s->marks.depth;
    return s->marks.depth > 0 ? s->marks.entries[s->marks.depth - 1].why : NULL;
}

void lode_stack_reset(struct lode_stack *s)
{
    fall(s, &s->chunks.lent, s->chunks.lent.start, s->chunks.lent.end, 0);
    s->marks.depth = 0;
}

/* ---- figures ---- */

size_t lode_stack_trim(struct lode_stack *s)
{
    return lodei_spare_give(&s->chunks);
}

int lode_stack_owns(const struct lode_stack *s, const void *block)
{
    return lodei_chunks_own(&s->chunks, s->current, (uintptr_t)block);
}

static size_t largest_in(size_t room)
{
    return room > 2 * RECORD_BYTES ? lodei_round_down(room - 2 * RECORD_BYTES, UNIT) : 0;
}

static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    const struct lode_stack *s = object;
    const struct figures *f = &s->figures;
    const struct lodei_chunk_figures *c = &s->chunks.figures;
    uintptr_t next = lodei_get(s->next), low = lodei_get(s->low), end = lodei_get(f->end);
    size_t left = low > next ? low - next : 0, own = sizeof(*s) + lodei_get(f->mark_bytes);
    struct lode_allocator_stats st = {
        .used_bytes = used_bytes(s),
        .free_bytes = left + lodei_get(c->spare_bytes),
        .mapped_bytes = lodei_get(c->total_bytes) + lodei_chunk_room(&s->chunks.lent) + own,
        .metadata_bytes = own + lodei_get(c->chunks) * sizeof(struct lodei_chunk) +
                          lodei_get(f->below_records) + (end > low ? end - low : 0),
        .blocks = lodei_get(f->blocks),
        .allocs = lodei_get(f->allocs),
        .frees = lodei_get(f->frees),
        .misses = lodei_get(c->misses),
        .failures = lodei_get(f->failures),
    };
    st.requested_bytes = st.used_bytes;
    st.peak_used_bytes = lodei_max(lodei_get(f->peak_bytes), st.used_bytes);
    st.largest_free_bytes =
        lodei_max(largest_in(left), largest_in(lodei_get(c->spare_largest_bytes)));
    *ret_stats = st;
}

void lode_stack_stats(const struct lode_stack *stack, struct lode_allocator_stats *ret_stats)
{
    describe((void *)(uintptr_t)stack, ret_stats);
}

/* ---- as an allocator ---- */

static const struct lode_allocator_ops stack_ops;

static void *op_alloc(void *ctx, size_t bytes, size_t align)
{
    return lode_stack_alloc(ctx, bytes, align);
}

static void *op_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    if (block == NULL)
        return op_alloc(ctx, bytes, align);
    if (lodei_align_take(align) == 0)
        return NULL;
    int error = lode_stack_extend(ctx, block, old_bytes, bytes);
    if (error != -ENOMEM)
        return error == 0 ? block : NULL;
    return move_newest(ctx, block, old_bytes, bytes, align);
}

static int op_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)bytes;
    (void)align;
    return lode_stack_free(ctx, block);
}

static size_t op_max_bytes(void *ctx)
{
    const struct lode_stack *s = ctx;
    return lodei_min(lodei_chunks_max_bytes(&s->chunks), ROOM_MAX);
}

static int op_can_allocate(void *ctx, size_t bytes, size_t align)
{
    const struct lode_stack *s = ctx;
    size_t whole = whole_bytes(bytes);
    align = lodei_align_take(align);
    if (align == 0 || whole == 0)
        return 0;
    size_t mask = lodei_max(align, UNIT) - 1, need = lodei_room_needed(whole, mask);
    if (place_here(s, bytes, align) != 0)
        return 1;
    if (need == 0 || need > ROOM_MAX)
        return 0;
    return lodei_spare_fits(&s->chunks, whole, mask) ||
           need <= lodei_min(lodei_chunks_left(&s->chunks), lodei_source_max_bytes());
}

static int op_owns(void *ctx, const void *block)
{
    return lode_stack_owns(ctx, block);
}

static const struct lode_allocator_ops stack_ops = {
    .alloc = op_alloc,
    .resize = op_resize,
    .free = op_free,
    .max_bytes = op_max_bytes,
    .can_allocate = op_can_allocate,
    .owns = op_owns,
    .stats = describe,
};

void lode_stack_allocator(struct lode_stack *stack, struct lode_allocator *ret_allocator)
{
    uint32_t traits = LODE_TRAIT_LIFO | LODE_TRAIT_FREES | LODE_TRAIT_CHECKED | LODE_TRAIT_RESIZES |
                      LODE_TRAIT_DESTROYS;
    if (stack->chunks.fixed)
        traits |= LODE_TRAIT_BOUNDED;
    *ret_allocator = (struct lode_allocator){.ops = &stack_ops, .ctx = stack, .traits = traits};
}

/* ---- life ---- */

int lode_stack_create(const struct lode_stack_opts *opts, struct lode_stack **ret_stack)
{
    struct lode_stack_opts o;
    struct lodei_source source;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error != 0)
        return error;
    /* Blocks are addressed from the start in units; records stand at the end. */
    size_t front = (0 - (uintptr_t)o.memory) & (UNIT - 1);
    if (o.memory != NULL && o.memory_bytes < front + UNIT + 2 * RECORD_BYTES)
        return -EINVAL;
    struct lodei_chunks_opts c = {.memory = o.memory,
                                  .memory_bytes = o.memory_bytes,
                                  .initial_bytes = o.initial_bytes,
                                  .chunk_bytes = o.chunk_bytes,
                                  .max_bytes = o.max_bytes,
                                  .fixed = (o.flags & LODE_STACK_FIXED) != 0};
    if (o.flags & ~LODE_STACK_FIXED || lodei_max(o.initial_bytes, o.memory_bytes) > ROOM_MAX)
        return -EINVAL;
    error = lodei_chunks_check(&c);
    if (error == 0 && o.memory != NULL) {
        c.memory = (char *)o.memory + front;
        c.memory_bytes = lodei_round_down(o.memory_bytes - front, RECORD_BYTES);
    }
    if (error == 0)
        error = lodei_source_open(&source, o.heap, o.tag, o.name != NULL ? o.name : "stack");
    if (error != 0)
        return error;
    struct lode_stack *s = lodei_source_calloc(&source, sizeof(*s));
    error = s != NULL ? lodei_chunks_start(&s->chunks, &c, &source) : -ENOMEM;
    if (error != 0) {
        lodei_source_free(s, sizeof(*s));
        lodei_source_close(&source);
        return error;
    }
    lodei_marks_init(&s->marks);
    enter(s, &s->chunks.lent);
    lodei_registry_add(&s->registered, "stack", o.name, s, describe);
    *ret_stack = s;
    return 0;
}

void lode_stack_destroy(struct lode_stack *s)
{
    if (s == NULL)
        return;
    struct lodei_source source = s->chunks.source;
    lodei_registry_remove(&s->registered);
    lode_stack_reset(s);
    lodei_chunks_finish(&s->chunks);
    lodei_marks_finish(&s->marks);
    lodei_source_free(s, sizeof(*s));
    lodei_source_close(&source);
}
