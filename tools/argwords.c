/* SPDX-License-Identifier: MIT */
/* Arguments of options; see argwords.h. */
#include <stdlib.h>
#include <string.h>

#include "argwords.h"
#include "units.h"
#include "xalloc.h"

int lodei_arg_word(const char *option, const char *const *words, size_t count, const char *arg,
                   struct argp_state *state)
{
    char *list = lodei_xstrdup("");

    for (size_t i = 0; i < count; i++) {
        char *longer;

        if (strcmp(words[i], arg) == 0) {
            free(list);
            return (int)i;
        }
        longer = lodei_xasprintf("%s%s%s", list, i > 0 ? ", " : "", words[i]);
        free(list);
        list = longer;
    }
    argp_error(state, "--%s: unknown '%s', there are: %s", option, arg, list);
    free(list);
    return 0;
}

void lodei_arg_number(const char *option, const char *arg, uint64_t lowest, uint64_t highest,
                      uint64_t *ret_number, struct argp_state *state)
{
    if (lodei_units_parse(arg, lowest, highest, ret_number) != 0)
        argp_error(state, "--%s: bad number '%s', allowed: %llu-%llu", option, arg,
                   (unsigned long long)lowest, (unsigned long long)highest);
}
