/* SPDX-License-Identifier: MIT */
/**
 * @file ds_soa.h
 * Rows stored field by field in lanes of 8, ready for SIMD: LODE_SOA_DEFINE().
 *
 *     #define BODY_FIELDS(F) F(float, x) F(float, y) F(uint16_t, hp)
 *     LODE_SOA_DEFINE(bodies, 64, BODY_FIELDS);
 *
 *     struct bodies b = LODE_DS_INIT(2000, &allocator);  // or = {0}
 *     if (bodies_push(&b, row) != 0) ...                 // struct bodies_row { float x, y; .. }
 *     *LODE_SOA_AT(&b, i, x) += 1.0f;                    // i < b.count
 *     for (size_t l = 0; l < bodies_lane_count(&b); l++) // 8 rows a step
 *         for (int s = 0; s < 8; s++) b.lanes[l].x[s] += b.lanes[l].y[s];
 *
 *     lanes -> [ x x x x x x x x | y y y y y y y y | hp .. ] [ x x x .. ]     row i is slot i % 8
 *                rows 0 to 7                                  rows 8 to 15     of lane i / 8
 *
 * LODE_SOA_DEFINE(name, align, FIELDS), FIELDS(F) being F(type, field) for each field, declares
 * struct name { lanes, count, capacity, max_items, allocator } (count and capacity in rows),
 * struct name_row with one of each field, struct name_lane with `type field[8]` of each, a multiple
 * of `align` (32 or 64) bytes and so aligned, and
 *
 *     void     NAME_init(v, max_items, allocator)  NAME_finish(v)
 *     int      NAME_push(v, row)           append a row                                O(1)*
 *     int      NAME_get(v, i, ret_row)     -ERANGE: i >= count
 *     int      NAME_set(v, i, row)         -ERANGE: i >= count
 *     int      NAME_pop(v, ret_row)        remove the last; ret_row may be NULL; -ENOENT: empty
 *     int      NAME_remove_swap(v, i)      the last row fills the gap; -ERANGE         O(1)
 *     int      NAME_reserve(v, n)          room for n rows in all
 *     void     NAME_clear(v)  NAME_trim(v)
 *     size_t   NAME_count(v)
 *     size_t   NAME_lane_count(v)          lanes that hold rows
 *     unsigned NAME_lane_mask(v, l)        bit s: slot s of lane l is a row
 *     LODE_SOA_AT(v, i, field)             pointer to one field of row i, unchecked
 *
 * The 8 values of a field begin at a multiple of the largest power of two that divides their size,
 * 64 at most: 8 floats can be loaded as one aligned AVX register. Slots of the last lane that are
 * not rows are zero bytes until a loop over whole lanes leaves something there; nothing reads it.
 *
 * Returns      0; -ENOSPC the cap; -ENOMEM; and as above. On error nothing changed.
 * Invalidates  Growing, trimming, finishing: every pointer. Removing: the row's and the last one's.
 * Iterating    By lane or by index. To remove on the way, count down.
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * Ours; the layout is known as AoSoA (array of structs of arrays).
 */
#ifndef LODE_DS_SOA_H
#define LODE_DS_SOA_H

#include "lode/ds_base.h"

/* Largest power of two in 8 x sizeof(type), 8 to 64; no less than the type's own. */
#define LODEI_SOA_POWER(type) (8 * sizeof(type) & (~(8 * sizeof(type)) + 1))
#define LODEI_SOA_ALIGN(type)                                      \
    (LODEI_DS_ALIGNOF(type) > 64          ? LODEI_DS_ALIGNOF(type) \
     : LODEI_SOA_POWER(type) > (size_t)64 ? (size_t)64             \
                                          : LODEI_SOA_POWER(type))

#define LODEI_SOA_IN_ROW(type, field)  type field;
#define LODEI_SOA_IN_LANE(type, field) LODEI_DS_ALIGNAS(LODEI_SOA_ALIGN(type)) type field[8];
#define LODEI_SOA_CHECK(type, field)   LODEI_DS_ITEM_CHECK(type);
#define LODEI_SOA_STORE(type, field)   lane->field[slot] = row->field;
#define LODEI_SOA_LOAD(type, field)    row->field = lane->field[slot];
#define LODEI_SOA_WIPE(type, field)    memset((void *)&lane->field[slot], 0, sizeof(type));

/** Pointer to one field of row `i` of a struct from LODE_SOA_DEFINE(). */
#define LODE_SOA_AT(v, i, field) (&(v)->lanes[(i) / 8].field[(i) % 8])

#define LODE_SOA_DEFINE(name, align, FIELDS)                                                       \
    LODEI_DS_ASSERT((align) == 32 || (align) == 64, "lanes are aligned to 32 or 64 bytes");        \
    FIELDS(LODEI_SOA_CHECK)                                                                        \
    struct name##_row {                                                                            \
        FIELDS(LODEI_SOA_IN_ROW)                                                                   \
    };                                                                                             \
    struct __attribute__((aligned(align))) name##_lane {                                           \
        FIELDS(LODEI_SOA_IN_LANE)                                                                  \
    };                                                                                             \
    struct name {                                                                                  \
        struct name##_lane *lanes;                                                                 \
        size_t count;                                                                              \
        size_t capacity;                                                                           \
        size_t max_items;                                                                          \
        const struct lode_allocator *allocator;                                                    \
    };                                                                                             \
    LODEI_DS_FN void name##_init(struct name *v, size_t max_items,                                 \
                                 const struct lode_allocator *allocator)                           \
    {                                                                                              \
        v->lanes = NULL;                                                                           \
        v->count = v->capacity = 0;                                                                \
        v->max_items = max_items;                                                                  \
        v->allocator = allocator;                                                                  \
    }                                                                                              \
    LODEI_DS_FN size_t name##_count(const struct name *v)                                          \
    {                                                                                              \
        return v->count;                                                                           \
    }                                                                                              \
    LODEI_DS_FN size_t name##_lane_count(const struct name *v)                                     \
    {                                                                                              \
        return v->count / 8 + (v->count % 8 != 0);                                                 \
    }                                                                                              \
    LODEI_DS_FN unsigned name##_lane_mask(const struct name *v, size_t l)                          \
    {                                                                                              \
        return l < v->count / 8 ? 255u : l == v->count / 8 ? (1u << v->count % 8) - 1 : 0u;        \
    }                                                                                              \
    LODEI_DS_FN void name##_lodei_take(struct name *v, const struct lodei_array *lanes)            \
    {                                                                                              \
        v->lanes = (struct name##_lane *)lanes->items;                                             \
        v->capacity = lanes->capacity * 8;                                                         \
        if (v->max_items != 0 && v->capacity > v->max_items)                                       \
            v->capacity = v->max_items;                                                            \
    }                                                                                              \
    LODEI_DS_SLOW int name##_lodei_grow(struct name *v, size_t need, enum lodei_growth how)        \
    {                                                                                              \
        struct lodei_array lanes = {v->lanes, name##_lane_count(v),                                \
                                    v->capacity / 8 + (v->capacity % 8 != 0),                      \
                                    v->max_items / 8 + (v->max_items % 8 != 0), v->allocator};     \
        if (v->max_items != 0 && need > v->max_items)                                              \
            return -ENOSPC;                                                                        \
        int status =                                                                               \
            lodei_array_grow(&lanes, need / 8 + (need % 8 != 0), sizeof(struct name##_lane),       \
                             LODEI_DS_ALIGNOF(struct name##_lane), how);                           \
        if (status == 0)                                                                           \
            name##_lodei_take(v, &lanes);                                                          \
        return status;                                                                             \
    }                                                                                              \
    LODEI_DS_FN void name##_trim(struct name *v)                                                   \
    {                                                                                              \
        struct lodei_array lanes = {v->lanes, name##_lane_count(v),                                \
                                    v->capacity / 8 + (v->capacity % 8 != 0), 0, v->allocator};    \
        lodei_array_trim(&lanes, sizeof(struct name##_lane),                                       \
                         LODEI_DS_ALIGNOF(struct name##_lane));                                    \
        name##_lodei_take(v, &lanes);                                                              \
    }                                                                                              \
    LODEI_DS_FN void name##_clear(struct name *v)                                                  \
    {                                                                                              \
        v->count = 0;                                                                              \
    }                                                                                              \
    LODEI_DS_FN void name##_finish(struct name *v)                                                 \
    {                                                                                              \
        v->count = 0;                                                                              \
        name##_trim(v);                                                                            \
    }                                                                                              \
    LODEI_DS_TRY int name##_reserve(struct name *v, size_t need)                                   \
    {                                                                                              \
        return need <= v->capacity ? 0 : name##_lodei_grow(v, need, LODEI_GROW_EXACT);             \
    }                                                                                              \
    LODEI_DS_FN void name##_lodei_load(const struct name##_lane *lane, size_t slot,                \
                                       struct name##_row *row){FIELDS(                             \
        LODEI_SOA_LOAD)} LODEI_DS_FN void name##_lodei_store(struct name##_lane *lane,             \
                                                             size_t slot,                          \
                                                             const struct name##_row *row){FIELDS( \
        LODEI_SOA_STORE)} LODEI_DS_TRY int name##_push(struct name *v, struct name##_row row)      \
    {                                                                                              \
        if (LODEI_DS_UNLIKELY(v->count == v->capacity)) {                                          \
            int status = name##_lodei_grow(v, v->count + 1, LODEI_GROW_MORE);                      \
            if (status != 0)                                                                       \
                return status;                                                                     \
        }                                                                                          \
        struct name##_lane *lane = &v->lanes[v->count / 8];                                        \
        if (v->count % 8 == 0)                                                                     \
            memset((void *)lane, 0, sizeof(*lane));                                                \
        name##_lodei_store(lane, v->count % 8, &row);                                              \
        v->count++;                                                                                \
        return 0;                                                                                  \
    }                                                                                              \
    LODEI_DS_FN int name##_get(const struct name *v, size_t i, struct name##_row *ret_row)         \
    {                                                                                              \
        if (i >= v->count)                                                                         \
            return -ERANGE;                                                                        \
        name##_lodei_load(&v->lanes[i / 8], i % 8, ret_row);                                       \
        return 0;                                                                                  \
    }                                                                                              \
    LODEI_DS_FN int name##_set(struct name *v, size_t i, struct name##_row row)                    \
    {                                                                                              \
        if (i >= v->count)                                                                         \
            return -ERANGE;                                                                        \
        name##_lodei_store(&v->lanes[i / 8], i % 8, &row);                                         \
        return 0;                                                                                  \
    }                                                                                              \
    LODEI_DS_FN int name##_remove_swap(struct name *v, size_t i)                                   \
    {                                                                                              \
        if (i >= v->count)                                                                         \
            return -ERANGE;                                                                        \
        size_t last = --v->count;                                                                  \
        struct name##_lane *lane = &v->lanes[last / 8];                                            \
        if (i != last) {                                                                           \
            struct name##_row row;                                                                 \
            name##_lodei_load(lane, last % 8, &row);                                               \
            name##_lodei_store(&v->lanes[i / 8], i % 8, &row);                                     \
        }                                                                                          \
        size_t slot = last % 8;                                                                    \
        FIELDS(LODEI_SOA_WIPE)                                                                     \
        return 0;                                                                                  \
    }                                                                                              \
    LODEI_DS_FN int name##_pop(struct name *v, struct name##_row *ret_row)                         \
    {                                                                                              \
        if (v->count == 0)                                                                         \
            return -ENOENT;                                                                        \
        if (ret_row != NULL)                                                                       \
            (void)name##_get(v, v->count - 1, ret_row);                                            \
        return name##_remove_swap(v, v->count - 1);                                                \
    }                                                                                              \
    struct name

#endif
