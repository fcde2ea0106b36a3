/* SPDX-License-Identifier: MIT */
/* ext/poison.c: in an ASan build, what ASan then thinks of the memory. In others: that nothing
 * listens, and that the calls are harmless. */
#include <criterion/criterion.h>

#include <string.h>

#include "ext/poison.h"

__attribute__((weak)) int __asan_address_is_poisoned(const volatile void *p);

static int closed(const char *p)
{
    return lodei_watched & LODEI_WATCH_ASAN ? __asan_address_is_poisoned(p) : 0;
}

Test(poison, asan_is_recognised_where_its_runtime_is)
{
    cr_assert_eq(!!(lodei_watched & LODEI_WATCH_ASAN), __asan_address_is_poisoned != NULL);
    cr_assert_eq(lodei_watched != 0, LODE_ASAN);
}

Test(poison, memory_taken_is_closed_until_given)
{
    static _Alignas(16) char memory[256];
    lodei_taken(memory, sizeof(memory));
    cr_assert_eq(closed(memory), LODE_ASAN);
    cr_assert_eq(closed(memory + 255), LODE_ASAN);
    lodei_given(memory + 16, 21);
    cr_assert_eq(closed(memory + 15), LODE_ASAN);
    cr_assert_eq(closed(memory + 16), 0);
    cr_assert_eq(closed(memory + 36), 0);
    cr_assert_eq(closed(memory + 37), LODE_ASAN);
    memset(memory + 16, 1, 21);
    lodei_taken(memory + 16, 21);
    cr_assert_eq(closed(memory + 16), LODE_ASAN);
    lodei_forgotten(memory, sizeof(memory));
    for (size_t i = 0; i < sizeof(memory); i++)
        cr_assert_eq(closed(memory + i), 0);
}

static LODE_NO_ASAN int peek(const char *p)
{
    return *(const volatile char *)p;
}

Test(poison, our_own_look_at_nobodys_memory_is_no_fault)
{
    static _Alignas(16) char memory[16] = "seven";
    lodei_taken(memory, sizeof(memory));
    lodei_hush();
    cr_assert_eq(peek(memory), 's');
    lodei_speak();
    lodei_forgotten(memory, sizeof(memory));
}
