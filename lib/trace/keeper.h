/* SPDX-License-Identifier: MIT */
/*
 * Tells blocks that the C and C++ runtimes keep for themselves from blocks that they gave the
 * program.
 */
#ifndef LODEI_KEEPER_H
#define LODEI_KEEPER_H

#include <stdbool.h>

#include "trace/stacks.h"

/*
 * Do blocks with this stack belong to a runtime library, by design until the process ends?
 *
 * @whole  The stack reaches to its outermost frame: it was not cut at leaks_frames.
 */
bool lodei_keeper_owns(const struct lodei_stack *stack, bool whole);

#endif
