/* SPDX-License-Identifier: MIT */
/*
 * A world from disk: nodes and their palette, as test/data/README.md describes the files.
 */
#ifndef LODEI_WORLDFILE_H
#define LODEI_WORLDFILE_H

#include <stddef.h>
#include <stdint.h>

#define LODEI_WORLD_FILE         "minetest-v7-424242.u16.zst"
#define LODEI_WORLD_PALETTE_FILE "minetest-v7-424242.palette.txt"

/* Nodes along x, y (up) and z. */
enum { LODEI_WORLD_X = 256, LODEI_WORLD_Y = 128, LODEI_WORLD_Z = 256 };
enum { LODEI_WORLD_NODES = LODEI_WORLD_X * LODEI_WORLD_Y * LODEI_WORLD_Z };
/* Room for a node's name with its end. */
enum { LODEI_WORLD_NAME = 64 };

struct lodei_palette_row {
    uint16_t id;
    char name[LODEI_WORLD_NAME];
    uint64_t count; /* nodes of this id: what the palette says, and the file holds */
};

struct lodei_worldfile {
    uint16_t *nodes; /* [LODEI_WORLD_Z][LODEI_WORLD_Y][LODEI_WORLD_X]: x fastest; content ids */
    struct lodei_palette_row *palette;
    size_t palette_count;
};

/*
 * Read the world in directory `dir`. Returns 0, *ret_world then ended with
 * lodei_worldfile_finish(); or -1 after a message, for files that cannot be read, are not of this
 * format, or do not fit each other: every node's id stands in the palette, as often as it says.
 */
int lodei_worldfile_read(const char *dir, struct lodei_worldfile *ret_world);
void lodei_worldfile_finish(struct lodei_worldfile *world);

#endif
