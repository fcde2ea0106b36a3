/* SPDX-License-Identifier: MIT */
/*
 * Which function did a call name? A function that jumps on to another (fopen to an internal one) is
 * in no frame of the stack; the call instruction before the return address still names it.
 */
#ifndef LODEI_CALLSITE_H
#define LODEI_CALLSITE_H

#include <stdint.h>

/*
 * The address called by the call that returns to `frame`; `begin` and `end` bound the caller's ELF
 * object. 0 when it cannot be told (a call through a register).
 */
uintptr_t lodei_callsite_target(uintptr_t frame, uintptr_t begin, uintptr_t end);

#endif
