/* SPDX-License-Identifier: MIT */
/* Process-wide events: start, thread end, fork, exit. */
#ifndef LODEI_PROCESS_H
#define LODEI_PROCESS_H

#include "base/attr.h"

/* 1 when `pc` lies in glibc (libc, ld.so, libpthread), or in liblode.so, whose caller is then not
 * known: no thread may be started from there. */
int lodei_process_in_libc(const void *pc);

#endif
