/* SPDX-License-Identifier: MIT */
/* heap/sizeclass.h, for every size there is a class for. */
#include <criterion/criterion.h>

#include "heap/meta.h"
#include "heap/sizeclass.h"

static void start(void)
{
    cr_assert_eq(lodei_init(), 0);
}

TestSuite(sizeclass, .init = start);

Test(sizeclass, waste_and_inverse)
{
    for (size_t bytes = 1; bytes <= LODEI_MEDIUM_MAX; bytes++) {
        unsigned class = lodei_class_of(bytes);
        cr_assert_lt(class, LODEI_CLASS_COUNT);
        size_t block = lodei_classes[class].block_bytes;
        cr_assert_geq(block, bytes);
        cr_assert(class == 0 || lodei_classes[class - 1].block_bytes < bytes,
                  "%zu bytes fit a smaller class", bytes);
        if (bytes > 128)
            cr_assert_leq((block - bytes) * 8, block, "%zu bytes in %zu", bytes, block);
    }
    cr_assert_eq(lodei_class_of(0), 0);
    cr_assert_eq(lodei_class_of(LODEI_MEDIUM_MAX), LODEI_CLASS_COUNT - 1);
}

Test(sizeclass, alignment)
{
    size_t last = 0;
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        size_t block = lodei_classes[c].block_bytes;
        cr_assert_gt(block, last);
        cr_assert_eq(block % 16, 0);
        last = block;
    }
    /* Spans start at multiples of a slice: such a class is naturally aligned. */
    for (size_t power = 16; power <= LODEI_SLICE_BYTES; power *= 2)
        cr_assert_eq(lodei_classes[lodei_class_of(power)].block_bytes, power);
}

Test(sizeclass, spans)
{
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        const struct lodei_class *k = &lodei_classes[c];
        size_t bytes = k->slices * LODEI_SLICE_BYTES;
        cr_assert_geq(k->slices, 1);
        cr_assert_leq(k->slices, LODEI_SPAN_SLICES_MAX);
        cr_assert_eq(k->blocks, bytes / k->block_bytes);
        cr_assert_geq(k->blocks, 4);
        cr_assert_leq(k->list_max * (size_t)k->block_bytes, 128 * 1024);
        if (c < LODEI_SINGLE_CLASSES) /* what the slice table and the fast free rely on */
            cr_assert_eq(k->slices, 1, "class %u has %u slices", c, k->slices);
        else
            cr_assert_leq((bytes - k->blocks * (size_t)k->block_bytes) * 32, bytes);
    }
}

/* The test of the fast free: is an offset a multiple of the block size? */
Test(sizeclass, reciprocals)
{
    for (unsigned c = 0; c < LODEI_SINGLE_CLASSES; c++) {
        const struct lodei_class *k = &lodei_classes[c];
        for (uint32_t offset = 0; offset < LODEI_SLICE_BYTES; offset++)
            cr_assert_eq((uint32_t)(offset * k->reciprocal) < k->reciprocal,
                         offset % k->block_bytes == 0, "class %u, offset %u", c, offset);
    }
}
