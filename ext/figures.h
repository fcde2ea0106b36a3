/* SPDX-License-Identifier: MIT */
/*
 * Figures that one thread writes and any thread may read: each is stored and loaded whole, with no
 * order among them, at the cost of a plain store. Owns nothing.
 */
#ifndef LODEI_FIGURES_H
#define LODEI_FIGURES_H

/* relaxed: each figure for itself; lodei_put() pairs with lodei_get() in a thread that looks. The
 * writer reads its own fields as they are. */
#define lodei_put(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define lodei_get(field)        __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define lodei_add(field, value) lodei_put(field, (field) + (value))
#define lodei_sub(field, value) lodei_put(field, (field) - (value))

#endif
