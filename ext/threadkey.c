/* SPDX-License-Identifier: MIT */
/* Thread keys by name: see threadkey.h. Owns two function pointers. */
#include "ext/threadkey.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "os/elf.h"

#define PTHREAD_OBJECTS "libc.so.|libpthread"

typedef int create_function(pthread_key_t *, void (*)(void *));
typedef int set_function(pthread_key_t, const void *);

/* Written before a key can exist; both writers of a race write the same. */
static create_function *_Atomic create;
static set_function *_Atomic set;

int lodei_threadkey_create(pthread_key_t *ret_key, void (*ended)(void *))
{
    create_function *c;
    set_function *s;
    /* Function pointers by way of memory: ISO C has no cast from void *. */
    *(void **)&c = lodei_elf_function(PTHREAD_OBJECTS, "pthread_key_create");
    *(void **)&s = lodei_elf_function(PTHREAD_OBJECTS, "pthread_setspecific");
    if (c == NULL || s == NULL)
        return -ENOSYS;
    atomic_store(&create, c);
    atomic_store(&set, s);
    return -c(ret_key, ended);
}

int lodei_threadkey_set(pthread_key_t key, const void *value)
{
    return -atomic_load(&set)(key, value);
}
