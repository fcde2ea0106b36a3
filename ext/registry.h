/* SPDX-License-Identifier: MIT */
/*
 * The list of live pools, arenas and other allocators, for lode_regions_enumerate(). Each embeds a
 * struct lodei_registered, adds it when it is ready and removes it before it is taken apart.
 *
 * One lock guards the list; it is held around fork(), and while `describe` runs: describe may take
 * the object's own lock, so nobody may add or remove while holding that.
 *
 * An object with a lock of its own names it here; it is then held around fork() as well, so that a
 * forked child finds the object whole. Those locks are taken from the newest object to the oldest:
 * who holds one may take only those of objects that are older.
 */
#ifndef LODEI_REGISTRY_H
#define LODEI_REGISTRY_H

#include <pthread.h>

#include "base/list.h"
#include "lode/allocator.h"

struct lodei_registered {
    struct lodei_list link;
    const char *type; /* "arena", "pool", ...: a literal */
    char name[32];    /* cut; the type where none was given */
    void *object;
    void (*describe)(void *object, struct lode_allocator_stats *ret_stats);
    pthread_mutex_t *lock;  /* of the object; NULL: none */
    struct lode_heap *heap; /* in which the object lies, and so what it takes; by add() */
    uint16_t tag;           /* these two of that heap */
    uint8_t kind;
};

void lodei_registry_add(struct lodei_registered *entry, const char *type, const char *name,
                        void *object,
                        void (*describe)(void *object, struct lode_allocator_stats *ret_stats));
/* The same for an object with a lock. */
void lodei_registry_add_locked(
    struct lodei_registered *entry, const char *type, const char *name, void *object,
    void (*describe)(void *object, struct lode_allocator_stats *ret_stats), pthread_mutex_t *lock);
void lodei_registry_remove(struct lodei_registered *entry);

/* Call `visit` for a copy of each entry and its figures; no lock is held during the call. Returns
 * 0, -ENOMEM, or what a visit returned that was not 0. */
int lodei_registry_each(int (*visit)(void *ctx, const struct lodei_registered *entry,
                                     const struct lode_allocator_stats *stats),
                        void *ctx);

#endif
