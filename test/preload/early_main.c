/* SPDX-License-Identifier: MIT */
/*
 * Blocks from before any constructor: malloc called from .preinit_array, which runs ahead of every
 * library's initialiser, and from the constructor of a library (early.c). All must still be there
 * in main, and can be grown and freed.
 */
#include <stdlib.h>
#include <string.h>

extern unsigned char **early_blocks(void);

static unsigned char *preinit_blocks[3];

static void preinit(void)
{
    static const size_t sizes[3] = {100, 20000, 2000000};

    for (int i = 0; i < 3; i++) {
        preinit_blocks[i] = malloc(sizes[i]);
        if (preinit_blocks[i])
            memset(preinit_blocks[i], i + 1, 100);
    }
    free(malloc(300));
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(void) = preinit;

/* Grow and free. Returns 0 if the block was as it should be. */
static int finish(unsigned char *p, int byte)
{
    if (!p || p[0] != byte || p[9] != byte)
        return 1;
    p = realloc(p, 40000);
    if (!p || p[0] != byte || p[9] != byte)
        return 1;
    free(p);
    return 0;
}

int main(void)
{
    int bad = 0;

    for (int i = 0; i < 3; i++)
        bad |= finish(preinit_blocks[i], i + 1);
    for (int i = 0; i < 4; i++)
        bad |= finish(early_blocks()[i], i + 1);
    return bad;
}
