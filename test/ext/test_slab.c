/* SPDX-License-Identifier: MIT */
/* ext/slab.c and ext/addrtable.c: sizes, packing, empty slabs, every documented errno, a model.
 * What all allocators have in common is in test_conformance.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "ext/addrtable.h"
#include "failing_heap.h"
#include "lode/slab.h"

static struct lode_slab *made(const struct lode_slab_opts *opts)
{
    struct lode_slab *slab;
    cr_assert_eq(lode_slab_create(opts, &slab), 0);
    return slab;
}

static struct lode_allocator_stats stats_of(const struct lode_slab *slab)
{
    struct lode_allocator_stats s;
    lode_slab_stats(slab, &s);
    return s;
}

static int refused(const size_t *sizes, uint32_t count, size_t slab_bytes)
{
    struct lode_slab *slab;
    struct lode_slab_opts o = LODE_SLAB_OPTS_INIT;
    o.class_bytes = sizes;
    o.class_count = count;
    o.slab_bytes = slab_bytes;
    return lode_slab_create(&o, &slab) == -EINVAL;
}

Test(slab, bad_options_are_refused)
{
    static const size_t good[] = {16, 64}, same[] = {64, 64}, falling[] = {64, 32}, odd[] = {24},
                        zero[] = {0}, large[] = {64, 32768}, many[33] = {16};
    struct lode_slab *slab = NULL;
    cr_assert(refused(good, 0, 0));
    cr_assert(refused(NULL, 2, 0));
    cr_assert(refused(same, 2, 0));
    cr_assert(refused(falling, 2, 0));
    cr_assert(refused(odd, 1, 0));
    cr_assert(refused(zero, 1, 0));
    cr_assert(refused(large, 2, 0));
    cr_assert(refused(many, 33, 0));
    cr_assert(refused(good, 2, 1000));
    cr_assert(refused(good, 2, 512));
    cr_assert(refused(good, 2, 8 << 20));
    cr_assert(refused(good, 2, 128 << 10), "more than 4,096 blocks in a slab");
    struct lode_slab_opts o = LODE_SLAB_OPTS_INIT;
    o.flags = 1;
    cr_assert_eq(lode_slab_create(&o, &slab), -EINVAL);
    o = (struct lode_slab_opts)LODE_SLAB_OPTS_INIT;
    o.heap = lode_heap_default();
    o.tag = 2;
    cr_assert_eq(lode_slab_create(&o, &slab), -EINVAL);
    for (long after = 0; after < 4; after++) {
        failing_heap_after = after;
        cr_assert_eq(lode_slab_create(NULL, &slab), -ENOMEM);
    }
    failing_heap_after = -1;
    struct {
        struct lode_slab_opts known;
        uint64_t later;
    } newer = {.known = LODE_SLAB_OPTS_INIT, .later = 1};
    newer.known.size = sizeof(newer);
    cr_assert_eq(lode_slab_create(&newer.known, &slab), -E2BIG);
    cr_assert_null(slab);
    lode_slab_destroy(NULL);
}

Test(slab, a_block_has_the_first_size_that_holds_it)
{
    static const size_t sizes[] = {32, 48, 96, 320};
    struct lode_slab_opts o = LODE_SLAB_OPTS_INIT;
    o.class_bytes = sizes;
    o.class_count = 4;
    struct lode_slab *slab = made(&o);
    for (size_t bytes = 0; bytes <= 320; bytes++) {
        void *p = lode_slab_alloc(slab, bytes, 0);
        size_t expected = bytes <= 32 ? 32 : bytes <= 48 ? 48 : bytes <= 96 ? 96 : 320;
        cr_assert_eq(lode_slab_block_bytes(slab, p), expected);
    }
    cr_assert_null(lode_slab_alloc(slab, 321, 0));
    cr_assert_eq(lode_slab_block_bytes(slab, lode_slab_alloc(slab, 1, 32)), 32);
    cr_assert_eq(lode_slab_block_bytes(slab, lode_slab_alloc(slab, 33, 32)), 96);
    cr_assert_eq(lode_slab_block_bytes(slab, lode_slab_alloc(slab, 1, 64)), 320);
    cr_assert_null(lode_slab_alloc(slab, 1, 128), "no size is a multiple of it");
    struct lode_slab_class class = {.blocks = 99};
    cr_assert_eq(lode_slab_class(slab, 4, &class), -ERANGE);
    cr_assert_eq(class.blocks, 99);
    cr_assert_eq(lode_slab_class(slab, 1, &class), 0);
    cr_assert_eq(class.block_bytes, 48);
    cr_assert_eq(class.blocks, 16);
    cr_assert_eq(class.slabs, 1);
    cr_assert_eq(class.capacity, 65536 / 48);
    lode_slab_destroy(slab);
}

Test(slab, slabs_of_any_shape_are_filled_wholly)
{
    for (size_t slab_bytes = 1024; slab_bytes <= 4 << 20; slab_bytes *= 4) {
        size_t least = slab_bytes / 4096 > 16 ? slab_bytes / 4096 : 16;
        for (size_t bytes = least; bytes <= slab_bytes / 4; bytes = (bytes * 3 + 15) / 16 * 16) {
            struct lode_slab_opts o = LODE_SLAB_OPTS_INIT;
            o.class_bytes = &bytes;
            o.class_count = 1;
            o.slab_bytes = slab_bytes;
            o.max_bytes = slab_bytes;
            struct lode_slab *slab = made(&o);
            size_t count = 0;
            char *first = lode_slab_alloc(slab, bytes, 0), *p = first;
            for (; p != NULL; p = lode_slab_alloc(slab, bytes, 0), count++)
                cr_assert_eq(p, first + count * bytes);
            cr_assert_eq(count, slab_bytes / bytes);
            cr_assert_eq(lode_slab_free(slab, first + bytes / 2), -EINVAL);
            while (count-- > 0)
                cr_assert_eq(lode_slab_free(slab, first + count * bytes), 0);
            cr_assert_eq(stats_of(slab).used_bytes, 0);
            lode_slab_destroy(slab);
        }
    }
}

Test(slab, blocks_of_a_power_of_two_waste_little)
{
    struct lode_slab *slab = made(NULL);
    for (int i = 0; i < 16384; i++)
        cr_assert_not_null(lode_slab_alloc(slab, 1024, 0));
    struct lode_allocator_stats s = stats_of(slab);
    cr_assert_eq(s.used_bytes, 16 << 20);
    cr_assert_eq(s.free_bytes, 0);
    cr_assert_leq((double)s.mapped_bytes, 1.012 * (16 << 20));
    lode_slab_destroy(slab);
}

Test(slab, empty_slabs_go_back_with_hysteresis)
{
    struct lode_slab_opts o = LODE_SLAB_OPTS_INIT;
    o.keep_slabs = 6;
    struct lode_slab *slab = made(&o);
    static void *blocks[1024];
    struct lode_slab_class class;
    for (int i = 0; i < 1024; i++)
        blocks[i] = lode_slab_alloc(slab, 1024, 0);
    size_t full = stats_of(slab).mapped_bytes;
    for (int i = 0; i < 1024; i++) {
        cr_assert_eq(lode_slab_free(slab, blocks[i]), 0);
        size_t empty = stats_of(slab).free_bytes / 65536;
        cr_assert_leq(empty, 7);
    }
    cr_assert_lt(stats_of(slab).mapped_bytes, full / 2);
    cr_assert_geq(stats_of(slab).free_bytes / 65536, 3, "half of those that may be kept");
    /* Swinging by three slabs takes nothing from the heap and gives nothing back. */
    uint64_t misses = 0;
    for (int swing = 0; swing < 20; swing++) {
        for (int i = 0; i < 192; i++)
            blocks[i] = lode_slab_alloc(slab, 1024, 0);
        if (swing == 1)
            misses = stats_of(slab).misses;
        for (int i = 0; i < 192; i++)
            cr_assert_eq(lode_slab_free(slab, blocks[i]), 0);
    }
    cr_assert_eq(stats_of(slab).misses, misses);
    cr_assert_gt(lode_slab_trim(slab), 0);
    cr_assert_eq(lode_slab_class(slab, 0, &class), 0);
    cr_assert_eq(stats_of(slab).free_bytes, 0);
    cr_assert_lt(stats_of(slab).mapped_bytes, 16384);
    lode_slab_destroy(slab);
}

Test(slab, an_empty_slab_serves_any_size)
{
    struct lode_slab_opts o = LODE_SLAB_OPTS_INIT;
    o.max_bytes = 2 * 65536;
    struct lode_slab *slab = made(&o);
    static void *blocks[128];
    for (int i = 0; i < 128; i++)
        blocks[i] = lode_slab_alloc(slab, 1024, 0);
    cr_assert_null(lode_slab_alloc(slab, 16, 0));
    for (int i = 0; i < 64; i++)
        cr_assert_eq(lode_slab_free(slab, blocks[i]), 0);
    struct lode_slab_class kib;
    uint32_t c = 0;
    while (lode_slab_class(slab, c, &kib) == 0 && kib.block_bytes != 1024)
        c++;
    cr_assert_eq(kib.slabs, 2, "an empty one stays with its size");
    cr_assert_not_null(lode_slab_alloc(slab, 16, 0), "until another one needs it");
    cr_assert_eq(lode_slab_class(slab, c, &kib), 0);
    cr_assert_eq(kib.slabs, 1);
    cr_assert_eq(lode_slab_free(slab, blocks[64]), 0);
    cr_assert_eq(lode_slab_alloc(slab, 1024, 0), blocks[64]);
    cr_assert_null(lode_slab_alloc(slab, 1024, 0));
    cr_assert_null(lode_slab_alloc(slab, 512, 0));
    lode_slab_destroy(slab);
}

Test(slab, bad_frees_change_nothing)
{
    struct lode_slab *slab = made(NULL);
    char *a = lode_slab_alloc(slab, 48, 0);
    struct lode_allocator_stats before = stats_of(slab), after;
    cr_assert_eq(lode_slab_free(slab, a + 16), -EINVAL);
    cr_assert_eq(lode_slab_free(slab, a + 1), -EINVAL);
    cr_assert_eq(lode_slab_free(slab, a + 48), -EINVAL);
    cr_assert_eq(lode_slab_free(slab, a - 48), -EINVAL);
    cr_assert_eq(lode_slab_free(slab, a + 65535), -EINVAL);
    cr_assert_eq(lode_slab_free(slab, a + (65536 / 48) * 48), -EINVAL, "the rest of the slab");
    cr_assert_eq(lode_slab_free(slab, &before), -EINVAL);
    cr_assert_eq(lode_slab_block_bytes(slab, a + 16), 0);
    after = stats_of(slab);
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    cr_assert_eq(lode_slab_free(slab, a), 0);
    cr_assert_eq(lode_slab_free(slab, a), -EINVAL);
    a = lode_slab_alloc(slab, 48, 0);
    lode_slab_reset(slab);
    cr_assert(lode_slab_owns(slab, a), "the slab is kept");
    cr_assert_eq(lode_slab_block_bytes(slab, a), 0);
    cr_assert_eq(lode_slab_free(slab, a), -EINVAL);
    cr_assert_eq(stats_of(slab).blocks, 0);
    lode_slab_destroy(slab);
}

Test(slab, a_heap_that_refuses_changes_nothing)
{
    struct lode_slab *slab = made(NULL);
    for (long after = 0; after < 2; after++) {
        failing_heap_after = after;
        struct lode_allocator_stats before = stats_of(slab), now;
        cr_assert_null(lode_slab_alloc(slab, 100, 0));
        now = stats_of(slab);
        cr_assert_eq(now.failures, before.failures + 1);
        cr_assert_eq(now.mapped_bytes, before.mapped_bytes);
        cr_assert_eq(now.free_bytes, before.free_bytes);
    }
    failing_heap_after = -1;
    cr_assert_not_null(lode_slab_alloc(slab, 100, 0));
    lode_slab_destroy(slab);
}

Test(slab, the_table_below_it_finds_what_is_in_it)
{
    struct lodei_addrtable t = {0};
    struct lodei_source source = {.heap = lode_heap_default()};
    static char present[3000];
    uint32_t seed = 1;
    for (int step = 0; step < 60000; step++) {
        seed = seed * 1664525 + 1013904223;
        uintptr_t n = (seed >> 8) % 3000, number = n * (n % 3 == 0 ? 1 : (uintptr_t)1 << 32) + 1;
        cr_assert_eq(lodei_addrtable_grow(&t, &source), 0);
        cr_assert_eq(lodei_addrtable_find(&t, number), present[n] ? &present[n] : NULL);
        if (present[n])
            lodei_addrtable_remove(&t, number);
        else
            lodei_addrtable_put(&t, number, &present[n]);
        present[n] = !present[n];
    }
    lodei_addrtable_finish(&t);
}

/* ---- against a model ---- */

#define BLOCKS 3000

static struct {
    unsigned char *at;
    size_t bytes;
} model[BLOCKS];

Test(slab, behaves_as_its_model)
{
    struct lode_slab_opts o = LODE_SLAB_OPTS_INIT;
    o.slab_bytes = 4096;
    struct lode_slab *slab = made(&o);
    size_t live = 0;
    uint32_t seed = 3;
    for (int step = 0; step < 100000; step++) {
        seed = seed * 1664525 + 1013904223;
        size_t bytes = 1 + (seed >> 10) % 1024;
        if (step % 20000 == 19999) {
            lode_slab_reset(slab);
            live = 0;
        } else if (seed >> 31 == (step / 5000 % 2 == 0) && live < BLOCKS) {
            model[live].at = lode_slab_alloc(slab, bytes, 16);
            cr_assert_not_null(model[live].at);
            model[live].bytes = bytes;
            memset(model[live].at, (int)(uintptr_t)model[live].at / 16, bytes);
            live++;
        } else if (live > 0) {
            size_t i = (seed >> 8) % live;
            for (size_t b = 0; b < model[i].bytes; b++)
                cr_assert_eq(model[i].at[b], (unsigned char)((int)(uintptr_t)model[i].at / 16));
            cr_assert_eq(lode_slab_free(slab, model[i].at), 0);
            cr_assert_eq(lode_slab_free(slab, model[i].at), -EINVAL);
            model[i] = model[--live];
        }
        cr_assert_eq(stats_of(slab).blocks, live);
    }
    lode_slab_destroy(slab);
}
