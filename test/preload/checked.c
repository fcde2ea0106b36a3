/* SPDX-License-Identifier: MIT */
/*
 * One memory fault, or none, for valgrind to find. Through malloc's names it runs under a preloaded
 * library, whose blocks valgrind is told of too.
 *
 *     checked FAULT       none freed large beyond little tail shrunk unset lost
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile char sink;

static char *filled(size_t bytes)
{
    char *p = malloc(bytes);
    memset(p, 1, bytes);
    return p;
}

/* What valgrind must not complain of: every way a block comes by its contents. */
static void none(void)
{
    for (size_t i = 1; i < 1500; i += 7) {
        char *p = calloc(i, 61);
        for (size_t at = 0; at < i * 61; at++)
            if (p[at] != 0)
                abort();
        p = realloc(p, i * 90);
        if (p[i * 61 - 1] != 0)
            abort();
        free(p);
    }
    char *large = filled((size_t)5 << 20);
    for (size_t mib = 6; mib < 12; mib++) {
        large = realloc(large, mib << 20);
        if (large[((size_t)5 << 20) - 1] != 1)
            abort();
    }
    free(large);
    /* Usable bytes may be used once they are asked for, and until the next realloc. */
    char *odd = malloc(100);
    memset(odd, 1, malloc_usable_size(odd));
    odd = realloc(odd, 105);
    if (odd[99] != 1)
        abort();
    free(odd);
    /* of fresh pages, too */
    odd = malloc(((size_t)20 << 20) + 1);
    memset(odd, 1, malloc_usable_size(odd));
    odd = realloc(odd, ((size_t)30 << 20) + 1);
    if (odd[20 << 20] != 1)
        abort();
    memset(odd, 1, malloc_usable_size(odd));
    free(odd);
}

int main(int argc, char **argv)
{
    const char *fault = argc > 1 ? argv[1] : "none";
    char *p = filled(112), *large = filled(300000);
    if (strcmp(fault, "none") == 0) {
        none();
    } else if (strcmp(fault, "freed") == 0) {
        free(p);
        sink = p[50];
        p = NULL;
    } else if (strcmp(fault, "large") == 0) {
        free(large);
        sink = large[5000];
        large = NULL;
    } else if (strcmp(fault, "beyond") == 0) {
        volatile size_t behind = 112;
        sink = p[behind];
    } else if (strcmp(fault, "little") == 0) {
        volatile size_t behind = 101; /* within the block's class */
        char *odd = filled(101);
        sink = odd[behind];
        free(odd);
    } else if (strcmp(fault, "tail") == 0) {
        volatile size_t behind = 300001; /* within its last page */
        large = realloc(large, behind);
        sink = large[behind];
    } else if (strcmp(fault, "shrunk") == 0) {
        p = realloc(p, 107);
        volatile size_t behind = 107;
        sink = p[behind];
    } else if (strcmp(fault, "unset") == 0) {
        char *unset = malloc(64);
        if (unset[20] == 3)
            puts("three");
        free(unset);
    } else if (strcmp(fault, "lost") == 0) {
        p = NULL;
    }
    free(p);
    free(large);
    return 0;
}
