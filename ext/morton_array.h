/* SPDX-License-Identifier: MIT */
/*
 * Morton codes of arrays: one set of functions per kind of processor. Owns nothing; every set gives
 * the same bits. The public functions of lode/morton.h call the set chosen for this processor;
 * tests call each that it can run.
 */
#ifndef LODEI_MORTON_ARRAY_H
#define LODEI_MORTON_ARRAY_H

#include <stddef.h>
#include <stdint.h>

/* `bias` is added to each coordinate before encoding, and subtracted after decoding. Arrays of
 * input and output do not overlap, unless an output is the input of the same axis. */
struct lodei_morton_paths {
    const char *name;
    void (*encode2)(const uint32_t *x, const uint32_t *y, size_t count, uint32_t bias,
                    uint64_t *ret_codes);
    void (*decode2)(const uint64_t *codes, size_t count, uint32_t bias, uint32_t *ret_x,
                    uint32_t *ret_y);
    void (*encode3)(const uint32_t *x, const uint32_t *y, const uint32_t *z, size_t count,
                    uint32_t bias, uint64_t *ret_codes);
    void (*decode3)(const uint64_t *codes, size_t count, uint32_t bias, uint32_t *ret_x,
                    uint32_t *ret_y, uint32_t *ret_z);
};

#define LODEI_MORTON_PATHS_MAX 3

extern const struct lodei_morton_paths lodei_morton_baseline;

/* The sets beside the baseline that this processor can run well, best first; returns how many. In
 * morton_x86.c, or morton_plain.c on other processors. */
size_t lodei_morton_faster_paths(const struct lodei_morton_paths *ret_paths[2]);

/* The set that the public functions use. */
const struct lodei_morton_paths *lodei_morton_chosen(void);

/* 1: a processor whose pdep is microcoded: AMD before family 0x19 (Zen 3), and Hygon. `vendor` is
 * the 12 letters of cpuid leaf 0. */
int lodei_morton_pdep_is_slow(const char vendor[12], unsigned family);

#endif
