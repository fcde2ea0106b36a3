/* SPDX-License-Identifier: MIT */
/* base/print.c and base/path.h. */
#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/print.h"
#include "capture.h"

static void expect_line(struct lodei_line *line, const char *text)
{
    struct capture c;
    char got[1024];
    capture_start(&c);
    lodei_line_write(line, STDERR_FILENO);
    capture_end(&c, got, sizeof(got));
    cr_assert_str_eq(got, text);
    cr_assert_eq(line->length, 0, "a written line starts afresh");
}

Test(print, numbers)
{
    struct lodei_line line = {0};
    lodei_line_dec(&line, 0);
    lodei_line_str(&line, " ");
    lodei_line_dec(&line, UINT64_MAX);
    lodei_line_strn(&line, " and more", 4);
    lodei_line_str(&line, " ");
    lodei_line_hex(&line, 0);
    lodei_line_str(&line, " ");
    lodei_line_hex(&line, 0xfedcba9876543210);
    expect_line(&line, "0 18446744073709551615 and 0x0 0xfedcba9876543210\n");
    lodei_line_str(&line, "again");
    expect_line(&line, "again\n");
}

Test(print, long_lines_are_cut)
{
    struct lodei_line line = {0};
    char text[sizeof(line.text) + 1];
    for (int i = 0; i < 100; i++)
        lodei_line_str(&line, "0123456789");
    memset(text, 0, sizeof(text));
    for (size_t i = 0; i < sizeof(line.text) - 1; i++)
        text[i] = (char)('0' + i % 10);
    text[sizeof(line.text) - 1] = '\n';
    expect_line(&line, text);
}

Test(print, keeps_errno)
{
    struct lodei_line line = {0};
    errno = EDOM;
    lodei_line_str(&line, "nowhere");
    lodei_line_write(&line, -1);
    cr_assert_eq(errno, EDOM);
}

Test(print, warn)
{
    struct capture c;
    char got[128];
    capture_start(&c);
    lodei_warn("the roof is low");
    capture_end(&c, got, sizeof(got));
    cr_assert_str_eq(got, "lode: the roof is low\n");
}

Test(print, fatal_aborts, .signal = SIGABRT)
{
    struct capture c;
    capture_start(&c);
    lodei_fatal("double free of", (void *)0x1234);
}

Test(path, pid)
{
    char out[16];
    lodei_path_with_pid(out, sizeof(out), "a%pb%p", 4071);
    cr_assert_str_eq(out, "a4071b4071");
    lodei_path_with_pid(out, sizeof(out), "%", 1);
    cr_assert_str_eq(out, "%");
    lodei_path_with_pid(out, sizeof(out), "%q%%p", 1);
    cr_assert_str_eq(out, "%q%1");
    lodei_path_with_pid(out, sizeof(out), "", 1);
    cr_assert_str_eq(out, "");
    lodei_path_with_pid(out, sizeof(out), "0", 0);
    cr_assert_str_eq(out, "0");
}

Test(path, cut)
{
    char out[8];
    memset(out, 'x', sizeof(out));
    lodei_path_with_pid(out, 5, "abcdefgh", 1);
    cr_assert_str_eq(out, "abcd");
    lodei_path_with_pid(out, 5, "abc%p", 9876);
    cr_assert_str_eq(out, "abc9");
    cr_assert_eq(out[5], 'x');
}
