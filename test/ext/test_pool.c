/* SPDX-License-Identifier: MIT */
/*
 * Object pools: options, acquire and release, walking, figures, every documented errno with the
 * state unchanged, a heap that refuses. Hooks and seeded runs against a naive model are in
 * test_poolmodel.c; size by demand, trimming and priorities in test_pooldemand.c; remote releases
 * in test_poolremote.c.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "failing_heap.h"
#include "lode/pool.h"
#include "lode/stats.h"

static struct lode_pool_opts opts_of(size_t object_bytes)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.object_bytes = object_bytes;
    return o;
}

static struct lode_pool *made(const struct lode_pool_opts *opts)
{
    struct lode_pool *pool;
    cr_assert_eq(lode_pool_create(opts, &pool), 0);
    return pool;
}

static struct lode_pool_stats stats_of(const struct lode_pool *pool)
{
    struct lode_pool_stats s;
    memset(&s, 0xff, sizeof(s));
    s.size = sizeof(s);
    cr_assert_eq(lode_pool_stats_get(pool, &s), 0);
    return s;
}

static void *got(struct lode_pool *pool)
{
    void *object = lode_pool_acquire(pool);
    cr_assert_not_null(object);
    return object;
}

static void put(struct lode_pool *pool, void *object)
{
    cr_assert_eq(lode_pool_release(pool, object), 0);
}

static void assert_refused(const struct lode_pool_opts *opts, int error)
{
    struct lode_pool *pool = (struct lode_pool *)8;
    cr_assert_eq(lode_pool_create(opts, &pool), error);
    cr_assert_eq((uintptr_t)pool, 8);
}

Test(pool, bad_options_are_refused)
{
    struct lode_pool_opts o = opts_of(0);
    assert_refused(&o, -EINVAL);
    assert_refused(NULL, -EINVAL);
    o = opts_of(LODE_POOL_OBJECT_MAX + 1);
    assert_refused(&o, -EINVAL);
    o = opts_of(64);
    o.align = 48;
    assert_refused(&o, -EINVAL);
    o.align = LODE_POOL_ALIGN_MAX * 2;
    assert_refused(&o, -EINVAL);
    o = opts_of(64);
    o.flags = 1u << 4;
    assert_refused(&o, -EINVAL);
    o = opts_of(64);
    o.activity = LODE_POOL_DORMANT + 1;
    assert_refused(&o, -EINVAL);
    o = opts_of(64);
    o.shrink_percent = 101;
    assert_refused(&o, -EINVAL);
    o = opts_of(64);
    o.initial = 11;
    o.max = 10;
    assert_refused(&o, -EINVAL);
    o = opts_of(64);
    o.cache_objects = 1;
    assert_refused(&o, -EINVAL);
    for (size_t i = 0; i < sizeof(o.reserved); i++) {
        o = opts_of(64);
        o.reserved[i] = 1;
        assert_refused(&o, -EINVAL);
    }
    o = opts_of(64);
    o.heap = lode_heap_default();
    o.tag = 3;
    assert_refused(&o, -EINVAL);
    o.tag = 0;
    o.kind = LODE_KIND_HUGE;
    assert_refused(&o, -EINVAL);
    o = opts_of(64);
    o.kind = 99;
    assert_refused(&o, -EINVAL);
    o.kind = LODE_KIND_SHARED;
    assert_refused(&o, -ENOTSUP);
}

static void no_destruct(void *ctx, void *object)
{
    (void)ctx;
    (void)object;
}

Test(pool, a_destructor_and_remote_releases_exclude_each_other)
{
    struct lode_pool_opts o = opts_of(64);
    o.flags = LODE_POOL_REMOTE;
    o.destruct = no_destruct;
    assert_refused(&o, -EINVAL);
}

Test(pool, options_of_another_version)
{
    struct {
        struct lode_pool_opts known;
        uint64_t later;
    } newer = {.known = LODE_POOL_OPTS_INIT, .later = 1};
    newer.known.object_bytes = 64;
    newer.known.size = sizeof(newer);
    assert_refused(&newer.known, -E2BIG);
    newer.later = 0;
    lode_pool_destroy(made(&newer.known));
    struct lode_pool_opts older = opts_of(64);
    older.size = offsetof(struct lode_pool_opts, max);
    older.max = 1;
    struct lode_pool *pool = made(&older);
    (void)got(pool);
    (void)got(pool);
    lode_pool_destroy(pool);
    lode_pool_destroy(NULL);
}

Test(pool, what_was_released_last_comes_first)
{
    struct lode_pool_opts o = opts_of(64);
    struct lode_pool *pool = made(&o);
    void *a = got(pool), *b = got(pool), *c = got(pool);
    put(pool, b);
    put(pool, a);
    put(pool, c);
    cr_assert_eq(got(pool), c);
    cr_assert_eq(got(pool), a);
    cr_assert_eq(got(pool), b);
    lode_pool_destroy(pool);
}

Test(pool, fresh_objects_ascend_and_touch_nothing)
{
    struct lode_pool_opts o = opts_of(64);
    struct lode_pool *pool = made(&o);
    char *last = got(pool);
    for (int i = 0; i < 900; i++) {
        char *next = got(pool);
        cr_assert_eq(next - last, 64);
        last = next;
    }
    lode_pool_destroy(pool);
}

Test(pool, sizes_and_alignments)
{
    static const struct {
        size_t bytes, align, want_bytes, want_align;
    } rows[] = {
        {1, 0, 8, 8},
        {8, 0, 8, 8},
        {9, 0, 9, 1},
        {12, 0, 12, 4},
        {24, 0, 24, 8},
        {48, 0, 48, 16},
        {40, 64, 64, 64},
        {1, 4096, 4096, 4096},
        {100, 16, 112, 16},
        {65537, 0, 65537, 1},
        {100, 65536, 65536, 65536},
        {1 << 20, 0, 1 << 20, 16},
        {(5 << 20) + 8, 64, (5 << 20) + 64, 64},
    };
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        struct lode_pool_opts o = opts_of(rows[r].bytes);
        o.align = rows[r].align;
        struct lode_pool *pool = made(&o);
        char *objects[40];
        cr_assert_eq(stats_of(pool).object_bytes, rows[r].want_bytes, "row %zu", r);
        for (int i = 0; i < 40; i++) {
            objects[i] = got(pool);
            cr_assert_eq((uintptr_t)objects[i] % rows[r].want_align, 0, "row %zu", r);
            objects[i][0] = objects[i][rows[r].bytes - 1] = (char)i;
        }
        for (int i = 0; i < 40; i++) {
            cr_assert_eq(objects[i][0], (char)i, "row %zu", r);
            cr_assert_eq(lode_pool_release(pool, objects[i] + 1), -EINVAL, "row %zu", r);
            put(pool, objects[i]);
            cr_assert_eq(lode_pool_release(pool, objects[i]), -EINVAL, "row %zu", r);
        }
        lode_pool_destroy(pool);
    }
}

Test(pool, initial_objects_need_no_new_memory)
{
    struct lode_pool_opts o = opts_of(48);
    o.initial = 5000;
    struct lode_pool *pool = made(&o);
    cr_assert_geq(stats_of(pool).capacity, 5000);
    failing_heap_after = 0;
    for (int i = 0; i < 5000; i++)
        (void)got(pool);
    failing_heap_after = -1;
    cr_assert_eq(stats_of(pool).misses, 0);
    lode_pool_destroy(pool);
}

Test(pool, max_is_exact_and_told)
{
    static const size_t maxima[] = {1, 2, 3, 63, 64, 65, 1000, 5000};
    for (size_t m = 0; m < sizeof(maxima) / sizeof(maxima[0]); m++) {
        struct lode_pool_opts o = opts_of(32);
        o.max = maxima[m];
        struct lode_pool *pool = made(&o);
        void *last = NULL, *none = (void *)8;
        for (size_t i = 0; i < o.max; i++)
            last = got(pool);
        struct lode_pool_stats before = stats_of(pool);
        errno = 7;
        cr_assert_null(lode_pool_acquire(pool));
        cr_assert_eq(lode_pool_try_acquire(pool, &none), -ENOSPC);
        cr_assert_eq((uintptr_t)none, 8);
        cr_assert_eq(errno, 7);
        struct lode_pool_stats after = stats_of(pool);
        cr_assert_eq(after.refused, 2);
        cr_assert_eq(after.capacity, o.max);
        after.refused = before.refused;
        cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
        put(pool, last);
        cr_assert_eq(got(pool), last);
        lode_pool_destroy(pool);
    }
}

static size_t grown_by(size_t growth_objects, uint16_t growth_percent, size_t first)
{
    struct lode_pool_opts o = opts_of(1024); /* 64 to a chunk */
    o.growth_objects = growth_objects;
    o.growth_percent = growth_percent;
    o.flags = LODE_POOL_STEADY;
    o.initial = first;
    struct lode_pool *pool = made(&o);
    size_t before = stats_of(pool).capacity;
    for (size_t i = 0; i <= before; i++)
        (void)got(pool);
    size_t after = stats_of(pool).capacity;
    cr_assert_eq(stats_of(pool).grows, 1);
    lode_pool_destroy(pool);
    return after - before;
}

Test(pool, growth_by_number_or_by_share)
{
    cr_assert_eq(grown_by(1, 0, 64), 64);
    cr_assert_eq(grown_by(64, 0, 640), 64);
    cr_assert_eq(grown_by(65, 0, 640), 128);
    cr_assert_eq(grown_by(0, 100, 640), 640);
    cr_assert_eq(grown_by(0, 25, 640), 192);
    cr_assert_eq(grown_by(0, 0, 640), 320);
    cr_assert_eq(grown_by(1000, 10, 640), 1024);
}

Test(pool, bad_releases_change_nothing)
{
    struct lode_pool_opts o = opts_of(48);
    struct lode_pool *pool = made(&o), *other = made(&o);
    static char elsewhere[64];
    char *a = got(pool), *b = got(pool), *foreign = got(other), *block = lode_malloc(48);
    put(pool, b);
    struct lode_pool_stats before = stats_of(pool);
    void *bad[] = {b,          a + 1,      a + 8,      a + 16,        a + 47,
                   a - 48 * 2, foreign,    block,      elsewhere,     &bad,
                   (void *)1,  (void *)-1, (void *)48, a + 48 * 1000, a + 65536};
    errno = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(lode_pool_release(pool, bad[i]), -EINVAL, "%zu", i);
    cr_assert_eq(errno, 7);
    cr_assert_eq(lode_pool_release(pool, NULL), 0);
    struct lode_pool_stats after = stats_of(pool);
    cr_assert_eq(after.misuses, before.misuses + sizeof(bad) / sizeof(bad[0]));
    after.misuses = before.misuses;
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    put(pool, a);
    lode_free(block);
    lode_pool_destroy(other);
    lode_pool_destroy(pool);
}

Test(pool, an_object_of_a_chunk_that_went_back_is_foreign)
{
    struct lode_pool_opts o = opts_of(4096);
    struct lode_pool *pool = made(&o);
    void *objects[200];
    cr_assert_eq(lode_pool_acquire_many(pool, objects, 200), 200);
    cr_assert_eq(lode_pool_release_many(pool, objects, 200), 0);
    cr_assert_gt(lode_pool_shrink(pool), 0);
    cr_assert_eq(stats_of(pool).chunks, 0);
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(lode_pool_release(pool, objects[i]), -EINVAL);
        cr_assert_not(lode_pool_owns(pool, objects[i]));
    }
    lode_pool_destroy(pool);
}

Test(pool, many_at_once)
{
    struct lode_pool_opts o = opts_of(32);
    o.max = 300;
    struct lode_pool *pool = made(&o);
    void *objects[400] = {NULL};
    cr_assert_eq(lode_pool_acquire_many(pool, objects, 400), 300);
    cr_assert_null(objects[300]);
    cr_assert_eq(lode_pool_acquire_many(pool, objects + 300, 0), 0);
    void *bad[4] = {objects[0], objects[0], objects[1], NULL};
    cr_assert_eq(lode_pool_release_many(pool, bad, 4), -EINVAL);
    cr_assert_eq(lode_pool_release_many(pool, objects + 2, 298), 0);
    cr_assert_eq(stats_of(pool).live, 0);
    lode_pool_destroy(pool);
}

Test(pool, zeroed_objects_read_as_zero)
{
    struct lode_pool_opts o = opts_of(100);
    o.flags = LODE_POOL_ZERO;
    struct lode_pool *pool = made(&o);
    for (int round = 0; round < 3; round++) {
        unsigned char *objects[100];
        for (int i = 0; i < 100; i++) {
            objects[i] = got(pool);
            for (int b = 0; b < 100; b++)
                cr_assert_eq(objects[i][b], 0);
            memset(objects[i], 0xab, 100);
        }
        for (int i = 0; i < 100; i++)
            put(pool, objects[i]);
    }
    lode_pool_destroy(pool);
}

/* ---- walking, clearing ---- */

struct walked {
    struct lode_pool *pool;
    int count, release, stop_after;
};

static int walk_one(void *ctx, void *object)
{
    struct walked *w = ctx;
    cr_assert_eq(*(int *)object, 1);
    if (w->release)
        put(w->pool, object);
    return ++w->count == w->stop_after ? 5 : 0;
}

Test(pool, a_walk_sees_what_is_live)
{
    struct lode_pool_opts o = opts_of(72);
    struct lode_pool *pool = made(&o);
    int *objects[3000];
    for (int i = 0; i < 3000; i++) {
        objects[i] = got(pool);
        *objects[i] = 1;
    }
    for (int i = 0; i < 3000; i += 3) {
        *objects[i] = 0;
        put(pool, objects[i]);
    }
    struct walked w = {.pool = pool};
    cr_assert_eq(lode_pool_walk(pool, walk_one, &w), 0);
    cr_assert_eq(w.count, 2000);
    w = (struct walked){.pool = pool, .stop_after = 10};
    cr_assert_eq(lode_pool_walk(pool, walk_one, &w), 5);
    cr_assert_eq(w.count, 10);
    w = (struct walked){.pool = pool, .release = 1};
    cr_assert_eq(lode_pool_walk(pool, walk_one, &w), 0);
    cr_assert_eq(w.count, 2000);
    cr_assert_eq(stats_of(pool).live, 0);
    lode_pool_destroy(pool);
}

Test(pool, clear_is_how_it_was_created)
{
    struct lode_pool_opts o = opts_of(64);
    o.initial = 2000;
    struct lode_pool *pool = made(&o);
    struct lode_pool_stats fresh = stats_of(pool);
    void *objects[9000];
    cr_assert_eq(lode_pool_acquire_many(pool, objects, 9000), 9000);
    cr_assert_eq(lode_pool_release_many(pool, objects, 100), 0);
    lode_pool_tick(pool);
    lode_pool_clear(pool);
    struct lode_pool_stats cleared = stats_of(pool);
    cr_assert_eq(cleared.live, 0);
    cr_assert_eq(cleared.hot, 0);
    cr_assert_eq(cleared.demand, 0);
    cr_assert_eq(cleared.capacity, fresh.capacity);
    cr_assert_eq(cleared.releases, cleared.acquires);
    cr_assert_eq(lode_pool_release(pool, objects[5000]), -EINVAL);
    cr_assert_eq(lode_pool_acquire_many(pool, objects, 9000), 9000);
    lode_pool_clear(pool);
    (void)lode_pool_shrink(pool);
    cr_assert_eq(stats_of(pool).chunks, 0);
    lode_pool_clear(pool);
    cr_assert_eq(stats_of(pool).capacity, fresh.capacity);
    lode_pool_destroy(pool);
}

/* ---- figures ---- */

Test(pool, figures_add_up)
{
    struct lode_pool_opts o = opts_of(64);
    struct lode_pool *pool = made(&o);
    void *objects[5000];
    cr_assert_float_eq(stats_of(pool).hit_rate, 1, 0);
    cr_assert_eq(lode_pool_acquire_many(pool, objects, 5000), 5000);
    cr_assert_eq(lode_pool_release_many(pool, objects + 1000, 4000), 0);
    put(pool, got(pool));
    struct lode_pool_stats s = stats_of(pool);
    cr_assert_eq(s.object_bytes, 64);
    cr_assert_eq(s.chunk_objects, 1024);
    cr_assert_eq(s.live, 1000);
    cr_assert_eq(s.acquires, 5001);
    cr_assert_eq(s.releases, 4001);
    cr_assert_eq(s.peak_live, 5000);
    cr_assert_eq(s.mapped_bytes, s.chunks * s.chunk_bytes + s.metadata_bytes);
    cr_assert_eq(s.capacity, s.chunks * s.chunk_objects);
    cr_assert_eq(s.misses, s.grows);
    cr_assert_float_eq(s.hit_rate, 1 - (double)s.misses / 5001, 1e-12);
    /* 1000 live ones in the first chunk, and the hot list holds on to another. */
    cr_assert_float_eq(s.fragmentation, 1 - 1000. / (double)((s.chunks - s.empty_chunks) * 1024),
                       1e-12);
    s.size = 4;
    cr_assert_eq(lode_pool_stats_get(pool, &s), -EINVAL);
    s.size = offsetof(struct lode_pool_stats, live);
    s.live = 77;
    cr_assert_eq(lode_pool_stats_get(pool, &s), 0);
    cr_assert_eq(s.live, 77);
    lode_pool_destroy(pool);
}

Test(pool, the_peak_is_exact)
{
    struct lode_pool_opts o = opts_of(16);
    struct lode_pool *pool = made(&o);
    void *objects[500];
    size_t live = 0, peak = 0;
    uint32_t seed = 1;
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1664525 + 1013904223;
        if (live < 500 && (seed >> 24) % 128 < (step / 4000 % 2 ? 40u : 80u))
            objects[live++] = got(pool);
        else if (live > 0)
            put(pool, objects[--live]);
        peak = live > peak ? live : peak;
        cr_assert_eq(stats_of(pool).peak_live, peak);
        cr_assert_eq(stats_of(pool).live, live);
    }
    lode_pool_destroy(pool);
}

Test(pool, next_to_nothing_is_spent_beside_the_objects)
{
    struct lode_pool_opts o = opts_of(64);
    struct lode_pool *pool = made(&o);
    for (int i = 0; i < 65536; i++)
        (void)got(pool);
    struct lode_pool_stats s = stats_of(pool);
    double held = (double)((s.chunks - s.empty_chunks) * s.chunk_bytes + s.metadata_bytes);
    cr_assert_geq(65536 * 64 / held, 0.99, "%f", 65536 * 64 / held);
    lode_pool_destroy(pool);
}

static int find_heap(void *ctx, struct lode_heap *heap, const char *name, uint16_t tag,
                     enum lode_kind kind)
{
    (void)heap;
    if (strcmp(name, "creatures") == 0 && tag == 77 && kind == LODE_KIND_HUGE)
        ++*(int *)ctx;
    return 0;
}

Test(pool, its_own_heap_has_its_name_and_tag)
{
    struct lode_pool_opts o = opts_of(64);
    struct lode_block_info info;
    int found = 0;
    o.name = "creatures";
    o.tag = 77;
    o.kind = LODE_KIND_HUGE;
    struct lode_pool *pool = made(&o);
    cr_assert_eq(lode_block_find(got(pool), &info), 0);
    cr_assert_eq(info.tag, 77);
    cr_assert_eq(info.kind, LODE_KIND_HUGE);
    (void)lode_heaps_enumerate(find_heap, &found);
    cr_assert_eq(found, 1);
    lode_pool_destroy(pool);
    (void)lode_heaps_enumerate(find_heap, &found);
    cr_assert_eq(found, 1);
}

/* ---- a heap that refuses ---- */

Test(pool, create_cleans_up_wherever_memory_ends)
{
    struct lode_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
    struct lode_pool_opts o = opts_of(1000);
    o.initial = 500;
    int served = 0;
    cr_assert_eq(lode_stats_get(NULL, &before), 0);
    for (long n = 0; served == 0; n++) {
        struct lode_pool *pool = (struct lode_pool *)8;
        failing_heap_after = n;
        int error = lode_pool_create(&o, &pool);
        failing_heap_after = -1;
        served = error == 0;
        if (served)
            lode_pool_destroy(pool);
        else
            cr_assert(error == -ENOMEM && (uintptr_t)pool == 8);
        cr_assert_eq(lode_stats_get(NULL, &after), 0);
        cr_assert_eq(after.live_blocks, before.live_blocks);
        cr_assert_eq(after.heaps, before.heaps);
    }
}

Test(pool, more_than_there_can_be_is_refused_at_once)
{
    struct lode_pool_opts o = opts_of(64);
    o.initial = SIZE_MAX;
    assert_refused(&o, -ENOMEM);
    o.initial = (size_t)1 << 50;
    assert_refused(&o, -ENOMEM);
}

Test(pool, growing_stops_wherever_memory_ends)
{
    struct lode_pool_opts o = opts_of(1000);
    for (long n = 0; n < 40; n++) {
        struct lode_pool *pool = made(&o);
        void *objects[2000], *none = (void *)8;
        failing_heap_after = n;
        size_t count = lode_pool_acquire_many(pool, objects, 2000);
        cr_assert_lt(count, 2000);
        struct lode_pool_stats before = stats_of(pool);
        errno = 7;
        cr_assert_eq(lode_pool_try_acquire(pool, &none), -ENOMEM);
        cr_assert_eq((uintptr_t)none, 8);
        cr_assert_eq(errno, 7);
        struct lode_pool_stats now = stats_of(pool);
        cr_assert_eq(now.failures, before.failures + 1);
        now.failures = before.failures;
        cr_assert_eq(memcmp(&before, &now, sizeof(now)), 0);
        failing_heap_after = -1;
        (void)got(pool);
        cr_assert_eq(lode_pool_release_many(pool, objects, count), 0);
        lode_pool_destroy(pool);
    }
}
