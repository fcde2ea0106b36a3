/* SPDX-License-Identifier: MIT */
/* The emergency reserve of requests: see reserve.c. Any thread. */
#ifndef LODEI_RESERVE_H
#define LODEI_RESERVE_H

#include <stddef.h>

/* Make the reserve, if this is the first request and nobody has set its size. */
void lodei_reserve_start(void);
/* 0; -EBUSY; -ENOMEM. */
int lodei_reserve_set(size_t bytes);
/* `align` up to an OS page. NULL: no such run. */
void *lodei_reserve_alloc(size_t bytes, size_t align);
void lodei_reserve_free(void *ptr, size_t bytes);
void lodei_reserve_figures(size_t *ret_bytes, size_t *ret_used_bytes);

#endif
