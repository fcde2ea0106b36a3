/* SPDX-License-Identifier: MIT */
/*
 * The modes over malloc alone: mixed, realloc, aligned, remote, churn, fork.
 */
#include "stress.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void mode_mixed(struct stress_thread *thread)
{
    while (stress_more(thread))
        stress_step(thread);
    stress_drain(thread);
}

/* A few long-lived vectors that grow by steps and halves and now and then collapse. */
void stress_mode_realloc(struct stress_thread *thread)
{
    enum { VECTORS = 24, VECTOR_MAX = 3 << 20 };

    while (stress_more(thread)) {
        struct block *slot = &thread->slots[stress_below(&thread->rng, VECTORS)];
        size_t bytes = slot->ptr ? slot->bytes : 0, to;
        unsigned char *p;

        switch (stress_below(&thread->rng, 5)) {
        case 0:
            to = bytes + bytes / 2 + 1;
            break;
        case 1:
            to = bytes / 2 + 1;
            break;
        case 2:
            to = stress_size(&thread->rng);
            break;
        default:
            to = bytes + 1 + stress_below(&thread->rng, 2000);
            break;
        }
        if (to > VECTOR_MAX)
            to = 1 + stress_below(&thread->rng, 100);
        p = test_realloc(slot->ptr, to);
        if (!p)
            stress_die("realloc %zu -> %zu: NULL", bytes, to);
        if (slot->ptr)
            block_verify_at(slot, p, to < bytes ? to : bytes, "after realloc");
        block_fill(slot, p, to, stress_random(&thread->rng));
    }
    stress_drain(thread);
}

void stress_mode_aligned(struct stress_thread *thread)
{
    while (stress_more(thread)) {
        struct block *slot = &thread->slots[stress_below(&thread->rng, STRESS_SLOTS)];
        size_t align = (size_t)1 << stress_below(&thread->rng, 21);
        size_t bytes = stress_size(&thread->rng) / 8 + 1;
        unsigned char *p;

        align = align < sizeof(void *) ? sizeof(void *) : align;
        thread->live_bytes -= slot->ptr ? slot->bytes : 0;
        block_free(slot);
        p = stress_below(&thread->rng, 4) ? test_aligned_alloc(align, bytes) : test_malloc(bytes);
        if (!p)
            stress_die("%zu bytes aligned to %zu: NULL", bytes, align);
        if (test_usable_size(p) < bytes)
            stress_die("%zu bytes aligned to %zu: usable size short", bytes, align);
        block_fill(slot, p, bytes, stress_random(&thread->rng));
        thread->live_bytes += bytes;
        if (thread->live_bytes > STRESS_LIVE_MAX)
            stress_drain(thread);
    }
    stress_drain(thread);
}

/*
 * Mailboxes: a slot is owned by whoever swaps its state from EMPTY or FULL to BUSY. Blocks put in
 * by one thread are verified and freed, or grown, by another.
 */
enum mailbox_state { EMPTY, FULL, BUSY };

static struct mailbox {
    _Atomic int state;
    struct block block;
} mailboxes[256];

static void mailbox_meet(struct stress_thread *thread, struct mailbox *box, struct block *mine)
{
    int state = atomic_load_explicit(&box->state, memory_order_relaxed);
    struct block theirs = {.ptr = NULL};

    /* Acquire pairs with the release below: the block's filling is seen by whoever takes it. */
    if (state == BUSY ||
        !atomic_compare_exchange_strong_explicit(&box->state, &state, BUSY, memory_order_acquire,
                                                 memory_order_relaxed)) {
        block_free(mine);
        return;
    }
    if (state == FULL)
        theirs = box->block;
    box->block = *mine;
    atomic_store_explicit(&box->state, FULL, memory_order_release);
    if (theirs.ptr && stress_below(&thread->rng, 8) == 0) {
        unsigned char *p = test_realloc(theirs.ptr, theirs.bytes + 100);

        if (!p)
            stress_die("realloc of another thread's block: NULL");
        block_verify_at(&theirs, p, theirs.bytes, "after realloc by another thread");
        test_free(p);
    } else {
        block_free(&theirs);
    }
}

static void mailbox_empty(void)
{
    for (size_t i = 0; i < sizeof mailboxes / sizeof *mailboxes; i++) {
        int full = FULL;

        if (!atomic_compare_exchange_strong_explicit(&mailboxes[i].state, &full, BUSY,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        block_free(&mailboxes[i].block);
        atomic_store_explicit(&mailboxes[i].state, EMPTY, memory_order_release);
    }
}

void stress_mode_remote(struct stress_thread *thread)
{
    while (stress_more(thread)) {
        struct block mine;

        stress_take(&mine, &thread->rng);
        mailbox_meet(thread, &mailboxes[stress_below(&thread->rng, 256)], &mine);
    }
    mailbox_empty();
}

/* The body of a short-lived thread: some steps of its own, some blocks left in the mailboxes. */
static void *short_life(void *arg)
{
    struct stress_thread *thread = arg;

    for (int i = 0; i < 60; i++)
        stress_step(thread);
    for (int i = 0; i < 20; i++) {
        struct block mine;

        stress_take(&mine, &thread->rng);
        mailbox_meet(thread, &mailboxes[stress_below(&thread->rng, 256)], &mine);
    }
    return NULL;
}

/* One thread after another on the same slots: blocks outlive their thread and are freed by a later.
 */
void stress_mode_churn(struct stress_thread *thread)
{
    while (stress_more(thread)) {
        pthread_t child;
        int code = pthread_create(&child, NULL, short_life, thread);

        if (code != 0)
            stress_die("pthread_create: %s", strerror(code));
        pthread_join(child, NULL);
    }
    stress_drain(thread);
    mailbox_empty();
}

static void fork_child(struct stress_thread *thread)
{
    alarm(30);
    for (int i = 0; i < STRESS_SLOTS; i += 3)
        block_free(&thread->slots[i]);
    for (int i = 0; i < 200; i++)
        stress_step(thread);
    stress_drain(thread);
    _exit(0);
}

/* The first thread forks, the others keep every lock of the heap busy. */
void stress_mode_fork(struct stress_thread *thread)
{
    while (stress_more(thread)) {
        int status = 0;
        pid_t pid;

        for (int i = 0; i < 20; i++)
            stress_step(thread);
        if (thread->index != 0)
            continue;
        pid = fork();
        if (pid == 0)
            fork_child(thread);
        if (pid < 0)
            stress_die("fork: %s", strerror(errno));
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (status != 0)
            stress_die("a forked child ended with status %x", (unsigned)status);
    }
    stress_drain(thread);
}

const struct stress_mode stress_modes[] = {
    {"mixed", mode_mixed, 1, false},
    {"realloc", stress_mode_realloc, 1, false},
    {"aligned", stress_mode_aligned, 1, false},
    {"remote", stress_mode_remote, 1, false},
    {"churn", stress_mode_churn, 50, false},
    {"fork", stress_mode_fork, 50, false},
    {"heaps", stress_mode_heaps, 1, true},
    {"tags", stress_mode_tags, 1, true},
    {NULL, NULL, 0, false},
};
