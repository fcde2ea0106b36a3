/* SPDX-License-Identifier: MIT */
/*
 * An arena's structure and its chunks: which are in use, which are spare, and where they come from.
 * arena.c bumps blocks through them.
 *
 *     spare:  free chunks, in the order they will be used
 *     below:  lent <- chunk <- chunk <- current          blocks bump through these
 *     alone:  block <- block                             each has a chunk for itself
 *
 *     chunk:  [struct chunk | block block ... block |  free  ]     of the current one
 *                            start               head.next   end
 *
 * `lent`, the bottom of the stack, is the caller's memory, or empty; it is never spare. A mark is
 * the current chunk, its `next`, and the newest of `alone`: coming back to it moves the chunks
 * above to `spare`, so a frame that repeats itself runs through the same memory.
 *
 * head.end is where the inline path ends: `end` of the current chunk, or head.next while ASan or
 * memcheck are to hear of each block (ext/poison.h).
 *
 * Not locked: one thread at a time. What another thread may read (head.next and struct
 * lodei_arena_figures) is written by relaxed atomic stores; it follows no pointer in here.
 */
#ifndef LODEI_ARENACHUNKS_H
#define LODEI_ARENACHUNKS_H

#include "base/bits.h"
#include "ext/marks.h"
#include "ext/registry.h"
#include "ext/source.h"
#include "lode/arena.h"

struct lodei_chunk {
    struct lodei_chunk *below; /* in any of the three lists */
    uintptr_t start;
    uintptr_t end;
    uintptr_t next; /* of chunks under the current one and of `alone`: behind their last block */
    size_t total_bytes;
    size_t reserved;
};
_Static_assert(sizeof(struct lodei_chunk) % 16 == 0, "blocks behind it are aligned to 16");

struct lodei_arena_figures {
    uintptr_t start;    /* of the current chunk */
    uintptr_t end;      /* of the current chunk */
    size_t below_bytes; /* used in the chunks under it */
    size_t alone_bytes; /* used by blocks that have a chunk for themselves */
    size_t peak_bytes;
    size_t room_bytes; /* of all chunks, lent memory too */
    size_t peak_room_bytes;
    size_t total_bytes; /* all that came from the heap */
    size_t spare_bytes; /* room of spare chunks */
    size_t spare_largest_bytes;
    size_t chunks, spare_chunks;
    size_t mark_bytes; /* of a table of marks outside the structure */
    uint64_t taken, given, resets, rewinds, extended, misses, failures;
};

struct lodei_arena {
    struct lode_arena head; /* first: a struct lode_arena * points here */
    struct lodei_chunk *current;
    struct lodei_chunk *alone;
    struct lodei_chunk *spare, *spare_last;
    struct lodei_arena_figures figures;
    size_t chunk_bytes;    /* room of a chunk; 0: grow with the arena */
    size_t max_room_bytes; /* from the heap */
    int fixed;
    struct lodei_chunk lent;
    struct lodei_source source;
    struct lodei_marks marks;
    struct lodei_registered registered;
};

/* relaxed: each figure for itself; pairs with lodei_get() in a thread that looks */
#define lodei_put(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define lodei_get(field)        __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define lodei_add(field, value) lodei_put(field, (field) + (value))

/* Where a block would start in [from, end); 0: there is no room. */
LODE_INLINE uintptr_t lodei_place(uintptr_t from, uintptr_t end, size_t bytes, size_t mask)
{
    size_t pad = (0 - from) & mask, room = end - from;
    return from != 0 && pad <= room && bytes <= room - pad ? from + pad : 0;
}

LODE_INLINE size_t lodei_chunk_room(const struct lodei_chunk *chunk)
{
    return chunk->end - chunk->start;
}

/* The arena stands at `next` in its current chunk; in another chunk. */
void lodei_arena_move(struct lodei_arena *a, uintptr_t next);
void lodei_arena_enter(struct lodei_arena *a, struct lodei_chunk *chunk, uintptr_t next);

/* Room the heap may still be asked for; room of the next chunk for blocks in general. */
size_t lodei_arena_heap_room(const struct lodei_arena *a);
size_t lodei_arena_next_room(const struct lodei_arena *a);

/* A chunk from the heap with room for `room` bytes or a little more, on no list; NULL: over the
 * limit or out of memory. */
struct lodei_chunk *lodei_chunk_take(struct lodei_arena *a, size_t room);

void lodei_spare_first(struct lodei_arena *a, struct lodei_chunk *chunk);
void lodei_spare_last(struct lodei_arena *a, struct lodei_chunk *chunk);
/* The first spare chunk with room, and what is before it in the list; NULL: none. */
struct lodei_chunk *lodei_spare_find(struct lodei_arena *a, size_t bytes, size_t mask,
                                     struct lodei_chunk **ret_before);
void lodei_spare_remove(struct lodei_arena *a, struct lodei_chunk *chunk,
                        struct lodei_chunk *before);
/* All of them back to the heap; the bytes. */
size_t lodei_spare_give(struct lodei_arena *a);

/* Come back to where a mark was made: everything newer is nobody's. */
void lodei_arena_fall(struct lodei_arena *a, struct lodei_chunk *chunk, uintptr_t next,
                      struct lodei_chunk *alone);

/* Any thread may ask; a torn look shows less than there is. */
size_t lodei_arena_used(const struct lodei_arena *a);
/* The arena only fills up between two calls of this. */
void lodei_arena_note_peak(struct lodei_arena *a);

#endif
