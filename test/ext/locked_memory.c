/* SPDX-License-Identifier: MIT */
/*
 * DMA requests of a process without the right to lock memory: -EPERM where it may lock none,
 * -EAGAIN beyond RLIMIT_MEMLOCK, and with FALLBACK memory that says it is not locked. A program of
 * its own, since it gives its rights up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lode/request.h"

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static void failed(const char *what, int line)
{
    fprintf(stderr, "locked_memory.c:%d: %s does not hold\n", line, what);
    exit(1);
}

static void limit(rlim_t bytes)
{
    struct rlimit r = {bytes, bytes};
    CHECK(setrlimit(RLIMIT_MEMLOCK, &r) == 0);
}

static struct lode_request_stats stats(void)
{
    struct lode_request_stats s = {.size = sizeof(s)};
    CHECK(lode_request_stats_get(LODE_MEMORY_AUDIO, &s) == 0);
    return s;
}

int main(void)
{
    struct lode_request r = LODE_REQUEST_INIT;
    struct lode_allocation a = {.ptr = NULL}, b;
    r.type = LODE_MEMORY_AUDIO;
    r.flags = LODE_REQUEST_DMA;
    r.bytes = 16 << 10;
    limit(64 << 10);
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) {
        printf("cannot give up root: skipped\n");
        return 77;
    }
    CHECK(lode_alloc(&r, &a) == 0);
    CHECK(a.flags == LODE_ALLOCATION_LOCKED);
    r.bytes = 128 << 10;
    CHECK(lode_alloc(&r, &b) == -EAGAIN);
    CHECK(stats().live == 1 && stats().used_bytes == 16 << 10);
    r.flags |= LODE_REQUEST_FALLBACK;
    CHECK(lode_alloc(&r, &b) == 0);
    CHECK(b.flags == LODE_ALLOCATION_FELL_BACK);
    CHECK((uintptr_t)b.ptr % 4096 == 0 && b.bytes == 128 << 10);
    memset(b.ptr, 1, b.bytes);
    CHECK(lode_alloc_free(&b) == 0);
    CHECK(lode_alloc_free(&a) == 0);
    /* Freeing unlocks: all of the limit can be had again. */
    r.flags = LODE_REQUEST_DMA;
    r.bytes = 64 << 10;
    for (int i = 0; i < 5; i++) {
        CHECK(lode_alloc(&r, &a) == 0);
        CHECK(lode_alloc_free(&a) == 0);
    }
    limit(0);
    CHECK(lode_alloc(&r, &a) == -EPERM);
    CHECK(stats().live == 0 && stats().used_bytes == 0);
    printf("fine\n");
    return 0;
}
