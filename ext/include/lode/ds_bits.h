/* SPDX-License-Identifier: MIT */
/**
 * @file ds_bits.h
 * Sets of bits: named flags, LODE_FLAGS_DEFINE(), and struct lode_bitset of any length.
 *
 *     #define MOB_FLAGS(F) F(MOB_ASLEEP) F(MOB_HOSTILE) F(MOB_BURNING)
 *     LODE_FLAGS_DEFINE(mob_flags, MOB_FLAGS);
 *
 *     struct mob_flags f = {{0}};
 *     mob_flags_set(&f, MOB_HOSTILE);
 *     if (mob_flags_has(&f, MOB_HOSTILE)) puts(mob_flags_name(MOB_HOSTILE));
 *
 * LODE_FLAGS_DEFINE(name, LIST), LIST(F) being F(constant) for each flag, declares enum name_flag
 * with those constants, 0 and up, and name_flag_count behind them; struct name, a uint64_t of bits
 * for each 64 flags; and
 *
 *     void        NAME_set(f, flag)  NAME_clear(f, flag)  NAME_toggle(f, flag)
 *     void        NAME_put(f, flag, on)
 *     int         NAME_has(f, flag)               0 or 1
 *     int         NAME_has_all(f, of)             1: every flag of `of`
 *     int         NAME_has_any(f, of)             1: at least one flag of `of`
 *     void        NAME_add(f, of)                 f |= of
 *     void        NAME_drop(f, of)                f &= ~of
 *     void        NAME_keep(f, of)                f &= of
 *     int         NAME_equal(f, of)
 *     int         NAME_is_empty(f)
 *     unsigned    NAME_count(f)
 *     unsigned    NAME_next(f, from)              the first flag there at or above `from`;
 *                                                 name_flag_count: none
 *     const char *NAME_name(flag)                 its constant as text; NULL: no flag
 *     int         NAME_find(text, ret_flag)       the flag of a name; -ENOENT
 *
 * `flag` is one of the constants; any other value is ignored, and is never there. There are no
 * errors but that. Threads: one at a time; readers may share.
 *
 * Ours: plain C enums and masks know neither their names nor more than 64 flags.
 */
#ifndef LODE_DS_BITS_H
#define LODE_DS_BITS_H

#include "lode/ds_base.h"

#define LODEI_FLAGS_ENUM(constant) constant,
#define LODEI_FLAGS_NAME(constant) #constant,

#define LODE_FLAGS_DEFINE(name, LIST)                                                             \
    enum name##_flag{LIST(LODEI_FLAGS_ENUM) name##_flag_count};                                   \
    struct name {                                                                                 \
        uint64_t words[((unsigned)name##_flag_count + 63) / 64];                                  \
    };                                                                                            \
    LODEI_DS_FN int name##_has(const struct name *f, unsigned flag)                               \
    {                                                                                             \
        return flag < (unsigned)name##_flag_count && (f->words[flag / 64] >> flag % 64 & 1) != 0; \
    }                                                                                             \
    LODEI_DS_FN void name##_put(struct name *f, unsigned flag, int on)                            \
    {                                                                                             \
        if (flag >= (unsigned)name##_flag_count)                                                  \
            return;                                                                               \
        uint64_t bit = (uint64_t)1 << flag % 64;                                                  \
        f->words[flag / 64] = on ? f->words[flag / 64] | bit : f->words[flag / 64] & ~bit;        \
    }                                                                                             \
    LODEI_DS_FN void name##_set(struct name *f, unsigned flag)                                    \
    {                                                                                             \
        name##_put(f, flag, 1);                                                                   \
    }                                                                                             \
    LODEI_DS_FN void name##_clear(struct name *f, unsigned flag)                                  \
    {                                                                                             \
        name##_put(f, flag, 0);                                                                   \
    }                                                                                             \
    LODEI_DS_FN void name##_toggle(struct name *f, unsigned flag)                                 \
    {                                                                                             \
        name##_put(f, flag, !name##_has(f, flag));                                                \
    }                                                                                             \
    LODEI_DS_FN int name##_has_all(const struct name *f, const struct name *of)                   \
    {                                                                                             \
        uint64_t missing = 0;                                                                     \
        for (size_t w = 0; w < sizeof(f->words) / 8; w++)                                         \
            missing |= of->words[w] & ~f->words[w];                                               \
        return missing == 0;                                                                      \
    }                                                                                             \
    LODEI_DS_FN int name##_has_any(const struct name *f, const struct name *of)                   \
    {                                                                                             \
        uint64_t common = 0;                                                                      \
        for (size_t w = 0; w < sizeof(f->words) / 8; w++)                                         \
            common |= of->words[w] & f->words[w];                                                 \
        return common != 0;                                                                       \
    }                                                                                             \
    LODEI_DS_FN void name##_add(struct name *f, const struct name *of)                            \
    {                                                                                             \
        for (size_t w = 0; w < sizeof(f->words) / 8; w++)                                         \
            f->words[w] |= of->words[w];                                                          \
    }                                                                                             \
    LODEI_DS_FN void name##_drop(struct name *f, const struct name *of)                           \
    {                                                                                             \
        for (size_t w = 0; w < sizeof(f->words) / 8; w++)                                         \
            f->words[w] &= ~of->words[w];                                                         \
    }                                                                                             \
    LODEI_DS_FN void name##_keep(struct name *f, const struct name *of)                           \
    {                                                                                             \
        for (size_t w = 0; w < sizeof(f->words) / 8; w++)                                         \
            f->words[w] &= of->words[w];                                                          \
    }                                                                                             \
    LODEI_DS_FN int name##_equal(const struct name *f, const struct name *of)                     \
    {                                                                                             \
        return memcmp(f->words, of->words, sizeof(f->words)) == 0;                                \
    }                                                                                             \
    LODEI_DS_FN unsigned name##_count(const struct name *f)                                       \
    {                                                                                             \
        unsigned count = 0;                                                                       \
        for (size_t w = 0; w < sizeof(f->words) / 8; w++)                                         \
            count += (unsigned)__builtin_popcountll(f->words[w]);                                 \
        return count;                                                                             \
    }                                                                                             \
    LODEI_DS_FN unsigned name##_next(const struct name *f, unsigned from)                         \
    {                                                                                             \
        return (unsigned)lodei_bits_next(f->words, (unsigned)name##_flag_count, from);            \
    }                                                                                             \
    LODEI_DS_FN int name##_is_empty(const struct name *f)                                         \
    {                                                                                             \
        return name##_next(f, 0) == (unsigned)name##_flag_count;                                  \
    }                                                                                             \
    LODEI_DS_FN const char *name##_name(unsigned flag)                                            \
    {                                                                                             \
        static const char *const names[] = {LIST(LODEI_FLAGS_NAME) NULL};                         \
        return flag < (unsigned)name##_flag_count ? names[flag] : (const char *)NULL;             \
    }                                                                                             \
    LODEI_DS_FN int name##_find(const char *text, unsigned *ret_flag)                             \
    {                                                                                             \
        for (unsigned flag = 0; flag < (unsigned)name##_flag_count; flag++)                       \
            if (strcmp(name##_name(flag), text) == 0) {                                           \
                *ret_flag = flag;                                                                 \
                return 0;                                                                         \
            }                                                                                     \
        return -ENOENT;                                                                           \
    }                                                                                             \
    struct name

#ifdef __cplusplus
extern "C" {
#endif

/* First set bit at or above `from` of `bits` bits; `bits`: none. Bits behind the last are zero. */
static inline __attribute__((unused)) size_t lodei_bits_next(const uint64_t *words, size_t bits,
                                                             size_t from)
{
    if (from >= bits)
        return bits;
    uint64_t word = words[from / 64] & ~(uint64_t)0 << from % 64;
    for (size_t w = from / 64;; word = words[++w]) {
        if (word != 0)
            return w * 64 + (size_t)__builtin_ctzll(word);
        if (w == (bits - 1) / 64)
            return bits;
    }
}

/**
 * `bits` bits, 0 and up. Fields are readable. Zero bytes: no bits, no cap, malloc's heap; or
 * LODE_BITSET_INIT().
 *
 *     words -> [ bits 0..63 | 64..127 | .. ]     bits behind the last are zero
 */
struct lode_bitset {
    uint64_t *words;
    size_t bits;
    size_t word_capacity;
    size_t max_items; /**< bits; 0: no cap */
    const struct lode_allocator *allocator;
};

#define LODE_BITSET_INIT(max_items, allocator) LODE_DS_INIT(max_items, allocator)

LODEI_DS_FN void lode_bitset_init(struct lode_bitset *set, size_t max_items,
                                  const struct lode_allocator *allocator)
{
    memset(set, 0, sizeof(*set));
    set->max_items = max_items;
    set->allocator = allocator;
}

/** Free; the set is as after init. */
LODE_API void lode_bitset_finish(struct lode_bitset *set);
/**
 * Make it `bits` bits; new ones are zero. Dropping bits keeps the room. O(bits / 64).
 * Returns 0; -ENOSPC the cap; -ENOMEM. On error the set is as it was.
 */
LODE_API LODE_NODISCARD int lode_bitset_resize(struct lode_bitset *set, size_t bits);
/** Give back room that is not used. */
LODE_API void lode_bitset_trim(struct lode_bitset *set);
/** Set (`on` not 0) or clear the bits [first, first + count). -ERANGE: some are not there; then
 * nothing changed. */
LODE_API int lode_bitset_fill(struct lode_bitset *set, size_t first, size_t count, int on);
/** How many of the bits [first, first + count) are set; those that are not there are not. */
LODE_API size_t lode_bitset_count_range(const struct lode_bitset *set, size_t first, size_t count);
/** set |= of, set &= of, set &= ~of, set ^= of. -EINVAL: not equally long; then nothing changed. */
LODE_API int lode_bitset_or(struct lode_bitset *set, const struct lode_bitset *of);
LODE_API int lode_bitset_and(struct lode_bitset *set, const struct lode_bitset *of);
LODE_API int lode_bitset_and_not(struct lode_bitset *set, const struct lode_bitset *of);
LODE_API int lode_bitset_xor(struct lode_bitset *set, const struct lode_bitset *of);
/** First clear bit at or above `from`; set->bits: none. */
LODE_API size_t lode_bitset_next_clear(const struct lode_bitset *set, size_t from);

/** 1: bit i is set. */
LODEI_DS_FN int lode_bitset_has(const struct lode_bitset *set, size_t i)
{
    return i < set->bits && (set->words[i / 64] >> i % 64 & 1) != 0;
}

/** Set or clear bit i. -ERANGE: there is none. */
LODEI_DS_FN int lode_bitset_put(struct lode_bitset *set, size_t i, int on)
{
    if (i >= set->bits)
        return -ERANGE;
    uint64_t bit = (uint64_t)1 << i % 64, *word = &set->words[i / 64];
    *word = on ? *word | bit : *word & ~bit;
    return 0;
}

/** First set bit at or above `from`; set->bits: none. To walk: from = last + 1. */
LODEI_DS_FN size_t lode_bitset_next(const struct lode_bitset *set, size_t from)
{
    return lodei_bits_next(set->words, set->bits, from);
}

LODEI_DS_FN size_t lode_bitset_count(const struct lode_bitset *set)
{
    return lode_bitset_count_range(set, 0, set->bits);
}

#ifdef __cplusplus
}
#endif
#endif
