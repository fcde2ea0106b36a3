/* SPDX-License-Identifier: MIT */
/* Arguments of options as argp gives them: one of some words, a number. What is none of those ends
 * the program with a message. */
#ifndef LODEI_ARGWORDS_H
#define LODEI_ARGWORDS_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>

/* Which of the `count` words is `arg`. */
int lodei_arg_word(const char *option, const char *const *words, size_t count, const char *arg,
                   struct argp_state *state);
#define LODEI_ARG_WORD(option, words, arg, state) \
    lodei_arg_word(option, words, sizeof(words) / sizeof((words)[0]), arg, state)

/* A number in `lowest`..`highest`. */
void lodei_arg_number(const char *option, const char *arg, uint64_t lowest, uint64_t highest,
                      uint64_t *ret_number, struct argp_state *state);

#endif
