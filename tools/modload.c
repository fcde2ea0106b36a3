/* SPDX-License-Identifier: MIT */
/* Loading the modules of workloads; see modload.h. */
#include <dlfcn.h>
#include <err.h>
#include <stdlib.h>

#include "libfind.h"
#include "modload.h"

void *lodei_modload(const char *lib_dir, const char *file_name, const char *symbol)
{
    char *path = lodei_libfind_module(lib_dir, file_name);
    void *module = NULL, *address = NULL;

    if (path == NULL)
        warnx("%s: no such module%s%s", file_name, lib_dir != NULL ? " in " : "",
              lib_dir != NULL ? lib_dir : "");
    else
        module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (module != NULL)
        address = dlsym(module, symbol);
    if (path != NULL && address == NULL)
        warnx("%s", dlerror());
    free(path);
    return address;
}

const char *lodei_malloc_owner(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "malloc");
    Dl_info info;

    return symbol != NULL && dladdr(symbol, &info) != 0 ? info.dli_fname : NULL;
}
