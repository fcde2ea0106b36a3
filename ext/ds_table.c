/* SPDX-License-Identifier: MIT */
/*
 * The slow half of lode/ds_map.h: the buckets of hash maps and sets, and lode_hash_bytes().
 *
 *     buckets -> [ tag index | tag index | .. ]     2^n of 64 bits; 0: empty
 *     a run:       home h:  (h, d1 f9) (h, d2 f3) | (h+1, d2 f8) (h+1, d3 f1) | (h+3, d1 f5) empty
 *
 * d is the distance from home plus one and f a fingerprint; tag = d << 18 | f. Within a run buckets
 * are sorted by home, those of one home by falling f: seen from any home, a bucket whose tag is
 * less than the one looked for at that place says that the key is not there. Inserting shifts the
 * rest of the run on by one and removing shifts it back, so that the order always holds and no
 * bucket is ever marked as deleted. Source: see ds_map.h.
 *
 * Owns nothing but what a caller's table points to. No locks. A distance that does not fit the tag
 * is found before anything is written.
 */
#include "lode/ds_map.h"

#include "base/bits.h"

#define BUCKETS_MIN 8
/* Full at 3/4: inserting then shifts 8 buckets in the mean; at 13/16 it would be 14. */
#define FULL(buckets) ((buckets) / 4 * 3)
#define ITEMS_MAX     FULL((size_t)1 << 31)
#define STEP          ((uint64_t)LODEI_TAG_STEP << 32)
#define TOO_FAR       ((uint64_t)1 << 63)
#define BATCH         16 /* cache lines asked for at once when a table is rebuilt */

/* Empty bucket `at`; what stands behind it and not at home moves one back. */
static void shift_back(struct lodei_table *t, uint32_t at)
{
    for (;;) {
        uint32_t next = (at + 1) & t->mask;
        if (t->buckets[next] < 2 * STEP)
            break; /* empty, or at home */
        t->buckets[at] = t->buckets[next] - STEP;
        at = next;
    }
    t->buckets[at] = 0;
}

int lodei_table_place(struct lodei_table *t, uint32_t at, uint32_t tag, uint32_t index)
{
    uint64_t *buckets = t->buckets, carried = (uint64_t)tag << 32 | index, seen = carried;
    for (uint32_t i = at;; i = (i + 1) & t->mask) {
        uint64_t displaced = buckets[i];
        buckets[i] = carried;
        if (displaced == 0)
            break;
        carried = displaced + STEP;
        seen |= carried;
    }
    if (lode_likely((seen & TOO_FAR) == 0))
        return 0;
    shift_back(t, at); /* undoes all of it */
    return -EOVERFLOW;
}

void lodei_table_unplace(struct lodei_table *t, uint32_t at, uint64_t last_hash)
{
    uint32_t index = (uint32_t)t->buckets[at], last = t->count - 1;
    if (index != last) {
        uint64_t *moved = &t->buckets[lodei_table_bucket_of(t, last_hash, last)];
        *moved = (*moved & ~(uint64_t)UINT32_MAX) | index;
    }
    shift_back(t, at);
}

/* Enter every item into the empty buckets of `t`. */
static int place_all(struct lodei_table *t, const void *items, lodei_table_hasher hasher)
{
    uint64_t mixed[BATCH];
    for (uint32_t first = 0; first < t->count; first += BATCH) {
        uint32_t n = t->count - first < BATCH ? t->count - first : BATCH;
        for (uint32_t i = 0; i < n; i++) {
            mixed[i] = hasher(items, first + i);
            __builtin_prefetch(&t->buckets[lodei_table_home(t, mixed[i])], 1);
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = lodei_table_home(t, mixed[i]), tag = lodei_table_tag(mixed[i]);
            while (t->buckets[at] >> 32 >= tag) {
                at = (at + 1) & t->mask;
                tag += LODEI_TAG_STEP;
            }
            int status = lodei_table_place(t, at, tag, first + i);
            if (status != 0)
                return status;
        }
    }
    return 0;
}

static size_t bucket_bytes(const struct lodei_table *t)
{
    return ((size_t)t->mask + 1) * sizeof(uint64_t);
}

static void free_buckets(struct lodei_table *t)
{
    if (t->buckets != NULL)
        lodei_ds_free(t->allocator, t->buckets, bucket_bytes(t), _Alignof(uint64_t));
}

/* So many new buckets, filled from `items`; `t` gets them only if all goes well. */
static int rebuild(struct lodei_table *t, const void *items, size_t buckets,
                   lodei_table_hasher hasher)
{
    struct lodei_table other = *t;
    other.mask = (uint32_t)(buckets - 1);
    other.shift = 64 - lodei_log2(buckets);
    other.buckets = lodei_ds_alloc_zeroed(t->allocator, bucket_bytes(&other), _Alignof(uint64_t));
    if (other.buckets == NULL)
        return -ENOMEM;
    int status = place_all(&other, items, hasher);
    free_buckets(status == 0 ? t : &other);
    if (status == 0)
        *t = other;
    return status;
}

void lodei_table_free(struct lodei_table *t, void *items, size_t item_bytes, size_t item_align)
{
    free_buckets(t);
    lodei_ds_free(t->allocator, items, t->room * item_bytes, item_align);
    t->buckets = NULL;
    t->count = t->capacity = t->room = t->mask = t->shift = 0;
}

/* Room for `room` items at *items, which has no more than that now. */
static int widen_items(struct lodei_table *t, void **items, size_t room, size_t item_bytes,
                       size_t item_align)
{
    struct lodei_array a = {*items, t->count, t->room, 0, t->allocator};
    int status = lodei_array_grow(&a, room, item_bytes, item_align, LODEI_GROW_EXACT);
    *items = a.items;
    t->room = (uint32_t)a.capacity;
    return status;
}

/* Each step leaves a table that is whole: growing, the items get room before there are buckets for
 * them; shrinking, after. */
int lodei_table_resize(struct lodei_table *t, void **items, size_t need, size_t item_bytes,
                       size_t item_align, lodei_table_hasher hasher)
{
    int status = 0;
    if (need > ITEMS_MAX || (t->max_items != 0 && need > t->max_items))
        return -ENOSPC;
    if (need == 0) {
        lodei_table_free(t, *items, item_bytes, item_align);
        *items = NULL;
        return 0;
    }
    size_t buckets = BUCKETS_MIN;
    while (FULL(buckets) < need)
        buckets *= 2;
    if (need > t->room)
        status = widen_items(t, items, need, item_bytes, item_align);
    if (status == 0 && (t->buckets == NULL || buckets != (size_t)t->mask + 1))
        status = rebuild(t, *items, buckets, hasher);
    if (status != 0)
        return status;
    if (need == t->count) {
        struct lodei_array a = {*items, t->count, t->room, 0, t->allocator};
        lodei_array_trim(&a, item_bytes, item_align);
        *items = a.items;
        t->room = (uint32_t)a.capacity;
    }
    t->capacity = (uint32_t)lodei_min(FULL(buckets), t->room);
    if (t->max_items != 0 && t->capacity > t->max_items)
        t->capacity = t->max_items;
    return 0;
}

int lodei_table_grow(struct lodei_table *t, void **items, size_t item_bytes, size_t item_align,
                     lodei_table_hasher hasher)
{
    size_t need = (size_t)t->count + 1, buckets = t->buckets == NULL ? 0 : (size_t)t->mask + 1;
    size_t limit = t->max_items != 0 ? lodei_min(t->max_items, ITEMS_MAX) : ITEMS_MAX;
    if (need > limit)
        return -ENOSPC;
    size_t wanted =
        FULL(buckets) >= need ? FULL(buckets) : FULL(lodei_max(2 * buckets, BUCKETS_MIN));
    wanted = lodei_min(wanted, limit);
    for (;;) {
        int status = lodei_table_resize(t, items, wanted, item_bytes, item_align, hasher);
        /* Less is worth a try only if it was the items that there is no memory for. */
        if (status != -ENOMEM || wanted == need || t->room >= wanted)
            return status;
        wanted = need + (wanted - need) / 4;
    }
}

void lodei_table_clear(struct lodei_table *t)
{
    if (t->buckets != NULL)
        memset(t->buckets, 0, bucket_bytes(t));
    t->count = 0;
}

static uint64_t load64(const unsigned char *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static uint64_t load32(const unsigned char *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    lodei_ds_wide wide = (lodei_ds_wide)a * b;
    return (uint64_t)wide ^ (uint64_t)(wide >> 64);
}

/* 16 bytes a step, the last step overlapping the one before. The constants are the fractions of
 * sqrt(2), sqrt(3) and sqrt(5), made odd. */
uint64_t lode_hash_bytes(const void *data, size_t bytes, uint64_t seed)
{
    const uint64_t two = 0x6a09e667f3bcc909u, three = 0xbb67ae8584caa73bu,
                   five = 0x3c6ef372fe94f82bu;
    const unsigned char *p = data;
    uint64_t hash = fold(seed ^ two, (uint64_t)bytes ^ three), first = 0, last = 0;
    size_t left = bytes;
    for (; left > 16; left -= 16, p += 16)
        hash = fold(load64(p) ^ hash, load64(p + 8) ^ five);
    if (left >= 8) {
        first = load64(p);
        last = load64(p + left - 8);
    } else if (left >= 4) {
        first = load32(p);
        last = load32(p + left - 4);
    } else if (left > 0) {
        first = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
    }
    return fold(first ^ hash, last ^ two);
}
