/* SPDX-License-Identifier: MIT */
/* A program that brings its own malloc, of which nothing needs to work. */
#include <stddef.h>
#include <stdlib.h>

__attribute__((visibility("default"))) void *malloc(size_t bytes)
{
    (void)bytes;
    return NULL;
}

int main(void)
{
    return 0;
}
