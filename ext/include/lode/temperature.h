/* SPDX-License-Identifier: MIT */
/**
 * @file temperature.h
 * Data apart by how often it is touched (liblode-ext.so).
 *
 * What every frame touches, what some frames touch and what is hardly ever touched share no OS page
 * and no cache line if they come from three heaps: a frame then walks full lines of hot data, and
 * the kernel finds whole pages of cold data to reclaim.
 *
 *     struct lode_temperatures *creatures;
 *     struct lode_temperatures_opts o = LODE_TEMPERATURES_OPTS_INIT;
 *     if (lode_temperatures_create(&o, &creatures) == 0) {
 *         struct hot *h = lode_temperature_alloc(creatures, LODE_HOT, sizeof(*h));
 *         struct diary *d = lode_temperature_alloc(creatures, LODE_COLD, 4000);
 *         lode_free(d);
 *         lode_temperatures_destroy(creatures);        and everything in it is gone
 *     }
 */
#ifndef LODE_TEMPERATURE_H
#define LODE_TEMPERATURE_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

enum lode_temperature {
    LODE_HOT = 0,  /**< blocks are aligned so that they cross the fewest cache lines */
    LODE_WARM = 1, /**< as malloc */
    LODE_COLD = 2, /**< as malloc; lode_temperatures_chill() tells the kernel */
};
#define LODE_TEMPERATURES 3

struct lode_temperatures;

/** How lode_temperatures_create() makes the three heaps. Zero in any field means the default. */
struct lode_temperatures_opts {
    uint32_t size;                    /**< sizeof(struct lode_temperatures_opts) */
    uint16_t tags[LODE_TEMPERATURES]; /**< of the heaps */
    uint8_t huge_hot;                 /**< 1: the hot heap asks for transparent huge pages */
    uint8_t reserved[5];
    const char *name; /**< copied, at most 24 bytes kept; the heaps are NAME.hot and so on */
};

#define LODE_TEMPERATURES_OPTS_INIT                                                          \
    {                                                                                        \
        (uint32_t)sizeof(struct lode_temperatures_opts), {0, 0, 0}, 0, {0, 0, 0, 0, 0}, NULL \
    }

/** Create the three heaps. 0; -EINVAL reserved or huge_hot is neither 0 nor 1; -E2BIG; -ENOMEM. */
LODE_API LODE_NODISCARD int lode_temperatures_create(const struct lode_temperatures_opts *opts,
                                                     struct lode_temperatures **ret_temperatures);
/** Destroy the heaps and all blocks in them. NULL is fine. */
LODE_API void lode_temperatures_destroy(struct lode_temperatures *temperatures);

/**
 * Allocate. Hot blocks are aligned by lode_packing_align() (util.h): up to a line to their size's
 * power of two, from there on to lines; others to 16. Free with lode_free().
 * Returns NULL, errno ENOMEM or, for no such temperature, EINVAL. Threads: any.
 */
LODE_API void *lode_temperature_alloc(struct lode_temperatures *temperatures,
                                      enum lode_temperature temperature, size_t bytes);

/** The heap of a temperature, for walks and figures; NULL: no such temperature. */
LODE_API struct lode_heap *lode_temperature_heap(const struct lode_temperatures *temperatures,
                                                 enum lode_temperature temperature);

/** One temperature as an allocator. -EINVAL: no such temperature. */
LODE_API LODE_NODISCARD int lode_temperature_allocator(struct lode_temperatures *temperatures,
                                                       enum lode_temperature temperature,
                                                       struct lode_allocator *ret_allocator);

/**
 * Tell the kernel that the pages of the cold heap are the first to reclaim (MADV_COLD, Linux 5.4).
 * They stay as they are, and are warm again once touched. Not for every frame.
 * Returns bytes advised; 0 also where the kernel does not know it.
 */
LODE_API size_t lode_temperatures_chill(struct lode_temperatures *temperatures);

#ifdef __cplusplus
}
#endif
#endif
