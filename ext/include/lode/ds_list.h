/* SPDX-License-Identifier: MIT */
/**
 * @file ds_list.h
 * Intrusive doubly linked lists: LODE_LIST_DEFINE(). The links stand in the items, so a list needs
 * no memory and adding to it cannot fail for want of any; the list borrows its items.
 *
 *     struct mob { float x, y; struct lode_link awake, in_cell; };
 *     LODE_LIST_DEFINE(awake_list, struct mob, awake);
 *     LODE_LIST_DEFINE(cell_list, struct mob, in_cell);  // the same mob may be on both
 *
 *     struct awake_list l = {0};
 *     if (awake_list_push_back(&l, mob) != 0) ...
 *     LODE_LIST_EACH(awake_list, m, &l)
 *         if (sleepy(m)) awake_list_remove(&l, m);
 *
 *     first -> [prev = self, next] <-> [prev, next] <-> [prev, next = self] <- last
 *
 * An end names itself; an item that is on no list has NULL in its link, and so is a link of zero
 * bytes. The list is not pointed at by its items: it may be moved with memcpy().
 *
 * LODE_LIST_DEFINE(name, type, member), `member` being a struct lode_link in `type`, declares
 * struct name (zero bytes: empty, no cap) and
 *
 *     void    NAME_init(l, max_items)               forgets the items, as they are
 *     int     NAME_push_front(l, item)                                             O(1)
 *     int     NAME_push_back(l, item)                                              O(1)
 *     int     NAME_insert_after(l, place, item)                                    O(1)
 *     int     NAME_insert_before(l, place, item)                                   O(1)
 *     int     NAME_remove(l, item)                  -ENOENT: on no list; -EINVAL   O(1)
 *     type   *NAME_pop_front(l)                     NULL: empty                    O(1)
 *     type   *NAME_pop_back(l)                      NULL: empty                    O(1)
 *     int     NAME_append_all(l, other)             all of `other` behind the last; `other` is
 *                                                   empty then; -ENOSPC moves none O(1)
 *     void    NAME_clear(l)                         unlinks every item             O(count)
 *     type   *NAME_first(l)  NAME_last(l)           NULL: empty
 *     type   *NAME_next(item)  NAME_prev(item)      NULL: none
 *     int     NAME_linked(item)                     1: on a list that is linked by `member`
 *     size_t  NAME_count(l)
 *
 * Returns      0; -ENOSPC the cap; -EALREADY the item is on a list; -ENOENT it, or `place`, is on
 *              none; -EINVAL it is the first or last of another list. On error nothing changed.
 *              That an item in the middle is on this list is the caller's to know.
 * Invalidates  Nothing. An item must leave its lists before its memory goes.
 * Iterating    LODE_LIST_EACH: the item at hand may be removed, no other. By NAME_next(): none.
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * Ours: utlist and GLib's lists have no cap and do not tell an item that is on no list.
 */
#ifndef LODE_DS_LIST_H
#define LODE_DS_LIST_H

#include "lode/ds_base.h"

/** One item's place on one list. Zero bytes: on none. */
struct lode_link {
    struct lode_link *next, *prev;
};

/* What all lists are; the names are as in the functions of LODE_LIST_DEFINE(). */
struct lodei_list_core {
    struct lode_link *first, *last;
    size_t count;
    size_t max_items;
};

/* Link `link` between prev and next, either NULL at an end. */
LODEI_DS_FN int lodei_link_insert(struct lodei_list_core *l, struct lode_link *prev,
                                  struct lode_link *next, struct lode_link *link)
{
    if (link->next != NULL)
        return -EALREADY;
    if (l->max_items != 0 && l->count >= l->max_items)
        return -ENOSPC;
    link->prev = prev != NULL ? prev : link;
    link->next = next != NULL ? next : link;
    *(prev != NULL ? &prev->next : &l->first) = link;
    *(next != NULL ? &next->prev : &l->last) = link;
    l->count++;
    return 0;
}

LODEI_DS_FN struct lode_link *lodei_link_next(const struct lode_link *link)
{
    return link->next != link ? link->next : (struct lode_link *)NULL;
}

LODEI_DS_FN struct lode_link *lodei_link_prev(const struct lode_link *link)
{
    return link->prev != link ? link->prev : (struct lode_link *)NULL;
}

LODEI_DS_FN int lodei_link_remove(struct lodei_list_core *l, struct lode_link *link)
{
    if (link->next == NULL)
        return -ENOENT;
    struct lode_link *next = lodei_link_next(link), *prev = lodei_link_prev(link);
    if ((prev == NULL && l->first != link) || (next == NULL && l->last != link))
        return -EINVAL;
    if (prev != NULL)
        prev->next = next != NULL ? next : prev;
    else
        l->first = next;
    if (next != NULL)
        next->prev = prev != NULL ? prev : next;
    else
        l->last = prev;
    link->next = link->prev = NULL;
    l->count--;
    return 0;
}

LODEI_DS_FN int lodei_link_append_all(struct lodei_list_core *l, struct lodei_list_core *other)
{
    if (other == l || other->count == 0)
        return 0;
    if (l->max_items != 0 && (l->count > l->max_items || other->count > l->max_items - l->count))
        return -ENOSPC;
    if (l->last != NULL) {
        l->last->next = other->first;
        other->first->prev = l->last;
    } else {
        l->first = other->first;
    }
    l->last = other->last;
    l->count += other->count;
    other->first = other->last = NULL;
    other->count = 0;
    return 0;
}

/**
 * Walk the list `l` of LODE_LIST_DEFINE(name, ...) from first to last; `item` is declared here. The
 * item at hand may be removed, freed too.
 */
#define LODE_LIST_EACH(name, item, l)                                                       \
    for (__typeof__(name##_first(l)) item = name##_first(l),                                \
                                     item##_next = item != NULL ? name##_next(item) : item; \
         item != NULL; item = item##_next, item##_next = item != NULL ? name##_next(item) : item)

#define LODE_LIST_DEFINE(name, type, member)                                                   \
    struct name {                                                                              \
        struct lodei_list_core core;                                                           \
    };                                                                                         \
    LODEI_DS_FN type *name##_lodei_item(struct lode_link *link)                                \
    {                                                                                          \
        return link == NULL ? (type *)NULL                                                     \
                            : (type *)(void *)((char *)(void *)link - offsetof(type, member)); \
    }                                                                                          \
    LODEI_DS_FN void name##_init(struct name *l, size_t max_items)                             \
    {                                                                                          \
        l->core.first = l->core.last = NULL;                                                   \
        l->core.count = 0;                                                                     \
        l->core.max_items = max_items;                                                         \
    }                                                                                          \
    LODEI_DS_FN size_t name##_count(const struct name *l)                                      \
    {                                                                                          \
        return l->core.count;                                                                  \
    }                                                                                          \
    LODEI_DS_FN int name##_linked(type const *item)                                            \
    {                                                                                          \
        return item->member.next != NULL;                                                      \
    }                                                                                          \
    LODEI_DS_FN type *name##_first(const struct name *l)                                       \
    {                                                                                          \
        return name##_lodei_item(l->core.first);                                               \
    }                                                                                          \
    LODEI_DS_FN type *name##_last(const struct name *l)                                        \
    {                                                                                          \
        return name##_lodei_item(l->core.last);                                                \
    }                                                                                          \
    LODEI_DS_FN type *name##_next(type const *item)                                            \
    {                                                                                          \
        return name##_lodei_item(lodei_link_next(&item->member));                              \
    }                                                                                          \
    LODEI_DS_FN type *name##_prev(type const *item)                                            \
    {                                                                                          \
        return name##_lodei_item(lodei_link_prev(&item->member));                              \
    }                                                                                          \
    LODEI_DS_TRY int name##_push_front(struct name *l, type *item)                             \
    {                                                                                          \
        return lodei_link_insert(&l->core, NULL, l->core.first, &item->member);                \
    }                                                                                          \
    LODEI_DS_TRY int name##_push_back(struct name *l, type *item)                              \
    {                                                                                          \
        return lodei_link_insert(&l->core, l->core.last, NULL, &item->member);                 \
    }                                                                                          \
    LODEI_DS_TRY int name##_insert_after(struct name *l, type *place, type *item)              \
    {                                                                                          \
        if (place->member.next == NULL)                                                        \
            return -ENOENT;                                                                    \
        return lodei_link_insert(&l->core, &place->member, lodei_link_next(&place->member),    \
                                 &item->member);                                               \
    }                                                                                          \
    LODEI_DS_TRY int name##_insert_before(struct name *l, type *place, type *item)             \
    {                                                                                          \
        if (place->member.next == NULL)                                                        \
            return -ENOENT;                                                                    \
        return lodei_link_insert(&l->core, lodei_link_prev(&place->member), &place->member,    \
                                 &item->member);                                               \
    }                                                                                          \
    LODEI_DS_FN int name##_remove(struct name *l, type *item)                                  \
    {                                                                                          \
        return lodei_link_remove(&l->core, &item->member);                                     \
    }                                                                                          \
    LODEI_DS_FN type *name##_pop_front(struct name *l)                                         \
    {                                                                                          \
        type *item = name##_first(l);                                                          \
        if (item != NULL)                                                                      \
            (void)lodei_link_remove(&l->core, &item->member);                                  \
        return item;                                                                           \
    }                                                                                          \
    LODEI_DS_FN type *name##_pop_back(struct name *l)                                          \
    {                                                                                          \
        type *item = name##_last(l);                                                           \
        if (item != NULL)                                                                      \
            (void)lodei_link_remove(&l->core, &item->member);                                  \
        return item;                                                                           \
    }                                                                                          \
    LODEI_DS_TRY int name##_append_all(struct name *l, struct name *other)                     \
    {                                                                                          \
        return lodei_link_append_all(&l->core, &other->core);                                  \
    }                                                                                          \
    LODEI_DS_FN void name##_clear(struct name *l)                                              \
    {                                                                                          \
        while (l->core.first != NULL)                                                          \
            (void)lodei_link_remove(&l->core, l->core.first);                                  \
    }                                                                                          \
    struct name

#endif
