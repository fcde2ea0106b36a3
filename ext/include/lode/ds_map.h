/* SPDX-License-Identifier: MIT */
/**
 * @file ds_map.h
 * Hash tables: LODE_MAP_DEFINE() and LODE_SET_DEFINE().
 *
 *     #define BLOCK_HASH(k)     lode_hash_bytes(&(k), sizeof(k), 0)     // no padding in struct pos
 *     #define BLOCK_EQUAL(a, b) ((a).x == (b).x && (a).y == (b).y && (a).z == (b).z)
 *     LODE_MAP_DEFINE(ores, struct pos, uint32_t, BLOCK_HASH, BLOCK_EQUAL);
 *     LODE_SET_DEFINE(seen, uint64_t, LODE_HASH_INT, LODE_EQUAL_INT);
 *
 *     struct ores m = {0};                               // or ores_init(&m, 10000, &allocator)
 *     if (ores_put(&m, where, 12) != 0) ...
 *     uint32_t *amount = ores_find(&m, where);           // NULL: not there
 *     for (uint32_t i = 0; i < m.table.count; i++) use(m.items[i].key, m.items[i].value);
 *     ores_finish(&m);
 *
 *     items   -> [ key value | key value | .. count ]    dense, in order of insertion until the
 *                     ^                                  first removal
 *     buckets -> [ - | tag index | - | tag index | .. ]  8 bytes each, a power of two of them,
 *                                                        3/4 full at most
 *
 * Open addressing by ordered linear probing: a bucket's tag is its distance from home (+1) above 18
 * bits of the hash, and the buckets of a run are sorted by tag seen from each home, so that a
 * search that fails ends as early as one that succeeds, and compares keys only where 18 bits agree.
 * Removing shifts the run back: there are no tombstones, and a table that only churns never
 * rehashes. Buckets are small and hold no items, so growing moves no item but by realloc, and
 * iterating is walking an array.
 * Source: Amble and Knuth, "Ordered hash tables", 1974; Celis, "Robin Hood hashing", 1986 (the same
 * order, by distance); items apart from buckets as in CPython 3.6's dict.
 *
 * LODE_MAP_DEFINE(name, key_type, value_type, HASH, EQUAL): HASH(key) gives a uint64_t, EQUAL(a, b)
 * non-zero for equal keys; functions or macros. HASH need not be good: it is mixed once more; but
 * keys that share all 64 bits of it cost as much as a list. Declares struct name, struct name_item
 * { key_type key; value_type value; } and
 *
 *     void        NAME_init(m, max_items, allocator)
 *     void        NAME_finish(m)                   frees; m is as after init
 *     int         NAME_put(m, key, value)          insert or replace                     O(1)*
 *     int         NAME_insert(m, key, value)       -EEXIST: there already                O(1)*
 *     int         NAME_get_or_add(m, key, &value)  value: the one there, or a new one of zero
 *                                                  bytes                                 O(1)*
 *     value_type *NAME_find(m, key)                NULL: not there                       O(1)
 *     int         NAME_remove(m, key)              -ENOENT: not there                    O(1)
 *     int         NAME_remove_at(m, i)             item i of m.items; -ERANGE: i >= count
 *     int         NAME_reserve(m, n)               room for n in all, without growing
 *     void        NAME_clear(m)                    no items, same room
 *     void        NAME_trim(m)                     give back room, as far as there is memory to
 *     size_t      NAME_count(m)
 *
 * LODE_SET_DEFINE(name, key_type, HASH, EQUAL) is the same without values: m.items[i] is a key,
 * NAME_insert(m, key), NAME_find(m, key) giving a key_type *, and neither put nor get_or_add.
 *
 * Returns      0; -ENOSPC the cap, or 1.6 x 10^9 items; -ENOMEM; -EOVERFLOW over 8,190 keys share
 *              a hash, or nearly: HASH is not one. On error the table is as it was.
 * Invalidates  Inserting: every pointer to items. Removing: pointers to the item removed and to the
 *              last one, which takes its place in m.items.
 * Iterating    By index. To remove on the way, count down: what moves in was seen before.
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * Not for keys an enemy chooses, unless HASH is keyed with a secret.
 * Ours, against uthash (a malloc and 56 bytes an item), khash (malloc, tombstones), GHashTable
 * (void pointers, aborts without memory) and Judy (malloc, one key type).
 */
#ifndef LODE_DS_MAP_H
#define LODE_DS_MAP_H

#include "lode/ds_base.h"

/** HASH and EQUAL for integers and enums. */
#define LODE_HASH_INT(key)   ((uint64_t)(key))
#define LODE_EQUAL_INT(a, b) ((a) == (b))
/** HASH and EQUAL for pointers, by address. */
#define LODE_HASH_PTR(key)   ((uint64_t)(uintptr_t)(key))
#define LODE_EQUAL_PTR(a, b) ((a) == (b))
/** HASH and EQUAL for strings, by their text; the table borrows them. */
#define LODE_HASH_STRING(key)   lode_hash_bytes((key), strlen(key), 0)
#define LODE_EQUAL_STRING(a, b) (strcmp((a), (b)) == 0)

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A 64-bit hash of `bytes` bytes at `data`, different for each `seed`. The same on every machine of
 * one byte order, in every run, and in later versions of this library.
 *
 * Source   Multiply 64 x 64 to 128 and fold the halves: Wang Yi's wyhash.
 * Threads  Any.
 */
LODE_API uint64_t lode_hash_bytes(const void *data, size_t bytes, uint64_t seed);

/* A bucket: 14 bits of distance + 1, whose highest stays 0; 18 bits of hash; together its tag; 32
 * bits of item index. 0: empty. */
#define LODEI_TAG_STEP      ((uint32_t)1 << 18)
#define LODEI_TAG_HASH_MASK (LODEI_TAG_STEP - 1)

struct lodei_table {
    uint64_t *buckets;
    const struct lode_allocator *allocator;
    uint32_t count;     /* of items */
    uint32_t capacity;  /* items before the next growth; 0: no buckets */
    uint32_t max_items; /* 0: no cap */
    uint32_t room;      /* items that fit at m.items */
    uint32_t mask;      /* buckets - 1 */
    uint32_t shift;     /* 64 - log2 of the buckets */
};

/* The mixed hash of item `index` of `items`. */
typedef uint64_t (*lodei_table_hasher)(const void *items, uint32_t index);

/* Resize for `need` items in all (at least count), from `*items` to a new array there. */
LODE_API LODE_NODISCARD int lodei_table_resize(struct lodei_table *t, void **items, size_t need,
                                               size_t item_bytes, size_t item_align,
                                               lodei_table_hasher hasher);
/* As above for one more than there are; amortised. */
LODE_API LODE_NODISCARD int lodei_table_grow(struct lodei_table *t, void **items, size_t item_bytes,
                                             size_t item_align, lodei_table_hasher hasher);
LODE_API void lodei_table_free(struct lodei_table *t, void *items, size_t item_bytes,
                               size_t item_align);
LODE_API void lodei_table_clear(struct lodei_table *t);
/* Make bucket `at` name `index` under `tag`, the rest of the run moving one on. -EOVERFLOW. */
LODE_API LODE_NODISCARD int lodei_table_place(struct lodei_table *t, uint32_t at, uint32_t tag,
                                              uint32_t index);
/* Empty bucket `at`; the item count - 1, whose mixed hash is `last_hash`, takes over the index. */
LODE_API void lodei_table_unplace(struct lodei_table *t, uint32_t at, uint64_t last_hash);

#ifdef __cplusplus
}
#endif

__extension__ typedef unsigned __int128 lodei_ds_wide;

/* Spread every bit of `hash` over all of the result: times 2^64 / golden ratio, halves folded. */
LODEI_DS_FN uint64_t lodei_table_mix(uint64_t hash)
{
    lodei_ds_wide wide = (lodei_ds_wide)hash * 0x9e3779b97f4a7c15u;
    return (uint64_t)wide ^ (uint64_t)(wide >> 64);
}

LODEI_DS_FN uint32_t lodei_table_home(const struct lodei_table *t, uint64_t mixed)
{
    return (uint32_t)(mixed >> t->shift);
}

LODEI_DS_FN uint32_t lodei_table_tag(uint64_t mixed)
{
    return LODEI_TAG_STEP | ((uint32_t)mixed & LODEI_TAG_HASH_MASK);
}

/* The bucket that names `index`, an item there is. */
LODEI_DS_FN uint32_t lodei_table_bucket_of(const struct lodei_table *t, uint64_t mixed,
                                           uint32_t index)
{
    uint32_t at = lodei_table_home(t, mixed);
    while (t->buckets[at] == 0 || (uint32_t)t->buckets[at] != index)
        at = (at + 1) & t->mask;
    return at;
}

/* KEY(item) is the key of an item; everything that maps and sets share. */
#define LODEI_TABLE_DEFINE(name, item_type, key_type, KEY, HASH, EQUAL)                            \
    struct name {                                                                                  \
        item_type *items;                                                                          \
        struct lodei_table table;                                                                  \
    };                                                                                             \
    LODEI_DS_FN uint64_t name##_lodei_hash(const void *items, uint32_t index)                      \
    {                                                                                              \
        return lodei_table_mix(HASH(KEY(((item_type const *)items)[index])));                      \
    }                                                                                              \
    LODEI_DS_FN void name##_init(struct name *m, size_t max_items,                                 \
                                 const struct lode_allocator *allocator)                           \
    {                                                                                              \
        memset((void *)m, 0, sizeof(*m));                                                          \
        m->table.max_items = max_items < UINT32_MAX ? (uint32_t)max_items : UINT32_MAX;            \
        m->table.allocator = allocator;                                                            \
    }                                                                                              \
    LODEI_DS_FN void name##_finish(struct name *m)                                                 \
    {                                                                                              \
        lodei_table_free(&m->table, m->items, sizeof(item_type), LODEI_DS_ALIGNOF(item_type));     \
        name##_init(m, m->table.max_items, m->table.allocator);                                    \
    }                                                                                              \
    LODEI_DS_FN void name##_clear(struct name *m)                                                  \
    {                                                                                              \
        lodei_table_clear(&m->table);                                                              \
    }                                                                                              \
    LODEI_DS_FN size_t name##_count(const struct name *m)                                          \
    {                                                                                              \
        return m->table.count;                                                                     \
    }                                                                                              \
    LODEI_DS_SLOW int name##_lodei_resize(struct name *m, size_t need)                             \
    {                                                                                              \
        void *items = m->items;                                                                    \
        int status = lodei_table_resize(&m->table, &items, need, sizeof(item_type),                \
                                        LODEI_DS_ALIGNOF(item_type), name##_lodei_hash);           \
        m->items = (item_type *)items;                                                             \
        return status;                                                                             \
    }                                                                                              \
    LODEI_DS_SLOW int name##_lodei_grow(struct name *m)                                            \
    {                                                                                              \
        void *items = m->items;                                                                    \
        int status = lodei_table_grow(&m->table, &items, sizeof(item_type),                        \
                                      LODEI_DS_ALIGNOF(item_type), name##_lodei_hash);             \
        m->items = (item_type *)items;                                                             \
        return status;                                                                             \
    }                                                                                              \
    LODEI_DS_TRY int name##_reserve(struct name *m, size_t need)                                   \
    {                                                                                              \
        return need <= m->table.capacity ? 0 : name##_lodei_resize(m, need);                       \
    }                                                                                              \
    LODEI_DS_FN void name##_trim(struct name *m)                                                   \
    {                                                                                              \
        int status = name##_lodei_resize(m, m->table.count);                                       \
        (void)status; /* without memory for a smaller table the larger one stays */                \
    }                                                                                              \
    /* The index of `key`; UINT32_MAX where it is not, and then the bucket and tag that it would   \
     * get, if the table has buckets at all. */                                                    \
    LODEI_DS_FN uint32_t name##_lodei_seek(const struct name *m, key_type const *key,              \
                                           uint64_t mixed, uint32_t *ret_at, uint32_t *ret_tag)    \
    {                                                                                              \
        uint32_t at = lodei_table_home(&m->table, mixed), tag = lodei_table_tag(mixed);            \
        for (;;) {                                                                                 \
            uint64_t bucket = m->table.buckets[at];                                                \
            uint32_t index = (uint32_t)bucket, its_tag = (uint32_t)(bucket >> 32);                 \
            if (its_tag == tag && LODEI_DS_LIKELY(EQUAL(KEY(m->items[index]), *key))) {            \
                *ret_at = at;                                                                      \
                return index;                                                                      \
            }                                                                                      \
            if (its_tag < tag) {                                                                   \
                *ret_at = at;                                                                      \
                *ret_tag = tag;                                                                    \
                return UINT32_MAX;                                                                 \
            }                                                                                      \
            tag += LODEI_TAG_STEP;                                                                 \
            at = (at + 1) & m->table.mask;                                                         \
        }                                                                                          \
    }                                                                                              \
    LODEI_DS_FN item_type *name##_lodei_find(const struct name *m, key_type const *key)            \
    {                                                                                              \
        uint32_t at, tag;                                                                          \
        if (m->table.count == 0)                                                                   \
            return (item_type *)NULL;                                                              \
        uint32_t index = name##_lodei_seek(m, key, lodei_table_mix(HASH(*key)), &at, &tag);        \
        return index == UINT32_MAX ? (item_type *)NULL : m->items + index;                         \
    }                                                                                              \
    /* The item of `key`: *ret_status is 1 for the one there, 0 for a new one, uninitialised; NULL \
     * with -errno there. */                                                                       \
    LODEI_DS_FN item_type *name##_lodei_enter(struct name *m, key_type const *key,                 \
                                              int *ret_status)                                     \
    {                                                                                              \
        uint64_t mixed = lodei_table_mix(HASH(*key));                                              \
        uint32_t at = 0, tag = 0, index = UINT32_MAX;                                              \
        if (LODEI_DS_LIKELY(m->table.capacity != 0))                                               \
            index = name##_lodei_seek(m, key, mixed, &at, &tag);                                   \
        if (index != UINT32_MAX) {                                                                 \
            *ret_status = 1;                                                                       \
            return m->items + index;                                                               \
        }                                                                                          \
        if (LODEI_DS_UNLIKELY(m->table.count == m->table.capacity)) {                              \
            *ret_status = name##_lodei_grow(m);                                                    \
            if (*ret_status != 0)                                                                  \
                return (item_type *)NULL;                                                          \
            (void)name##_lodei_seek(m, key, mixed, &at, &tag);                                     \
        }                                                                                          \
        *ret_status = lodei_table_place(&m->table, at, tag, m->table.count);                       \
        if (LODEI_DS_UNLIKELY(*ret_status != 0))                                                   \
            return (item_type *)NULL;                                                              \
        return m->items + m->table.count++;                                                        \
    }                                                                                              \
    LODEI_DS_FN void name##_lodei_drop(struct name *m, uint32_t at, uint32_t index)                \
    {                                                                                              \
        uint32_t last = m->table.count - 1;                                                        \
        lodei_table_unplace(&m->table, at, index == last ? 0 : name##_lodei_hash(m->items, last)); \
        if (index != last)                                                                         \
            m->items[index] = m->items[last];                                                      \
        m->table.count = last;                                                                     \
    }                                                                                              \
    LODEI_DS_FN int name##_remove(struct name *m, key_type key)                                    \
    {                                                                                              \
        uint32_t at, tag;                                                                          \
        if (m->table.count == 0)                                                                   \
            return -ENOENT;                                                                        \
        uint32_t index = name##_lodei_seek(m, &key, lodei_table_mix(HASH(key)), &at, &tag);        \
        if (index == UINT32_MAX)                                                                   \
            return -ENOENT;                                                                        \
        name##_lodei_drop(m, at, index);                                                           \
        return 0;                                                                                  \
    }                                                                                              \
    LODEI_DS_FN int name##_remove_at(struct name *m, size_t i)                                     \
    {                                                                                              \
        if (i >= m->table.count)                                                                   \
            return -ERANGE;                                                                        \
        uint64_t mixed = name##_lodei_hash(m->items, (uint32_t)i);                                 \
        name##_lodei_drop(m, lodei_table_bucket_of(&m->table, mixed, (uint32_t)i), (uint32_t)i);   \
        return 0;                                                                                  \
    }

#define LODEI_MAP_KEY(item) ((item).key)
#define LODEI_SET_KEY(item) (item)

#define LODE_MAP_DEFINE(name, key_type, value_type, HASH, EQUAL)                             \
    LODEI_DS_ITEM_CHECK(key_type);                                                           \
    LODEI_DS_ITEM_CHECK(value_type);                                                         \
    struct name##_item {                                                                     \
        key_type key;                                                                        \
        value_type value;                                                                    \
    };                                                                                       \
    LODEI_TABLE_DEFINE(name, struct name##_item, key_type, LODEI_MAP_KEY, HASH, EQUAL)       \
    LODEI_DS_FN value_type *name##_find(const struct name *m, key_type key)                  \
    {                                                                                        \
        struct name##_item *item = name##_lodei_find(m, &key);                               \
        return item != NULL ? &item->value : (value_type *)NULL;                             \
    }                                                                                        \
    LODEI_DS_TRY int name##_put(struct name *m, key_type key, value_type value)              \
    {                                                                                        \
        int status;                                                                          \
        struct name##_item *item = name##_lodei_enter(m, &key, &status);                     \
        if (item == NULL)                                                                    \
            return status;                                                                   \
        if (status == 0)                                                                     \
            item->key = key;                                                                 \
        item->value = value;                                                                 \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_TRY int name##_insert(struct name *m, key_type key, value_type value)           \
    {                                                                                        \
        int status;                                                                          \
        struct name##_item *item = name##_lodei_enter(m, &key, &status);                     \
        if (item == NULL)                                                                    \
            return status;                                                                   \
        if (status != 0)                                                                     \
            return -EEXIST;                                                                  \
        item->key = key;                                                                     \
        item->value = value;                                                                 \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_TRY int name##_get_or_add(struct name *m, key_type key, value_type **ret_value) \
    {                                                                                        \
        int status;                                                                          \
        struct name##_item *item = name##_lodei_enter(m, &key, &status);                     \
        if (item == NULL)                                                                    \
            return status;                                                                   \
        if (status == 0) {                                                                   \
            memset((void *)&item->value, 0, sizeof(item->value));                            \
            item->key = key;                                                                 \
        }                                                                                    \
        *ret_value = &item->value;                                                           \
        return 0;                                                                            \
    }                                                                                        \
    struct name

#define LODE_SET_DEFINE(name, key_type, HASH, EQUAL)                         \
    LODEI_DS_ITEM_CHECK(key_type);                                           \
    LODEI_TABLE_DEFINE(name, key_type, key_type, LODEI_SET_KEY, HASH, EQUAL) \
    LODEI_DS_FN key_type *name##_find(const struct name *m, key_type key)    \
    {                                                                        \
        return name##_lodei_find(m, &key);                                   \
    }                                                                        \
    LODEI_DS_TRY int name##_insert(struct name *m, key_type key)             \
    {                                                                        \
        int status;                                                          \
        key_type *item = name##_lodei_enter(m, &key, &status);               \
        if (item == NULL)                                                    \
            return status;                                                   \
        if (status != 0)                                                     \
            return -EEXIST;                                                  \
        *item = key;                                                         \
        return 0;                                                            \
    }                                                                        \
    struct name

#endif
