/* SPDX-License-Identifier: MIT */
/*
 * Where am I? Call stacks of the calling thread, innermost frame first.
 *
 * Every frame is a return address, so the call stands just before it: look it up at `frame - 1`.
 * The leading frames of our own libraries are left out: frame 0 is the caller of malloc or new.
 */
#ifndef LODEI_STACK_H
#define LODEI_STACK_H

#include <stdint.h>

#define LODEI_STACK_FRAMES_MAX 62

/* Set the frames kept per stack (1..LODEI_STACK_FRAMES_MAX) and make the unwinder's first capture,
 * which allocates, opens files and takes 200 us. Call once, while there is one thread. */
void lodei_stack_init(unsigned frames_max);

/*
 * Capture into `ret_frames[LODEI_STACK_FRAMES_MAX]`; returns the number of frames, 0 when there is
 * none that is not ours. Takes the loader's lock when it meets new code: never call it holding a
 * lock. Changes errno.
 */
unsigned lodei_stack_capture(uintptr_t *ret_frames);

/* The same without the unwinder's per-thread cache, which goes stale where one library was loaded
 * over the addresses of another. 15 us instead of 0.2 us. */
unsigned lodei_stack_capture_uncached(uintptr_t *ret_frames);

/* Forget what the unwinder cached of libraries since unloaded (all but the per-thread caches). */
void lodei_stack_flush(void);

#endif
