/* SPDX-License-Identifier: MIT */
/*
 * Conformance: libraries loaded at run time. Blocks allocated by a constructor outlive dlclose; and
 * a library loaded with RTLD_DEEPBIND binds malloc to libc's, so that its blocks reach the main
 * program's free. lode promises to hand those to glibc with one warning line a process; other
 * allocators crash, so that test runs only over lode and over glibc itself.
 */
#include "conform_areas.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

struct loaded {
    void *handle;
    void *(*take)(size_t bytes);
    void **(*early)(void);
};

static struct loaded load(int flags)
{
    char path[4200];
    struct loaded l;

    snprintf(path, sizeof path, "%s/libconform-loaded.so", conform_folder());
    l.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | flags);
    REQUIRE(l.handle, "%s", dlerror());
    *(void **)&l.take = dlsym(l.handle, "conform_loaded_take");
    *(void **)&l.early = dlsym(l.handle, "conform_loaded_early");
    REQUIRE(l.take && l.early, "the library lacks its functions");
    return l;
}

static void blocks_outlive_library(void)
{
    for (int i = 0; i < 20; i++) {
        struct loaded l = load(0);
        void *early[4], *taken = l.take(5000);

        memcpy(early, l.early(), sizeof early);
        REQUIRE(taken && early[0], "the library could not allocate");
        dlclose(l.handle);
        for (int k = 0; k < 4; k++)
            free(early[k]);
        taken = realloc(taken, 10000);
        REQUIRE(taken, "realloc: NULL");
        free(taken);
    }
}

static struct loaded deep;

static void *take_in_thread(void *arg)
{
    void **ret = arg;

    /* The library's first allocation in this thread: glibc gives the thread an arena of its own. */
    for (int i = 0; i < 8; i++)
        ret[i] = deep.take(i % 2 ? 24 : 3000);
    return NULL;
}

/* Free, grow and measure blocks of glibc's malloc: from [heap], from a mapping, from an arena. */
static void use_foreign_blocks(void)
{
    static const size_t sizes[] = {1, 24, 200, 5000, 100000, 300000, 5 * MIB, 0};
    pthread_t thread;
    void *of_thread[8];

    for (int i = 0; sizes[i]; i++) {
        char *p = deep.take(sizes[i]);

        REQUIRE(p, "malloc in the library: NULL");
        conform_fill(p, sizes[i], 1);
        CHECK(malloc_usable_size(p) >= sizes[i], "usable size of glibc's %zu: %zu", sizes[i],
              malloc_usable_size(p));
        p = realloc(p, sizes[i] * 2 + 10);
        REQUIRE(p && conform_filled(p, sizes[i], 1), "realloc of glibc's %zu lost contents",
                sizes[i]);
        free(p);
        p = deep.take(sizes[i]);
        conform_fill(p, sizes[i], 2);
        errno = EXDEV;
        free(opaque(p));
        CHECK(errno == EXDEV, "free of glibc's %zu set errno to %d", sizes[i], errno);
    }
    pthread_create(&thread, NULL, take_in_thread, of_thread);
    pthread_join(thread, NULL);
    for (int i = 0; i < 8; i++) {
        REQUIRE(of_thread[i], "malloc in the library's thread: NULL");
        CHECK(malloc_usable_size(of_thread[i]) >= 24, "usable size of an arena's block");
        if (i % 3 == 0)
            of_thread[i] = realloc(of_thread[i], 6000);
        free(of_thread[i]);
    }
}

static void deepbind(void)
{
    char text[4096], *line;
    FILE *file = tmpfile();
    ssize_t n;
    int saved, lines = 0;

    if (!conform_expect_all && !conform_is_glibc())
        conform_skip("a promise of lode only");
    REQUIRE(file, "tmpfile: %s", strerror(errno));
    deep = load(RTLD_DEEPBIND);
    saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    use_foreign_blocks();
    dup2(saved, STDERR_FILENO);
    for (int i = 0; i < 4; i++)
        free(deep.early()[i]);
    n = pread(fileno(file), text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    for (line = text; *line; line += strcspn(line, "\n") + 1)
        lines++;
    if (!conform_expect_all) {
        CHECK(lines == 0, "glibc printed: %s", text);
        return;
    }
    CHECK(lines == 1, "%d lines of warning: %s", lines, text);
    CHECK(strncmp(text, "lode: pointer of glibc's malloc passed to ", 42) == 0 &&
              strstr(text, "; handed to glibc\n"),
          "the warning reads: %s", text);
}

/* The warning's wording when free comes first. */
static void deepbind_free_first(void)
{
    static const char expected[] =
        "lode: pointer of glibc's malloc passed to free; handed to glibc\n";
    char text[4096];
    FILE *file = tmpfile();
    ssize_t n;
    int saved;

    if (!conform_expect_all)
        conform_skip("a promise of lode only");
    REQUIRE(file, "tmpfile: %s", strerror(errno));
    deep = load(RTLD_DEEPBIND);
    saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    for (int i = 0; i < 100; i++)
        free(deep.take((size_t)i * 100 + 1));
    dup2(saved, STDERR_FILENO);
    n = pread(fileno(file), text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    CHECK(strcmp(text, expected) == 0, "stderr: %s", text);
}

const struct conform_test conform_dynamic[] = {
    {"dlopen/blocks outlive their library", blocks_outlive_library, 0},
    {"dlopen/RTLD_DEEPBIND hands us glibc's blocks", deepbind, 0},
    {"dlopen/RTLD_DEEPBIND warns once", deepbind_free_first, 0},
    {NULL, NULL, 0},
};
