/* SPDX-License-Identifier: MIT */
/* Option structs taken from callers of any version: see opts.h. */
#include "ext/opts.h"

#include <errno.h>
#include <string.h>

int lodei_opts_take(const void *opts, void *ret, size_t known_bytes)
{
    uint32_t given, known = (uint32_t)known_bytes;
    memset(ret, 0, known_bytes);
    memcpy(ret, &known, sizeof(known));
    if (opts == NULL)
        return 0;
    memcpy(&given, opts, sizeof(given));
    if (given < sizeof(given))
        return -EINVAL;
    const unsigned char *bytes = opts;
    for (size_t i = known_bytes; i < given; i++)
        if (bytes[i] != 0)
            return -E2BIG;
    memcpy(ret, opts, given < known_bytes ? given : known_bytes);
    memcpy(ret, &known, sizeof(known));
    return 0;
}
