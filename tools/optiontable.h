/* SPDX-License-Identifier: MIT */
/*
 * The library's option table (lib/base/conf.h) as data, and texts of LODE_OPTIONS: "key=value,…".
 */
#ifndef LODEI_OPTIONTABLE_H
#define LODEI_OPTIONTABLE_H

#include <stddef.h>
#include <stdint.h>

enum lodei_option_type { LODEI_OPTION_CHOICE, LODEI_OPTION_NUMBER, LODEI_OPTION_PATH };

struct lodei_option {
    const char *name;
    enum lodei_option_type type;
    const char *choices;    /* LODEI_OPTION_CHOICE: separated by '|' */
    uint64_t default_value; /* of a choice: its index */
    uint64_t lowest, highest;
    const char *help;
};

extern const struct lodei_option lodei_option_rows[];
extern const size_t lodei_option_row_count;

/* What the row allows, and its default, as the library's messages put it; freed by the caller. */
char *lodei_option_allowed(const struct lodei_option *row);
char *lodei_option_default(const struct lodei_option *row);

/* NULL if the library would accept "key=value", else what is wrong with it; freed by the caller. */
char *lodei_option_fault(const char *assignment);

/* Add "key=value" at the end of `text` (owned, may be NULL). Returns the new text. */
char *lodei_options_append(char *text, const char *key, const char *value);
/* Add "key=value" at the end of *text if the library would accept it. Returns NULL, or as
 * lodei_option_fault() what is wrong, *text as it was. */
char *lodei_options_take(char **text, const char *assignment);
/* The value that counts, the last one, of `key` in `text` (may be NULL); NULL if not given.
 * Freed by the caller. */
char *lodei_options_lookup(const char *text, const char *key);

#endif
