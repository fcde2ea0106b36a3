/* SPDX-License-Identifier: MIT */
/*
 * Reads a world; the only file that includes zstd. See worldfile.h.
 *
 * The compressed file is mapped and unpacked in one call into pages of its own: of malloc's memory
 * only zstd's context is used, some 150 KiB.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "pages.h"
#include "worldfile.h"
#include "xalloc.h"

static const size_t nodes_bytes = (size_t)LODEI_WORLD_NODES * sizeof(uint16_t);

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's ids are little-endian");

/* Unpack `length` bytes at `packed`: exactly one world. */
static int unpack(const char *path, const void *packed, size_t length, uint16_t *nodes)
{
    size_t unpacked = ZSTD_decompress(nodes, nodes_bytes, packed, length);

    if (ZSTD_isError(unpacked)) {
        warnx("%s: %s", path, ZSTD_getErrorName(unpacked));
        return -1;
    }
    if (unpacked != nodes_bytes) {
        warnx("%s: holds %zu bytes, not %zu", path, unpacked, nodes_bytes);
        return -1;
    }
    return 0;
}

static int read_nodes(const char *path, uint16_t *nodes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), fault = -1;
    void *packed = MAP_FAILED;
    struct stat st = {0};

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
        packed = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0 && packed == MAP_FAILED && st.st_size == 0)
        warnx("%s: is empty", path);
    else if (packed == MAP_FAILED)
        warn("%s", path);
    else
        fault = unpack(path, packed, (size_t)st.st_size, nodes);
    if (packed != MAP_FAILED)
        munmap(packed, (size_t)st.st_size);
    if (fd >= 0)
        close(fd);
    return fault;
}

/* "id name count" */
static int parse_row(const char *line, struct lodei_palette_row *ret_row)
{
    struct lodei_palette_row row;
    unsigned id;
    int end = 0;

    _Static_assert(LODEI_WORLD_NAME == 64, "the width below");
    if (sscanf(line, "%u %63s %" SCNu64 " %n", &id, row.name, &row.count, &end) != 3 ||
        line[end] != '\0' || id > UINT16_MAX)
        return -1;
    row.id = (uint16_t)id;
    *ret_row = row;
    return 0;
}

static int read_palette(const char *path, struct lodei_worldfile *world)
{
    FILE *in = fopen(path, "re");
    size_t room = 0, number = 0;
    char *line = NULL;
    int fault = 0;

    if (in == NULL) {
        warn("%s", path);
        return -1;
    }
    while (fault == 0 && getline(&line, &room, in) > 0) {
        number++;
        world->palette =
            lodei_xreallocarray(world->palette, world->palette_count + 1, sizeof(*world->palette));
        if (parse_row(line, &world->palette[world->palette_count]) == 0) {
            world->palette_count++;
            continue;
        }
        warnx("%s:%zu: expected: id name count", path, number);
        fault = -1;
    }
    if (fault == 0 && ferror(in)) {
        warn("%s", path);
        fault = -1;
    }
    free(line);
    fclose(in);
    return fault;
}

/* The palette and the nodes describe each other. */
static int check_counts(const char *path, const struct lodei_worldfile *world)
{
    uint32_t *counts = lodei_xcalloc(UINT16_MAX + 1, sizeof(*counts));
    uint64_t named = 0;
    int fault = 0;

    for (size_t i = 0; i < LODEI_WORLD_NODES; i++)
        counts[world->nodes[i]]++;
    for (size_t i = 0; fault == 0 && i < world->palette_count; i++) {
        const struct lodei_palette_row *row = &world->palette[i];

        named += counts[row->id];
        if (counts[row->id] != row->count) {
            warnx("%s: %" PRIu64 " nodes of %s are named, the world has %" PRIu32, path, row->count,
                  row->name, counts[row->id]);
            fault = -1;
        }
        counts[row->id] = 0;
    }
    if (fault == 0 && named != LODEI_WORLD_NODES) {
        warnx("%s: %" PRIu64 " nodes of the world have no name", path, LODEI_WORLD_NODES - named);
        fault = -1;
    }
    free(counts);
    return fault;
}

int lodei_worldfile_read(const char *dir, struct lodei_worldfile *ret_world)
{
    struct lodei_worldfile world = {.nodes = lodei_pages_alloc(1, nodes_bytes)};
    char *nodes_path = lodei_xasprintf("%s/%s", dir, LODEI_WORLD_FILE);
    char *palette_path = lodei_xasprintf("%s/%s", dir, LODEI_WORLD_PALETTE_FILE);
    int fault = read_nodes(nodes_path, world.nodes);

    if (fault == 0)
        fault = read_palette(palette_path, &world);
    if (fault == 0)
        fault = check_counts(palette_path, &world);
    free(nodes_path);
    free(palette_path);
    if (fault != 0)
        lodei_worldfile_finish(&world);
    else
        *ret_world = world;
    return fault;
}

void lodei_worldfile_finish(struct lodei_worldfile *world)
{
    lodei_pages_free(world->nodes, 1, nodes_bytes);
    free(world->palette);
}
