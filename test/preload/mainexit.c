/* SPDX-License-Identifier: MIT */
/* main() ends by pthread_exit() while another thread still works: the process must end with that
 * thread, whatever threads the allocator has. `mainexit locked`: and what is freed is locked in
 * memory, so that it cannot be given back. */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCKS = 2000, BYTES = 20000 };

static bool locked;

static void *work(void *arg)
{
    static char *blocks[BLOCKS];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = malloc(BYTES);
            memset(blocks[i], 1, BYTES);
            if (locked && mlock(blocks[i], BYTES) != 0)
                _exit(77);
        }
        for (int i = 0; i < BLOCKS; i++)
            free(blocks[i]);
        usleep(30000);
    }
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    locked = argc == 2 && strcmp(argv[1], "locked") == 0;
    if (pthread_create(&thread, NULL, work, NULL) != 0)
        return 1;
    pthread_detach(thread);
    pthread_exit(NULL);
}
