/* SPDX-License-Identifier: MIT */
/*
 * The C, POSIX, glibc and BSD names of malloc, with glibc's semantics, over the route that the
 * build chose (LODE_ROUTE_HEADER). Holds no state. Where glibc versions differ:
 *
 *   realloc(p, 0)      frees p and returns NULL, errno kept
 *   memalign           rounds an alignment that is no power of two up, as glibc does
 *   aligned_alloc      refuses it with EINVAL, as C and glibc from 2.38 on do
 *   posix_memalign     returns its error and leaves errno and *ret alone
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/print.h"
#include LODE_ROUTE_HEADER

#define EXPORT __attribute__((visibility("default")))
/* gcc asks that an alias has what the headers promise of its target; clang has no such attribute.
 */
#if defined(__clang__)
#define COPY_ATTRIBUTES(of)
#else
#define COPY_ATTRIBUTES(of) , copy(of)
#endif
#define EXPORT_ALIAS(of) __attribute__((visibility("default"), alias(#of) COPY_ATTRIBUTES(of)))

/* The names C headers may not declare, or declare as something we do not want to follow. */
void *reallocf(void *p, size_t bytes);
void free_sized(void *p, size_t bytes);
void free_aligned_sized(void *p, size_t align, size_t bytes);
void cfree(void *p);
size_t malloc_good_size(size_t bytes);

EXPORT void *malloc(size_t bytes)
{
    return route_malloc(bytes);
}

EXPORT void free(void *p)
{
    route_free(p);
}

EXPORT void *calloc(size_t count, size_t bytes)
{
    if (lode_unlikely(__builtin_mul_overflow(count, bytes, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    return route_calloc(bytes);
}

EXPORT void *realloc(void *p, size_t bytes)
{
    if (lode_unlikely(bytes == 0 && p != NULL)) {
        route_free(p);
        return NULL;
    }
    return route_realloc(p, bytes);
}

EXPORT void *reallocarray(void *p, size_t count, size_t bytes)
{
    if (__builtin_mul_overflow(count, bytes, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, bytes);
}

EXPORT void *reallocf(void *p, size_t bytes)
{
    void *to = realloc(p, bytes);
    if (to == NULL && bytes != 0)
        route_free(p);
    return to;
}

EXPORT void free_sized(void *p, size_t bytes)
{
    (void)bytes;
    route_free(p);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t bytes)
{
    (void)align;
    (void)bytes;
    route_free(p);
}

EXPORT void cfree(void *p)
{
    route_free(p);
}

EXPORT void *memalign(size_t align, size_t bytes)
{
    if (lode_unlikely(align > SIZE_MAX / 2 + 1)) {
        errno = EINVAL;
        return NULL;
    }
    if (align <= ROUTE_ALIGNMENT)
        return route_malloc(bytes);
    if (!lodei_is_power_of_two(align))
        align = (size_t)2 << lodei_log2(align);
    return route_aligned(align, bytes);
}

EXPORT void *aligned_alloc(size_t align, size_t bytes)
{
    if (lode_unlikely(!lodei_is_power_of_two(align))) {
        errno = EINVAL;
        return NULL;
    }
    return memalign(align, bytes);
}

EXPORT int posix_memalign(void **ret, size_t align, size_t bytes)
{
    if (!lodei_is_power_of_two(align) || align % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno;
    void *p = memalign(align, bytes);
    errno = saved;
    if (p == NULL)
        return ENOMEM;
    *ret = p;
    return 0;
}

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

EXPORT void *valloc(size_t bytes)
{
    return memalign(page_bytes(), bytes);
}

EXPORT void *pvalloc(size_t bytes)
{
    size_t page = page_bytes();
    if (bytes > SIZE_MAX - page) {
        errno = ENOMEM;
        return NULL;
    }
    return memalign(page, lodei_round_up(bytes, page));
}

EXPORT size_t malloc_usable_size(void *p)
{
    return route_usable_size(p);
}

EXPORT size_t malloc_good_size(size_t bytes)
{
    return route_good_size(bytes);
}

EXPORT int malloc_trim(size_t pad)
{
    (void)pad;
    return route_trim() > 0;
}

/* Accepted and without effect: what they tune does not exist here. */
EXPORT int mallopt(int param, int value)
{
    (void)value;
    switch (param) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

static void read_stats(struct lode_stats *stats)
{
    *stats = (struct lode_stats){.size = sizeof(*stats)};
    if (route_stats(stats) != 0)
        *stats = (struct lode_stats){.size = sizeof(*stats)};
}

EXPORT struct mallinfo2 mallinfo2(void)
{
    struct lode_stats s;
    read_stats(&s);
    size_t arena = s.mapped_bytes - s.metadata_bytes - s.large_bytes;
    size_t in_use = s.in_use_bytes - s.large_bytes;
    return (struct mallinfo2){.arena = arena,
                              .ordblks = s.spans - s.large_blocks,
                              .hblks = s.large_blocks,
                              .hblkhd = s.large_bytes,
                              .uordblks = in_use,
                              .fordblks = arena - in_use,
                              .keepcost = s.cached_bytes};
}

static int clamp(size_t n)
{
    return n > INT32_MAX ? INT32_MAX : (int)n;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* by glibc, in favour of mallinfo2 */

EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 m = mallinfo2();
    return (struct mallinfo){.arena = clamp(m.arena),
                             .ordblks = clamp(m.ordblks),
                             .hblks = clamp(m.hblks),
                             .hblkhd = clamp(m.hblkhd),
                             .uordblks = clamp(m.uordblks),
                             .fordblks = clamp(m.fordblks),
                             .keepcost = clamp(m.keepcost)};
}

EXPORT int malloc_info(int options, FILE *out)
{
    struct lode_stats s;
    if (options != 0)
        return EINVAL;
    read_stats(&s);
    fprintf(out, "<malloc version=\"lode-1\" route=\"" ROUTE_NAME "\">\n");
#define WRITE_FIELD(name, help) \
    fprintf(out, "  <figure name=\"" #name "\" value=\"%llu\"/>\n", (unsigned long long)s.name);
    LODE_STATS_TABLE(WRITE_FIELD)
#undef WRITE_FIELD
    fprintf(out, "  <system type=\"current\" size=\"%llu\"/>\n",
            (unsigned long long)s.mapped_bytes);
    fprintf(out, "</malloc>\n");
    return 0;
}

EXPORT void malloc_stats(void)
{
    struct lode_stats s;
    struct lodei_line line = {0};
    read_stats(&s);
#define WRITE_FIELD(name, help)         \
    lodei_line_str(&line, #name " = "); \
    lodei_line_dec(&line, s.name);      \
    lodei_line_write(&line, STDERR_FILENO);
    LODE_STATS_TABLE(WRITE_FIELD)
#undef WRITE_FIELD
}

/* The names by which glibc's own parts, and programs that wrap malloc, call it. */
void *__libc_malloc(size_t) EXPORT_ALIAS(malloc);
void *__libc_calloc(size_t, size_t) EXPORT_ALIAS(calloc);
void *__libc_realloc(void *, size_t) EXPORT_ALIAS(realloc);
void *__libc_reallocarray(void *, size_t, size_t) EXPORT_ALIAS(reallocarray);
void __libc_free(void *) EXPORT_ALIAS(free);
void __libc_cfree(void *) EXPORT_ALIAS(cfree);
void *__libc_memalign(size_t, size_t) EXPORT_ALIAS(memalign);
void *__libc_valloc(size_t) EXPORT_ALIAS(valloc);
void *__libc_pvalloc(size_t) EXPORT_ALIAS(pvalloc);
int __posix_memalign(void **, size_t, size_t) EXPORT_ALIAS(posix_memalign);
struct mallinfo __libc_mallinfo(void) EXPORT_ALIAS(mallinfo);
int __libc_mallopt(int, int) EXPORT_ALIAS(mallopt);
