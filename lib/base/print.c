/* SPDX-License-Identifier: MIT */
#include "base/print.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void lodei_line_strn(struct lodei_line *line, const char *s, size_t n)
{
    size_t room = sizeof(line->text) - 1 - line->length;
    if (n > room)
        n = room;
    memcpy(line->text + line->length, s, n);
    line->length += n;
}

void lodei_line_str(struct lodei_line *line, const char *s)
{
    lodei_line_strn(line, s, strlen(s));
}

static void put_number(struct lodei_line *line, uint64_t value, unsigned base)
{
    char digits[20];
    size_t n = sizeof(digits);
    do {
        digits[--n] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    lodei_line_strn(line, digits + n, sizeof(digits) - n);
}

void lodei_line_dec(struct lodei_line *line, uint64_t value)
{
    put_number(line, value, 10);
}

void lodei_line_hex(struct lodei_line *line, uint64_t value)
{
    lodei_line_str(line, "0x");
    put_number(line, value, 16);
}

int lodei_line_write(struct lodei_line *line, int fd)
{
    int saved = errno, r = 0;
    size_t done = 0;
    line->text[line->length++] = '\n';
    while (done < line->length && r == 0) {
        /* Not write(), which is a cancellation point: free() is none, not even a bad one. */
        ssize_t n = syscall(SYS_write, fd, line->text + done, line->length - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            r = -1;
    }
    line->length = 0;
    errno = saved;
    return r;
}

_Atomic int lodei_fatal_thread;

void lodei_fatal(const char *what, const void *addr)
{
    struct lodei_line line = {0};
    /* relaxed: only the thread that writes it can read its own number from it */
    atomic_store_explicit(&lodei_fatal_thread, (int)syscall(SYS_gettid), memory_order_relaxed);
    lodei_line_str(&line, "lode: ");
    lodei_line_str(&line, what);
    lodei_line_str(&line, " ");
    lodei_line_hex(&line, (uintptr_t)addr);
    lodei_line_write(&line, STDERR_FILENO);
    abort();
}

void lodei_warn(const char *what)
{
    struct lodei_line line = {0};
    lodei_line_str(&line, "lode: ");
    lodei_line_str(&line, what);
    lodei_line_write(&line, STDERR_FILENO);
}

void lodei_assert_failed(const char *expr, const char *file, int linenr)
{
    struct lodei_line line = {0};
    lodei_line_str(&line, "lode: internal error: ");
    lodei_line_str(&line, expr);
    lodei_line_str(&line, " at ");
    lodei_line_str(&line, file);
    lodei_line_str(&line, ":");
    lodei_line_dec(&line, (uint64_t)linenr);
    lodei_line_write(&line, STDERR_FILENO);
    abort();
}
