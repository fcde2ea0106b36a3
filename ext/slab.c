/* SPDX-License-Identifier: MIT */
/*
 * Slab allocators. Owns slabs, a record of each, the table that finds them, and unless it was given
 * one, the heap all of it is from.
 *
 *     slab:    | block | block | block | ... | block | rest |     aligned to its own size
 *     record:  words[64]: bit set, the block is free; some: which words are not 0
 *     table:   address / slab size -> record (ext/addrtable.h)
 *
 * Each size has a list of slabs with a free block; allocation takes the lowest free block of the
 * first one. A slab is on no list while it is full. A slab that becomes empty stays with its size
 * if that has no other one with room; otherwise it is spare, for any size.
 *
 * Not locked: one thread at a time. Figures that other threads read are written with lodei_put().
 * Calls nothing but the heap.
 */
#include "lode/slab.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/list.h"
#include "ext/addrtable.h"
#include "ext/figures.h"
#include "ext/ops.h"
#include "ext/opts.h"
#include "ext/poison.h"
#include "ext/registry.h"
#include "ext/source.h"

#define STEP          ((size_t)16)
#define BLOCKS_MAX    ((size_t)4096) /* in a slab */
#define SLAB_DEFAULT  ((size_t)64 << 10)
#define SLAB_LEAST    ((size_t)1 << 10)
#define SLAB_MOST     ((size_t)4 << 20)
#define KEEP_DEFAULT  4
#define CLASS_DEFAULT ((size_t)4096) /* largest default size */
/* Offsets and sizes in units of 16 are below 2^18 and 2^16: n * (2^40 / d + 1) >> 40 is n / d. */
#define RECIPROCAL_LOG2 40
#define NO_CLASS        LODE_SLAB_CLASSES_MAX

struct record {
    struct lodei_list link; /* cls->open; unlinked: full */
    struct record *next;    /* of spare slabs */
    char *memory;
    uint32_t cls;
    uint32_t live;
    uint64_t some;
    uint64_t words[];
};

struct size_class {
    struct lodei_list open; /* slabs with a free block */
    uint32_t block_bytes;
    uint32_t capacity;   /* blocks in a slab */
    uint64_t reciprocal; /* see RECIPROCAL_LOG2 */
    size_t live;
    size_t slabs;
};

struct lode_slab {
    struct size_class classes[LODE_SLAB_CLASSES_MAX];
    uint8_t *class_of; /* by (bytes - 1) / 16 */
    size_t class_max;  /* largest size */
    uint32_t class_count;
    unsigned slab_log2;
    struct record *last; /* found last; NULL: none */
    struct lodei_addrtable table;
    struct record *spare;
    size_t spare_slabs, slabs;
    size_t keep_slabs, max_slabs;
    size_t record_bytes;
    size_t used_bytes, peak_bytes, live;
    uint64_t allocs, misses, failures;
    struct lodei_source source;
    struct lodei_registered registered;
};

_Static_assert(sizeof(struct lode_slab_opts) == 16 + 5 * sizeof(size_t), "no hidden padding");

/* ---- slabs ---- */

static size_t slab_bytes(const struct lode_slab *s)
{
    return (size_t)1 << s->slab_log2;
}

static uintptr_t number_of(const struct lode_slab *s, const void *block)
{
    return (uintptr_t)block >> s->slab_log2;
}

static struct record *slab_take(struct lode_slab *s)
{
    if (s->slabs == s->max_slabs || lodei_addrtable_grow(&s->table, &s->source) != 0)
        return NULL;
    struct record *record = lodei_source_alloc(&s->source, s->record_bytes, 16);
    if (record == NULL)
        return NULL;
    record->memory = lodei_source_alloc(&s->source, slab_bytes(s), slab_bytes(s));
    if (record->memory == NULL) {
        lodei_source_free(record, s->record_bytes);
        return NULL;
    }
    lodei_taken(record->memory, slab_bytes(s));
    lodei_addrtable_put(&s->table, number_of(s, record->memory), record);
    lodei_add(s->slabs, 1);
    return record;
}

static void slab_give(struct lode_slab *s, struct record *record)
{
    lodei_addrtable_remove(&s->table, number_of(s, record->memory));
    if (s->last == record)
        s->last = NULL;
    lodei_sub(s->slabs, 1);
    lodei_source_free(record->memory, slab_bytes(s));
    lodei_source_free(record, s->record_bytes);
}

static size_t spare_give(struct lode_slab *s, size_t keep)
{
    size_t given = 0;
    while (s->spare_slabs > keep) {
        struct record *record = s->spare;
        s->spare = record->next;
        lodei_sub(s->spare_slabs, 1);
        slab_give(s, record);
        given++;
    }
    return given << s->slab_log2;
}

/* All blocks of a slab are free, and of that size. */
static void slab_format(struct lode_slab *s, struct record *record, uint32_t cls)
{
    size_t capacity = s->classes[cls].capacity, words = (capacity + 63) / 64;
    record->cls = cls;
    record->live = 0;
    memset(record->words, 0xff, words * 8);
    if (capacity % 64 != 0)
        record->words[words - 1] = ((uint64_t)1 << (capacity % 64)) - 1;
    record->some = words == 64 ? ~(uint64_t)0 : ((uint64_t)1 << words) - 1;
}

static void slab_close(struct lode_slab *s, struct record *record)
{
    lodei_list_remove(&record->link);
    lodei_sub(s->classes[record->cls].slabs, 1);
    record->next = s->spare;
    s->spare = record;
    lodei_add(s->spare_slabs, 1);
    if (s->spare_slabs > s->keep_slabs)
        (void)spare_give(s, s->keep_slabs / 2);
}

/* The empty slab that stayed with its size: the only one open then. NULL: there is none. */
static struct record *empty_of(const struct size_class *cls)
{
    if (lodei_list_empty(&cls->open))
        return NULL;
    struct record *record = lode_container_of(cls->open.next, struct record, link);
    return record->live == 0 ? record : NULL;
}

static struct record *empty_any(const struct lode_slab *s)
{
    struct record *record = NULL;
    for (uint32_t c = 0; c < s->class_count && record == NULL; c++)
        record = empty_of(&s->classes[c]);
    return record;
}

/* A slab for a size that has none with room; NULL: none to be had. */
static struct record *slab_open(struct lode_slab *s, uint32_t cls)
{
    struct record *record = s->spare != NULL ? s->spare : empty_any(s);
    if (record != NULL) {
        if (s->spare == NULL)
            slab_close(s, record);
        s->spare = record->next;
        lodei_sub(s->spare_slabs, 1);
    } else {
        lodei_add(s->misses, 1);
        record = slab_take(s);
        if (record == NULL)
            return NULL;
    }
    slab_format(s, record, cls);
    lodei_list_init(&record->link);
    lodei_list_push_front(&s->classes[cls].open, &record->link);
    lodei_add(s->classes[cls].slabs, 1);
    return record;
}

/* ---- blocks ---- */

/* NO_CLASS: there is none. */
static uint32_t class_for(const struct lode_slab *s, size_t bytes, size_t align)
{
    align = lodei_align_take(align);
    if (align == 0 || align > slab_bytes(s) || bytes > s->class_max)
        return NO_CLASS;
    uint32_t cls = s->class_of[(lodei_max(bytes, 1) - 1) / STEP];
    if (align > STEP)
        while (cls < s->class_count && (s->classes[cls].block_bytes & (align - 1)) != 0)
            cls++;
    return cls < s->class_count ? cls : NO_CLASS;
}

static void account(struct lode_slab *s, struct size_class *cls, int sign)
{
    lodei_put(cls->live, cls->live + (size_t)sign);
    lodei_put(s->live, s->live + (size_t)sign);
    lodei_put(s->used_bytes, s->used_bytes + (size_t)sign * cls->block_bytes);
    if (s->used_bytes > s->peak_bytes)
        lodei_put(s->peak_bytes, s->used_bytes);
}

void *lode_slab_alloc(struct lode_slab *s, size_t bytes, size_t align)
{
    uint32_t number = class_for(s, bytes, align);
    struct record *record = NULL;
    if (lode_likely(number != NO_CLASS)) {
        struct lodei_list *open = &s->classes[number].open;
        record = lode_likely(!lodei_list_empty(open))
                     ? lode_container_of(open->next, struct record, link)
                     : slab_open(s, number);
    }
    if (lode_unlikely(record == NULL)) {
        lodei_add(s->failures, 1);
        return NULL;
    }
    struct size_class *cls = &s->classes[number];
    unsigned word = (unsigned)__builtin_ctzll(record->some);
    uint64_t bits = record->words[word];
    unsigned index = word * 64 + (unsigned)__builtin_ctzll(bits);
    bits &= bits - 1;
    record->words[word] = bits;
    if (bits == 0)
        record->some &= record->some - 1;
    if (++record->live == cls->capacity)
        lodei_list_remove(&record->link);
    account(s, cls, 1);
    lodei_add(s->allocs, 1);
    void *block = record->memory + (size_t)index * cls->block_bytes;
    lodei_given(block, lodei_max(bytes, 1));
    return block;
}

/* The record and the index of a live block; NULL: it is none. */
static struct record *live_find(const struct lode_slab *s, const void *block, uint32_t *ret_index)
{
    struct record *record = s->last;
    if (record == NULL || number_of(s, record->memory) != number_of(s, block))
        record = lodei_addrtable_find(&s->table, number_of(s, block));
    if (lode_unlikely(record == NULL || record->live == 0))
        return NULL;
    const struct size_class *cls = &s->classes[record->cls];
    size_t offset = (uintptr_t)block & (slab_bytes(s) - 1), units = offset / STEP;
    uint32_t index = (uint32_t)(units * cls->reciprocal >> RECIPROCAL_LOG2);
    if (lode_unlikely(index >= cls->capacity || (size_t)index * cls->block_bytes != offset ||
                      (record->words[index / 64] >> (index % 64) & 1) != 0))
        return NULL;
    *ret_index = index;
    return record;
}

int lode_slab_free(struct lode_slab *s, void *block)
{
    uint32_t index;
    if (lode_unlikely(block == NULL))
        return 0;
    struct record *record = live_find(s, block, &index);
    if (lode_unlikely(record == NULL))
        return -EINVAL;
    struct size_class *cls = &s->classes[record->cls];
    s->last = record;
    lodei_taken(block, cls->block_bytes);
    record->words[index / 64] |= (uint64_t)1 << (index % 64);
    record->some |= (uint64_t)1 << (index / 64);
    if (record->live-- == cls->capacity) {
        struct record *empty = empty_of(cls);
        if (lode_unlikely(empty != NULL))
            slab_close(s, empty);
        lodei_list_push_front(&cls->open, &record->link);
    }
    account(s, cls, -1);
    if (lode_unlikely(record->live == 0) &&
        (cls->open.next != &record->link || cls->open.prev != &record->link))
        slab_close(s, record);
    return 0;
}

size_t lode_slab_block_bytes(const struct lode_slab *s, const void *block)
{
    uint32_t index;
    const struct record *record = live_find(s, block, &index);
    return record != NULL ? s->classes[record->cls].block_bytes : 0;
}

/* ---- all of them ---- */

size_t lode_slab_trim(struct lode_slab *s)
{
    size_t before = s->slabs;
    struct record *record;
    while ((record = empty_any(s)) != NULL)
        slab_close(s, record);
    (void)spare_give(s, 0);
    return (before - s->slabs) << s->slab_log2;
}

void lode_slab_reset(struct lode_slab *s)
{
    struct record *emptied = NULL;
    /* Closing a slab may change the table. */
    for (size_t i = 0; i < s->table.capacity; i++) {
        struct record *record = s->table.slots[i].value;
        if (record != NULL && record->live != 0) {
            record->next = emptied;
            emptied = record;
        }
    }
    while (emptied != NULL) {
        struct record *record = emptied;
        struct size_class *cls = &s->classes[record->cls];
        emptied = record->next;
        lodei_sub(cls->live, record->live);
        lodei_sub(s->live, record->live);
        lodei_sub(s->used_bytes, (size_t)record->live * cls->block_bytes);
        lodei_taken(record->memory, slab_bytes(s));
        record->live = 0;
        slab_close(s, record);
    }
}

int lode_slab_owns(const struct lode_slab *s, const void *block)
{
    return lodei_addrtable_find(&s->table, number_of(s, block)) != NULL;
}

/* ---- figures ---- */

int lode_slab_class(const struct lode_slab *s, uint32_t index, struct lode_slab_class *ret_class)
{
    if (index >= s->class_count)
        return -ERANGE;
    const struct size_class *cls = &s->classes[index];
    size_t slabs = lodei_get(cls->slabs);
    *ret_class = (struct lode_slab_class){.block_bytes = cls->block_bytes,
                                          .blocks = lodei_get(cls->live),
                                          .slabs = slabs,
                                          .capacity = slabs * cls->capacity};
    return 0;
}

/* Any thread may ask. */
static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    const struct lode_slab *s = object;
    size_t slabs = lodei_get(s->slabs), spare = lodei_get(s->spare_slabs);
    size_t own = sizeof(*s) + s->class_max / STEP +
                 lodei_get(s->table.capacity) * sizeof(struct lodei_addrslot) +
                 slabs * s->record_bytes;
    size_t free = spare << s->slab_log2, largest = spare != 0 ? s->class_max : 0;
    for (uint32_t c = 0; c < s->class_count; c++) {
        struct lode_slab_class cls;
        if (lode_slab_class(s, c, &cls) == 0 && cls.capacity > cls.blocks) {
            free += (cls.capacity - cls.blocks) * cls.block_bytes;
            largest = lodei_max(largest, cls.block_bytes);
        }
    }
    size_t live = lodei_get(s->live);
    uint64_t allocs = lodei_max(lodei_get(s->allocs), live);
    *ret_stats = (struct lode_allocator_stats){
        .used_bytes = lodei_get(s->used_bytes),
        .requested_bytes = lodei_get(s->used_bytes),
        .peak_used_bytes = lodei_get(s->peak_bytes),
        .free_bytes = free,
        .mapped_bytes = (slabs << s->slab_log2) + own,
        .metadata_bytes = own,
        .largest_free_bytes = largest,
        .blocks = live,
        .allocs = allocs,
        .frees = allocs - live,
        .misses = lodei_get(s->misses),
        .failures = lodei_get(s->failures),
    };
}

void lode_slab_stats(const struct lode_slab *slab, struct lode_allocator_stats *ret_stats)
{
    describe((void *)(uintptr_t)slab, ret_stats);
}

/* ---- as an allocator ---- */

static const struct lode_allocator_ops slab_ops;

static void *op_alloc(void *ctx, size_t bytes, size_t align)
{
    return lode_slab_alloc(ctx, bytes, align);
}

static void *op_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    struct lode_slab *s = ctx;
    uint32_t index, cls = class_for(s, bytes, align);
    if (block == NULL)
        return op_alloc(ctx, bytes, align);
    const struct record *record = live_find(s, block, &index);
    if (record == NULL || cls == NO_CLASS)
        return NULL;
    if (record->cls != cls)
        return lodei_resize_by_moving(&slab_ops, ctx, block, old_bytes, bytes, align);
    old_bytes = lodei_max(old_bytes, 1);
    bytes = lodei_max(bytes, 1);
    if (bytes > old_bytes)
        lodei_given((char *)block + old_bytes, bytes - old_bytes);
    else
        lodei_taken((char *)block + bytes, old_bytes - bytes);
    return block;
}

static int op_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)bytes;
    (void)align;
    return lode_slab_free(ctx, block);
}

static size_t op_max_bytes(void *ctx)
{
    const struct lode_slab *s = ctx;
    return s->class_max;
}

static int op_can_allocate(void *ctx, size_t bytes, size_t align)
{
    const struct lode_slab *s = ctx;
    uint32_t cls = class_for(s, bytes, align);
    return cls != NO_CLASS && (!lodei_list_empty(&s->classes[cls].open) || s->spare != NULL ||
                               s->slabs < s->max_slabs || empty_any(s) != NULL);
}

static int op_owns(void *ctx, const void *block)
{
    return lode_slab_owns(ctx, block);
}

static const struct lode_allocator_ops slab_ops = {
    .alloc = op_alloc,
    .resize = op_resize,
    .free = op_free,
    .max_bytes = op_max_bytes,
    .can_allocate = op_can_allocate,
    .owns = op_owns,
    .stats = describe,
};

void lode_slab_allocator(struct lode_slab *slab, struct lode_allocator *ret_allocator)
{
    *ret_allocator = (struct lode_allocator){.ops = &slab_ops,
                                             .ctx = slab,
                                             .traits = LODE_TRAIT_FREES | LODE_TRAIT_CHECKED |
                                                       LODE_TRAIT_RESIZES | LODE_TRAIT_DESTROYS};
}

/* ---- life ---- */

/* 16 to 128 in steps of 16, then four a doubling. */
static uint32_t default_sizes(size_t sizes[LODE_SLAB_CLASSES_MAX], size_t limit)
{
    uint32_t count = 0;
    limit = lodei_min(limit, CLASS_DEFAULT);
    for (size_t bytes = STEP; bytes <= limit && count < LODE_SLAB_CLASSES_MAX;) {
        sizes[count++] = bytes;
        bytes += bytes < 128 ? STEP : ((size_t)1 << lodei_log2(bytes)) / 4;
    }
    return count;
}

static int opts_check(struct lode_slab_opts *o, size_t sizes[LODE_SLAB_CLASSES_MAX])
{
    if (o->slab_bytes == 0)
        o->slab_bytes = SLAB_DEFAULT;
    if (o->keep_slabs == 0)
        o->keep_slabs = KEEP_DEFAULT;
    if (!lodei_is_power_of_two(o->slab_bytes) || o->slab_bytes < SLAB_LEAST ||
        o->slab_bytes > SLAB_MOST || o->flags != 0)
        return -EINVAL;
    if ((o->class_count == 0) != (o->class_bytes == NULL) || o->class_count > LODE_SLAB_CLASSES_MAX)
        return -EINVAL;
    if (o->class_count == 0)
        o->class_count = default_sizes(sizes, o->slab_bytes / 4);
    else
        memcpy(sizes, o->class_bytes, o->class_count * sizeof(*sizes));
    for (uint32_t c = 0; c < o->class_count; c++)
        if (sizes[c] == 0 || sizes[c] % STEP != 0 || sizes[c] > o->slab_bytes / 4 ||
            (c > 0 && sizes[c] <= sizes[c - 1]))
            return -EINVAL;
    return o->slab_bytes / sizes[0] > BLOCKS_MAX ? -EINVAL : 0;
}

static void classes_init(struct lode_slab *s, const size_t *sizes)
{
    uint32_t cls = 0;
    for (uint32_t c = 0; c < s->class_count; c++) {
        s->classes[c].block_bytes = (uint32_t)sizes[c];
        s->classes[c].capacity = (uint32_t)(slab_bytes(s) / sizes[c]);
        s->classes[c].reciprocal = ((uint64_t)1 << RECIPROCAL_LOG2) / (sizes[c] / STEP) + 1;
        lodei_list_init(&s->classes[c].open);
    }
    for (size_t step = 0; step < s->class_max / STEP; step++) {
        cls += (step + 1) * STEP > sizes[cls];
        s->class_of[step] = (uint8_t)cls;
    }
}

int lode_slab_create(const struct lode_slab_opts *opts, struct lode_slab **ret_slab)
{
    struct lode_slab_opts o;
    struct lodei_source source;
    size_t sizes[LODE_SLAB_CLASSES_MAX];
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error == 0)
        error = opts_check(&o, sizes);
    if (error == 0)
        error = lodei_source_open(&source, o.heap, o.tag, o.name != NULL ? o.name : "slab");
    if (error != 0)
        return error;
    struct lode_slab *s = lodei_source_calloc(&source, sizeof(*s));
    if (s == NULL)
        goto fail;
    s->source = source;
    s->slab_log2 = lodei_log2(o.slab_bytes);
    s->keep_slabs = o.keep_slabs;
    s->max_slabs = o.max_bytes != 0 ? o.max_bytes >> s->slab_log2 : SIZE_MAX;
    s->class_count = o.class_count;
    s->class_max = sizes[o.class_count - 1];
    s->record_bytes = sizeof(struct record) + (o.slab_bytes / sizes[0] + 63) / 64 * 8;
    s->class_of = lodei_source_alloc(&source, s->class_max / STEP, 16);
    if (s->class_of == NULL || lodei_addrtable_grow(&s->table, &s->source) != 0)
        goto fail_object;
    classes_init(s, sizes);
    lodei_registry_add(&s->registered, "slab", o.name, s, describe);
    *ret_slab = s;
    return 0;

fail_object:
    lodei_addrtable_finish(&s->table);
    lodei_source_free(s->class_of, s->class_max / STEP);
    lodei_source_free(s, sizeof(*s));
fail:
    lodei_source_close(&source);
    return -ENOMEM;
}

void lode_slab_destroy(struct lode_slab *s)
{
    if (s == NULL)
        return;
    struct lodei_source source = s->source;
    lodei_registry_remove(&s->registered);
    for (size_t i = 0; i < s->table.capacity; i++) {
        struct record *record = s->table.slots[i].value;
        if (record != NULL)
            lodei_source_free(record->memory, slab_bytes(s));
        lodei_source_free(record, s->record_bytes);
    }
    lodei_addrtable_finish(&s->table);
    lodei_source_free(s->class_of, s->class_max / STEP);
    lodei_source_free(s, sizeof(*s));
    lodei_source_close(&source);
}
