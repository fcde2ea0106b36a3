/* SPDX-License-Identifier: MIT */
/* ext/registry.c: the list of live allocators. */
#include <criterion/criterion.h>

#include <string.h>

#include "ext/registry.h"

static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    *ret_stats = (struct lode_allocator_stats){.used_bytes = *(size_t *)object};
}

struct seen {
    int count;
    size_t used_bytes;
    char names[4][32];
    struct lodei_registered *remove; /* during the first visit */
    int stop;
};

static int see(void *ctx, const struct lodei_registered *entry,
               const struct lode_allocator_stats *stats)
{
    struct seen *seen = ctx;
    if (seen->remove != NULL)
        lodei_registry_remove(seen->remove);
    seen->remove = NULL;
    memcpy(seen->names[seen->count++], entry->name, sizeof(entry->name));
    seen->used_bytes += stats->used_bytes;
    return seen->stop;
}

Test(registry, shows_what_is_alive_in_order)
{
    struct lodei_registered a, b;
    size_t used_a = 100, used_b = 20;
    struct seen seen = {0};
    lodei_registry_add(&a, "arena", "frame", &used_a, describe);
    lodei_registry_add(&b, "pool", NULL, &used_b, describe);
    cr_assert_eq(lodei_registry_each(see, &seen), 0);
    cr_assert_eq(seen.count, 2);
    cr_assert_eq(seen.used_bytes, 120);
    cr_assert_str_eq(seen.names[0], "frame");
    cr_assert_str_eq(seen.names[1], "pool");
    lodei_registry_remove(&a);
    seen = (struct seen){0};
    cr_assert_eq(lodei_registry_each(see, &seen), 0);
    cr_assert_eq(seen.count, 1);
    lodei_registry_remove(&b);
}

Test(registry, a_visit_may_change_the_list_and_end_the_walk)
{
    struct lodei_registered a, b;
    size_t used = 1;
    struct seen seen = {.remove = &b, .stop = 7};
    lodei_registry_add(&a, "arena", NULL, &used, describe);
    lodei_registry_add(&b, "arena", NULL, &used, describe);
    cr_assert_eq(lodei_registry_each(see, &seen), 7);
    cr_assert_eq(seen.count, 1);
    lodei_registry_remove(&a);
}

Test(registry, a_long_name_is_cut)
{
    struct lodei_registered a;
    size_t used = 1;
    lodei_registry_add(&a, "arena", "a name that is longer than thirty-one bytes", &used, describe);
    cr_assert_eq(strlen(a.name), sizeof(a.name) - 1);
    lodei_registry_remove(&a);
}
