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

/* Values found so far. */
struct palette {
    uint16_t *values;
    unsigned count, limit;
};

/* -1: one more than the limit. The newest are looked at first. */
LODE_INLINE int palette_add(struct palette *palette, unsigned value)
{
    for (unsigned k = palette->count; k > 0; k--)
        if (palette->values[k - 1] == value)
            return 0;
    if (palette->count == palette->limit)
        return -1;
    palette->values[palette->count++] = (uint16_t)value;
    return 0;
}

/* Matter lies in layers and runs: eight bytes that repeat one value are one look, and none where
 * they repeat the eight before them. */
LODE_INLINE unsigned distinct(unsigned element_bytes, size_t voxels, const void *elements,
                              struct palette palette)
{
    const unsigned group = 8 / element_bytes;
    const uint64_t spread = element_bytes == 1 ? 0x0101010101010101 : 0x0001000100010001;
    uint64_t before = 0, word;
    for (size_t i = 0; i < voxels; i += group, before = word) {
        unsigned last = element_at(element_bytes, elements, i);
        memcpy(&word, (const uint8_t *)elements + i * element_bytes, sizeof(word));
        if (i > 0 && word == before)
            continue;
        if (palette_add(&palette, last) != 0)
            return palette.limit + 1;
        for (unsigned e = 1; e < group && word != last * spread; e++) {
            unsigned value = element_at(element_bytes, elements, i + e);
            if (value != last && palette_add(&palette, value) != 0)
                return palette.limit + 1;
            last = value;
        }
    }
    return palette.count;
}

unsigned lodei_sdf_channel_distinct(unsigned element_bytes, unsigned dim, const void *elements,
                                    unsigned limit, uint16_t *ret_values)
{
    size_t voxels = lodei_sdf_voxels(dim);
    struct palette palette = {.values = ret_values, .limit = limit};
    return element_bytes == 1 ? distinct(1, voxels, elements, palette)
                              : distinct(2, voxels, elements, palette);
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
