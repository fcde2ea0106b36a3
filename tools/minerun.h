/* SPDX-License-Identifier: MIT */
/*
 * What `lode mine` and the modules it loads have in common. There is a module for each --alloc,
 * lode-mine-NAME.so, which does the work over one way to keep bricks and nodes; the program itself
 * links none of them. Both are built together and know each other's structs.
 *
 * The work: each lane's window is filled, the lane's edits are done with the window following the
 * miner, and the world that is then in the windows is hashed and counted.
 */
#ifndef LODEI_MINERUN_H
#define LODEI_MINERUN_H

#include "minemeter.h"
#include "minescript.h"
#include "minework.h"

/* A window that is moved from one place to the next, in ticks of the clock. */
struct lodei_mine_shift {
    uint32_t leave_ticks, enter_ticks;
    uint32_t bricks; /* places that entered */
};

struct lodei_mine_lane_script {
    const struct lodei_mine_edit *edits;
    size_t edit_count;
    uint32_t *edit_ticks;            /* written: of each edit */
    struct lodei_mine_shift *shifts; /* written; room for one an edit */
};

struct lodei_mine_config {
    const struct lodei_mine_world *world;
    struct lodei_mine_lane_script lanes[LODEI_MINE_LANES];
    int32_t window[3]; /* of each lane, in bricks; not larger than the lane */
    int32_t tier;      /* of every brick; -1: by its distance from the surface */
    enum lodei_mine_channels channels;
    unsigned threads; /* 1 or 2 */
};

/* A slice of the first lane's world along x and y, through where its miner stands. */
struct lodei_mine_slice {
    int32_t z; /* in voxels */
    /* [y][x] of the world's bricks and voxels, by the caller; zeroed */
    struct lodei_mine_slice_brick {
        uintptr_t address; /* of an interface's payload */
        uint8_t in_window;
        uint8_t kind; /* enum lodei_mine_kind */
        uint8_t with_distances, tier;
    } * bricks;
    uint8_t *solid;
};

enum lodei_mine_kind { LODEI_MINE_EMPTY, LODEI_MINE_HOMOGENEOUS, LODEI_MINE_INTERFACE };
enum { LODEI_MINE_KINDS = 3 };
/* Times that resident memory is looked at on the way. */
enum { LODEI_MINE_COURSE = 16 };

/* Figures that a storage does not have stay as they were. */
struct lodei_mine_result {
    uint64_t hash;          /* of bricks and octree: everything but where it is stored */
    uint64_t contents_hash; /* of the contents alone, the same whatever the tiers */
    uint64_t tier_bricks[LODEI_MINE_TIERS]; /* with distances */
    uint64_t contents_bricks;               /* with contents */
    uint64_t interface_bricks;              /* with one of them or both */
    uint64_t places;                        /* bricks there is room for in the windows */
    uint64_t nodes[LODEI_MINE_KINDS];       /* children of nodes, bricks included */
    uint64_t distances_bytes, contents_bytes, node_bytes, index_bytes; /* live, as asked for */
    uint64_t mapped_bytes;  /* by the storage's own account, at the end; 0: it has none */
    uint64_t memory_blocks; /* live */
    /* resident: before the first brick, with the window filled, at the end, at most in between */
    uint64_t resident_start, resident_built, resident_end, resident_peak;
    uint64_t resident_course[LODEI_MINE_COURSE]; /* while the first lane's edits are done */
    double build_s, dig_s, dig_cpu_s;            /* the last of all threads together */
    size_t shift_counts[LODEI_MINE_LANES];
    struct lodei_mine_meter meters[LODEI_MINE_LANES];
    struct lodei_mine_slice slice; /* bricks NULL: none is wanted */
};

/* Returns 0, or -errno. Ends the program when out of memory. */
typedef int lodei_mine_runner(const struct lodei_mine_config *config,
                              struct lodei_mine_result *result);
#define LODEI_MINE_RUN __attribute__((visibility("default"))) int lodei_mine_run
extern lodei_mine_runner lodei_mine_run;

#endif
