// SPDX-License-Identifier: MIT
/*
 * Leaks nothing, and makes the C and C++ runtimes fill the caches that they keep till the end.
 * Also: exceptions are caught through traced code, and backtrace() is glibc's, though the tracer's
 * unwinder exports a function of that name.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <glob.h>
#include <iconv.h>
#include <netdb.h>
#include <pwd.h>
#include <regex.h>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <cwchar>
#include <fstream>
#include <future>
#include <iomanip>
#include <iostream>
#include <locale>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <thread>

static void c_runtime()
{
    std::time_t now = std::time(nullptr);
    struct addrinfo *addresses = nullptr;
    char text[200];
    char *line = nullptr;
    std::size_t room = 0;
    glob_t paths;
    regex_t regex;
    iconv_t converter;

    std::setlocale(LC_ALL, "");
    std::setlocale(LC_ALL, "C.UTF-8");
    setenv("TZ", "Europe/Paris", 1);
    tzset();
    std::strftime(text, sizeof(text), "%c", std::localtime(&now));
    getpwnam("root");
    getservbyname("http", "tcp");
    if (getaddrinfo("127.0.0.1", "80", nullptr, &addresses) == 0)
        freeaddrinfo(addresses);
    converter = iconv_open("UTF-16", "ISO-8859-2");
    if (converter != reinterpret_cast<iconv_t>(-1))
        iconv_close(converter);
    if (regcomp(&regex, "a.*b", 0) == 0)
        regfree(&regex);
    if (glob("/*", 0, nullptr, &paths) == 0)
        globfree(&paths);
    if (DIR *root = opendir("/")) {
        readdir(root);
        closedir(root);
    }
    if (std::FILE *file = std::fopen("/proc/self/status", "r,ccs=UTF-8")) {
        std::fgetwc(file);
        std::fclose(file);
    }
    if (getline(&line, &room, stdin) < 0)
        std::clearerr(stdin);
    std::free(line);
    if (void *library = dlopen("libm.so.6", RTLD_NOW))
        dlclose(library);
    std::printf("%ls\n", L"wide");
}

static void cxx_runtime()
{
    std::stringstream numbers;
    std::regex regex("a.*b");

    std::regex_match("axb", regex);
    std::locale::global(std::locale("C.UTF-8"));
    numbers.imbue(std::locale());
    std::cout.imbue(std::locale());
    numbers << 3.25 << std::setw(9) << 12345;
    std::cout << numbers.str() << 1234567.5 << "\n";
    std::ofstream("/dev/null") << "x";
    std::thread([] {
        thread_local std::string text(100, 'x');
        text += "y";
    }).join();
    std::async(std::launch::async, [] { return 3; }).get();
}

__attribute__((noinline)) static void thrower(int depth)
{
    std::string held(100, 'x');

    if (depth == 0)
        throw std::runtime_error(held);
    thrower(depth - 1);
    std::printf("%s", held.c_str()); /* keeps `held` and its destructor after the call */
}

static int exceptions()
{
    int caught = 0;

    for (int i = 0; i < 100; i++) {
        try {
            thrower(i % 10);
        } catch (const std::exception &) {
            caught++;
        }
    }
    return caught == 100 ? 0 : 1;
}

/* A thread whose first call moves a block that it did not make. */
static void grow_elsewhere()
{
    void *block = std::malloc(3 << 20);

    std::thread([&block] {
        block = std::realloc(block, 40 << 20);
        std::free(block);
    }).join();
}

/* What is destroyed with its heap is not leaked. */
static int destroy_a_heap()
{
    auto create =
        reinterpret_cast<int (*)(const void *, void **)>(dlsym(RTLD_DEFAULT, "lode_heap_create"));
    auto alloc =
        reinterpret_cast<void *(*)(void *, std::size_t)>(dlsym(RTLD_DEFAULT, "lode_heap_alloc"));
    auto destroy = reinterpret_cast<void (*)(void *)>(dlsym(RTLD_DEFAULT, "lode_heap_destroy"));
    void *heap = nullptr;

    if (!create || !alloc || !destroy || create(nullptr, &heap) != 0)
        return 1;
    for (std::size_t bytes = 1000; bytes < 200000; bytes += 1000)
        if (!alloc(heap, bytes))
            return 1;
    destroy(heap);
    return 0;
}

static int backtrace_is_glibcs()
{
    void *frames[20];
    Dl_info info;

    if (backtrace(frames, 20) < 3)
        return 1;
    if (!dladdr(dlsym(RTLD_DEFAULT, "backtrace"), &info) || !std::strstr(info.dli_fname, "libc.so"))
        return 1;
    if (!dladdr(dlsym(RTLD_DEFAULT, "_Unwind_Backtrace"), &info) ||
        !std::strstr(info.dli_fname, "libgcc_s"))
        return 1;
    return 0;
}

int main()
{
    c_runtime();
    cxx_runtime();
    if (exceptions() != 0)
        return 3;
    if (backtrace_is_glibcs() != 0)
        return 4;
    grow_elsewhere();
    if (destroy_a_heap() != 0)
        return 5;
    /* An exception in flight at exit is the runtime's to keep. */
    try {
        throw 5;
    } catch (int) {
        std::exit(0);
    }
}
