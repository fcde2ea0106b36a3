/* SPDX-License-Identifier: MIT */
/*
 * lode/ds_interner.h: texts packed into blocks, and a hash set over them.
 *
 *     block: [ next, bytes | text 0 text 0 .. | left ]     `left` of the newest block only
 *
 * A new text is written behind the last one before the set is asked to take it; only when it did
 * are its bytes counted as used, so that a failure leaves nothing behind but perhaps an empty
 * block.
 *
 * Owns nothing but what a caller's interner points to. No locks.
 */
#include "lode/ds_interner.h"

#include "base/bits.h"

#define BLOCK_FIRST ((size_t)4 << 10)
#define BLOCK_MOST  ((size_t)64 << 10)

struct lodei_text_block {
    struct lodei_text_block *next; /* the one before */
    size_t bytes;                  /* of the whole block */
    char text[];
};

static const struct lode_allocator *allocator_of(const struct lode_interner *interner)
{
    return interner->strings.table.allocator;
}

void lode_interner_init(struct lode_interner *interner, size_t max_items, uint64_t max_bytes,
                        const struct lode_allocator *allocator)
{
    *interner = (struct lode_interner){.max_bytes = max_bytes};
    lodei_string_set_init(&interner->strings, max_items, allocator);
}

/* Free all blocks but `keep`. */
static void free_blocks(struct lode_interner *interner, struct lodei_text_block *keep)
{
    struct lodei_text_block *next;
    for (struct lodei_text_block *block = interner->blocks; block != NULL; block = next) {
        next = block->next;
        if (block == keep)
            continue;
        interner->block_bytes -= block->bytes;
        lodei_ds_free(allocator_of(interner), block, block->bytes,
                      _Alignof(struct lodei_text_block));
    }
    interner->blocks = keep;
    if (keep != NULL)
        keep->next = NULL;
}

void lode_interner_finish(struct lode_interner *interner)
{
    free_blocks(interner, NULL);
    lodei_string_set_finish(&interner->strings);
    interner->text_bytes = 0;
    interner->left = 0;
}

void lode_interner_clear(struct lode_interner *interner)
{
    struct lodei_text_block *keep = interner->blocks;
    free_blocks(interner, keep);
    lodei_string_set_clear(&interner->strings);
    interner->text_bytes = 0;
    interner->left = keep != NULL ? keep->bytes - sizeof(struct lodei_text_block) : 0;
}

static struct lodei_text_block *new_block(struct lode_interner *interner, size_t text_bytes)
{
    size_t bytes = sizeof(struct lodei_text_block) + text_bytes;
    struct lodei_text_block *block =
        lodei_ds_alloc(allocator_of(interner), bytes, _Alignof(struct lodei_text_block));
    if (block == NULL)
        return NULL;
    block->bytes = bytes;
    interner->block_bytes += bytes;
    return block;
}

/* A newest block with `text_bytes` left; the bytes left of the one before are given up. */
static int start_block(struct lode_interner *interner, size_t text_bytes)
{
    size_t bytes = BLOCK_FIRST;
    while (interner->blocks != NULL && bytes <= interner->blocks->bytes && bytes < BLOCK_MOST)
        bytes *= 2;
    bytes -= sizeof(struct lodei_text_block);
    struct lodei_text_block *block = new_block(interner, bytes);
    if (block == NULL) {
        bytes = text_bytes;
        block = new_block(interner, bytes);
    }
    if (block == NULL)
        return -ENOMEM;
    block->next = interner->blocks;
    interner->blocks = block;
    interner->left = bytes;
    return 0;
}

/* Write `string` to `place` and enter it into the set. */
static int enter(struct lode_interner *interner, struct lodei_string string, char *place)
{
    memcpy(place, string.text, string.bytes);
    place[string.bytes] = '\0';
    string.text = place;
    int status = lodei_string_set_insert(&interner->strings, string);
    if (status == 0)
        interner->text_bytes += (uint64_t)string.bytes + 1;
    return status;
}

/* A long text gets a block of its own, behind the newest, which goes on being filled. */
static int enter_long(struct lode_interner *interner, struct lodei_string string)
{
    struct lodei_text_block *block = new_block(interner, (size_t)string.bytes + 1);
    if (block == NULL)
        return -ENOMEM;
    int status = enter(interner, string, block->text);
    if (status != 0) {
        interner->block_bytes -= block->bytes;
        lodei_ds_free(allocator_of(interner), block, block->bytes,
                      _Alignof(struct lodei_text_block));
        return status;
    }
    struct lodei_text_block **place =
        interner->blocks != NULL ? &interner->blocks->next : &interner->blocks;
    block->next = *place;
    *place = block;
    return 0;
}

static int enter_short(struct lode_interner *interner, struct lodei_string string)
{
    size_t bytes = (size_t)string.bytes + 1;
    if (interner->left < bytes) {
        int status = start_block(interner, bytes);
        if (status != 0)
            return status;
    }
    char *end = (char *)interner->blocks + interner->blocks->bytes;
    int status = enter(interner, string, end - interner->left);
    if (status == 0)
        interner->left -= bytes;
    return status;
}

static struct lodei_string string_of(const char *text, size_t bytes)
{
    if (bytes == 0)
        text = ""; /* memcmp() and memcpy() take no NULL */
    return (struct lodei_string){text, (uint32_t)bytes, (uint32_t)lode_hash_bytes(text, bytes, 0)};
}

uint32_t lode_interner_find(const struct lode_interner *interner, const char *text, size_t bytes)
{
    if (bytes >= UINT32_MAX)
        return 0;
    struct lodei_string *found = lodei_string_set_find(&interner->strings, string_of(text, bytes));
    return found != NULL ? (uint32_t)(found - interner->strings.items) + 1 : 0;
}

int lode_intern(struct lode_interner *interner, const char *text, size_t bytes, uint32_t *ret_id)
{
    if (bytes >= UINT32_MAX)
        return -E2BIG;
    struct lodei_string string = string_of(text, bytes);
    struct lodei_string_set *set = &interner->strings;
    struct lodei_string *found = lodei_string_set_find(set, string);
    if (found != NULL) {
        *ret_id = (uint32_t)(found - set->items) + 1;
        return 0;
    }
    if (interner->max_bytes != 0 && (interner->text_bytes >= interner->max_bytes ||
                                     bytes + 1 > interner->max_bytes - interner->text_bytes))
        return -ENOSPC;
    if (set->table.max_items != 0 && set->table.count >= set->table.max_items)
        return -ENOSPC;
    int status =
        bytes >= BLOCK_MOST / 4 ? enter_long(interner, string) : enter_short(interner, string);
    if (status == 0)
        *ret_id = set->table.count;
    return status;
}

void lode_interner_stats_get(const struct lode_interner *interner,
                             struct lode_interner_stats *ret_stats)
{
    const struct lodei_table *t = &interner->strings.table;
    *ret_stats = (struct lode_interner_stats){.strings = t->count,
                                              .text_bytes = interner->text_bytes,
                                              .memory_bytes = interner->block_bytes};
    if (t->buckets != NULL)
        ret_stats->memory_bytes +=
            t->room * sizeof(struct lodei_string) + ((uint64_t)t->mask + 1) * sizeof(uint64_t);
}
