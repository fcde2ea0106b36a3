/* SPDX-License-Identifier: MIT */
/*
 * Files that processes of a run leave behind, one per process: `%p` in a path given to the library
 * stands for the process id. Those of `lode run` itself go to a directory of its own, private to
 * the user and removed afterwards; a user's own path is left alone, and only the command's own file
 * looked for.
 */
#ifndef LODEI_REPORTDIR_H
#define LODEI_REPORTDIR_H

#include <stddef.h>
#include <sys/types.h>

struct lodei_report_path {
    pid_t pid;
    char *path;
};

/* The path of a new private directory, fit for a value in LODE_OPTIONS; NULL with errno. Ended with
 * lodei_reportdir_destroy(). */
char *lodei_reportdir_create(void);
/* Remove the directory and the files in it. NULL is fine. */
void lodei_reportdir_destroy(char *dir);

/*
 * The files DIR/NAME.PID, that of `first` in front, the others by process id. Returns how many;
 * *ret_paths is ended with lodei_reportdir_free_list().
 */
size_t lodei_reportdir_list(const char *dir, const char *name, pid_t first,
                            struct lodei_report_path **ret_paths);
/* The file that process `pid` wrote for the option value `pattern`: 1, or 0 if there is none. */
size_t lodei_reportdir_single(const char *pattern, pid_t pid, struct lodei_report_path **ret_paths);
void lodei_reportdir_free_list(struct lodei_report_path *paths, size_t count);

#endif
