/* SPDX-License-Identifier: MIT */
/* Leaks one block and ends as told: usage: leaks-endings return|exit|quick_exit|_exit|abort|thread
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile sink;

__attribute__((noinline)) static void leak_before_end(void)
{
    sink = malloc(555);
}

/* exit() on a thread that is not the first. */
static void *end_here(void *unused)
{
    (void)unused;
    exit(0);
}

int main(int argc, char **argv)
{
    const char *how = argc == 2 ? argv[1] : "";
    pthread_t thread;

    leak_before_end();
    if (strcmp(how, "exit") == 0)
        exit(0);
    if (strcmp(how, "quick_exit") == 0)
        quick_exit(0);
    if (strcmp(how, "_exit") == 0)
        _exit(0);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "thread") == 0 && pthread_create(&thread, NULL, end_here, NULL) == 0)
        pthread_join(thread, NULL);
    return strcmp(how, "return") == 0 ? 0 : 2;
}
