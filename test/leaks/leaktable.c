/* SPDX-License-Identifier: MIT */
/*
 * The table of live blocks (lib/trace/leak.c) against a model: random adds, removes and resizes
 * over few addresses, so that runs of occupied slots form, close and wrap, and tables grow.
 */
#include <stdio.h>
#include <stdlib.h>

#include "trace/leak.h"

#define ADDRESSES 200000
#define STEPS     3000000

static struct lodei_leak_record model[ADDRESSES];
static uint64_t seen_blocks;
static uint64_t seen_wrong;

static uintptr_t address_of(size_t number)
{
    return 0x7f0000000000 + number * 16;
}

static void check(void *ctx, const struct lodei_leak_record *record)
{
    const struct lodei_leak_record *expected = &model[(record->block - address_of(0)) / 16];

    (void)ctx;
    seen_blocks++;
    seen_wrong += expected->block != record->block || expected->bytes != record->bytes ||
                  expected->stack != record->stack || expected->birth_ms != record->birth_ms;
}

static int compare(const char *when)
{
    uint64_t expected = 0;

    for (size_t i = 0; i < ADDRESSES; i++)
        expected += model[i].block != 0;
    seen_blocks = 0;
    lodei_leak_walk(check, NULL);
    if (seen_blocks == expected && seen_wrong == 0)
        return 0;
    printf("%s: %lu blocks instead of %lu, %lu wrong\n", when, (unsigned long)seen_blocks,
           (unsigned long)expected, (unsigned long)seen_wrong);
    return 1;
}

static void step(unsigned *state, unsigned removals_in_8)
{
    size_t number = (size_t)rand_r(state) % ADDRESSES;
    struct lodei_leak_record *entry = &model[number];
    unsigned what = (unsigned)rand_r(state) % 8;

    if (what < removals_in_8) {
        lodei_leak_remove(address_of(number));
        entry->block = 0;
    } else if (what == 7) {
        lodei_leak_resize(address_of(number), (uint64_t)number, 9);
        entry->bytes = (uint64_t)number;
        entry->stack = 9;
    } else {
        *entry = (struct lodei_leak_record){
            .block = address_of(number),
            .bytes = (uint64_t)rand_r(state),
            .stack = (uint32_t)rand_r(state),
            .birth_ms = (uint32_t)rand_r(state),
        };
        lodei_leak_add(entry);
    }
}

int main(void)
{
    unsigned state = 1;
    int bad = 0;

    lodei_leak_init();
    for (int i = 0; i < STEPS; i++)
        step(&state, 2);
    bad |= compare("mostly added");
    for (int i = 0; i < STEPS; i++)
        step(&state, 6);
    bad |= compare("mostly removed");
    for (size_t i = 0; i < ADDRESSES; i++)
        lodei_leak_remove(address_of(i));
    for (size_t i = 0; i < ADDRESSES; i++)
        model[i].block = 0;
    bad |= compare("all removed");
    lodei_leak_add(&(struct lodei_leak_record){.block = address_of(1), .bytes = 1});
    lodei_leak_forget_all();
    bad |= compare("forgotten");
    return bad;
}
