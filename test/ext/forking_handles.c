/* SPDX-License-Identifier: MIT */
/*
 * Forking while threads make, edit, pin and free bricks of one grid, and read in sections. The
 * child has the forking thread's section and pins, and every other thread's half-done work: it must
 * find each invariant kept, read and free every brick there is, make new ones at every place, also
 * from threads of its own, and hang nowhere.
 *
 * One of the threads comes and goes, and the first forks meet threads that are just starting. Not
 * under ASan: its runtime takes the locks of its own malloc where a thread starts or ends, and does
 * not hold them around fork(), so that a child's threads may wait for ever (GCC 12; 13 of 200 first
 * children of a program that does nothing but start threads and fork). There the threads are under
 * way before the first fork, and stay.
 *
 *     forking-handles [CHILDREN [SEED]]
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ext/grace.h"
#include "ext/grid.h"
#include "ext/slotgrip.h"

#define THREADS  3
#define SIDE     6 /* bricks */
#define WORDS    16
#define TICKS    60 /* seconds a child may take */
#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct lodei_grid grid;
static struct lode_heap *heap;
static _Atomic int stop;
static _Atomic int under_way; /* threads past their start */
static _Atomic uint64_t next_version = 1;

static void failed(const char *what, int line)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "forking_handles.c:%d: %s does not hold\n", line, what);
    if (write(STDERR_FILENO, text, (size_t)n) >= 0)
        abort();
}

struct worker {
    uint64_t random;
    pthread_t thread;
};

static uint32_t below(struct worker *w, uint32_t limit)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((w->random >> 33) % limit);
}

static uint64_t *block_new(void)
{
    uint64_t version = atomic_fetch_add(&next_version, 1);
    uint64_t *block = lode_heap_aligned_alloc(heap, 64, WORDS * sizeof(*block));
    CHECK(block != NULL);
    for (uint64_t i = 0; i < WORDS; i++)
        block[i] = version * WORDS + i;
    return block;
}

static uint64_t block_version(const uint64_t *block)
{
    for (uint64_t i = 0; i < WORDS; i++)
        CHECK(block[i] == block[0] + i);
    return block[0] / WORDS;
}

static void remove_brick(lode_handle brick)
{
    void *old = NULL;
    if (lodei_slot_release(lodei_handle_page(brick), brick, &old) == 0 && old != NULL)
        lodei_grace_free(old);
}

/* 0, -EEXIST. */
static int insert_brick(int32_t x, int32_t y, int32_t z, lode_handle *ret_brick)
{
    uint64_t key = lodei_grid_key(x, y, z), *block = block_new();
    uint32_t first;
    int status;
    do {
        CHECK(lodei_grid_get(&grid, key, &first) == 0);
        status = lodei_slot_publish(first + lodei_grid_lane(x, y, z), key, block, 1, ret_brick);
    } while (status == -EAGAIN || status == -ENOSPC); /* the group is being given up */
    CHECK(status == 0 || status == -EEXIST);
    if (status != 0)
        lode_free(block);
    return status;
}

static void edit_brick(lode_handle brick)
{
    uint64_t *block = block_new();
    struct lodei_grip grip;
    void *old = NULL;
    int status = lodei_slot_grip(&grip, brick);
    if (status == 0) {
        (void)block_version(lodei_word_block(grip.word));
        status = lodei_slot_swap_gripped(&grip, block, 1, &old);
    }
    if (status != 0)
        lode_free(block);
    if (old != NULL)
        lodei_grace_free(old);
}

static void pin_brick(lode_handle brick)
{
    const uint64_t *block = lode_pin(brick);
    if (block == NULL)
        return;
    uint64_t version = block_version(block);
    edit_brick(brick);
    CHECK(block_version(block) == version);
    CHECK(lode_unpin(brick) == 0);
}

/* Groups further away: the table grows and shrinks. */
static void churn(struct worker *w)
{
    int32_t from = 1000 + (int32_t)below(w, 1000), count = 1 + (int32_t)below(w, 300);
    for (int32_t i = 0; i < count; i++) {
        uint32_t first;
        CHECK(lodei_grid_get(&grid, lodei_grid_key(from + 2 * i, 0, 0), &first) == 0);
    }
    for (int32_t i = 0; i < count; i++)
        (void)lodei_grid_reclaim(&grid, lodei_grid_key(from + 2 * i, 0, 0));
}

static void *read_a_little(void *arg)
{
    (void)arg;
    CHECK(lode_read_begin() == 0);
    for (int32_t i = 0; i < SIDE * SIDE * SIDE; i++) {
        lode_handle brick = lodei_grid_brick(&grid, i % SIDE, i / SIDE % SIDE, i / SIDE / SIDE);
        const uint64_t *block = lode_peek(brick);
        if (block != NULL)
            (void)block_version(block);
    }
    return NULL; /* inside */
}

static void one_turn(struct worker *w)
{
    int32_t x = (int32_t)below(w, SIDE), y = (int32_t)below(w, SIDE), z = (int32_t)below(w, SIDE);
    lode_handle brick = lodei_grid_brick(&grid, x, y, z);
    switch (below(w, 8)) {
    case 0:
    case 1:
        (void)insert_brick(x, y, z, &brick);
        break;
    case 2:
        if (brick != 0)
            remove_brick(brick);
        break;
    case 3:
        edit_brick(brick);
        break;
    case 4:
        pin_brick(brick);
        break;
    case 5:
        (void)lodei_grid_reclaim(&grid, lodei_grid_key(x, y, z));
        break;
    case 6:
        (void)read_a_little(NULL);
        lode_read_end();
        break;
    default:
        if (below(w, 20) == 0)
            churn(w);
        else if (below(w, 10) == 0)
            lodei_grace_settle();
        break;
    }
}

static void *hammer(void *arg)
{
    atomic_fetch_add(&under_way, 1);
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        one_turn(arg);
    return NULL;
}

static void *hammer_a_little(void *arg)
{
    for (uint32_t turns = below(arg, 200); turns > 0; turns--)
        one_turn(arg);
    return NULL;
}

static void *come_and_go(void *arg)
{
    pthread_t thread;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        CHECK(pthread_create(&thread, NULL, hammer_a_little, arg) == 0);
        pthread_join(thread, NULL);
    }
    return NULL;
}

static void start(struct worker *w, void *(*work)(void *))
{
    CHECK(pthread_create(&w->thread, NULL, work, w) == 0);
}

/* What vanished threads had a grip on is let go; pins of theirs stay. */
static void check_that_nothing_is_gripped(void)
{
    for (int32_t i = 0; i < SIDE * SIDE * SIDE; i++) {
        lode_handle brick = lodei_grid_brick(&grid, i % SIDE, i / SIDE % SIDE, i / SIDE / SIDE);
        CHECK(brick == 0 || (lodei_handle_word(brick) & LODEI_SLOT_GRIP) == 0);
    }
}

/* One pass over every place: what is there is right, can be freed, and replaced. */
static void use_everything(void)
{
    for (int32_t i = 0; i < SIDE * SIDE * SIDE; i++) {
        int32_t x = i % SIDE, y = i / SIDE % SIDE, z = i / SIDE / SIDE;
        lode_handle brick = lodei_grid_brick(&grid, x, y, z), made;
        if (brick != 0) {
            (void)block_version(lode_peek(brick));
            edit_brick(brick);
            remove_brick(brick);
            CHECK(!lode_handle_is_live(brick));
        }
        CHECK(insert_brick(x, y, z, &made) == 0);
        CHECK(made != brick && lodei_grid_brick(&grid, x, y, z) == made);
    }
}

/* The end of a section sees to what waited for it, whatever vanished threads were about. */
static void check_that_ends_free(void)
{
    size_t readers, waiting;
    lodei_grace_settle(); /* what waits in vanished threads' records is nobody's to see to */
    CHECK(lode_read_begin() == 0);
    for (int i = 0; i < 300; i++)
        lodei_grace_free(block_new());
    lode_read_end();
    lodei_grace_figures(&readers, &waiting);
    CHECK(readers == 0 && waiting == 0);
}

static void tick(int signal)
{
    static int ticks;
    (void)signal;
    CHECK(++ticks < TICKS);
}

/* End a child that hangs. In ticks, since a machine that stood still for a minute, as virtual ones
 * do, has lost one of them only. */
static void watch_this_child(void)
{
    const struct itimerval every_second = {.it_interval = {1, 0}, .it_value = {1, 0}};
    struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &every_second, NULL) == 0);
}

static void be_a_child(int inside, lode_handle pinned, const uint64_t *bytes, uint64_t version)
{
    struct lode_read_stats stats;
    pthread_t threads[THREADS];
    struct lodei_grid other;
    watch_this_child();
    (void)lodei_grid_verify(&grid);
    CHECK(block_version(bytes) == version);
    lode_read_stats(&stats);
    CHECK(stats.readers == (inside != 0));
    check_that_nothing_is_gripped();
    use_everything();
    (void)lodei_grid_verify(&grid);
    for (int t = 0; t < THREADS; t++)
        CHECK(pthread_create(&threads[t], NULL, read_a_little, NULL) == 0);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    use_everything();
    CHECK(block_version(bytes) == version);
    if (inside)
        lode_read_end();
    CHECK(lode_unpin(pinned) == 0);
    check_that_ends_free();
    lode_read_stats(&stats);
    CHECK(stats.readers == 0 && stats.waiting_blocks == 0);
    struct worker w = {.random = version};
    churn(&w);
    (void)lodei_grid_verify(&grid);
    CHECK(lodei_grid_init(&other, &other, lode_heap_default()) == 0);
    lodei_grid_finish(&other);
    lodei_grid_finish(&grid);
    lodei_grace_wait();
    lode_heap_destroy(heap);
    _exit(0);
}

static size_t waiting_blocks(void)
{
    size_t readers, waiting;
    lodei_grace_figures(&readers, &waiting);
    return waiting;
}

/* Outside of where the threads are: nobody frees it meanwhile, but they may reclaim around it. */
static void fork_one(int inside)
{
    lode_handle brick = lodei_grid_brick(&grid, -5, -5, -5);
    int status;
    if (inside)
        CHECK(lode_read_begin() == 0);
    const uint64_t *bytes = lode_pin(brick);
    uint64_t version = block_version(bytes);
    edit_brick(brick);
    /* now and then with more waiting for this section than threads keep: they try the queue */
    for (int turn = 0; inside > 1 && turn < 2000 && waiting_blocks() < 300; turn++)
        sched_yield();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        be_a_child(inside, brick, bytes, version);
    CHECK(waitpid(pid, &status, 0) == pid);
    if (status != 0)
        printf("a child ended with status %#x\n", (unsigned)status);
    CHECK(status == 0);
    CHECK(block_version(bytes) == version);
    CHECK(lode_unpin(brick) == 0);
    if (inside)
        lode_read_end();
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS];
    int children = argc > 1 ? atoi(argv[1]) : 100;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    lode_handle mine;
    CHECK(lode_heap_create(NULL, &heap) == 0);
    CHECK(lodei_grid_init(&grid, &grid, lode_heap_default()) == 0);
    CHECK(insert_brick(-5, -5, -5, &mine) == 0);
    for (uint64_t t = 0; t < THREADS; t++) {
        workers[t].random = seed * 1000 + t;
        start(&workers[t], t == 0 && !LODE_ASAN ? come_and_go : hammer);
    }
    while (LODE_ASAN && atomic_load(&under_way) < THREADS)
        sched_yield();
    for (int i = 0; i < children; i++)
        fork_one(i % 3);
    atomic_store(&stop, 1);
    for (int t = 0; t < THREADS; t++)
        pthread_join(workers[t].thread, NULL);
    use_everything();
    (void)lodei_grid_verify(&grid);
    lodei_grid_finish(&grid);
    lodei_grace_wait();
    lode_heap_destroy(heap);
    printf("%d children ended well\n", children);
    return 0;
}
