/* SPDX-License-Identifier: MIT */
/*
 * The octree under threads. One sets nodes of all types and levels, each with the number of its
 * edit in all that it writes, and keeps a log; one splits, merges and reorders, which changes
 * nothing that can be read; others read. Checked at once: a content is of one edit, which had begun
 * and covers the place. Checked afterwards, by going through the log again: what each point query
 * found was there at some time while it ran. Further parts create and destroy trees while others
 * are in reading sections, and fork() while others edit: the child finds the tree whole and goes
 * on. Run under TSan as well, without the fork.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lode/svo.h"

/* TSan is not made for children of several threads. */
#ifdef __SANITIZE_THREAD__
#define FORKS 0
#else
#define FORKS 40
#endif

#define LEVELS  4
#define SIDE    (1 << LEVELS)
#define PLACES  (SIDE * SIDE * SIDE)
#define EDITS   200000
#define QUERIES 400000
#define READERS 2
#define SECONDS 4

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

struct edit {
    uint32_t type, level;
    struct lode_ivec3 at; /* lowest brick */
};

struct query {
    uint32_t place, type, stamp;
    uint32_t finished, begun; /* edits, before and after it ran */
};

static struct lode_svo *svo;
static struct edit edits[EDITS + 1]; /* [0]: Empty all over */
static _Atomic uint32_t begun, finished;
static _Atomic int over;
static struct query queries[READERS][QUERIES];
static size_t query_count[READERS];

static void failed(const char *what, int line)
{
    fprintf(stderr, "stress_svo.c:%d: %s does not hold\n", line, what);
    abort();
}

static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Mostly in one corner, where the threads meet. */
static struct lode_ivec3 random_place(uint64_t *state)
{
    uint32_t r = next(state);
    if (r >> 28 > 1) {
        int32_t wide = r >> 30 == 0;
        return (struct lode_ivec3){r & (1 + 2 * wide), r >> 2 & (1 + 2 * wide), r >> 4 & 1};
    }
    return (struct lode_ivec3){(int32_t)(r % SIDE), (int32_t)(r / SIDE % SIDE),
                               (int32_t)(r / SIDE / SIDE % SIDE)};
}

/* ---- writers ---- */

static struct lode_svo_content stamped(uint32_t type, uint32_t stamp)
{
    struct lode_svo_content c = {.type = type, .value = stamp};
    if (type == LODE_SVO_INTERFACE) {
        c.user = (uint64_t)stamp << 20;
        for (int i = 0; i < LODE_SVO_BRICKS; i++)
            c.bricks[i] = c.user + (uint64_t)i;
    }
    return c;
}

static void *edit(void *ctx)
{
    uint64_t state = 11;
    double end = now() + SECONDS;
    for (uint32_t n = 1; n <= EDITS && now() < end && !atomic_load(&over); n++) {
        uint32_t r = next(&state);
        struct edit e = {.type = r % 3, .level = r / 3 % 16 == 0 ? 1 + r / 64 % 3 : 0};
        struct lode_svo_content c = stamped(e.type, n), old;
        e.at = random_place(&state);
        if (e.type == LODE_SVO_INTERFACE)
            e.level = 0;
        e.at.x &= -(1 << e.level);
        e.at.y &= -(1 << e.level);
        e.at.z &= -(1 << e.level);
        edits[n] = e;
        /* release: pairs with the acquire of those who look into the log */
        atomic_store_explicit(&begun, n, memory_order_release);
        CHECK(lode_svo_set(svo, e.level, e.at, &c, &old) == 0);
        atomic_store_explicit(&finished, n, memory_order_release);
        if (n % 8 == 0)
            sched_yield(); /* where there are fewer processors than threads */
    }
    atomic_store(&over, 1);
    return ctx;
}

static void *rearrange(void *ctx)
{
    uint64_t state = 23;
    while (!atomic_load(&over)) {
        uint32_t r = next(&state);
        struct lode_ivec3 at = random_place(&state);
        struct lode_brick_box box = {at, {at.x + 3, at.y + 3, at.z + 3}};
        int status = 0;
        if (r % 8 == 0)
            status = lode_svo_coalesce(svo, r % 64 == 0 ? NULL : &box, NULL);
        else if (r % 8 < 4)
            status = lode_svo_split(svo, 1 + r / 8 % 2, at);
        else
            status = lode_svo_reorder(svo, 50);
        CHECK(status == 0 || status == 1);
    }
    return ctx;
}

/* ---- readers ---- */

static uint32_t begun_now(void)
{
    return atomic_load_explicit(&begun, memory_order_acquire); /* pairs with edit() */
}

static int covers(const struct edit *e, const struct lode_svo_cell *cell)
{
    int32_t side = 1 << e->level;
    return cell->level <= e->level && cell->at.x >= e->at.x && cell->at.x < e->at.x + side &&
           cell->at.y >= e->at.y && cell->at.y < e->at.y + side && cell->at.z >= e->at.z &&
           cell->at.z < e->at.z + side;
}

/* One edit's, begun, of this place. */
static void check_cell(const struct lode_svo_cell *cell)
{
    const struct lode_svo_content *c = &cell->content;
    if (c->type == LODE_SVO_EMPTY || (c->type == LODE_SVO_INTERFACE && cell->level > 0))
        return;
    struct lode_svo_content whole = stamped(c->type, c->value);
    CHECK(memcmp(c, &whole, sizeof(whole)) == 0);
    CHECK(c->value >= 1 && c->value <= begun_now());
    CHECK(edits[c->value].type == c->type && covers(&edits[c->value], cell));
}

static void ask(struct query *q, uint64_t *state)
{
    struct lode_svo_cell cell;
    struct lode_ivec3 at = random_place(state);
    q->finished = atomic_load_explicit(&finished, memory_order_acquire);
    CHECK(lode_svo_get(svo, 0, at, &cell) == 0);
    q->begun = begun_now();
    check_cell(&cell);
    q->place = (uint32_t)(at.x + SIDE * (at.y + SIDE * at.z));
    q->type = cell.content.type;
    q->stamp = cell.content.type == LODE_SVO_EMPTY ? 0 : cell.content.value;
}

static void *read_points(void *ctx)
{
    size_t which = (size_t)ctx, count = 0;
    uint64_t state = 100 + which;
    while (!atomic_load(&over)) {
        int burst = next(&state) % 4 == 0 ? 20 : 1;
        if (burst > 1)
            CHECK(lode_read_begin() == 0);
        for (; burst > 0; burst--) {
            struct query spare;
            ask(count < QUERIES ? &queries[which][count++] : &spare, &state);
            if (count % 50 == 49)
                sched_yield();
        }
        if (next(&state) % 4 == 0)
            lode_read_end(); /* outside of a section: nothing */
        lode_read_end();
    }
    query_count[which] = count;
    return NULL;
}

static int on_cell(void *ctx, const struct lode_svo_cell *cell)
{
    check_cell(cell);
    ++*(int *)ctx;
    return atomic_load(&over);
}

static void cast(uint64_t *state)
{
    struct lode_svo_ray ray;
    struct lode_svo_hit hit;
    double origin[3], direction[3], last = 0;
    for (int axis = 0; axis < 3; axis++) {
        origin[axis] = next(state) % (SIDE * 8) + 0.25;
        direction[axis] = (next(state) % 2000) / 1000.0 - 1.0005;
    }
    CHECK(lode_svo_ray_begin(&ray, svo, origin, direction, INFINITY) == 0);
    while (lode_svo_ray_next(&ray, &hit) == 1) {
        CHECK(hit.cell.content.type != LODE_SVO_EMPTY && hit.t_in >= last);
        CHECK(hit.cell.content.type == LODE_SVO_HOMOGENEOUS || hit.cell.level == 0);
        check_cell(&hit.cell);
        last = hit.t_in;
    }
}

/* A pinned version stays as it is, however the tree goes on. */
static void hold(uint64_t *state)
{
    struct lode_svo_cell cell;
    struct lode_svo_line copy[8];
    CHECK(lode_svo_get(svo, next(state) % LEVELS, random_place(state), &cell) == 0);
    const struct lode_svo_line *lines = lode_pin(cell.node.group);
    if (lines == NULL)
        return;
    size_t bytes = (size_t)__builtin_popcount(lines->siblings) * sizeof(*lines);
    memcpy(copy, lines, bytes);
    for (uint32_t n = begun_now(); begun_now() < n + 20 && !atomic_load(&over);)
        sched_yield();
    CHECK(memcmp(copy, lines, bytes) == 0);
    CHECK(lode_unpin(cell.node.group) == 0);
}

static void *read_more(void *ctx)
{
    uint64_t state = 41;
    while (!atomic_load(&over)) {
        int cells = 0;
        struct lode_svo_cell cell;
        struct lode_svo_order order;
        struct lode_svo_stats stats = {.size = sizeof(stats)};
        CHECK(lode_svo_walk(svo, NULL, LODE_SVO_WALK_ALL, on_cell, &cells) == 0 || cells > 0);
        for (int i = 0; i < 20; i++)
            cast(&state);
        hold(&state);
        CHECK(lode_svo_get(svo, 0, random_place(&state), &cell) == 0);
        if (cell.node.group != 0) {
            int status = lode_svo_node_get(svo, cell.node, &cell);
            CHECK(status == 0 || status == -ESTALE);
            check_cell(&cell);
        }
        CHECK(lode_svo_order(svo, &order) == 0);
        CHECK(lode_svo_stats(svo, &stats) == 0);
    }
    return ctx;
}

/* ---- afterwards ---- */

struct state {
    uint32_t type, stamp;
};

static int by_begin(const void *a, const void *b)
{
    const struct query *x = a, *y = b;
    return (x->finished > y->finished) - (x->finished < y->finished);
}

static void replay_one(struct state *world, uint32_t n)
{
    const struct edit *e = &edits[n];
    int side = 1 << e->level;
    for (int z = e->at.z; z < e->at.z + side; z++)
        for (int y = e->at.y; y < e->at.y + side; y++)
            for (int x = e->at.x; x < e->at.x + side; x++)
                world[x + SIDE * (y + SIDE * z)] =
                    (struct state){e->type, e->type == LODE_SVO_EMPTY ? 0 : n};
}

static int touches(uint32_t n, uint32_t place)
{
    struct lode_svo_cell cell = {.at = {(int32_t)(place % SIDE), (int32_t)(place / SIDE % SIDE),
                                        (int32_t)(place / SIDE / SIDE)}};
    return covers(&edits[n], &cell);
}

static void check_queries(struct query *asked, size_t count)
{
    static struct state world[PLACES];
    uint32_t at = 0;
    memset(world, 0, sizeof(world));
    qsort(asked, count, sizeof(*asked), by_begin);
    for (size_t i = 0; i < count; i++) {
        const struct query *q = &asked[i];
        while (at < q->finished)
            replay_one(world, ++at);
        int found = world[q->place].type == q->type && world[q->place].stamp == q->stamp;
        for (uint32_t n = q->finished + 1; n <= q->begun && !found; n++)
            found = touches(n, q->place) && edits[n].type == q->type &&
                    (q->type == LODE_SVO_EMPTY || q->stamp == n);
        CHECK(found);
    }
}

/* In the end the tree is what the log says. */
static void check_end(void)
{
    static struct state world[PLACES];
    for (uint32_t n = 1; n <= atomic_load(&finished); n++)
        replay_one(world, n);
    for (uint32_t place = 0; place < PLACES; place++) {
        struct lode_svo_cell cell;
        struct lode_ivec3 at = {(int32_t)(place % SIDE), (int32_t)(place / SIDE % SIDE),
                                (int32_t)(place / SIDE / SIDE)};
        CHECK(lode_svo_get(svo, 0, at, &cell) == 0);
        CHECK(cell.content.type == world[place].type);
        CHECK(cell.content.type == LODE_SVO_EMPTY || cell.content.value == world[place].stamp);
    }
}

static void create(void)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    opts.levels = LEVELS;
    opts.flags = LODE_SVO_COALESCE;
    opts.centre = (struct lode_ivec3){SIDE / 2, SIDE / 2, SIDE / 2};
    CHECK(lode_svo_create(&opts, &svo) == 0);
}

static void run_world(void)
{
    pthread_t threads[READERS + 3];
    create();
    for (size_t i = 0; i < READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, read_points, (void *)i) == 0);
    CHECK(pthread_create(&threads[READERS], NULL, read_more, NULL) == 0);
    CHECK(pthread_create(&threads[READERS + 1], NULL, rearrange, NULL) == 0);
    CHECK(pthread_create(&threads[READERS + 2], NULL, edit, NULL) == 0);
    for (size_t i = 0; i < READERS + 3; i++)
        pthread_join(threads[i], NULL);
    size_t asked = 0;
    for (size_t i = 0; i < READERS; i++) {
        check_queries(queries[i], query_count[i]);
        asked += query_count[i];
    }
    check_end();
    lode_svo_destroy(svo);
    printf("%u edits, %zu queries checked\n", atomic_load(&finished), asked);
}

/* ---- trees that come and go ---- */

static void *in_and_out(void *ctx)
{
    while (!atomic_load(&over)) {
        CHECK(lode_read_begin() == 0);
        lode_read_end();
    }
    return ctx;
}

static void run_short_lives(void)
{
    pthread_t threads[2];
    uint64_t state = 3;
    atomic_store(&over, 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, in_and_out, NULL) == 0);
    double end = now() + 1;
    int lives = 0;
    for (; now() < end; lives++) {
        create();
        for (uint32_t n = 1; n < 100; n++) {
            struct lode_svo_content c = stamped(n % 3, n);
            CHECK(lode_svo_set(svo, 0, random_place(&state), &c, NULL) == 0);
        }
        lode_svo_destroy(svo);
    }
    atomic_store(&over, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    struct lode_read_stats waiting;
    lode_read_stats(&waiting);
    CHECK(waiting.readers == 0 && waiting.waiting_blocks == 0 && waiting.parked_blocks == 0);
    printf("%d trees\n", lives);
}

/* ---- leaves that go while they are pinned ---- */

static void *pin_leaves(void *ctx)
{
    uint64_t state = 51;
    while (!atomic_load(&over)) {
        struct lode_svo_cell cell;
        struct lode_ivec3 at = {(int32_t)(next(&state) % 2), 0, 0};
        CHECK(lode_svo_get(svo, 0, at, &cell) == 0);
        if (cell.node.group == 0 || lode_pin(cell.node.group) == NULL)
            continue;
        for (uint32_t turns = next(&state) % 64; turns != 0; turns--)
            (void)atomic_load(&over);
        CHECK(lode_unpin(cell.node.group) == 0);
    }
    return ctx;
}

/* What is dropped is what was set, wherever it was set. */
static void on_pinned_dropped(void *ctx, const struct lode_svo_cell *leaf)
{
    uint64_t *left = ctx;
    CHECK(leaf->at.x >= 0 && leaf->at.x <= 1 && leaf->at.y == 0 && leaf->at.z == 0);
    CHECK(leaf->content.user == left[leaf->at.x] && leaf->content.bricks[0] == left[leaf->at.x]);
    left[leaf->at.x] = 0;
}

static void run_pins(void)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    pthread_t threads[2];
    uint64_t left[2] = {0, 0}, edits_done = 0;
    opts.levels = 2;
    opts.dropped = on_pinned_dropped;
    opts.ctx = left;
    CHECK(lode_svo_create(&opts, &svo) == 0);
    atomic_store(&over, 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, pin_leaves, NULL) == 0);
    for (double end = now() + 1; now() < end; edits_done++) {
        struct lode_ivec3 at = {(int32_t)(edits_done & 1), 0, 0};
        struct lode_svo_content c = {.type = LODE_SVO_INTERFACE, .user = edits_done + 1};
        c.bricks[0] = c.user;
        if (left[at.x] == 0)
            left[at.x] = c.user;
        else
            c = (struct lode_svo_content){.type = LODE_SVO_EMPTY};
        CHECK(lode_svo_set(svo, 0, at, &c, NULL) == 0);
        CHECK((left[at.x] != 0) == (c.type == LODE_SVO_INTERFACE));
    }
    atomic_store(&over, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    lode_svo_destroy(svo);
    printf("%lu edits of what is pinned\n", (unsigned long)edits_done);
}

/* ---- fork ---- */

/* Every place reads as something whole, and every kind of edit works. */
static void in_child(void)
{
    int cells = 0, more;
    atomic_store(&over, 0);
    CHECK(lode_svo_walk(svo, NULL, LODE_SVO_WALK_ALL, on_cell, &cells) == 0);
    while ((more = lode_svo_reorder(svo, 1000)) == 1)
        ;
    CHECK(more == 0);
    for (uint32_t place = 0; place < PLACES; place++) {
        struct lode_ivec3 at = {(int32_t)(place % SIDE), (int32_t)(place / SIDE % SIDE),
                                (int32_t)(place / SIDE / SIDE)};
        struct lode_svo_content c = stamped(place % 3, place + 1);
        struct lode_svo_cell cell;
        CHECK(lode_svo_set(svo, 0, at, &c, NULL) == 0);
        CHECK(lode_svo_get(svo, 0, at, &cell) == 0);
        CHECK(cell.content.type == c.type);
    }
    lode_svo_destroy(svo);
}

static void run_forks(void)
{
    pthread_t threads[2];
    atomic_store(&over, 0);
    atomic_store(&begun, 0);
    atomic_store(&finished, 0);
    create();
    CHECK(pthread_create(&threads[0], NULL, edit, NULL) == 0);
    CHECK(pthread_create(&threads[1], NULL, rearrange, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        int status;
        usleep(1000);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(30);
            in_child();
            _exit(0);
        }
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&over, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    lode_svo_destroy(svo);
    printf("%d forks\n", FORKS);
}

int main(void)
{
    run_world();
    run_short_lives();
    run_pins();
    if (FORKS != 0)
        run_forks();
    return 0;
}
