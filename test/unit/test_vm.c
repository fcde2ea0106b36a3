/* SPDX-License-Identifier: MIT */
/* os/vm.c and os/elf.c: what is asked of the kernel and of the loader. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "blockset.h"
#include "os/elf.h"
#include "os/vm.h"

#define MIB ((size_t)1 << 20)

static char *commit(size_t bytes)
{
    char *p = lodei_vm_reserve(bytes, MIB);
    cr_assert_not_null(p);
    cr_assert_eq(lodei_vm_commit(p, bytes), 0);
    return p;
}

Test(vm, page)
{
    lodei_vm_init();
    cr_assert_eq(lodei_page_bytes, (size_t)1 << lodei_page_log2);
    cr_assert_eq(lodei_page_bytes, (size_t)sysconf(_SC_PAGESIZE));
}

Test(vm, reserve)
{
    for (size_t align = lodei_page_bytes; align <= 64 * MIB; align *= 4) {
        char *p = lodei_vm_reserve(3 * MIB, align);
        cr_assert_eq((uintptr_t)p % align, 0);
        cr_assert_eq(lodei_vm_commit(p + MIB, MIB), 0);
        p[MIB] = 1;
        p[2 * MIB - 1] = 1;
        lodei_vm_release(p, 3 * MIB);
        cr_assert_neq(lodei_vm_commit(p, MIB), 0);
    }
    errno = EDOM;
    cr_assert_null(lodei_vm_reserve((size_t)1 << 60, MIB));
    cr_assert_eq(errno, EDOM);
}

Test(vm, purge_and_resident)
{
    char *p = commit(2 * MIB);
    cr_assert_eq(lodei_vm_resident(p, 2 * MIB), 0);
    memset(p + MIB, 1, MIB);
    cr_assert_eq(lodei_vm_resident(p, 2 * MIB), MIB);
    cr_assert_eq(lodei_vm_purge(p + MIB, MIB / 2), 0);
    cr_assert_eq(lodei_vm_resident(p, 2 * MIB), MIB / 2);
    cr_assert(blockset_is_zero(p + MIB, MIB / 2));
    cr_assert_eq(p[2 * MIB - 1], 1);
}

Test(vm, move)
{
    char *p = commit(8 * MIB);
    memset(p, 3, MIB);
    cr_assert_eq(lodei_vm_move(p, p + 4 * MIB, MIB), 0);
    cr_assert_eq(p[4 * MIB], 3);
    cr_assert_eq(p[5 * MIB - 1], 3);
    cr_assert(blockset_is_zero(p, MIB));
    memset(p, 4, MIB);
    cr_assert_eq(lodei_vm_renew(p + 4 * MIB, MIB), 0);
    cr_assert(blockset_is_zero(p + 4 * MIB, MIB));
    memset(p + 4 * MIB, 5, MIB);
    cr_assert_eq(p[MIB - 1], 4);
}

Test(vm, failures_answer_and_keep_errno)
{
    errno = EDOM;
    cr_assert_eq(lodei_vm_commit((void *)16, lodei_page_bytes), -EINVAL);
    cr_assert_eq(lodei_vm_purge((void *)16, lodei_page_bytes), -EINVAL);
    cr_assert_lt(lodei_vm_move((void *)16, (void *)16, lodei_page_bytes), 0);
    cr_assert_eq(lodei_vm_resident((void *)lodei_page_bytes, lodei_page_bytes), SIZE_MAX);
    cr_assert_eq(errno, EDOM);
}

Test(vm, clocks)
{
    uint64_t ms = lodei_clock_ms(), us = lodei_clock_us();
    while (lodei_clock_us() - us < 30000)
        ;
    cr_assert_geq(lodei_clock_ms() - ms, 20);
    cr_assert_leq(lodei_clock_ms() - ms, 20000);
}

Test(elf, functions)
{
    cr_assert_not_null(lodei_elf_function("libc.so.|libpthread", "pthread_key_create"));
    cr_assert_not_null(lodei_elf_function("libnowhere|libc.so.", "getpid"));
    cr_assert_null(lodei_elf_function("libc.so.", "lode_no_such_function"));
    cr_assert_null(lodei_elf_function("libnowhere.so.", "getpid"));
}

Test(elf, range)
{
    uintptr_t start = 1, end = 1;
    cr_assert(lodei_elf_range("libc.so.", &start, &end));
    uintptr_t at = (uintptr_t)lodei_elf_function("libc.so.", "getpid");
    cr_assert(start <= at && at < end);
    cr_assert_not(lodei_elf_range("libnowhere.so.", &start, &end));
}
