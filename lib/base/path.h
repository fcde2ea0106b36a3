/* SPDX-License-Identifier: MIT */
/* Paths given by option. Owns nothing. */
#ifndef LODEI_PATH_H
#define LODEI_PATH_H

#include <stddef.h>

#include "base/attr.h"

/* Copy `path` with each %p replaced by `pid`, so that children write files of their own; what does
 * not fit into `bytes` is cut. */
LODE_INLINE void lodei_path_with_pid(char *out, size_t bytes, const char *path, int pid)
{
    size_t n = 0;
    for (; *path != '\0' && n + 1 < bytes; path++) {
        if (path[0] != '%' || path[1] != 'p') {
            out[n++] = *path;
            continue;
        }
        char digits[12];
        size_t d = 0;
        for (int left = pid; left > 0 || d == 0; left /= 10)
            digits[d++] = (char)('0' + left % 10);
        while (d > 0 && n + 1 < bytes)
            out[n++] = digits[--d];
        path++;
    }
    out[n] = '\0';
}

#endif
