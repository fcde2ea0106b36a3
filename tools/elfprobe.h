/* SPDX-License-Identifier: MIT */
/* Telling from a command's executable where preloading a malloc cannot work or needs care. */
#ifndef LODEI_ELFPROBE_H
#define LODEI_ELFPROBE_H

/*
 * Look at what `argv` would execute, behind `#!` lines and env, and print one line through warnx()
 * for each thing to know. Says nothing of a command that cannot be found or read.
 */
void lodei_elfprobe_warn(char *const *argv);

#endif
