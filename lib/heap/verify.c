/* SPDX-License-Identifier: MIT */
/* checks=full: the invariants of types.h, verified on every slow path. Compiled empty otherwise. */
#include "heap/misuse.h"
#include "heap/sizeclass.h"
#include "heap/span.h"

#if LODE_CHECKS >= 2

static LODE_NO_ASAN void verify_span(struct lodei_theap *th, struct lodei_span *span)
{
    uint32_t n = 0;
    lode_assert(span->theap == th && span->heap == th->heap);
    lode_assert(atomic_load(&span->state) == LODEI_SPAN_BLOCKS);
    lode_assert(span->capacity == lodei_classes[span->class].blocks);
    lode_assert(span->carved <= span->capacity);
    lode_assert(span->used + span->free_count + span->dormant == span->carved);
    for (struct lodei_block *b = span->free; b != lodei_state.nil; b = b->next, n++) {
        lodei_block_verify(b);
        size_t offset = (size_t)((char *)b - lodei_span_start(span));
        lode_assert(offset % span->block_bytes == 0);
        lode_assert(offset / span->block_bytes < span->carved);
        lode_assert(!lodei_span_is_dormant(span, (uint32_t)(offset / span->block_bytes)));
    }
    lode_assert(n == span->free_count);
    n = 0;
    for (uint32_t i = 0; span->dormant > 0 && i < span->carved; i++)
        n += (uint32_t)lodei_span_is_dormant(span, i);
    lode_assert(n == span->dormant);
}

static LODE_NO_ASAN void verify_inbox(const struct lodei_shelf *shelf)
{
    uint32_t n = 0;
    for (struct lodei_block *b = shelf->inbox; b != NULL && b != lodei_state.nil; b = b->next, n++)
        lodei_block_verify(b);
    lode_assert(n == shelf->inbox_count);
}

void lodei_theap_verify(struct lodei_theap *th)
{
    static _Atomic unsigned turn;
    unsigned class = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed) % LODEI_CLASS_COUNT;
    struct lodei_shelf *shelf = &th->shelves[class];
    struct lodei_list *at = shelf->partial.next;
    for (int n = 0; at != &shelf->partial && n < 16; at = at->next, n++) {
        struct lodei_span *span = lode_container_of(at, struct lodei_span, link);
        lode_assert(span->class == class && !span->purging);
        lode_assert(span->free_count + span->dormant > 0 || span->carved < span->capacity);
        verify_span(th, span);
    }
    verify_inbox(shelf);
}

#else

typedef int verify_is_compiled_with_checks_full;

#endif
