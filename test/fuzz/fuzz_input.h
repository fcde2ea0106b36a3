/* SPDX-License-Identifier: MIT */
/* The entry every fuzzer here has; fuzz_seeded.c calls it where libFuzzer does not. And numbers out
 * of what it was given. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct fuzz_input {
    const uint8_t *at, *end;
};

/* A number below `limit`, of as many bytes as that has; 0 for those that are not there. */
static inline uint64_t fuzz_take(struct fuzz_input *input, uint64_t limit)
{
    uint64_t value = 0;
    for (uint64_t reach = 1; reach < limit && input->at < input->end; reach *= 256)
        value = value << 8 | *input->at++;
    return value % limit;
}

#endif
