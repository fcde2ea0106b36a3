/* SPDX-License-Identifier: MIT */
/*
 * Makes the heap below refuse. Programs linked with it (ext_failing in meson.build) reach
 * lode_heap_alloc() and its kin through a count-down; see failing_heap.c. Global: one thread.
 */
#ifndef FAILING_HEAP_H
#define FAILING_HEAP_H

/* The heap serves so many more requests and refuses all later ones; below 0: it never refuses. */
extern long failing_heap_after;
/* Requests since the program started, refused ones too. */
extern long failing_heap_asked;
/* Called once, before the next request goes on, and forgotten then; NULL: nothing is. */
extern void (*failing_heap_meanwhile)(void);

#endif
