/* SPDX-License-Identifier: MIT */
/* The environment that a command gets from us: ours, with LD_PRELOAD and LODE_OPTIONS composed. */
#ifndef LODEI_CHILDENV_H
#define LODEI_CHILDENV_H

#include <stddef.h>

/*
 * The options of a command, ending with `added` (may be NULL): LODE_OPTIONS of our environment,
 * then purge=auto if neither says purge, then `added`; later ones count. Freed by the caller.
 */
char *lodei_childenv_options(const char *added);

/*
 * Our environment with `library` (absolute; NULL for none) in front of what LD_PRELOAD names
 * already, and with LODE_OPTIONS set to `options` (NULL: as it is). Ended with
 * lodei_childenv_destroy().
 */
char **lodei_childenv_create(const char *library, const char *options);
void lodei_childenv_destroy(char **env);

/* Whether LD_PRELOAD can name `path`: blanks and colons separate names there. */
int lodei_childenv_can_preload(const char *path);

#endif
