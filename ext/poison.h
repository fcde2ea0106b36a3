/* SPDX-License-Identifier: MIT */
/*
 * What AddressSanitizer and valgrind's memcheck are told of memory that this library cuts up
 * itself: which bytes somebody may use. Owns one flag word, set before main() and never changed.
 *
 * Both are recognised at run time: ASan by its runtime being in the process (weak symbols), so it
 * does not matter whether the program, this library or both were built with it; memcheck by its
 * answer to a client request. Without either each call below costs one load and one branch that is
 * never taken.
 *
 * The inline fast paths of the public headers know nothing of this. An object that has one keeps
 * its room at zero (its list empty, its bound reached) while lodei_watched is not 0, so that every
 * operation leaves the fast path through the branch it has anyway, and comes here. No public
 * header looks for a sanitizer, and every combination of builds works.
 *
 *     from a heap: plain   --lodei_taken-->  nobody's  --lodei_given-->  a user's, uninitialised
 *                     ^                        |   ^                          |
 *                     '----lodei_forgotten-----'   '-------lodei_taken--------'
 *
 * Memory is made plain before it goes back to a heap or to the caller who lent it: whoever gets it
 * next may be code that tells nobody.
 *
 * Our own look at nobody's memory (links and headers kept there): in functions marked LODE_NO_ASAN
 * or LODE_BLOCK_INLINE (base/attr.h) that call neither memcpy nor memset, between lodei_hush() and
 * lodei_speak().
 */
#ifndef LODEI_POISON_H
#define LODEI_POISON_H

#include <stddef.h>

#include "base/attr.h"

#define LODEI_WATCH_ASAN     1
#define LODEI_WATCH_MEMCHECK 2

/* 0, or who listens. Constant from the constructors on. */
extern int lodei_watched;

LODE_COLD void lodei_tell_given(const void *p, size_t bytes);
LODE_COLD void lodei_tell_taken(const void *p, size_t bytes);
LODE_COLD void lodei_tell_forgotten(const void *p, size_t bytes);

/* poison_valgrind.c, or poison_none.c where valgrind's headers are not installed. */
int lodei_memcheck_present(void);
void lodei_memcheck_undefined(const void *p, size_t bytes);
void lodei_memcheck_noaccess(const void *p, size_t bytes);
void lodei_memcheck_defined(const void *p, size_t bytes);
void lodei_memcheck_silence(int on);

/* [p, +bytes) is a user's now: it may be used, and was not written yet. */
LODE_INLINE void lodei_given(const void *p, size_t bytes)
{
    if (lode_unlikely(lodei_watched))
        lodei_tell_given(p, bytes);
}

/* [p, +bytes) is nobody's: using it is a bug. ASan sees granules of 8 bytes: of one that is shared
 * at the end, only a part that runs to its last byte. */
LODE_INLINE void lodei_taken(const void *p, size_t bytes)
{
    if (lode_unlikely(lodei_watched))
        lodei_tell_taken(p, bytes);
}

/* [p, +bytes) is no business of this library any more. */
LODE_INLINE void lodei_forgotten(const void *p, size_t bytes)
{
    if (lode_unlikely(lodei_watched))
        lodei_tell_forgotten(p, bytes);
}

/* Between these this thread may read and write nobody's memory. They nest. */
LODE_INLINE void lodei_hush(void)
{
    if (lode_unlikely(lodei_watched))
        lodei_memcheck_silence(1);
}

LODE_INLINE void lodei_speak(void)
{
    if (lode_unlikely(lodei_watched))
        lodei_memcheck_silence(0);
}

#endif
