/* SPDX-License-Identifier: MIT */
/*
 * An octree's life, its groups of lines, the slots that name them, and figures. See svotree.h for
 * the rules, lode/svo.h for the layout.
 *
 * Groups are blocks of 64 x n bytes of the tree's heaps, whose size classes hold such sizes exactly
 * and aligned. Slots come singly from groups of 8 (slots.h), the last one given up first.
 *
 * Storing the Interface children of a node side by side and finding one by popcount is as in Laine
 * and Karras, "Efficient sparse voxel octrees" 2010, section 3; codes with a leading 1 are the keys
 * of Warren and Salmon's "hashed oct-tree" 1993. Versions and slots: ours.
 *
 * It must never call a callback, or free a block that readers may know, under the lock.
 */
#include "ext/svotree.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "ext/grace.h"
#include "ext/grid.h"
#include "ext/opts.h"
#include "lode/stats.h"

_Static_assert(sizeof(struct lode_svo_line) == 64, "a node is one cache line");
_Static_assert(sizeof(struct lode_svo_content) == 56 && sizeof(struct lode_node) == 16 &&
                   sizeof(struct lode_svo_cell) == 88,
               "no padding");
_Static_assert(sizeof(struct lode_svo_opts) == 56, "no padding");
_Static_assert(LODEI_SLOT_KIND_MAX >= 255, "a mask of siblings fits the kind");

/* ---- slots ---- */

#define KEY_UNUSED_SHIFT 32

static void key_set(uint32_t first, uint64_t key)
{
    /* relaxed: the key is read under the tree's lock only */
    __atomic_store_n(&lodei_slot_page(first)->keys[first % LODE_HANDLE_PAGE / 8], key,
                     __ATOMIC_RELAXED);
}

static int slot_take(struct lode_svo *svo, uint32_t *ret_index)
{
    uint32_t first;
    if (svo->unused_group == 0) {
        int status = lodei_slots_take(&svo->slots, (uint64_t)255 << KEY_UNUSED_SHIFT, &first);
        if (status != 0)
            return status;
        svo->unused_group = first / 8 + 1;
    }
    first = (svo->unused_group - 1) * 8;
    uint64_t key = lodei_group_key(first);
    unsigned unused = (unsigned)(key >> KEY_UNUSED_SHIFT), lane = (unsigned)__builtin_ctz(unused);
    *ret_index = first + lane;
    if ((unused & (unused - 1)) == 0) {
        svo->unused_group = (uint32_t)key;
        key_set(first, 0);
    } else {
        key_set(first, key & ~((uint64_t)1 << (KEY_UNUSED_SHIFT + lane)));
    }
    return 0;
}

static void slot_give(struct lode_svo *svo, uint32_t index)
{
    uint32_t first = index & ~7u;
    uint64_t key = lodei_group_key(first);
    if (key >> KEY_UNUSED_SHIFT == 0) {
        key = svo->unused_group;
        svo->unused_group = first / 8 + 1;
    }
    key_set(first, key | (uint64_t)1 << (KEY_UNUSED_SHIFT + index % 8));
}

/* ---- groups ---- */

struct lode_svo_line *lodei_svo_block(const struct lode_svo *svo, unsigned mask)
{
    struct lode_svo_line *block =
        lode_heap_alloc(svo->heaps[svo->heap], lodei_svo_size(mask) * sizeof(struct lode_svo_line));
    lode_assert(((uintptr_t)block & 63) == 0);
    return block;
}

int lodei_svo_room(const struct lode_svo *svo, unsigned lines)
{
    return svo->max_nodes != 0 && svo->nodes + lines > svo->max_nodes ? -ENOSPC : 0;
}

void lodei_svo_count(struct lode_svo *svo, const struct lode_svo_line *line, unsigned level, int by)
{
    svo->nodes += (uint64_t)(int64_t)by;
    svo->lines[level] += (uint64_t)(int64_t)by;
    if (level == 0)
        return;
    unsigned homogeneous = line->homogeneous;
    if (line->of.inner.children != 0)
        homogeneous &= ~lodei_svo_mask(lodei_svo_word(line->of.inner.children));
    svo->homogeneous[level - 1] += (uint64_t)((int64_t)by * lodei_svo_size(homogeneous));
}

void lodei_svo_count_all(struct lode_svo *svo, const struct lode_svo_line *lines, unsigned count,
                         unsigned level, int by)
{
    if (level == 0) { /* their memory stays untouched: it may be far */
        svo->nodes += (uint64_t)((int64_t)by * count);
        svo->lines[0] += (uint64_t)((int64_t)by * count);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        lodei_svo_count(svo, &lines[i], level, by);
}

/* A slot with a group in it. */
static int slot_publish(struct lode_svo *svo, struct lode_svo_line *block, unsigned mask,
                        lode_handle *ret_group)
{
    uint32_t index;
    int status;
    do {
        status = slot_take(svo, &index);
        if (status == 0)
            status =
                lodei_slot_publish(index, lodei_group_key(index & ~7u), block, mask, ret_group);
        else
            return status;
    } while (status == -ENOSPC); /* its generations are used up: it stays taken */
    if (status != 0)
        slot_give(svo, index);
    return status;
}

int lodei_svo_publish(struct lode_svo *svo, const struct lode_svo_line *lines, unsigned mask,
                      unsigned level, lode_handle *ret_group)
{
    unsigned n = lodei_svo_size(mask);
    int status = lodei_svo_room(svo, n);
    if (status != 0)
        return status;
    struct lode_svo_line *block = lodei_svo_block(svo, mask);
    if (block == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        block[i] = lines[i];
        block[i].siblings = (uint8_t)mask;
    }
    status = slot_publish(svo, block, mask, ret_group);
    if (status != 0) {
        lode_free(block);
        return status;
    }
    lodei_svo_count_all(svo, lines, n, level, 1);
    svo->groups[n]++;
    svo->edits++;
    return 0;
}

int lodei_svo_swap(struct lode_svo *svo, const struct lodei_svo_spot *spot,
                   struct lode_svo_line *block, unsigned mask, void **ret_old)
{
    int status = lodei_slot_swap(spot->group, 0, block, mask, ret_old);
    if (status != 0)
        return status;
    svo->groups[lodei_svo_size(lodei_svo_mask(spot->word))]--;
    svo->groups[lodei_svo_size(mask)]++;
    return 0;
}

void lodei_svo_release(struct lode_svo *svo, lode_handle group, void **ret_old)
{
    svo->groups[lodei_svo_size(lodei_svo_mask(lodei_svo_word(group)))]--;
    svo->edits++;
    if (lodei_slot_release(lodei_handle_page(group), group, ret_old) == 0)
        slot_give(svo, (uint32_t)group);
}

static void tell_dropped(struct lode_svo *svo, const struct lode_svo_line *line)
{
    struct lode_svo_cell cell = {.level = 0};
    uint32_t at[3];
    lodei_svo_line_content(line, 0, &cell.content);
    lodei_svo_code_at(line->code, 0, at);
    cell.at = lodei_svo_brick(svo, at);
    svo->dropped(svo->ctx, &cell);
}

uint64_t lodei_svo_dispose(struct lode_svo *svo, const struct lode_svo_line *line, unsigned level,
                           int tell)
{
    if (level == 0) {
        if (tell && svo->dropped != NULL)
            tell_dropped(svo, line);
        return 0;
    }
    lode_handle group = line->of.inner.children;
    if (group == 0)
        return 0;
    /* A copy: a block that is pinned is not ours any more once it is released. The group goes
     * before those below it, see svotree.h. */
    struct lode_svo_line lines[8];
    void *block;
    pthread_mutex_lock(&svo->lock);
    uint64_t word = lodei_svo_word(group);
    unsigned n = lodei_svo_size(lodei_svo_mask(word));
    int go_on = level > 1 || (tell && svo->dropped != NULL);
    if (go_on)
        memcpy(lines, lodei_word_block(word), n * sizeof(lines[0]));
    lodei_svo_count_all(svo, lines, n, level - 1, -1);
    lodei_svo_release(svo, group, &block);
    pthread_mutex_unlock(&svo->lock);
    if (block != NULL)
        lodei_grace_free(block);
    uint64_t freed = n;
    for (unsigned i = 0; i < n && go_on; i++)
        freed += lodei_svo_dispose(svo, &lines[i], level - 1, tell);
    return freed;
}

/* ---- figures ---- */

static int heap_figures(struct lode_heap *heap, struct lode_stats *ret_sum)
{
    struct lode_stats s = {.size = sizeof(s)};
    int status = heap != NULL ? lode_stats_get(heap, &s) : 0;
    ret_sum->in_use_bytes += s.in_use_bytes;
    ret_sum->cached_bytes += s.cached_bytes;
    ret_sum->untouched_bytes += s.untouched_bytes;
    ret_sum->purged_bytes += s.purged_bytes;
    return status;
}

/* Under the lock: all but what the heaps know. */
static void count_figures(const struct lode_svo *svo, struct lode_svo_stats *s)
{
    for (unsigned level = 0; level <= svo->levels; level++) {
        uint64_t interface = svo->lines[level], homogeneous = svo->homogeneous[level];
        s->nodes[LODE_SVO_INTERFACE][level] = interface;
        s->nodes[LODE_SVO_HOMOGENEOUS][level] = homogeneous;
        if (level < svo->levels)
            s->nodes[LODE_SVO_EMPTY][level] = 8 * svo->lines[level + 1] - interface - homogeneous;
        s->bytes[LODE_SVO_INTERFACE] += interface * sizeof(struct lode_svo_line);
        s->bytes[LODE_SVO_HOMOGENEOUS] += homogeneous * sizeof(uint32_t);
    }
    for (unsigned n = 1; n <= 8; n++) {
        s->groups[n] = svo->groups[n];
        s->groups[0] += svo->groups[n];
    }
    s->edits = svo->edits;
    s->splits = svo->splits;
    s->coalesced = svo->coalesced;
    s->reordered = svo->reordered;
}

static void take_figures(struct lode_svo *svo, struct lode_svo_stats *s)
{
    struct lode_stats heap = {.size = sizeof(heap)};
    size_t slots_used, slots_mapped;
    pthread_mutex_lock(&svo->lock);
    count_figures(svo, s);
    lodei_slots_figures(&svo->slots, &slots_used, &slots_mapped);
    struct lode_heap *heaps[2] = {svo->heaps[0], svo->heaps[1]};
    pthread_mutex_unlock(&svo->lock);
    (void)heap_figures(heaps[0], &heap);
    (void)heap_figures(heaps[1], &heap);
    s->levels = svo->levels;
    s->slot_bytes = slots_used;
    s->resident_bytes = heap.in_use_bytes + heap.cached_bytes + slots_used;
    s->mapped_bytes = heap.in_use_bytes + heap.cached_bytes + heap.untouched_bytes +
                      heap.purged_bytes + slots_mapped;
}

int lode_svo_stats(struct lode_svo *svo, struct lode_svo_stats *stats)
{
    if (stats->size < offsetof(struct lode_svo_stats, nodes))
        return -EINVAL;
    struct lode_svo_stats s = {.size = stats->size};
    take_figures(svo, &s);
    memcpy(stats, &s, lodei_min(stats->size, sizeof(s)));
    return 0;
}

static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    struct lode_svo_stats s = {.size = sizeof(s)};
    take_figures(object, &s);
    uint64_t used = s.bytes[LODE_SVO_INTERFACE];
    *ret_stats = (struct lode_allocator_stats){
        .used_bytes = used,
        .requested_bytes = used,
        .free_bytes =
            s.resident_bytes - s.slot_bytes > used ? s.resident_bytes - s.slot_bytes - used : 0,
        .mapped_bytes = s.mapped_bytes,
        .metadata_bytes = s.slot_bytes,
        .blocks = s.groups[0],
    };
}

/* ---- life ---- */

/* The options as the tree keeps them. */
static int opts_take(const struct lode_svo_opts *given, struct lode_svo_opts *opts,
                     uint32_t ret_low[3])
{
    int status = lodei_opts_take(given, opts, sizeof(*opts));
    if (status != 0)
        return status;
    if (opts->levels == 0)
        opts->levels = LODE_SVO_LEVELS_MAX;
    if (opts->levels > LODE_SVO_LEVELS_MAX || (opts->flags & ~LODE_SVO_COALESCE) != 0)
        return -EINVAL;
    if (opts->name == NULL)
        opts->name = "svo";
    int64_t half = (int64_t)1 << (opts->levels - 1);
    const int32_t centre[3] = {opts->centre.x, opts->centre.y, opts->centre.z};
    for (int axis = 0; axis < 3; axis++) {
        if (centre[axis] - half < LODEI_GRID_MIN || centre[axis] + half - 1 > LODEI_GRID_MAX)
            return -ERANGE;
        ret_low[axis] = (uint32_t)(centre[axis] - half);
    }
    return 0;
}

static int heap_make(uint16_t tag, const char *name, struct lode_heap **ret_heap)
{
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    opts.tag = tag;
    opts.name = name;
    return lode_heap_create(&opts, ret_heap);
}

int lodei_svo_second_heap(struct lode_svo *svo)
{
    return svo->heaps[1] != NULL ? 0 : heap_make(svo->tag, svo->name, &svo->heaps[1]);
}

static int root_make(struct lode_svo *svo)
{
    struct lode_svo_line line;
    lodei_svo_line_init(&line, 1, LODE_SVO_EMPTY, 0);
    return lodei_svo_publish(svo, &line, LODEI_SVO_ROOT_MASK, svo->levels, &svo->root);
}

int lode_svo_create(const struct lode_svo_opts *given, struct lode_svo **ret_svo)
{
    struct lode_svo_opts opts;
    struct lode_heap *heap;
    uint32_t low[3];
    int status = opts_take(given, &opts, low);
    if (status == 0)
        status = heap_make(opts.tag, opts.name, &heap);
    if (status != 0)
        return status;
    struct lode_svo *svo = lode_heap_aligned_alloc(heap, 64, sizeof(*svo));
    if (svo == NULL) {
        lode_heap_destroy(heap);
        return -ENOMEM;
    }
    memset(svo, 0, sizeof(*svo));
    svo->levels = opts.levels;
    memcpy(svo->low, low, sizeof(low));
    svo->flags = opts.flags;
    svo->empty_value = opts.empty_value;
    svo->max_nodes = opts.max_nodes;
    svo->dropped = opts.dropped;
    svo->ctx = opts.ctx;
    svo->tag = opts.tag;
    strncpy(svo->name, opts.name, sizeof(svo->name) - 1);
    svo->heaps[0] = heap;
    lodei_slots_init(&svo->slots, svo);
    status = root_make(svo);
    if (status != 0) {
        lodei_slots_finish(&svo->slots);
        lode_heap_destroy(heap);
        return status;
    }
    pthread_mutex_init(&svo->lock, NULL);
    lodei_registry_add_locked(&svo->registered, "svo", opts.name, svo, describe, &svo->lock);
    *ret_svo = svo;
    return 0;
}

void lode_svo_destroy(struct lode_svo *svo)
{
    if (svo == NULL)
        return;
    lodei_grace_refuse("destroy within a reading section of this thread, of tree", svo);
    lodei_registry_remove(&svo->registered);
    lodei_slots_finish(&svo->slots);
    /* Blocks of the heaps may wait to be freed: that must have happened before the heaps go. */
    lodei_grace_wait();
    pthread_mutex_destroy(&svo->lock);
    struct lode_heap *own = svo->heaps[0]; /* the tree itself is in it */
    lode_heap_destroy(svo->heaps[1]);
    lode_heap_destroy(own);
}
