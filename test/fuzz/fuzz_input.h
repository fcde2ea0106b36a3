/* SPDX-License-Identifier: MIT */
/* The entry every fuzzer here has; fuzz_seeded.c calls it where libFuzzer does not. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#endif
