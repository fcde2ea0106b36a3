/* SPDX-License-Identifier: MIT */
/*
 * Thread keys with a destructor, as pthread_key_create() and pthread_setspecific(). Those moved
 * from libpthread to libc in glibc 2.34, under a new version: linked to on a newer system they
 * would not be found on an older one, so they are looked up by name.
 */
#ifndef LODEI_THREADKEY_H
#define LODEI_THREADKEY_H

#include <pthread.h>

/* 0; -EAGAIN, -ENOMEM; -ENOSYS: there are no threads in this process (glibc before 2.34). */
int lodei_threadkey_create(pthread_key_t *ret_key, void (*ended)(void *));
/* 0 or -ENOMEM. A key was created before. */
int lodei_threadkey_set(pthread_key_t key, const void *value);

#endif
