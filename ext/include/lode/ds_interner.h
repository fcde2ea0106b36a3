/* SPDX-License-Identifier: MIT */
/**
 * @file ds_interner.h
 * A string interner: equal strings get equal small numbers, and each text is stored once.
 *
 *     struct lode_interner names = {0};      // or lode_interner_init(&names, 1000, 65536, &a)
 *     uint32_t stone;
 *     if (lode_intern(&names, "default:stone", 13, &stone) != 0) ...
 *     puts(lode_interner_text(&names, stone));
 *     lode_interner_finish(&names);
 *
 *     ids (a hash set)    -> [ text, bytes, hash | .. ]           by id - 1
 *     blocks, newest first -> [ next, bytes | text\0text\0.. ]    4 KiB, then doubling to 64 KiB
 *
 * Ids count from 1 in order of arrival and 0 is no id; id and text hold until the interner is
 * cleared or finished: nothing can be removed from the middle, as from an arena. Text is any bytes,
 * zero bytes too; each is stored with a zero behind it. A text too long for what is left of a block
 * gets a new one, of its own if it is over a quarter of a block.
 *
 * Threads   One at a time; readers (find, text) may share it while nobody interns.
 * Source    Ours. GLib's interner is one for the whole process, never freed, and takes malloc's
 *           memory.
 */
#ifndef LODE_DS_INTERNER_H
#define LODE_DS_INTERNER_H

#include "lode/ds_map.h"

/* One string. */
struct lodei_string {
    const char *text;
    uint32_t bytes; /* the zero behind it not counted */
    uint32_t hash;
};

#define LODEI_STRING_HASH(s) ((s).hash)
#define LODEI_STRING_EQUAL(a, b) \
    ((a).hash == (b).hash && (a).bytes == (b).bytes && memcmp((a).text, (b).text, (a).bytes) == 0)
LODE_SET_DEFINE(lodei_string_set, struct lodei_string, LODEI_STRING_HASH, LODEI_STRING_EQUAL);

struct lodei_text_block;

/** All fields private; zero bytes: empty, no caps, malloc's heap. */
struct lode_interner {
    struct lodei_string_set strings;
    struct lodei_text_block *blocks; /* the newest first */
    uint64_t text_bytes;             /* of all strings, the zeros behind them counted */
    uint64_t max_bytes;              /* 0: no cap */
    uint64_t block_bytes;            /* of all blocks */
    uint64_t left;                   /* bytes of the newest block */
};

/** Figures of an interner. */
struct lode_interner_stats {
    uint64_t strings;
    uint64_t text_bytes;   /**< what max_bytes caps: each text and the zero behind it */
    uint64_t memory_bytes; /**< taken from the allocator */
};

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Make an interner of at most `max_items` strings and `max_bytes` bytes of text, a zero for each
 * counted (0: no cap), with memory of `allocator`, borrowed (NULL: of malloc's heap).
 */
LODE_API void lode_interner_init(struct lode_interner *interner, size_t max_items,
                                 uint64_t max_bytes, const struct lode_allocator *allocator);
/** Free all; the interner is as after init. */
LODE_API void lode_interner_finish(struct lode_interner *interner);
/** Forget every string; ids start anew. The table and one block are kept. */
LODE_API void lode_interner_clear(struct lode_interner *interner);

/**
 * The id of the `bytes` bytes at `text`; stored if they are new. O(bytes).
 *
 * @text    Borrowed for the call; may be a text of this interner. NULL is fine where bytes is 0.
 * @ret_id  Written only on success.
 * Returns  0; -ENOSPC new, and over max_items or max_bytes; -E2BIG 2^32-1 bytes or more; -ENOMEM.
 *          On error the interner is as it was.
 */
LODE_API LODE_NODISCARD int lode_intern(struct lode_interner *interner, const char *text,
                                        size_t bytes, uint32_t *ret_id);

/** The id of a text, without storing it; 0: it was never interned. */
LODE_API uint32_t lode_interner_find(const struct lode_interner *interner, const char *text,
                                     size_t bytes);

LODE_API void lode_interner_stats_get(const struct lode_interner *interner,
                                      struct lode_interner_stats *ret_stats);

#ifdef __cplusplus
}
#endif

/** How many strings there are: ids are 1 to this. */
LODEI_DS_FN uint32_t lode_interner_count(const struct lode_interner *interner)
{
    return interner->strings.table.count;
}

/** The text of an id, with a zero behind it; NULL: no such id. */
LODEI_DS_FN const char *lode_interner_text(const struct lode_interner *interner, uint32_t id)
{
    return id - 1 < interner->strings.table.count ? interner->strings.items[id - 1].text
                                                  : (const char *)NULL;
}

/** How long the text of an id is, the zero behind it not counted; 0: no such id. */
LODEI_DS_FN uint32_t lode_interner_bytes(const struct lode_interner *interner, uint32_t id)
{
    return id - 1 < interner->strings.table.count ? interner->strings.items[id - 1].bytes : 0;
}

#endif
