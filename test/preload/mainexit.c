/* SPDX-License-Identifier: MIT */
/* main() ends by pthread_exit() while another thread still works: the process must end with that
 * thread, whatever threads the allocator has. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 2000, BYTES = 20000 };

static void *work(void *arg)
{
    static char *blocks[BLOCKS];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = malloc(BYTES);
            memset(blocks[i], 1, BYTES);
        }
        for (int i = 0; i < BLOCKS; i++)
            free(blocks[i]);
        usleep(30000);
    }
    return arg;
}

int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0)
        return 1;
    pthread_detach(thread);
    pthread_exit(NULL);
}
