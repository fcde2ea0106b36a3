/* SPDX-License-Identifier: MIT */
/* Bricks for the tests of ext/sdfpack.h: of exact size, so that a sanitizer sees any step beyond.
 */
#ifndef SDF_BRICK_H
#define SDF_BRICK_H

#include <errno.h>
#include <float.h>
#include <stdlib.h>

#include "ext/sdfpack.h"

/* splitmix64, Steele, Lea and Flood 2014 */
LODE_INLINE uint64_t brick_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

LODE_INLINE void brick_random_bytes(uint64_t *state, void *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)to)[i] = (uint8_t)brick_random(state);
}

/* In [low, high]. */
LODE_INLINE float brick_random_float(uint64_t *state, float low, float high)
{
    return low + (high - low) * ((float)(brick_random(state) >> 40) / (float)0xffffff);
}

LODE_INLINE void brick_random_box(uint64_t *state, unsigned dim, struct lodei_sdf_box *ret_box)
{
    for (unsigned a = 0; a < 3; a++) {
        ret_box->corner[a] = (unsigned)brick_random(state) % dim;
        ret_box->size[a] = 1 + (unsigned)brick_random(state) % (dim - ret_box->corner[a]);
        if (brick_random(state) % 3 == 0) {
            ret_box->corner[a] = 0;
            ret_box->size[a] = dim;
        }
    }
}

LODE_INLINE void *brick_memory(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL)
        abort();
    return memory;
}

LODE_INLINE float *brick_floats(unsigned dim)
{
    return brick_memory(lodei_sdf_voxels(dim) * sizeof(float));
}

LODE_INLINE uint8_t *brick_payload(unsigned bits, unsigned dim)
{
    return brick_memory(lodei_sdf_payload_bytes(bits, dim));
}

/* Take this path; 0 where the machine has it not. */
LODE_INLINE int brick_path(int path)
{
    return lodei_sdf_path_set((enum lodei_sdf_path)path) == 0;
}

#endif
