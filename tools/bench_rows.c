/* SPDX-License-Identifier: MIT */
/*
 * The rows of a benchmark; see bench_rows.h.
 *
 * The loader only prints a line when it cannot preload a library, and goes on without: that row
 * would quietly measure glibc. So every library is tried first, under this program itself. A peer
 * of the system that fails is left out; ours and those of the command line must work.
 */
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_rows.h"
#include "childenv.h"
#include "libfind.h"
#include "xalloc.h"

static const struct peer {
    const char *name;
    const char *files[2]; /* the first one found */
} known_peers[] = {
    {"mimalloc", {"libmimalloc.so.2", "libmimalloc.so"}},
    {"jemalloc", {"libjemalloc.so.2", NULL}},
    {"tcmalloc", {"libtcmalloc_minimal.so.4", NULL}},
    {"tbbmalloc", {"libtbbmalloc_proxy.so.2", NULL}},
};

#define KNOWN_PEER_COUNT (sizeof(known_peers) / sizeof(known_peers[0]))

/* Whether "NAME,NAME" holds `name`. glibc's second row belongs to the first. */
static int is_chosen(const char *only, const char *name)
{
    size_t length;

    if (strcmp(name, LODEI_BENCH_AGAIN) == 0)
        name = "glibc";
    length = strlen(name);
    for (const char *p = only; p != NULL; p = strchr(p, ','), p = p != NULL ? p + 1 : NULL)
        if (strcspn(p, ",") == length && strncmp(p, name, length) == 0)
            return 1;
    return only == NULL;
}

/* Whether the loader takes `library`: 0, or -1 after a message. */
static int try_library(const char *name, const char *library)
{
    char path[] = "/proc/self/exe", version[] = "--version", text[1024] = "";
    char *argv[] = {path, version, NULL};
    struct lodei_launch launch = {.argv = argv, .input_fd = -1};
    struct lodei_outcome outcome;
    ssize_t length;

    if (!lodei_childenv_can_preload(library)) {
        warnx("%s: %s: blanks and colons separate names in LD_PRELOAD", name, library);
        return -1;
    }
    launch.output_fd = memfd_create("lode-bench-try", MFD_CLOEXEC);
    launch.env = lodei_childenv_create(library, NULL);
    lodei_launch_run(&launch, &outcome);
    lodei_childenv_destroy(launch.env);
    length = pread(launch.output_fd, text, sizeof(text) - 1, 0);
    close(launch.output_fd);
    text[length > 0 ? length : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (outcome.status == 0 && strstr(text, "cannot be preloaded") == NULL)
        return 0;
    warnx("%s: %s is of no use here (status %d): %s", name, library, outcome.status, text);
    return -1;
}

/* Takes `library` over. */
static void add_row(struct lodei_bench *bench, const char *name, char *library, const char *options)
{
    struct lodei_bench_row row = {.library = library};

    row.name = lodei_xstrdup(name);
    row.env = lodei_childenv_create(library, options);
    bench->rows = lodei_xreallocarray(bench->rows, bench->row_count + 1, sizeof(row));
    bench->rows[bench->row_count++] = row;
}

static int add_ours(struct lodei_bench *bench, const struct lodei_bench_choice *choice,
                    const char *name, const char *heap)
{
    char *library, *options;

    if (!is_chosen(choice->only, name))
        return 0;
    library = lodei_libfind_ours(choice->lib_dir, heap);
    if (library == NULL) {
        warnx("%s left out: its library was not found (see --lib-dir)", name);
        return 0;
    }
    if (try_library(name, library) != 0) {
        free(library);
        return -1;
    }
    options = lodei_childenv_options(choice->options);
    add_row(bench, name, library, options);
    free(options);
    return 0;
}

static void add_known(struct lodei_bench *bench, const struct lodei_bench_choice *choice,
                      const struct peer *peer)
{
    char *library = NULL;

    if (!is_chosen(choice->only, peer->name))
        return;
    for (size_t i = 0; library == NULL && i < 2 && peer->files[i] != NULL; i++)
        library = lodei_libfind_system(peer->files[i]);
    if (library == NULL)
        warnx("%s left out: %s was not found", peer->name, peer->files[0]);
    else if (try_library(peer->name, library) != 0)
        free(library);
    else
        add_row(bench, peer->name, library, NULL);
}

static int add_given(struct lodei_bench *bench, const struct lodei_bench_choice *choice,
                     const char *given)
{
    const char *file = strchr(given, '=');
    char *name, *library;
    int result = 0;

    if (file == NULL || file == given || strcspn(given, ", \"") < (size_t)(file - given)) {
        warnx("--peer=%s: expected NAME=LIB.so, no comma, blank or quote in NAME", given);
        return -1;
    }
    name = lodei_xasprintf("%.*s", (int)(file - given), given);
    for (size_t r = 0; r < bench->row_count; r++) {
        if (strcmp(bench->rows[r].name, name) == 0) {
            warnx("--peer=%s: there is an allocator '%s' already", given, name);
            free(name);
            return -1;
        }
    }
    library = realpath(file + 1, NULL);
    if (library == NULL) {
        warn("--peer=%s", given);
        free(name);
        return -1;
    }
    if (is_chosen(choice->only, name)) {
        result = try_library(name, library);
        if (result == 0) {
            add_row(bench, name, library, NULL);
            library = NULL;
        }
    }
    free(library);
    free(name);
    return result;
}

/* Every name in --only must be one there is. */
static int check_only(const struct lodei_bench_choice *choice)
{
    char *names = lodei_xstrdup("glibc,lode,lode-mimalloc"), *longer, *word, *rest, *only;
    int result = 0;

    for (size_t i = 0; i < KNOWN_PEER_COUNT + choice->peer_count; i++) {
        const char *name =
            i < KNOWN_PEER_COUNT ? known_peers[i].name : choice->peers[i - KNOWN_PEER_COUNT];

        longer = lodei_xasprintf("%s,%.*s", names, (int)strcspn(name, "="), name);
        free(names);
        names = longer;
    }
    only = lodei_xstrdup(choice->only);
    for (word = strtok_r(only, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (is_chosen(names, word))
            continue;
        warnx("--only: unknown allocator '%s', there are: %s", word, names);
        result = -1;
    }
    free(only);
    free(names);
    return result;
}

int lodei_bench_rows_create(struct lodei_bench *bench, const struct lodei_bench_choice *choice)
{
    if (choice->only != NULL && check_only(choice) != 0)
        return -1;
    if (is_chosen(choice->only, "glibc")) {
        add_row(bench, "glibc", NULL, NULL);
        add_row(bench, LODEI_BENCH_AGAIN, NULL, NULL);
    }
    if (add_ours(bench, choice, "lode", "native") != 0 ||
        add_ours(bench, choice, "lode-mimalloc", "mimalloc") != 0)
        return -1;
    for (size_t i = 0; i < KNOWN_PEER_COUNT; i++)
        add_known(bench, choice, &known_peers[i]);
    for (size_t i = 0; i < choice->peer_count; i++)
        if (add_given(bench, choice, choice->peers[i]) != 0)
            return -1;
    if (bench->row_count > 0)
        return 0;
    warnx("no allocator to measure");
    return -1;
}

void lodei_bench_rows_destroy(struct lodei_bench *bench)
{
    for (size_t r = 0; r < bench->row_count; r++) {
        free(bench->rows[r].name);
        free(bench->rows[r].library);
        lodei_childenv_destroy(bench->rows[r].env);
        free(bench->rows[r].runs);
    }
    free(bench->rows);
    bench->rows = NULL;
    bench->row_count = 0;
}
