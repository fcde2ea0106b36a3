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

static char *find_file(const char *lib_dir, const char *file)
{
    /* LODE_LIBDIR is what meson was told, relative to bindir unless the two share no prefix. */
    static const char *const places[] = {LODE_LIBDIR, "../lib", "../interpose"};
    char *own, *path = NULL;

    if (lib_dir != NULL)
        return readable_in(lib_dir, file);
    own = own_directory();
    for (size_t i = 0; path == NULL && own != NULL && i < sizeof(places) / sizeof(places[0]); i++) {
        char *dir = places[i][0] == '/' ? lodei_xstrdup(places[i])
                                        : lodei_xasprintf("%s/%s", own, places[i]);

        path = readable_in(dir, file);
        free(dir);
    }
    free(own);
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
