/* SPDX-License-Identifier: MIT */
/* The library's option table as data; see optiontable.h. Knows no option by name. */
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "optiontable.h"
#include "units.h"
#include "xalloc.h"

#define ROW_E(key, def, allowed, text) \
    {.name = #key,                     \
     .type = LODEI_OPTION_CHOICE,      \
     .choices = allowed,               \
     .default_value = def,             \
     .help = text},
#define ROW_U(key, def, lo, hi, text) \
    {.name = #key,                    \
     .type = LODEI_OPTION_NUMBER,     \
     .default_value = def,            \
     .lowest = lo,                    \
     .highest = hi,                   \
     .help = text},
#define ROW_S(key, text) {.name = #key, .type = LODEI_OPTION_PATH, .help = text},

const struct lodei_option lodei_option_rows[] = {LODE_OPTION_TABLE(ROW_E, ROW_U, ROW_S)};
const size_t lodei_option_row_count = sizeof(lodei_option_rows) / sizeof(lodei_option_rows[0]);

/* Paths are kept in arrays of this size, terminator included. */
enum { PATH_ROOM = sizeof(((struct lodei_conf *)NULL)->stats_file) };

char *lodei_option_allowed(const struct lodei_option *row)
{
    switch (row->type) {
    case LODEI_OPTION_CHOICE:
        return lodei_xstrdup(row->choices);
    case LODEI_OPTION_NUMBER:
        return lodei_xasprintf("%llu-%llu", (unsigned long long)row->lowest,
                               (unsigned long long)row->highest);
    default:
        return lodei_xasprintf("path of at most %d bytes without ','", PATH_ROOM - 1);
    }
}

char *lodei_option_default(const struct lodei_option *row)
{
    const char *choice = row->choices;

    if (row->type == LODEI_OPTION_NUMBER)
        return lodei_xasprintf("%llu", (unsigned long long)row->default_value);
    if (row->type == LODEI_OPTION_PATH)
        return lodei_xstrdup("");
    for (uint64_t i = 0; i < row->default_value; i++)
        choice = strchr(choice, '|') + 1;
    return lodei_xasprintf("%.*s", (int)strcspn(choice, "|"), choice);
}

static int is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);

    for (const char *c = choices; c != NULL; c = strchr(c, '|'), c = c != NULL ? c + 1 : NULL)
        if (strcspn(c, "|") == length && strncmp(c, value, length) == 0)
            return 1;
    return 0;
}

static int is_allowed(const struct lodei_option *row, const char *value)
{
    uint64_t number;

    switch (row->type) {
    case LODEI_OPTION_CHOICE:
        return is_choice(row->choices, value);
    case LODEI_OPTION_NUMBER:
        return lodei_units_parse(value, row->lowest, row->highest, &number) == 0;
    default:
        return strlen(value) < PATH_ROOM && strchr(value, ',') == NULL;
    }
}

char *lodei_option_fault(const char *assignment)
{
    size_t key_length = strcspn(assignment, "=");
    const char *value = assignment + key_length + 1;

    for (size_t i = 0; i < lodei_option_row_count; i++) {
        const struct lodei_option *row = &lodei_option_rows[i];
        char *allowed, *fault;

        if (strlen(row->name) != key_length || strncmp(row->name, assignment, key_length) != 0)
            continue;
        if (assignment[key_length] == '\0')
            return lodei_xasprintf("option '%s': no value, give %s=VALUE", row->name, row->name);
        if (is_allowed(row, value))
            return NULL;
        allowed = lodei_option_allowed(row);
        fault =
            lodei_xasprintf("option '%s': bad value '%s', allowed: %s", row->name, value, allowed);
        free(allowed);
        return fault;
    }
    return lodei_xasprintf("unknown option '%.*s' (see `lode options`)", (int)key_length,
                           assignment);
}

char *lodei_options_append(char *text, const char *key, const char *value)
{
    const char *before = text != NULL ? text : "";
    char *longer = lodei_xasprintf("%s%s%s=%s", before, before[0] != '\0' ? "," : "", key, value);

    free(text);
    return longer;
}

char *lodei_options_take(char **text, const char *assignment)
{
    char *fault = lodei_option_fault(assignment), *key;

    if (fault != NULL)
        return fault;
    key = lodei_xasprintf("%.*s", (int)strcspn(assignment, "="), assignment);
    *text = lodei_options_append(*text, key, assignment + strlen(key) + 1);
    free(key);
    return NULL;
}

char *lodei_options_lookup(const char *text, const char *key)
{
    size_t key_length = strlen(key);
    const char *found = NULL;

    for (const char *p = text; p != NULL; p = strchr(p, ','), p = p != NULL ? p + 1 : NULL)
        if (strncmp(p, key, key_length) == 0 && p[key_length] == '=')
            found = p + key_length + 1;
    return found != NULL ? lodei_xasprintf("%.*s", (int)strcspn(found, ","), found) : NULL;
}
