/* SPDX-License-Identifier: MIT */
/*
 * Two libraries, one after the other at the same addresses, whose same instruction has frames of
 * different sizes: a stack walked with what was cached of the first is wrong in the second. Leaks
 * one block through the second, below leak_after_reload(). Exit status 77: the second library was
 * not loaded where the first one was.
 *
 * usage: leaks-reload FIRST SECOND
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef void through_fn(void (*call)(void));

static void *volatile sink;

__attribute__((noinline)) static void free_at_once(void)
{
    sink = malloc(50);
    free(sink);
}

__attribute__((noinline)) static void leak_below_library(void)
{
    sink = malloc(1111);
}

__attribute__((noinline)) static void leak_after_reload(through_fn *through)
{
    through(leak_below_library);
    sink = NULL;
}

static through_fn *load(const char *path, void **ret_handle)
{
    *ret_handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*ret_handle) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    return (through_fn *)(uintptr_t)dlsym(*ret_handle, "call_through");
}

int main(int argc, char **argv)
{
    through_fn *first;
    through_fn *second;
    void *handle;

    if (argc != 3)
        return 2;
    first = load(argv[1], &handle);
    first(free_at_once);
    dlclose(handle);
    second = load(argv[2], &handle);
    if (second != first)
        return 77;
    leak_after_reload(second);
    return 0;
}
