/* SPDX-License-Identifier: MIT */
/*
 * One brick out of storage, and what is done to it there: the same code for every storage.
 *
 * A brick is what its distances and its contents say:
 *
 *     distances         contents    it is
 *     all beyond +band  all air     empty: nothing is stored
 *     all beyond a band all one     homogeneous: its content is stored, in its parent
 *     else              any         an interface: what is not the same everywhere is stored
 *
 * so that an interface may have both channels, or one of them. The kernels over distances are those
 * of liblode-ext itself (ext/sdfpack.h), whichever storage is used.
 */
#ifndef LODEI_MINEWORK_H
#define LODEI_MINEWORK_H

#include "ext/sdfpack.h"
#include "minescript.h"
#include "mineworld.h"

/* Bits a voxel, by tier. */
enum { LODEI_MINE_TIERS = 3 };
static const uint8_t lodei_mine_bits[LODEI_MINE_TIERS] = {16, 8, 4};

enum lodei_mine_channels {
    LODEI_MINE_BOTH,      /* distances and contents */
    LODEI_MINE_DISTANCES, /* contents are air outside and the commonest rock inside */
    LODEI_MINE_NODES,     /* the octree of both, and no payload: cannot be dug in */
};

struct lodei_mine_brick {
    _Alignas(64) float distances[LODEI_MINE_VOXELS]; /* only if with_distances */
    uint8_t contents[LODEI_MINE_VOXELS];             /* only if with_contents */
    uint8_t opened[LODEI_MINE_VOXELS];               /* by the last carve */
    uint16_t packed[LODEI_MINE_VOXELS];              /* room for an arrival */
    uint8_t content;                                 /* of all voxels, if not with_contents */
    uint8_t with_distances, with_contents;
    uint8_t inside; /* if not with_distances: 1 all lie beyond -band, 0 beyond +band */
    uint8_t tier;
};

/* Nothing of it need be stored but its content. */
static inline int lodei_mine_uniform(const struct lodei_mine_brick *brick)
{
    return !brick->with_distances && !brick->with_contents;
}

/* The payload of a brick's distances. */
static inline size_t lodei_mine_payload_bytes(unsigned tier)
{
    return LODEI_MINE_VOXELS * (size_t)lodei_mine_bits[tier] / 8;
}
enum { LODEI_MINE_CONTENTS_BYTES = LODEI_MINE_VOXELS };

/* A brick as it enters the window, packed. */
struct lodei_mine_arrival {
    const void *distances;   /* the payload of its tier; NULL: all lie beyond the band */
    const uint8_t *contents; /* NULL: all are `content` */
    uint8_t content;
    uint8_t inside, tier;                  /* as in struct lodei_mine_brick */
    uint8_t with_distances, with_contents; /* also where the channels leave payloads out */
};

/* The brick at `at` (in bricks) as nobody has dug in it, in this tier; -1: by its distance. Its
 * payloads are the world's, or stand in `room` until that is used again. */
struct lodei_mine_arrival lodei_mine_arrive(const struct lodei_mine_world *world,
                                            enum lodei_mine_channels channels, const int32_t at[3],
                                            int32_t tier, struct lodei_mine_brick *room);

/* The bricks that an edit can change, band included, within `limit`. */
struct lodei_mine_box lodei_mine_reach(const struct lodei_mine_edit *edit,
                                       const struct lodei_mine_box *limit);
/* Does the edit change distances in the brick at `at`, which is one of those? */
int lodei_mine_touches(const struct lodei_mine_edit *edit, const int32_t at[3]);

enum {
    LODEI_MINE_CARVED = 1, /* distances changed */
    LODEI_MINE_OPENED = 2, /* and some voxels are solid no more: lodei_mine_clear() is due */
};

/*
 * Dig in the brick at `at`. In: its distances, if it has any, as its tier holds them. Out: the
 * same, and with_distances, inside and tier as they are now; `tier`: as above. Returns LODEI_MINE_
 * flags; of 0 nothing changed.
 */
unsigned lodei_mine_carve(const struct lodei_mine_edit *edit, const int32_t at[3], int32_t tier,
                          struct lodei_mine_brick *brick);

/* Make air of what was opened. `contents`: what the brick held, NULL for brick->content everywhere.
 * Writes the brick's contents, with_contents and content. */
void lodei_mine_clear(const uint8_t *contents, uint8_t air, struct lodei_mine_brick *brick);

/* Take `bytes` at `from`, a multiple of 8, into *hash. Not cryptographic: to see that two worlds
 * are the same. */
void lodei_mine_hash(uint64_t *hash, const void *from, size_t bytes);

#endif
