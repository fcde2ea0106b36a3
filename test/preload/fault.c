/* SPDX-License-Identifier: MIT */
/*
 * One misuse of the heap per run, for test_faults.py.
 *
 *   fault VERB FAULT [A [B]]      VERB: free, realloc or usable, what is done to the bad pointer
 *
 * The bad address is printed on stdout before the deed. A heap that reports the misuse ends the
 * process; one told to ignore it lets the program go on: it then checks that realloc gave NULL and
 * malloc_usable_size 0, that the heap still serves unharmed blocks, and prints "survived".
 *
 * Nothing between the first good free and the deed may allocate, or the block would be in use
 * again: threads are started beforehand and wait on semaphores, and the address is printed with
 * write(2).
 */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OTHERS_MAX = 20000, TRIES = 60000 };

static const char *verb;
static size_t arg_a, arg_b;
static void *others[OTHERS_MAX], *taken[TRIES];

/* Hide a pointer from the compiler, which would warn of what is done here on purpose. */
static void *opaque(void *p)
{
    void *volatile v = p;
    return v;
}

static void say(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        _exit(9);
}

static void die(const char *why)
{
    say(why);
    say("\n");
    _exit(3);
}

static void announce(const void *p)
{
    char text[64];

    snprintf(text, sizeof text, "ptr 0x%lx\n", (unsigned long)(uintptr_t)p);
    say(text);
}

static void *take(size_t bytes)
{
    void *p = malloc(bytes);

    if (!p)
        die("malloc gave NULL");
    memset(p, 0x11, bytes);
    return p;
}

/* The deed. Returns only if the heap ignored it. */
static void misuse(void *p)
{
    p = opaque(p);
    announce(p);
    if (strcmp(verb, "realloc") == 0) {
        if (realloc(p, 77))
            die("a bad realloc gave a block");
    } else if (strcmp(verb, "usable") == 0) {
        if (malloc_usable_size(p) != 0)
            die("a bad malloc_usable_size gave a size");
    } else {
        free(p);
    }
}

static void stale(void)
{
    void *p = take(arg_a);

    free(p);
    misuse(opaque(p));
}

static void stale_calloc(void)
{
    void *p = calloc(1, arg_a);

    free(p);
    misuse(opaque(p));
}

static void stale_aligned(void)
{
    void *p = aligned_alloc(arg_b, arg_a);

    free(p);
    misuse(opaque(p));
}

/* `arg_b` others freed in between, as many kept, taken in turn with them. */
static void stale_after_others(void)
{
    void *p = NULL;

    for (size_t i = 0; i < 2 * arg_b; i++) {
        if (i == arg_b)
            p = take(arg_a);
        others[i] = take(arg_a);
    }
    free(p);
    for (size_t i = 0; i < 2 * arg_b; i += 2)
        free(others[i]);
    misuse(opaque(p));
}

/* As above, but nothing of the class is left alive. */
static void stale_after_all(void)
{
    void *p = NULL;

    for (size_t i = 0; i < arg_b; i++) {
        if (i == arg_b / 2)
            p = take(arg_a);
        others[i] = take(arg_a);
    }
    free(p);
    for (size_t i = 0; i < arg_b; i++)
        free(others[i]);
    misuse(opaque(p));
}

static void wrong_order(void)
{
    void *a = take(arg_a), *b = take(arg_a), *c = take(arg_a);

    free(a);
    free(c);
    free(b);
    misuse(opaque(a));
}

static void after_realloc_to_zero(void)
{
    void *p = take(arg_a);

    if (realloc(p, 0))
        die("realloc to 0 gave a block");
    misuse(opaque(p));
}

/* A moved block's old address. Grown so far that no heap can do it in place. */
static void after_realloc_moved(void)
{
    void *p = take(arg_a), *wall = take(arg_a), *q;

    q = realloc(p, arg_a * 16 + (1 << 20));
    if (!q || q == opaque(p))
        die("realloc did not move the block");
    misuse(opaque(p));
    free(q);
    free(wall);
}

/* Two helper threads, each waiting for one order at a time. */
struct helper {
    pthread_t thread;
    sem_t go, done;
    void *block;
    enum { TAKE, FREE, MISUSE, LEAVE } order;
};

static void *helper_body(void *arg)
{
    struct helper *h = arg;

    for (;;) {
        sem_wait(&h->go);
        if (h->order == TAKE)
            h->block = take(arg_a);
        else if (h->order == FREE)
            free(h->block);
        else if (h->order == MISUSE)
            misuse(h->block);
        else
            return NULL;
        sem_post(&h->done);
    }
}

static void helper_start(struct helper *h)
{
    sem_init(&h->go, 0, 0);
    sem_init(&h->done, 0, 0);
    if (pthread_create(&h->thread, NULL, helper_body, h) != 0)
        die("pthread_create");
}

static void helper_order(struct helper *h, int order, void *block)
{
    h->order = order;
    if (order == FREE || order == MISUSE)
        h->block = block;
    sem_post(&h->go);
    if (order == LEAVE)
        pthread_join(h->thread, NULL);
    else
        sem_wait(&h->done);
}

static struct helper first, second;

static void by_other_thread(void)
{
    void *p;

    helper_start(&first);
    p = take(arg_a);
    free(p);
    helper_order(&first, MISUSE, opaque(p));
}

/* Freed twice by threads that do not own it, the owner awake. */
static void by_two_others(void)
{
    void *p;

    helper_start(&first);
    helper_start(&second);
    p = take(arg_a);
    helper_order(&first, FREE, p);
    helper_order(&second, MISUSE, opaque(p));
}

/* The owner sleeps; another thread frees twice. */
static void owner_asleep(void)
{
    helper_start(&first);
    helper_order(&first, TAKE, NULL);
    free(first.block);
    misuse(opaque(first.block));
}

static void owner_frees_after_other(void)
{
    void *p;

    helper_start(&first);
    p = take(arg_a);
    helper_order(&first, FREE, p);
    misuse(opaque(p));
}

/* The owner freed its block and ended. */
static void owner_gone(void)
{
    helper_start(&first);
    helper_order(&first, TAKE, NULL);
    helper_order(&first, FREE, first.block);
    helper_order(&first, LEAVE, NULL);
    misuse(opaque(first.block));
}

/* The owner ended with the block alive; another thread frees it twice. */
static void owner_gone_alive(void)
{
    helper_start(&first);
    helper_order(&first, TAKE, NULL);
    helper_order(&first, LEAVE, NULL);
    free(first.block);
    misuse(opaque(first.block));
}

/* Inside a live block of `arg_a` bytes, `arg_b` from its start. The block must survive. */
static void offset(void)
{
    unsigned char *p = take(arg_a);

    misuse(p + arg_b);
    for (size_t i = 0; i < arg_a; i++)
        if (p[i] != 0x11)
            die("the block around was harmed");
    free(p);
}

static void of_stack(void)
{
    _Alignas(16) char local[256];

    memset(opaque(local), 0, sizeof local);
    misuse(local + 64);
}

static void of_static(void)
{
    static _Alignas(16) char fixed[256];

    misuse(fixed + 64);
}

static void of_literal(void)
{
    misuse((void *)(uintptr_t) "not from any heap");
}

/* `arg_a` is the byte the pages are filled with: as a chunk header it must not look like glibc's.
 */
static void of_mapping(void)
{
    char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        die("mmap");
    memset(p, (int)arg_a, 65536);
    misuse(p + arg_b);
}

/* The address is given: unmapped, or not even an address. */
static void of_number(void)
{
    misuse((void *)arg_a);
}

/* Far from any block but, for a heap with one large reservation, inside it. */
static void of_reservation(void)
{
    char *p = take(100);

    misuse((void *)((uintptr_t)p + ((size_t)1 << 30)));
    free(p);
}

/* Take blocks until one that was tampered with would have come up; none may be handed out twice. */
static void take_many(const void *never)
{
    static const unsigned char mark = 0x22;

    for (int i = 0; i < TRIES; i++) {
        taken[i] = malloc(arg_a);
        if (!taken[i])
            die("malloc gave NULL");
        if (taken[i] == never)
            die("a bad block was handed out");
        memset(taken[i], mark + i % 100, arg_a);
    }
    for (int i = 0; i < TRIES; i++) {
        unsigned char *b = taken[i];

        if (b[0] != mark + i % 100 || memcmp(b, b + 1, arg_a - 1) != 0)
            die("two blocks overlap");
    }
    for (int i = 0; i < TRIES; i++)
        free(taken[i]);
}

/* Three blocks freed, the last one's first or second 8 bytes overwritten. */
static void *freed_among_others(void)
{
    void *a = take(arg_a), *b = take(arg_a), *c = take(arg_a);

    free(a);
    free(b);
    free(c);
    announce(c);
    return opaque(c);
}

static void corrupt_first(void)
{
    char *p = freed_among_others();

    memset(p, 0x41, 8);
    take_many(p);
    die("not found");
}

static void corrupt_both(void)
{
    char *p = freed_among_others();

    memset(p, 0x41, 16);
    take_many(p);
    die("not found");
}

/* Whether the second word holds anything is the heap's own affair: harmless, or found. */
static void corrupt_second(void)
{
    char *p = freed_among_others();

    memset(p + 8, 0x41, 8);
    take_many(NULL);
}

static void corrupt_zero(void)
{
    char *p = freed_among_others();

    memset(p, 0, 8);
    take_many(NULL);
}

/* An attacker's write: the link is made to name a live block. */
static void corrupt_live(void)
{
    void *live = take(arg_a);
    char *p = freed_among_others();

    memcpy(p, &live, sizeof live);
    take_many(live);
    free(live);
}

/* Two neighbours, the upper one freed, the lower one written 16 bytes past its end. */
static void corrupt_overflow(void)
{
    enum { N = 1000 };
    size_t usable;

    for (int i = 0; i < N; i++)
        others[i] = take(arg_a);
    usable = malloc_usable_size(others[0]);
    for (int i = 0; i < N; i++) {
        char *low = opaque(others[i]), *high = NULL;

        for (int k = 0; k < N && !high; k++)
            if ((char *)others[k] == low + usable)
                high = others[k];
        if (!high)
            continue;
        free(high);
        announce(high);
        memset(low, 0x41, usable + 16);
        take_many(high);
        die("not found");
    }
    die("no neighbours");
}

/*
 * Freed by another thread, overwritten before its owner takes it back. A heap may keep no link in
 * the block itself on that way: then handing it out is harmless.
 */
static void corrupt_remote(void)
{
    void *p;

    helper_start(&first);
    p = take(arg_a);
    helper_order(&first, FREE, p);
    announce(p);
    memset(opaque(p), 0x41, 16);
    helper_order(&first, LEAVE, NULL);
    take_many(NULL);
}

/* After an ignored misuse: the heap still serves, and no block is had twice. */
static void go_on(void)
{
    if (arg_a < 1 || arg_a > 1024)
        arg_a = 100;
    take_many(NULL);
    for (int i = 0; i < 100; i++) {
        others[i] = calloc(1, (size_t)i * 3000 + 1);
        if (!others[i])
            die("calloc gave NULL");
    }
    for (int i = 0; i < 100; i++)
        free(others[i]);
}

static const struct {
    const char *name;
    void (*run)(void);
} faults[] = {
    {"stale", stale},
    {"stale-calloc", stale_calloc},
    {"stale-aligned", stale_aligned},
    {"stale-after-others", stale_after_others},
    {"stale-after-all", stale_after_all},
    {"wrong-order", wrong_order},
    {"after-realloc-to-zero", after_realloc_to_zero},
    {"after-realloc-moved", after_realloc_moved},
    {"by-other-thread", by_other_thread},
    {"by-two-others", by_two_others},
    {"owner-asleep", owner_asleep},
    {"owner-frees-after-other", owner_frees_after_other},
    {"owner-gone", owner_gone},
    {"owner-gone-alive", owner_gone_alive},
    {"offset", offset},
    {"of-stack", of_stack},
    {"of-static", of_static},
    {"of-literal", of_literal},
    {"of-mapping", of_mapping},
    {"of-number", of_number},
    {"of-reservation", of_reservation},
    {"corrupt-first", corrupt_first},
    {"corrupt-both", corrupt_both},
    {"corrupt-second", corrupt_second},
    {"corrupt-zero", corrupt_zero},
    {"corrupt-live", corrupt_live},
    {"corrupt-overflow", corrupt_overflow},
    {"corrupt-remote", corrupt_remote},
};

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: fault free|realloc|usable FAULT [A [B]]\n");
        return 2;
    }
    verb = argv[1];
    arg_a = argc > 3 ? strtoull(argv[3], NULL, 0) : 100;
    arg_b = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (strcmp(faults[i].name, argv[2]) != 0)
            continue;
        faults[i].run();
        go_on();
        say("survived\n");
        return 0;
    }
    fprintf(stderr, "fault: no fault '%s'\n", argv[2]);
    return 2;
}
