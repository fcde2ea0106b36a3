/* SPDX-License-Identifier: MIT */
/* Names of creatures; see herdwork.h. */
#include <stdio.h>

#include "herdwork.h"

enum { STARTS = 16, MIDDLES = 12, ENDS = 12, TITLES = 8 };

static const char *const starts[STARTS] = {"Ar",  "Bel", "Cor", "Dun", "Eth", "Fal", "Gor", "Hul",
                                           "Ish", "Jor", "Kel", "Lom", "Mar", "Nor", "Oth", "Pel"};
static const char *const middles[MIDDLES] = {"a",   "e",   "i",   "o",   "and", "end",
                                             "ild", "orr", "umm", "ann", "ess", "ill"};
static const char *const ends[ENDS] = {"mir", "dor",  "wen", "gar", "nak", "thos",
                                       "ric", "vald", "lin", "bur", "sek", "ton"};
static const char *const titles[TITLES] = {"",
                                           " the Grazer",
                                           " of the Northern Fen",
                                           " the Old",
                                           " Twice-Bitten",
                                           " of the Great Wandering Herd",
                                           " the Watchful",
                                           " Longtooth"};

size_t lodei_herd_name(uint32_t random, char ret_name[HERD_NAME])
{
    uint32_t middle = random / STARTS % MIDDLES, end = random / 256 % ENDS;
    int length = snprintf(ret_name, HERD_NAME, "%s%s%s%s", starts[random % STARTS], middles[middle],
                          ends[end], titles[(middle + end) % TITLES]);

    return (size_t)length;
}
