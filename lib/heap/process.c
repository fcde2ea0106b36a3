/* SPDX-License-Identifier: MIT */
/*
 * Owns the ties to the process: a constructor that reads the options, registers fork and exit
 * handlers before a second thread can exist, and arranges for threads' ends.
 *
 * pthread functions live in libc since glibc 2.34 and in libpthread before, where a program without
 * threads does not load it: they are looked up by name, and again at each new thread until found.
 *
 * fork() runs our handlers before it takes the lock of stdio's list of files, while a thread that
 * holds a file may be waiting for us and one that holds the list for that file (fflush(NULL)): so
 * that lock, which is recursive, is taken ahead of ours. The lock of glibc's NSS database, since
 * 2.34, comes in the same place and cannot be reached.
 *
 * The exit handler is registered without an owning object, before main and before the loader's own
 * handler, so it runs last, after every destructor of the program.
 */
#include "heap/process.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/conf.h"
#include "heap/fork.h"
#include "heap/heaps.h"
#include "heap/meta.h"
#include "heap/purge.h"
#include "heap/statsfile.h"
#include "heap/trace.h"
#include "os/elf.h"

#define PTHREAD_OBJECTS "libc.so.|libpthread"

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso);
int __cxa_atexit(void (*f)(void *), void *arg, void *dso);
int __cxa_at_quick_exit(void (*f)(void *), void *dso);
/* stdio's list of files. */
void _IO_list_lock(void);
void _IO_list_unlock(void);
void _IO_list_resetlock(void);
/* Where a sanitizer is in the process it has to know of our thread: its stack, its ordering. */
__attribute__((weak)) int __interceptor_pthread_create(pthread_t *, const pthread_attr_t *,
                                                       void *(*)(void *), void *);
__attribute__((weak)) int __interceptor_pthread_detach(pthread_t);

static struct {
    int (*key_create)(pthread_key_t *, void (*)(void *));
    int (*setspecific)(pthread_key_t, const void *);
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int (*detach)(pthread_t);
    pthread_key_t key;
    _Atomic int ready;
} pthreads;

static struct {
    uintptr_t start, end;
} libc_ranges[5];

int lodei_process_in_libc(const void *pc)
{
    uintptr_t at = (uintptr_t)pc;
    for (size_t i = 0; i < sizeof(libc_ranges) / sizeof(libc_ranges[0]); i++)
        if (at >= libc_ranges[i].start && at < libc_ranges[i].end)
            return 1;
    return 0;
}

static void find_libc(void)
{
    static const char *const names[] = {"libc.so.", "ld-linux|ld.so|ld-", "libpthread", "liblode",
                                        "liblode-heap"};
    for (size_t i = 0; i < 5; i++)
        lodei_elf_range(names[i], &libc_ranges[i].start, &libc_ranges[i].end);
}

static void before_fork(void)
{
    _IO_list_lock();
    lodei_fork_prepare();
}

static void after_fork_in_parent(void)
{
    lodei_fork_parent();
    _IO_list_unlock();
}

static void after_fork_in_child(void)
{
    _IO_list_resetlock();
    lodei_fork_child();
}

static void thread_ends(void *arg)
{
    (void)arg;
    lodei_thread_finish();
}

static int find_pthreads(void)
{
    /* Function pointers by way of memory: ISO C has no cast from void *. */
    *(void **)&pthreads.key_create = lodei_elf_function(PTHREAD_OBJECTS, "pthread_key_create");
    *(void **)&pthreads.setspecific = lodei_elf_function(PTHREAD_OBJECTS, "pthread_setspecific");
    if (__interceptor_pthread_create != NULL)
        pthreads.create = __interceptor_pthread_create;
    else
        *(void **)&pthreads.create = lodei_elf_function(PTHREAD_OBJECTS, "pthread_create");
    if (__interceptor_pthread_detach != NULL)
        pthreads.detach = __interceptor_pthread_detach;
    else
        *(void **)&pthreads.detach = lodei_elf_function(PTHREAD_OBJECTS, "pthread_detach");
    if (pthreads.key_create == NULL || pthreads.setspecific == NULL || pthreads.create == NULL ||
        pthreads.detach == NULL || pthreads.key_create(&pthreads.key, thread_ends) != 0)
        return 0;
    /* release: pairs with the acquire in thread_started() */
    atomic_store_explicit(&pthreads.ready, 1, memory_order_release);
    return 1;
}

/* The calling thread has just got its record: have thread_ends() called when it ends. */
static void thread_started(void)
{
    int saved = errno;
    if (atomic_load_explicit(&pthreads.ready, memory_order_acquire) || find_pthreads())
        pthreads.setspecific(pthreads.key, &pthreads);
    errno = saved;
}

static void *purge_thread(void *arg)
{
    (void)arg;
    struct sched_param ordinary = {.sched_priority = 0};
    prctl(PR_SET_NAME, "lode-purge");
    /* The thread that happened to start us may be a real-time one. */
    syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &ordinary);
    lodei_purge_thread_main();
    return NULL;
}

static int start_purge_thread(void)
{
    if (!atomic_load_explicit(&pthreads.ready, memory_order_acquire))
        return -EAGAIN;
    int saved = errno;
    sigset_t all, old;
    pthread_t thread;
    sigfillset(&all);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, _NSIG / 8);
    int r = pthreads.create(&thread, NULL, purge_thread, NULL);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, _NSIG / 8);
    if (r == 0)
        pthreads.detach(thread);
    errno = saved;
    return -r;
}

static void at_exit(void *arg)
{
    static _Atomic int done;
    (void)arg;
    if (atomic_exchange_explicit(&done, 1, memory_order_relaxed))
        return;
    if (lodei_state.tracer != NULL)
        lodei_state.tracer->at_exit();
    lodei_statsfile_at_exit();
}

/* getenv() reads `environ`, which other constructors may have changed or not yet set. */
static const char *option_text(char **envp)
{
    static const char name[] = "LODE_OPTIONS=";
    if (getauxval(AT_SECURE) != 0)
        return NULL;
    for (; envp != NULL && *envp != NULL; envp++)
        if (strncmp(*envp, name, sizeof(name) - 1) == 0)
            return *envp + sizeof(name) - 1;
    return NULL;
}

__attribute__((constructor(101))) static void process_start(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    int saved = errno;
    lodei_conf_parse(option_text(envp));
    if (lodei_init() != 0)
        return;
    lodei_lock_orphaned = lodei_fork_orphaned;
    __register_atfork(before_fork, after_fork_in_parent, after_fork_in_child, NULL);
    __cxa_atexit(at_exit, NULL, NULL);
    __cxa_at_quick_exit(at_exit, NULL);
    find_libc();
    find_pthreads();
    lodei_thread_started = thread_started;
    if (lodei_thread_peek() != NULL)
        thread_started();
    lodei_purge_thread_start = start_purge_thread;
    if (lodei_conf.purge == LODEI_PURGE_THREAD)
        lodei_purge_thread_launch();
    errno = saved;
}
