/* SPDX-License-Identifier: MIT */
/* Option structs of the public headers: each starts with `uint32_t size`, zero means default, and
 * callers may be older or newer than this library. Owns nothing. */
#ifndef LODEI_OPTS_H
#define LODEI_OPTS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Copy the caller's `opts` (NULL: all defaults) into `ret`, known_bytes long, filling up with
 * zeros. 0; -EINVAL: size is less than the size field itself; -E2BIG: a non-zero tail beyond what
 * this version knows; `ret` is then undefined.
 */
int lodei_opts_take(const void *opts, void *ret, size_t known_bytes);

#endif
