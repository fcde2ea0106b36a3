/* SPDX-License-Identifier: MIT */
/* Files of the processes of a run; see reportdir.h. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reportdir.h"
#include "units.h"
#include "xalloc.h"

/* The library keeps paths of up to 255 bytes; behind the directory come a name and a process id. */
enum { DIR_LENGTH_MAX = 200 };

char *lodei_reportdir_create(void)
{
    const char *parent = getenv("TMPDIR");
    char *dir;

    /* A comma would end the option's value. */
    if (parent == NULL || parent[0] != '/' || strpbrk(parent, ",%") != NULL ||
        strlen(parent) > DIR_LENGTH_MAX)
        parent = "/tmp";
    dir = lodei_xasprintf("%s/lode-run.XXXXXX", parent);
    if (mkdtemp(dir) != NULL)
        return dir;
    free(dir);
    return NULL;
}

void lodei_reportdir_destroy(char *dir)
{
    DIR *listing = dir != NULL ? opendir(dir) : NULL;
    struct dirent *entry;

    while (listing != NULL && (entry = readdir(listing)) != NULL)
        unlinkat(dirfd(listing), entry->d_name, 0);
    if (listing != NULL)
        closedir(listing);
    if (dir != NULL)
        rmdir(dir);
    free(dir);
}

static int by_pid(const void *a, const void *b)
{
    const struct lodei_report_path *left = a, *right = b;

    return (left->pid > right->pid) - (left->pid < right->pid);
}

size_t lodei_reportdir_list(const char *dir, const char *name, pid_t first,
                            struct lodei_report_path **ret_paths)
{
    struct lodei_report_path *paths = NULL;
    size_t count = 0, name_length = strlen(name);
    DIR *listing = opendir(dir);
    struct dirent *entry;

    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        uint64_t pid;

        if (strncmp(entry->d_name, name, name_length) != 0 || entry->d_name[name_length] != '.' ||
            lodei_units_parse(entry->d_name + name_length + 1, 1, INT32_MAX, &pid) != 0)
            continue;
        paths = lodei_xreallocarray(paths, count + 1, sizeof(*paths));
        paths[count].pid = (pid_t)pid;
        paths[count++].path = lodei_xasprintf("%s/%s", dir, entry->d_name);
    }
    if (listing != NULL)
        closedir(listing);
    if (count > 0)
        qsort(paths, count, sizeof(*paths), by_pid);
    for (size_t i = 1; i < count; i++) {
        struct lodei_report_path own = paths[i];

        if (own.pid != first)
            continue;
        memmove(paths + 1, paths, i * sizeof(*paths));
        paths[0] = own;
    }
    *ret_paths = paths;
    return count;
}

size_t lodei_reportdir_single(const char *pattern, pid_t pid, struct lodei_report_path **ret_paths)
{
    const char *mark = strstr(pattern, "%p");
    char *path = mark != NULL ? lodei_xasprintf("%.*s%d%s", (int)(mark - pattern), pattern,
                                                (int)pid, mark + 2)
                              : lodei_xstrdup(pattern);

    if (access(path, R_OK) != 0) {
        free(path);
        *ret_paths = NULL;
        return 0;
    }
    *ret_paths = lodei_xcalloc(1, sizeof(**ret_paths));
    (*ret_paths)->pid = pid;
    (*ret_paths)->path = path;
    return 1;
}

void lodei_reportdir_free_list(struct lodei_report_path *paths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(paths[i].path);
    free(paths);
}
