/* SPDX-License-Identifier: MIT */
/*
 * Conformance: the C++ operators new and delete in every form, as a program of its own so that the
 * C suite links libc only. Same runner, same arguments (conform.c).
 */
#include "conform.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <pthread.h>

namespace
{

/* The operators are called by name: new-expressions may be elided in pairs. */
void plain_forms()
{
    for (unsigned i = 0; i < conform_size_count; i++) {
        size_t n = conform_sizes[i];
        void *a = ::operator new(n), *b = ::operator new[](n);
        void *c = ::operator new(n, std::nothrow), *d = ::operator new[](n, std::nothrow);

        REQUIRE(a && b && c && d, "%zu bytes: nullptr", n);
        CHECK(malloc_usable_size(a) >= n, "%zu bytes: usable %zu", n, malloc_usable_size(a));
        memset(a, 1, n);
        memset(b, 2, n);
        memset(c, 3, n);
        memset(d, 4, n);
        CHECK(conform_all(a, 1, n) && conform_all(b, 2, n) && conform_all(c, 3, n),
              "%zu bytes: blocks overlap", n);
        errno = EXDEV;
        ::operator delete(a);
        ::operator delete[](b);
        ::operator delete(c, std::nothrow);
        ::operator delete[](d, std::nothrow);
        CHECK(errno == EXDEV, "delete set errno to %d", errno);
    }
    ::operator delete(opaque(nullptr));
    ::operator delete[](opaque(nullptr));
    void *z = ::operator new(0), *y = ::operator new(0);
    CHECK(z && y && z != y, "operator new(0): %p, %p", z, y);
    ::operator delete(z);
    ::operator delete(y);
}

void sized_forms()
{
    for (unsigned i = 0; i < conform_size_count; i++) {
        size_t n = conform_sizes[i];

        ::operator delete(memset(::operator new(n), 1, n), n);
        ::operator delete[](memset(::operator new[](n), 1, n), n);
    }
    ::operator delete(opaque(nullptr), 8);
    ::operator delete[](opaque(nullptr), 8);
}

void aligned_forms()
{
    for (size_t align = 32; align <= 1 << 20; align *= 2) {
        std::align_val_t at{align};

        for (size_t n = 1; n < 300000; n = n * 3 + 5) {
            void *p[6] = {::operator new(n, at),
                          ::operator new[](n, at),
                          ::operator new(n, at, std::nothrow),
                          ::operator new[](n, at, std::nothrow),
                          ::operator new(n, at),
                          ::operator new[](n, at)};

            for (int i = 0; i < 6; i++) {
                REQUIRE(p[i], "align %zu, %zu bytes: nullptr", align, n);
                CHECK((uintptr_t)p[i] % align == 0, "align %zu: %p", align, p[i]);
                memset(p[i], i, n);
            }
            for (int i = 0; i < 6; i++)
                CHECK(conform_all(p[i], i, n), "align %zu, %zu bytes: overwritten", align, n);
            ::operator delete(p[0], at);
            ::operator delete[](p[1], at);
            ::operator delete(p[2], at, std::nothrow);
            ::operator delete[](p[3], at, std::nothrow);
            ::operator delete(p[4], n, at);
            ::operator delete[](p[5], n, at);
        }
    }
}

template <typename F> bool throws_bad_alloc(F f)
{
    try {
        opaque(f());
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void oversize()
{
    const size_t sizes[] = {CONFORM_TOO_LARGE, SIZE_MAX, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX};
    const size_t align = 256;
    std::align_val_t at{align};

    for (size_t n : sizes) {
        n = opaque_size(n);
        CHECK(throws_bad_alloc([=] { return ::operator new(n); }), "new(%zx) did not throw", n);
        CHECK(throws_bad_alloc([=] { return ::operator new[](n); }), "new[](%zx)", n);
        CHECK(!::operator new(n, std::nothrow), "nothrow new(%zx)", n);
        CHECK(!::operator new[](n, std::nothrow), "nothrow new[](%zx)", n);
        /* libstdc++ 12 rounds the size up to the alignment and wraps to 0 here. */
        if (n > SIZE_MAX - align && !conform_expect_all)
            continue;
        CHECK(throws_bad_alloc([=] { return ::operator new(n, at); }), "aligned new(%zx)", n);
        CHECK(throws_bad_alloc([=] { return ::operator new[](n, at); }), "aligned new[](%zx)", n);
        CHECK(!::operator new(n, at, std::nothrow), "aligned nothrow new(%zx)", n);
        CHECK(!::operator new[](n, at, std::nothrow), "aligned nothrow new[](%zx)", n);
    }
    CHECK(throws_bad_alloc([] { return new int[opaque_size(SIZE_MAX / 4)]; }), "new int[2^62]");
    int *p = new int[1000];
    delete[] p;
}

int handler_calls;

/* Gives up on the third call by removing itself; the operator must ask again each time. */
void handler()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

void handler_retried()
{
    std::align_val_t at{256};
    size_t n = CONFORM_TOO_LARGE;

    handler_calls = 0;
    std::set_new_handler(handler);
    CHECK(throws_bad_alloc([=] { return ::operator new(n); }), "no bad_alloc");
    CHECK(handler_calls == 3, "the new handler ran %d times", handler_calls);
    handler_calls = 0;
    std::set_new_handler(handler);
    CHECK(!::operator new[](n, std::nothrow), "nothrow new[] gave memory");
    CHECK(handler_calls == 3, "the new handler ran %d times for nothrow", handler_calls);
    handler_calls = 0;
    std::set_new_handler(handler);
    CHECK(throws_bad_alloc([=] { return ::operator new(n, at); }), "no bad_alloc");
    CHECK(handler_calls == 3, "the new handler ran %d times for aligned", handler_calls);
    std::set_new_handler(nullptr);
}

void throwing_handler()
{
    throw std::bad_alloc();
}

/* An exception from the handler passes through new, and ends as nullptr in the nothrow forms. */
void handler_throws()
{
    size_t n = CONFORM_TOO_LARGE;

    std::set_new_handler(throwing_handler);
    CHECK(throws_bad_alloc([=] { return ::operator new(n); }), "no bad_alloc");
    CHECK(!::operator new(n, std::nothrow), "nothrow new gave memory");
    CHECK(!::operator new[](n, std::nothrow), "nothrow new[] gave memory");
    std::set_new_handler(nullptr);
}

/* new and malloc share one heap: programs release strdup with free and hand new'd memory around. */
void with_malloc()
{
    for (size_t n = 1; n < 1 << 20; n = n * 3 + 1) {
        void *p = ::operator new(n);

        CHECK(malloc_usable_size(p) >= n, "usable size of a new'd block");
        p = realloc(opaque(p), n * 2);
        REQUIRE(p, "realloc: NULL");
        ::operator delete(opaque(p));
        p = ::operator new(n);
        free(opaque(p));
    }
}

struct tail {
    char *block = nullptr;
    ~tail()
    {
        delete[] block;
        delete[] new char[5000];
    }
};

thread_local tail at_end;

void *thread_body(void *arg)
{
    at_end.block = new char[1000];
    return arg;
}

void in_thread_local_destructors()
{
    for (int i = 0; i < 500; i++) {
        pthread_t thread;

        REQUIRE(pthread_create(&thread, nullptr, thread_body, nullptr) == 0, "pthread_create");
        pthread_join(thread, nullptr);
    }
}

const conform_test tests[] = {
    {"new/plain and nothrow", plain_forms, 0},
    {"new/sized delete", sized_forms, 0},
    {"new/aligned", aligned_forms, 60},
    {"new/oversize throws bad_alloc", oversize, 0},
    {"new/handler is called and the request retried", handler_retried, 0},
    {"new/handler that throws", handler_throws, 0},
    {"new/mixes with malloc and free", with_malloc, 0},
    {"new/in thread_local destructors", in_thread_local_destructors, 0},
    {nullptr, nullptr, 0},
};

} // namespace

const conform_area conform_areas[] = {{tests}, {nullptr}};
const conform_mode conform_modes[] = {{nullptr, nullptr}};
const conform_known conform_knowns[] = {{nullptr, nullptr, nullptr}};
