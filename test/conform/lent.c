/* SPDX-License-Identifier: MIT */
/*
 * The mimalloc route allocates from the part of our reservation that was lent to it: told to take
 * no memory from the kernel itself, it still serves small, medium and large blocks, and it gives
 * pages back.
 */
#include <dlfcn.h>
#include <lode/stats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTION_LIMIT_OS_ALLOC 17 /* mi_option_limit_os_alloc of mimalloc 2.0 */
#define BLOCKS                64

static size_t resident_kib(void)
{
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%lu %lu", &size, &resident) != 2)
        abort();
    fclose(f);
    return resident * 4;
}

int main(void)
{
    static const size_t sizes[] = {40, 3000, 100000, (size_t)6 << 20, (size_t)40 << 20};
    static char *blocks[sizeof(sizes) / sizeof(sizes[0])][BLOCKS];
    void (*set)(int, long);
    struct lode_stats s = {.size = sizeof(s)};
    if (lode_stats_get(NULL, &s) != 0 || s.lent_bytes < (uint64_t)1 << 30) {
        printf("lent: %llu bytes\n", (unsigned long long)s.lent_bytes);
        return 1;
    }
    *(void **)&set = dlsym(RTLD_DEFAULT, "mi_option_set");
    if (set == NULL)
        return 77;
    set(OPTION_LIMIT_OS_ALLOC, 1);
    size_t before = resident_kib();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t n = 0; n < BLOCKS; n++) {
            blocks[i][n] = malloc(sizes[i]);
            if (blocks[i][n] == NULL) {
                printf("no block of %zu bytes\n", sizes[i]);
                return 1;
            }
            blocks[i][n][0] = blocks[i][n][sizes[i] - 1] = 1;
            if (sizes[i] < (size_t)8 << 20)
                memset(blocks[i][n], 2, sizes[i]);
        }
    }
    size_t full = resident_kib();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (size_t n = 0; n < BLOCKS; n++)
            free(blocks[i][n]);
    if (full < before + 350000) {
        printf("%zu KiB, then %zu\n", before, full);
        return 1;
    }
    return 0;
}
