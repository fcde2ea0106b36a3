/* SPDX-License-Identifier: MIT */
/* A library named like an allocator, for a program to be linked with. */
int lode_test_fake_allocator(void);

__attribute__((visibility("default"))) int lode_test_fake_allocator(void)
{
    return 0;
}
