/* SPDX-License-Identifier: MIT */
/* base/conf.c: every row of the option table with good and bad values. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/conf.h"
#include "capture.h"

static char said[8192];

static void parse(const char *text)
{
    struct capture c;
    capture_start(&c);
    lodei_conf_parse(text);
    capture_end(&c, said, sizeof(said));
}

/* The parser with "name=value"; it must say exactly `line`. */
static void parse_one(const char *name, const char *value, const char *line)
{
    char text[1024];
    snprintf(text, sizeof(text), "%s=%s", name, value);
    parse(text);
    cr_assert_str_eq(said, line, "%s: said %s", text, said);
}

static void expect_bad(const char *name, const char *value, const char *allowed)
{
    struct lodei_conf before = lodei_conf;
    char line[1024];
    snprintf(line, sizeof(line), "lode: option '%s': bad value '%s', allowed: %s\n", name, value,
             allowed);
    parse_one(name, value, line);
    cr_assert_eq(memcmp(&before, &lodei_conf, sizeof(before)), 0, "%s=%s changed something", name,
                 value);
}

static void check_choice(const char *name, int def, const char *choices, const int *field)
{
    char word[64];
    int i = 0;
    cr_assert_eq(*field, def);
    for (const char *at = choices;; at++) {
        size_t n = strcspn(at, "|");
        snprintf(word, sizeof(word), "%.*s", (int)n, at);
        parse_one(name, word, "");
        cr_assert_eq(*field, i++, "%s=%s", name, word);
        word[n - 1] = '\0'; /* a beginning is not enough */
        expect_bad(name, word, choices);
        at += n;
        if (*at == '\0')
            break;
    }
    expect_bad(name, "", choices);
    expect_bad(name, choices, choices);
    expect_bad(name, "nonsense", choices);
    expect_bad(name, " ", choices);
}

static void check_number(const char *name, uint64_t def, uint64_t lo, uint64_t hi,
                         const uint64_t *field)
{
    char word[64], range[64];
    snprintf(range, sizeof(range), "%lu-%lu", lo, hi);
    cr_assert_eq(*field, def);
    cr_assert(def >= lo && def <= hi);
    const uint64_t good[] = {lo, hi, def, lo + (hi - lo) / 2};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(word, sizeof(word), "%lu", good[i]);
        parse_one(name, word, "");
        cr_assert_eq(*field, good[i]);
    }
    if (lo > 0) {
        snprintf(word, sizeof(word), "%lu", lo - 1);
        expect_bad(name, word, range);
    }
    snprintf(word, sizeof(word), "%lu", hi + 1);
    expect_bad(name, word, range);
    static const char *const bad[] = {"",
                                      "x",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1k",
                                      "0x10",
                                      "1.5",
                                      "18446744073709551616",
                                      "18446744073709551617",
                                      "99999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_bad(name, bad[i], range);
}

static void check_text(const char *name, const char *field, size_t field_bytes)
{
    char word[512];
    cr_assert_str_eq(field, "");
    parse_one(name, "/tmp/some where=%p", "");
    cr_assert_str_eq(field, "/tmp/some where=%p");
    memset(word, 'a', sizeof(word));
    word[field_bytes - 1] = '\0';
    parse_one(name, word, "");
    cr_assert_str_eq(field, word);
    word[field_bytes - 1] = 'a';
    word[field_bytes] = '\0';
    expect_bad(name, word, "at most 255 characters");
    parse_one(name, "", "");
    cr_assert_str_eq(field, "");
}

#define CHECK_TEXT(name, field) check_text(name, field, sizeof(field));

Test(conf, every_row)
{
#define CHECK_E(name, def, choices, help) check_choice(#name, def, choices, &lodei_conf.name);
#define CHECK_U(name, def, lo, hi, help)  check_number(#name, def, lo, hi, &lodei_conf.name);
#define CHECK_S(name, help)               CHECK_TEXT(#name, lodei_conf.name)
    LODE_OPTION_TABLE(CHECK_E, CHECK_U, CHECK_S)
}

/* The enums stand in the order of the choices. */
Test(conf, order_of_choices)
{
    parse("purge=auto,misuse=ignore,leaks=exact,thp=always");
    cr_assert_str_eq(said, "");
    cr_assert_eq(lodei_conf.purge, LODEI_PURGE_AUTO);
    cr_assert_eq(lodei_conf.misuse, LODEI_MISUSE_IGNORE);
    cr_assert_eq(lodei_conf.leaks, LODEI_LEAKS_EXACT);
    cr_assert_eq(lodei_conf.thp, LODEI_THP_ALWAYS);
}

Test(conf, separators)
{
    struct lodei_conf before = lodei_conf;
    parse(NULL);
    parse("");
    parse(",");
    parse(",,,");
    cr_assert_str_eq(said, "");
    cr_assert_eq(memcmp(&before, &lodei_conf, sizeof(before)), 0);
    parse(",purge_delay_ms=7,,purge=off,");
    cr_assert_str_eq(said, "");
    cr_assert_eq(lodei_conf.purge_delay_ms, 7);
    cr_assert_eq(lodei_conf.purge, LODEI_PURGE_OFF);
    parse("purge_delay_ms=1,purge_delay_ms=2");
    cr_assert_eq(lodei_conf.purge_delay_ms, 2, "the last one counts");
}

Test(conf, unknown_keys)
{
    parse("colour=red,purge_delay=5,PURGE=off,purge ,leaks_top=3");
    cr_assert_str_eq(said, "lode: unknown option 'colour' (see `lode options`)\n"
                           "lode: unknown option 'purge_delay' (see `lode options`)\n"
                           "lode: unknown option 'PURGE' (see `lode options`)\n"
                           "lode: unknown option 'purge ' (see `lode options`)\n");
    cr_assert_eq(lodei_conf.leaks_top, 3, "options behind a fault still count");
    cr_assert_eq(lodei_conf.purge, LODEI_PURGE_INLINE);
}

Test(conf, no_value)
{
    parse("misuse");
    cr_assert_str_eq(said, "lode: option 'misuse': bad value '', allowed: abort|ignore\n");
    parse("leaks_frames");
    cr_assert_str_eq(said, "lode: option 'leaks_frames': bad value '', allowed: 1-62\n");
    parse("leaks_file");
    cr_assert_str_eq(said, "", "an empty path is no path");
}

/* One line each, however long the text was. */
Test(conf, very_long_words)
{
    char text[3000];
    memset(text, 'k', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    parse(text);
    cr_assert_eq(strlen(said), 512);
    cr_assert_eq(strchr(said, '\n'), said + 511);
    memcpy(text, "purge=", 6);
    parse(text);
    cr_assert_eq(strlen(said), 512);
}
