/* SPDX-License-Identifier: MIT */
/*
 * Offset allocators. Owns a table of nodes, one for each range, live or free, and unless it was
 * given one, the heap that is from. Everything is counted in granules here.
 *
 *     nodes in order of offset:   [used]<->[free]<->[used]<->[used]<->[free]      near_*
 *     free nodes by size:         bin 1..367: head -> node -> node ->             bin_*
 *                                 leaves[46]: which of 8 bins are not empty
 *                                 top: which leaves are not 0
 *
 * Bin of a size: a floating-point number with 3 bits of mantissa, so bins are exact to 15 and then
 * at most 12.5 % wide. A request looks at the first node of its own bin, which is where a range of
 * its size went when it was freed, and then takes the first node of the next bin in which every
 * node is large enough. Only when that fails are bins searched node by node; what a failed search
 * has learned is kept until a larger node is freed, so that failing again costs nothing.
 *
 * The first 368 nodes are the heads of the bins, and node 0, since no range has no size, that of
 * the order as well: lists are rings, and the ends of offsets are neighbours in use. Two free nodes
 * are never neighbours. A node's `life` is odd while it is used, and goes with its index into the
 * range's name; a node that has used up its lives is retired, so no name comes twice.
 *
 * Not locked: one thread at a time; other threads read `table_bytes` and counts through describe().
 * Calls nothing but the heap.
 */
#include "lode/offset.h"

#include <errno.h>
#include <string.h>

#include "ext/figures.h"
#include "ext/offsetbins.h"
#include "ext/opts.h"

#define NODES_FIRST 128
#define NODES_MAX   UINT32_MAX
#define LIFE_LAST   (UINT32_MAX - 1) /* a free node of this life is not used again */

_Static_assert(sizeof(struct lode_offset_opts) == 24 + 2 * sizeof(void *), "no hidden padding");

/* ---- nodes ---- */

static LODE_COLD int nodes_grow(struct lode_offset *o, uint32_t count)
{
    if (o->capacity == o->max_nodes)
        return -ENOMEM;
    uint32_t capacity = o->capacity > o->max_nodes / 2 ? o->max_nodes : o->capacity * 2;
    struct lodei_node *nodes = lodei_source_resize(o->nodes, (size_t)capacity * sizeof(*nodes));
    if (nodes == NULL)
        return -ENOMEM;
    o->nodes = nodes;
    o->capacity = capacity;
    lodei_put(o->table_bytes, (size_t)capacity * sizeof(*nodes));
    return o->unused_count + (capacity - o->unstarted) >= count ? 0 : -ENOMEM;
}

/* Have `count` nodes at hand. */
LODE_INLINE int nodes_have(struct lode_offset *o, uint32_t count)
{
    if (lode_likely(o->unused_count + (o->capacity - o->unstarted) >= count))
        return 0;
    return nodes_grow(o, count);
}

/* One of those. Not used, not in a bin. */
static uint32_t node_new(struct lode_offset *o)
{
    uint32_t index = o->unused;
    if (index != 0) {
        o->unused = o->nodes[index].bin_next;
        o->unused_count--;
        return index;
    }
    index = o->unstarted++;
    o->nodes[index].life = 0;
    return index;
}

static void node_drop(struct lode_offset *o, uint32_t index)
{
    if (lode_unlikely(o->nodes[index].life == LIFE_LAST)) {
        o->retired++;
        return;
    }
    o->nodes[index].bin_next = o->unused;
    o->unused = index;
    o->unused_count++;
}

/* Put `index` behind `before` (0: in front of all). */
LODE_INLINE void near_add(struct lode_offset *o, uint32_t index, uint32_t before)
{
    uint32_t next = o->nodes[before].near_next;
    o->nodes[index].near_prev = before;
    o->nodes[index].near_next = next;
    o->nodes[before].near_next = index;
    o->nodes[next].near_prev = index;
}

LODE_INLINE void near_remove(struct lode_offset *o, uint32_t index)
{
    uint32_t prev = o->nodes[index].near_prev, next = o->nodes[index].near_next;
    o->nodes[prev].near_next = next;
    o->nodes[next].near_prev = prev;
}

/* A new free node behind `before`. */
static void free_add(struct lode_offset *o, uint32_t before, uint64_t at, uint64_t units)
{
    uint32_t index = node_new(o);
    lodei_node_set(&o->nodes[index], at, units);
    near_add(o, index, before);
    lodei_bin_add(o, index, units);
}

/* Put a fresh node in the place of one that is free, out of its bin, and has used up its lives. */
static LODE_COLD uint32_t node_replace(struct lode_offset *o, uint32_t index)
{
    uint32_t fresh = node_new(o), before = o->nodes[index].near_prev;
    lodei_node_set(&o->nodes[fresh], lodei_node_at(&o->nodes[index]),
                   lodei_node_units(&o->nodes[index]));
    near_remove(o, index);
    near_add(o, fresh, before);
    node_drop(o, index);
    return fresh;
}

/* The node of a live range; 0: it is none. */
static uint32_t node_of(const struct lode_offset *o, lode_range range)
{
    uint32_t index = (uint32_t)range, life = (uint32_t)(range >> 32);
    if (index < LODEI_BINS || index >= o->unstarted || (life & 1) == 0 ||
        o->nodes[index].life != life)
        return 0;
    return index;
}

static lode_range range_of(const struct lode_offset *o, uint32_t index)
{
    return (uint64_t)o->nodes[index].life << 32 | index;
}

/* ---- looking for room ---- */

/* Does an aligned range fit into a node? `align` is 1 or a larger power of two. */
LODE_INLINE int fits(const struct lodei_node *n, uint64_t units, uint64_t align)
{
    uint64_t pad = (0 - lodei_node_at(n)) & (align - 1), have = lodei_node_units(n);
    return pad <= have && units <= have - pad;
}

static LODE_COLD uint32_t search(struct lode_offset *o, uint64_t units, uint64_t align)
{
    if (o->denied.units != 0 && units >= o->denied.units && align >= o->denied.align)
        return 0;
    for (unsigned bin = lodei_bin_of(units); bin < LODEI_BINS; bin++)
        for (uint32_t i = o->nodes[bin].bin_next; i != bin; i = o->nodes[i].bin_next)
            if (fits(&o->nodes[i], units, align))
                return i;
    o->denied = (struct lodei_denied){.units = units, .align = align};
    return 0;
}

/* A free node with room; 0: there is none. */
LODE_INLINE uint32_t find(struct lode_offset *o, uint64_t units, uint64_t align)
{
    uint32_t index;
    unsigned bin = lodei_bin_of(units);
    if (!lodei_bin_exact(units)) {
        index = o->nodes[bin].bin_next; /* of an empty bin its head, which has no units */
        if (fits(&o->nodes[index], units, align))
            return index;
        bin++;
    }
    index = lodei_bin_first(o, bin);
    if (lode_likely(index != 0 && fits(&o->nodes[index], units, align)))
        return index;
    if (align > 1 && align <= o->total) {
        uint64_t enough = units + align - 1;
        index = lodei_bin_first(o, lodei_bin_of(enough) + !lodei_bin_exact(enough));
        if (index != 0)
            return index;
    }
    return search(o, units, align);
}

/* So many new nodes it takes to put a range into that one. */
static uint32_t nodes_needed(const struct lodei_node *n, uint64_t units, uint64_t align)
{
    uint64_t pad = (0 - lodei_node_at(n)) & (align - 1);
    uint32_t parts = 1 + (pad != 0) + (lodei_node_units(n) - pad != units);
    return parts > 1 ? parts - 1 : n->life == LIFE_LAST;
}

/* Put a range into that node, of which the caller knows that it fits and that there are nodes for
 * what is left in front and behind. The node of the range. */
LODE_INLINE uint32_t settle(struct lode_offset *o, uint32_t index, uint64_t units, uint64_t align)
{
    const struct lodei_node *n = &o->nodes[index];
    uint64_t start = lodei_node_at(n), have = lodei_node_units(n), pad = (0 - start) & (align - 1);
    uint64_t rest = have - pad - units;
    uint32_t before = n->near_prev, range;
    if (have == units) {
        lodei_bin_remove(o, index);
        range = lode_likely(n->life != LIFE_LAST) ? index : node_replace(o, index);
    } else {
        /* The free node stays one: it is in the right bin more often than not. */
        range = node_new(o);
        if (lode_likely(pad == 0)) {
            lodei_bin_change(o, index, start + units, rest);
        } else {
            lodei_bin_change(o, index, start, pad);
            before = index;
        }
        near_add(o, range, before);
        lodei_node_set(&o->nodes[range], start + pad, units);
        if (pad != 0 && rest != 0)
            free_add(o, range, start + pad + units, rest);
    }
    o->nodes[range].life++;
    return range;
}

/* Bytes as the caller has them, in granules; 0: more than there are. */
static uint64_t units_of(const struct lode_offset *o, uint64_t bytes)
{
    uint64_t units = bytes != 0 ? ((bytes - 1) >> o->granule_log2) + 1 : 1;
    return units <= o->total ? units : 0;
}

/* In granules; 0: no power of two. */
static uint64_t align_of(const struct lode_offset *o, uint64_t align)
{
    if ((align & (align - 1)) != 0)
        return 0;
    return align >> o->granule_log2 > 1 ? align >> o->granule_log2 : 1;
}

/* ---- what the outside calls ---- */

static int failed(struct lode_offset *o, int error)
{
    lodei_add(o->failures, 1);
    return error;
}

static void account(struct lode_offset *o, uint64_t more, uint64_t less)
{
    o->used += more - less;
    if (o->used > o->peak)
        o->peak = o->used;
}

int lode_offset_alloc(struct lode_offset *o, uint64_t bytes, uint64_t align, uint64_t *ret_at,
                      lode_range *ret_range)
{
    uint64_t units = units_of(o, bytes);
    align = align_of(o, align);
    if (lode_unlikely(align == 0))
        return failed(o, -EINVAL);
    uint32_t index = units != 0 ? find(o, units, align) : 0;
    if (lode_unlikely(index == 0))
        return failed(o, -ENOSPC);
    if (lode_unlikely(nodes_have(o, nodes_needed(&o->nodes[index], units, align)) != 0))
        return failed(o, -ENOMEM);
    index = settle(o, index, units, align);
    account(o, units, 0);
    lodei_add(o->live, 1);
    lodei_add(o->allocs, 1);
    *ret_at = lodei_node_at(&o->nodes[index]) << o->granule_log2;
    *ret_range = range_of(o, index);
    return 0;
}

int lode_offset_free(struct lode_offset *o, lode_range range)
{
    uint32_t index = node_of(o, range);
    if (lode_unlikely(index == 0))
        return -EINVAL;
    struct lodei_node *n = &o->nodes[index];
    uint32_t prev = n->near_prev, next = n->near_next;
    uint64_t at = lodei_node_at(n), units = lodei_node_units(n);
    account(o, 0, units);
    lodei_sub(o->live, 1);
    n->life++;
    if (!lodei_node_used(&o->nodes[next])) {
        units += lodei_node_units(&o->nodes[next]);
        lodei_bin_remove(o, next);
        near_remove(o, next);
        node_drop(o, next);
    }
    if (!lodei_node_used(&o->nodes[prev])) {
        at = lodei_node_at(&o->nodes[prev]);
        units += lodei_node_units(&o->nodes[prev]);
        lodei_bin_remove(o, prev);
        near_remove(o, index);
        node_drop(o, index);
        index = prev;
    }
    lodei_node_set(&o->nodes[index], at, units);
    lodei_bin_add(o, index, units);
    return 0;
}

int lode_offset_extend(struct lode_offset *o, lode_range range, uint64_t bytes)
{
    uint32_t index = node_of(o, range);
    uint64_t units = units_of(o, bytes);
    if (index == 0)
        return -EINVAL;
    struct lodei_node *n = &o->nodes[index], *next = &o->nodes[n->near_next];
    int next_free = !lodei_node_used(next);
    uint64_t at = lodei_node_at(n), have = lodei_node_units(n),
             room = have + (next_free ? lodei_node_units(next) : 0);
    if (units == 0 || units > room)
        return failed(o, -ENOSPC);
    if (!next_free && units < have) {
        if (nodes_have(o, 1) != 0)
            return failed(o, -ENOMEM);
        free_add(o, index, at + units, have - units);
        n = &o->nodes[index]; /* the table may have moved */
    } else if (next_free) {
        uint32_t gone = n->near_next;
        lodei_bin_remove(o, gone);
        lodei_node_set(next, at + units, room - units);
        if (units != room) {
            lodei_bin_add(o, gone, room - units);
        } else {
            near_remove(o, gone);
            node_drop(o, gone);
        }
    }
    lodei_node_set(n, at, units);
    account(o, units, have);
    return 0;
}

int lode_offset_find(const struct lode_offset *o, lode_range range, uint64_t *ret_at,
                     uint64_t *ret_bytes)
{
    uint32_t index = node_of(o, range);
    if (index == 0)
        return -EINVAL;
    if (ret_at != NULL)
        *ret_at = lodei_node_at(&o->nodes[index]) << o->granule_log2;
    if (ret_bytes != NULL)
        *ret_bytes = lodei_node_units(&o->nodes[index]) << o->granule_log2;
    return 0;
}

int lode_offset_can_allocate(struct lode_offset *o, uint64_t bytes, uint64_t align)
{
    uint64_t units = units_of(o, bytes);
    align = align_of(o, align);
    uint32_t index = align != 0 && units != 0 ? find(o, units, align) : 0;
    return index != 0 && nodes_have(o, nodes_needed(&o->nodes[index], units, align)) == 0;
}

int lode_offset_grow(struct lode_offset *o, uint64_t bytes)
{
    uint64_t total = bytes >> o->granule_log2;
    if (total < o->total || total > LODEI_AT_MAX)
        return -EINVAL;
    if (total == o->total)
        return 0;
    uint64_t more = total - o->total;
    uint32_t last = o->nodes[0].near_prev;
    if (lodei_node_used(&o->nodes[last]) && nodes_have(o, 1) != 0)
        return -ENOMEM;
    if (!lodei_node_used(&o->nodes[last])) {
        const struct lodei_node *n = &o->nodes[last];
        lodei_bin_remove(o, last);
        lodei_node_set(&o->nodes[last], lodei_node_at(n), lodei_node_units(n) + more);
        lodei_bin_add(o, last, lodei_node_units(n));
    } else {
        free_add(o, last, o->total, more);
    }
    o->total = total;
    return 0;
}

void lode_offset_reset(struct lode_offset *o)
{
    uint32_t whole = o->nodes[0].near_next, next;
    for (uint32_t i = whole; i != 0; i = next) {
        next = o->nodes[i].near_next;
        if (lodei_node_used(&o->nodes[i]))
            o->nodes[i].life++;
        else
            lodei_bin_remove(o, i);
        if (i != whole)
            node_drop(o, i);
    }
    lodei_put(o->live, 0);
    o->used = 0;
    if (whole != 0) {
        lodei_node_set(&o->nodes[whole], 0, o->total);
        o->nodes[whole].near_next = 0;
        o->nodes[0].near_prev = whole;
        lodei_bin_add(o, whole, o->total);
    }
}

/* ---- figures ---- */

void lode_offset_stats(const struct lode_offset *o, struct lode_offset_stats *ret_stats)
{
    uint64_t largest = 0;
    if (o->top != 0) {
        unsigned leaf = 63u - (unsigned)__builtin_clzll(o->top);
        unsigned bin = leaf << 3 | (31u - (unsigned)__builtin_clz(o->leaves[leaf]));
        for (uint32_t i = o->nodes[bin].bin_next; i != bin; i = o->nodes[i].bin_next)
            largest = lodei_max(largest, lodei_node_units(&o->nodes[i]));
    }
    *ret_stats = (struct lode_offset_stats){
        .total_bytes = o->total << o->granule_log2,
        .used_bytes = o->used << o->granule_log2,
        .peak_used_bytes = o->peak << o->granule_log2,
        .free_bytes = (o->total - o->used) << o->granule_log2,
        .largest_free_bytes = largest << o->granule_log2,
        .ranges = o->live,
        .free_ranges = o->unstarted - LODEI_BINS - o->unused_count - o->retired - o->live,
        .allocs = o->allocs,
        .frees = o->allocs - o->live,
        .failures = o->failures,
        .table_bytes = o->table_bytes + sizeof(*o),
    };
}

/* As an allocator of memory it has only its table. */
static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    const struct lode_offset *o = object;
    size_t table = lodei_get(o->table_bytes) + sizeof(*o);
    uint64_t live = lodei_get(o->live), allocs = lodei_max(lodei_get(o->allocs), live);
    *ret_stats = (struct lode_allocator_stats){
        .mapped_bytes = table,
        .metadata_bytes = table,
        .blocks = (size_t)live,
        .allocs = allocs,
        .frees = allocs - live,
        .failures = lodei_get(o->failures),
    };
}

int lode_offset_walk(const struct lode_offset *o, lode_offset_visitor visit, void *ctx)
{
    int status = 0;
    for (uint32_t i = o->nodes[0].near_next; i != 0 && status == 0; i = o->nodes[i].near_next) {
        const struct lodei_node *n = &o->nodes[i];
        status =
            visit(ctx, lodei_node_at(n) << o->granule_log2, lodei_node_units(n) << o->granule_log2,
                  lodei_node_used(n) ? range_of(o, i) : 0);
    }
    return status;
}

/* ---- life ---- */

static int opts_check(const struct lode_offset_opts *o, uint64_t bytes)
{
    uint64_t granule = o->granule != 0 ? o->granule : 1;
    if (o->flags != 0 || (granule & (granule - 1)) != 0)
        return -EINVAL;
    if (o->max_ranges != 0 && o->initial_ranges > o->max_ranges)
        return -EINVAL;
    return bytes / granule > LODEI_AT_MAX ? -EINVAL : 0;
}

/* Nodes for so many ranges, behind the heads. */
static uint32_t nodes_for(uint32_t ranges)
{
    return ranges < NODES_MAX - LODEI_BINS ? ranges + LODEI_BINS : NODES_MAX;
}

static void heads_init(struct lode_offset *o)
{
    memset(o->nodes, 0, LODEI_BINS * sizeof(struct lodei_node));
    for (uint32_t i = 0; i < LODEI_BINS; i++) {
        o->nodes[i].bin_prev = o->nodes[i].bin_next = i;
        o->nodes[i].life = 1;
    }
    o->unstarted = LODEI_BINS;
}

int lode_offset_create(uint64_t bytes, const struct lode_offset_opts *opts,
                       struct lode_offset **ret_offset)
{
    struct lode_offset_opts o;
    struct lodei_source source;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error == 0)
        error = opts_check(&o, bytes);
    if (error == 0)
        error = lodei_source_open(&source, o.heap, o.tag, o.name != NULL ? o.name : "offset");
    if (error != 0)
        return error;
    struct lode_offset *it = lodei_source_calloc(&source, sizeof(*it));
    if (it == NULL)
        goto fail;
    it->source = source;
    it->max_nodes = nodes_for(o.max_ranges != 0 ? o.max_ranges : NODES_MAX);
    it->capacity = nodes_for(o.initial_ranges != 0 ? o.initial_ranges : NODES_FIRST);
    it->capacity = (uint32_t)lodei_min(it->capacity, it->max_nodes);
    it->table_bytes = (size_t)it->capacity * sizeof(struct lodei_node);
    it->nodes = lodei_source_alloc(&source, it->table_bytes, 64);
    if (it->nodes == NULL)
        goto fail;
    heads_init(it);
    it->granule_log2 = o.granule != 0 ? lodei_log2(o.granule) : 0;
    it->total = bytes >> it->granule_log2;
    if (it->total != 0)
        free_add(it, 0, 0, it->total);
    lodei_registry_add(&it->registered, "offset", o.name, it, describe);
    *ret_offset = it;
    return 0;

fail:
    lodei_source_free(it, sizeof(*it));
    lodei_source_close(&source);
    return -ENOMEM;
}

void lode_offset_destroy(struct lode_offset *o)
{
    if (o == NULL)
        return;
    struct lodei_source source = o->source;
    lodei_registry_remove(&o->registered);
    lodei_source_free(o->nodes, o->table_bytes);
    lodei_source_free(o, sizeof(*o));
    lodei_source_close(&source);
}
