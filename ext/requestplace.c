/* SPDX-License-Identifier: MIT */
/*
 * Where requests are placed: the types' rules, a place (heap and pools) for each type, tag and set
 * of traits, and a stack for each thread. Owns the places, which stay for good, and the threads'
 * stacks.
 *
 *     buckets[hash of type, tag, traits] -> place -> place ...    only ever added to
 *     place -> heap, pools[class]                                  made when first asked for
 *
 * Nothing here is locked: what is missing is made and then offered by one compare-and-swap; who
 * loses destroys what he made. So no lock is held while heaps and pools are made, and fork() finds
 * either nothing or something whole.
 *
 * A thread's stack ends with the thread, and with it what is left on it.
 */
#include "ext/requestcore.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ext/threadkey.h"

#define BUCKETS 256

static const uint16_t class_bytes[LODEI_REQUEST_CLASSES] = {
    16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192,
};

/* An align or granule of 0 stands for an OS page. */
static const struct lode_placement rules[LODE_MEMORY_TYPES] = {
    [LODE_MEMORY_SYSTEM] = {.name = "system",
                            .align = 16,
                            .granule_bytes = 1,
                            .strategy = LODE_STRATEGY_HEAP},
    [LODE_MEMORY_VIDEO] = {.name = "video", .strategy = LODE_STRATEGY_HEAP},
    [LODE_MEMORY_AUDIO] = {.name = "audio",
                           .align = 64,
                           .granule_bytes = 64,
                           .strategy = LODE_STRATEGY_HEAP,
                           .touched = 1},
    [LODE_MEMORY_NETWORK] = {.name = "network",
                             .align = 64,
                             .granule_bytes = 64,
                             .pool_max_bytes = 2048,
                             .strategy = LODE_STRATEGY_POOL},
    [LODE_MEMORY_SHARED] = {.name = "shared",
                            .strategy = LODE_STRATEGY_HEAP,
                            .kind = LODE_KIND_SHARED},
    [LODE_MEMORY_TEMPORARY] = {.name = "temporary",
                               .align = 16,
                               .granule_bytes = 1,
                               .strategy = LODE_STRATEGY_HEAP},
    [LODE_MEMORY_STACK] = {.name = "stack",
                           .align = 16,
                           .granule_bytes = 16,
                           .strategy = LODE_STRATEGY_STACK},
    [LODE_MEMORY_POOL] = {.name = "pool",
                          .align = 16,
                          .granule_bytes = 1,
                          .pool_max_bytes = 8192,
                          .strategy = LODE_STRATEGY_POOL},
};

static struct lode_placement placements[LODE_MEMORY_TYPES]; /* set before main() */
static size_t page_bytes;
static struct lodei_place *_Atomic buckets[BUCKETS];
static pthread_key_t key;
static int key_made;

static _Thread_local struct lodei_request_stack *own_stack
    __attribute__((tls_model("initial-exec")));

static void stack_end(void *stack);

__attribute__((constructor)) static void start(void)
{
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++) {
        placements[t] = rules[t];
        if (rules[t].align == 0)
            placements[t].align = placements[t].granule_bytes = page_bytes;
    }
    /* Fails where there are no threads, so that none will end (glibc before 2.34). */
    key_made = lodei_threadkey_create(&key, stack_end) == 0;
}

const struct lode_placement *lodei_placement(unsigned type)
{
    return &placements[type];
}

size_t lodei_page(void)
{
    return page_bytes;
}

int lode_placement_get(enum lode_memory_type type, struct lode_placement *ret_placement)
{
    if ((unsigned)type >= LODE_MEMORY_TYPES)
        return -EINVAL;
    *ret_placement = placements[type];
    return 0;
}

/* ---- places ---- */

static int heap_make(const struct lodei_place *place, struct lode_heap **ret_heap)
{
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    char name[32];
    (void)snprintf(name, sizeof(name), "%s%s", placements[place->type].name,
                   place->traits & LODEI_PLACE_MOVABLE ? " movable" : "");
    opts.name = name;
    opts.tag = place->tag;
    opts.kind = place->traits & LODEI_PLACE_HUGE ? LODE_KIND_HUGE : placements[place->type].kind;
    return lode_heap_create(&opts, ret_heap);
}

static struct lodei_place *find(struct lodei_place *place, unsigned type, uint16_t tag,
                                unsigned traits)
{
    while (place != NULL && (place->type != type || place->tag != tag || place->traits != traits))
        place = place->next;
    return place;
}

int lodei_place_get(unsigned type, uint16_t tag, unsigned traits, struct lodei_place **ret_place)
{
    struct lodei_place *_Atomic *bucket =
        &buckets[(type + LODE_MEMORY_TYPES * (traits + LODEI_PLACE_TRAITS * tag)) % BUCKETS];
    /* acquire, here and below: pairs with the swap that added the place */
    struct lodei_place *head = atomic_load_explicit(bucket, memory_order_acquire);
    struct lodei_place *found = find(head, type, tag, traits);
    if (lode_likely(found != NULL)) {
        *ret_place = found;
        return 0;
    }
    struct lodei_place *fresh = lode_calloc(1, sizeof(*fresh));
    if (fresh == NULL)
        return -ENOMEM;
    fresh->type = (uint8_t)type;
    fresh->tag = tag;
    fresh->traits = (uint8_t)traits;
    int error = heap_make(fresh, &fresh->heap);
    if (error != 0) {
        lode_free(fresh);
        return error;
    }
    do {
        found = find(head, type, tag, traits);
        if (found != NULL) {
            lode_heap_destroy(fresh->heap);
            lode_free(fresh);
            *ret_place = found;
            return 0;
        }
        fresh->next = head;
    } while (!atomic_compare_exchange_weak_explicit(bucket, &head, fresh, memory_order_acq_rel,
                                                    memory_order_acquire));
    *ret_place = fresh;
    return 0;
}

unsigned lodei_place_type(const struct lode_heap *heap)
{
    for (unsigned b = 0; b < BUCKETS; b++) {
        const struct lodei_place *place =
            atomic_load_explicit(&buckets[b], memory_order_acquire); /* as above */
        for (; place != NULL; place = place->next)
            if (place->heap == heap)
                return place->type;
    }
    return LODE_MEMORY_SYSTEM;
}

/* ---- pools ---- */

/* Index of the least class that holds such a block; LODEI_REQUEST_CLASSES: none does. */
static unsigned class_of(size_t bytes, size_t align)
{
    unsigned class = 0;
    while (class < LODEI_REQUEST_CLASSES &&
           (class_bytes[class] < bytes || class_bytes[class] % align != 0))
        class += 1;
    return class;
}

size_t lodei_pool_class_bytes(size_t bytes, size_t align)
{
    unsigned class = class_of(bytes, align);
    return class < LODEI_REQUEST_CLASSES ? class_bytes[class] : 0;
}

int lodei_place_pool(struct lodei_place *place, size_t bytes, size_t align,
                     struct lode_cpool **ret_pool, size_t *ret_bytes)
{
    unsigned class = class_of(bytes, align);
    if (class == LODEI_REQUEST_CLASSES)
        return -ENOTSUP;
    *ret_bytes = class_bytes[class];
    /* acquire, here and below: pairs with the swap */
    struct lode_cpool *pool = atomic_load_explicit(&place->pools[class], memory_order_acquire);
    if (lode_unlikely(pool == NULL)) {
        struct lode_pool_opts opts = LODE_POOL_OPTS_INIT;
        struct lode_cpool *fresh;
        opts.object_bytes = class_bytes[class];
        opts.align = (size_t)class_bytes[class] & -(size_t)class_bytes[class];
        opts.heap = place->heap;
        opts.name = placements[place->type].name;
        int error = lode_cpool_create(&opts, &fresh);
        if (error != 0)
            return error;
        if (atomic_compare_exchange_strong_explicit(&place->pools[class], &pool, fresh,
                                                    memory_order_acq_rel, memory_order_acquire))
            pool = fresh;
        else
            lode_cpool_destroy(fresh);
    }
    *ret_pool = pool;
    return 0;
}

/* ---- threads' stacks ---- */

struct lodei_request_stack *lodei_request_stack_peek(void)
{
    return own_stack;
}

struct lodei_request_stack *lodei_request_stack_get(void)
{
    struct lode_stack_opts opts = LODE_STACK_OPTS_INIT;
    struct lodei_place *place;
    int saved = errno;
    if (own_stack != NULL)
        return own_stack;
    struct lodei_request_stack *fresh = NULL;
    if (lodei_place_get(LODE_MEMORY_STACK, 0, 0, &place) == 0)
        fresh = lode_heap_calloc(place->heap, 1, sizeof(*fresh));
    if (fresh != NULL) {
        opts.heap = place->heap;
        opts.name = "thread's stack";
        if (lode_stack_create(&opts, &fresh->stack) != 0) {
            lode_free(fresh);
            fresh = NULL;
        } else if (key_made && lodei_threadkey_set(key, fresh) != 0) {
            lode_stack_destroy(fresh->stack);
            lode_free(fresh);
            fresh = NULL;
        }
    }
    own_stack = fresh;
    errno = saved;
    return fresh;
}

/* The thread ends: nothing on its stack can be freed any more. */
static void stack_end(void *value)
{
    struct lodei_request_stack *stack = value;
    int saved = errno;
    own_stack = NULL;
    while (stack->newest != 0) {
        struct lodei_record *record = lodei_record_find(stack->newest - 1);
        stack->newest = record->below;
        lodei_record_drop(record);
    }
    lode_stack_destroy(stack->stack);
    lode_free(stack);
    errno = saved;
}
