/* SPDX-License-Identifier: MIT */
/* ext/grace.c: reading sections, and blocks that wait for them. */
#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include "ext/grace.h"
#include "lode/handle.h"
#include "wrapped_heap.h"

/* ---- threads that do one thing at a time ---- */

struct actor {
    pthread_t thread;
    sem_t go, done;
    void (*_Atomic act)(void);
};

static void *play(void *arg)
{
    struct actor *actor = arg;
    void (*act)(void);
    do {
        sem_wait(&actor->go);
        act = atomic_load(&actor->act);
        if (act != NULL)
            act();
        sem_post(&actor->done);
    } while (act != NULL);
    return NULL;
}

static void actor_start(struct actor *actor)
{
    sem_init(&actor->go, 0, 0);
    sem_init(&actor->done, 0, 0);
    cr_assert_eq(pthread_create(&actor->thread, NULL, play, actor), 0);
}

static void begins(struct actor *actor, void (*act)(void))
{
    atomic_store(&actor->act, act);
    sem_post(&actor->go);
}

static void does(struct actor *actor, void (*act)(void))
{
    begins(actor, act);
    sem_wait(&actor->done);
}

static void actor_end(struct actor *actor)
{
    does(actor, NULL);
    pthread_join(actor->thread, NULL);
}

static struct actor one, two;

static void read_begin(void)
{
    cr_assert_eq(lode_read_begin(), 0);
}

/* ---- blocks, and which of them were freed ---- */

static void *_Atomic blocks[2000]; /* NULL again once freed */
static _Atomic int freed[2000];

static void note_free(void *block)
{
    for (int i = 0; i < 2000; i++) {
        void *expected = block;
        if (block != NULL && atomic_compare_exchange_strong(&blocks[i], &expected, NULL))
            atomic_fetch_add(&freed[i], 1);
    }
}

static int freed_count(void)
{
    int count = 0;
    for (int i = 0; i < 2000; i++) {
        cr_assert_leq(atomic_load(&freed[i]), 1);
        count += atomic_load(&freed[i]);
    }
    return count;
}

static void give_up(int i)
{
    blocks[i] = lode_heap_alloc(lode_heap_default(), 64);
    cr_assert_not_null(blocks[i]);
    memset(blocks[i], 0x5a, 64);
    lodei_grace_free(blocks[i]);
}

static struct lode_read_stats stats(void)
{
    struct lode_read_stats s;
    lode_read_stats(&s);
    return s;
}

static void begin(void)
{
    atomic_store(&wrapped_on_free, note_free);
    actor_start(&one);
    actor_start(&two);
}

static void end(void)
{
    atomic_store(&wrapped_allocations, -1);
    actor_end(&one);
    actor_end(&two);
    cr_assert_eq(stats().readers, 0);
    cr_assert_eq(stats().waiting_blocks, 0);
}

TestSuite(grace, .init = begin, .fini = end, .timeout = 60);

/* ---- what waits, and for whom ---- */

static int freed_when_settled(void)
{
    lodei_grace_settle();
    return freed_count();
}

Test(grace, without_a_section_a_block_is_freed_at_once)
{
    give_up(0);
    cr_assert_eq(freed_count(), 1);
    cr_assert_eq(stats().waiting_blocks, 0);
}

Test(grace, a_block_waits_for_the_sections_that_were_open)
{
    does(&one, read_begin);
    cr_assert_eq(stats().readers, 1);
    give_up(0);
    give_up(1);
    cr_assert_eq(freed_when_settled(), 0);
    cr_assert_eq(stats().waiting_blocks, 2);
    does(&two, read_begin);
    give_up(2);
    cr_assert_eq(stats().readers, 2);
    does(&one, lode_read_end); /* two's began after the first blocks were given up */
    cr_assert_eq(freed_when_settled(), 2);
    cr_assert_eq(atomic_load(&freed[2]), 0);
    does(&one, read_begin);
    does(&two, lode_read_end);
    cr_assert_eq(freed_when_settled(), 3);
    does(&one, lode_read_end);
}

Test(grace, ones_own_section_counts)
{
    read_begin();
    give_up(0);
    cr_assert_eq(freed_when_settled(), 0);
    cr_assert_eq(((char *)blocks[0])[63], 0x5a);
    lode_read_end();
    cr_assert_eq(freed_when_settled(), 1);
}

Test(grace, sections_nest)
{
    cr_assert_not(lodei_grace_inside());
    lode_read_end(); /* nothing */
    read_begin();
    uint64_t section = lodei_grace_section();
    for (int depth = 2; depth < 1000; depth++) {
        read_begin();
        cr_assert_eq(lodei_grace_section(), section);
    }
    give_up(0);
    for (int depth = 2; depth < 1000; depth++)
        lode_read_end();
    cr_assert(lodei_grace_inside());
    cr_assert_eq(freed_when_settled(), 0);
    lode_read_end();
    cr_assert_not(lodei_grace_inside());
    cr_assert_eq(freed_when_settled(), 1);
    lode_read_end();
    read_begin();
    cr_assert_neq(lodei_grace_section(), section);
    lode_read_end();
}

static uint64_t section_of_one;

static void note_section(void)
{
    section_of_one = lodei_grace_section();
}

Test(grace, sections_of_threads_have_numbers_of_their_own)
{
    uint64_t mine[100];
    does(&one, read_begin);
    does(&one, note_section);
    for (int i = 0; i < 100; i++) {
        read_begin();
        mine[i] = lodei_grace_section();
        lode_read_end();
        cr_assert_neq(mine[i], section_of_one);
        cr_assert(i == 0 || mine[i] != mine[i - 1]);
    }
    does(&one, lode_read_end);
}

Test(grace, however_many_wait_all_are_freed_once)
{
    does(&one, read_begin);
    for (int i = 0; i < 2000; i++)
        give_up(i);
    cr_assert_eq(freed_when_settled(), 0);
    cr_assert_eq(stats().waiting_blocks, 2000);
    does(&one, lode_read_end); /* sees to what this thread could not keep */
    cr_assert_geq(freed_count(), 2000 - 64);
    cr_assert_eq(freed_when_settled(), 2000);
    cr_assert_eq(stats().waiting_blocks, 0);
}

Test(grace, a_thread_that_goes_on_frees_what_waited)
{
    does(&one, read_begin);
    for (int i = 0; i < 10; i++)
        give_up(i);
    does(&one, lode_read_end);
    int given = 10;
    do /* it may not look at others' sections for some time */
        give_up(given++);
    while (freed_count() < given && given < 200);
    cr_assert_lt(given, 200);
}

Test(grace, a_thread_that_was_in_a_section_itself_frees_at_once)
{
    read_begin();
    give_up(0);
    cr_assert_eq(freed_count(), 0);
    lode_read_end();
    cr_assert_eq(freed_count(), 1);
    give_up(1);
    cr_assert_eq(freed_count(), 2);
}

Test(grace, the_queue_goes_round)
{
    int given = 0;
    for (int round = 0; round < 9; round++) {
        does(&one, read_begin);
        for (int i = 0; i < 110; i++)
            give_up(given++);
        cr_assert_eq(freed_when_settled(), given - 110);
        does(&two, read_begin);
        for (int i = 0; i < 110; i++)
            give_up(given++);
        does(&one, lode_read_end);
        cr_assert_leq(freed_when_settled(), given - 110);
        does(&two, lode_read_end);
        cr_assert_eq(freed_when_settled(), given);
    }
}

/* ---- threads that end ---- */

static void *end_inside(void *arg)
{
    sem_t *begun = arg;
    read_begin();
    read_begin();
    sem_post(begun);
    sem_wait(begun + 1);
    return NULL;
}

Test(grace, a_thread_that_ends_inside_ends_its_section)
{
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        sem_t turns[2];
        sem_init(&turns[0], 0, 0);
        sem_init(&turns[1], 0, 0);
        cr_assert_eq(pthread_create(&thread, NULL, end_inside, turns), 0);
        sem_wait(&turns[0]);
        give_up(i);
        cr_assert_eq(freed_when_settled(), i);
        cr_assert_eq(stats().readers, 1);
        sem_post(&turns[1]);
        pthread_join(thread, NULL);
        cr_assert_eq(freed_when_settled(), i + 1);
        cr_assert_eq(stats().readers, 0);
    }
}

static void *give_up_and_end(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        give_up(i);
    read_begin();
    for (int i = 100; i < 200; i++)
        give_up(i);
    return NULL;
}

Test(grace, what_an_ended_thread_gave_up_does_not_end_with_it)
{
    pthread_t thread;
    does(&one, read_begin);
    cr_assert_eq(pthread_create(&thread, NULL, give_up_and_end, NULL), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(freed_count(), 0);
    cr_assert_eq(stats().waiting_blocks, 200);
    does(&one, lode_read_end);
    cr_assert_eq(freed_count(), 200);
}

/* ---- waiting ---- */

static _Atomic int waited;

static void wait_for_sections(void)
{
    lodei_grace_wait();
    atomic_store(&waited, 1);
}

static void yield_some(void)
{
    for (int i = 0; i < 1000; i++)
        sched_yield();
}

Test(grace, a_wait_is_for_the_sections_open_now)
{
    does(&one, read_begin);
    give_up(0);
    begins(&two, wait_for_sections);
    yield_some();
    cr_assert_eq(atomic_load(&waited), 0);
    does(&one, lode_read_end);
    /* one that begins after the wait did is not waited for: this thread is nearly always inside */
    while (atomic_load(&waited) == 0) {
        read_begin();
        for (int i = 0; i < 100 && atomic_load(&waited) == 0; i++)
            sched_yield();
        if (atomic_load(&waited) != 0)
            cr_assert_eq(freed_count(), 1);
        lode_read_end();
    }
    sem_wait(&two.done);
    cr_assert_eq(freed_count(), 1);
}

static sem_t has_given_up, may_end;

static void *give_one_up_and_end(void *arg)
{
    (void)arg;
    give_up(0);
    sem_post(&has_given_up);
    sem_wait(&may_end);
    return NULL;
}

Test(grace, a_wait_is_for_blocks_that_change_hands_meanwhile)
{
    pthread_t thread;
    sem_init(&has_given_up, 0, 0);
    sem_init(&may_end, 0, 0);
    does(&one, read_begin);
    cr_assert_eq(pthread_create(&thread, NULL, give_one_up_and_end, NULL), 0);
    sem_wait(&has_given_up);
    begins(&two, wait_for_sections);
    yield_some();
    read_begin(); /* not waited for, but open till the end */
    sem_post(&may_end);
    pthread_join(thread, NULL); /* the block is in the common queue now */
    cr_assert_eq(freed_count(), 0);
    does(&one, lode_read_end);
    sem_wait(&two.done);
    cr_assert_eq(freed_count(), 1);
    lode_read_end();
}

static sem_t in_free, go_on;
static void *_Atomic hold_up;

static void hold_up_free(void *block)
{
    void *expected = block;
    if (block != NULL && atomic_compare_exchange_strong(&hold_up, &expected, NULL)) {
        sem_post(&in_free);
        sem_wait(&go_on);
    }
    note_free(block);
}

static void prepare_hold_up(void)
{
    sem_init(&in_free, 0, 0);
    sem_init(&go_on, 0, 0);
    atomic_store(&wrapped_on_free, hold_up_free);
}

Test(grace, a_wait_is_for_frees_under_way_too)
{
    /* The waiter will destroy the heap of this block. */
    prepare_hold_up();
    does(&one, read_begin);
    give_up(0);
    does(&one, lode_read_end);
    atomic_store(&hold_up, blocks[0]);
    begins(&one, lodei_grace_settle);
    sem_wait(&in_free);
    begins(&two, wait_for_sections);
    yield_some();
    cr_assert_eq(atomic_load(&waited), 0);
    sem_post(&go_on);
    sem_wait(&one.done);
    sem_wait(&two.done);
    cr_assert_eq(freed_count(), 1);
}

Test(grace, a_wait_is_for_frees_of_the_common_queue_too)
{
    prepare_hold_up();
    does(&one, read_begin);
    for (int i = 0; i < 200; i++) /* more than this thread keeps */
        give_up(i);
    atomic_store(&hold_up, blocks[0]);
    begins(&one, lode_read_end);
    sem_wait(&in_free);
    begins(&two, wait_for_sections);
    yield_some();
    cr_assert_eq(atomic_load(&waited), 0);
    sem_post(&go_on);
    sem_wait(&one.done);
    sem_wait(&two.done);
    cr_assert_eq(freed_count(), 200);
}

Test(grace, an_end_does_not_wait_for_anothers_frees)
{
    prepare_hold_up();
    does(&one, read_begin);
    does(&two, read_begin);
    for (int i = 0; i < 200; i++)
        give_up(i);
    does(&one, lode_read_end); /* two's is still in the way */
    atomic_store(&hold_up, blocks[0]);
    begins(&two, lode_read_end);
    sem_wait(&in_free);
    does(&one, read_begin);
    does(&one, lode_read_end);
    sem_post(&go_on);
    sem_wait(&two.done);
    cr_assert_eq(freed_when_settled(), 200);
}

static void end_the_section_of_one(void)
{
    atomic_store(&wrapped_on_alloc, NULL);
    does(&one, lode_read_end);
}

/* Give the first block up so that the one section ends after it was seen: this thread has no record
 * yet, and makes it then. */
static void give_up_too_late(void)
{
    blocks[0] = lode_heap_alloc(lode_heap_default(), 64);
    does(&one, read_begin);
    atomic_store(&wrapped_on_alloc, end_the_section_of_one);
    lodei_grace_free(blocks[0]);
    cr_assert_null(atomic_load(&wrapped_on_alloc));
    cr_assert_eq(freed_count(), 0);
}

Test(grace, a_block_filed_while_the_last_section_ends_does_not_stay)
{
    give_up_too_late();
    give_up(1);
    cr_assert_eq(freed_count(), 2);
}

Test(grace, the_figures_count_nothing_that_could_be_freed)
{
    give_up_too_late();
    cr_assert_eq(stats().waiting_blocks, 0);
    cr_assert_eq(freed_count(), 1);
}

Test(grace, a_wait_inside_a_section_is_misuse, .signal = SIGABRT)
{
    read_begin();
    lodei_grace_wait();
}

/* ---- no memory ---- */

static _Atomic int begin_status;

static void try_to_begin(void)
{
    errno = 77;
    atomic_store(&begin_status, lode_read_begin());
    cr_assert_eq(errno, 77);
}

Test(grace, a_first_section_without_memory_is_none)
{
    atomic_store(&wrapped_allocations, 0);
    does(&one, try_to_begin);
    cr_assert_eq(atomic_load(&begin_status), -ENOMEM);
    cr_assert_eq(stats().readers, 0);
    does(&one, lode_read_end);
    atomic_store(&wrapped_allocations, -1);
    does(&one, try_to_begin);
    cr_assert_eq(atomic_load(&begin_status), 0);
    cr_assert_eq(stats().readers, 1);
    does(&one, lode_read_end);
}

static _Atomic int given_up;

static void give_up_first(void)
{
    errno = 77;
    lodei_grace_free(blocks[0]);
    cr_assert_eq(errno, 77);
    atomic_store(&given_up, 1);
}

Test(grace, without_memory_to_file_a_block_its_free_waits)
{
    blocks[0] = lode_heap_alloc(lode_heap_default(), 64);
    does(&one, read_begin);
    atomic_store(&wrapped_allocations, 0);
    begins(&two, give_up_first);
    yield_some();
    cr_assert_eq(atomic_load(&given_up), 0);
    cr_assert_eq(freed_count(), 0);
    does(&one, lode_read_end);
    sem_wait(&two.done);
    cr_assert_eq(freed_count(), 1);
}

Test(grace, without_memory_inside_a_section_the_block_is_lost)
{
    int kept = 0;
    read_begin();
    for (int i = 0; i < 100; i++)
        blocks[i] = lode_heap_alloc(lode_heap_default(), 64);
    atomic_store(&wrapped_allocations, 0);
    while (kept < 100 && stats().waiting_blocks == (size_t)kept)
        lodei_grace_free(blocks[kept++]); /* into the thread's record, without memory */
    cr_assert_geq(kept, 16);
    cr_assert_lt(kept, 100);
    lode_read_end();
    cr_assert_eq(freed_when_settled(), kept - 1);
    cr_assert_eq(stats().waiting_blocks, 0);
    atomic_store(&wrapped_on_free, NULL);
    for (int i = 0; i < 100; i++)
        lode_free(blocks[i]); /* those that were not freed are still there */
}
