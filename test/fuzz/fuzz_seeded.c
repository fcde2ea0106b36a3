/* SPDX-License-Identifier: MIT */
/*
 * Drives a fuzz target without libFuzzer: ROUNDS inputs of seeded pseudo-random bytes, the same in
 * every run, so that each build and each sanitizer runs the target.
 *
 *     NAME [ROUNDS [SEED]]        an abort is followed by the round it happened in
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <signal.h>
#include <string.h>

#include "fuzz_input.h"

#define INPUT_MAX 4096

static char round_text[64];

static void on_abort(int signal_number)
{
    (void)signal_number;
    if (write(STDERR_FILENO, round_text, strlen(round_text)) < 0)
        _exit(3);
}

static uint64_t next(uint64_t *state)
{
    /* splitmix64, Steele, Lea and Flood 2014 */
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

int main(int argc, char **argv)
{
    static uint8_t input[INPUT_MAX];
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    unsigned long seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    signal(SIGABRT, on_abort);
    for (unsigned long r = 0; r < rounds; r++) {
        uint64_t state = (seed + r) * 0x2545f4914f6cdd1d;
        size_t bytes = next(&state) % INPUT_MAX + 1;
        for (size_t i = 0; i < bytes; i++)
            input[i] = (uint8_t)next(&state);
        snprintf(round_text, sizeof(round_text), "aborted in round %lu from seed %lu\n", r + 1,
                 seed);
        LLVMFuzzerTestOneInput(input, bytes);
    }
    printf("%lu rounds from seed %lu\n", rounds, seed);
    return 0;
}
