/* SPDX-License-Identifier: MIT */
/*
 * exitwith STATUS [CHILDREN]: exits with STATUS after as many children exited with 0. All of them
 * run their exit handlers, as some shells do not.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int children = argc > 2 ? atoi(argv[2]) : 0;

    for (int i = 0; i < children; i++)
        if (fork() == 0)
            exit(0);
    while (wait(NULL) > 0)
        ;
    return argc > 1 ? atoi(argv[1]) : 0;
}
