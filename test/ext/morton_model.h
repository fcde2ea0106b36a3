/* SPDX-License-Identifier: MIT */
/* What Morton codes and boxes are, by loops over bits and cells: for tests and fuzzers. */
#ifndef MORTON_MODEL_H
#define MORTON_MODEL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static inline uint64_t morton_random(uint64_t *state)
{
    /* splitmix64, Steele, Lea and Flood 2014 */
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* The low `bits` bits of `dims` coordinates, interleaved. */
static inline uint64_t morton_model(unsigned dims, unsigned bits, const uint32_t *at)
{
    uint64_t code = 0;
    for (unsigned bit = 0; bit < bits; bit++)
        for (unsigned axis = 0; axis < dims; axis++)
            code |= (uint64_t)(at[axis] >> bit & 1) << (bit * dims + axis);
    return code;
}

struct morton_model_box {
    uint32_t lo[3], hi[3];
    uint64_t *codes; /* of every cell, sorted; the caller frees */
    size_t count;
};

static int morton_by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A box of few cells at a random place: near a corner of large aligned cubes, or anywhere. */
static inline void morton_model_box(struct morton_model_box *ret, unsigned dims, uint64_t *state)
{
    unsigned bits = dims == 2 ? 32 : 21;
    size_t cells = 1;
    for (unsigned axis = 0; axis < dims; axis++) {
        uint64_t r = morton_random(state);
        uint32_t all = bits == 32 ? UINT32_MAX : ((uint32_t)1 << bits) - 1;
        uint32_t side = (uint32_t)(r >> 8) % (dims == 2 ? 24 : 9);
        uint32_t lo = (uint32_t)(r >> 32) & all;
        if (r & 1)
            lo = (((uint32_t)1 << r / 2 % bits) - (uint32_t)(r >> 40) % 8) & all;
        ret->lo[axis] = lo;
        ret->hi[axis] = all - lo < side ? all : lo + side;
        cells *= ret->hi[axis] - lo + 1;
    }
    if (dims == 2)
        ret->lo[2] = ret->hi[2] = 0;
    ret->codes = malloc(cells * sizeof(*ret->codes));
    ret->count = 0;
    uint32_t at[3];
    for (at[2] = ret->lo[2];; at[2]++) {
        for (at[1] = ret->lo[1];; at[1]++) {
            for (at[0] = ret->lo[0];; at[0]++) {
                if (ret->codes != NULL)
                    ret->codes[ret->count++] = morton_model(dims, bits, at);
                if (at[0] == ret->hi[0])
                    break;
            }
            if (at[1] == ret->hi[1])
                break;
        }
        if (at[2] == ret->hi[2])
            break;
    }
    if (ret->codes != NULL)
        qsort(ret->codes, ret->count, sizeof(*ret->codes), morton_by_value);
}

/* A code in, near or far from the box. */
static inline uint64_t morton_model_code(const struct morton_model_box *box, unsigned dims,
                                         uint64_t *state)
{
    uint64_t r = morton_random(state), all = dims == 2 ? UINT64_MAX : UINT64_MAX >> 1;
    uint64_t code = box->codes[morton_random(state) % box->count];
    if (r % 8 == 0)
        return morton_random(state) & all;
    return (code + (uint64_t)((int64_t)(r >> 8 & 63) - 32)) & all;
}

#endif
