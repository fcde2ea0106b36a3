/* SPDX-License-Identifier: MIT */
/*
 * Owns the one small-object chunk that lodei_chunk_keep() carves from:
 *
 *     [kept][kept][kept -> ........ untouched ........]   64 KiB, then the next one
 *
 * A chunk that cannot serve a request is left as it is: what is kept is paths and module records, a
 * few KiB in a process's life. Never calls malloc; takes no lock.
 */
#include <stdint.h>
#include <sys/mman.h>

#include "trace/chunk.h"

#define KEEP_CHUNK_BYTES ((size_t)64 << 10)

static char *keep_at;
static size_t keep_left_bytes;

void *lodei_chunk_map(size_t bytes)
{
    void *chunk = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return chunk == MAP_FAILED ? NULL : chunk;
}

void lodei_chunk_unmap(void *chunk, size_t bytes)
{
    if (chunk)
        munmap(chunk, bytes);
}

void *lodei_chunk_keep(size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > KEEP_CHUNK_BYTES)
        return lodei_chunk_map(bytes);
    if (bytes > keep_left_bytes) {
        char *chunk = lodei_chunk_map(KEEP_CHUNK_BYTES);

        if (!chunk)
            return NULL;
        keep_at = chunk;
        keep_left_bytes = KEEP_CHUNK_BYTES;
    }
    void *kept = keep_at;
    keep_at += bytes;
    keep_left_bytes -= bytes;
    return kept;
}
