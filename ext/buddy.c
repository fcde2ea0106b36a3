/* SPDX-License-Identifier: MIT */
/*
 * Buddy allocators. Owns the tables and, unless it was lent, the memory they are of; and, unless it
 * was given one, the heap of both. Nothing is written into that memory.
 *
 * The smallest blocks are cells, numbered from `origin`, an address at or below the memory that is
 * a multiple of the largest block: so a block of order k, 2^k cells, is aligned to its size for
 * real. Cells below the memory, at most as many as in it, are never free.
 *
 *     origin        start                                      end
 *     |             | cell | cell | cell | cell | cell | cell |
 *       never free    free[0]: set of free cells
 *                     free[1]: set of free pairs, ...          (ext/bittree.h)
 *
 *     orders[cell]: 0, or order + 1 if a live block starts there, | WAITS for one that was freed
 * and waits in waiting[order]
 *
 * A freed block first waits, one of each order: the program likes to have it again, hot in the
 * cache and without having been joined and split. The one that waited before joins its buddy, and
 * so on upwards. When nothing else serves a request, and when figures are asked for, all that wait
 * are joined: nothing is ever refused because of them.
 *
 * Not locked: one thread at a time. What other threads may read is written with lodei_put().
 */
#include "lode/buddy.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "ext/bittree.h"
#include "ext/figures.h"
#include "ext/ops.h"
#include "ext/opts.h"
#include "ext/poison.h"
#include "ext/registry.h"
#include "ext/source.h"

#define MIN_DEFAULT ((size_t)64)
#define MIN_LEAST   ((size_t)16)
#define CELLS_MAX   ((size_t)1 << 28)
#define ORDERS_MAX  30
#define ALIGN_MOST  ((size_t)2 << 20) /* of the heap's memory */
#define ALIGN_LENT  ((size_t)4096)
#define WAITS       0x80
#define NONE        UINT32_MAX

struct lode_buddy {
    uintptr_t origin;
    size_t align_max; /* that `origin` is a multiple of */
    unsigned min_log2;
    unsigned orders_count; /* orders there are */
    uint32_t first_cell;   /* of the memory */
    uint32_t end_cell;
    uint64_t free_orders; /* bit k: free[k] is not empty */
    uint64_t waiting_orders;
    uint8_t *orders; /* by cell - first_cell */
    uint32_t waiting[ORDERS_MAX];
    struct lodei_bittree free[ORDERS_MAX];
    size_t used_bytes, peak_bytes, blocks;
    uint64_t allocs, failures;
    void *memory; /* NULL: lent */
    size_t memory_bytes;
    void *tables;
    size_t table_bytes;
    struct lodei_source source;
    struct lodei_registered registered;
};

_Static_assert(sizeof(struct lode_buddy_opts) == 8 + 5 * sizeof(size_t), "no hidden padding");

/* ---- cells ---- */

static void *address_of(const struct lode_buddy *b, uint32_t cell)
{
    return (void *)(b->origin + ((size_t)cell << b->min_log2));
}

static size_t order_bytes(const struct lode_buddy *b, unsigned order)
{
    return (size_t)1 << (order + b->min_log2);
}

/* The order that holds so many bytes; ORDERS_MAX: more than there is. */
static unsigned order_for(const struct lode_buddy *b, size_t bytes)
{
    if (bytes >> b->min_log2 > CELLS_MAX)
        return ORDERS_MAX;
    size_t cells = (lodei_max(bytes, 1) - 1) >> b->min_log2;
    return cells == 0 ? 0 : lodei_log2(cells) + 1;
}

/* The record of the live block that starts at `block`; NULL: there is none. */
static uint8_t *record_of(const struct lode_buddy *b, const void *block)
{
    size_t offset = (uintptr_t)block - b->origin, cell = offset >> b->min_log2;
    if ((offset & (order_bytes(b, 0) - 1)) != 0 || cell < b->first_cell || cell >= b->end_cell)
        return NULL;
    uint8_t *record = &b->orders[cell - b->first_cell];
    return *record != 0 && !(*record & WAITS) ? record : NULL;
}

static uint32_t cell_of(const struct lode_buddy *b, const uint8_t *record)
{
    return (uint32_t)(record - b->orders) + b->first_cell;
}

/* ---- free blocks ---- */

static void free_add(struct lode_buddy *b, uint32_t cell, unsigned order)
{
    if (lodei_bittree_add(&b->free[order], cell >> order))
        lodei_put(b->free_orders, b->free_orders | (uint64_t)1 << order);
}

static void free_remove(struct lode_buddy *b, uint32_t cell, unsigned order)
{
    if (lodei_bittree_remove(&b->free[order], cell >> order))
        lodei_put(b->free_orders, b->free_orders & ~((uint64_t)1 << order));
}

/* A block is free: join it with its buddy as often as that is free, too. */
static void join(struct lode_buddy *b, uint32_t cell, unsigned order)
{
    while (order + 1 < b->orders_count) {
        uint32_t buddy = cell ^ (uint32_t)1 << order;
        if (buddy >= b->end_cell || !lodei_bittree_has(&b->free[order], buddy >> order))
            break;
        free_remove(b, buddy, order);
        cell &= ~((uint32_t)1 << order);
        order++;
    }
    free_add(b, cell, order);
}

/* Give the upper halves of a block back until it is of `order`. */
static void split(struct lode_buddy *b, uint32_t cell, unsigned from, unsigned order)
{
    while (from > order) {
        from--;
        free_add(b, cell + ((uint32_t)1 << from), from);
    }
}

static void join_waiting(struct lode_buddy *b)
{
    while (b->waiting_orders != 0) {
        unsigned order = (unsigned)__builtin_ctzll(b->waiting_orders);
        uint32_t cell = b->waiting[order];
        lodei_put(b->waiting_orders, b->waiting_orders & (b->waiting_orders - 1));
        b->orders[cell - b->first_cell] = 0;
        join(b, cell, order);
    }
}

static uint32_t take(struct lode_buddy *b, unsigned order)
{
    uint64_t orders = b->free_orders & (~(uint64_t)0 << order);
    if (orders == 0)
        return NONE;
    unsigned from = (unsigned)__builtin_ctzll(orders);
    uint32_t cell = (uint32_t)lodei_bittree_first(&b->free[from]) << from;
    free_remove(b, cell, from);
    split(b, cell, from, order);
    return cell;
}

/* ---- blocks ---- */

static void account(struct lode_buddy *b, size_t more, size_t less)
{
    lodei_put(b->used_bytes, b->used_bytes + more - less);
    if (b->used_bytes > b->peak_bytes)
        lodei_put(b->peak_bytes, b->used_bytes);
}

/* The order of a request; ORDERS_MAX or more: it can never be served. */
static unsigned order_wanted(const struct lode_buddy *b, size_t bytes, size_t align)
{
    align = lodei_align_take(align);
    if (align == 0 || align > b->align_max)
        return ORDERS_MAX;
    unsigned order = order_for(b, lodei_max(bytes, align));
    return order < b->orders_count ? order : ORDERS_MAX;
}

void *lode_buddy_alloc(struct lode_buddy *b, size_t bytes, size_t align)
{
    unsigned order = order_wanted(b, bytes, align);
    uint32_t cell = NONE;
    if (lode_likely(order < ORDERS_MAX)) {
        if (b->waiting_orders >> order & 1) {
            cell = b->waiting[order];
            lodei_put(b->waiting_orders, b->waiting_orders & ~((uint64_t)1 << order));
        } else {
            cell = take(b, order);
            if (lode_unlikely(cell == NONE && b->waiting_orders != 0)) {
                join_waiting(b);
                cell = take(b, order);
            }
        }
    }
    if (lode_unlikely(cell == NONE)) {
        lodei_add(b->failures, 1);
        return NULL;
    }
    b->orders[cell - b->first_cell] = (uint8_t)(order + 1);
    account(b, order_bytes(b, order), 0);
    lodei_add(b->blocks, 1);
    lodei_add(b->allocs, 1);
    void *block = address_of(b, cell);
    lodei_given(block, lodei_max(bytes, 1));
    return block;
}

int lode_buddy_free(struct lode_buddy *b, void *block)
{
    uint8_t *record = record_of(b, block);
    if (lode_unlikely(record == NULL))
        return block == NULL ? 0 : -EINVAL;
    unsigned order = *record - 1u;
    uint32_t cell = cell_of(b, record);
    lodei_taken(block, order_bytes(b, order));
    account(b, 0, order_bytes(b, order));
    lodei_sub(b->blocks, 1);
    *record |= WAITS;
    if (b->waiting_orders >> order & 1) {
        uint32_t longest = b->waiting[order];
        b->orders[longest - b->first_cell] = 0;
        join(b, longest, order);
    }
    b->waiting[order] = cell;
    lodei_put(b->waiting_orders, b->waiting_orders | (uint64_t)1 << order);
    return 0;
}

/* May a block of one order become one of a higher order where it is? */
static int can_grow(const struct lode_buddy *b, uint32_t cell, unsigned from, unsigned to)
{
    if (to >= b->orders_count || (cell & (((uint32_t)1 << to) - 1)) != 0)
        return 0;
    for (unsigned order = from; order < to; order++) {
        size_t behind = ((size_t)cell >> order) + 1;
        if (behind << order >= b->end_cell || !lodei_bittree_has(&b->free[order], behind))
            return 0;
    }
    return 1;
}

int lode_buddy_extend(struct lode_buddy *b, void *block, size_t old_bytes, size_t bytes)
{
    uint8_t *record = record_of(b, block);
    if (record == NULL)
        return -EINVAL;
    unsigned from = *record - 1u, to = order_for(b, bytes);
    uint32_t cell = cell_of(b, record);
    if (to > from) {
        if (!can_grow(b, cell, from, to)) {
            join_waiting(b);
            if (!can_grow(b, cell, from, to))
                return -ENOMEM;
        }
        for (unsigned order = from; order < to; order++)
            free_remove(b, cell + ((uint32_t)1 << order), order);
    } else {
        split(b, cell, from, to);
    }
    *record = (uint8_t)(to + 1);
    account(b, order_bytes(b, to), order_bytes(b, from));
    old_bytes = lodei_max(old_bytes, 1);
    bytes = lodei_max(bytes, 1);
    if (bytes > old_bytes)
        lodei_given((char *)block + old_bytes, bytes - old_bytes);
    else
        lodei_taken((char *)block + bytes, old_bytes - bytes);
    return 0;
}

size_t lode_buddy_block_bytes(const struct lode_buddy *b, const void *block)
{
    const uint8_t *record = record_of(b, block);
    return record != NULL ? order_bytes(b, *record - 1u) : 0;
}

/* Everything is free, in the largest blocks that fit. */
static void populate(struct lode_buddy *b)
{
    for (uint32_t cell = b->first_cell; cell < b->end_cell;) {
        unsigned order = lodei_log2(b->end_cell - cell);
        if (cell != 0)
            order = (unsigned)lodei_min(order, (size_t)__builtin_ctz(cell));
        order = (unsigned)lodei_min(order, b->orders_count - 1);
        free_add(b, cell, order);
        cell += (uint32_t)1 << order;
    }
}

void lode_buddy_reset(struct lode_buddy *b)
{
    memset(b->tables, 0, b->table_bytes);
    lodei_put(b->free_orders, 0);
    lodei_put(b->waiting_orders, 0);
    lodei_put(b->used_bytes, 0);
    lodei_put(b->blocks, 0);
    lodei_taken(address_of(b, b->first_cell), (size_t)(b->end_cell - b->first_cell) << b->min_log2);
    populate(b);
}

/* ---- figures ---- */

int lode_buddy_owns(const struct lode_buddy *b, const void *block)
{
    uintptr_t at = (uintptr_t)block;
    return at >= (uintptr_t)address_of(b, b->first_cell) &&
           at < (uintptr_t)address_of(b, b->end_cell);
}

/* Any thread may ask; blocks that wait are free but not joined. */
static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    const struct lode_buddy *b = object;
    size_t managed = (size_t)(b->end_cell - b->first_cell) << b->min_log2;
    size_t own = sizeof(*b) + b->table_bytes, used = lodei_get(b->used_bytes);
    uint64_t orders = lodei_get(b->free_orders) | lodei_get(b->waiting_orders);
    size_t blocks = lodei_get(b->blocks);
    uint64_t allocs = lodei_max(lodei_get(b->allocs), blocks);
    *ret_stats = (struct lode_allocator_stats){
        .used_bytes = used,
        .requested_bytes = used,
        .peak_used_bytes = lodei_get(b->peak_bytes),
        .free_bytes = managed - used,
        .mapped_bytes = b->memory_bytes + own,
        .metadata_bytes = own,
        .largest_free_bytes = orders != 0 ? order_bytes(b, lodei_log2(orders)) : 0,
        .blocks = blocks,
        .allocs = allocs,
        .frees = allocs - blocks,
        .failures = lodei_get(b->failures),
    };
}

void lode_buddy_stats(struct lode_buddy *b, struct lode_allocator_stats *ret_stats)
{
    join_waiting(b);
    describe(b, ret_stats);
}

/* ---- as an allocator ---- */

static const struct lode_allocator_ops buddy_ops;

static void *op_alloc(void *ctx, size_t bytes, size_t align)
{
    return lode_buddy_alloc(ctx, bytes, align);
}

static void *op_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    struct lode_buddy *b = ctx;
    if (block == NULL)
        return op_alloc(ctx, bytes, align);
    if (order_wanted(b, bytes, align) == ORDERS_MAX)
        return NULL;
    int error = lode_buddy_extend(b, block, old_bytes, bytes);
    if (error != -ENOMEM)
        return error == 0 ? block : NULL;
    return lodei_resize_by_moving(&buddy_ops, ctx, block, old_bytes, bytes, align);
}

static int op_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)bytes;
    (void)align;
    return lode_buddy_free(ctx, block);
}

static size_t op_max_bytes(void *ctx)
{
    const struct lode_buddy *b = ctx;
    return order_bytes(b, b->orders_count - 1);
}

static int op_can_allocate(void *ctx, size_t bytes, size_t align)
{
    struct lode_buddy *b = ctx;
    unsigned order = order_wanted(b, bytes, align);
    if (order == ORDERS_MAX)
        return 0;
    if (b->free_orders >> order == 0 && !(b->waiting_orders >> order & 1))
        join_waiting(b);
    return b->free_orders >> order != 0 || (b->waiting_orders >> order & 1) != 0;
}

static int op_owns(void *ctx, const void *block)
{
    return lode_buddy_owns(ctx, block);
}

static void op_stats(void *ctx, struct lode_allocator_stats *ret_stats)
{
    lode_buddy_stats(ctx, ret_stats);
}

static const struct lode_allocator_ops buddy_ops = {
    .alloc = op_alloc,
    .resize = op_resize,
    .free = op_free,
    .max_bytes = op_max_bytes,
    .can_allocate = op_can_allocate,
    .owns = op_owns,
    .stats = op_stats,
};

void lode_buddy_allocator(struct lode_buddy *buddy, struct lode_allocator *ret_allocator)
{
    *ret_allocator = (struct lode_allocator){.ops = &buddy_ops,
                                             .ctx = buddy,
                                             .traits = LODE_TRAIT_FREES | LODE_TRAIT_BOUNDED |
                                                       LODE_TRAIT_CHECKED | LODE_TRAIT_RESIZES |
                                                       LODE_TRAIT_DESTROYS};
}

/* ---- life ---- */

static int opts_check(struct lode_buddy_opts *o)
{
    if (o->min_bytes == 0)
        o->min_bytes = MIN_DEFAULT;
    if (!lodei_is_power_of_two(o->min_bytes) || o->min_bytes < MIN_LEAST || o->flags != 0)
        return -EINVAL;
    return o->bytes / o->min_bytes > CELLS_MAX ? -EINVAL : 0;
}

/* Where the cells are. -EINVAL: there are none. */
static int lay_out(struct lode_buddy *b, uintptr_t memory, size_t bytes)
{
    size_t min = order_bytes(b, 0);
    uintptr_t start = lodei_round_up(memory, min), end = lodei_round_down(memory + bytes, min);
    if (bytes < min || end <= start)
        return -EINVAL;
    size_t cells = (end - start) >> b->min_log2;
    b->orders_count = lodei_log2(cells) + 1;
    b->origin = lodei_round_down(start, lodei_min(order_bytes(b, b->orders_count - 1), ALIGN_LENT));
    b->align_max = b->origin & (0 - b->origin);
    b->first_cell = (uint32_t)((start - b->origin) >> b->min_log2);
    b->end_cell = b->first_cell + (uint32_t)cells;
    return 0;
}

/* The tables of what is laid out; all free. */
static int start_tables(struct lode_buddy *b)
{
    size_t words = 0;
    for (unsigned k = 0; k < b->orders_count; k++)
        words += lodei_bittree_words(((size_t)b->end_cell >> k) + 1);
    b->table_bytes = words * 8 + (b->end_cell - b->first_cell);
    b->tables = lodei_source_alloc(&b->source, b->table_bytes, 64);
    if (b->tables == NULL)
        return -ENOMEM;
    uint64_t *at = b->tables;
    for (unsigned k = 0; k < b->orders_count; k++)
        at = lodei_bittree_init(&b->free[k], at, ((size_t)b->end_cell >> k) + 1);
    b->orders = (uint8_t *)at;
    lode_buddy_reset(b);
    b->orders_count = lodei_log2(b->free_orders) + 1;
    return 0;
}

static int start(struct lode_buddy *b, const struct lode_buddy_opts *o)
{
    uintptr_t memory = (uintptr_t)o->memory;
    b->min_log2 = lodei_log2(o->min_bytes);
    b->memory_bytes = o->bytes;
    if (o->memory == NULL) {
        size_t align = (size_t)1 << lodei_log2(o->bytes);
        b->memory = lodei_source_alloc(&b->source, o->bytes, lodei_min(align, ALIGN_MOST));
        if (b->memory == NULL)
            return -ENOMEM;
        memory = (uintptr_t)b->memory;
    }
    int error = lay_out(b, memory, o->bytes);
    return error == 0 ? start_tables(b) : error;
}

int lode_buddy_create(const struct lode_buddy_opts *opts, struct lode_buddy **ret_buddy)
{
    struct lode_buddy_opts o;
    struct lodei_source source;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error == 0)
        error = o.bytes != 0 ? opts_check(&o) : -EINVAL;
    if (error == 0)
        error = lodei_source_open(&source, o.heap, o.tag, o.name != NULL ? o.name : "buddy");
    if (error != 0)
        return error;
    struct lode_buddy *b = lodei_source_calloc(&source, sizeof(*b));
    error = -ENOMEM;
    if (b != NULL) {
        b->source = source;
        error = start(b, &o);
    }
    if (error != 0) {
        if (b != NULL)
            lodei_source_free(b->memory, o.bytes);
        lodei_source_free(b, sizeof(*b));
        lodei_source_close(&source);
        return error;
    }
    lodei_registry_add(&b->registered, "buddy", o.name, b, describe);
    *ret_buddy = b;
    return 0;
}

void lode_buddy_destroy(struct lode_buddy *b)
{
    if (b == NULL)
        return;
    struct lodei_source source = b->source;
    size_t managed = (size_t)(b->end_cell - b->first_cell) << b->min_log2;
    lodei_registry_remove(&b->registered);
    lodei_forgotten(address_of(b, b->first_cell), managed);
    lodei_source_free(b->memory, b->memory_bytes);
    lodei_source_free(b->tables, b->table_bytes);
    lodei_source_free(b, sizeof(*b));
    lodei_source_close(&source);
}
