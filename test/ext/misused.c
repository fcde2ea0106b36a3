/* SPDX-License-Identifier: MIT */
/*
 * One fault a run, on one allocator of conformance_table.c: what ASan or memcheck must find.
 * test_misused.py runs it.
 *
 *     misused list              the allocators, one a line; with " heap" where liblode-heap is who
 *                               tells the tool
 *     misused NAME FAULT        none, freed, beyond
 *
 * Public headers only: it is built with ASan over libraries without, and the other way round.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

#define BLOCKS 50

static struct lode_allocator it;
static struct lode_heap *heap;

static void must(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "misused: %s\n", what);
    exit(3);
}

/* The only access a fault makes. */
static __attribute__((noinline)) int read_at(const char *p)
{
    return *(const volatile char *)p;
}

/* Whatever is right must pass without a word: used, freed, used again, and the memory used by
 * others afterwards. */
static void all_is_well(const struct conformance_row *row)
{
    void *blocks[BLOCKS];
    size_t bytes = row->traits & LODE_TRAIT_FIXED ? row->block_bytes : 100;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = lode_allocator_alloc(&it, bytes, 16);
            must(blocks[i] != NULL, "no memory");
            memset(blocks[i], 1, bytes);
        }
        if (!(row->traits & LODE_TRAIT_FIXED)) {
            char *grown = lode_allocator_resize(&it, blocks[BLOCKS - 1], bytes, 3000, 16);
            must(grown != NULL, "no resize");
            memset(grown + bytes, 1, 3000 - bytes);
            blocks[BLOCKS - 1] = lode_allocator_resize(&it, grown, 3000, bytes, 16);
        }
        for (int i = BLOCKS; i-- > 0;)
            must(lode_allocator_free(&it, blocks[i], bytes, 16) == 0, "free failed");
    }
    row->end(&it);
    for (int i = 0; i < 2000; i++) {
        size_t room = (size_t)1 << (4 + i % 15);
        char *p = lode_heap_alloc(heap, room);
        must(p != NULL, "no memory");
        memset(p, 2, room);
        if (i % 3 != 0)
            lode_free(p);
    }
    lode_heap_destroy(heap);
}

static void fault(const struct conformance_row *row, const char *what)
{
    size_t bytes = row->traits & LODE_TRAIT_FIXED ? row->block_bytes : 128;
    char *block = lode_allocator_alloc(&it, bytes, 16);
    /* Behind the last block of lent memory is somebody else's, which nobody watches. */
    for (int i = 0; i < 4 && block != NULL && !lode_allocator_owns(&it, block + bytes); i++)
        block = lode_allocator_alloc(&it, bytes, 16);
    must(block != NULL, "no memory");
    memset(block, 1, bytes);
    if (strcmp(what, "freed") == 0) {
        must(lode_allocator_free(&it, block, bytes, 16) == 0, "free failed");
        printf("%d\n", read_at(block + bytes / 2));
    } else if (strcmp(what, "beyond") == 0) {
        printf("%d\n", read_at(block + bytes));
    } else {
        must(0, "no such fault");
    }
}

int main(int argc, char **argv)
{
    const struct conformance_row *row = conformance_rows;
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (; row->name != NULL; row++)
            printf("%s%s\n", row->name, row->heap_announces ? " heap" : "");
        return 0;
    }
    must(argc == 3, "list, or NAME FAULT");
    while (row->name != NULL && strcmp(row->name, argv[1]) != 0)
        row++;
    must(row->name != NULL, "no such allocator");
    must(lode_heap_create(NULL, &heap) == 0 && row->make(heap, &it) == 0, "cannot make it");
    if (strcmp(argv[2], "none") == 0)
        all_is_well(row);
    else
        fault(row, argv[2]);
    return 0;
}
