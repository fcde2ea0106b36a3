/* SPDX-License-Identifier: MIT */
/* What a bad pointer gets: classification off the fast path, one line, abort or count. */
#ifndef LODEI_MISUSE_H
#define LODEI_MISUSE_H

#include "heap/types.h"

enum lodei_verb { LODEI_VERB_FREE, LODEI_VERB_REALLOC, LODEI_VERB_USABLE };

/* What stands behind a pointer that was handed to us. */
enum lodei_finding {
    LODEI_FOUND_BLOCK,      /* a block that may be live */
    LODEI_FOUND_LARGE,      /* a large block, likewise */
    LODEI_FOUND_FOREIGN,    /* never ours */
    LODEI_FOUND_FREE,       /* ours, and free already */
    LODEI_FOUND_INTERIOR,   /* inside a block */
    LODEI_FOUND_MISALIGNED, /* inside a block, where no block of any class could start */
};

/* Sort `p` out; *ret_span is set for BLOCK and LARGE. Takes no lock except for foreign pointers. */
enum lodei_finding lodei_classify(const void *p, struct lodei_span **ret_span);

/* Report the fault and abort, or count it (option misuse). */
LODE_COLD void lodei_misuse(enum lodei_verb verb, enum lodei_finding finding, const void *p);

/* A free block's words were overwritten: always fatal, the list cannot be trusted any more. */
LODE_COLD __attribute__((noreturn)) void lodei_corrupted(const void *block);

/* Give a block the words of a free one. */
LODE_BLOCK_INLINE void lodei_block_link(struct lodei_block *block, struct lodei_block *next)
{
    block->next = next;
    block->check = lodei_block_check(block, next, lodei_state.key);
}

LODE_BLOCK_INLINE void lodei_block_verify(const struct lodei_block *block)
{
    if (lode_unlikely(lodei_block_check(block, block->next, lodei_state.key) != block->check))
        lodei_corrupted(block);
}

/* Whether the words of a block are those of a free one. */
LODE_BLOCK_INLINE int lodei_block_is_free(const struct lodei_block *block)
{
    return lodei_block_check(block, block->next, lodei_state.key) == block->check;
}

#endif
