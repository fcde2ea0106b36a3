/* SPDX-License-Identifier: MIT */
/*
 * The seam between the heaps and a tracer (liblode-trace.so): who is told of every block.
 *
 * While a tracer is installed each thread's malloc() pointer names an empty-list twin of its thread
 * heap, so every allocation and every free leaves the fast path and passes here; without one
 * nothing here costs anything. The tracer is called with no lock held and with re-entry on this
 * thread already excluded: what the tracer itself allocates or frees is not traced. It must keep
 * errno.
 */
#ifndef LODEI_TRACE_H
#define LODEI_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define LODEI_TRACER_ABI 1

struct lodei_tracer {
    uint32_t abi; /* LODEI_TRACER_ABI */
    void (*on_alloc)(void *block,
                     size_t bytes); /* the block is the caller's next; `bytes` as asked */
    void (*on_free)(void *block);   /* called before the block is freed, so before any
                                       other thread can be given the same address */
    void (*on_resize)(void *block, size_t bytes); /* realloc kept the address */
    void (*fork_prepare)(void);                   /* rank: before every heap lock */
    void (*fork_parent)(void);
    void (*fork_child)(void);
    void (*at_exit)(void); /* after every destructor of the program */
};

/*
 * Install `tracer` (borrowed for ever) for all threads; blocks allocated earlier are unknown to it.
 * Call once, from a constructor, while the process has one thread. Returns 0, -EINVAL bad abi,
 * -EBUSY one is installed. Exported by liblode-heap.so for liblode-trace.so alone.
 */
LODE_EXPORT int lodei_tracer_install(const struct lodei_tracer *tracer);

#endif
