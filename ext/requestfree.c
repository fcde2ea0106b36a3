/* SPDX-License-Identifier: MIT */
/*
 * Freeing what requests got, and their figures. A record is closed first, by one compare-and-swap,
 * so of several frees of one allocation one goes on and the others are told; a lent allocator that
 * refuses has it opened again.
 */
#include "ext/requestcore.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "ext/reserve.h"

static void drop(struct lodei_record *record)
{
    struct lodei_request_counts *c = &lodei_request_counts[record->type];
    unsigned type = record->type;
    size_t bytes = record->bytes;
    int charged = record->strategy != LODE_STRATEGY_RESERVE;
    atomic_fetch_add_explicit(&c->freed, 1, memory_order_relaxed); /* a figure */
    if (record->flags & LODE_ALLOCATION_MOVABLE)
        lodei_movable_end(record);
    else
        lodei_record_put(record);
    if (charged)
        lodei_limit_return(type, bytes);
}

void lodei_record_drop(struct lodei_record *record)
{
    uint32_t generation = atomic_load_explicit(&record->generation, memory_order_relaxed);
    if (lodei_record_close(record, (uint64_t)generation << 32) == 0)
        drop(record);
}

/* Give the memory back. 0, or what a lent allocator says. */
static int give_back(struct lodei_record *record)
{
    void *ptr = record->ptr;
    if (record->flags & LODE_ALLOCATION_LOCKED)
        (void)munlock(ptr, record->bytes);
    switch (record->strategy) {
    case LODE_STRATEGY_HEAP:
        if (!(record->flags & LODE_ALLOCATION_MOVABLE)) /* else drop() does it */
            lode_free(ptr);
        return 0;
    case LODE_STRATEGY_POOL:
        return lode_cpool_release(record->from.pool, ptr);
    case LODE_STRATEGY_RESERVE:
        lodei_reserve_free(ptr, record->bytes);
        return 0;
    case LODE_STRATEGY_NEAR: {
        struct lodei_near *offer = lodei_near_again(record->from.near);
        int error = 0; /* where the pool has gone, the block went with it */
        if (offer != NULL) {
            error = offer->free(offer->ctx, ptr);
            lodei_near_drop(offer);
        }
        return error;
    }
    default: {
        int error = lode_allocator_free(&record->from.lent, ptr, record->bytes, record->align);
        if (error == 0)
            lodei_lent_drop(record->strategy);
        return error;
    }
    }
}

/* Is it one of this thread's that lie below the newest? */
static int is_below(const struct lodei_request_stack *stack, const struct lodei_record *record)
{
    for (uint32_t at = stack->newest; at != 0; at = lodei_record_find(at - 1)->below)
        if (at == record->index + 1)
            return 1;
    return 0;
}

static int free_stacked(struct lodei_record *record, uint64_t id)
{
    struct lodei_request_stack *stack = lodei_request_stack_peek();
    if (!lodei_record_is(record, id))
        return -EINVAL;
    if (stack == NULL || stack->newest != record->index + 1)
        return stack != NULL && is_below(stack, record) ? -EBUSY : -EPERM;
    int error = lode_stack_free(stack->stack, record->ptr);
    if (error != 0)
        return error;
    stack->newest = record->below;
    lodei_record_drop(record);
    return 0;
}

int lode_alloc_free(const struct lode_allocation *allocation)
{
    uint64_t id = allocation->id;
    if (allocation->ptr == NULL)
        return 0;
    struct lodei_record *record = lodei_record_find(id);
    if (record == NULL)
        return -EINVAL;
    int saved = errno, error;
    if ((uint32_t)id & LODEI_ID_STACK)
        error = free_stacked(record, id);
    else {
        error = lodei_record_close(record, id);
        if (error == 0) {
            error = give_back(record);
            if (error == 0)
                drop(record);
            else
                lodei_record_reopen(record, id);
        }
    }
    errno = saved;
    return error;
}

int lode_alloc_free_many(const struct lode_allocation *allocations, size_t count)
{
    int first = 0;
    while (count-- > 0) {
        int error = lode_alloc_free(&allocations[count]);
        if (first == 0)
            first = error;
    }
    return first;
}

/* ---- sizes, limits, figures ---- */

/* Beyond this, blocks have slices of their own and sizes of whole OS pages. */
#define CLASS_BYTES_MAX ((size_t)64 << 10)

size_t lode_quantize(size_t bytes, size_t align)
{
    if (align == 0)
        align = 16;
    if (!lodei_is_power_of_two(align) || bytes > PTRDIFF_MAX - CLASS_BYTES_MAX)
        return 0;
    if (align > CLASS_BYTES_MAX)
        return align > PTRDIFF_MAX ? 0 : lodei_round_up(lodei_max(bytes, 1), lodei_page());
    /* The heaps' rule: the least class that is a multiple of the alignment. */
    size_t good = lode_good_size(align <= 16 ? bytes : lodei_max(bytes, align));
    while (good % align != 0 && good < CLASS_BYTES_MAX)
        good = lode_good_size(good + 1);
    return good;
}

int lode_request_limit_set(enum lode_memory_type type, size_t bytes)
{
    if ((unsigned)type >= LODE_MEMORY_TYPES)
        return -EINVAL;
    lodei_limit_set(type, bytes);
    return 0;
}

int lode_request_reserve_set(size_t bytes)
{
    return lodei_reserve_set(bytes);
}

static uint64_t read_count(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

int lode_request_stats_get(enum lode_memory_type type, struct lode_request_stats *stats)
{
    if ((unsigned)type >= LODE_MEMORY_TYPES ||
        stats->size < offsetof(struct lode_request_stats, live))
        return -EINVAL;
    const struct lodei_request_counts *c = &lodei_request_counts[type];
    size_t reserve, reserve_used;
    lodei_reserve_figures(&reserve, &reserve_used);
    struct lode_request_stats s = {
        .size = stats->size,
        .frees = read_count(&c->freed), /* first: live is then never below 0 */
        .failures = read_count(&c->failures),
        .waits = read_count(&c->waits),
        .timeouts = read_count(&c->timeouts),
        .fallbacks = read_count(&c->fallbacks),
        .from_reserve = read_count(&c->from_reserve),
        .used_bytes = atomic_load_explicit(&c->used, memory_order_relaxed),
        .peak_bytes = atomic_load_explicit(&c->peak, memory_order_relaxed),
        .limit_bytes = atomic_load_explicit(&c->limit, memory_order_relaxed),
        .reserve_bytes = reserve,
        .reserve_used_bytes = reserve_used,
    };
    s.served = read_count(&c->served);
    s.live = s.served > s.frees ? s.served - s.frees : 0;
    memcpy(stats, &s, lodei_min(stats->size, sizeof(s)));
    return 0;
}
