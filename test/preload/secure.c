/* SPDX-License-Identifier: MIT */
/*
 * Linked with liblode.so, as preloading ends where AT_SECURE begins. Prints "secure 0" or "secure
 * 1" and frees a block twice: with LODE_OPTIONS=misuse=ignore it reaches the end only if the
 * environment was heeded, which under AT_SECURE it must not be.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static void *opaque(void *p)
{
    void *volatile v = p;
    return v;
}

int main(void)
{
    char text[96];
    void *p = malloc(100), *again = opaque(p);

    free(p);
    snprintf(text, sizeof text, "secure %lu\nptr 0x%lx\n", getauxval(AT_SECURE),
             (unsigned long)(uintptr_t)again);
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        return 9;
    free(again);
    return 0;
}
