/* SPDX-License-Identifier: MIT */
/*
 * Channels of a brick that are no distances (materials, light, damage): elements of 1 or 2 bytes,
 * stored as they are. Owns nothing. There is one path: libc's memset, memcpy and memcmp bring their
 * own SIMD, and the palette test looks at eight bytes at a time. Ours.
 */
#include "ext/sdfpack.h"

void lodei_sdf_channel_fill(unsigned element_bytes, unsigned dim, void *elements, unsigned value)
{
    size_t voxels = lodei_sdf_voxels(dim);
    if (element_bytes == 1) {
        memset(elements, (int)(value & 0xff), voxels);
        return;
    }
    uint16_t *wide = elements;
    for (size_t i = 0; i < voxels; i++)
        wide[i] = (uint16_t)value;
}

int lodei_sdf_channel_homogeneous(unsigned element_bytes, unsigned dim, const void *elements)
{
    /* each element equals the one after it */
    return memcmp(elements, (const uint8_t *)elements + element_bytes,
                  (lodei_sdf_voxels(dim) - 1) * element_bytes) == 0;
}

LODE_INLINE unsigned element_at(unsigned element_bytes, const void *elements, size_t i)
{
    return element_bytes == 1 ? ((const uint8_t *)elements)[i] : ((const uint16_t *)elements)[i];
}

/* Matter lies in layers and runs: eight bytes that repeat the last value are passed over at once,
 * the rest is looked up among what was found, the newest first. */
LODE_INLINE unsigned distinct(unsigned element_bytes, size_t voxels, const void *elements,
                              unsigned limit, uint16_t *ret_values)
{
    const unsigned group = 8 / element_bytes;
    const uint64_t spread = element_bytes == 1 ? 0x0101010101010101 : 0x0001000100010001;
    unsigned found = 0, last = 0;
    uint64_t repeated = 0;
    for (size_t i = 0; i < voxels; i += group) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)elements + i * element_bytes, sizeof(word));
        if (found > 0 && word == repeated)
            continue;
        for (unsigned e = 0; e < group; e++) {
            unsigned value = element_at(element_bytes, elements, i + e), k = found;
            if (found > 0 && value == last)
                continue;
            while (k > 0 && ret_values[k - 1] != value)
                k--;
            if (k == 0) {
                if (found == limit)
                    return limit + 1;
                ret_values[found++] = (uint16_t)value;
            }
            last = value;
        }
        repeated = last * spread;
    }
    return found;
}

unsigned lodei_sdf_channel_distinct(unsigned element_bytes, unsigned dim, const void *elements,
                                    unsigned limit, uint16_t *ret_values)
{
    size_t voxels = lodei_sdf_voxels(dim);
    return element_bytes == 1 ? distinct(1, voxels, elements, limit, ret_values)
                              : distinct(2, voxels, elements, limit, ret_values);
}

void lodei_sdf_channel_copy_box(unsigned element_bytes, unsigned dim, const void *elements,
                                const struct lodei_sdf_box *box, void *ret_elements,
                                size_t row_stride, size_t slice_stride)
{
    const uint8_t *from = elements;
    uint8_t *to = ret_elements;
    for (size_t z = 0; z < box->size[2]; z++)
        for (size_t y = 0; y < box->size[1]; y++) {
            size_t start = box->corner[0] + dim * (box->corner[1] + y + dim * (box->corner[2] + z));
            memcpy(to + (z * slice_stride + y * row_stride) * element_bytes,
                   from + start * element_bytes, (size_t)box->size[0] * element_bytes);
        }
}
