/* SPDX-License-Identifier: MIT */
/* Numbers for readers and from them; see units.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

const char *lodei_units_bytes(uint64_t bytes, char text[LODEI_UNITS_ROOM])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(text, LODEI_UNITS_ROOM, "%" PRIu64 " B", bytes);
        return text;
    }
    while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    snprintf(text, LODEI_UNITS_ROOM, "%.1f %s", value, units[unit]);
    return text;
}

int lodei_units_parse(const char *text, uint64_t lowest, uint64_t highest, uint64_t *ret_number)
{
    uint64_t number;

    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
        return -1;
    errno = 0;
    number = strtoull(text, NULL, 10);
    if (errno != 0 || number < lowest || number > highest)
        return -1;
    *ret_number = number;
    return 0;
}
