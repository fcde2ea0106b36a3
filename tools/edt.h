/* SPDX-License-Identifier: MIT */
/*
 * The exact Euclidean distance transform of a volume, in integers.
 */
#ifndef LODEI_EDT_H
#define LODEI_EDT_H

#include <stdint.h>

/* Voxels along an axis, at most; keeps every square below 2^31. */
enum { LODEI_EDT_SIDE = 4096 };
/* The square where the volume has no feature at all. */
#define LODEI_EDT_NONE INT32_MAX

/*
 * For every voxel the squared distance between its centre and the nearest feature voxel's, in
 * voxels; 0 at features.
 *
 * features     uint8_t[sides[2]][sides[1]][sides[0]], x fastest; not 0: a feature.
 * sides        1..LODEI_EDT_SIDE each.
 * ret_squares  int32_t of the same shape.
 *
 * O(voxels). Any thread; takes some KiB of stack and pages of its own.
 */
void lodei_edt(const uint8_t *features, const uint32_t sides[3], int32_t *ret_squares);

#endif
