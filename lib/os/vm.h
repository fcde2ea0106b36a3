/* SPDX-License-Identifier: MIT */
/*
 * Virtual memory: reserve, commit, purge, move. Every function leaves errno alone, answers 0 or
 * -errno, makes one system call, and takes no lock. Addresses and lengths are multiples of the OS
 * page.
 */
#ifndef LODEI_VM_H
#define LODEI_VM_H

#include <stddef.h>
#include <stdint.h>

/* The kernel's page size; valid after lodei_vm_init(). */
extern size_t lodei_page_bytes;
extern unsigned lodei_page_log2;

void lodei_vm_init(void);

/* Address space without memory behind it, aligned to `align` (a power of two); NULL when refused.
 */
void *lodei_vm_reserve(size_t bytes, size_t align);
void lodei_vm_release(void *addr, size_t bytes);
/* Make readable and writable. */
int lodei_vm_commit(void *addr, size_t bytes);
/* Drop the contents: pages read as zero afterwards, and cost nothing until written. */
int lodei_vm_purge(void *addr, size_t bytes);
/* As purge, by mapping afresh: heals mappings that lodei_vm_move() split. */
int lodei_vm_renew(void *addr, size_t bytes);
/* Move the pages of [from, +bytes) over [to, +bytes); `from` reads as zero afterwards. -EINVAL: the
 * kernel cannot (before 5.7), nothing changed. -EFAULT: there is a border between two mappings in
 * `from` (before 6.17; later kernels move over it, and may fail half-way). `to` may be unmapped
 * after a failure (before 6.17). */
int lodei_vm_move(void *from, void *to, size_t bytes);
/* 1 when [addr, +bytes), which is mapped, is part of one mapping of the kernel. */
int lodei_vm_is_one_mapping(void *addr, size_t bytes);
/* Huge pages where they fit, or none even where the system would give them. */
int lodei_vm_advise_huge(void *addr, size_t bytes, int wanted);
/* As renew, but only where nothing is mapped: -EEXIST otherwise. */
int lodei_vm_refill(void *addr, size_t bytes);
/* A new page that reads as zero in every copy of this address space; NULL when there is no such. */
void *lodei_vm_wiped_page(void);
/* Bytes of [addr, +bytes) that are in memory now; SIZE_MAX when the kernel does not say. */
size_t lodei_vm_resident(void *addr, size_t bytes);

/* Milliseconds since an arbitrary start; coarse (4 ms), no system call. */
uint64_t lodei_clock_ms(void);
/* Microseconds, precise. */
uint64_t lodei_clock_us(void);

#endif
