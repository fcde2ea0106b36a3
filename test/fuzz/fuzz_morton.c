/* SPDX-License-Identifier: MIT */
/*
 * Morton codes, boxes and the pool against naive models: codes by a loop over bits, boxes by a
 * sorted list of their cells, the pool by a table of its blocks. Input bytes are read front to
 * back: the first ones choose the pool's shape, then each operation takes a few. Checked all along:
 * blocks are where they were put, aligned, apart, and keep what was written; every refusal is the
 * documented one; in between and at the end every invariant of the pool.
 */
#include "fuzz_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../ext/morton_model.h"
#include "../ext/morton_verify.h"
#include "lode/morton.h"

#define CELLS    700
#define UNLISTED 60

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct input {
    const uint8_t *at, *end;
} input;

static struct model {
    struct lode_morton_pool *pool;
    size_t block_bytes, align;
    unsigned spread; /* bits between neighbouring cells' codes */
    uint64_t top;    /* set in every code */
    void *blocks[CELLS], *unlisted[UNLISTED];
    size_t held, unlisted_count, max_blocks;
} m;

static void failed(const char *what, int line)
{
    fprintf(stderr, "fuzz_morton.c:%d: %s does not hold\n", line, what);
    abort();
}

static size_t take(size_t limit)
{
    size_t value = 0;
    for (size_t n = limit > 256 ? 3 : 1; n > 0 && input.at < input.end; n--)
        value = value << 8 | *input.at++;
    return value % limit;
}

static uint64_t take_word(void)
{
    uint64_t word = 0;
    for (int i = 0; i < 8; i++)
        word = word << 8 | take(256);
    return word;
}

/* ---- codes and boxes ---- */

static void check_codes(void)
{
    uint64_t a = take_word(), b = take_word();
    const uint32_t at[3] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b};
    uint32_t back[3];
    CHECK(lode_morton2_encode(at[0], at[1]) == morton_model(2, 32, at));
    CHECK(lode_morton3_encode(at[0], at[1], at[2]) == morton_model(3, 21, at));
    uint64_t code = a & LODE_MORTON3_LAST, other = b & LODE_MORTON3_LAST;
    lode_morton3_decode(code, back);
    CHECK(lode_morton3_encode(back[0], back[1], back[2]) == code);
    CHECK(lode_morton3_sub(lode_morton3_add(code, other), other) == code);
    CHECK(lode_morton2_sub(lode_morton2_add(a, b), b) == a);
    for (unsigned axis = 0; axis < 3; axis++)
        CHECK(lode_morton3_prev(lode_morton3_next(code, axis), axis) == code);
}

static void check_box(unsigned dims)
{
    struct morton_model_box model;
    struct lode_morton_box box;
    uint64_t state = take_word(), first, last, got;
    size_t at = 0;
    morton_model_box(&model, dims, &state);
    CHECK(model.codes != NULL);
    CHECK((dims == 2 ? lode_morton2_box(model.lo, model.hi, &box)
                     : lode_morton3_box(model.lo, model.hi, &box)) == 0);
    while (lode_morton_box_run(&box, &first, &last)) {
        CHECK(at < model.count && first == model.codes[at]);
        at += last - first + 1;
        CHECK(at <= model.count && model.codes[at - 1] == last);
        CHECK(at == model.count || model.codes[at] != last + 1);
    }
    CHECK(at == model.count);
    for (int i = 0; i < 20; i++) {
        uint64_t code = morton_model_code(&model, dims, &state);
        size_t above = 0, below;
        while (above < model.count && model.codes[above] <= code)
            above++;
        below = above - (above > 0 && model.codes[above - 1] == code);
        CHECK(lode_morton_bigmin(&box, code, &got) == (above < model.count ? 0 : -ENOENT));
        CHECK(above == model.count || got == model.codes[above]);
        CHECK(lode_morton_litmax(&box, code, &got) == (below > 0 ? 0 : -ENOENT));
        CHECK(below == 0 || got == model.codes[below - 1]);
    }
    free(model.codes);
}

/* ---- the pool ---- */

static uint64_t code_of(size_t cell)
{
    return m.top + ((uint64_t)cell << m.spread);
}

static void stamp(void *block, uint64_t code)
{
    memcpy(block, &code, sizeof(code));
    memcpy((char *)block + m.block_bytes - sizeof(code), &code, sizeof(code));
}

static void check_stamp(const void *block, uint64_t code)
{
    CHECK(memcmp(block, &code, sizeof(code)) == 0);
    CHECK(memcmp((const char *)block + m.block_bytes - sizeof(code), &code, sizeof(code)) == 0);
}

static void entered(void *block, uint64_t code)
{
    CHECK((uintptr_t)block % m.align == 0);
    m.held++;
    stamp(block, code);
}

static int is_full(void)
{
    return m.max_blocks != 0 && m.held == m.max_blocks;
}

static void acquire(size_t cell, size_t beside)
{
    void *block = NULL;
    int status =
        m.blocks[beside] != NULL
            ? lode_morton_pool_acquire_near(m.pool, code_of(cell), m.blocks[beside], &block, NULL)
            : lode_morton_pool_acquire(m.pool, code_of(cell), &block);
    CHECK(status == (is_full() ? -ENOSPC : m.blocks[cell] != NULL ? -EEXIST : 0));
    if (status == 0) {
        m.blocks[cell] = block;
        entered(block, code_of(cell));
    }
}

static void acquire_unlisted(size_t beside)
{
    enum lode_morton_nearness nearness;
    void *block;
    if (m.blocks[beside] == NULL || m.unlisted_count == UNLISTED)
        return;
    int status = lode_morton_pool_acquire_near(m.pool, LODE_MORTON_NO_CODE, m.blocks[beside],
                                               &block, &nearness);
    CHECK(status == (is_full() ? -ENOSPC : 0));
    if (status != 0)
        return;
    CHECK(nearness <= LODE_MORTON_SAME_ZONE);
    m.unlisted[m.unlisted_count] = block;
    entered(block, m.unlisted_count++);
}

static void acquire_many(size_t first, size_t count)
{
    uint64_t codes[64];
    void *blocks[64];
    int expected = 0;
    for (size_t i = 0; i < count; i++) {
        size_t cell = (first + i * 37) % CELLS;
        codes[i] = code_of(cell);
        if (m.blocks[cell] != NULL)
            expected = -EEXIST;
    }
    int status = lode_morton_pool_acquire_many(m.pool, codes, count, blocks);
    if (m.max_blocks != 0 && status == -ENOSPC)
        CHECK(m.held + count > m.max_blocks);
    else
        CHECK(status == expected);
    for (size_t i = 0; i < count && status == 0; i++) {
        m.blocks[(first + i * 37) % CELLS] = blocks[i];
        entered(blocks[i], codes[i]);
    }
}

static void release(size_t cell, int by_code)
{
    void *block = m.blocks[cell];
    CHECK(lode_morton_pool_find(m.pool, code_of(cell)) == block);
    if (block == NULL) {
        CHECK(lode_morton_pool_release_code(m.pool, code_of(cell)) == -ENOENT);
        return;
    }
    check_stamp(block, code_of(cell));
    CHECK(lode_morton_pool_release(m.pool, (char *)block + 1) == -EINVAL);
    CHECK((by_code ? lode_morton_pool_release_code(m.pool, code_of(cell))
                   : lode_morton_pool_release(m.pool, block)) == 0);
    CHECK(lode_morton_pool_release(m.pool, block) == -EINVAL);
    m.blocks[cell] = NULL;
    m.held--;
}

static void release_unlisted(void)
{
    if (m.unlisted_count == 0)
        return;
    void *block = m.unlisted[--m.unlisted_count];
    uint64_t code = 1;
    check_stamp(block, m.unlisted_count);
    CHECK(lode_morton_pool_code(m.pool, block, &code) == -ENODATA && code == 1);
    CHECK(lode_morton_pool_release(m.pool, block) == 0);
    m.held--;
}

struct walked {
    size_t first, last, next;
};

static int visit(void *ctx, uint64_t code, void *block)
{
    struct walked *walked = ctx;
    while (walked->next <= walked->last && m.blocks[walked->next] == NULL)
        walked->next++;
    CHECK(walked->next <= walked->last);
    CHECK(code == code_of(walked->next) && block == m.blocks[walked->next]);
    walked->next++;
    return 0;
}

static void walk(size_t first, size_t last)
{
    struct walked walked = {first, last, first};
    CHECK(lode_morton_pool_walk(m.pool, code_of(first), code_of(last), visit, &walked) == 0);
    while (walked.next <= last)
        CHECK(m.blocks[walked.next++] == NULL);
}

static void check_pool(void)
{
    struct lode_allocator_stats stats;
    const char *fault = morton_verify(m.pool);
    if (fault != NULL)
        failed(fault, __LINE__);
    lode_morton_pool_stats(m.pool, &stats);
    CHECK(stats.blocks == m.held);
}

static void step(void)
{
    size_t what = take(16), cell = take(CELLS);
    switch (what) {
    case 0:
        check_codes();
        break;
    case 1:
        check_box(2 + (unsigned)take(2));
        break;
    case 2:
        walk(cell, cell + take(CELLS - cell));
        break;
    case 3:
        acquire_unlisted(cell);
        break;
    case 4:
        release_unlisted();
        break;
    case 5:
        acquire_many(cell, take(65));
        break;
    case 6:
        (void)lode_morton_pool_trim(m.pool);
        check_pool();
        break;
    case 7: /* a run of cells, as a window that leaves */
        for (size_t i = cell; i < CELLS && i < cell + 100; i++)
            release(i, i % 2 == 0);
        break;
    default:
        if (what % 2 == 0)
            acquire(cell, take(CELLS));
        else
            release(cell, what == 9);
    }
}

static void begin(void)
{
    static const uint32_t aligns[] = {0, 16, 64, 4096};
    struct lode_morton_pool_opts opts = LODE_MORTON_POOL_OPTS_INIT;
    memset(&m, 0, sizeof(m));
    opts.block_bytes = m.block_bytes = take(4) == 0 ? 16 + take(8000) : (size_t)16 << take(9);
    opts.align = aligns[take(4)];
    opts.max_blocks = m.max_blocks = take(4) == 0 ? 1 + take(400) : 0;
    m.align = opts.align != 0 ? opts.align : 16;
    m.spread = (unsigned)take(14);
    m.top = take(2) == 0 ? 0 : take_word() >> 1;
    if (take(4) == 0)
        opts.chunk_bytes = (size_t)4096 << take(9);
    int status = lode_morton_pool_create(&opts, &m.pool);
    if (status != 0) {
        /* Not every chunk suits every block. */
        CHECK(status == -EINVAL && opts.chunk_bytes != 0);
        opts.chunk_bytes = 0;
        CHECK(lode_morton_pool_create(&opts, &m.pool) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    input = (struct input){data, data + bytes};
    begin();
    while (input.at < input.end)
        step();
    check_pool();
    for (size_t cell = 0; cell < CELLS; cell++)
        release(cell, 0);
    while (m.unlisted_count > 0)
        release_unlisted();
    check_pool();
    lode_morton_pool_destroy(m.pool);
    return 0;
}
