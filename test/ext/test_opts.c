/* SPDX-License-Identifier: MIT */
/* ext/opts.c: option structs of older, newer and careless callers. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "ext/opts.h"

struct known {
    uint32_t size;
    uint32_t a;
    uint64_t b;
};

Test(opts, none_given_is_all_defaults)
{
    struct known got;
    memset(&got, 0xff, sizeof(got));
    cr_assert_eq(lodei_opts_take(NULL, &got, sizeof(got)), 0);
    cr_assert_eq(got.size, sizeof(got));
    cr_assert_eq(got.a, 0);
    cr_assert_eq(got.b, 0);
}

Test(opts, an_older_caller_gets_defaults_for_what_it_does_not_know)
{
    struct known given = {.size = 8, .a = 5, .b = 77}, got;
    cr_assert_eq(lodei_opts_take(&given, &got, sizeof(got)), 0);
    cr_assert_eq(got.size, sizeof(got));
    cr_assert_eq(got.a, 5);
    cr_assert_eq(got.b, 0);
}

Test(opts, a_newer_caller_is_served_unless_it_asks_for_something_new)
{
    struct {
        struct known known;
        uint64_t later;
    } given = {.known = {.size = sizeof(given), .a = 1, .b = 2}};
    struct known got;
    cr_assert_eq(lodei_opts_take(&given, &got, sizeof(got)), 0);
    cr_assert_eq(got.b, 2);
    given.later = (uint64_t)1 << 63;
    cr_assert_eq(lodei_opts_take(&given, &got, sizeof(got)), -E2BIG);
}

Test(opts, a_size_below_its_own_field_is_refused)
{
    struct known given = {.size = 3}, got;
    cr_assert_eq(lodei_opts_take(&given, &got, sizeof(got)), -EINVAL);
    given.size = 0;
    cr_assert_eq(lodei_opts_take(&given, &got, sizeof(got)), -EINVAL);
}
