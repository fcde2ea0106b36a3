/* SPDX-License-Identifier: MIT */
/*
 * For programs linked with --wrap=syscall, one file each: every system call that the heaps make
 * passes before_syscall(), which the program defines. It answers 0 to let the call go on, else what
 * the call is to return.
 */
#ifndef WRAPPED_SYSCALL_H
#define WRAPPED_SYSCALL_H

#include <stdarg.h>

static long before_syscall(long number, const long *arguments);

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    long r = before_syscall(number, a);
    return r != 0 ? r : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#endif
