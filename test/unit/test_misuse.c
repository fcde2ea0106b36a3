/* SPDX-License-Identifier: MIT */
/* heap/misuse.c: what a pointer is, and what a bad one gets. The abort lines are test/preload's. */
#include <criterion/criterion.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "blockset.h"
#include "capture.h"
#include "heap/alloc.h"
#include "heap/heaps.h"
#include "heap/misuse.h"
#include "heap/sizeclass.h"
#include "heaplook.h"

static struct blockset set;

static void start(void)
{
    blockset_init(&set, 101);
    lodei_conf.purge = LODEI_PURGE_OFF;
    cr_assert_not_null(lode_heap_default());
}

TestSuite(misuse, .init = start);

static enum lodei_finding sort_out(const void *p)
{
    struct lodei_span *span;
    return lodei_classify(p, &span);
}

Test(misuse, classify_every_class)
{
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        size_t bytes = lodei_classes[c].block_bytes;
        char *p = lode_malloc(bytes), *keep = lode_malloc(bytes);
        cr_assert_eq(sort_out(p), LODEI_FOUND_BLOCK);
        cr_assert_eq(sort_out(p + 4), LODEI_FOUND_MISALIGNED);
        cr_assert(bytes == 16 || sort_out(p + 16) == LODEI_FOUND_INTERIOR);
        cr_assert(bytes == 16 || sort_out(p + bytes - 16) == LODEI_FOUND_INTERIOR);
        memset(p, 0xff, bytes);
        cr_assert_eq(sort_out(p), LODEI_FOUND_BLOCK, "contents do not matter");
        memset(p, 0, bytes);
        cr_assert_eq(sort_out(p), LODEI_FOUND_BLOCK);
        lode_free(p);
        cr_assert_eq(sort_out(p), LODEI_FOUND_FREE);
        lodei_theap_flush(lodei_theap_get(lode_heap_default()));
        cr_assert_eq(sort_out(p), LODEI_FOUND_FREE);
        lode_free(keep);
        lodei_theap_flush(lodei_theap_get(lode_heap_default()));
        cr_assert_eq(sort_out(p), LODEI_FOUND_FREE, "its span is gone, its slice was ours");
    }
}

Test(misuse, classify_large)
{
    char *p = lode_malloc(3 << 20);
    cr_assert_eq(sort_out(p), LODEI_FOUND_LARGE);
    cr_assert_eq(sort_out(p + 16), LODEI_FOUND_INTERIOR);
    cr_assert_eq(sort_out(p + (2 << 20)), LODEI_FOUND_INTERIOR);
    cr_assert_eq(sort_out(p + (2 << 20) + 1), LODEI_FOUND_MISALIGNED);
    lode_free(p);
    cr_assert_eq(sort_out(p), LODEI_FOUND_FREE);
    lode_purge();
    cr_assert_eq(sort_out(p), LODEI_FOUND_FREE);
}

Test(misuse, classify_foreign)
{
    int local = 0;
    static int fixed[4];
    cr_assert_eq(sort_out(&local), LODEI_FOUND_FOREIGN);
    cr_assert_eq(sort_out(fixed), LODEI_FOUND_FOREIGN);
    cr_assert_eq(sort_out((void *)16), LODEI_FOUND_FOREIGN);
    cr_assert_eq(sort_out((void *)-16), LODEI_FOUND_FOREIGN);
    cr_assert_eq(sort_out(lodei_state.base), LODEI_FOUND_FOREIGN);
    cr_assert_eq(sort_out(lodei_state.spans + 256), LODEI_FOUND_FOREIGN);
    cr_assert_eq(sort_out(lodei_state.base - 16), LODEI_FOUND_FOREIGN);
    char *end = lodei_state.base + lodei_state.reserved_bytes;
    cr_assert_eq(sort_out(end - 16), LODEI_FOUND_FOREIGN, "never handed out");
    cr_assert_eq(sort_out(end), LODEI_FOUND_FOREIGN);
}

/* Wherever a block waits: list, spare list, inbox, outbox, span, purged page. */
static void free_half_job(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < set.count; i += 2)
        lode_free(set.all[i].at);
}

Test(misuse, free_blocks_are_known_wherever_they_wait)
{
    for (size_t bytes = 16; bytes < 30000; bytes = bytes * 2 + 16) {
        size_t count = 300000 / bytes + 20;
        for (size_t i = 0; i < count; i++)
            blockset_add(&set, lode_malloc(bytes), bytes);
        heaplook_on_thread(free_half_job, NULL);
        for (size_t i = 0; i < count; i++)
            cr_assert_eq(sort_out(set.all[i].at), i % 2 ? LODEI_FOUND_BLOCK : LODEI_FOUND_FREE);
        lode_purge();
        for (size_t i = 0; i < count; i++)
            cr_assert_eq(sort_out(set.all[i].at), i % 2 ? LODEI_FOUND_BLOCK : LODEI_FOUND_FREE);
        for (size_t i = 1; i < count; i += 2)
            lode_free(set.all[i].at);
        for (size_t i = 0; i < count; i++)
            cr_assert_eq(sort_out(set.all[i].at), LODEI_FOUND_FREE);
        set.count = 0;
    }
}

/* With misuse=ignore nothing happens, and it is counted. */
Test(misuse, ignored)
{
    lodei_conf.misuse = LODEI_MISUSE_IGNORE;
    struct capture c;
    char said[256];
    uint64_t faults = 0;
    int local[8];
    capture_start(&c);
    for (size_t bytes = 16; bytes < 2 << 20; bytes = bytes * 3 + 16) {
        char *keep = lode_malloc(bytes), *p = lode_malloc(bytes);
        size_t live = heaplook_stats(NULL).live_blocks;
        lode_free(p);
        lode_free(p);
        lode_free(keep + 8);
        lode_free(&local[4]);
        cr_assert_null(lode_realloc(p, 10));
        cr_assert_eq(lode_usable_size(p), 0);
        cr_assert_eq(lode_usable_size(local), 0);
        faults += 6;
        cr_assert_eq(heaplook_stats(NULL).misuse_count, faults);
        cr_assert_eq(heaplook_stats(NULL).live_blocks, live - 1);
        char *a = lode_malloc(bytes), *b = lode_malloc(bytes);
        cr_assert_neq(a, b);
        lode_free(a);
        lode_free(b);
        lode_free(keep);
    }
    capture_end(&c, said, sizeof(said));
    cr_assert_str_eq(said, "");
}

/* What a stray write into a freed block does; a sanitizer would stop it here. */
static LODE_NO_ASAN void overwrite(char *p, size_t bytes, char value)
{
    volatile char *at = p;
    for (size_t i = 0; i < bytes; i++)
        at[i] = value;
}

/* A link overwritten after free is found before the block behind it is handed out. */
Test(misuse, overwritten_link, .signal = SIGABRT)
{
    struct capture c;
    char *p = lode_malloc(64), *q = lode_malloc(64);
    lode_free(q);
    lode_free(p);
    overwrite(p, 8, 0x41);
    capture_start(&c);
    lode_malloc(64);
}

Test(misuse, overwritten_after_flush, .signal = SIGABRT)
{
    struct capture c;
    char *keep = lode_malloc(64), *p = lode_malloc(64), *q = lode_malloc(64);
    lode_free(p);
    lode_free(q);
    lodei_theap_flush(lodei_theap_get(lode_heap_default()));
    overwrite(q, 16, 0);
    overwrite(p, 16, 0);
    capture_start(&c);
    for (int i = 0; i < 2000; i++)
        lode_malloc(64);
    lode_free(keep);
}

static struct capture said_before_abort;

/* What a game's crash reporter does, rightly or not. */
static void report_crash(int signal)
{
    char said[200];
    (void)signal;
    if (said_before_abort.saved == 0)
        _exit(5); /* a second fault */
    capture_end(&said_before_abort, said, sizeof(said));
    said_before_abort.saved = 0;
    for (size_t bytes = 128; bytes < 1000000; bytes *= 2) /* the class of 64 is broken */
        lode_free(lode_malloc(bytes));
    _exit(strncmp(said, "lode: corrupted free block 0x", 29) == 0 ? 3 : 4);
}

/* The fault is found with the thread heap's lock held: in a span with more free blocks than a list
 * takes at once. */
Test(misuse, crash_handler_allocates, .exit_code = 3, .timeout = 20)
{
    char *blocks[900];
    for (int i = 0; i < 900; i++)
        blocks[i] = lode_malloc(64);
    for (int i = 1; i < 900; i++)
        lode_free(blocks[i]);
    lodei_theap_flush(lodei_theap_get(lode_heap_default()));
    for (int i = 1; i < 900; i++)
        overwrite(blocks[i], 16, 0);
    signal(SIGABRT, report_crash);
    capture_start(&said_before_abort);
    for (int i = 0; i < 2000; i++)
        lode_malloc(64);
}
