/* SPDX-License-Identifier: MIT */
/**
 * @file ds_sorted.h
 * Sorted arrays as maps and sets (what C++ calls flat_map and flat_set): LODE_SORTED_MAP_DEFINE()
 * and LODE_SORTED_SET_DEFINE(). For ordered walks, ranges, nearest keys, and small tables that are
 * looked up more than changed; hash tables (ds_map.h) are for the rest.
 *
 *     #define BY_VALUE(a, b) ((a) < (b))
 *     LODE_SORTED_MAP_DEFINE(keyframes, float, struct pose, BY_VALUE);
 *
 *     struct keyframes k = LODE_DS_INIT(0, NULL);
 *     if (keyframes_put(&k, 0.5f, pose) != 0) ...
 *     for (size_t i = keyframes_lower(&k, 0.25f); i < k.count; i++)
 *         use(k.items[i].key, &k.items[i].value);        // from 0.25 on, in order
 *
 *     items -> [ key value | key value | .. count-1 | uninitialised .. capacity)
 *
 * LODE_SORTED_MAP_DEFINE(name, key_type, value_type, LESS): LESS(a, b) is a strict weak order of
 * keys, a function or macro; keys of which neither is less are the same key. Declares struct name
 * (the fields of a vector, see ds_vec.h), struct name_item { key_type key; value_type value; } and
 *
 *     void        NAME_init(m, max_items, allocator)  NAME_finish(m)  NAME_clear(m)
 *     int         NAME_put(m, key, value)     insert or replace                     O(count)
 *     int         NAME_insert(m, key, value)  -EEXIST: there already                O(count)
 *     int         NAME_append(m, key, value)  -EINVAL: not above the last key; builds a table
 *                                             from sorted data                      O(1)*
 *     value_type *NAME_find(m, key)           NULL: not there                       O(log count)
 *     size_t      NAME_lower(m, key)          index of the first item whose key is not less
 *     size_t      NAME_upper(m, key)          index of the first item whose key is greater
 *     int         NAME_remove(m, key)         -ENOENT: not there                    O(count)
 *     int         NAME_remove_at(m, i)        -ERANGE: i >= count                   O(count)
 *     int         NAME_reserve(m, n)          NAME_trim(m)
 *     size_t      NAME_count(m)
 *     item       *NAME_at(m, i)               NULL: i >= count
 *
 * LODE_SORTED_SET_DEFINE(name, key_type, LESS) is the same without values: m.items[i] is a key,
 * NAME_insert(m, key), NAME_append(m, key), NAME_find(m, key) giving a key_type *, and no put.
 *
 * Returns      0; -ENOSPC the cap; -ENOMEM; and as above. On error the table is as it was.
 * Invalidates  Inserting, trimming: every pointer. Removing: those at and behind the item.
 * Iterating    By index, in rising order.
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * Ours; the search without branches is the classical halving of a count (Knuth 6.2.1, Shar).
 */
#ifndef LODE_DS_SORTED_H
#define LODE_DS_SORTED_H

#include "lode/ds_base.h"

/* KEY(item) is the key of an item; everything that maps and sets share. */
#define LODEI_SORTED_DEFINE(name, item_type, key_type, KEY, LESS)                           \
    struct name {                                                                           \
        LODEI_ARRAY_FIELDS(item_type);                                                      \
    };                                                                                      \
    LODEI_ARRAY_DEFINE(name, item_type, LODEI_GROW_MORE)                                    \
    LODEI_DS_FN size_t name##_lodei_lower(const struct name *m, key_type const *key)        \
    {                                                                                       \
        size_t first = 0, left = m->count;                                                  \
        while (left > 0) {                                                                  \
            size_t half = left / 2;                                                         \
            int right = LESS(KEY(m->items[first + half]), *key) ? 1 : 0;                    \
            first = right ? first + half + 1 : first;                                       \
            left = right ? left - half - 1 : half;                                          \
        }                                                                                   \
        return first;                                                                       \
    }                                                                                       \
    LODEI_DS_FN size_t name##_lower(const struct name *m, key_type key)                     \
    {                                                                                       \
        return name##_lodei_lower(m, &key);                                                 \
    }                                                                                       \
    LODEI_DS_FN size_t name##_upper(const struct name *m, key_type key)                     \
    {                                                                                       \
        size_t at = name##_lodei_lower(m, &key);                                            \
        return at < m->count && !LESS(key, KEY(m->items[at])) ? at + 1 : at;                \
    }                                                                                       \
    /* The item of `key`: *ret_status is 1 for the one there, 0 for a new one in its place, \
     * uninitialised; NULL with -errno there. */                                            \
    LODEI_DS_FN item_type *name##_lodei_enter(struct name *m, key_type const *key,          \
                                              int *ret_status)                              \
    {                                                                                       \
        size_t at = name##_lodei_lower(m, key);                                             \
        if (at < m->count && !LESS(*key, KEY(m->items[at]))) {                              \
            *ret_status = 1;                                                                \
            return m->items + at;                                                           \
        }                                                                                   \
        *ret_status = m->count < m->capacity ? 0 : name##_lodei_grow_one(m);                \
        if (*ret_status != 0)                                                               \
            return (item_type *)NULL;                                                       \
        memmove((void *)(m->items + at + 1), (const void *)(m->items + at),                 \
                (m->count - at) * sizeof(item_type));                                       \
        m->count++;                                                                         \
        return m->items + at;                                                               \
    }                                                                                       \
    /* As above for a key that must be above all others. */                                 \
    LODEI_DS_FN item_type *name##_lodei_append(struct name *m, key_type const *key,         \
                                               int *ret_status)                             \
    {                                                                                       \
        *ret_status = -EINVAL;                                                              \
        if (m->count > 0 && !LESS(KEY(m->items[m->count - 1]), *key))                       \
            return (item_type *)NULL;                                                       \
        *ret_status = m->count < m->capacity ? 0 : name##_lodei_grow_one(m);                \
        return *ret_status == 0 ? m->items + m->count++ : (item_type *)NULL;                \
    }                                                                                       \
    LODEI_DS_FN item_type *name##_lodei_find(const struct name *m, key_type const *key)     \
    {                                                                                       \
        size_t at = name##_lodei_lower(m, key);                                             \
        return at < m->count && !LESS(*key, KEY(m->items[at])) ? m->items + at              \
                                                               : (item_type *)NULL;         \
    }                                                                                       \
    LODEI_DS_FN int name##_remove_at(struct name *m, size_t i)                              \
    {                                                                                       \
        if (i >= m->count)                                                                  \
            return -ERANGE;                                                                 \
        m->count--;                                                                         \
        memmove((void *)(m->items + i), (const void *)(m->items + i + 1),                   \
                (m->count - i) * sizeof(item_type));                                        \
        return 0;                                                                           \
    }                                                                                       \
    LODEI_DS_FN int name##_remove(struct name *m, key_type key)                             \
    {                                                                                       \
        item_type *item = name##_lodei_find(m, &key);                                       \
        return item != NULL ? name##_remove_at(m, (size_t)(item - m->items)) : -ENOENT;     \
    }                                                                                       \
    LODEI_DS_FN void name##_clear(struct name *m)                                           \
    {                                                                                       \
        m->count = 0;                                                                       \
    }

#define LODEI_SORTED_MAP_KEY(item) ((item).key)
#define LODEI_SORTED_SET_KEY(item) (item)

#define LODE_SORTED_MAP_DEFINE(name, key_type, value_type, LESS)                        \
    LODEI_DS_ITEM_CHECK(key_type);                                                      \
    LODEI_DS_ITEM_CHECK(value_type);                                                    \
    struct name##_item {                                                                \
        key_type key;                                                                   \
        value_type value;                                                               \
    };                                                                                  \
    LODEI_SORTED_DEFINE(name, struct name##_item, key_type, LODEI_SORTED_MAP_KEY, LESS) \
    LODEI_DS_FN value_type *name##_find(const struct name *m, key_type key)             \
    {                                                                                   \
        struct name##_item *item = name##_lodei_find(m, &key);                          \
        return item != NULL ? &item->value : (value_type *)NULL;                        \
    }                                                                                   \
    LODEI_DS_TRY int name##_put(struct name *m, key_type key, value_type value)         \
    {                                                                                   \
        int status;                                                                     \
        struct name##_item *item = name##_lodei_enter(m, &key, &status);                \
        if (item == NULL)                                                               \
            return status;                                                              \
        if (status == 0)                                                                \
            item->key = key;                                                            \
        item->value = value;                                                            \
        return 0;                                                                       \
    }                                                                                   \
    LODEI_DS_TRY int name##_insert(struct name *m, key_type key, value_type value)      \
    {                                                                                   \
        int status;                                                                     \
        struct name##_item *item = name##_lodei_enter(m, &key, &status);                \
        if (item == NULL)                                                               \
            return status;                                                              \
        if (status != 0)                                                                \
            return -EEXIST;                                                             \
        item->key = key;                                                                \
        item->value = value;                                                            \
        return 0;                                                                       \
    }                                                                                   \
    LODEI_DS_TRY int name##_append(struct name *m, key_type key, value_type value)      \
    {                                                                                   \
        int status;                                                                     \
        struct name##_item *item = name##_lodei_append(m, &key, &status);               \
        if (item == NULL)                                                               \
            return status;                                                              \
        item->key = key;                                                                \
        item->value = value;                                                            \
        return 0;                                                                       \
    }                                                                                   \
    struct name

#define LODE_SORTED_SET_DEFINE(name, key_type, LESS)                          \
    LODEI_DS_ITEM_CHECK(key_type);                                            \
    LODEI_SORTED_DEFINE(name, key_type, key_type, LODEI_SORTED_SET_KEY, LESS) \
    LODEI_DS_FN key_type *name##_find(const struct name *m, key_type key)     \
    {                                                                         \
        return name##_lodei_find(m, &key);                                    \
    }                                                                         \
    LODEI_DS_TRY int name##_insert(struct name *m, key_type key)              \
    {                                                                         \
        int status;                                                           \
        key_type *item = name##_lodei_enter(m, &key, &status);                \
        if (item == NULL)                                                     \
            return status;                                                    \
        if (status != 0)                                                      \
            return -EEXIST;                                                   \
        *item = key;                                                          \
        return 0;                                                             \
    }                                                                         \
    LODEI_DS_TRY int name##_append(struct name *m, key_type key)              \
    {                                                                         \
        int status;                                                           \
        key_type *item = name##_lodei_append(m, &key, &status);               \
        if (item != NULL)                                                     \
            *item = key;                                                      \
        return status;                                                        \
    }                                                                         \
    struct name

#endif
