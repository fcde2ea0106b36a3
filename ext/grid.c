/* SPDX-License-Identifier: MIT */
/*
 * The sparse brick grid: from the coordinate of a brick to its slot, and back.
 *
 * Bricks come in groups of 2 x 2 x 2, one group of 8 slots each (slots.c), whose key is the group's
 * coordinate. A hash table leads from the key to the group; lane and group give the slot. So a
 * brick needs no entry of its own, and whether there is a brick is one word, the slot's: alloc and
 * free of a brick in a group that exists take no lock.
 *
 *     table: | 0 | group + 1 | gone | group + 1 | ... |      open addressing, at most half full
 *
 * Groups that are neighbours stand side by side in the table: a cell of 4 x 4 x 4 groups is hashed
 * to 64 entries that follow each other, 256 bytes, and the place of a group in its cell, XOR six
 * more bits of the hash, chooses one: cells of which only one place is used, as in a column, do not
 * crowd the same places of all. A taken entry leads to one 101 further: a cell whose 64 are
 * another's goes over to the next ones, instead of walking through the other's. 101 is odd, so that
 * every entry comes up; in tables of columns, cubes, terrain and random groups, 20 to 33,000, a
 * find looks at 1.2 entries on average and 1.4 in the worst of them (test_grid.c has the patterns).
 *
 * Readers take no lock. A table that was grown out of is kept, its pages given back to the kernel
 * (they read as zero: nothing found); who finds nothing looks whether tables were changed
 * meanwhile. Who finds a group trusts its key. `lock` guards making and giving up groups, and
 * the tables; it is not to be taken while the slots' locks are held, and is held around fork().
 */
#include "ext/grid.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"

#define TABLE_FIRST 64u

static struct lodei_grid_table *table_new(struct lode_heap *heap, uint32_t entries)
{
    struct lodei_grid_table *table =
        lode_heap_calloc(heap, 1, sizeof(*table) + entries * sizeof(table->entries[0]));
    if (table != NULL)
        table->mask = entries - 1;
    return table;
}

int lodei_grid_init(struct lodei_grid *grid, void *owner, struct lode_heap *heap)
{
    struct lodei_grid_table *table = table_new(heap, TABLE_FIRST);
    if (table == NULL)
        return -ENOMEM;
    pthread_mutex_init(&grid->lock, NULL);
    lodei_forklock_add(&grid->forklock, &grid->lock, LODEI_FORK_GRID);
    lodei_slots_init(&grid->slots, owner);
    grid->heap = heap;
    grid->tables = table;
    atomic_store_explicit(&grid->changes, 0, memory_order_relaxed);
    atomic_store_explicit(&grid->table, table, memory_order_release);
    return 0;
}

void lodei_grid_finish(struct lodei_grid *grid)
{
    struct lodei_grid_table *table = grid->tables, *next;
    lodei_forklock_remove(&grid->forklock);
    lodei_slots_finish(&grid->slots);
    for (; table != NULL; table = next) {
        next = table->next;
        lode_free(table);
    }
    pthread_mutex_destroy(&grid->lock);
}

/* The entry that leads to a group which is in the table. */
static uint32_t table_place(const struct lodei_grid_table *table, uint64_t key, uint32_t first)
{
    uint32_t i = lodei_grid_home(key);
    while (atomic_load_explicit(&table->entries[i & table->mask], memory_order_relaxed) !=
           first / 8 + 1)
        i += LODEI_ENTRY_STEP;
    return i & table->mask;
}

/* ---- changes; under grid->lock ---- */

static void table_put(struct lodei_grid_table *table, uint64_t key, uint32_t first)
{
    uint32_t i = lodei_grid_home(key);
    while (atomic_load_explicit(&table->entries[i & table->mask], memory_order_relaxed) != 0)
        i += LODEI_ENTRY_STEP;
    table->filled++;
    table->live++;
    /* release: pairs with the acquire in lodei_grid_table_find() */
    atomic_store_explicit(&table->entries[i & table->mask], first / 8 + 1, memory_order_release);
}

/* Whole OS pages of entries are with the kernel again, the others cleared. release: who reads an
 * emptied entry sees that tables were changed. */
static void table_clear(struct lodei_grid_table *table)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start = (char *)table->entries, *end = start + (table->mask + (size_t)1) * 4;
    char *inner = (char *)lodei_round_up((uintptr_t)start, page);
    char *inner_end = (char *)lodei_round_down((uintptr_t)end, page);
    table->filled = table->live = 0;
    if (inner >= inner_end || madvise(inner, (size_t)(inner_end - inner), MADV_DONTNEED) != 0) {
        inner = inner_end = end; /* small, or locked in memory */
    }
    for (_Atomic uint32_t *e = table->entries; (char *)e < end; e++)
        if ((char *)e < inner || (char *)e >= inner_end)
            atomic_store_explicit(e, 0, memory_order_release);
}

/* An empty table of this size that is not the current one. */
static struct lodei_grid_table *table_spare(struct lodei_grid *grid, uint32_t entries)
{
    struct lodei_grid_table *current = atomic_load_explicit(&grid->table, memory_order_relaxed);
    for (struct lodei_grid_table *t = grid->tables; t != NULL; t = t->next)
        if (t != current && t->mask == entries - 1)
            return t;
    struct lodei_grid_table *table = table_new(grid->heap, entries);
    if (table != NULL) {
        table->next = grid->tables;
        grid->tables = table;
    }
    return table;
}

static uint64_t verify_locked(const struct lodei_grid *grid);

/* Where the work is O(grid) anyway. */
static void verify_full(const struct lodei_grid *grid)
{
    if (LODE_CHECKS >= 2)
        (void)verify_locked(grid);
}

static void verify_group(const struct lodei_grid *grid, uint32_t first)
{
    if (LODE_CHECKS >= 2)
        lodei_group_verify(&grid->slots, first);
}

/* Move to a table in which there is room, without what is gone. */
static int table_change(struct lodei_grid *grid)
{
    struct lodei_grid_table *old = atomic_load_explicit(&grid->table, memory_order_relaxed);
    uint32_t entries = old->mask + 1;
    if (old->live > entries / 4) {
        if (entries > UINT32_MAX / 2)
            return -ENOMEM;
        entries *= 2;
    } else if (old->live < entries / 16 && entries > TABLE_FIRST) {
        entries /= 2;
    }
    struct lodei_grid_table *table = table_spare(grid, entries);
    if (table == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i <= old->mask; i++) {
        uint32_t entry = atomic_load_explicit(&old->entries[i], memory_order_relaxed);
        if (entry != 0 && entry != LODEI_ENTRY_GONE)
            table_put(table, lodei_group_key((entry - 1) * 8), (entry - 1) * 8);
    }
    /* release, both: pairs with the acquires in lodei_grid_find() */
    atomic_store_explicit(&grid->table, table, memory_order_release);
    atomic_fetch_add_explicit(&grid->changes, 1, memory_order_acq_rel);
    table_clear(old);
    verify_full(grid);
    return 0;
}

static int group_make(struct lodei_grid *grid, uint64_t key, uint32_t *ret_first)
{
    struct lodei_grid_table *table = atomic_load_explicit(&grid->table, memory_order_relaxed);
    if ((table->filled + 1) * (uint64_t)2 > table->mask + (uint64_t)1) {
        int status = table_change(grid);
        if (status != 0)
            return status;
        table = atomic_load_explicit(&grid->table, memory_order_relaxed);
    }
    int status = lodei_slots_take(&grid->slots, LODEI_KEY_FREE, ret_first);
    if (status == 0) {
        /* The key after the entry: who was about to publish in this group when it was given up
         * may do so now, and what is published must be found. */
        table_put(table, key, *ret_first);
        lodei_group_key_set(*ret_first, key);
        verify_group(grid, *ret_first);
    }
    return status;
}

int lodei_grid_get(struct lodei_grid *grid, uint64_t key, uint32_t *ret_first)
{
    uint32_t first = lodei_grid_find(grid, key);
    int status = 0;
    if (first == UINT32_MAX) {
        pthread_mutex_lock(&grid->lock);
        first = lodei_grid_find(grid, key);
        if (first == UINT32_MAX)
            status = group_make(grid, key, &first);
        pthread_mutex_unlock(&grid->lock);
    }
    if (status == 0)
        *ret_first = first;
    return status;
}

/* The entry of a group that was given back; the lock is held. */
static void entry_remove(struct lodei_grid *grid, uint64_t key, uint32_t first)
{
    struct lodei_grid_table *table = atomic_load_explicit(&grid->table, memory_order_relaxed);
    /* relaxed: whoever still reads the entry finds another key */
    atomic_store_explicit(&table->entries[table_place(table, key, first)], LODEI_ENTRY_GONE,
                          memory_order_relaxed);
    table->live--;
    verify_group(grid, first);
}

unsigned lodei_grid_clear(struct lodei_grid *grid, uint64_t key, uint32_t first, unsigned lanes,
                          uint64_t ret_words[8], int *ret_given)
{
    unsigned freed = 0;
    *ret_given = -EBUSY;
    pthread_mutex_lock(&grid->lock);
    if (lodei_group_key(first) == key) {
        freed = lodei_slots_clear(&grid->slots, first, lanes, ret_words, ret_given);
        if (*ret_given == 0)
            entry_remove(grid, key, first);
    }
    pthread_mutex_unlock(&grid->lock);
    return freed;
}

int lodei_grid_reclaim(struct lodei_grid *grid, uint64_t key)
{
    int given = 0;
    pthread_mutex_lock(&grid->lock);
    uint32_t first =
        lodei_grid_table_find(atomic_load_explicit(&grid->table, memory_order_relaxed), key);
    if (first != UINT32_MAX && lodei_slots_give(&grid->slots, first) == 0) {
        entry_remove(grid, key, first);
        given = 1;
    }
    pthread_mutex_unlock(&grid->lock);
    return given;
}

/* ---- reading ---- */

lode_handle lodei_grid_brick(struct lodei_grid *grid, int32_t x, int32_t y, int32_t z)
{
    uint64_t key = lodei_grid_key(x, y, z);
    for (;;) {
        uint32_t first = lodei_grid_find(grid, key);
        if (first == UINT32_MAX)
            return 0;
        uint32_t index = first + lodei_grid_lane(x, y, z);
        struct lode_handle_page *page = lodei_slot_page(index);
        uint32_t at = index % LODE_HANDLE_PAGE;
        /* acquire, all in this order: the generation is raised at the end of each life and of each
         * ownership of the group, so if it is the same before and after, all of this was one */
        uint32_t generation = __atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE);
        uint64_t word = lodei_word_settled(&page->words[at]);
        uint64_t found = __atomic_load_n(&page->keys[at / 8], __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE) != generation || found != key)
            continue;
        return (word & LODE_HANDLE_LIVE) != 0 ? (uint64_t)(generation + 1) << 32 | index : 0;
    }
}

void lodei_grid_coordinate(lode_handle handle, int32_t ret_at[3])
{
    uint32_t index = (uint32_t)handle;
    lodei_grid_at(lodei_group_key(index & ~7u), index & 7, ret_at);
}

static int each_in_pages(struct lodei_grid *grid,
                         int (*visit)(void *ctx, uint64_t key, uint32_t first), void *ctx)
{
    pthread_mutex_lock(&grid->lock);
    struct lode_handle_page *page = grid->slots.pages;
    uint32_t used = page != NULL ? page->groups_used : 0;
    pthread_mutex_unlock(&grid->lock);
    for (; page != NULL; page = page->next, used = LODE_HANDLE_PAGE / 8)
        for (uint32_t g = 0; g < used; g++) {
            uint32_t first = page->first_index + g * 8;
            uint64_t key = lodei_group_key(first);
            int status = (key & LODEI_KEY_FREE) == 0 ? visit(ctx, key, first) : 0;
            if (status != 0)
                return status;
        }
    return 0;
}

static int group_overlaps(uint64_t key, const int32_t lo[3], const int32_t hi[3])
{
    int32_t at[3];
    lodei_grid_at(key, 0, at);
    for (int axis = 0; axis < 3; axis++)
        if (at[axis] + 1 < lo[axis] || at[axis] > hi[axis])
            return 0;
    return 1;
}

struct boxed {
    const int32_t *lo, *hi;
    int (*visit)(void *ctx, uint64_t key, uint32_t first);
    void *ctx;
};

static int visit_in_box(void *ctx, uint64_t key, uint32_t first)
{
    struct boxed *b = ctx;
    return group_overlaps(key, b->lo, b->hi) ? b->visit(b->ctx, key, first) : 0;
}

/* Groups on their way to a visit: what of them is in memory comes while others are looked for. */
#define AHEAD 16

struct ahead {
    uint64_t keys[AHEAD];
    uint32_t firsts[AHEAD];
    unsigned count;
};

static int visit_ahead(struct lodei_grid *grid, struct ahead *ahead,
                       int (*visit)(void *ctx, uint64_t key, uint32_t first), void *ctx)
{
    const struct lodei_grid_table *table = atomic_load_explicit(&grid->table, memory_order_acquire);
    unsigned count = ahead->count, found = 0;
    ahead->count = 0;
    for (unsigned i = 0; i < count; i++)
        __builtin_prefetch(&table->entries[lodei_grid_home(ahead->keys[i]) & table->mask]);
    for (unsigned i = 0; i < count; i++) {
        uint32_t first = lodei_grid_find(grid, ahead->keys[i]);
        if (first == UINT32_MAX)
            continue;
        struct lode_handle_page *page = lodei_slot_page(first);
        __builtin_prefetch(&page->words[first % LODE_HANDLE_PAGE], 1);
        __builtin_prefetch(&page->generations[first % LODE_HANDLE_PAGE], 1);
        ahead->keys[found] = ahead->keys[i];
        ahead->firsts[found++] = first;
    }
    for (unsigned i = 0; i < found; i++) {
        int status = visit(ctx, ahead->keys[i], ahead->firsts[i]);
        if (status != 0)
            return status;
    }
    return 0;
}

static int each_in_box(struct lodei_grid *grid, const int32_t from[3], const int32_t to[3],
                       int (*visit)(void *ctx, uint64_t key, uint32_t first), void *ctx)
{
    struct ahead ahead = {.count = 0};
    for (int32_t z = from[2] & ~1; z <= to[2]; z += 2)
        for (int32_t y = from[1] & ~1; y <= to[1]; y += 2)
            for (int32_t x = from[0] & ~1; x <= to[0]; x += 2) {
                ahead.keys[ahead.count++] = lodei_grid_key(x, y, z);
                int status = ahead.count == AHEAD ? visit_ahead(grid, &ahead, visit, ctx) : 0;
                if (status != 0)
                    return status;
            }
    return visit_ahead(grid, &ahead, visit, ctx);
}

int lodei_grid_each(struct lodei_grid *grid, const int32_t lo[3], const int32_t hi[3],
                    int (*visit)(void *ctx, uint64_t key, uint32_t first), void *ctx)
{
    if (lo == NULL)
        return each_in_pages(grid, visit, ctx);
    pthread_mutex_lock(&grid->lock);
    uint64_t cells = 1, groups = grid->slots.groups_used;
    pthread_mutex_unlock(&grid->lock);
    int32_t from[3], to[3];
    for (int axis = 0; axis < 3; axis++) {
        from[axis] = lo[axis] > LODEI_GRID_MIN ? lo[axis] : LODEI_GRID_MIN;
        to[axis] = hi[axis] < LODEI_GRID_MAX ? hi[axis] : LODEI_GRID_MAX;
        if (to[axis] < from[axis])
            return 0;
        /* no overflow: 2^60 at most */
        cells *= (uint64_t)((to[axis] >> 1) - (from[axis] >> 1)) + 1;
    }
    if (cells > groups) {
        struct boxed b = {from, to, visit, ctx};
        return each_in_pages(grid, visit_in_box, &b);
    }
    return each_in_box(grid, from, to, visit, ctx);
}

/* ---- checking ---- */

static uint64_t verify_entries(const struct lodei_grid *grid, const struct lodei_grid_table *table)
{
    uint32_t filled = 0, live = 0;
    uint64_t looks = 0;
    for (uint32_t at = 0; at <= table->mask; at++) {
        uint32_t entry = atomic_load_explicit(&table->entries[at], memory_order_relaxed);
        filled += entry != 0;
        if (entry == 0 || entry == LODEI_ENTRY_GONE)
            continue;
        live++;
        uint32_t first = (entry - 1) * 8, i;
        uint64_t key = lodei_group_key(first);
        lodei_group_verify(&grid->slots, first);
        lodei_holds((key & LODEI_KEY_FREE) == 0 && lodei_grid_table_find(table, key) == first);
        for (i = lodei_grid_home(key); (i & table->mask) != at; i += LODEI_ENTRY_STEP)
            looks++;
        looks++;
    }
    lodei_holds(filled == table->filled && live == table->live);
    return looks;
}

static uint64_t verify_locked(const struct lodei_grid *grid)
{
    const struct lodei_grid_table *current =
        atomic_load_explicit(&grid->table, memory_order_relaxed);
    int known = 0;
    lodei_slots_verify(&grid->slots);
    for (const struct lodei_grid_table *t = grid->tables; t != NULL; t = t->next) {
        lodei_holds(t->mask + 1 >= TABLE_FIRST && (t->mask & (t->mask + 1)) == 0);
        lodei_holds(t->live <= t->filled && t->filled <= t->mask / 2 + 1);
        known += t == current;
        if (t == current)
            continue;
        lodei_holds(t->filled == 0);
        (void)verify_entries(grid, t);
    }
    lodei_holds(known == 1 && current->live == grid->slots.groups_used);
    return verify_entries(grid, current);
}

size_t lodei_grid_verify(struct lodei_grid *grid)
{
    pthread_mutex_lock(&grid->lock);
    size_t looks = verify_locked(grid);
    pthread_mutex_unlock(&grid->lock);
    return looks;
}

void lodei_grid_figures(struct lodei_grid *grid, size_t *ret_used, size_t *ret_mapped)
{
    pthread_mutex_lock(&grid->lock);
    lodei_slots_figures(&grid->slots, ret_used, ret_mapped);
    for (struct lodei_grid_table *t = grid->tables; t != NULL; t = t->next)
        *ret_mapped += lode_usable_size(t);
    *ret_used += (atomic_load_explicit(&grid->table, memory_order_relaxed)->mask + (size_t)1) *
                 sizeof(uint32_t);
    pthread_mutex_unlock(&grid->lock);
}
