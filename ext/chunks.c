/* SPDX-License-Identifier: MIT */
/* Chunks for arenas and stacks: see chunks.h. */
#include "ext/chunks.h"

#include <errno.h>

#include "ext/poison.h"

/* Whole slices of the heap below, so that nothing is rounded away. */
#define CHUNK_STEP ((size_t)64 << 10)
#define CHUNK_MAX  ((size_t)4 << 20)

int lodei_chunks_check(const struct lodei_chunks_opts *o)
{
    if ((o->memory == NULL) != (o->memory_bytes == 0))
        return -EINVAL;
    if (o->fixed && o->initial_bytes == 0 && o->memory == NULL)
        return -EINVAL;
    return 0;
}

int lodei_chunks_start(struct lodei_chunks *c, const struct lodei_chunks_opts *o,
                       const struct lodei_source *source)
{
    c->source = *source;
    c->fixed = o->fixed;
    c->chunk_bytes = o->fixed ? o->initial_bytes : o->chunk_bytes;
    c->max_room_bytes = o->max_bytes != 0 ? o->max_bytes : SIZE_MAX;
    if (o->fixed)
        c->max_room_bytes = lodei_min(c->max_room_bytes, o->initial_bytes);
    c->lent.start = c->lent.next = (uintptr_t)o->memory;
    c->lent.end = c->lent.low = c->lent.start + o->memory_bytes;
    c->figures.room_bytes = c->figures.peak_room_bytes = o->memory_bytes;
    if (o->initial_bytes != 0) {
        struct lodei_chunk *first = lodei_chunk_take(c, o->initial_bytes);
        if (first == NULL)
            return -ENOMEM;
        lodei_spare_first(c, first);
    }
    lodei_taken(o->memory, o->memory_bytes);
    return 0;
}

void lodei_chunks_finish(struct lodei_chunks *c)
{
    (void)lodei_spare_give(c);
    lodei_forgotten((void *)c->lent.start, lodei_chunk_room(&c->lent));
}

/* ---- from the heap, and back ---- */

size_t lodei_chunks_left(const struct lodei_chunks *c)
{
    return c->max_room_bytes - (c->figures.room_bytes - lodei_chunk_room(&c->lent));
}

size_t lodei_chunks_next_room(const struct lodei_chunks *c)
{
    size_t room = c->chunk_bytes;
    if (room == 0) {
        size_t total = lodei_round_up(c->figures.room_bytes + 1, CHUNK_STEP);
        room = lodei_min(total, CHUNK_MAX) - sizeof(struct lodei_chunk);
    }
    return lodei_min(room, lodei_chunks_left(c));
}

size_t lodei_chunks_max_bytes(const struct lodei_chunks *c)
{
    size_t heap = lodei_min(c->max_room_bytes, lodei_source_max_bytes());
    return lodei_max(heap, lodei_chunk_room(&c->lent));
}

struct lodei_chunk *lodei_chunk_take(struct lodei_chunks *c, size_t room)
{
    size_t left = lodei_chunks_left(c);
    if (room > left || room > PTRDIFF_MAX - sizeof(struct lodei_chunk))
        return NULL;
    size_t total = lode_good_size(room + sizeof(struct lodei_chunk));
    struct lodei_chunk *chunk = total != 0 ? lodei_source_alloc(&c->source, total, 16) : NULL;
    if (chunk == NULL)
        return NULL;
    chunk->total_bytes = total;
    chunk->start = chunk->next = (uintptr_t)(chunk + 1);
    chunk->end = chunk->low = chunk->start + lodei_min(total - sizeof(struct lodei_chunk), left);
    lodei_taken((void *)chunk->start, lodei_chunk_room(chunk));
    lodei_add(c->figures.room_bytes, lodei_chunk_room(chunk));
    if (c->figures.room_bytes > c->figures.peak_room_bytes)
        lodei_put(c->figures.peak_room_bytes, c->figures.room_bytes);
    lodei_add(c->figures.total_bytes, total);
    lodei_add(c->figures.chunks, 1);
    lodei_add(c->figures.taken, 1);
    return chunk;
}

static size_t chunk_give(struct lodei_chunks *c, struct lodei_chunk *chunk)
{
    size_t total = chunk->total_bytes;
    lodei_sub(c->figures.room_bytes, lodei_chunk_room(chunk));
    lodei_sub(c->figures.total_bytes, total);
    lodei_sub(c->figures.chunks, 1);
    lodei_add(c->figures.given, 1);
    lodei_source_free(chunk, total);
    return total;
}

/* ---- spare ---- */

static void spare_added(struct lodei_chunks *c, const struct lodei_chunk *chunk)
{
    lodei_add(c->figures.spare_bytes, lodei_chunk_room(chunk));
    lodei_add(c->figures.spare_chunks, 1);
    if (lodei_chunk_room(chunk) > c->figures.spare_largest_bytes)
        lodei_put(c->figures.spare_largest_bytes, lodei_chunk_room(chunk));
}

void lodei_spare_first(struct lodei_chunks *c, struct lodei_chunk *chunk)
{
    chunk->below = c->spare;
    c->spare = chunk;
    if (c->spare_last == NULL)
        c->spare_last = chunk;
    spare_added(c, chunk);
}

void lodei_spare_last(struct lodei_chunks *c, struct lodei_chunk *chunk)
{
    chunk->below = NULL;
    if (c->spare_last != NULL)
        c->spare_last->below = chunk;
    else
        c->spare = chunk;
    c->spare_last = chunk;
    spare_added(c, chunk);
}

static void note_largest(struct lodei_chunks *c)
{
    size_t largest = 0;
    for (const struct lodei_chunk *chunk = c->spare; chunk != NULL; chunk = chunk->below)
        largest = lodei_max(largest, lodei_chunk_room(chunk));
    lodei_put(c->figures.spare_largest_bytes, largest);
}

int lodei_spare_fits(const struct lodei_chunks *c, size_t bytes, size_t mask)
{
    for (const struct lodei_chunk *chunk = c->spare; chunk != NULL; chunk = chunk->below)
        if (lodei_place_in(chunk, bytes, mask) != 0)
            return 1;
    return 0;
}

struct lodei_chunk *lodei_spare_take(struct lodei_chunks *c, size_t bytes, size_t mask)
{
    struct lodei_chunk *before = NULL, *chunk = c->spare;
    while (chunk != NULL && lodei_place_in(chunk, bytes, mask) == 0) {
        before = chunk;
        chunk = chunk->below;
    }
    if (chunk == NULL)
        return NULL;
    if (before != NULL)
        before->below = chunk->below;
    else
        c->spare = chunk->below;
    if (c->spare_last == chunk)
        c->spare_last = before;
    lodei_sub(c->figures.spare_bytes, lodei_chunk_room(chunk));
    lodei_sub(c->figures.spare_chunks, 1);
    if (lodei_chunk_room(chunk) == c->figures.spare_largest_bytes)
        note_largest(c);
    return chunk;
}

size_t lodei_spare_give(struct lodei_chunks *c)
{
    struct lodei_chunk *chunk = c->spare;
    size_t bytes = 0;
    c->spare = c->spare_last = NULL;
    lodei_put(c->figures.spare_bytes, 0);
    lodei_put(c->figures.spare_chunks, 0);
    lodei_put(c->figures.spare_largest_bytes, 0);
    while (chunk != NULL) {
        struct lodei_chunk *next = chunk->below;
        bytes += chunk_give(c, chunk);
        chunk = next;
    }
    return bytes;
}

static int in_list(const struct lodei_chunk *chunk, uintptr_t at)
{
    for (; chunk != NULL; chunk = chunk->below)
        if (at >= chunk->start && at < chunk->end)
            return 1;
    return 0;
}

int lodei_chunks_own(const struct lodei_chunks *c, const struct lodei_chunk *used, uintptr_t at)
{
    return in_list(used, at) || in_list(c->spare, at);
}
