/* SPDX-License-Identifier: MIT */
/* Where the libraries stand: ours, relative to this program, and those of the system. */
#ifndef LODEI_LIBFIND_H
#define LODEI_LIBFIND_H

/*
 * The absolute path of the library to preload; NULL when there is none. Freed by the caller.
 *
 * @lib_dir  Directory to look in and nowhere else; NULL: the installed place, then the build tree,
 *           both relative to this program's own file.
 * @heap     "native", "mimalloc", or NULL for the one this installation has as its default.
 */
char *lodei_libfind_ours(const char *lib_dir, const char *heap);

/*
 * The absolute path of a module of this program itself, looked for in `lib_dir` and nowhere else,
 * or with NULL in the installed place and then beside this program's own file. NULL when there is
 * none. Freed by the caller.
 */
char *lodei_libfind_module(const char *lib_dir, const char *file_name);

/* The absolute path of the directory of our data that holds `file_name`: the installed place, or
 * this program's own directory. NULL when there is none. Freed by the caller. */
char *lodei_libfind_data(const char *file_name);

/* The path of a library in the loader's standard directories; NULL when absent. Freed by the
 * caller. */
char *lodei_libfind_system(const char *file_name);

#endif
