/* SPDX-License-Identifier: MIT */
/*
 * Chunks that blocks are bumped through: what arenas and stacks have in common. Owns the chunks,
 * spare and in use, and the source they are from; which chunk is in use for what is the owner's
 * business.
 *
 *     chunk:  [struct lodei_chunk | ............ room ............ ]
 *                                  start                           end
 *
 * `lent` is the caller's memory, or empty; it has no header and is never spare. Room is counted
 * without headers: limits are in bytes a user can have.
 *
 * Not locked: one thread at a time. Any thread may read `figures` (ext/figures.h).
 */
#ifndef LODEI_CHUNKS_H
#define LODEI_CHUNKS_H

#include "base/bits.h"
#include "ext/figures.h"
#include "ext/source.h"

struct lodei_chunk {
    struct lodei_chunk *below; /* in a list of the owner's, or of spare chunks */
    uintptr_t start;
    uintptr_t end;
    uintptr_t next, low; /* the owner's, while he does not work in this chunk */
    size_t total_bytes;  /* of the heap block */
};
_Static_assert(sizeof(struct lodei_chunk) % 16 == 0, "blocks behind it are aligned to 16");

struct lodei_chunk_figures {
    size_t room_bytes; /* of all chunks, `lent` too */
    size_t peak_room_bytes;
    size_t total_bytes; /* all that is from the heap */
    size_t spare_bytes; /* room of spare chunks */
    size_t spare_largest_bytes;
    size_t chunks, spare_chunks;
    uint64_t taken, given, misses;
};

/* What the options of arenas and stacks say alike. */
struct lodei_chunks_opts {
    void *memory;
    size_t memory_bytes;
    size_t initial_bytes;
    size_t chunk_bytes;
    size_t max_bytes;
    int fixed;
};

struct lodei_chunks {
    struct lodei_source source;
    struct lodei_chunk *spare, *spare_last;
    struct lodei_chunk lent;
    size_t chunk_bytes;    /* room of the next one; 0: grow with all there is */
    size_t max_room_bytes; /* from the heap */
    int fixed;             /* one chunk of initial_bytes, or `lent`, or both */
    struct lodei_chunk_figures figures;
};

/* 0; -EINVAL as documented for lode_arena_create() and lode_stack_create(); changes nothing. */
int lodei_chunks_check(const struct lodei_chunks_opts *opts);
/* Into zeroed storage from `source`, which is the chunks' then. 0, or -ENOMEM: no initial chunk. */
int lodei_chunks_start(struct lodei_chunks *chunks, const struct lodei_chunks_opts *opts,
                       const struct lodei_source *source);
/* All of them must be spare. The caller's memory is plain again; the source stays open. */
void lodei_chunks_finish(struct lodei_chunks *chunks);

LODE_INLINE size_t lodei_chunk_room(const struct lodei_chunk *chunk)
{
    return chunk->end - chunk->start;
}

/* Where a block would start in [from, end); 0: there is no room. */
LODE_INLINE uintptr_t lodei_place(uintptr_t from, uintptr_t end, size_t bytes, size_t mask)
{
    size_t pad = (0 - from) & mask, room = end - from;
    return from != 0 && pad <= room && bytes <= room - pad ? from + pad : 0;
}

LODE_INLINE uintptr_t lodei_place_in(const struct lodei_chunk *chunk, size_t bytes, size_t mask)
{
    return lodei_place(chunk->start, chunk->end, bytes, mask);
}

/* Room that such a block needs in a fresh chunk, however it falls; 0: more than there can be. */
LODE_INLINE size_t lodei_room_needed(size_t bytes, size_t mask)
{
    size_t slack = mask > 15 ? mask - 15 : 0;
    return bytes <= PTRDIFF_MAX && slack <= PTRDIFF_MAX - bytes ? bytes + slack : 0;
}

/* Room the heap may still be asked for; room the next chunk for blocks in general should have. */
size_t lodei_chunks_left(const struct lodei_chunks *chunks);
size_t lodei_chunks_next_room(const struct lodei_chunks *chunks);
/* No larger block can ever be had. */
size_t lodei_chunks_max_bytes(const struct lodei_chunks *chunks);

/* From the heap, with room for `room` bytes or a little more, all of it taken (ext/poison.h), on no
 * list; NULL: over the limit or out of memory. */
struct lodei_chunk *lodei_chunk_take(struct lodei_chunks *chunks, size_t room);

void lodei_spare_first(struct lodei_chunks *chunks, struct lodei_chunk *chunk);
void lodei_spare_last(struct lodei_chunks *chunks, struct lodei_chunk *chunk);
/* Is there one with room for the block? */
int lodei_spare_fits(const struct lodei_chunks *chunks, size_t bytes, size_t mask);
/* Take the first one with room off the list; NULL: none. */
struct lodei_chunk *lodei_spare_take(struct lodei_chunks *chunks, size_t bytes, size_t mask);
/* All of them back to the heap; the bytes. */
size_t lodei_spare_give(struct lodei_chunks *chunks);

/* 1: `at` lies in one of a list of chunks, or in a spare one. */
int lodei_chunks_own(const struct lodei_chunks *chunks, const struct lodei_chunk *used,
                     uintptr_t at);

#endif
