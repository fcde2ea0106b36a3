/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of ELF objects ever seen.
 *
 * dl_iterate_phdr() tells, with each object, how many were ever loaded and unloaded; the first
 * object's figures say whether to go on. Objects met again (same place, path and build id) revive
 * their record, so a program that loads and unloads one plugin all day keeps one record.
 *
 * Locks: the loader's, then `lock`. dl_iterate_phdr() holds the loader's lock while it calls
 * meet(), which takes `lock`; nobody may call the loader while holding `lock`. It guards the list,
 * `died` and `scan`; records themselves are published by the list and do not move.
 *
 *     refresh: [ dl_iterate_phdr: meet(first) meet meet meet ] finish(scan)
 *
 * Scans cannot overlap between the brackets, but another may begin before finish(): then the later
 * one does the work.
 */
#include <elf.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "trace/chunk.h"
#include "trace/elfsym.h"
#include "trace/modules.h"

#define OURS_MAX   8
#define REUSED_MAX 16

struct range {
    uintptr_t begin;
    uintptr_t end;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lodei_module *first_module;
static struct lodei_module **last_link = &first_module;
static uint32_t scan_now;

/* The loader's counters at the last finished scan. */
static _Atomic(uint64_t) known_loads;
static _Atomic(uint64_t) known_unloads;
static _Atomic(uint32_t) epoch_now = 1;

/* Append-only; the count is published last. Past REUSED_MAX every address counts as reused. */
static struct range reused[REUSED_MAX];
static _Atomic(uint32_t) reused_count;

/* Written before the second thread: never changes. */
static struct range ours[OURS_MAX];
static uint32_t ours_count;
static char exe_path[PATH_MAX];

struct scan {
    uint32_t number; /* 0: nothing has changed */
    uint64_t loads;
    uint64_t unloads;
    bool always;
};

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum lodei_module_role role_of(const char *path)
{
    static const struct {
        const char *prefix;
        enum lodei_module_role role;
    } names[] = {
        {"liblode.so", LODEI_MODULE_OURS},    {"liblode-", LODEI_MODULE_OURS},
        {"libc.so", LODEI_MODULE_LIBC},       {"libc-2.", LODEI_MODULE_LIBC},
        {"ld-linux", LODEI_MODULE_LIBC},      {"ld-2.", LODEI_MODULE_LIBC},
        {"libpthread.so", LODEI_MODULE_LIBC}, {"libpthread-2.", LODEI_MODULE_LIBC},
        {"libdl.so", LODEI_MODULE_LIBC},      {"libdl-2.", LODEI_MODULE_LIBC},
        {"librt.so", LODEI_MODULE_LIBC},      {"librt-2.", LODEI_MODULE_LIBC},
        {"libresolv.so", LODEI_MODULE_LIBC},  {"libresolv-2.", LODEI_MODULE_LIBC},
        {"libnss_", LODEI_MODULE_LIBC},       {"libstdc++.so", LODEI_MODULE_CXX},
        {"libgcc_s.so", LODEI_MODULE_CXX},    {"libgcc_s-", LODEI_MODULE_CXX},
        {"libc++.so", LODEI_MODULE_CXX},      {"libc++abi.so", LODEI_MODULE_CXX},
        {"libunwind.so", LODEI_MODULE_CXX},
    };
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (starts_with(name, names[i].prefix))
            return names[i].role;
    /* Character set converters, loaded by iconv and wide stdio. */
    return strstr(path, "/gconv/") ? LODEI_MODULE_LIBC : LODEI_MODULE_PROGRAM;
}

static uint64_t hash_bytes(const unsigned char *bytes, size_t count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < count; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The build id in one segment of notes: [name bytes, desc bytes, type][name, padded][desc, padded].
 */
static uint64_t build_id_hash(const unsigned char *notes, size_t left)
{
    ElfW(Nhdr) head;

    while (left >= sizeof(head)) {
        memcpy(&head, notes, sizeof(head));
        size_t name_bytes = ((size_t)head.n_namesz + 3) & ~(size_t)3;
        size_t desc_bytes = ((size_t)head.n_descsz + 3) & ~(size_t)3;

        if (name_bytes > left || desc_bytes > left || sizeof(head) + name_bytes + desc_bytes > left)
            return 0;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == sizeof("GNU"))
            return hash_bytes(notes + sizeof(head) + name_bytes, head.n_descsz);
        notes += sizeof(head) + name_bytes + desc_bytes;
        left -= sizeof(head) + name_bytes + desc_bytes;
    }
    return 0;
}

/* Fill what the program headers tell: begin, end, bias and identity. */
static void describe(const struct dl_phdr_info *info, struct lodei_module *module)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    memset(module, 0, sizeof(*module));
    module->begin = UINTPTR_MAX;
    module->bias = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + segment->p_vaddr;
        uintptr_t end = begin + segment->p_memsz;

        if (segment->p_type == PT_LOAD) {
            if ((begin & ~(page - 1)) < module->begin)
                module->begin = begin & ~(page - 1);
            if (((end + page - 1) & ~(page - 1)) > module->end)
                module->end = (end + page - 1) & ~(page - 1);
        }
        if (segment->p_type == PT_NOTE && !module->identity)
            module->identity = build_id_hash((const unsigned char *)begin, segment->p_memsz);
    }
}

/* The absolute path of an object, kept for ever; the program itself has no name in the list. */
static const char *keep_path(const char *name)
{
    char cwd[PATH_MAX] = "";
    size_t cwd_bytes = 0;
    size_t name_bytes = strlen(name);
    char *path;

    if (!name_bytes)
        return exe_path;
    if (name[0] != '/' && strchr(name, '/') && getcwd(cwd, sizeof(cwd) - 1)) {
        cwd_bytes = strlen(cwd);
        cwd[cwd_bytes++] = '/';
    }
    path = lodei_chunk_keep(cwd_bytes + name_bytes + 1);
    if (!path)
        return "";
    memcpy(path, cwd, cwd_bytes);
    memcpy(path + cwd_bytes, name, name_bytes + 1);
    return path;
}

/* Does a path kept earlier stand for the loader's `name`? */
static bool same_path(const char *kept, const char *name)
{
    size_t kept_bytes = strlen(kept);
    size_t name_bytes = strlen(name);

    if (!name_bytes)
        return kept == exe_path;
    return kept_bytes >= name_bytes && strcmp(kept + kept_bytes - name_bytes, name) == 0;
}

/* Under `lock`: `module` is new; note which addresses of unloaded libraries it covers. */
static void note_reuse(const struct lodei_module *module)
{
    uint32_t count = atomic_load_explicit(&reused_count, memory_order_relaxed);

    for (const struct lodei_module *old = first_module; old; old = old->next) {
        if (old->died && old->begin < module->end && module->begin < old->end) {
            if (count < REUSED_MAX)
                reused[count] = (struct range){module->begin, module->end};
            /* Release pairs with lodei_modules_reused(): the range is whole. */
            atomic_store_explicit(&reused_count, count + 1, memory_order_release);
            return;
        }
    }
}

/* Under `lock`: find or add the object. */
static struct lodei_module *record(const struct dl_phdr_info *info, uint32_t epoch)
{
    struct lodei_module seen;
    struct lodei_module *module;

    describe(info, &seen);
    for (module = first_module; module; module = module->next) {
        if (module->begin == seen.begin && module->end == seen.end && module->bias == seen.bias &&
            module->identity == seen.identity && same_path(module->path, info->dlpi_name) &&
            (!module->died || seen.identity)) {
            module->died = 0;
            return module;
        }
    }
    module = lodei_chunk_keep(sizeof(*module));
    if (!module)
        return NULL;
    *module = seen;
    module->path = keep_path(info->dlpi_name);
    module->role = role_of(module->path);
    module->born = epoch;
    note_reuse(module);
    *last_link = module;
    last_link = &module->next;
    return module;
}

/* Called by the loader, under its lock, for each object. */
static int meet(struct dl_phdr_info *info, size_t info_bytes, void *ctx)
{
    struct scan *scan = ctx;
    struct lodei_module *module;

    (void)info_bytes;
    if (!scan->number && !scan->always &&
        info->dlpi_adds == atomic_load_explicit(&known_loads, memory_order_relaxed) &&
        info->dlpi_subs == atomic_load_explicit(&known_unloads, memory_order_relaxed))
        return 1;
    pthread_mutex_lock(&lock);
    if (!scan->number) {
        scan->number = ++scan_now;
        scan->loads = info->dlpi_adds;
        scan->unloads = info->dlpi_subs;
    }
    module = record(info, scan->number);
    if (module)
        module->scan = scan->number;
    pthread_mutex_unlock(&lock);
    return 0;
}

/* Mark what the scan did not meet as unloaded. Returns whether there was any such. */
static bool finish(const struct scan *scan)
{
    bool unloaded = false;

    pthread_mutex_lock(&lock);
    if (scan->number == scan_now) {
        for (struct lodei_module *module = first_module; module; module = module->next) {
            if (!module->died && module->scan != scan->number) {
                module->died = scan->number;
                unloaded = true;
            }
        }
        atomic_store_explicit(&known_loads, scan->loads, memory_order_relaxed);
        atomic_store_explicit(&known_unloads, scan->unloads, memory_order_relaxed);
        atomic_store_explicit(&epoch_now, scan->number, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    return unloaded;
}

bool lodei_modules_refresh(void)
{
    struct scan scan = {.always = false};

    dl_iterate_phdr(meet, &scan);
    return scan.number && finish(&scan);
}

void lodei_modules_init(void)
{
    struct scan scan = {.always = true};
    ssize_t bytes = readlink("/proc/self/exe", exe_path, sizeof(exe_path) - 1);

    exe_path[bytes > 0 ? bytes : 0] = 0;
    dl_iterate_phdr(meet, &scan);
    finish(&scan);
    for (const struct lodei_module *module = first_module; module; module = module->next)
        if (module->role == LODEI_MODULE_OURS && ours_count < OURS_MAX)
            ours[ours_count++] = (struct range){module->begin, module->end};
}

uint32_t lodei_modules_epoch(void)
{
    return atomic_load_explicit(&epoch_now, memory_order_relaxed);
}

bool lodei_modules_is_ours(uintptr_t address)
{
    for (uint32_t i = 0; i < ours_count; i++)
        if (address >= ours[i].begin && address < ours[i].end)
            return true;
    return false;
}

bool lodei_modules_reused(const uintptr_t *frames, unsigned count)
{
    /* Pairs with the release in note_reuse(). */
    uint32_t ranges = atomic_load_explicit(&reused_count, memory_order_acquire);

    if (ranges > REUSED_MAX)
        return true;
    for (uint32_t i = 0; i < ranges; i++)
        for (unsigned frame = 0; frame < count; frame++)
            if (frames[frame] >= reused[i].begin && frames[frame] < reused[i].end)
                return true;
    return false;
}

struct lodei_module *lodei_modules_find(uintptr_t address, uint32_t epoch)
{
    struct lodei_module *found = NULL;

    pthread_mutex_lock(&lock);
    /* The latest that was there by then; a library that had gone by then is better than none. */
    for (struct lodei_module *module = first_module; module; module = module->next)
        if (address >= module->begin && address < module->end && module->born <= epoch &&
            (!found || !module->died || module->died > epoch))
            found = module;
    pthread_mutex_unlock(&lock);
    return found;
}

const struct lodei_elfsym *lodei_modules_symbols(struct lodei_module *module)
{
    if (!module->symbols_tried) {
        module->symbols_tried = true;
        module->symbols = lodei_elfsym_open(module->path);
    }
    return module->symbols;
}

struct lodei_module *lodei_modules_first(void)
{
    return first_module;
}

const char *lodei_modules_exe(void)
{
    return exe_path;
}

void lodei_modules_lock(void)
{
    pthread_mutex_lock(&lock);
}

void lodei_modules_unlock(void)
{
    pthread_mutex_unlock(&lock);
}
