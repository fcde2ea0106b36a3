/* SPDX-License-Identifier: MIT */
/* Built without valgrind's headers: memcheck is told nothing. */
#include "ext/poison.h"

int lodei_memcheck_present(void)
{
    return 0;
}

void lodei_memcheck_undefined(const void *p, size_t bytes)
{
    (void)p;
    (void)bytes;
}

void lodei_memcheck_noaccess(const void *p, size_t bytes)
{
    (void)p;
    (void)bytes;
}

void lodei_memcheck_defined(const void *p, size_t bytes)
{
    (void)p;
    (void)bytes;
}

void lodei_memcheck_silence(int on)
{
    (void)on;
}
