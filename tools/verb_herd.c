/* SPDX-License-Identifier: MIT */
/*
 * `lode herd`: frames of a game with many creatures, over the storage that --alloc names. The
 * storage is a module of its own, lode-herd-NAME.so, loaded here: this program links neither.
 */
#include <argp.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "argwords.h"
#include "herdreport.h"
#include "modload.h"
#include "pages.h"
#include "verbs.h"
#include "xalloc.h"

enum {
    OPTION_ALLOC = 256,
    OPTION_CREATURES,
    OPTION_FRAMES,
    OPTION_SEED,
    OPTION_SAMPLES,
    OPTION_LIB_DIR,
};
enum { DEFAULT_CREATURES = 2000, MAX_CREATURES = 1000000 };
enum { DEFAULT_FRAMES = 36000, MAX_FRAMES = 100000000 };

static const char *const allocs[] = {"malloc", "pools"};

struct request {
    const char *alloc, *samples, *lib_dir;
    uint64_t creatures, frames, seed;
    int json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct request *request = state->input;

    switch (key) {
    case OPTION_ALLOC:
        request->alloc = allocs[LODEI_ARG_WORD("alloc", allocs, arg, state)];
        return 0;
    case OPTION_CREATURES:
        lodei_arg_number("creatures", arg, 2, MAX_CREATURES, &request->creatures, state);
        return 0;
    case OPTION_FRAMES:
        lodei_arg_number("frames", arg, 1, MAX_FRAMES, &request->frames, state);
        return 0;
    case OPTION_SEED:
        lodei_arg_number("seed", arg, 0, UINT64_MAX, &request->seed, state);
        return 0;
    case 'j':
        request->json = 1;
        return 0;
    case OPTION_SAMPLES:
        request->samples = arg;
        return 0;
    case OPTION_LIB_DIR:
        request->lib_dir = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"alloc", OPTION_ALLOC, "NAME", 0, "the storage: malloc (default) or pools", 1},
    {"creatures", OPTION_CREATURES, "N", 0, "the most that are alive at once (default: 2000)", 1},
    {"frames", OPTION_FRAMES, "N", 0, "at 60 a second of game time (default: 36000)", 1},
    {"seed", OPTION_SEED, "N", 0, "of all that happens (default: 1)", 1},
    {"json", 'j', NULL, 0, "as JSON", 1},
    {"samples", OPTION_SAMPLES, "FILE", 0, "write the times of every frame, for scripts", 1},
    {"lib-dir", OPTION_LIB_DIR, "DIR", 0, "where the modules are", 2},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .doc = "Run the frames of a herd of creatures that are born, remember, meet, travel and die, "
           "and measure what memory takes of each: the same herd over Lode's pools or over malloc, "
           "which any preloaded library may serve.",
};

/* Returns 0, or -1 when a file that was asked for could not be written. */
static int report(const struct request *request, const struct lodei_herd_config *config,
                  const struct lodei_herd_result *result)
{
    struct lodei_herd_run run = {.alloc = request->alloc,
                                 .malloc_owner = lodei_malloc_owner(),
                                 .config = config,
                                 .result = result};
    struct lodei_terminal terminal;

    if (request->json) {
        lodei_herd_json(&run, stdout);
    } else {
        lodei_terminal_init(&terminal, stdout);
        lodei_herd_print(&run, &terminal);
        lodei_terminal_finish(&terminal);
    }
    return request->samples != NULL ? lodei_herd_samples(&run, request->samples) : 0;
}

int lodei_verb_herd(int argc, char **argv)
{
    struct request request = {
        .alloc = "malloc", .creatures = DEFAULT_CREATURES, .frames = DEFAULT_FRAMES, .seed = 1};
    struct lodei_herd_config config;
    struct lodei_herd_result result = {0};
    lodei_herd_runner *runner;
    char *name;
    int fault;

    if (argp_parse(&argp, argc, argv, 0, NULL, &request) != 0)
        return LODEI_EXIT_BAD_INPUT;
    name = lodei_xasprintf("lode-herd-%s.so", request.alloc);
    runner = (lodei_herd_runner *)(uintptr_t)lodei_modload(request.lib_dir, name, "lodei_herd_run");
    free(name);
    if (runner == NULL)
        return LODEI_EXIT_BAD_INPUT;
    config.creatures = (uint32_t)request.creatures;
    config.frames = (uint32_t)request.frames;
    config.seed = request.seed;
    config.times = lodei_pages_alloc(config.frames, sizeof(*config.times));
    memset(config.times, 0, config.frames * sizeof(*config.times)); /* touched before it counts */
    fault = runner(&config, &result);
    if (fault != 0)
        warnx("--alloc=%s: %s", request.alloc, strerror(-fault));
    else
        fault = report(&request, &config, &result);
    lodei_pages_free(config.times, config.frames, sizeof(*config.times));
    return fault != 0 ? LODEI_EXIT_BAD_INPUT : 0;
}
