/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked lists with a sentinel. An element that is on no list points to itself or,
 * in fresh zeroed storage, nowhere; both count as unlinked.
 */
#ifndef LODEI_LIST_H
#define LODEI_LIST_H

#include "base/attr.h"

struct lodei_list {
    struct lodei_list *next, *prev;
};

LODE_INLINE void lodei_list_init(struct lodei_list *l)
{
    l->next = l->prev = l;
}

LODE_INLINE int lodei_list_empty(const struct lodei_list *l)
{
    return l->next == l;
}

LODE_INLINE int lodei_list_linked(const struct lodei_list *l)
{
    return l->next != (void *)0 && l->next != l;
}

LODE_INLINE void lodei_list_push_front(struct lodei_list *head, struct lodei_list *l)
{
    l->next = head->next;
    l->prev = head;
    head->next->prev = l;
    head->next = l;
}

LODE_INLINE void lodei_list_push_back(struct lodei_list *head, struct lodei_list *l)
{
    lodei_list_push_front(head->prev, l);
}

LODE_INLINE void lodei_list_remove(struct lodei_list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->next = l->prev = l;
}

#endif
