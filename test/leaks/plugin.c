/* SPDX-License-Identifier: MIT */
/*
 * A library to dlopen() that leaks. Built twice: -DPLUGIN_FUNCTION names the leaking function and
 * -DPLUGIN_BYTES its block, so that a report tells which of the two it was.
 */
#include <stdlib.h>

__attribute__((visibility("default"))) void plugin_leak(void);

static void *volatile sink;

__attribute__((noinline)) static void PLUGIN_FUNCTION(void)
{
    sink = malloc(PLUGIN_BYTES); /* planted: PLUGIN_FUNCTION PLUGIN_BYTES */
}

void plugin_leak(void)
{
    PLUGIN_FUNCTION();
    sink = NULL;
}
