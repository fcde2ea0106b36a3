/* SPDX-License-Identifier: MIT */
/*
 * Every structure of the heaps and every invariant they keep. Read this before any other file here.
 *
 * ## The reservation
 * One run of addresses, reserved at the first allocation, holds everything. `base` is 2 MiB aligned
 * at least. A small reservation (RLIMIT_AS) may be less than one segment.
 *
 *     base                                                                  base + reserved
 *     | nil | slice table | segments | meta arena | spans | ...... segments of slices ...... |
 *     '---------------- head: never handed out -----------'
 *
 *  - nil          16 bytes that end every free list; its check word is never right (see below).
 *                 Read as a bin it belongs to nobody: what the slice table says of other slices.
 *  - slice table  for each slice the bin of the span in it, where the fast free may use it.
 *  - segments     struct lodei_segment per 64 MiB: which slices are free, which of those are dirty.
 *  - meta arena   thread heaps, heaps, threads: type-stable storage, reused but never unmapped.
 *  - spans        struct lodei_span per slice. Table, segments and spans are committed segment by
 *                 segment, as segments are opened.
 *
 * A pointer p is ours iff (p - base) >> 16 < slice_count; that is decided before anything is read
 * through p. No header stands inside user memory.
 *
 * ## Slices, spans, blocks
 * A slice is 64 KiB. A span is 1 to 64 slices cut into blocks of one size class, or as many slices
 * as one large block needs. The span's first lodei_span speaks for it; the others know how far back
 * the first is. Block i of a span starts at start + i * block_bytes: spans are slice-aligned, so a
 * class that is a multiple of 2^k has 2^k-aligned blocks (k <= 16).
 *
 * ## Free blocks
 * The first two words of every free block, wherever it waits, are
 *
 *     word 0: next            the next free block of its list; nil at the end
 *     word 1: (next + block) ^ key
 *
 * `key` is secret and per process, its top byte never zero, while next + block < 2^56: so the top
 * byte of word 1 of every free block is that of the key. Allocation verifies both words (a link
 * overwritten after free is found before the block is handed out) and clears word 1; free looks at
 * the top byte alone (a wider load could span two of the program's stores and would stall), and
 * only if it matches, off the fast path, at both words in full: a block freed twice is found
 * wherever it waits. The method is ours; storing a check beside the link, and the double-free key
 * of glibc's tcache, are its ancestors.
 *
 * ## Where a free block waits
 *   1. bin->head: LIFO, private to the thread that owns the thread heap; no lock, no atomic.
 *   2. bin->spare: the previous full list, older than all of head. A full head becomes the spare
 *      and the old spare, the oldest blocks there are, goes back to its spans.
 *   3. outbox of another thread's thread heap of the same heap: freed there, not yet delivered.
 *   4. shelf->inbox: delivered; the owner takes the whole list as its next head.
 *   5. span->free: counted down from span->used. At zero the span is free.
 *   6. dormant: no words at all; a page it overlaps is purged (span->purged). It is on no list.
 * 1-4 count as `used` in the span. 4-6 are guarded by the owner's theap->lock, 1-3 belong to a
 * thread.
 *
 * ## Thread heaps
 * A thread heap (theap) is one thread's part of one heap. Its spans are its own: only its thread
 * puts blocks on its bins. It outlives its thread: then it is an orphan and waits, lists and all,
 * for the next thread that needs a part of that heap.
 *
 * The thread-local lode_theap_self names what malloc() uses: a real theap; the static empty one
 * before a thread has any; or, while a tracer is installed, the twin of a real one. Empty and twin
 * have only nil bins, so all three cases leave the fast path through the same branch.
 */
#ifndef LODEI_TYPES_H
#define LODEI_TYPES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "base/lock.h"
#include "lode/heap.h"

#define LODEI_SLICE_LOG2     16
#define LODEI_SLICE_BYTES    ((size_t)1 << LODEI_SLICE_LOG2)
#define LODEI_SEGMENT_LOG2   26
#define LODEI_SEGMENT_BYTES  ((size_t)1 << LODEI_SEGMENT_LOG2)
#define LODEI_SEGMENT_WORDS  (LODEI_SEGMENT_SLICES / 64) /* of a bitmap with a bit per slice */
#define LODEI_SEGMENT_SLICES (LODEI_SEGMENT_BYTES / LODEI_SLICE_BYTES)

/* Size classes: 16-byte steps to 128, then 8 a doubling to 64 KiB (at most 11.1 % waste above
 * 128). */
#define LODEI_MEDIUM_MAX  ((size_t)64 * 1024)
#define LODEI_CLASS_COUNT (8 + 8 * 9)
/* Sizes the fast path of malloc serves through theap->bin_of. */
#define LODEI_TINY_MAX ((size_t)1024)
/* Classes whose spans are one slice: only these are in the slice table. 8 + 8 * 6 classes, to 8
 * KiB. */
#define LODEI_SINGLE_CLASSES  (8 + 8 * 6)
#define LODEI_SPAN_SLICES_MAX 64
/* More blocks flushed in a row than so many of the longest lists hold: a phase that only frees. */
#define LODEI_BULK_LISTS   2
#define LODEI_OUTBOX_LOG2  6
#define LODEI_OUTBOX_SLOTS ((size_t)1 << LODEI_OUTBOX_LOG2)
#define LODEI_TAG_DEPTH    16
#define LODEI_PURGES_NOTED 8
#define LODEI_TICK_SKIP    8  /* a clock read costs as much as a short slow path */
#define LODEI_TICK_MS      64 /* unit of lodei_segment.freed_tick */
/* The slice table stands this far into the reservation, behind the nil block. */
#define LODEI_TABLE_OFFSET 64

struct lodei_theap;
struct lodei_thread;

/* A block while it is free. */
struct lodei_block {
    struct lodei_block *next;
    uintptr_t check;
};

/* Must a new block read as zero, and does it? */
enum lodei_zero {
    LODEI_ZERO_ANY,    /* nobody asks */
    LODEI_ZERO_WANTED, /* the caller will clear it */
    LODEI_ZERO_DONE,   /* it does */
};

/* One size class of a thread heap: what the fast paths touch. Belongs to the theap's thread. */
struct lodei_bin {
    struct lodei_block *head;
    struct lodei_theap *owner; /* the theap this bin is in; what the fast free compares with */
    int32_t room;              /* capacity - blocks on head; below 0: overflow */
    uint32_t reciprocal; /* ceil(2^32 / block_bytes): offset * this, mod 2^32, is below this iff
                            offset is a multiple (Lemire, Kaser, Kurz 2019) */
    struct lodei_block *spare;
    int32_t spare_count;
    int32_t capacity;  /* target length of head; adapts between 8 and a limit by class */
    int32_t flushed;   /* blocks flushed since the last refill: the program's swing */
    int32_t seen_room; /* for the idle check: room and head at the last tick */
    struct lodei_block *seen_head;
};

/* One size class of a thread heap: what the slow paths touch. Guarded by theap->lock. */
struct lodei_shelf {
    struct lodei_list partial; /* spans with free, dormant or uncarved blocks, by span->link */
    struct lodei_block *inbox; /* blocks other threads delivered; nil-terminated, NULL when empty */
    uint32_t inbox_count;
    uint32_t spans;
};

/* Blocks of one class of one owner, freed by this thread and not delivered yet. */
struct lodei_outbox {
    struct lodei_theap *owner; /* NULL: empty */
    struct lodei_block *head, *tail;
    uint32_t count;
    uint32_t class;
};

struct lodei_theap {
    /* Read by the fast paths. `base` and `slice_count` are 0 in the empty theap: nothing is ours.
     */
    char *base;
    size_t slice_count; /* slices of the segments opened so far, as this theap last saw it */
    uintptr_t key;
    struct lodei_theap *real; /* itself; of a twin, the traced theap; of the empty one, NULL */
    struct lodei_bin *bin_of[LODEI_TINY_MAX / 16 + 1]; /* (bytes + 15) / 16 -> bin */
    struct lodei_bin bins[LODEI_CLASS_COUNT]; /* a twin and the empty theap have only bins[0] */

    /* Belongs to the thread. */
    struct lodei_thread *thread; /* NULL: orphan. Written under heap->lock */
    uint64_t tick_ms;            /* when this theap last looked after itself */
    uint32_t tick_skip;          /* so many slow paths more before it looks at the clock */
    struct lodei_outbox outboxes[LODEI_OUTBOX_SLOTS];
    struct lodei_theap *twin; /* made when a tracer is installed */

    /* Guarded by `lock`. */
    struct lodei_lock lock;      /* survives reuse: somebody may still be looking */
    struct lodei_list spans;     /* every span, by span->all */
    struct lodei_list purgeable; /* spans that got blocks back, oldest first, by span->purge_link */
    struct lodei_span *retained; /* an empty span kept for the next block over 8 KiB, or NULL */
    struct lodei_shelf shelves[LODEI_CLASS_COUNT];

    /* Written once. */
    struct lode_heap *heap;

    /* Guarded by heap->lock. */
    struct lodei_list heap_link;   /* heap->theaps */
    struct lodei_list orphan_link; /* heap->orphans */
    struct lodei_theap *free_next;
    int flushed; /* an orphan whose lists went back to their spans already */
    int lost; /* its thread vanished in a fork: its bins may be inconsistent and are never read */
    int abandoned; /* vanished with its lock taken: nothing of it is ever touched again (fork.c) */
};

enum lodei_span_state {
    LODEI_SPAN_FREE = 0, /* no span, or a further slice of a large block (see lodei_span_of()) */
    LODEI_SPAN_BLOCKS,   /* first slice of a span of blocks */
    LODEI_SPAN_LARGE,    /* first slice of a large block */
    LODEI_SPAN_REST,     /* a further slice of a span of blocks; `back` leads to the first */
};

struct lodei_span {
    /* Guarded by theap->lock (blocks) or heap->lock (large). */
    struct lodei_theap *theap;    /* NULL for large */
    struct lodei_block *free;     /* returned blocks */
    struct lodei_list link;       /* shelf->partial */
    struct lodei_list all;        /* theap->spans, or heap->larges */
    struct lodei_list purge_link; /* theap->purgeable */

    uint32_t used;       /* blocks live or waiting in places 1-4 */
    uint32_t free_count; /* length of `free` */
    uint32_t dormant;    /* blocks that overlap a purged page */
    uint32_t carved;     /* blocks below this index have been handed out at least once */
    uint32_t capacity;   /* used + free_count + dormant + (capacity - carved) = capacity */
    uint32_t block_bytes;
    uint32_t slices;    /* of the whole span */
    uint32_t queued_ms; /* low half of the clock when it was put on theap->purgeable */
    size_t large_bytes; /* usable bytes of the large block */
    struct lode_heap *heap;

    uint32_t back;   /* slices back to the first of the span (state REST) */
    uint16_t purged; /* of this slice: bit per OS page given back; blocks over it are dormant */
    uint8_t class;
    _Atomic uint8_t state; /* enum lodei_span_state; read without a lock to sort out a pointer */
    uint8_t was_dirty;     /* memory not yet carved may hold old contents */
    uint8_t purging;       /* pages are being given back with no lock held: the span must stay */
};

_Static_assert(sizeof(struct lodei_span) <= 128, "one span descriptor, two cache lines");
#define LODEI_SPAN_STRIDE 128

/* Guarded by lodei_state.slices_lock. */
struct lodei_segment {
    uint64_t free[LODEI_SEGMENT_WORDS];    /* slices nobody uses */
    uint64_t dirty[LODEI_SEGMENT_WORDS];   /* of those, the ones with pages behind them */
    uint64_t touched[LODEI_SEGMENT_WORDS]; /* handed out at least once */
    uint64_t moved[LODEI_SEGMENT_WORDS];   /* on a mapping of lodei_vm_move(): renew, not purge */
    uint64_t edges[LODEI_SEGMENT_WORDS];   /* the slice before it is on another mapping */
    uint16_t freed_tick[LODEI_SEGMENT_SLICES]; /* of dirty slices, in units of LODEI_TICK_MS */
    uint32_t free_count;
    uint32_t dirty_count;
    uint32_t committed; /* slices below this are readable and writable */
    uint32_t longest;   /* no run of free slices is longer than this */
    uint8_t kind;       /* enum lode_kind */
};

struct lode_heap {
    uint32_t generation; /* raised by create and destroy: even while there is no such heap; a part
                            is stale unless this matches */
    uint16_t tag;
    uint8_t kind;
    uint8_t by_tag; /* made by lode_tag_push() */
    char name[32];
    struct lodei_list registry_link; /* guarded by registry_lock */

    struct lodei_lock lock;    /* survives reuse: somebody may still be looking */
    struct lodei_list theaps;  /* by heap_link */
    struct lodei_list orphans; /* by orphan_link, oldest first */
    struct lodei_list larges;  /* by span->all */
    size_t large_bytes;
    size_t large_slices;
    size_t large_count;
    struct lode_heap *free_next;
};

/* One row of a thread's table of parts. */
struct lodei_part {
    struct lodei_theap *theap; /* NULL: empty */
    struct lode_heap *heap;
    uint32_t generation;
};

struct lodei_thread {
    struct lodei_theap *theap; /* its part of the default heap */
    struct lodei_part *parts;  /* of other heaps; open addressing, by heap */
    uint32_t parts_log2;
    uint32_t parts_count;
    uint32_t tag_depth;
    int in_tracer; /* a hook runs: what it allocates is not traced */
    struct lodei_theap *tag_saved[LODEI_TAG_DEPTH];
    struct lodei_list registry_link;
    struct lodei_thread *free_next;
};

/* Slices that follow each other. */
struct lodei_run {
    size_t first;
    size_t count;
};

/* Slices that are with the kernel; an empty note has count 0. */
struct lodei_purge_note {
    struct lodei_run run;
    const void *thread; /* &lode_theap_self of the thread that gives them back */
};

/* All zero until the first allocation. */
struct lodei_state {
    char *base;
    size_t reserved_bytes;
    size_t slice_count;
    struct lodei_bin **slice_table;
    struct lodei_segment *segments;
    size_t segment_count;
    size_t head_slices; /* the first so many hold the tables */
    char *spans;
    uintptr_t key;
    struct lodei_block *nil;
    struct lodei_bin *no_bin; /* the same address as nil */
    struct lode_heap *default_heap;
    const struct lodei_tracer *tracer;

    struct lodei_lock meta_lock;
    char *meta_start, *meta_next, *meta_committed, *meta_end;
    struct lodei_theap *free_theaps; /* these three linked through ->free_next */
    struct lode_heap *free_heaps;
    struct lodei_thread *free_threads;

    struct lodei_lock slices_lock;
    size_t table_bytes_committed; /* of slice table, segments and span descriptors */
    size_t segments_opened;       /* indices below this have been opened */
    size_t committed_slices;
    size_t used_slices, peak_used_slices;
    size_t dirty_slices;
    size_t hint[2];        /* [dirty]: no segment below it has a free (a dirty) slice */
    size_t purging_slices; /* of the used ones: being given back right now */
    struct lodei_purge_note purging[LODEI_PURGES_NOTED]; /* those, for a forked child */
    size_t trimmed_slices; /* by lodei_slices_trim(), since keep_doubled was last raised */
    uint32_t keep_doubled; /* how often what trimming keeps was doubled */
    size_t lent_bytes;     /* behind slice_count: another allocator's */
    uint32_t moved_edges;  /* bits set in segment->edges: mappings we caused */

    struct lodei_lock registry_lock;
    struct lodei_list heaps;
    struct lodei_list threads;
    struct lode_heap **heap_by_tag; /* 65,536 entries, made by the first lode_tag_push() */

    _Atomic uint32_t queued_spans; /* on some theap's purgeable list */
    _Atomic uint64_t purge_calls;
    _Atomic uint64_t purge_bytes;
    _Atomic uint32_t purge_failures; /* refused by the kernel: locked in memory */
    _Atomic uint64_t misuse_count;
    _Atomic uint64_t foreign_count;
};

extern struct lodei_state lodei_state;

/* What malloc() of this thread uses. Initial-exec, so that both libraries reach it in one load. */
extern _Thread_local struct lodei_theap *lode_theap_self
    __attribute__((tls_model("initial-exec"), visibility("default")));

LODE_INLINE struct lodei_span *lodei_span_at(size_t slice)
{
    return (struct lodei_span *)(void *)(lodei_state.spans + slice * LODEI_SPAN_STRIDE);
}

LODE_INLINE size_t lodei_span_slice(const struct lodei_span *span)
{
    return (size_t)((const char *)span - lodei_state.spans) / LODEI_SPAN_STRIDE;
}

LODE_INLINE char *lodei_slice_start(size_t slice)
{
    return lodei_state.base + (slice << LODEI_SLICE_LOG2);
}

LODE_INLINE char *lodei_span_start(const struct lodei_span *span)
{
    return lodei_slice_start(lodei_span_slice(span));
}

/* Slice index of any address; >= slice_count when it is not ours. */
LODE_INLINE size_t lodei_slice_of(const void *p)
{
    return ((uintptr_t)p - (uintptr_t)lodei_state.base) >> LODEI_SLICE_LOG2;
}

LODE_INLINE uintptr_t lodei_block_check(const struct lodei_block *block,
                                        const struct lodei_block *next, uintptr_t key)
{
    return ((uintptr_t)next + (uintptr_t)block) ^ key;
}

#endif
