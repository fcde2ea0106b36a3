/* SPDX-License-Identifier: MIT */
/* Memory for the tools; see xalloc.h. Ends the program with status 2 when there is none. */
#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verbs.h"
#include "xalloc.h"

static void *checked(void *ptr)
{
    if (ptr == NULL)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    return ptr;
}

void *lodei_xreallocarray(void *ptr, size_t count, size_t bytes)
{
    return checked(reallocarray(ptr, count > 0 ? count : 1, bytes));
}

void *lodei_xcalloc(size_t count, size_t bytes)
{
    return checked(calloc(count > 0 ? count : 1, bytes));
}

char *lodei_xstrdup(const char *text)
{
    return checked(strdup(text));
}

char *lodei_xasprintf(const char *format, ...)
{
    va_list ap;
    char *text;

    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0)
        text = NULL;
    va_end(ap);
    return checked(text);
}
