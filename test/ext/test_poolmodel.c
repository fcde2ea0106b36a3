/* SPDX-License-Identifier: MIT */
/* Object pools: constructors and destructors, seeded runs against a naive model, and the table of
 * chunks where they lie anyhow. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "lode/pool.h"

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

/* ---- hooks ---- */

struct node {
    struct node *child;
    int built;
};

struct hooks {
    struct lode_pool *pool;
    int built, destroyed;
    int fail_with;
    int release_child, release_self, acquire_more;
};

static int construct(void *ctx, void *object)
{
    struct hooks *h = ctx;
    struct node *node = object;
    if (h->fail_with != 0)
        return h->fail_with;
    *node = (struct node){NULL, 1};
    h->built++;
    if (h->acquire_more > 0) {
        h->acquire_more--;
        node->child = lode_pool_acquire(h->pool);
    }
    return 0;
}

static void destruct(void *ctx, void *object)
{
    struct hooks *h = ctx;
    struct node *node = object;
    cr_assert_eq(node->built, 1);
    if (h->release_self)
        cr_assert_eq(lode_pool_release(h->pool, node), -EINVAL);
    if (h->release_child && node->child != NULL)
        cr_assert_eq(lode_pool_release(h->pool, node->child), 0);
    node->built = 0;
    h->destroyed++;
}

static struct lode_pool *made_with_hooks(struct hooks *h)
{
    struct lode_pool_opts o = opts_of(sizeof(struct node));
    o.construct = construct;
    o.destruct = destruct;
    o.hook_ctx = h;
    *h = (struct hooks){.pool = made(&o)};
    return h->pool;
}

Test(poolmodel, hooks_are_balanced)
{
    struct hooks h;
    struct lode_pool *pool = made_with_hooks(&h);
    struct node *nodes[300];
    for (int i = 0; i < 300; i++)
        nodes[i] = got(pool);
    cr_assert_eq(h.built, 300);
    for (int i = 0; i < 300; i += 2)
        put(pool, nodes[i]);
    cr_assert_eq(h.destroyed, 150);
    cr_assert_eq(lode_pool_release(pool, nodes[0]), -EINVAL);
    cr_assert_eq(h.destroyed, 150);
    lode_pool_clear(pool);
    cr_assert_eq(h.destroyed, 300);
    cr_assert_eq(stats_of(pool).live, 0);
    for (int i = 0; i < 40; i++)
        (void)got(pool);
    lode_pool_destroy(pool);
    cr_assert_eq(h.built, 340);
    cr_assert_eq(h.destroyed, 340);
}

Test(poolmodel, a_constructor_that_fails_fails_the_acquire)
{
    struct hooks h;
    struct lode_pool *pool = made_with_hooks(&h);
    void *object = (void *)8;
    put(pool, got(pool));
    struct lode_pool_stats before = stats_of(pool);
    h.fail_with = -EPROTO;
    errno = 7;
    cr_assert_eq(lode_pool_try_acquire(pool, &object), -EPROTO);
    cr_assert_eq((uintptr_t)object, 8);
    cr_assert_null(lode_pool_acquire(pool));
    cr_assert_eq(errno, 7);
    struct lode_pool_stats after = stats_of(pool);
    cr_assert_eq(after.failures, 2);
    after.failures = before.failures;
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    h.fail_with = 0;
    (void)got(pool);
    lode_pool_destroy(pool);
    cr_assert_eq(h.built, h.destroyed);
}

Test(poolmodel, hooks_may_use_the_pool)
{
    struct hooks h;
    struct lode_pool *pool = made_with_hooks(&h);
    for (int round = 0; round < 50; round++) {
        h.acquire_more = 200;
        h.release_child = h.release_self = 1;
        struct node *first = got(pool);
        cr_assert_eq(stats_of(pool).live, 201);
        put(pool, first);
        cr_assert_eq(stats_of(pool).live, 0);
    }
    cr_assert_eq(h.built, h.destroyed);
    h.acquire_more = 200;
    (void)got(pool);
    lode_pool_clear(pool);
    cr_assert_eq(h.built, h.destroyed);
    h.acquire_more = 200;
    (void)got(pool);
    lode_pool_destroy(pool);
    cr_assert_eq(h.built, h.destroyed);
}

/* ---- against a model ---- */

#define MODEL 4096

struct model {
    struct lode_pool *pool;
    size_t bytes;
    unsigned char *live[MODEL];
    unsigned char *dead[64]; /* released lately */
    size_t count, max;
    uint32_t seed;
};

static uint32_t any(struct model *m, uint32_t limit)
{
    m->seed = m->seed * 1664525 + 1013904223;
    return (m->seed >> 8) % limit;
}

static int is_live(const struct model *m, const unsigned char *object)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->live[i] == object)
            return 1;
    return 0;
}

static void model_acquire(struct model *m)
{
    unsigned char *object = lode_pool_acquire(m->pool);
    cr_assert_eq(object != NULL, m->count < m->max);
    if (object == NULL)
        return;
    if (m->count < 200)
        cr_assert_not(is_live(m, object));
    memset(object, (int)(uintptr_t)object >> 4, m->bytes);
    m->live[m->count++] = object;
}

static void model_release(struct model *m, size_t i)
{
    unsigned char *object = m->live[i], mark = (unsigned char)((uintptr_t)object >> 4);
    for (size_t b = 0; b < m->bytes; b += 1 + m->bytes / 16)
        cr_assert_eq(object[b], mark);
    put(m->pool, object);
    m->dead[any(m, 64)] = object;
    m->live[i] = m->live[--m->count];
}

static void model_step(struct model *m)
{
    switch (any(m, 40)) {
    case 0:
        lode_pool_tick(m->pool);
        break;
    case 1:
        (void)lode_pool_trim(m->pool, any(m, 1 << 20));
        break;
    case 2:
        if (any(m, 8) == 0)
            (void)lode_pool_shrink(m->pool);
        break;
    case 3: {
        unsigned char *dead = m->dead[any(m, 64)];
        if (dead != NULL && !is_live(m, dead))
            cr_assert_eq(lode_pool_release(m->pool, dead), -EINVAL);
        break;
    }
    case 4:
        if (any(m, 200) == 0) {
            lode_pool_clear(m->pool);
            m->count = 0;
        }
        break;
    case 5:
        for (uint32_t n = any(m, 300); n > 0; n--)
            model_acquire(m);
        break;
    case 6:
        for (uint32_t n = any(m, 300); n > 0 && m->count > 0; n--)
            model_release(m, any(m, (uint32_t)m->count));
        break;
    default:
        if (any(m, 2) == 0)
            model_acquire(m);
        else if (m->count > 0)
            model_release(m, any(m, (uint32_t)m->count));
    }
}

static void run_model(size_t bytes, size_t max, uint32_t seed, uint32_t flags)
{
    static struct model m;
    struct lode_pool_opts o = opts_of(bytes);
    o.max = max;
    o.flags = flags;
    o.epoch_acquires = 256;
    o.shrink_delay = 2;
    m = (struct model){.pool = made(&o), .bytes = bytes, .max = max, .seed = seed};
    for (int step = 0; step < 6000; step++) {
        model_step(&m);
        struct lode_pool_stats s = stats_of(m.pool);
        cr_assert_eq(s.live, m.count);
        cr_assert_leq(s.live + s.hot, s.chunks * s.chunk_objects);
        cr_assert_eq(s.mapped_bytes, s.chunks * s.chunk_bytes + s.metadata_bytes);
    }
    while (m.count > 0)
        model_release(&m, m.count - 1);
    (void)lode_pool_shrink(m.pool);
    cr_assert_eq(stats_of(m.pool).chunks, 0);
    lode_pool_destroy(m.pool);
}

Test(poolmodel, does_what_a_naive_model_does)
{
    static const size_t sizes[] = {8, 12, 24, 64, 65, 200, 1000, 4096, 10000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        run_model(sizes[i], MODEL, (uint32_t)i + 1, 0);
        run_model(sizes[i], 100, (uint32_t)i + 100, LODE_POOL_ZERO);
        run_model(sizes[i], 1000, (uint32_t)i + 200, LODE_POOL_REMOTE | LODE_POOL_TOUCH);
    }
}

/* Chunks that share a place in the table are found when one of them has gone. Of chunks that follow
 * each other none would: there are holes for them all over a heap. */
Test(poolmodel, chunks_are_found_when_others_have_gone)
{
    enum { CHUNKS = 512, EACH = 8, HOLES = 8 * CHUNKS };
    static void *objects[CHUNKS * EACH], *between[HOLES];
    struct lode_pool_opts o = opts_of(8192);
    uint32_t random = 1;
    cr_assert_eq(lode_heap_create(NULL, &o.heap), 0);
    for (size_t i = 0; i < HOLES; i++)
        between[i] = lode_heap_aligned_alloc(o.heap, 65536, 65536);
    for (size_t i = 0; i < HOLES; i++) {
        random = random * 1664525 + 1013904223;
        if (random >> 29 == 0)
            lode_free(between[i]);
    }
    struct lode_pool *pool = made(&o);
    cr_assert_eq(lode_pool_acquire_many(pool, objects, CHUNKS * EACH), CHUNKS * EACH);
    cr_assert_eq(stats_of(pool).chunk_objects, EACH);
    for (size_t step = 2; step <= 8; step *= 2) {
        for (size_t i = 0; i < CHUNKS * EACH; i++)
            if ((uintptr_t)objects[i] / 65536 % step != 0) {
                cr_assert_eq(lode_pool_release(pool, objects[i]), 0);
                objects[i] = NULL;
            }
        cr_assert_gt(lode_pool_shrink(pool), 0);
        for (size_t i = 0; i < CHUNKS * EACH; i++)
            cr_assert(objects[i] == NULL || lode_pool_owns(pool, objects[i]));
        for (size_t i = 0; i < CHUNKS * EACH; i++)
            if (objects[i] == NULL)
                objects[i] = lode_pool_acquire(pool);
    }
    cr_assert_eq(lode_pool_release_many(pool, objects, CHUNKS * EACH), 0);
    lode_pool_destroy(pool);
    lode_heap_destroy(o.heap);
}
