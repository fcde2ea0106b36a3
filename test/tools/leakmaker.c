/* SPDX-License-Identifier: MIT */
/*
 * Writes a leak file about itself to stdout: one stack, captured without an unwinder, through an
 * inlined function. To stderr go the three lines of source that the report must name, innermost
 * first.
 */
#include <inttypes.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static uintptr_t frames[2];
static int lines[3];

/* A call at the end of a function would become a jump, and leave no return address. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

__attribute__((noinline)) static void capture_innermost(void)
{
    frames[0] = (uintptr_t)__builtin_return_address(0);
    KEEP_FRAME();
}

static inline __attribute__((always_inline)) void leak_inlined(void)
{
    lines[0] = __LINE__ + 1;
    capture_innermost();
    KEEP_FRAME();
}

__attribute__((noinline)) static void leak_outer(void)
{
    frames[1] = (uintptr_t)__builtin_return_address(0);
    lines[1] = __LINE__ + 1;
    leak_inlined();
    KEEP_FRAME();
}

static int print_module(struct dl_phdr_info *info, size_t bytes, void *ctx)
{
    uintptr_t base = UINTPTR_MAX, end = 0;

    (void)bytes;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type != PT_LOAD)
            continue;
        base = start < base ? start : base;
        end = start + segment->p_memsz > end ? start + segment->p_memsz : end;
    }
    if (end > 0)
        printf("module %" PRIxPTR " %" PRIxPTR " %" PRIxPTR " %s\n", base, end,
               (uintptr_t)info->dlpi_addr,
               info->dlpi_name[0] != '\0' ? info->dlpi_name : (const char *)ctx);
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    lines[2] = __LINE__ + 1;
    leak_outer();
    KEEP_FRAME();
    printf("lode-leaks 1\npid %d\nexe %s\n", (int)getpid(), argv[0]);
    dl_iterate_phdr(print_module, argv[0]);
    printf("suppressed 2 100\ntotal 3 300\n");
    printf("leak 2 200 %" PRIxPTR " %" PRIxPTR "\n", frames[0], frames[1]);
    printf("leak 1 100 10\nend\n");
    fprintf(stderr, "%d %d %d\n", lines[0], lines[1], lines[2]);
    return 0;
}
