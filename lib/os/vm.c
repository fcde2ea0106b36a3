/* SPDX-License-Identifier: MIT */
#include "os/vm.h"

#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"

size_t lodei_page_bytes = 4096;
unsigned lodei_page_log2 = 12;

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* Through syscall(2), so that a program's own mmap wrapper is not entered from inside malloc. */
static long sys(long number, void *a, size_t b, long c, long d, long e, long f)
{
    int saved = errno;
    long r = syscall(number, a, b, c, d, e, f);
    if (r == -1)
        r = -(long)errno;
    errno = saved;
    return r;
}

static int failed(long r)
{
    return r < 0 && r > -4096;
}

void lodei_vm_init(void)
{
    size_t page = getauxval(AT_PAGESZ);
    if (lodei_is_power_of_two(page)) {
        lodei_page_bytes = page;
        lodei_page_log2 = lodei_log2(page);
    }
}

void *lodei_vm_reserve(size_t bytes, size_t align)
{
    long r = sys(SYS_mmap, NULL, bytes + align, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (failed(r))
        return NULL;
    uintptr_t got = (uintptr_t)r, at = lodei_round_up(got, align);
    if (at > got)
        lodei_vm_release((void *)got, at - got);
    if (at + bytes < got + bytes + align)
        lodei_vm_release((void *)(at + bytes), got + align - at);
    return (void *)at;
}

void lodei_vm_release(void *addr, size_t bytes)
{
    sys(SYS_munmap, addr, bytes, 0, 0, 0, 0);
}

int lodei_vm_commit(void *addr, size_t bytes)
{
    return (int)sys(SYS_mprotect, addr, bytes, PROT_READ | PROT_WRITE, 0, 0, 0);
}

int lodei_vm_purge(void *addr, size_t bytes)
{
    return (int)sys(SYS_madvise, addr, bytes, MADV_DONTNEED, 0, 0, 0);
}

int lodei_vm_renew(void *addr, size_t bytes)
{
    long r = sys(SYS_mmap, addr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    return failed(r) ? (int)r : 0;
}

int lodei_vm_refill(void *addr, size_t bytes)
{
    long r = sys(SYS_mmap, addr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    if (failed(r))
        return (int)r;
    if (r == (long)addr)
        return 0;
    lodei_vm_release((void *)r, bytes); /* a kernel before 4.17 takes the address for a hint */
    return -EEXIST;
}

void *lodei_vm_wiped_page(void)
{
    long r = sys(SYS_mmap, NULL, lodei_page_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (failed(r))
        return NULL;
    if (sys(SYS_madvise, (void *)r, lodei_page_bytes, MADV_WIPEONFORK, 0, 0, 0) == 0)
        return (void *)r;
    lodei_vm_release((void *)r, lodei_page_bytes);
    return NULL;
}

int lodei_vm_move(void *from, void *to, size_t bytes)
{
    long r = sys(SYS_mremap, from, bytes, (long)bytes,
                 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, (long)to, 0);
    return failed(r) ? (int)r : 0;
}

int lodei_vm_is_one_mapping(void *addr, size_t bytes)
{
    /* Growing in place: the kernel looks at borders before anything else. */
    long r = sys(SYS_mremap, addr, bytes, (long)(bytes + lodei_page_bytes), 0, 0, 0);
    if (!failed(r)) /* nothing was mapped behind it: back */
        sys(SYS_mremap, addr, bytes + lodei_page_bytes, (long)bytes, 0, 0, 0);
    return r != -EFAULT;
}

int lodei_vm_advise_huge(void *addr, size_t bytes, int wanted)
{
    return (int)sys(SYS_madvise, addr, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE, 0, 0, 0);
}

size_t lodei_vm_resident(void *addr, size_t bytes)
{
    unsigned char pages[256];
    size_t resident = 0, step = sizeof(pages) * lodei_page_bytes;
    for (size_t at = 0; at < bytes; at += step) {
        size_t n = lodei_min(step, bytes - at);
        if (sys(SYS_mincore, (char *)addr + at, n, (long)pages, 0, 0, 0) != 0)
            return SIZE_MAX;
        for (size_t i = 0; i < n / lodei_page_bytes; i++)
            resident += (size_t)(pages[i] & 1) * lodei_page_bytes;
    }
    return resident;
}

uint64_t lodei_clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t lodei_clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
