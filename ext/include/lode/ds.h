/* SPDX-License-Identifier: MIT */
/**
 * @file ds.h
 * Containers: all of them. Typed by macro, with memory from any allocator (allocator.h), each with
 * a cap on its items. This page tells them apart; each header tells how its own is used.
 *
 *     header             macro or type                 take it for
 *     ds_vec.h           LODE_VEC_DEFINE               a growing array
 *                        LODE_BUMPVEC_DEFINE           one inside an arena, extended in place
 *     ds_smallvec.h      LODE_SMALLVEC_DEFINE          a few items, mostly: the first N inline
 *     ds_stable.h        LODE_STABLEVEC_DEFINE         items whose addresses never change
 *     ds_pooled.h        LODE_POOLEDVEC_DEFINE         many vectors over one fixed-size pool
 *     ds_ring.h          LODE_RING_DEFINE              queues; the newest N
 *     ds_map.h           LODE_MAP_DEFINE, _SET_        lookup by key: hash table
 *     ds_sorted.h        LODE_SORTED_MAP_DEFINE, _SET_ ordered keys, ranges: sorted array
 *     ds_list.h          LODE_LIST_DEFINE              items that link themselves
 *     ds_sparse_set.h    LODE_SPARSE_SET_DEFINE        items under ids with generations
 *     ds_sparse_array.h  LODE_SPARSE_ARRAY_DEFINE      few items over all 64-bit indices
 *     ds_soa.h           LODE_SOA_DEFINE               rows in lanes of 8 for SIMD
 *     ds_bits.h          LODE_FLAGS_DEFINE             named flags
 *                        struct lode_bitset            any number of bits
 *     ds_interner.h      struct lode_interner          strings as small numbers
 *
 *     what moves an item          growing          removing another        lookup
 *     vector, bump, small         yes              those behind it, or     by index
 *     ring                        yes              no                      by index
 *     stable, pooled              no               no; swap: the last      by index
 *     hash map, set               yes              the last                O(1) by key
 *     sorted map, set             yes              those behind it         O(log n) by key
 *     sparse set                  yes              the last                O(1) by id
 *     sparse array                in its chunk     in its chunk            O(1) by index
 *     SoA                         yes              the last                by index
 *
 * In all of them:
 * - A macro is used once at file scope, with a semicolon behind it:
 *   LODE_VEC_DEFINE(ids, uint32_t);
 *   It declares `struct ids` and functions ids_...(), static and inline; ids_lodei_...() are
 *   private. Different files may repeat it. What is written NAME_ here is that name.
 * - A container of zero bytes is an empty one without a cap, with memory of lode_malloc(), so of
 *   the thread's tag. NAME_init() sets the cap (0: none) and the allocator, which is borrowed:
 *   struct lode_allocator and the object behind it must live until NAME_finish(). Initialising
 *   costs nothing; memory is taken with the first item.
 * - Where the allocator's object is reset or destroyed, the memory is gone with it: do not
 *   finish, but NAME_init() anew. What an allocator refuses to take back early (arena, stack)
 *   stays with it.
 * - Items are plain data: moved with memcpy(), no constructor or destructor is run. In C++ this
 *   is checked. They may be over-aligned, if the allocator serves their alignment.
 * - Items are given by value, so they may come from the container itself: push(&v, v.items[0]).
 * - Errors are -errno, and the container is then as it was: -ENOSPC beyond the cap, -ENOMEM where
 *   the allocator has nothing or the size overflows; others are named by each header. Where a
 *   generous growth fails, less is tried before giving up.
 * - A container, and the allocator behind it, is used by one thread at a time; const functions
 *   may run side by side.
 * - Room that is not used is not poisoned under ASan: one file compiled without it would break
 *   the rest. Reading behind the memory itself is caught by what the allocator poisons.
 *
 * Why not uthash, klib, GLib or Judy: none takes memory from an allocator it is given and survives
 * its refusal, and none caps its items. Each header says more.
 */
#ifndef LODE_DS_H
#define LODE_DS_H

#include "lode/ds_bits.h"
#include "lode/ds_interner.h"
#include "lode/ds_list.h"
#include "lode/ds_map.h"
#include "lode/ds_pooled.h"
#include "lode/ds_ring.h"
#include "lode/ds_smallvec.h"
#include "lode/ds_soa.h"
#include "lode/ds_sorted.h"
#include "lode/ds_sparse_array.h"
#include "lode/ds_sparse_set.h"
#include "lode/ds_stable.h"
#include "lode/ds_vec.h"

#endif
