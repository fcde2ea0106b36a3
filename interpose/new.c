/* SPDX-License-Identifier: MIT */
/*
 * Every C++ operator new and delete, by mangled name (Itanium C++ ABI, section 5.1), so that a
 * program's allocations do not pass through libstdc++'s wrappers. Failing follows the C++ standard:
 * the new handler is called until there is none, then std::bad_alloc is thrown; libstdc++ does
 * both, found through weak references. A handler may throw from a nothrow form too: that is caught
 * by libstdc++'s own nothrow operator, which comes back here through the throwing one.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/bits.h"
#include "os/elf.h"
#include LODE_ROUTE_HEADER

#define OPERATOR(mangled) __asm__(mangled) __attribute__((visibility("default")))

typedef void (*new_handler)(void);
new_handler std_get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
void std_throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak, noreturn));

static LODE_COLD void *new_failed(size_t align, size_t bytes)
{
    for (;;) {
        new_handler handler = std_get_new_handler != NULL ? std_get_new_handler() : NULL;
        if (handler == NULL)
            break;
        handler();
        void *p = align <= ROUTE_ALIGNMENT ? route_malloc(bytes) : route_aligned(align, bytes);
        if (p != NULL)
            return p;
    }
    if (std_throw_bad_alloc != NULL)
        std_throw_bad_alloc();
    abort();
}

/* Let libstdc++'s nothrow operator `symbol` call the handler and catch what it throws. */
static LODE_COLD void *nothrow_failed(const char *symbol, size_t align, size_t bytes)
{
    static const int nothrow;
    void *found = lodei_elf_function("libstdc++", symbol);
    if (found == NULL)
        return NULL;
    if (align <= ROUTE_ALIGNMENT) {
        void *(*plain)(size_t, const void *);
        *(void **)&plain = found;
        return plain(bytes, &nothrow);
    }
    void *(*aligned)(size_t, size_t, const void *);
    *(void **)&aligned = found;
    return aligned(bytes, align, &nothrow);
}

#define DEFINE_NEW(c_name, plain, plain_nothrow, over, over_nothrow)                    \
    void *c_name(size_t bytes) OPERATOR(plain);                                         \
    void *c_name(size_t bytes)                                                          \
    {                                                                                   \
        void *p = route_malloc(bytes);                                                  \
        return lode_likely(p != NULL) ? p : new_failed(16, bytes);                      \
    }                                                                                   \
    void *c_name##_nothrow(size_t bytes, const void *tag) OPERATOR(plain_nothrow);      \
    void *c_name##_nothrow(size_t bytes, const void *tag)                               \
    {                                                                                   \
        (void)tag;                                                                      \
        void *p = route_malloc(bytes);                                                  \
        return lode_likely(p != NULL) ? p : nothrow_failed(plain_nothrow, 16, bytes);   \
    }                                                                                   \
    void *c_name##_aligned(size_t bytes, size_t align) OPERATOR(over);                  \
    void *c_name##_aligned(size_t bytes, size_t align)                                  \
    {                                                                                   \
        void *p = route_aligned(align, bytes);                                          \
        return lode_likely(p != NULL) ? p : new_failed(align, bytes);                   \
    }                                                                                   \
    void *c_name##_aligned_nothrow(size_t bytes, size_t align, const void *tag)         \
        OPERATOR(over_nothrow);                                                         \
    void *c_name##_aligned_nothrow(size_t bytes, size_t align, const void *tag)         \
    {                                                                                   \
        (void)tag;                                                                      \
        void *p = route_aligned(align, bytes);                                          \
        return lode_likely(p != NULL) ? p : nothrow_failed(over_nothrow, align, bytes); \
    }

DEFINE_NEW(operator_new, "_Znwm", "_ZnwmRKSt9nothrow_t", "_ZnwmSt11align_val_t",
           "_ZnwmSt11align_val_tRKSt9nothrow_t")
DEFINE_NEW(operator_new_array, "_Znam", "_ZnamRKSt9nothrow_t", "_ZnamSt11align_val_t",
           "_ZnamSt11align_val_tRKSt9nothrow_t")

#define DEFINE_DELETE(c_name, mangled)      \
    void c_name(void *p) OPERATOR(mangled); \
    void c_name(void *p)                    \
    {                                       \
        route_free(p);                      \
    }

DEFINE_DELETE(operator_delete, "_ZdlPv")
DEFINE_DELETE(operator_delete_array, "_ZdaPv")
DEFINE_DELETE(operator_delete_sized, "_ZdlPvm")
DEFINE_DELETE(operator_delete_array_sized, "_ZdaPvm")
DEFINE_DELETE(operator_delete_nothrow, "_ZdlPvRKSt9nothrow_t")
DEFINE_DELETE(operator_delete_array_nothrow, "_ZdaPvRKSt9nothrow_t")
DEFINE_DELETE(operator_delete_aligned, "_ZdlPvSt11align_val_t")
DEFINE_DELETE(operator_delete_array_aligned, "_ZdaPvSt11align_val_t")
DEFINE_DELETE(operator_delete_sized_aligned, "_ZdlPvmSt11align_val_t")
DEFINE_DELETE(operator_delete_array_sized_aligned, "_ZdaPvmSt11align_val_t")
DEFINE_DELETE(operator_delete_aligned_nothrow, "_ZdlPvSt11align_val_tRKSt9nothrow_t")
DEFINE_DELETE(operator_delete_array_aligned_nothrow, "_ZdaPvSt11align_val_tRKSt9nothrow_t")
