/* SPDX-License-Identifier: MIT */
/* What an edit has on its brick while it runs: nothing that is in other threads' way, and nothing
 * that outlives it, not in a forked child either. */
#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ext/slotgrip.h"
#include "sdf_field.h"

static struct lode_sdf *field;
static lode_handle brick, other;

static void begin(void)
{
    field = field_made(NULL);
    brick = brick_of(field, AT(0, 0, 0), 1.5f, LODE_TIER_HIGH);
    other = brick_of(field, AT(5, 0, 0), 0.5f, LODE_TIER_HIGH);
}

static struct lode_read_stats waiting(void)
{
    struct lode_read_stats stats;
    lode_read_stats(&stats);
    return stats;
}

static int is_kept(lode_handle handle)
{
    return (lodei_slot_word((uint32_t)handle) & LODEI_SLOT_KEPT_MASK) != 0;
}

static void end(void)
{
    struct lode_read_stats stats = waiting();
    cr_assert(stats.readers == 0 && stats.waiting_blocks == 0 && stats.parked_blocks == 0);
    cr_assert(!is_kept(brick) && !is_kept(other));
    cr_assert_eq(lodei_grip_own, 0);
    lode_sdf_destroy(field);
}

static float value_of(lode_handle handle)
{
    float values[512];
    cr_assert_eq(lode_sdf_decode(field, handle, values), 0);
    return values[100];
}

static void assert_near(float a, float b)
{
    cr_assert_lt(a > b ? a - b : b - a, 0.001f, "%f %f", (double)a, (double)b);
}

static int add_one(void *ctx, float *values)
{
    for (int i = 0; i < 512; i++)
        values[i] += 1;
    ++*(int *)ctx;
    return 0;
}

static int frees_others(void *ctx, float *values)
{
    cr_assert_eq(waiting().readers, 0);
    cr_assert_eq(lode_sdf_brick_free(field, other), 0);
    cr_assert_eq(waiting().waiting_blocks, 0);
    return add_one(ctx, values);
}

Test(grips, an_edit_reads_in_nobodys_way, .init = begin, .fini = end)
{
    int calls = 0;
    cr_assert_eq(lode_sdf_edit(field, brick, frees_others, &calls), 0);
    cr_assert_eq(calls, 1);
    assert_near(value_of(brick), 2.5f);
}

static int edits_itself(void *ctx, float *values)
{
    int *calls = ctx;
    if (*calls == 0) {
        int inner = 0;
        ++*calls;
        cr_assert_eq(lode_sdf_edit(field, brick, add_one, &inner), 0);
        cr_assert_eq(inner, 1);
        return add_one(calls, values); /* of a version that is gone: to no effect */
    }
    assert_near(values[100], 2.5f);
    return add_one(calls, values);
}

Test(grips, who_comes_in_between_wins, .init = begin, .fini = end)
{
    int calls = 0;
    cr_assert_eq(lode_sdf_edit(field, brick, edits_itself, &calls), 0);
    cr_assert_eq(calls, 3);
    assert_near(value_of(brick), 3.5f);
}

static int frees_itself(void *ctx, float *values)
{
    cr_assert_eq(lode_sdf_brick_free(field, brick), 0);
    cr_assert_eq(waiting().parked_blocks, 1);
    brick = brick_of(field, AT(0, 0, 0), -1.5f, LODE_TIER_HIGH);
    return add_one(ctx, values);
}

Test(grips, a_brick_that_goes_and_comes_again_is_another, .init = begin, .fini = end)
{
    int calls = 0;
    lode_handle before = brick;
    cr_assert_eq(lode_sdf_edit(field, before, frees_itself, &calls), -ESTALE);
    cr_assert_eq(calls, 1);
    cr_assert_neq(brick, before);
    assert_near(value_of(brick), -1.5f);
}

static int refuses(void *ctx, float *values)
{
    (void)values;
    return *(int *)ctx;
}

static int frees_itself_and_refuses(void *ctx, float *values)
{
    (void)ctx;
    (void)values;
    cr_assert_eq(lode_sdf_brick_free(field, brick), 0);
    return 1;
}

Test(grips, nor_does_the_group_of_what_it_freed, .init = begin, .fini = end)
{
    size_t none = lode_sdf_trim(field);
    cr_assert_eq(none, 0);
    cr_assert_eq(lode_sdf_edit(field, brick, frees_itself_and_refuses, NULL), 1);
    cr_assert_eq(lode_sdf_trim(field), 0);
}

Test(grips, an_edit_that_is_given_up_leaves_nothing, .init = begin, .fini = end)
{
    for (int answer = -2; answer <= 1; answer++)
        if (answer != 0)
            cr_assert_eq(lode_sdf_edit(field, brick, refuses, &answer), answer);
    assert_near(value_of(brick), 1.5f);
}

static int pins_all(void *ctx, float *values)
{
    for (int i = 0; i < LODE_PINS_MAX; i++)
        cr_assert_not_null(lode_pin(brick));
    cr_assert_null(lode_pin(brick));
    cr_assert_eq(errno, EAGAIN);
    cr_assert_eq(lode_handle_pins(brick), LODE_PINS_MAX);
    return add_one(ctx, values);
}

Test(grips, every_pin_is_the_programs, .init = begin, .fini = end)
{
    int calls = 0;
    cr_assert_eq(lode_sdf_edit(field, brick, pins_all, &calls), 0);
    cr_assert_eq(waiting().parked_blocks, 1);
    cr_assert_eq(lode_sdf_retier(field, brick, LODE_TIER_LOW), 0); /* all are taken */
    for (int i = 0; i < LODE_PINS_MAX; i++)
        cr_assert_eq(lode_unpin(brick), 0);
    cr_assert_eq(lode_unpin(brick), -EINVAL);
}

static int nests(void *ctx, float *values)
{
    int *depth = ctx;
    (void)values;
    if (*depth == 0)
        return 1;
    --*depth;
    int status = lode_sdf_edit(field, *depth % 5 == 4 ? other : brick, nests, depth);
    cr_assert_eq(status, 1);
    return 1;
}

Test(grips, edits_nest, .init = begin, .fini = end)
{
    int depth = 40, calls = 0;
    cr_assert_eq(lode_sdf_edit(field, brick, nests, &depth), 1);
    cr_assert_eq(lode_sdf_edit(field, brick, add_one, &calls), 0);
    assert_near(value_of(brick), 2.5f);
}

static int pins_and_nests(void *ctx, float *values)
{
    for (int i = 0; i < LODE_PINS_MAX; i++)
        cr_assert_not_null(lode_pin(brick));
    return nests(ctx, values);
}

Test(grips, edits_nest_where_no_pin_is_left, .init = begin, .fini = end)
{
    int depth = 40;
    cr_assert_eq(lode_sdf_edit(field, brick, pins_and_nests, &depth), 1);
    for (int i = 0; i < LODE_PINS_MAX; i++)
        cr_assert_eq(lode_unpin(brick), 0);
}

static int window_leaves(void *ctx, float *values)
{
    const struct lode_brick_box away = {AT(100, 100, 100), AT(110, 110, 110)};
    cr_assert_eq(lode_sdf_window_move(field, &away, NULL), 0);
    return add_one(ctx, values);
}

Test(grips, a_window_that_leaves_an_edit_behind_leaves_nothing_else, .init = begin, .fini = end)
{
    const struct lode_brick_box here = {AT(0, 0, 0), AT(10, 10, 10)};
    int calls = 0;
    cr_assert_eq(lode_sdf_window_move(field, &here, NULL), 0);
    cr_assert_eq(lode_sdf_edit(field, brick, window_leaves, &calls), -ESTALE);
    cr_assert_eq(field_bricks(field), 0);
    cr_assert_eq(lode_sdf_trim(field), 0);
}

/* ---- fork ---- */

static _Atomic int inside, go_on;

/* In a child Criterion's assertions are of no use. */
static void child_unless(int ok)
{
    if (!ok)
        _exit(1);
}

static void in_child(void (*act)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        act();
        _exit(0);
    }
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", (unsigned)status);
}

static void edit_often(void)
{
    int calls = 0;
    child_unless(!is_kept(brick));
    for (int i = 0; i < 100; i++)
        child_unless(lode_sdf_edit(field, brick, add_one, &calls) == 0);
    child_unless(calls == 100 && waiting().parked_blocks == 0 && waiting().waiting_blocks == 0);
}

static int waits(void *ctx, float *values)
{
    atomic_fetch_add(&inside, 1);
    while (!atomic_load(&go_on))
        usleep(100);
    return add_one(ctx, values);
}

static void *edit_slowly(void *ret_status)
{
    int calls = 0;
    *(int *)ret_status = lode_sdf_edit(field, brick, waits, &calls);
    return NULL;
}

/* `act` here and in a child, as some threads edit; returns what they were told. */
static int while_others_edit(int count, void (*here)(void), void (*act)(void))
{
    pthread_t threads[3];
    int status[3];
    for (int i = 0; i < count; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, edit_slowly, &status[i]), 0);
    while (atomic_load(&inside) < count)
        usleep(100);
    cr_assert(is_kept(brick));
    if (here != NULL)
        here();
    in_child(act);
    atomic_store(&go_on, 1);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        cr_assert_eq(status[i], status[0]);
    }
    return status[0];
}

Test(grips, those_of_other_threads_end_in_a_forked_child, .init = begin, .fini = end)
{
    cr_assert_eq(while_others_edit(3, NULL, edit_often), 0);
    cr_assert_gt(value_of(brick), 3.9f); /* the band ends at 4 */
}

static void free_it(void)
{
    cr_assert_eq(lode_sdf_brick_free(field, brick), 0);
    cr_assert_eq(waiting().parked_blocks, 1);
}

static void nothing_waits(void)
{
    child_unless(waiting().parked_blocks == 0 && !is_kept(brick));
}

Test(grips, what_they_kept_is_freed_in_the_child, .init = begin, .fini = end)
{
    cr_assert_eq(while_others_edit(2, free_it, nothing_waits), -ESTALE);
}

static _Atomic int second_inside, second_goes_on;

static int waits_second(void *ctx, float *values)
{
    atomic_store(&second_inside, 1);
    while (!atomic_load(&second_goes_on))
        usleep(100);
    return add_one(ctx, values);
}

static void *edit_second(void *ret_status)
{
    int calls = 0;
    *(int *)ret_status = lode_sdf_edit(field, brick, waits_second, &calls);
    return NULL;
}

Test(grips, what_is_parked_waits_for_one_edit_only, .init = begin, .fini = end)
{
    pthread_t first, second;
    int status[2], calls = 0;
    cr_assert_eq(pthread_create(&first, NULL, edit_slowly, &status[0]), 0);
    while (!atomic_load(&inside))
        usleep(100);
    cr_assert_eq(pthread_create(&second, NULL, edit_second, &status[1]), 0);
    while (!atomic_load(&second_inside))
        usleep(100);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(lode_sdf_edit(field, brick, add_one, &calls), 0);
    cr_assert_eq(waiting().parked_blocks, 10);
    atomic_store(&go_on, 1);
    cr_assert_eq(pthread_join(first, NULL), 0);
    cr_assert_eq(waiting().parked_blocks, 0); /* the second is still there */
    atomic_store(&second_goes_on, 1);
    cr_assert_eq(pthread_join(second, NULL), 0);
    cr_assert(status[0] == 0 && status[1] == 0);
}

static void replace_it(void)
{
    int calls = 0;
    cr_assert_eq(lode_sdf_edit(field, brick, add_one, &calls), 0);
    cr_assert_eq(waiting().parked_blocks, 1);
}

Test(grips, versions_parked_for_them_are_freed_too, .init = begin, .fini = end)
{
    cr_assert_eq(while_others_edit(1, replace_it, nothing_waits), 0);
    assert_near(value_of(brick), 3.5f);
}

static int forks(void *ctx, float *values)
{
    int status, *calls = ctx;
    pid_t pid = fork();
    *calls += 100 * (pid == 0);
    if (pid != 0) {
        cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", (unsigned)status);
    }
    return add_one(calls, values);
}

static int forks_within(void *ctx, float *values)
{
    int status = lode_sdf_edit(field, other, forks, ctx);
    if (*(int *)ctx > 100)
        child_unless(status == 0 && is_kept(brick) && !is_kept(other));
    else
        cr_assert_eq(status, 0);
    return add_one(ctx, values);
}

Test(grips, an_edit_around_the_one_that_forks_goes_on_too, .init = begin, .fini = end)
{
    int calls = 0;
    int status = lode_sdf_edit(field, brick, forks_within, &calls);
    if (calls > 100) {
        child_unless(status == 0 && calls == 102 && !is_kept(brick));
        edit_often();
        _exit(0);
    }
    cr_assert(status == 0 && calls == 2);
    assert_near(value_of(other), 1.5f);
}

Test(grips, an_edit_goes_on_in_the_child_it_forks, .init = begin, .fini = end)
{
    int calls = 0;
    int status = lode_sdf_edit(field, brick, forks, &calls);
    if (calls > 100) {
        child_unless(status == 0 && calls == 101 && !is_kept(brick));
        child_unless(waiting().parked_blocks == 0 && value_of(brick) > 2.4f);
        edit_often();
        _exit(0);
    }
    cr_assert(status == 0 && calls == 1);
    assert_near(value_of(brick), 2.5f);
}

static int destroys(void *ctx, float *values)
{
    (void)values;
    lode_sdf_destroy(ctx);
    return 0;
}

Test(grips, a_field_that_ends_under_its_edit_is_misuse, .init = begin, .signal = SIGABRT)
{
    cr_assert_fail("%d", lode_sdf_edit(field, brick, destroys, field));
}
