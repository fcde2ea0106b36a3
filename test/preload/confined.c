/* SPDX-License-Identifier: MIT */
/*
 * Programs that shut a door behind them after start and go on allocating: confined WAY, for
 * test_startup.py.
 *
 *   seccomp     a filter that kills the process on any system call but the few an allocator needs
 *   closed      every file descriptor closed
 *   closed-bad  the same, then a double free: still SIGABRT, with nobody to read the line
 *
 * Exit 0 when all blocks kept their contents.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *opaque(void *p)
{
    void *volatile v = p;
    return v;
}

/* Returns 0 if every block kept what was written. */
static int allocate(int rounds)
{
    enum { N = 500 };
    static __thread unsigned char *p[N];
    unsigned rng = 1;

    for (int op = 0; op < rounds * N; op++) {
        int slot = (int)((rng >> 8) % N);
        size_t bytes;

        rng = rng * 1103515245u + 12345u;
        bytes = (rng >> 20) % 50 == 0 ? (rng >> 8) % (4u << 20) + 1 : (rng >> 8) % 5000 + 1;
        if (p[slot] && p[slot][0] != (unsigned char)slot)
            return 1;
        p[slot] = op % 3 ? realloc(p[slot], bytes) : (free(p[slot]), calloc(1, bytes));
        if (!p[slot])
            return 2;
        p[slot][0] = p[slot][bytes - 1] = (unsigned char)slot;
    }
    for (int i = 0; i < N; i++) {
        free(p[i]);
        p[i] = NULL;
    }
    malloc_trim(0);
    return 0;
}

static sem_t go, done;
static int thread_result;

/* Started, and waited for, before the filter, as glibc's clone and thread exit need system calls of
 * their own. */
static void *second_thread(void *arg)
{
    sem_post(&done);
    for (;;) {
        sem_wait(&go);
        thread_result = allocate(20);
        sem_post(&done);
    }
    return arg;
}

static const int allowed[] = {
    SYS_read,         SYS_write,         SYS_exit,         SYS_exit_group,  SYS_futex, SYS_mmap,
    SYS_munmap,       SYS_mprotect,      SYS_madvise,      SYS_mremap,      SYS_brk,   SYS_getpid,
    SYS_rt_sigreturn, SYS_clock_gettime, SYS_gettimeofday, SYS_sched_yield,
};

enum { ALLOWED = sizeof allowed / sizeof *allowed };

/* load number; one "equal? jump to the end" per allowed call; kill; allow */
static int install_filter(void)
{
    struct sock_filter code[ALLOWED + 3];
    struct sock_fprog program = {.len = ALLOWED + 3, .filter = code};

    code[0] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < ALLOWED; i++)
        code[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i],
                                                   (unsigned char)(ALLOWED - i), 0);
    code[ALLOWED + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[ALLOWED + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static int seccomp(void)
{
    pthread_t thread;

    sem_init(&go, 0, 0);
    sem_init(&done, 0, 0);
    if (pthread_create(&thread, NULL, second_thread, NULL) != 0)
        return 4;
    sem_wait(&done);
    if (install_filter() != 0)
        return 77;
    for (int i = 0; i < 3; i++) {
        sem_post(&go);
        if (allocate(20) != 0)
            return 1;
        sem_wait(&done);
        if (thread_result != 0)
            return 1;
    }
    return 0;
}

static void close_all(void)
{
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
}

int main(int argc, char **argv)
{
    const char *way = argc == 2 ? argv[1] : "";

    if (strcmp(way, "seccomp") == 0)
        return seccomp();
    if (strcmp(way, "closed") == 0) {
        close_all();
        return allocate(100);
    }
    if (strcmp(way, "closed-bad") == 0) {
        void *p = malloc(100), *again = opaque(p);

        close_all();
        free(p);
        free(again);
        return allocate(10);
    }
    return 2;
}
