/* SPDX-License-Identifier: MIT */
/* Chunks of arenas: see arenachunks.h. */
#include "ext/arenachunks.h"

#include "ext/poison.h"

/* Whole slices of the heap below, so that nothing is rounded away. */
#define CHUNK_STEP ((size_t)64 << 10)
#define CHUNK_MAX  ((size_t)4 << 20)

void lodei_arena_move(struct lodei_arena *a, uintptr_t next)
{
    lodei_put(a->head.next, next);
    lodei_put(a->head.end, lode_unlikely(lodei_watched) ? next : a->current->end);
}

void lodei_arena_enter(struct lodei_arena *a, struct lodei_chunk *chunk, uintptr_t next)
{
    a->current = chunk;
    lodei_put(a->figures.start, chunk->start);
    lodei_put(a->figures.end, chunk->end);
    lodei_arena_move(a, next);
}

size_t lodei_arena_used(const struct lodei_arena *a)
{
    uintptr_t start = lodei_get(a->figures.start), next = lodei_get(a->head.next);
    size_t here = next >= start && next <= lodei_get(a->figures.end) ? next - start : 0;
    return here + lodei_get(a->figures.below_bytes) + lodei_get(a->figures.alone_bytes);
}

void lodei_arena_note_peak(struct lodei_arena *a)
{
    size_t used = lodei_arena_used(a);
    if (used > a->figures.peak_bytes)
        lodei_put(a->figures.peak_bytes, used);
}

/* ---- from the heap, and back ---- */

size_t lodei_arena_heap_room(const struct lodei_arena *a)
{
    return a->max_room_bytes - (a->figures.room_bytes - lodei_chunk_room(&a->lent));
}

size_t lodei_arena_next_room(const struct lodei_arena *a)
{
    size_t room = a->chunk_bytes;
    if (room == 0) {
        size_t total = lodei_round_up(a->figures.room_bytes + 1, CHUNK_STEP);
        room = lodei_min(total, CHUNK_MAX) - sizeof(struct lodei_chunk);
    }
    return lodei_min(room, lodei_arena_heap_room(a));
}

struct lodei_chunk *lodei_chunk_take(struct lodei_arena *a, size_t room)
{
    size_t left = lodei_arena_heap_room(a);
    if (room > left || room > PTRDIFF_MAX - sizeof(struct lodei_chunk))
        return NULL;
    size_t total = lode_good_size(room + sizeof(struct lodei_chunk));
    struct lodei_chunk *chunk = total != 0 ? lodei_source_alloc(&a->source, total, 16) : NULL;
    if (chunk == NULL)
        return NULL;
    chunk->total_bytes = total;
    chunk->start = chunk->next = (uintptr_t)(chunk + 1);
    chunk->end = chunk->start + lodei_min(total - sizeof(struct lodei_chunk), left);
    lodei_taken((void *)chunk->start, lodei_chunk_room(chunk));
    lodei_add(a->figures.room_bytes, lodei_chunk_room(chunk));
    lodei_put(a->figures.peak_room_bytes,
              lodei_max(a->figures.peak_room_bytes, a->figures.room_bytes));
    lodei_add(a->figures.total_bytes, total);
    lodei_add(a->figures.chunks, 1);
    lodei_add(a->figures.taken, 1);
    return chunk;
}

static size_t chunk_give(struct lodei_arena *a, struct lodei_chunk *chunk)
{
    size_t total = chunk->total_bytes;
    lodei_add(a->figures.room_bytes, -lodei_chunk_room(chunk));
    lodei_add(a->figures.total_bytes, -total);
    lodei_add(a->figures.chunks, -(size_t)1);
    lodei_add(a->figures.given, 1);
    lodei_source_free(chunk, total);
    return total;
}

/* ---- spare ---- */

static void spare_added(struct lodei_arena *a, const struct lodei_chunk *chunk)
{
    lodei_add(a->figures.spare_bytes, lodei_chunk_room(chunk));
    lodei_add(a->figures.spare_chunks, 1);
    if (lodei_chunk_room(chunk) > a->figures.spare_largest_bytes)
        lodei_put(a->figures.spare_largest_bytes, lodei_chunk_room(chunk));
}

void lodei_spare_first(struct lodei_arena *a, struct lodei_chunk *chunk)
{
    chunk->below = a->spare;
    a->spare = chunk;
    if (a->spare_last == NULL)
        a->spare_last = chunk;
    spare_added(a, chunk);
}

void lodei_spare_last(struct lodei_arena *a, struct lodei_chunk *chunk)
{
    chunk->below = NULL;
    if (a->spare_last != NULL)
        a->spare_last->below = chunk;
    else
        a->spare = chunk;
    a->spare_last = chunk;
    spare_added(a, chunk);
}

struct lodei_chunk *lodei_spare_find(struct lodei_arena *a, size_t bytes, size_t mask,
                                     struct lodei_chunk **ret_before)
{
    struct lodei_chunk *before = NULL, *c = a->spare;
    while (c != NULL && lodei_place(c->start, c->end, bytes, mask) == 0) {
        before = c;
        c = c->below;
    }
    *ret_before = before;
    return c;
}

static void note_largest(struct lodei_arena *a)
{
    size_t largest = 0;
    for (struct lodei_chunk *c = a->spare; c != NULL; c = c->below)
        largest = lodei_max(largest, lodei_chunk_room(c));
    lodei_put(a->figures.spare_largest_bytes, largest);
}

void lodei_spare_remove(struct lodei_arena *a, struct lodei_chunk *chunk,
                        struct lodei_chunk *before)
{
    if (before != NULL)
        before->below = chunk->below;
    else
        a->spare = chunk->below;
    if (a->spare_last == chunk)
        a->spare_last = before;
    lodei_add(a->figures.spare_bytes, -lodei_chunk_room(chunk));
    lodei_add(a->figures.spare_chunks, -(size_t)1);
    if (lodei_chunk_room(chunk) == a->figures.spare_largest_bytes)
        note_largest(a);
}

size_t lodei_spare_give(struct lodei_arena *a)
{
    struct lodei_chunk *chunk = a->spare;
    size_t bytes = 0;
    a->spare = a->spare_last = NULL;
    lodei_put(a->figures.spare_bytes, 0);
    lodei_put(a->figures.spare_chunks, 0);
    lodei_put(a->figures.spare_largest_bytes, 0);
    while (chunk != NULL) {
        struct lodei_chunk *next = chunk->below;
        bytes += chunk_give(a, chunk);
        chunk = next;
    }
    return bytes;
}

/* ---- coming back ---- */

/* Chunks of single blocks newer than `last`: the oldest is used first again. */
static void alone_fall(struct lodei_arena *a, const struct lodei_chunk *last)
{
    struct lodei_chunk *oldest = NULL, *chunk;
    while ((chunk = a->alone) != last) {
        a->alone = chunk->below;
        chunk->below = oldest;
        oldest = chunk;
    }
    while ((chunk = oldest) != NULL) {
        oldest = chunk->below;
        lodei_add(a->figures.alone_bytes, -(chunk->next - chunk->start));
        lodei_taken((void *)chunk->start, chunk->next - chunk->start);
        lodei_spare_last(a, chunk);
    }
}

void lodei_arena_fall(struct lodei_arena *a, struct lodei_chunk *chunk, uintptr_t next,
                      struct lodei_chunk *alone)
{
    lodei_arena_note_peak(a);
    alone_fall(a, alone);
    uintptr_t behind = a->head.next;
    while (a->current != chunk) {
        struct lodei_chunk *top = a->current, *below = top->below;
        lodei_taken((void *)top->start, behind - top->start);
        lodei_spare_first(a, top);
        behind = below->next;
        lodei_add(a->figures.below_bytes, -(behind - below->start));
        a->current = below;
    }
    lodei_taken((void *)next, behind - next);
    lodei_arena_enter(a, chunk, next);
}
