/* SPDX-License-Identifier: MIT */
/*
 * The containers of lode/ds.h against naive models. The first byte chooses the container, the
 * second how often an allocation fails; the rest are operations. Checked after each: the count,
 * what is in it, that an error was due, that ids and addresses which may not change do not; and all
 * along that blocks are resized and freed with the bytes and alignment they were allocated with. At
 * the end everything has come back.
 */
#include "fuzz_input.h"

#include <errno.h>

#include "../ext/ds_fixture.h"
#include "lode/ds.h"

#define CAP 200 /* of every container here */

struct wide {
    _Alignas(32) uint16_t value;
    char rest[50];
};

struct mob {
    uint16_t value;
    struct lode_link link;
};

#define BAD_HASH(k)    ((uint64_t)(k)&7)
#define BY_VALUE(a, b) ((a) < (b))
#define FIELDS(F)      F(uint16_t, value) F(double, weight)
LODE_VEC_DEFINE(vec, struct wide);
LODE_BUMPVEC_DEFINE(bump, struct wide);
LODE_SMALLVEC_DEFINE(few, struct wide, 5);
LODE_STABLEVEC_DEFINE(stable, struct wide, 4);
LODE_POOLEDVEC_DEFINE(pooled, struct wide, 128);
LODE_RING_DEFINE(ring, struct wide);
LODE_MAP_DEFINE(map, uint8_t, uint16_t, LODE_HASH_INT, LODE_EQUAL_INT);
LODE_MAP_DEFINE(bad_map, uint8_t, uint16_t, BAD_HASH, LODE_EQUAL_INT);
LODE_SORTED_MAP_DEFINE(sorted, uint8_t, uint16_t, BY_VALUE);
LODE_LIST_DEFINE(list, struct mob, link);
LODE_SPARSE_SET_DEFINE(mobs, struct wide);
LODE_SPARSE_ARRAY_DEFINE(field, uint16_t, 192);
LODE_SOA_DEFINE(rows, 32, FIELDS);

static struct {
    const uint8_t *at, *end;
} input;
static struct ds_memory *memory;
static uint16_t model[CAP + 64];
static size_t count;

static size_t take(size_t limit)
{
    size_t value = 0;
    for (size_t n = limit > 256 ? 2 : 1; n > 0 && input.at < input.end; n--)
        value = value << 8 | *input.at++;
    return value % limit;
}

static struct wide wide(uint16_t value)
{
    return (struct wide){.value = value};
}

/* An error of an insertion was due. */
static void check_error(int status)
{
    DS_CHECK(status == (count == CAP ? -ENOSPC : -ENOMEM));
    DS_CHECK(count == CAP || memory->fail_one_in != 0);
}

static void model_insert(size_t at, uint16_t value)
{
    memmove(model + at + 1, model + at, (count++ - at) * sizeof(model[0]));
    model[at] = value;
}

static uint16_t model_remove(size_t at)
{
    uint16_t value = model[at];
    memmove(model + at, model + at + 1, (--count - at) * sizeof(model[0]));
    return value;
}

/* Vectors that have all of LODE_VEC_DEFINE()'s functions. */
#define FUZZ_VEC(name, ITEMS)                                                                \
    static void fuzz_##name(void)                                                            \
    {                                                                                        \
        struct name v;                                                                       \
        struct wide last;                                                                    \
        name##_init(&v, CAP, &memory->allocator);                                            \
        while (input.at < input.end) {                                                       \
            size_t what = take(16), at = count > 0 ? take(count) : 0;                        \
            uint16_t value = (uint16_t)take(65536);                                          \
            if (what < 5) {                                                                  \
                int status = name##_push(&v, wide(value));                                   \
                if (status == 0)                                                             \
                    model[count++] = value;                                                  \
                else                                                                         \
                    check_error(status);                                                     \
            } else if (what < 8) {                                                           \
                int status = name##_insert(&v, at, count > 0 ? ITEMS(&v)[at] : wide(value)); \
                if (status == 0)                                                             \
                    model_insert(at, count > 0 ? model[at] : value);                         \
                else                                                                         \
                    check_error(status);                                                     \
            } else if (what < 10) {                                                          \
                size_t n = count > 0 ? value % (count - at) : 0;                             \
                int status = name##_push_many(&v, count > 0 ? ITEMS(&v) + at : NULL, n);     \
                DS_CHECK(status == 0 || (status == -ENOSPC) == (count + n > CAP));           \
                for (size_t i = 0; status == 0 && i < n; i++)                                \
                    model[count + i] = model[at + i];                                        \
                count += status == 0 ? n : 0;                                                \
            } else if (what < 12) {                                                          \
                if (name##_pop(&v, &last) == 0)                                              \
                    DS_CHECK(last.value == model[--count]);                                  \
            } else if (what < 13) {                                                          \
                if (name##_remove(&v, at) == 0)                                              \
                    model_remove(at);                                                        \
            } else if (what < 14) {                                                          \
                if (name##_remove_swap(&v, at) == 0)                                         \
                    model[at] = model[--count];                                              \
            } else if (what < 15) {                                                          \
                name##_trim(&v);                                                             \
            } else {                                                                         \
                int status = name##_reserve(&v, value % (CAP + 10));                         \
                DS_CHECK(status != 0 || v.capacity >= value % (CAP + 10));                   \
            }                                                                                \
            DS_CHECK(v.count == count && v.count <= v.capacity && v.capacity <= CAP);        \
            for (size_t i = 0; i < count; i++)                                               \
                DS_CHECK(ITEMS(&v)[i].value == model[i]);                                    \
        }                                                                                    \
        name##_finish(&v);                                                                   \
    }

#define FIELD(v) ((v)->items)
FUZZ_VEC(vec, FIELD)
FUZZ_VEC(bump, FIELD)
FUZZ_VEC(few, few_items)

/* Vectors whose items never move. */
#define FUZZ_BLOCKS(name)                                                            \
    static void fuzz_##name(void)                                                    \
    {                                                                                \
        struct name v;                                                               \
        struct wide last, *at[CAP], *slot;                                           \
        memset(&v, 0, sizeof(v));                                                    \
        v.core.max_items = CAP;                                                      \
        v.core.allocator = &memory->allocator;                                       \
        while (input.at < input.end) {                                               \
            size_t what = take(8);                                                   \
            uint16_t value = (uint16_t)take(65536);                                  \
            size_t capacity = v.core.capacity;                                       \
            if (what < 5) {                                                          \
                int status = name##_add(&v, &slot);                                  \
                if (status == 0) {                                                   \
                    *slot = wide(value);                                             \
                    at[count] = slot;                                                \
                    model[count++] = value;                                          \
                } else {                                                             \
                    check_error(status);                                             \
                    DS_CHECK(v.core.capacity == capacity);                           \
                }                                                                    \
            } else if (what < 6) {                                                   \
                for (size_t n = value % 8; n > 0 && name##_pop(&v, &last) == 0; n--) \
                    DS_CHECK(last.value == model[--count]);                          \
            } else if (what < 7) {                                                   \
                name##_trim(&v);                                                     \
            } else if (name##_reserve(&v, value % (CAP + 10)) != 0) {                \
                DS_CHECK(v.core.capacity == capacity);                               \
            }                                                                        \
            DS_CHECK(name##_count(&v) == count && v.core.capacity >= count);         \
            for (size_t i = 0; i < count; i++)                                       \
                DS_CHECK(name##_at(&v, i) == at[i] && at[i]->value == model[i]);     \
        }                                                                            \
        name##_finish(&v);                                                           \
    }

FUZZ_BLOCKS(stable)
FUZZ_BLOCKS(pooled)

static void fuzz_ring(void)
{
    struct ring r;
    struct wide item;
    struct ring_span spans[2];
    uint32_t overwrite = take(2) != 0 ? LODE_RING_OVERWRITE : 0;
    DS_CHECK(ring_init(&r, CAP, overwrite, &memory->allocator) == 0);
    while (input.at < input.end) {
        size_t what = take(16);
        uint16_t value = (uint16_t)take(65536);
        if (what < 10) {
            int front = what % 2 == 0, full = count == CAP;
            int status = front ? ring_push_front(&r, wide(value)) : ring_push(&r, wide(value));
            if (status == 0) {
                if (full)
                    model_remove(front ? count - 1 : 0);
                model_insert(front ? 0 : count, value);
            } else {
                check_error(status);
                DS_CHECK(!full || overwrite == 0);
            }
        } else if (what < 14) {
            int status = what % 2 == 0 ? ring_pop(&r, &item) : ring_pop_back(&r, &item);
            DS_CHECK(status == (count > 0 ? 0 : -ENOENT));
            if (status == 0)
                DS_CHECK(item.value == model_remove(what % 2 == 0 ? 0 : count - 1));
        } else if (what < 15) {
            ring_trim(&r);
        } else {
            size_t n = ring_recent(&r, value % CAP, spans), at = count - n;
            DS_CHECK(n == (value % CAP < count ? value % CAP : count));
            for (int s = 0; s < 2; s++)
                for (size_t i = 0; i < spans[s].count; i++)
                    DS_CHECK(spans[s].items[i].value == model[at++]);
            DS_CHECK(at == count);
        }
        DS_CHECK(r.count == count && r.capacity <= CAP);
        for (size_t i = 0; i < count; i++)
            DS_CHECK(ring_at(&r, i)->value == model[i]);
    }
    ring_finish(&r);
}

/* Maps of 256 keys; the model is a table of value + 1 by key. */
#define FUZZ_MAP(name)                                                                         \
    static void fuzz_##name(void)                                                              \
    {                                                                                          \
        struct name m;                                                                         \
        uint32_t table[256] = {0};                                                             \
        name##_init(&m, CAP, &memory->allocator);                                              \
        while (input.at < input.end) {                                                         \
            size_t what = take(16);                                                            \
            uint8_t key = (uint8_t)take(256);                                                  \
            uint16_t value = (uint16_t)take(65536);                                            \
            int there = table[key] != 0;                                                       \
            if (what < 9) {                                                                    \
                int put = what < 5;                                                            \
                int status = put ? name##_put(&m, key, value) : name##_insert(&m, key, value); \
                DS_CHECK((status == -EEXIST) == (!put && there));                              \
                if (status == 0)                                                               \
                    table[key] = value + 1u;                                                   \
                else if (status != -EEXIST)                                                    \
                    check_error(status);                                                       \
                count += status == 0 && !there;                                                \
            } else if (what < 13) {                                                            \
                DS_CHECK(name##_remove(&m, key) == (there ? 0 : -ENOENT));                     \
                count -= there != 0;                                                           \
                table[key] = 0;                                                                \
            } else if (what < 14 && count > 0) {                                               \
                table[m.items[value % count].key] = 0;                                         \
                DS_CHECK(name##_remove_at(&m, value % count) == 0);                            \
                count--;                                                                       \
            } else if (what < 15) {                                                            \
                name##_trim(&m);                                                               \
            } else {                                                                           \
                int status = name##_reserve(&m, value % (CAP + 10));                           \
                DS_CHECK((status == -ENOSPC) == (value % (CAP + 10) > CAP));                   \
            }                                                                                  \
            DS_CHECK(name##_count(&m) == count);                                               \
            for (unsigned k = 0; k < 256; k++) {                                               \
                uint16_t *found = name##_find(&m, (uint8_t)k);                                 \
                DS_CHECK((found != NULL ? *found + 1u : 0) == table[k]);                       \
            }                                                                                  \
        }                                                                                      \
        name##_finish(&m);                                                                     \
    }

FUZZ_MAP(map)
FUZZ_MAP(bad_map)
FUZZ_MAP(sorted)

static void fuzz_list(void)
{
    static struct mob all[CAP + 20];
    struct list l;
    memset(all, 0, sizeof(all));
    for (uint16_t i = 0; i < CAP + 20; i++)
        all[i].value = i;
    list_init(&l, CAP);
    while (input.at < input.end) {
        size_t what = take(8), at = count > 0 ? take(count) : 0, found = 0;
        struct mob *mob = &all[take(CAP + 20)];
        while (found < count && model[found] != mob->value)
            found++;
        if (what < 5) {
            int status = what < 2                 ? list_push_back(&l, mob)
                         : what < 3 || count == 0 ? list_push_front(&l, mob)
                         : what < 4               ? list_insert_before(&l, &all[model[at]], mob)
                                                  : list_insert_after(&l, &all[model[at]], mob);
            DS_CHECK(status == (found < count ? -EALREADY : count == CAP ? -ENOSPC : 0));
            if (status == 0)
                model_insert(what < 2                 ? count
                             : what < 3 || count == 0 ? 0
                             : what < 4               ? at
                                                      : at + 1,
                             mob->value);
        } else if (what < 7) {
            DS_CHECK(list_remove(&l, mob) == (found < count ? 0 : -ENOENT));
            if (found < count)
                model_remove(found);
        } else {
            mob = list_pop_front(&l);
            DS_CHECK((mob == NULL) == (count == 0));
            if (mob != NULL)
                DS_CHECK(mob->value == model_remove(0));
        }
        size_t i = 0;
        LODE_LIST_EACH(list, it, &l)
        DS_CHECK(i < count && it->value == model[i++]);
        DS_CHECK(i == count && list_count(&l) == count);
    }
}

static void fuzz_sparse_set(void)
{
    struct mobs s;
    static lode_sparse_id ids[CAP], gone[65536];
    size_t gone_count = 0;
    mobs_init(&s, CAP, &memory->allocator);
    s.set.max_lives = (uint32_t)take(6);
    while (input.at < input.end) {
        size_t what = take(16), at = count > 0 ? take(count) : 0;
        uint16_t value = (uint16_t)take(65536);
        if (what < 9) {
            int status = mobs_add(&s, wide(value), &ids[count < CAP ? count : 0]);
            if (status == 0)
                model[count++] = value;
            else
                check_error(status);
        } else if (what < 14) {
            DS_CHECK(count == 0 || mobs_remove(&s, ids[at]) == 0);
            if (count > 0) {
                gone[gone_count++] = ids[at];
                ids[at] = ids[--count];
                model[at] = model[count];
            }
        } else if (what < 15) {
            mobs_trim(&s);
        } else {
            DS_CHECK(mobs_get(&s, (uint64_t)value << 32 | at) == NULL || value % 2 == 1);
        }
        DS_CHECK(mobs_count(&s) == count);
        for (size_t i = 0; i < count; i++)
            DS_CHECK(mobs_get(&s, ids[i])->value == model[i]);
        for (size_t i = 0; i < gone_count; i++)
            DS_CHECK(mobs_get(&s, gone[i]) == NULL && mobs_remove(&s, gone[i]) == -ESTALE);
    }
    mobs_finish(&s);
}

static void fuzz_sparse_array(void)
{
    struct field f;
    uint32_t table[512] = {0}; /* value + 1 */
    field_init(&f, CAP, &memory->allocator);
    while (input.at < input.end) {
        size_t what = take(16), index = take(512);
        uint16_t value = (uint16_t)take(65536);
        int there = table[index] != 0;
        if (what < 10) {
            int status = field_set(&f, index, value);
            if (status == 0)
                table[index] = value + 1u;
            else
                check_error(status);
            count += status == 0 && !there;
        } else if (what < 14) {
            DS_CHECK(field_remove(&f, index) == (there ? 0 : -ENOENT));
            count -= there != 0;
            table[index] = 0;
        } else if (what < 15) {
            field_trim(&f);
        } else {
            for (size_t i = index / 192 * 192; i < index / 192 * 192 + 192 && i < 512; i++) {
                count -= table[i] != 0;
                table[i] = 0;
            }
            (void)field_drop(&f, index);
        }
        struct lode_sparse_cursor at = {0};
        size_t seen = 0;
        for (uint16_t *it; (it = field_next(&f, &at)) != NULL; seen++)
            DS_CHECK(at.index < 512 && table[at.index] == *it + 1u);
        DS_CHECK(seen == count && field_count(&f) == count);
        uint16_t *found = what % 2 == 0 ? field_get(&f, index) : field_peek(&f, index);
        DS_CHECK((found != NULL ? *found + 1u : 0) == table[index]);
    }
    field_finish(&f);
}

static void fuzz_interner(void)
{
    struct lode_interner names;
    static char texts[CAP][16];
    static uint8_t lengths[CAP];
    static const char *where[CAP];
    lode_interner_init(&names, CAP, 0, &memory->allocator);
    while (input.at < input.end) {
        char text[16] = {0};
        uint32_t id = 0, expected = 0;
        size_t bytes = take(12);
        for (size_t i = 0; i < bytes; i++)
            text[i] = (char)take(3);
        for (uint32_t i = 0; i < count && expected == 0; i++)
            if (lengths[i] == bytes && memcmp(texts[i], text, bytes) == 0)
                expected = i + 1;
        DS_CHECK(lode_interner_find(&names, text, bytes) == expected);
        int status = lode_intern(&names, text, bytes, &id);
        if (status != 0) {
            DS_CHECK(expected == 0 && id == 0);
            check_error(status);
        } else if (expected == 0) {
            DS_CHECK(id == count + 1);
            memcpy(texts[count], text, sizeof(text));
            lengths[count] = (uint8_t)bytes;
            where[count++] = lode_interner_text(&names, id);
        } else {
            DS_CHECK(id == expected);
        }
        DS_CHECK(lode_interner_count(&names) == count);
        for (uint32_t i = 0; i < count; i++) {
            DS_CHECK(lode_interner_text(&names, i + 1) == where[i]);
            DS_CHECK(memcmp(where[i], texts[i], lengths[i] + (size_t)1) == 0);
        }
    }
    lode_interner_finish(&names);
}

static void fuzz_bits(void)
{
    struct lode_bitset set;
    uint8_t bits[CAP + 10] = {0};
    lode_bitset_init(&set, CAP, &memory->allocator);
    while (input.at < input.end) {
        size_t what = take(8), first = take(CAP + 10), n = take(CAP + 10);
        if (what < 2) {
            int status = lode_bitset_resize(&set, n);
            DS_CHECK((status == -ENOSPC) == (n > CAP));
            if (status == 0) {
                memset(bits + n, 0, sizeof(bits) - n);
                count = n;
            }
        } else if (what < 6) {
            int fits = first <= count && n <= count - first;
            DS_CHECK(lode_bitset_fill(&set, first, n, what % 2) == (fits ? 0 : -ERANGE));
            memset(bits + first, (int)(what % 2), fits ? n : 0);
        } else if (what < 7) {
            lode_bitset_trim(&set);
        } else {
            DS_CHECK(lode_bitset_put(&set, first, n % 2 != 0) == (first < count ? 0 : -ERANGE));
            if (first < count)
                bits[first] = n % 2;
        }
        size_t total = 0, next = count, next_clear = count;
        DS_CHECK(set.bits == count);
        for (size_t i = count; i-- > 0;) {
            total += bits[i];
            next = bits[i] ? i : next;
            next_clear = bits[i] ? next_clear : i;
            DS_CHECK(lode_bitset_has(&set, i) == bits[i] && lode_bitset_next(&set, i) == next);
            DS_CHECK(lode_bitset_next_clear(&set, i) == next_clear);
        }
        DS_CHECK(lode_bitset_count(&set) == total);
    }
    lode_bitset_finish(&set);
}

static void fuzz_soa(void)
{
    struct rows v;
    struct rows_row row;
    rows_init(&v, CAP, &memory->allocator);
    while (input.at < input.end) {
        size_t what = take(8), at = count > 0 ? take(count) : 0;
        uint16_t value = (uint16_t)take(65536);
        if (what < 5) {
            int status = rows_push(&v, (struct rows_row){value, value / 2.0});
            if (status == 0)
                model[count++] = value;
            else
                check_error(status);
        } else if (what < 7) {
            DS_CHECK(rows_remove_swap(&v, at) == (count > 0 ? 0 : -ERANGE));
            if (count > 0)
                model[at] = model[--count];
        } else {
            rows_trim(&v);
        }
        DS_CHECK(rows_count(&v) == count);
        for (size_t i = 0; i < count; i++)
            DS_CHECK(rows_get(&v, i, &row) == 0 && row.value == model[i] &&
                     row.weight == model[i] / 2.0);
        for (size_t i = count; i % 8 != 0; i++)
            DS_CHECK(*LODE_SOA_AT(&v, i, value) == 0);
    }
    rows_finish(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static void (*const targets[])(void) = {
        fuzz_vec,        fuzz_bump,         fuzz_few,      fuzz_stable, fuzz_pooled,
        fuzz_ring,       fuzz_map,          fuzz_bad_map,  fuzz_sorted, fuzz_list,
        fuzz_sparse_set, fuzz_sparse_array, fuzz_interner, fuzz_bits,   fuzz_soa};
    input.at = data;
    input.end = data + bytes;
    memory = ds_memory_create(bytes);
    count = 0;
    size_t target = take(sizeof(targets) / sizeof(targets[0])), fails = take(8);
    memory->fail_one_in = fails > 1 ? fails : 0;
    targets[target]();
    ds_memory_destroy(memory);
    return 0;
}
