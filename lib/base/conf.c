/* SPDX-License-Identifier: MIT */
#include "base/conf.h"

#include <string.h>
#include <unistd.h>

#include "base/print.h"

struct lodei_conf lodei_conf = {
#define LODEI_E(name, def, choices, help) .name = def,
#define LODEI_U(name, def, lo, hi, help)  .name = def,
#define LODEI_S(name, help)               .name = "",
    LODE_OPTION_TABLE(LODEI_E, LODEI_U, LODEI_S)
#undef LODEI_E
#undef LODEI_U
#undef LODEI_S
};

/* A slice of the option text; not terminated. */
struct word {
    const char *at;
    size_t length;
};

static int word_is(struct word w, const char *s)
{
    return strlen(s) == w.length && memcmp(w.at, s, w.length) == 0;
}

static void bad_value(struct word key, struct word value, const char *allowed)
{
    struct lodei_line line = {0};
    lodei_line_str(&line, "lode: option '");
    lodei_line_strn(&line, key.at, key.length);
    lodei_line_str(&line, "': bad value '");
    lodei_line_strn(&line, value.at, value.length);
    lodei_line_str(&line, "', allowed: ");
    lodei_line_str(&line, allowed);
    lodei_line_write(&line, STDERR_FILENO);
}

static void set_choice(struct word key, struct word value, const char *choices, int *field)
{
    const char *at = choices;
    for (int i = 0;; i++) {
        const char *bar = strchrnul(at, '|');
        if (word_is(value, "") == 0 && (size_t)(bar - at) == value.length &&
            memcmp(at, value.at, value.length) == 0) {
            *field = i;
            return;
        }
        if (*bar == '\0')
            break;
        at = bar + 1;
    }
    bad_value(key, value, choices);
}

static void set_number(struct word key, struct word value, uint64_t lo, uint64_t hi,
                       uint64_t *field)
{
    uint64_t n = 0;
    size_t i = 0;
    while (i < value.length && value.at[i] >= '0' && value.at[i] <= '9' && n <= UINT64_MAX / 16)
        n = n * 10 + (uint64_t)(value.at[i++] - '0');
    if (value.length > 0 && i == value.length && n >= lo && n <= hi) {
        *field = n;
        return;
    }
    struct lodei_line range = {0};
    lodei_line_dec(&range, lo);
    lodei_line_str(&range, "-");
    lodei_line_dec(&range, hi);
    bad_value(key, value, range.text);
}

static void set_text(struct word key, struct word value, char *field, size_t field_bytes)
{
    if (value.length >= field_bytes) {
        bad_value(key, value, "at most 255 characters");
        return;
    }
    memcpy(field, value.at, value.length);
    field[value.length] = '\0';
}

static void set_option(struct word key, struct word value)
{
#define LODEI_E(name, def, choices, help)                  \
    if (word_is(key, #name)) {                             \
        set_choice(key, value, choices, &lodei_conf.name); \
        return;                                            \
    }
#define LODEI_U(name, def, lo, hi, help)                  \
    if (word_is(key, #name)) {                            \
        set_number(key, value, lo, hi, &lodei_conf.name); \
        return;                                           \
    }
#define LODEI_S(name, help)                                             \
    if (word_is(key, #name)) {                                          \
        set_text(key, value, lodei_conf.name, sizeof(lodei_conf.name)); \
        return;                                                         \
    }
    LODE_OPTION_TABLE(LODEI_E, LODEI_U, LODEI_S)
#undef LODEI_E
#undef LODEI_U
#undef LODEI_S
    struct lodei_line line = {0};
    lodei_line_str(&line, "lode: unknown option '");
    lodei_line_strn(&line, key.at, key.length);
    lodei_line_str(&line, "' (see `lode options`)");
    lodei_line_write(&line, STDERR_FILENO);
}

void lodei_conf_parse(const char *text)
{
    while (text != NULL && *text != '\0') {
        const char *end = strchrnul(text, ',');
        const char *equals = memchr(text, '=', (size_t)(end - text));
        struct word key = {text, (size_t)((equals != NULL ? equals : end) - text)};
        struct word value = {end, 0};
        if (equals != NULL)
            value = (struct word){equals + 1, (size_t)(end - equals - 1)};
        if (key.length > 0 || equals != NULL)
            set_option(key, value);
        text = *end == ',' ? end + 1 : end;
    }
}
