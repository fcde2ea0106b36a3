/* SPDX-License-Identifier: MIT */
/*
 * Call decoding for x86-64 (Intel SDM volume 2: CALL E8 and FF /2, JMP FF /4):
 *
 *     e8 rel32          call f             f may be a PLT entry: [endbr64] [bnd] ff 25 rel32, which
 *     ff 15 rel32       call *slot(%rip)   jumps through a slot of the global offset table
 *
 * Bytes before a return address need not be such a call: everything is read through the kernel, so
 * that an address that means nothing gives an error and no fault. Takes no lock, calls no malloc.
 */
#include <string.h>
#include <stdbool.h>
#include <sys/uio.h>
#include <unistd.h>

#include "trace/callsite.h"

#define PLT_ENTRY_BYTES 11 /* f3 0f 1e fa, f2, ff 25, rel32 */

static bool read_at(uintptr_t address, void *ret_bytes, size_t count)
{
    struct iovec to = {ret_bytes, count};
    struct iovec from = {(void *)address, count};

    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)count;
}

static uintptr_t relative(uintptr_t next, const unsigned char *rel32)
{
    int32_t offset;

    memcpy(&offset, rel32, sizeof(offset));
    return next + (uintptr_t)(intptr_t)offset;
}

static uintptr_t slot_value(uintptr_t slot, uintptr_t begin, uintptr_t end)
{
    uintptr_t value;

    if (slot < begin || slot >= end || !read_at(slot, &value, sizeof(value)))
        return 0;
    return value;
}

/* Where does the PLT entry at `entry` lead? `entry` itself when it is not one. */
static uintptr_t through_plt(uintptr_t entry, uintptr_t begin, uintptr_t end)
{
    unsigned char code[PLT_ENTRY_BYTES];
    unsigned at = 0;

    if (entry < begin || entry >= end || !read_at(entry, code, sizeof(code)))
        return entry;
    if (memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0)
        at = 4;
    if (code[at] == 0xf2 && at)
        at++;
    if (code[at] != 0xff || code[at + 1] != 0x25)
        return entry;
    return slot_value(relative(entry + at + 6, code + at + 2), begin, end);
}

uintptr_t lodei_callsite_target(uintptr_t frame, uintptr_t begin, uintptr_t end)
{
    unsigned char code[6];

    if (frame < begin + sizeof(code) || frame >= end ||
        !read_at(frame - sizeof(code), code, sizeof(code)))
        return 0;
    if (code[0] == 0xff && code[1] == 0x15)
        return slot_value(relative(frame, code + 2), begin, end);
    if (code[1] == 0xe8)
        return through_plt(relative(frame, code + 2), begin, end);
    return 0;
}
