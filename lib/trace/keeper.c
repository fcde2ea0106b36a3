/* SPDX-License-Identifier: MIT */
/*
 * The rule. Take the run of frames, from the innermost outwards, that lie in runtime libraries:
 *
 *     #0 libc        malloc was called here           run
 *     #1 libc        entered here: the function that  run
 *     #2 libstdc++   ... entered here                 run
 *     #3 the program
 *
 *  - No run: the program allocated. Its own.
 *  - The innermost frame is ld.so's: lists of libraries, TLS vectors. Kept.
 *  - The run is the whole stack: start-up, no code of the program involved. Kept.
 *  - libc was entered from outside through a function that hands its caller a block (`givers`): the
 *    program's. Through any other function: kept (stdio buffers, locale, time zone, environment,
 *    name services, exit handlers, converters). What libc gives away is a closed, documented list;
 *    what it keeps is not.
 *  - The C++ runtime works on objects of its caller, so what it allocates is the program's, except
 *    below the functions in `cxx_keepers`.
 *
 * A function is known by the symbol that covers the frame, or by what the caller's call instruction
 * names, since a C function may jump on to a nameless one.
 */
#include <string.h>

#include "trace/callsite.h"
#include "trace/elfsym.h"
#include "trace/keeper.h"
#include "trace/modules.h"

/* Functions of glibc whose results the caller frees, itself or with a function made for it. Those
 * that also build up caches of their own on the way (getaddrinfo, iconv_open, newlocale) are left
 * out: a block that is reported must be a leak. */
/* clang-format off */
static const char *const givers[] = {
    /* strings and paths */
    "strdup", "__strdup", "strndup", "__strndup", "wcsdup", "realpath", "__realpath_chk",
    "canonicalize_file_name", "getcwd", "__getcwd_chk", "get_current_dir_name", "tempnam",
    "asprintf", "vasprintf", "__asprintf", "__asprintf_chk", "__vasprintf_chk", "argz_create",
    "argz_create_sep", "argz_add", "argz_add_sep", "argz_append", "argz_insert", "argz_replace",
    "envz_add", "envz_merge",
    /* streams and what they read */
    "fopen", "fopen64", "fdopen", "popen", "tmpfile", "tmpfile64", "fmemopen", "open_memstream",
    "open_wmemstream", "fopencookie", "setmntent", "getline", "getdelim", "__getdelim", "scanf",
    "fscanf", "sscanf", "vscanf", "vfscanf", "vsscanf", "__isoc99_scanf", "__isoc99_fscanf",
    "__isoc99_sscanf", "__isoc99_vscanf", "__isoc99_vfscanf", "__isoc99_vsscanf",
    /* directories and patterns */
    "opendir", "fdopendir", "scandir", "scandir64", "scandirat", "scandirat64", "glob", "glob64",
    "regcomp", "re_compile_pattern", "wordexp", "fts_open", "fts64_open", "fts_read", "fts64_read",
    "fts_children", "fts64_children",
    /* containers */
    "tsearch", "hcreate", "hcreate_r", "_obstack_begin", "_obstack_begin_1", "_obstack_newchunk",
    /* the rest */
    "backtrace_symbols", "getifaddrs", "if_nameindex", "duplocale", "sem_open", "timer_create",
    "posix_spawn_file_actions_addopen", "posix_spawn_file_actions_addclose",
    "posix_spawn_file_actions_adddup2", "pthread_attr_setaffinity_np", "pthread_getattr_np",
    /* malloc by another name */
    "malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc", "posix_memalign",
    "valloc", "pvalloc",
};
/* clang-format on */

/* Functions of glibc below which nothing is given away, whoever called them: getline() fills a
 * stream and gives the stream its buffer, regcomp() has the locale's converters loaded. */
/* clang-format off */
static const char *const libc_keepers[] = {
    "_IO_doallocbuf", "_IO_file_doallocate", "_IO_wdoallocbuf", "_IO_wfile_doallocate",
    "_IO_file_fopen", "btowc", "wctob", "mbrtowc", "mbtowc", "wcrtomb", "wctomb", "mbsrtowcs",
    "mbsnrtowcs", "mbstowcs", "wcsrtombs", "wcsnrtombs", "wcstombs", "mbrlen", "mblen", "mbrtoc16",
    "mbrtoc32", "gettext", "dgettext", "dcgettext", "dcngettext", "setlocale", "tzset", "getpwnam",
    "getpwnam_r", "getpwuid_r", "dlopen", "pthread_create",
};
/* clang-format on */

/* Starts of mangled names. Locales share their parts and are never taken down, and number formats
 * are cached in them, by a nameless function below num_put and its like; exceptions in flight
 * when the program exits; unwinder tables and emulated thread-local storage of libgcc. */
static const char *const cxx_keepers[] = {
    "_ZNSt6locale",
    "_ZNKSt6locale",
    "_ZNKSt7num_put",
    "_ZNKSt7num_get",
    "_ZNKSt9money_put",
    "_ZNKSt9money_get",
    "_ZNKSt8time_put",
    "_ZNKSt8time_get",
    "_ZNSt15__numpunct_cache",
    "_ZNSt18__moneypunct_cache",
    "_ZNSt16__timepunct_cache",
    "_ZSt9use_facet",
    "_ZNSt8ios_base4Init",
    "__cxa_allocate_exception",
    "__cxa_allocate_dependent_exception",
    "__cxa_get_globals",
    "__register_frame",
    "__emutls_get_address",
    "_Unwind_",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool is_giver(const char *name)
{
    return is_one_of(name, givers, COUNT(givers));
}

static bool is_libc_keeper(const char *name)
{
    return is_one_of(name, libc_keepers, COUNT(libc_keepers));
}

static bool is_cxx_keeper(const char *name)
{
    for (size_t i = 0; i < COUNT(cxx_keepers); i++)
        if (strncmp(name, cxx_keepers[i], strlen(cxx_keepers[i])) == 0)
            return true;
    return false;
}

static bool named(uintptr_t address, uint32_t epoch, bool (*match)(const char *name))
{
    struct lodei_module *module = lodei_modules_find(address, epoch);
    const struct lodei_elfsym *symbols = module ? lodei_modules_symbols(module) : NULL;

    return symbols && lodei_elfsym_any(symbols, address - module->bias, match);
}

static bool is_ld_so(const struct lodei_module *module)
{
    const char *slash = strrchr(module->path, '/');

    return strncmp(slash ? slash + 1 : module->path, "ld-", 3) == 0;
}

/* Did the call that returns to `frame` name a giver? */
static bool calls_giver(uintptr_t frame, uint32_t epoch)
{
    const struct lodei_module *caller = lodei_modules_find(frame - 1, epoch);
    uintptr_t target;

    if (!caller || caller->died)
        return false;
    target = lodei_callsite_target(frame, caller->begin, caller->end);
    return target && named(target, epoch, is_giver);
}

static enum lodei_module_role role_at(const struct lodei_stack *stack, uint32_t at)
{
    const struct lodei_module *module = lodei_modules_find(stack->frames[at] - 1, stack->epoch);

    return module ? module->role : LODEI_MODULE_PROGRAM;
}

/* Does libc keep a block allocated under the frames below `end`, the outermost of which is libc's?
 */
static bool libc_keeps(const struct lodei_stack *stack, uint32_t end)
{
    if (!named(stack->frames[end - 1] - 1, stack->epoch, is_giver) &&
        !(end < stack->count && calls_giver(stack->frames[end], stack->epoch)))
        return true;
    for (uint32_t at = 0; at < end; at++)
        if (named(stack->frames[at] - 1, stack->epoch, is_libc_keeper))
            return true;
    return false;
}

bool lodei_keeper_owns(const struct lodei_stack *stack, bool whole)
{
    enum lodei_module_role role;
    uint32_t end = 0;

    while (end < stack->count &&
           ((role = role_at(stack, end)) == LODEI_MODULE_LIBC || role == LODEI_MODULE_CXX))
        end++;
    if (end == 0)
        return false;
    if (is_ld_so(lodei_modules_find(stack->frames[0] - 1, stack->epoch)))
        return true;
    if (end == stack->count && whole)
        return true;
    while (end > 0) {
        if (role_at(stack, end - 1) == LODEI_MODULE_LIBC)
            return libc_keeps(stack, end);
        if (named(stack->frames[end - 1] - 1, stack->epoch, is_cxx_keeper))
            return true;
        end--;
    }
    return false;
}
