/* SPDX-License-Identifier: MIT */
/* The list of live allocators: see registry.h. */
#include "ext/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lodei_list entries = {&entries, &entries};
static size_t entry_count; /* guarded by lock */

static void fork_prepare(void)
{
    pthread_mutex_lock(&lock);
    for (struct lodei_list *l = entries.prev; l != &entries; l = l->prev) {
        struct lodei_registered *entry = lode_container_of(l, struct lodei_registered, link);
        if (entry->lock != NULL)
            pthread_mutex_lock(entry->lock);
    }
}

static void fork_done(void)
{
    for (struct lodei_list *l = entries.next; l != &entries; l = l->next) {
        struct lodei_registered *entry = lode_container_of(l, struct lodei_registered, link);
        if (entry->lock != NULL)
            pthread_mutex_unlock(entry->lock);
    }
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void start(void)
{
    /* Fails only without memory at load time; then a fork at an unlucky moment is what is left. */
    (void)pthread_atfork(fork_prepare, fork_done, fork_done);
}

void lodei_registry_add(struct lodei_registered *entry, const char *type, const char *name,
                        void *object,
                        void (*describe)(void *object, struct lode_allocator_stats *ret_stats))
{
    lodei_registry_add_locked(entry, type, name, object, describe, NULL);
}

void lodei_registry_add_locked(struct lodei_registered *entry, const char *type, const char *name,
                               void *object,
                               void (*describe)(void *object,
                                                struct lode_allocator_stats *ret_stats),
                               pthread_mutex_t *object_lock)
{
    entry->type = type;
    entry->object = object;
    entry->describe = describe;
    entry->lock = object_lock;
    /* Now, while the object is there for certain: later its owner may be ending it. */
    struct lode_block_info block;
    if (lode_block_find(object, &block) != 0)
        block = (struct lode_block_info){.heap = lode_heap_default()};
    entry->heap = block.heap;
    entry->tag = block.tag;
    entry->kind = block.kind;
    memset(entry->name, 0, sizeof(entry->name));
    strncpy(entry->name, name != NULL ? name : type, sizeof(entry->name) - 1);
    pthread_mutex_lock(&lock);
    lodei_list_push_back(&entries, &entry->link);
    entry_count++;
    pthread_mutex_unlock(&lock);
}

void lodei_registry_remove(struct lodei_registered *entry)
{
    pthread_mutex_lock(&lock);
    lodei_list_remove(&entry->link);
    entry_count--;
    pthread_mutex_unlock(&lock);
}

struct copied {
    struct lodei_registered entry;
    struct lode_allocator_stats stats;
};

int lodei_registry_each(int (*visit)(void *ctx, const struct lodei_registered *entry,
                                     const struct lode_allocator_stats *stats),
                        void *ctx)
{
    int status = 0;
    size_t count = 0;
    pthread_mutex_lock(&lock);
    struct copied *copies = lode_calloc(entry_count + 1, sizeof(*copies));
    if (copies == NULL) {
        pthread_mutex_unlock(&lock);
        return -ENOMEM;
    }
    for (struct lodei_list *l = entries.next; l != &entries; l = l->next) {
        struct lodei_registered *entry = lode_container_of(l, struct lodei_registered, link);
        copies[count].entry = *entry;
        entry->describe(entry->object, &copies[count++].stats);
    }
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < count && status == 0; i++)
        status = visit(ctx, &copies[i].entry, &copies[i].stats);
    lode_free(copies);
    return status;
}
