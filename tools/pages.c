/* SPDX-License-Identifier: MIT */
/* Memory past malloc; see pages.h. */
#include <err.h>
#include <stdint.h>
#include <sys/mman.h>

#include "pages.h"
#include "verbs.h"

/* mmap() has no mapping of length 0. */
static size_t length_of(size_t count, size_t bytes)
{
    size_t length;

    if (__builtin_mul_overflow(count, bytes, &length))
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    return length > 0 ? length : 1;
}

void *lodei_pages_alloc(size_t count, size_t bytes)
{
    void *pages = mmap(NULL, length_of(count, bytes), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED)
        err(LODEI_EXIT_BAD_INPUT, "out of memory");
    return pages;
}

void lodei_pages_free(void *pages, size_t count, size_t bytes)
{
    if (pages != NULL)
        munmap(pages, length_of(count, bytes));
}
