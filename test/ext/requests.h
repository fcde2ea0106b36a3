/* SPDX-License-Identifier: MIT */
/* Requests as the tests make them: served whole, or refused with nothing changed. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include <criterion/criterion.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lode/request.h"

static inline struct lode_request of(size_t bytes, enum lode_memory_type type)
{
    struct lode_request r = LODE_REQUEST_INIT;
    r.bytes = bytes;
    r.type = (uint8_t)type;
    return r;
}

static inline struct lode_allocation got(const struct lode_request *r)
{
    struct lode_allocation a;
    cr_assert_eq(lode_alloc(r, &a), 0);
    cr_assert_not_null(a.ptr);
    cr_assert_geq(a.bytes, r->bytes);
    memset(a.ptr, 0x5a, a.bytes);
    return a;
}

static inline void put(const struct lode_allocation *a)
{
    cr_assert_eq(lode_alloc_free(a), 0);
}

static inline struct lode_request_stats stats_of(enum lode_memory_type type)
{
    struct lode_request_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_request_stats_get(type, &s), 0);
    return s;
}

/* The request fails so, and changes nothing but the count of failures. */
static inline void assert_refused(const struct lode_request *r, int error)
{
    struct lode_allocation a = {.ptr = (void *)8};
    unsigned type = r->type < LODE_MEMORY_TYPES ? r->type : 0;
    struct lode_request_stats before = stats_of(type);
    errno = 7;
    int got_error = lode_alloc(r, &a);
    cr_assert_eq(got_error, error, "%d", got_error);
    cr_assert_eq(errno, 7);
    cr_assert_eq((uintptr_t)a.ptr, 8);
    struct lode_request_stats after = stats_of(type);
    cr_assert_eq(after.live, before.live);
    cr_assert_eq(after.used_bytes, before.used_bytes);
}

#endif
