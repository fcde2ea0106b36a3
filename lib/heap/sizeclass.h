/* SPDX-License-Identifier: MIT */
/* Size classes: from bytes to class and back, and how a span of each class is cut. */
#ifndef LODEI_SIZECLASS_H
#define LODEI_SIZECLASS_H

#include "base/bits.h"
#include "heap/types.h"

struct lodei_class {
    uint32_t block_bytes;
    uint32_t reciprocal; /* ceil(2^32 / block_bytes) */
    uint32_t blocks;     /* in a span */
    uint16_t slices;     /* of a span */
    uint16_t list_min;   /* a thread's list of this class starts this long, and shrinks to it */
    uint16_t list_max;   /* the longest it gets */
    uint16_t quiet_max;  /* the longest it gets while blocks are only allocated */
};

extern struct lodei_class lodei_classes[LODEI_CLASS_COUNT];

/* Fill lodei_classes; called once, by lodei_init(). */
void lodei_classes_init(void);

/* bytes <= LODEI_MEDIUM_MAX. */
LODE_INLINE unsigned lodei_class_of(size_t bytes)
{
    if (bytes <= 128)
        return bytes == 0 ? 0 : (unsigned)((bytes - 1) / 16);
    unsigned log = lodei_log2(bytes - 1);
    return 8 + (log - 7) * 8 + (unsigned)((bytes - 1) >> (log - 3) & 7);
}

#endif
