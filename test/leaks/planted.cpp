// SPDX-License-Identifier: MIT
/*
 * Planted leaks, each in a function of its own and of a size of its own; run.py knows them by the
 * "planted:" comments, which mark the line of the allocating call.
 *
 * usage: leaks-planted PLUGIN_THAT_STAYS PLUGIN_THAT_GOES
 */
#include <dlfcn.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#define NOINLINE __attribute__((noinline))

/* Blocks are hidden from the optimiser and then forgotten. */
static void *volatile sink;

NOINLINE static void leak_malloc()
{
    sink = std::malloc(1001); // planted: leak_malloc 1001
}

NOINLINE static void leak_calloc()
{
    sink = std::calloc(3, 334); // planted: leak_calloc 1002
}

NOINLINE static void leak_new()
{
    sink = new char[1003]; // planted: leak_new 1003
}

NOINLINE static void leak_strdup()
{
    char text[1004];

    std::memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    sink = strdup(text); // planted: leak_strdup 1004
}

NOINLINE static void *grow(void *block)
{
    block = std::realloc(block, 300005); // planted: grow 300005
    sink = block;                        /* no tail call: the frame must be there */
    return block;
}

NOINLINE static void leak_realloc()
{
    sink = grow(std::malloc(10));
}

NOINLINE static void leak_aligned()
{
    void *block = nullptr;

    if (posix_memalign(&block, 256, 1006) == 0) // planted: leak_aligned 1006
        sink = block;
}

NOINLINE static void leak_string()
{
    sink = new std::string(1007, 'x'); // planted: leak_string 1008
}

NOINLINE static void leak_fopen()
{
    sink = std::fopen("/dev/null", "r"); // planted: leak_fopen
}

NOINLINE static void leak_in_thread()
{
    sink = std::malloc(1009); // planted: leak_in_thread 1009
}

/* Three blocks of one stack; a loop that cannot be unrolled into three calls. */
NOINLINE static void leak_often()
{
    static volatile int times = 3;

    for (int i = 0; i < times; i++)
        sink = std::malloc(1010); // planted: leak_often 3030
}

static int leak_in_plugin(const char *path, bool close)
{
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void (*leak)(void) = nullptr;

    if (plugin)
        leak = reinterpret_cast<void (*)(void)>(dlsym(plugin, "plugin_leak"));
    if (!leak) {
        std::fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    leak();
    if (close)
        dlclose(plugin);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    leak_malloc();
    leak_calloc();
    leak_new();
    leak_strdup();
    leak_realloc();
    leak_aligned();
    leak_string();
    leak_fopen();
    leak_often();
    std::thread(leak_in_thread).join();
    return leak_in_plugin(argv[1], false) || leak_in_plugin(argv[2], true);
}
