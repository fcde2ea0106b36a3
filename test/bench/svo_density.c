/* SPDX-License-Identifier: MIT */
/*
 * lode-svo-density [LEVELS]: what the nodes of an octree cost, slots and rounding included, as CSV:
 * how it was made, Interface nodes, nodes of all types, resident bytes, bytes an Interface node,
 * and resident bytes as a share of the last row's.
 *
 * The world has a hilly surface and caves; LEVELS (default 7) is the root's level. It is built from
 * a source; made by setting bricks in shuffled order, where every group grows line by line; that,
 * reordered; and made of malloc'd nodes, 64 bytes for each child of any type. Each in a process of
 * its own; resident is what the process gained (/proc/self/smaps_rollup), unused pages given back.
 */
#include <lode/svo.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct node {
    struct node *children[8]; /* 64 bytes: type and value would be in unused ones */
};

static unsigned levels = 7;
static int32_t side;
static uint64_t interface_nodes, all_nodes;

static void die_unless(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "lode-svo-density: %s failed\n", what);
        exit(1);
    }
}

static uint64_t resident_bytes(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *rollup = fopen("/proc/self/smaps_rollup", "re");
    die_unless(rollup != NULL, "smaps_rollup");
    while (fgets(line, sizeof(line), rollup) != NULL)
        if (sscanf(line, "Private_Dirty: %lu", &kib) == 1)
            break;
    fclose(rollup);
    return (uint64_t)kib * 1024;
}

static int describe(void *ctx, unsigned level, struct lode_ivec3 at,
                    struct lode_svo_content *ret_content)
{
    (void)ctx;
    if (level > 0) {
        ret_content->type = LODE_SVO_INTERFACE;
        return 0;
    }
    double hill = side / 2 + side / 6.0 * sin(at.x * 9.0 / side) * cos(at.z * 7.0 / side + at.x);
    double cave = sin(at.x * 0.3) + cos(at.y * 0.5) + sin(at.z * 0.25);
    if (fabs(at.y - hill) < 1 || (at.y < hill && fabs(cave - 1.8) < 0.2))
        *ret_content = (struct lode_svo_content){.type = LODE_SVO_INTERFACE, .bricks = {1}};
    else if (at.y < hill && cave < 1.8)
        *ret_content = (struct lode_svo_content){.type = LODE_SVO_HOMOGENEOUS, .value = 1};
    return 0;
}

static struct lode_svo *create(void)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct lode_svo *svo;
    opts.levels = (uint8_t)levels;
    opts.flags = LODE_SVO_COALESCE;
    opts.centre = (struct lode_ivec3){side / 2, side / 2, side / 2};
    die_unless(lode_svo_create(&opts, &svo) == 0, "lode_svo_create");
    return svo;
}

static void count_nodes(struct lode_svo *svo)
{
    struct lode_svo_stats stats = {.size = sizeof(stats)};
    die_unless(lode_svo_stats(svo, &stats) == 0, "lode_svo_stats");
    for (unsigned level = 0; level <= levels; level++)
        for (int type = 0; type < 3; type++) {
            all_nodes += stats.nodes[type][level];
            interface_nodes += type == LODE_SVO_INTERFACE ? stats.nodes[type][level] : 0;
        }
}

static struct lode_svo *built(void)
{
    struct lode_svo *svo = create();
    struct lode_ivec3 at = {0, 0, 0};
    die_unless(lode_svo_build(svo, levels, at, describe, NULL) == 0, "lode_svo_build");
    return svo;
}

/* Every brick once: an odd multiplier permutes a power of two. */
static struct lode_svo *shuffled(void)
{
    struct lode_svo *svo = create();
    uint32_t count = (uint32_t)1 << 3 * levels;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = (i * 2654435761u + 12345) & (count - 1);
        struct lode_ivec3 at = {(int32_t)place & (side - 1),
                                (int32_t)(place >> levels) & (side - 1),
                                (int32_t)(place >> 2 * levels)};
        struct lode_svo_content content = {.type = LODE_SVO_EMPTY};
        (void)describe(NULL, 0, at, &content);
        die_unless(lode_svo_set(svo, 0, at, &content, NULL) == 0, "lode_svo_set");
    }
    return svo;
}

static struct lode_svo *reordered(void)
{
    struct lode_svo *svo = shuffled();
    while (lode_svo_reorder(svo, 1000) == 1)
        ;
    return svo;
}

static void *allocate(size_t bytes)
{
    void *block = calloc(1, bytes);
    die_unless(block != NULL, "calloc");
    return block;
}

/* The children of a node of the tree, each malloc'd. */
static void copy(struct lode_svo *svo, unsigned level, struct lode_ivec3 at, struct node *to)
{
    for (int o = 0; o < 8; o++) {
        int32_t half = 1 << (level - 1);
        struct lode_ivec3 corner = {at.x + (o & 1) * half, at.y + (o >> 1 & 1) * half,
                                    at.z + (o >> 2) * half};
        struct lode_svo_cell cell;
        to->children[o] = allocate(sizeof(struct node));
        die_unless(lode_svo_get(svo, level - 1, corner, &cell) == 0, "lode_svo_get");
        if (cell.content.type == LODE_SVO_INTERFACE && level > 1)
            copy(svo, level - 1, corner, to->children[o]);
    }
}

static void row(const char *name, uint64_t resident, uint64_t of)
{
    printf("%s,%llu,%llu,%llu,%.1f,%.3f\n", name, (unsigned long long)interface_nodes,
           (unsigned long long)all_nodes, (unsigned long long)resident,
           (double)resident / (double)interface_nodes, of != 0 ? (double)resident / (double)of : 1);
}

/* Resident bytes of one way, measured by a child. */
static uint64_t measure(struct lode_svo *(*make)(void))
{
    int pipe_ends[2], status = 1;
    uint64_t said[3] = {0};
    die_unless(pipe(pipe_ends) == 0, "pipe");
    pid_t child = fork();
    die_unless(child >= 0, "fork");
    if (child == 0) {
        struct lode_svo *svo = make != NULL ? NULL : built();
        struct node *root = make != NULL ? NULL : allocate(sizeof(*root));
        lode_free(lode_malloc(1));
        uint64_t before = resident_bytes();
        if (make != NULL)
            svo = make();
        else
            copy(svo, levels, (struct lode_ivec3){0, 0, 0}, root);
        lode_purge();
        said[0] = resident_bytes() - before;
        interface_nodes = all_nodes = 0;
        count_nodes(svo);
        said[1] = interface_nodes;
        said[2] = all_nodes;
        _exit(write(pipe_ends[1], said, sizeof(said)) != sizeof(said));
    }
    close(pipe_ends[1]);
    die_unless(read(pipe_ends[0], said, sizeof(said)) == sizeof(said), "a child");
    close(pipe_ends[0]);
    die_unless(waitpid(child, &status, 0) == child && status == 0, "a child");
    interface_nodes = said[1];
    all_nodes = said[2];
    return said[0];
}

int main(int argc, char **argv)
{
    if (argc > 1)
        levels = (unsigned)atoi(argv[1]);
    die_unless(levels >= 1 && levels <= 9, "LEVELS from 1 to 9");
    side = 1 << levels;
    uint64_t naive = measure(NULL);
    printf("made,interface_nodes,nodes,resident_bytes,bytes_per_interface_node,share\n");
    row("built", measure(built), naive);
    row("shuffled", measure(shuffled), naive);
    row("reordered", measure(reordered), naive);
    row("malloc-per-child", naive, naive);
    return 0;
}
