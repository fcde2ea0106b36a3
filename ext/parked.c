/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of parked versions, a hash table with chains: a slot that many edits met while it
 * was pinned is emptied in the time that takes, whatever else is parked.
 *
 *     chains[hash of slot] -> entry + 1 -> entry + 1 -> 0        spare -> entry + 1 -> ... -> 0
 *
 * Both arrays stand in one block of the default heap, which doubles when every entry is in use. The
 * lock guards everything here, and the transitions of words in slots.c that go with it. It is held
 * around fork(), and never while a block is freed.
 */
#include "ext/parked.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/attr.h"
#include "lode/heap.h"

#define CAPACITY_FIRST 64u

struct parked {
    void *block;
    uint32_t index;
    uint32_t next; /* 1 + entry; 0: the chain ends */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct parked *entries; /* these all guarded by lock */
static uint32_t *chains;       /* as many as entries */
static uint32_t capacity;      /* a power of two, or 0 */
static uint32_t count, spare;

void lodei_parked_lock(void)
{
    pthread_mutex_lock(&lock);
}

void lodei_parked_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static uint32_t *chain_of(uint32_t index)
{
    /* multiplicative hashing, Knuth 6.4; the constant is 2^32 / the golden ratio */
    return &chains[(index * UINT32_C(0x9e3779b9) >> 7) & (capacity - 1)];
}

int lodei_parked_reserve(void)
{
    if (spare != 0)
        return 0;
    if (capacity > UINT32_MAX / 2)
        return -ENOMEM;
    uint32_t wider = capacity != 0 ? capacity * 2 : CAPACITY_FIRST, old = capacity;
    int saved = errno;
    struct parked *from = entries,
                  *grown = lode_heap_alloc(lode_heap_default(),
                                           wider * (sizeof(*grown) + sizeof(*chains)));
    errno = saved;
    if (grown == NULL)
        return -ENOMEM;
    entries = grown;
    chains = (uint32_t *)(void *)(grown + wider);
    capacity = wider;
    count = 0;
    memset(chains, 0, wider * sizeof(*chains));
    for (uint32_t i = wider; i-- > 0; spare = i + 1)
        entries[i] = (struct parked){.next = spare};
    for (uint32_t i = 0; i < old; i++) /* none was spare */
        lodei_parked_add(from[i].index, from[i].block);
    lode_free(from);
    return 0;
}

void lodei_parked_add(uint32_t index, void *block)
{
    uint32_t entry = spare - 1, *chain = chain_of(index);
    lode_assert(spare != 0);
    spare = entries[entry].next;
    entries[entry] = (struct parked){.block = block, .index = index, .next = *chain};
    *chain = entry + 1;
    count++;
}

size_t lodei_parked_take(uint32_t index, void **ret_blocks, size_t most)
{
    size_t taken = 0;
    if (count == 0)
        return 0;
    for (uint32_t *link = chain_of(index); *link != 0 && taken < most;) {
        uint32_t entry = *link - 1;
        if (entries[entry].index != index) {
            link = &entries[entry].next;
            continue;
        }
        ret_blocks[taken++] = entries[entry].block;
        *link = entries[entry].next;
        entries[entry] = (struct parked){.next = spare};
        spare = entry + 1;
        count--;
    }
    return taken;
}

void lodei_parked_forget(uint32_t index)
{
    void *block;
    while (lodei_parked_take(index, &block, 1) != 0)
        continue;
}

size_t lodei_parked_count(void)
{
    return count;
}

void lodei_parked_verify(void (*visit)(uint32_t index))
{
    uint32_t found = 0, unused = 0;
    lodei_holds((capacity & (capacity - 1)) == 0 && count <= capacity);
    for (uint32_t i = 0; i < capacity; i++)
        for (uint32_t link = chains[i]; link != 0; link = entries[link - 1].next) {
            lodei_holds(link <= capacity && found++ < count);
            lodei_holds(entries[link - 1].block != NULL);
            lodei_holds(chain_of(entries[link - 1].index) == &chains[i]);
            if (visit != NULL)
                visit(entries[link - 1].index);
        }
    for (uint32_t link = spare; link != 0; link = entries[link - 1].next)
        lodei_holds(link <= capacity && entries[link - 1].block == NULL && unused++ < capacity);
    lodei_holds(found == count && found + unused == capacity);
}
