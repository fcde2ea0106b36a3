/* SPDX-License-Identifier: MIT */
/* A program linked with an allocator library; also built statically. */
int lode_test_fake_allocator(void);

int main(void)
{
    return lode_test_fake_allocator();
}
