/* SPDX-License-Identifier: MIT */
/*
 * Filled blocks: the pattern, its verification, random sizes, and the random step that most modes
 * are made of.
 *
 * The pattern is a window into one table of random bytes, chosen by key and address, copied and
 * compared with memcpy and memcmp, so that whole blocks are checked at memory speed. The window
 * starts at any byte of the first half, so neighbours and moved blocks never look alike.
 */
#include "stress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { TABLE_BYTES = 1 << 17, WINDOW_BYTES = TABLE_BYTES / 2 };

static unsigned char *table;

void *stress_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        stress_die("mmap of %zu bytes: %s", bytes, strerror(errno));
    return p;
}

/* splitmix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014. */
uint64_t stress_random(uint64_t *rng)
{
    uint64_t z = *rng += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

size_t stress_below(uint64_t *rng, size_t below)
{
    return (size_t)(stress_random(rng) % below);
}

size_t stress_size(uint64_t *rng)
{
    unsigned log2 = (unsigned)stress_below(rng, 23);

    if (log2 > 17 && stress_below(rng, 8) != 0)
        log2 -= 10;
    return ((size_t)1 << log2) + stress_below(rng, (size_t)1 << log2) * (log2 < 22);
}

__attribute__((constructor)) static void table_init(void)
{
    uint64_t rng = 42, word;

    table = stress_pages(TABLE_BYTES);
    for (size_t i = 0; i < TABLE_BYTES; i += sizeof word) {
        word = stress_random(&rng);
        memcpy(table + i, &word, sizeof word);
    }
}

static const unsigned char *window(const struct block *block)
{
    uint64_t mixed = block->key ^ (uint64_t)(uintptr_t)block->ptr;

    return table + stress_random(&mixed) % WINDOW_BYTES;
}

void block_fill(struct block *block, void *ptr, size_t bytes, uint64_t key)
{
    const unsigned char *from;

    *block = (struct block){.ptr = ptr, .bytes = bytes, .key = key};
    from = window(block);
    for (size_t at = 0; at < bytes; at += WINDOW_BYTES)
        memcpy(block->ptr + at, from, bytes - at < WINDOW_BYTES ? bytes - at : WINDOW_BYTES);
}

static size_t first_difference(const unsigned char *a, const unsigned char *b, size_t bytes)
{
    size_t i = 0;

    while (i < bytes && a[i] == b[i])
        i++;
    return i;
}

void block_verify_at(const struct block *block, const void *at, size_t bytes, const char *when)
{
    const unsigned char *from = window(block), *p = at;

    for (size_t i = 0; i < bytes; i += WINDOW_BYTES) {
        size_t n = bytes - i < WINDOW_BYTES ? bytes - i : WINDOW_BYTES, bad;

        if (memcmp(p + i, from, n) == 0)
            continue;
        bad = first_difference(p + i, from, n);
        stress_die("%s: block %p of %zu bytes (filled at %p): byte %zu is 0x%02x, not 0x%02x", when,
                   at, block->bytes, (void *)block->ptr, i + bad, p[i + bad], from[bad]);
    }
}

void block_verify(const struct block *block, const char *when)
{
    block_verify_at(block, block->ptr, block->bytes, when);
}

void block_free(struct block *block)
{
    if (!block->ptr)
        return;
    block_verify(block, "before free");
    test_free(block->ptr);
    block->ptr = NULL;
}

static void check_zero(const unsigned char *p, size_t bytes)
{
    if (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0)
        return;
    stress_die("calloc of %zu bytes gave %p, which is not zero", bytes, (const void *)p);
}

void stress_take(struct block *block, uint64_t *rng)
{
    size_t bytes = stress_size(rng), align = 16, usable;
    unsigned how = (unsigned)stress_below(rng, 10);
    unsigned char *p;

    if (how == 0) {
        align = (size_t)16 << stress_below(rng, 13);
        p = test_aligned_alloc(align, bytes);
    } else if (how < 4) {
        p = test_calloc(1, bytes);
    } else {
        p = test_malloc(bytes);
    }
    if (!p)
        stress_die("%zu bytes aligned to %zu: NULL", bytes, align);
    if ((how == 0 || bytes >= align) && (uintptr_t)p % align != 0)
        stress_die("%zu bytes aligned to %zu at %p", bytes, align, (void *)p);
    if (how != 0 && how < 4)
        check_zero(p, bytes);
    usable = test_usable_size(p);
    if (usable < bytes)
        stress_die("%zu bytes at %p: usable size %zu", bytes, (void *)p, usable);
    /* Every byte of the usable size is the caller's: a quarter of the blocks make use of it. */
    block_fill(block, p, stress_below(rng, 4) == 0 ? usable : bytes, stress_random(rng));
}

static void resize(struct block *block, uint64_t *rng)
{
    size_t bytes = stress_size(rng);
    unsigned char *p;

    block_verify(block, "before realloc");
    p = test_realloc(block->ptr, bytes);
    if (!p)
        stress_die("realloc to %zu bytes: NULL", bytes);
    block_verify_at(block, p, bytes < block->bytes ? bytes : block->bytes, "after realloc");
    block_fill(block, p, bytes, stress_random(rng));
}

void stress_step(struct stress_thread *thread)
{
    struct block *slot = &thread->slots[stress_below(&thread->rng, STRESS_SLOTS)];

    thread->live_bytes -= slot->ptr ? slot->bytes : 0;
    if (slot->ptr && stress_below(&thread->rng, 4) == 0)
        resize(slot, &thread->rng);
    else if (slot->ptr)
        block_free(slot);
    else
        stress_take(slot, &thread->rng);
    thread->live_bytes += slot->ptr ? slot->bytes : 0;
    if (thread->live_bytes > STRESS_LIVE_MAX)
        stress_drain(thread);
}

void stress_drain(struct stress_thread *thread)
{
    for (int i = 0; i < STRESS_SLOTS; i++)
        block_free(&thread->slots[i]);
    thread->live_bytes = 0;
}
