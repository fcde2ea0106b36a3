/* SPDX-License-Identifier: MIT */
/*
 * Memory for the tools: a command-line program that runs out of it has nothing better to do than to
 * say so and end. What these return is never NULL and is freed with free().
 */
#ifndef LODEI_XALLOC_H
#define LODEI_XALLOC_H

#include <stddef.h>

/* Resize an array to `count` elements of `bytes`; `ptr` NULL for a new one. */
void *lodei_xreallocarray(void *ptr, size_t count, size_t bytes);
/* `count` zeroed elements of `bytes`. */
void *lodei_xcalloc(size_t count, size_t bytes);
char *lodei_xstrdup(const char *text);
char *lodei_xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
