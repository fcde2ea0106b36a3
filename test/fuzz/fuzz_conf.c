/* SPDX-License-Identifier: MIT */
/* Any text as LODE_OPTIONS: nothing crashes, and every value stays in its range. */
#include "fuzz_input.h"

#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/conf.h"

#define CHECK(e) ((e) ? (void)0 : abort())

static int choices_of(const char *choices)
{
    int n = 1;
    for (; *choices != '\0'; choices++)
        n += *choices == '|';
    return n;
}

static void check_ranges(void)
{
#define CHECK_E(name, def, choices, help) \
    CHECK(lodei_conf.name >= 0 && lodei_conf.name < choices_of(choices));
#define CHECK_U(name, def, lo, hi, help) CHECK(lodei_conf.name - (lo) <= (hi) - (uint64_t)(lo));
#define CHECK_S(name, help)              CHECK(memchr(lodei_conf.name, 0, sizeof(lodei_conf.name)));
    LODE_OPTION_TABLE(CHECK_E, CHECK_U, CHECK_S)
}

/* What the parser says is of no interest here; it must not fill the fuzzer's own output. */
static void parse_silently(const char *text)
{
    int saved = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK(saved >= 0 && nowhere >= 0 && dup2(nowhere, STDERR_FILENO) >= 0);
    lodei_conf_parse(text);
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(nowhere);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct lodei_conf defaults = lodei_conf;
    char *text = malloc(bytes + 1); /* of its exact size: a sanitizer sees any step beyond */
    CHECK(text != NULL);
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    parse_silently(text);
    check_ranges();
    free(text);
    lodei_conf = defaults;
    return 0;
}
