/* SPDX-License-Identifier: MIT */
/*
 * Requests: what one asks for, tried in the order that lode/request.h gives; freeing; figures. Owns
 * nothing itself: see requestcore.h for who does.
 *
 *     lode_alloc -> plan (rule of the type + what was asked) -> charge the type -> serve -> record
 *
 * A plan is tried whole or not at all: what was charged is returned and what was taken is freed
 * when a later step fails. Calls nothing of the user's but a lent allocator, under no lock.
 */
#include "ext/requestcore.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "ext/opts.h"
#include "ext/reserve.h"

#define FLAGS_ALL                                                                           \
    (LODE_REQUEST_ZERO | LODE_REQUEST_CRITICAL | LODE_REQUEST_MOVABLE | LODE_REQUEST_HUGE | \
     LODE_REQUEST_DMA | LODE_REQUEST_FALLBACK)
#define HUGE_BYTES ((size_t)2 << 20)
/* A slot's word has no lower bits of the address. */
#define MOVABLE_ALIGN ((size_t)64)
/* For a block beside another so many are looked at, where they are small. */
#define NEAR_TRIES     8
#define NEAR_BYTES_MAX ((size_t)16 << 10)

_Static_assert(sizeof(struct lode_request) == 48, "no hidden padding");
_Static_assert(sizeof(struct lode_allocation) == 48, "no hidden padding");
_Static_assert(sizeof(struct lode_placement) == 40, "no hidden padding");

/* How one way of serving a request would be. */
struct plan {
    const struct lode_request *request;
    unsigned type, strategy;
    size_t bytes; /* rounded up; charged */
    size_t align;
    int lock;             /* mlock() */
    uint64_t deadline_ns; /* 0: do not wait */
    uint32_t told;        /* enum lode_allocation_flag so far */
};

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); /* a figure */
}

/* ---- planning ---- */

static int request_bad(const struct lode_request *r)
{
    if (r->type >= LODE_MEMORY_TYPES || r->strategy > LODE_STRATEGY_OWN)
        return 1;
    if ((r->flags & ~(uint32_t)FLAGS_ALL) != 0)
        return 1;
    if (r->align != 0 && !lodei_is_power_of_two(r->align))
        return 1;
    if ((r->flags & LODE_REQUEST_MOVABLE) && (r->flags & LODE_REQUEST_DMA))
        return 1; /* locked pages stay where they are */
    return r->reserved1 != 0 || r->reserved2 != 0 || r->reserved3 != 0;
}

/* 0; -ENOTSUP: that way cannot serve such a block; -ENOMEM: nor any. */
static int plan_make(const struct lode_request *r, unsigned type, unsigned strategy, int lock,
                     struct plan *ret_plan)
{
    const struct lode_placement *rule = lodei_placement(type);
    size_t align = lodei_max(r->align, rule->align), granule = rule->granule_bytes;
    size_t bytes = lodei_max(r->bytes, 1);
    int movable = (r->flags & LODE_REQUEST_MOVABLE) != 0;
    if (strategy == LODE_STRATEGY_DEFAULT) {
        strategy = rule->strategy;
        if (strategy == LODE_STRATEGY_POOL &&
            (movable ||
             (type == LODE_MEMORY_NETWORK &&
              (bytes > rule->pool_max_bytes || lodei_pool_class_bytes(bytes, align) == 0))))
            strategy = LODE_STRATEGY_HEAP;
    }
    if (movable) {
        if (strategy != LODE_STRATEGY_HEAP)
            return -ENOTSUP;
        align = lodei_max(align, MOVABLE_ALIGN);
    }
    if (r->flags & LODE_REQUEST_DMA) {
        if (strategy != LODE_STRATEGY_HEAP && strategy != LODE_STRATEGY_RESERVE)
            return -ENOTSUP;
        align = lodei_max(align, lodei_page());
        granule = lodei_max(granule, lodei_page());
    }
    if ((r->flags & LODE_REQUEST_HUGE) && bytes >= HUGE_BYTES)
        align = lodei_max(align, HUGE_BYTES);
    if (bytes > PTRDIFF_MAX - granule || align > PTRDIFF_MAX)
        return -ENOMEM;
    bytes = (bytes + granule - 1) / granule * granule;
    if (strategy == LODE_STRATEGY_POOL) {
        bytes = lodei_pool_class_bytes(bytes, align);
        if (bytes == 0)
            return -ENOTSUP;
    } else if (strategy != LODE_STRATEGY_HEAP && strategy != LODE_STRATEGY_RESERVE &&
               (r->flags & LODE_REQUEST_HUGE)) {
        return -ENOTSUP; /* stacks and lent allocators have their memory already */
    }
    *ret_plan = (struct plan){.request = r,
                              .type = type,
                              .strategy = strategy,
                              .bytes = bytes,
                              .align = align,
                              .lock = lock};
    return 0;
}

/* ---- serving ---- */

static size_t distance(const void *a, const void *b)
{
    return (uintptr_t)a > (uintptr_t)b ? (uintptr_t)a - (uintptr_t)b : (uintptr_t)b - (uintptr_t)a;
}

static void *heap_block(struct lode_heap *heap, const struct plan *plan)
{
    if (plan->align > 16)
        return lode_heap_aligned_alloc(heap, plan->align, plan->bytes);
    if (plan->request->flags & LODE_REQUEST_ZERO)
        return lode_heap_calloc(heap, 1, plan->bytes);
    return lode_heap_alloc(heap, plan->bytes);
}

/* The nearest of several. */
static void *heap_block_near(struct lode_heap *heap, const struct plan *plan)
{
    const void *near = plan->request->near_ptr;
    void *tried[NEAR_TRIES], *best;
    int n = 0, tries = plan->bytes <= NEAR_BYTES_MAX ? NEAR_TRIES : 1, chosen = 0;
    while (n < tries && (tried[n] = heap_block(heap, plan)) != NULL) {
        if (distance(tried[n], near) < distance(tried[chosen], near))
            chosen = n;
        n++;
    }
    if (n == 0)
        return NULL;
    best = tried[chosen];
    tried[chosen] = tried[0];
    while (--n > 0)
        lode_free(tried[n]);
    return best;
}

static void touch(char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += lodei_page())
        *(volatile char *)(p + i) = 0;
    *(volatile char *)(p + bytes - 1) = 0; /* it may end on one page more */
}

/* Pages of `ptr` into memory for good; 0; -EPERM; -EAGAIN. */
static int lock_pages(void *ptr, size_t bytes)
{
    if (mlock(ptr, bytes) == 0)
        return 0;
    return errno == EPERM ? -EPERM : -EAGAIN;
}

static unsigned traits(const struct lode_request *r)
{
    return (r->flags & LODE_REQUEST_HUGE ? LODEI_PLACE_HUGE : 0) |
           (r->flags & LODE_REQUEST_MOVABLE ? LODEI_PLACE_MOVABLE : 0);
}

static int serve_heap(const struct plan *plan, struct lodei_record *record)
{
    const struct lode_request *r = plan->request;
    struct lodei_place *place;
    int error = lodei_place_get(plan->type, r->tag, traits(r), &place);
    if (error != 0)
        return error;
    char *ptr =
        r->near_ptr != NULL ? heap_block_near(place->heap, plan) : heap_block(place->heap, plan);
    if (ptr == NULL)
        return -ENOMEM;
    if (plan->lock) {
        error = lock_pages(ptr, plan->bytes);
        if (error != 0) {
            lode_free(ptr);
            return error;
        }
        record->flags |= LODE_ALLOCATION_LOCKED;
    }
    if ((r->flags & LODE_REQUEST_ZERO) && plan->align > 16)
        memset(ptr, 0, plan->bytes);
    else if (lodei_placement(plan->type)->touched && !(r->flags & LODE_REQUEST_ZERO))
        touch(ptr, plan->bytes);
    if (place->traits & LODEI_PLACE_HUGE)
        record->flags |= LODE_ALLOCATION_HUGE;
    record->ptr = ptr;
    if (r->flags & LODE_REQUEST_MOVABLE) {
        error = lodei_movable_name(record);
        if (error != 0)
            lode_free(ptr);
    }
    return error;
}

static int serve_pool(const struct plan *plan, struct lodei_record *record)
{
    const struct lode_request *r = plan->request;
    struct lodei_place *place;
    struct lode_cpool *pool;
    size_t bytes;
    int error = lodei_place_get(plan->type, r->tag, traits(r), &place);
    if (error == 0)
        error = lodei_place_pool(place, plan->bytes, plan->align, &pool, &bytes);
    if (error != 0)
        return error;
    void *ptr = lode_cpool_acquire(pool);
    if (ptr == NULL)
        return -ENOMEM;
    if (r->flags & LODE_REQUEST_ZERO)
        memset(ptr, 0, bytes);
    if (place->traits & LODEI_PLACE_HUGE)
        record->flags |= LODE_ALLOCATION_HUGE;
    record->from.pool = pool;
    record->ptr = ptr;
    return 0;
}

static int serve_stack(const struct plan *plan, struct lodei_record *record)
{
    struct lodei_request_stack *stack = lodei_request_stack_get();
    if (stack == NULL)
        return -ENOMEM;
    void *ptr = lode_stack_alloc(stack->stack, plan->bytes, plan->align);
    if (ptr == NULL)
        return -ENOMEM;
    if (plan->request->flags & LODE_REQUEST_ZERO)
        memset(ptr, 0, plan->bytes);
    record->from.stack = stack;
    record->below = stack->newest;
    stack->newest = record->index + 1;
    record->ptr = ptr;
    return 0;
}

static int serve_lent(const struct plan *plan, struct lodei_record *record)
{
    struct lode_allocator lent;
    int error = lodei_lent_take(plan->strategy, &lent);
    if (error != 0)
        return error;
    void *ptr = lode_allocator_alloc(&lent, plan->bytes, plan->align);
    if (ptr == NULL) {
        lodei_lent_drop(plan->strategy);
        return plan->bytes > lode_allocator_max_bytes(&lent) ? -ENOTSUP : -ENOMEM;
    }
    if (plan->request->flags & LODE_REQUEST_ZERO)
        memset(ptr, 0, plan->bytes);
    record->from.lent = lent;
    record->ptr = ptr;
    return 0;
}

static int serve_reserve(const struct plan *plan, struct lodei_record *record)
{
    void *ptr = lodei_reserve_alloc(plan->bytes, plan->align);
    if (ptr == NULL)
        return -ENOMEM;
    if (plan->lock) {
        int error = lock_pages(ptr, plan->bytes);
        if (error != 0) {
            lodei_reserve_free(ptr, plan->bytes);
            return error;
        }
        record->flags |= LODE_ALLOCATION_LOCKED;
    }
    if (plan->request->flags & LODE_REQUEST_ZERO)
        memset(ptr, 0, plan->bytes);
    record->flags |= LODE_ALLOCATION_RESERVE;
    record->ptr = ptr;
    return 0;
}

/* A pool that places blocks beside others has `near_ptr`: try it. */
static int serve_near(const struct plan *plan, struct lodei_record *record)
{
    struct lodei_near *offer = lodei_near_take(plan->request->near_ptr);
    if (offer == NULL)
        return -ENOTSUP;
    void *ptr = offer->alloc(offer->ctx, plan->request->near_ptr, plan->bytes, plan->align);
    uint64_t serial = offer->serial;
    lodei_near_drop(offer);
    if (ptr == NULL)
        return -ENOTSUP;
    if (plan->request->flags & LODE_REQUEST_ZERO)
        memset(ptr, 0, plan->bytes);
    else if (lodei_placement(plan->type)->touched)
        touch(ptr, plan->bytes);
    record->strategy = LODE_STRATEGY_NEAR;
    record->from.near = serial;
    record->ptr = ptr;
    return 0;
}

static int serve(const struct plan *plan, struct lodei_record *record)
{
    const struct lode_request *r = plan->request;
    record->type = (uint8_t)plan->type;
    record->strategy = (uint8_t)plan->strategy;
    record->flags = plan->told;
    record->bytes = plan->bytes;
    record->align = plan->align;
    switch (plan->strategy) {
    case LODE_STRATEGY_HEAP:
        if (r->near_ptr != NULL &&
            !(r->flags & (LODE_REQUEST_DMA | LODE_REQUEST_HUGE | LODE_REQUEST_MOVABLE)) &&
            serve_near(plan, record) == 0)
            return 0;
        return serve_heap(plan, record);
    case LODE_STRATEGY_POOL:
        return serve_pool(plan, record);
    case LODE_STRATEGY_STACK:
        return serve_stack(plan, record);
    case LODE_STRATEGY_RESERVE:
        return serve_reserve(plan, record);
    default:
        return serve_lent(plan, record);
    }
}

/* Charge, serve and record. */
static int carry_out(struct plan *plan, struct lode_allocation *ret_allocation)
{
    const struct lode_request *r = plan->request;
    struct lodei_request_counts *c = &lodei_request_counts[plan->type];
    int charged = plan->strategy != LODE_STRATEGY_RESERVE, error = 0;
    struct lodei_record *record = lodei_record_get((r->flags & LODE_REQUEST_CRITICAL) != 0);
    if (record == NULL)
        return -ENOMEM;
    if (charged)
        error = lodei_limit_charge(plan->type, plan->bytes, r->priority, plan->deadline_ns);
    if (error < 0) {
        lodei_record_put(record);
        return error;
    }
    if (error > 0)
        plan->told |= LODE_ALLOCATION_WAITED;
    error = serve(plan, record);
    if (error != 0) {
        if (charged)
            lodei_limit_return(plan->type, plan->bytes);
        lodei_record_put(record);
        return error;
    }
    int stacked = record->strategy == LODE_STRATEGY_STACK;
    struct lode_allocation a = {
        .ptr = record->ptr,
        .handle = record->flags & LODE_ALLOCATION_MOVABLE ? record->from.handle : 0,
        .bytes = record->bytes,
        .distance_bytes = r->near_ptr != NULL ? distance(record->ptr, r->near_ptr) : 0,
        .flags = record->flags,
        .tag = stacked || plan->strategy == LODE_STRATEGY_RESERVE ? 0 : r->tag,
        .type = record->type,
        .strategy = record->strategy,
    };
    count(&c->served);
    a.id = lodei_record_open(record) | (stacked ? LODEI_ID_STACK : 0);
    *ret_allocation = a;
    return 0;
}

/* ---- the order of ways ---- */

static int try_way(const struct lode_request *r, unsigned type, unsigned strategy, int lock,
                   uint64_t deadline_ns, uint32_t told, struct lode_allocation *ret)
{
    struct plan plan;
    int error = plan_make(r, type, strategy, lock, &plan);
    if (error != 0)
        return error;
    plan.deadline_ns = deadline_ns;
    plan.told = told;
    return carry_out(&plan, ret);
}

/* Anything that holds the bytes; the error is that of the way that was asked for. */
static int fall_back(const struct lode_request *r, int error, struct lode_allocation *ret)
{
    static const uint32_t told = LODE_ALLOCATION_FELL_BACK;
    int lock = (r->flags & LODE_REQUEST_DMA) != 0;
    if (try_way(r, r->type, LODE_STRATEGY_HEAP, lock, 0, told, ret) == 0)
        return 0;
    if (r->type != LODE_MEMORY_SYSTEM &&
        try_way(r, LODE_MEMORY_SYSTEM, LODE_STRATEGY_HEAP, lock, 0, told, ret) == 0)
        return 0;
    if (lock && try_way(r, LODE_MEMORY_SYSTEM, LODE_STRATEGY_HEAP, 0, 0, told, ret) == 0)
        return 0;
    return error;
}

static int alloc_until(const struct lode_request *r, uint64_t deadline_ns,
                       struct lode_allocation *ret)
{
    struct lodei_request_counts *c = &lodei_request_counts[r->type];
    int lock = (r->flags & LODE_REQUEST_DMA) != 0,
        critical = (r->flags & LODE_REQUEST_CRITICAL) != 0;
    int error = try_way(r, r->type, r->strategy, lock, critical ? 0 : deadline_ns, 0, ret);
    if (critical && (error == -ENOSPC || error == -ENOMEM)) {
        if (try_way(r, r->type, LODE_STRATEGY_RESERVE, lock, 0, 0, ret) == 0) {
            count(&c->from_reserve);
            return 0;
        }
        if (error == -ENOSPC && deadline_ns != 0)
            error = try_way(r, r->type, r->strategy, lock, deadline_ns, 0, ret);
    }
    if (error != 0 && (r->flags & LODE_REQUEST_FALLBACK)) {
        error = fall_back(r, error, ret);
        if (error == 0)
            count(&c->fallbacks);
    }
    if (error != 0)
        count(&c->failures);
    return error;
}

static int request_take(const struct lode_request *request, struct lode_request *ret)
{
    int error = lodei_opts_take(request, ret, sizeof(*ret));
    if (error != 0)
        return error;
    return request_bad(ret) ? -EINVAL : 0;
}

static uint64_t deadline_of(const struct lode_request *r)
{
    return r->timeout_ms == 0 ? 0 : lodei_request_clock_ns() + (uint64_t)r->timeout_ms * 1000000u;
}

int lode_alloc(const struct lode_request *request, struct lode_allocation *ret_allocation)
{
    struct lode_request r;
    int saved = errno, error = request_take(request, &r);
    if (error != 0)
        return error;
    lodei_reserve_start();
    error = alloc_until(&r, deadline_of(&r), ret_allocation);
    errno = saved;
    return error;
}

int lode_alloc_many(const struct lode_request *request, struct lode_allocation *ret_allocations,
                    size_t count)
{
    struct lode_request r;
    int saved = errno, error = request_take(request, &r);
    if (error != 0 || count == 0)
        return error;
    lodei_reserve_start();
    struct lode_allocation *done = lode_calloc(count, sizeof(*done));
    uint64_t deadline_ns = deadline_of(&r);
    size_t n = 0;
    error = done != NULL ? 0 : -ENOMEM;
    while (error == 0 && n < count) {
        error = alloc_until(&r, deadline_ns, &done[n]);
        n += error == 0;
    }
    if (error == 0)
        memcpy(ret_allocations, done, count * sizeof(*done));
    else
        /* Only a lent allocator can refuse to take back what it just gave. */
        while (n > 0 && lode_alloc_free(&done[n - 1]) == 0)
            n--;
    lode_free(done);
    errno = saved;
    return error;
}
