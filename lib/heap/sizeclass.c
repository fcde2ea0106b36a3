/* SPDX-License-Identifier: MIT */
#include "heap/sizeclass.h"

struct lodei_class lodei_classes[LODEI_CLASS_COUNT];

/* A thread's list of one class holds at most so many bytes, twice (head and spare). Blocks over 8
 * KiB wait on no list: each would keep a span of several slices. */
#define LIST_BYTES_TINY   ((size_t)128 * 1024)
#define LIST_BYTES_MEDIUM ((size_t)16 * 1024)
#define LIST_START        ((size_t)8)
#define QUIET_BYTES       ((size_t)8 * 1024)
#define QUIET_BLOCKS      ((size_t)32)
#define LIST_BLOCKS_MAX   ((size_t)256)
/* A span of blocks over 8 KiB holds at least this many, and wastes at most 1/32 of itself. */
#define SPAN_BLOCKS_MIN  4
#define SPAN_WASTE_SHARE 32

static size_t block_bytes_of(unsigned class)
{
    if (class < 8)
        return (class + 1) * 16;
    unsigned log = 7 + (class - 8) / 8;
    return (size_t)(9 + (class - 8) % 8) << (log - 3);
}

static unsigned slices_for(unsigned class, size_t block)
{
    if (class < LODEI_SINGLE_CLASSES)
        return 1;
    for (unsigned n = 1; n < LODEI_SPAN_SLICES_MAX; n++) {
        size_t bytes = n * LODEI_SLICE_BYTES;
        if (bytes / block >= SPAN_BLOCKS_MIN && bytes % block <= bytes / SPAN_WASTE_SHARE)
            return n;
    }
    return LODEI_SPAN_SLICES_MAX;
}

void lodei_classes_init(void)
{
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        size_t block = block_bytes_of(c);
        size_t list_bytes = block <= LODEI_TINY_MAX ? LIST_BYTES_TINY : LIST_BYTES_MEDIUM;
        struct lodei_class *k = &lodei_classes[c];
        k->block_bytes = (uint32_t)block;
        k->reciprocal = (uint32_t)((((uint64_t)1 << 32) + block - 1) / block);
        k->slices = (uint16_t)slices_for(c, block);
        k->blocks = (uint32_t)(k->slices * LODEI_SLICE_BYTES / block);
        k->list_max = 0;
        if (c < LODEI_SINGLE_CLASSES)
            k->list_max = (uint16_t)lodei_min(LIST_BLOCKS_MAX, list_bytes / block);
        k->quiet_max = (uint16_t)lodei_min(lodei_min(QUIET_BLOCKS, k->list_max),
                                           lodei_max(2, QUIET_BYTES / block));
        k->list_min = (uint16_t)lodei_min(LIST_START, k->quiet_max);
    }
}
