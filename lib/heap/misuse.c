/* SPDX-License-Identifier: MIT */
#include "heap/misuse.h"

#include "base/conf.h"
#include "base/print.h"
#include "heap/slices.h"
#include "heap/span.h"

/* A slice in no span: was it ever handed out, then a block in it has been freed. */
static enum lodei_finding classify_free_slice(size_t slice)
{
    return lodei_slices_state(slice) == 2 ? LODEI_FOUND_FREE : LODEI_FOUND_FOREIGN;
}

enum lodei_finding lodei_classify(const void *p, struct lodei_span **ret_span)
{
    size_t slice = lodei_slice_of(p);
    if (slice >= lodei_state.slice_count)
        return LODEI_FOUND_FOREIGN;
    struct lodei_span *span = lodei_span_of(slice);
    if (span == NULL)
        return classify_free_slice(slice);
    *ret_span = span;
    size_t offset = (size_t)((const char *)p - lodei_span_start(span));
    if ((uintptr_t)p % 16 != 0)
        return LODEI_FOUND_MISALIGNED;
    if (atomic_load_explicit(&span->state, memory_order_relaxed) == LODEI_SPAN_LARGE)
        return offset == 0 ? LODEI_FOUND_LARGE : LODEI_FOUND_INTERIOR;
    size_t index = offset / span->block_bytes;
    /* `carved` only grows while the span lives, and a live block is below it. */
    if (index >= __atomic_load_n(&span->carved, __ATOMIC_RELAXED))
        return LODEI_FOUND_FOREIGN;
    if (index * span->block_bytes != offset)
        return LODEI_FOUND_INTERIOR;
    if (lodei_block_is_free(p))
        return LODEI_FOUND_FREE;
    if (lode_unlikely(__atomic_load_n(&span->dormant, __ATOMIC_RELAXED) > 0) &&
        lodei_span_is_dormant(span, (uint32_t)index))
        return LODEI_FOUND_FREE;
    return LODEI_FOUND_BLOCK;
}

void lodei_misuse(enum lodei_verb verb, enum lodei_finding finding, const void *p)
{
    static const char *const lines[][3] = {
        [LODEI_FOUND_FOREIGN] = {"foreign free of", "foreign realloc of",
                                 "foreign malloc_usable_size of"},
        [LODEI_FOUND_FREE] = {"double free of", "stale realloc of", "stale malloc_usable_size of"},
        [LODEI_FOUND_INTERIOR] = {"interior free of", "interior realloc of",
                                  "interior malloc_usable_size of"},
        [LODEI_FOUND_MISALIGNED] = {"misaligned free of", "misaligned realloc of",
                                    "misaligned malloc_usable_size of"},
    };
    atomic_fetch_add_explicit(&lodei_state.misuse_count, 1, memory_order_relaxed);
    if (lodei_conf.misuse != LODEI_MISUSE_IGNORE)
        lodei_fatal(lines[finding][verb], p);
}

void lodei_corrupted(const void *block)
{
    lodei_fatal("corrupted free block", block);
}
