/* SPDX-License-Identifier: MIT */
/*
 * Bands by material. A brick keeps the band it was encoded with as a class, an index into a table
 * of LODE_BANDS_MAX widths; materials name classes.
 *
 *     band_of[material] -> class <- kind of a brick's word        bands[class] = width
 *
 * A width is written before a material or a brick can name its class. A class is used for another
 * width only when nothing names it: no material, no brick, no edit or reading section that may have
 * a version of a brick that is gone. Class 0 is the field's own band and stays.
 */
#include <errno.h>

#include "ext/grace.h"
#include "ext/sdfpool.h"

#define MATERIALS 65536

_Static_assert(LODE_BANDS_MAX == 64, "a word with a bit per class");

float lode_sdf_band(const struct lode_sdf *sdf, uint16_t material)
{
    return lodei_band(sdf, lodei_sdf_band_class(sdf, material));
}

static int mark_group(void *ctx, uint64_t key, uint32_t first)
{
    uint64_t *used = ctx;
    (void)key;
    for (unsigned lane = 0; lane < 8; lane++) {
        uint64_t word = lodei_slot_word(first + lane);
        if (lodei_is_gripped(word) && lodei_word_state(word) != LODEI_SLOT_LIVE)
            *used = UINT64_MAX; /* an edit began with another version: of any class */
        else if ((word & LODE_HANDLE_LIVE) != 0)
            *used |= (uint64_t)1 << lodei_kind_band(lodei_word_kind(word));
    }
    return 0;
}

/* A class that nothing names; LODE_BANDS_MAX: none, or this thread may be reading one. */
static unsigned class_reclaim(struct lode_sdf *sdf, const uint8_t *band_of)
{
    uint64_t used = 1;
    for (unsigned m = 0; m < MATERIALS; m++)
        used |= (uint64_t)1 << band_of[m];
    for (unsigned c = 0; c < sdf->channel_count; c++)
        if (sdf->channels[c].format == LODE_CHANNEL_SDF)
            (void)lodei_grid_each(&sdf->channels[c].grid, NULL, NULL, mark_group, &used);
    if (~used == 0 || lodei_grace_inside())
        return LODE_BANDS_MAX;
    lodei_grace_wait();
    return (unsigned)__builtin_ctzll(~used);
}

int lode_sdf_band_set(struct lode_sdf *sdf, uint16_t material, float width)
{
    unsigned class = 0;
    if (!lodei_sdf_band_valid(width))
        return -EINVAL;
    uint8_t *band_of = atomic_load_explicit(&sdf->band_of, memory_order_relaxed);
    if (band_of == NULL) {
        band_of = lode_heap_calloc(lode_heap_default(), 1, MATERIALS);
        if (band_of == NULL)
            return -ENOMEM;
        /* release: pairs with the acquire in lodei_sdf_band_class() */
        atomic_store_explicit(&sdf->band_of, band_of, memory_order_release);
    }
    while (class < sdf->band_count && lodei_band(sdf, class) != width)
        class ++;
    if (class == LODE_BANDS_MAX)
        class = class_reclaim(sdf, band_of);
    if (class == LODE_BANDS_MAX)
        return -ENOSPC;
    /* relaxed: whoever finds the class in a word or by its material came after this */
    atomic_store_explicit(&sdf->bands[class], width, memory_order_relaxed);
    if (class == sdf->band_count)
        sdf->band_count++;
    band_of[material] = (uint8_t) class;
    return 0;
}
