/* SPDX-License-Identifier: MIT */
#include "capture.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void capture_start(struct capture *c)
{
    c->file = memfd_create("capture", MFD_CLOEXEC);
    c->saved = dup(STDERR_FILENO);
    if (c->file < 0 || c->saved < 0 || dup2(c->file, STDERR_FILENO) < 0)
        abort();
}

size_t capture_end(struct capture *c, char *text, size_t bytes)
{
    dup2(c->saved, STDERR_FILENO);
    close(c->saved);
    ssize_t n = pread(c->file, text, bytes - 1, 0);
    close(c->file);
    if (n < 0)
        abort();
    text[n] = '\0';
    return (size_t)n;
}
