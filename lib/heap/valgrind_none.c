/* SPDX-License-Identifier: MIT */
/* Built without valgrind's headers: nobody is told anything. */
#include "heap/valgrind.h"

int lodei_on_valgrind;

void lodei_valgrind_start(void)
{
}

void lodei_valgrind_hide(void *start, size_t bytes)
{
    (void)start;
    (void)bytes;
}

size_t lodei_valgrind_announced(const void *block)
{
    (void)block;
    return 0;
}

void lodei_valgrind_usable_asked(void *block)
{
    (void)block;
}

void lodei_valgrind_kept(void *p, size_t bytes)
{
    (void)p;
    (void)bytes;
}

void lodei_valgrind_silence(int on)
{
    (void)on;
}
