/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for liblode.so in the tests of the tool: it serves no malloc, but does with
 * LODE_OPTIONS what the tool relies on. At exit it writes stats_file and leaks_file, `%p` replaced
 * by the process id, with fixed figures, so that the tests know what must be printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Open the path that `key` names in LODE_OPTIONS; NULL if there is none. */
static FILE *open_report(const char *key)
{
    const char *options = getenv("LODE_OPTIONS"), *found = NULL, *mark;
    char pattern[512], path[600];

    for (const char *p = options; p != NULL; p = strchr(p, ','), p = p != NULL ? p + 1 : NULL)
        if (strncmp(p, key, strlen(key)) == 0 && p[strlen(key)] == '=')
            found = p + strlen(key) + 1;
    if (found == NULL)
        return NULL;
    snprintf(pattern, sizeof(pattern), "%.*s", (int)strcspn(found, ","), found);
    mark = strstr(pattern, "%p");
    if (mark != NULL)
        snprintf(path, sizeof(path), "%.*s%d%s", (int)(mark - pattern), pattern, (int)getpid(),
                 mark + 2);
    else
        snprintf(path, sizeof(path), "%s", pattern);
    return fopen(path, "w");
}

__attribute__((destructor)) static void write_reports(void)
{
    FILE *stats = open_report("stats_file"), *leaks = open_report("leaks_file");

    if (stats != NULL) {
        fprintf(stats, "mapped_bytes=3145728\nlive_blocks=42\nmaxrss_kb=2048\n");
        fclose(stats);
    }
    if (leaks != NULL) {
        fprintf(leaks, "lode-leaks 1\npid %d\nexe /stand/in\nsuppressed 1 8\ntotal 3 4096\n",
                (int)getpid());
        fprintf(leaks, "leak 3 4096 1234 5678\nend\n");
        fclose(leaks);
    }
}
