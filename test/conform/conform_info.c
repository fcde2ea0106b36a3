/* SPDX-License-Identifier: MIT */
/*
 * Conformance: what the allocator says of itself. mallinfo, mallinfo2, malloc_info, malloc_stats,
 * mallopt, malloc_trim, against a known allocation pattern.
 *
 * glibc counts blocks with a mapping of their own in hblkhd and all others in uordblks. A block may
 * stand in either figure but not in both, so large blocks are checked on the sum.
 */
#include "conform_areas.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KIB = 1 << 10, MIB = 1 << 20, BLOCKS_MAX = 20000 };

static void *blocks[BLOCKS_MAX];

/* uordblks, and uordblks + hblkhd, by whichever function exists. */
struct figures {
    size_t in_use;
    size_t with_mapped;
};

static struct figures from_mallinfo2(void)
{
    struct conform_mallinfo2 m = conform_names.mallinfo2();

    return (struct figures){m.uordblks, m.uordblks + m.hblkhd};
}

/* mallinfo is marked deprecated where mallinfo2 exists: call it by name. Its fields are int. */
static struct figures from_mallinfo(void)
{
    struct mallinfo (*old)(void);
    struct mallinfo m;

    conform_find("mallinfo", &old);
    m = old();
    return (struct figures){(unsigned)m.uordblks,
                            (size_t)(unsigned)m.uordblks + (unsigned)m.hblkhd};
}

/* Allocate `count` blocks of `bytes`; returns the sum of what was asked for. */
static size_t allocate(int count, size_t bytes)
{
    for (int i = 0; i < count; i++) {
        blocks[i] = malloc(bytes);
        REQUIRE(blocks[i], "malloc: NULL");
        memset(blocks[i], 1, bytes);
    }
    return (size_t)count * bytes;
}

static void release(int count)
{
    for (int i = 0; i < count; i++)
        free(blocks[i]);
}

static void follow_pattern(struct figures (*read_figures)(void))
{
    static const struct {
        int count;
        size_t bytes;
    } patterns[] = {{20000, 40},  {10000, 200}, {4000, 1000},
                    {500, 10000}, {40, 100000}, {8, 3 * MIB}};

    for (unsigned i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct figures before = read_figures(), held, after;
        size_t sum = allocate(patterns[i].count, patterns[i].bytes), most = sum + sum * 3 / 10;
        size_t grew, left;

        held = read_figures();
        grew = held.with_mapped - before.with_mapped;
        /* A 40-byte request takes 48 in glibc and in most class tables. */
        CHECK(grew >= sum && grew <= most + 64 * KIB, "%d x %zu bytes: figures grew by %zu",
              patterns[i].count, patterns[i].bytes, grew);
        if (patterns[i].bytes <= 10000) {
            grew = held.in_use - before.in_use;
            CHECK(grew >= sum && grew <= most + 64 * KIB, "%d x %zu bytes: uordblks grew by %zu",
                  patterns[i].count, patterns[i].bytes, grew);
        }
        release(patterns[i].count);
        after = read_figures();
        left = after.with_mapped > before.with_mapped ? after.with_mapped - before.with_mapped : 0;
        CHECK(left <= sum / 10 + 64 * KIB, "%d x %zu bytes: %zu still counted after the free",
              patterns[i].count, patterns[i].bytes, left);
    }
}

static void mallinfo2_follows(void)
{
    NEED(conform_names.mallinfo2, "mallinfo2");
    follow_pattern(from_mallinfo2);
}

static void mallinfo_follows(void)
{
    follow_pattern(from_mallinfo);
}

static void mallinfo2_totals(void)
{
    struct conform_mallinfo2 m;

    NEED(conform_names.mallinfo2, "mallinfo2");
    allocate(1000, 5000);
    m = conform_names.mallinfo2();
    CHECK(m.arena + m.hblkhd >= 5000000, "arena %zu + hblkhd %zu below what is live", m.arena,
          m.hblkhd);
    if (conform_expect_all || conform_is_glibc())
        CHECK(m.arena == m.uordblks + m.fordblks, "arena %zu is not uordblks %zu + fordblks %zu",
              m.arena, m.uordblks, m.fordblks);
    release(1000);
}

/* Step over one quoted attribute list up to '>'; NULL if malformed. `*ret_empty` for "/>". */
static const char *walk_attributes(const char *at, bool *ret_empty)
{
    for (;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (*at == '/' && at[1] == '>') {
            *ret_empty = true;
            return at + 2;
        }
        if (*at == '>') {
            *ret_empty = false;
            return at + 1;
        }
        if (!isalpha((unsigned char)*at))
            return NULL;
        at += strcspn(at, "=<>\" \n");
        if (at[0] != '=' || at[1] != '"')
            return NULL;
        at += 2;
        at += strcspn(at, "\"<>");
        if (*at++ != '"')
            return NULL;
    }
}

/*
 * A tiny well-formedness walk: tags nest and close in order, attributes are quoted, one root.
 * Returns NULL if fine, else where it stopped making sense.
 */
static const char *walk_xml(const char *at, const char *root)
{
    enum { DEPTH_MAX = 32, NAME_MAX_BYTES = 32 };
    char names[DEPTH_MAX][NAME_MAX_BYTES];
    int depth = 0;
    bool seen_root = false;

    for (;;) {
        const char *start = at;
        size_t n;
        bool empty, closing;

        at += strcspn(at, "<&");
        if (*at == 0)
            return depth == 0 && seen_root ? NULL : start;
        if (*at == '&')
            return at;
        closing = at[1] == '/';
        start = at + (closing ? 2 : 1);
        n = strspn(start, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
        if (n == 0 || n >= NAME_MAX_BYTES)
            return at;
        if (closing) {
            if (depth == 0 || strlen(names[depth - 1]) != n || strncmp(names[depth - 1], start, n))
                return at;
            depth--;
            if (start[n] != '>')
                return at;
            at = start + n + 1;
            continue;
        }
        if (depth == 0 && (seen_root || strlen(root) != n || strncmp(root, start, n)))
            return at;
        seen_root = true;
        at = walk_attributes(start + n, &empty);
        if (!at || (!empty && depth == DEPTH_MAX))
            return start;
        if (!empty) {
            memcpy(names[depth], start, n);
            names[depth++][n] = 0;
        }
    }
}

static size_t largest_size(const char *xml)
{
    size_t largest = 0;

    for (const char *at = strstr(xml, "size=\""); at; at = strstr(at + 1, "size=\"")) {
        size_t n = strtoull(at + 6, NULL, 10);

        largest = n > largest ? n : largest;
    }
    return largest;
}

static void malloc_info_xml(void)
{
    static char text[256 * KIB];
    FILE *file = tmpfile();
    const char *wrong;
    size_t n;

    REQUIRE(file, "tmpfile: %s", strerror(errno));
    allocate(8000, 1000);
    CHECK(malloc_info(0, file) == 0, "malloc_info gave non-zero");
    rewind(file);
    n = fread(text, 1, sizeof text - 1, file);
    text[n] = 0;
    fclose(file);
    release(8000);
    REQUIRE(n > 0, "malloc_info wrote nothing to the given FILE");
    wrong = walk_xml(text, "malloc");
    CHECK(!wrong, "not well-formed at: %.60s", wrong ? wrong : "");
    CHECK(strstr(text, "version=\""), "no version");
    CHECK(largest_size(text) >= 8000000, "8 MB live, but the largest size told is %zu",
          largest_size(text));
}

static void malloc_info_options(void)
{
    FILE *file = tmpfile();

    REQUIRE(file, "tmpfile: %s", strerror(errno));
    CHECK(malloc_info(1, file) == EINVAL, "options 1: not EINVAL");
    CHECK(malloc_info(-1, file) == EINVAL, "options -1: not EINVAL");
    CHECK(ftell(file) == 0, "a refused malloc_info wrote something");
    fclose(file);
}

/* malloc_stats writes to stderr: catch it in a file. */
static void malloc_stats_prints(void)
{
    FILE *file = tmpfile();
    off_t n;
    int saved;

    REQUIRE(file, "tmpfile: %s", strerror(errno));
    saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    malloc_stats();
    fflush(stderr);
    n = lseek(STDERR_FILENO, 0, SEEK_END);
    dup2(saved, STDERR_FILENO);
    CHECK(n > 0, "malloc_stats wrote nothing to stderr");
    fclose(file);
}

static void mallopt_accepts(void)
{
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 * MIB) == 1, "M_MMAP_THRESHOLD");
    CHECK(mallopt(M_TRIM_THRESHOLD, 1 * MIB) == 1, "M_TRIM_THRESHOLD");
    CHECK(mallopt(M_TOP_PAD, 64 * KIB) == 1, "M_TOP_PAD");
    CHECK(mallopt(M_MMAP_MAX, 1000) == 1, "M_MMAP_MAX");
    CHECK(mallopt(M_ARENA_MAX, 4) == 1, "M_ARENA_MAX");
    CHECK(mallopt(M_MXFAST, 64) == 1, "M_MXFAST");
    release((allocate(1000, 100), 1000));
    release((allocate(20, 2 * MIB), 20));
}

/*
 * Free all but a last block, so that nothing is trimmed by itself in glibc: a trim must find the
 * pages, say 1, and RSS must fall.
 */
static void trim_gives_back(size_t bytes, int count)
{
    size_t sum = allocate(count, bytes), before, after;
    void *last = malloc(bytes);
    int said;

    release(count);
    before = conform_rss_bytes();
    said = malloc_trim(0);
    after = conform_rss_bytes();
    CHECK(said == 1, "blocks of %zu: malloc_trim gave %d", bytes, said);
    CHECK(before >= after && before - after >= sum / 2, "blocks of %zu: RSS %zu -> %zu", bytes,
          before, after);
    free(last);
}

static void trim_small(void)
{
    trim_gives_back(1000, 20000);
}

static void trim_medium(void)
{
    trim_gives_back(20000, 2000);
}

const struct conform_test conform_info[] = {
    {"mallinfo/follows a known pattern", mallinfo_follows, 0},
    {"mallinfo2/follows a known pattern", mallinfo2_follows, 0},
    {"mallinfo2/totals agree", mallinfo2_totals, 0},
    {"malloc_info/well-formed XML with true figures", malloc_info_xml, 0},
    {"malloc_info/EINVAL for options", malloc_info_options, 0},
    {"malloc_stats/prints to stderr", malloc_stats_prints, 0},
    {"mallopt/accepts the documented parameters", mallopt_accepts, 0},
    {"malloc_trim/small blocks", trim_small, 0},
    {"malloc_trim/medium blocks", trim_medium, 0},
    {NULL, NULL, 0},
};
