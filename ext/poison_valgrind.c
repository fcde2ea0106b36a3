/* SPDX-License-Identifier: MIT */
/* The client requests behind poison.h; poison_none.c stands in where valgrind's headers are not
 * installed. */
#include "ext/poison.h"

#include <valgrind/memcheck.h>

int lodei_memcheck_present(void)
{
    char any = 0, bits;
    /* Answered by memcheck alone: under other tools the fast paths are what one wants to see. */
    return VALGRIND_GET_VBITS(&any, &bits, 1) == 1;
}

void lodei_memcheck_undefined(const void *p, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_UNDEFINED(p, bytes);
}

void lodei_memcheck_noaccess(const void *p, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_NOACCESS(p, bytes);
}

void lodei_memcheck_defined(const void *p, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(p, bytes);
}

void lodei_memcheck_silence(int on)
{
    if (on)
        VALGRIND_DISABLE_ERROR_REPORTING;
    else
        VALGRIND_ENABLE_ERROR_REPORTING;
}
