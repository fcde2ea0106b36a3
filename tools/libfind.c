/* SPDX-License-Identifier: MIT */
/* Finding libraries without loading them; see libfind.h. */
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libfind.h"
#include "xalloc.h"

/* dir/file as an absolute path if it can be read. Only the directory is resolved, so that messages
 * name the file as it was asked for. */
static char *readable_in(const char *dir, const char *file)
{
    char *resolved = realpath(dir, NULL), *path;

    if (resolved == NULL)
        return NULL;
    path = lodei_xasprintf("%s/%s", resolved, file);
    free(resolved);
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static char *own_directory(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (length <= 0)
        return NULL;
    path[length] = '\0';
    *strrchr(path, '/') = '\0';
    return lodei_xstrdup(path);
}

/* The first of `places` that holds `file`: absolute, or relative to this program's directory. */
static char *find_in(const char *const *places, size_t count, const char *file)
{
    char *own = own_directory(), *path = NULL;

    for (size_t i = 0; path == NULL && own != NULL && i < count; i++) {
        char *dir = places[i][0] == '/' ? lodei_xstrdup(places[i])
                                        : lodei_xasprintf("%s/%s", own, places[i]);

        path = readable_in(dir, file);
        free(dir);
    }
    free(own);
    return path;
}

static char *find_file(const char *lib_dir, const char *file)
{
    /* LODE_LIBDIR is what meson was told, relative to bindir unless the two share no prefix. */
    static const char *const places[] = {LODE_LIBDIR, "../lib", "../interpose"};

    if (lib_dir != NULL)
        return readable_in(lib_dir, file);
    return find_in(places, sizeof(places) / sizeof(places[0]), file);
}

char *lodei_libfind_module(const char *lib_dir, const char *file_name)
{
    static const char *const places[] = {LODE_LIBDIR "/lode", "."};

    if (lib_dir != NULL)
        return readable_in(lib_dir, file_name);
    return find_in(places, sizeof(places) / sizeof(places[0]), file_name);
}

char *lodei_libfind_data(const char *file_name)
{
    static const char *const places[] = {LODE_DATADIR "/lode", "."};
    char *path = find_in(places, sizeof(places) / sizeof(places[0]), file_name);

    if (path != NULL)
        *strrchr(path, '/') = '\0';
    return path;
}

char *lodei_libfind_ours(const char *lib_dir, const char *heap)
{
    char *path = NULL;

    if (heap != NULL && strcmp(heap, "mimalloc") == 0)
        return find_file(lib_dir, "liblode-mimalloc.so");
    /* liblode-native.so exists where liblode.so carries the other heap. */
    if (heap != NULL)
        path = find_file(lib_dir, "liblode-native.so");
    return path != NULL ? path : find_file(lib_dir, "liblode.so");
}

char *lodei_libfind_system(const char *file_name)
{
    void *self = dlopen(NULL, RTLD_LAZY);
    Dl_serinfo size = {0}, *info;
    char *path = NULL;

    /* The loader's own list knows the multiarch directories of the distribution. */
    if (self == NULL)
        return NULL;
    if (dlinfo(self, RTLD_DI_SERINFOSIZE, &size) == 0) {
        info = lodei_xcalloc(1, size.dls_size);
        info->dls_size = size.dls_size;
        info->dls_cnt = size.dls_cnt;
        if (dlinfo(self, RTLD_DI_SERINFO, info) == 0)
            for (unsigned i = 0; path == NULL && i < info->dls_cnt; i++)
                path = readable_in(info->dls_serpath[i].dls_name, file_name);
        free(info);
    }
    dlclose(self);
    return path != NULL ? path : readable_in("/usr/local/lib", file_name);
}
