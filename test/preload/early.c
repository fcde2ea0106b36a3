/* SPDX-License-Identifier: MIT */
/*
 * A library whose constructor, of the earliest priority, allocates. Linked by `early`, or preloaded
 * beside the malloc library, so that it runs before that library's own constructor.
 */
#include <stdlib.h>
#include <string.h>

#define EARLY_API __attribute__((visibility("default")))

EARLY_API unsigned char **early_blocks(void);

static unsigned char *blocks[4];

__attribute__((constructor(101))) static void allocate(void)
{
    static const size_t sizes[4] = {10, 1000, 50000, 3000000};

    for (int i = 0; i < 4; i++) {
        blocks[i] = calloc(1, sizes[i]);
        if (blocks[i])
            memset(blocks[i], i + 1, 10);
    }
}

unsigned char **early_blocks(void)
{
    return blocks;
}
