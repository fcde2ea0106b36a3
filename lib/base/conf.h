/* SPDX-License-Identifier: MIT */
/*
 * THE option table. One row per option: name, type, default, range or choices, one line of help.
 * Everything that knows an option (the parser in conf.c, `lode options`, the README check in
 * test/abi) is generated from LODE_OPTION_TABLE.
 *
 * Options come from LODE_OPTIONS="key=value,key=value" in the environment, read once, in a
 * constructor, from the envp the kernel handed over; ignored under AT_SECURE. A bad key or value is
 * one line on stderr, and the default stands. Values never change after lodei_conf_parse().
 */
#ifndef LODEI_CONF_H
#define LODEI_CONF_H

#include <stddef.h>
#include <stdint.h>

enum lodei_purge { LODEI_PURGE_INLINE, LODEI_PURGE_THREAD, LODEI_PURGE_AUTO, LODEI_PURGE_OFF };
enum lodei_misuse { LODEI_MISUSE_ABORT, LODEI_MISUSE_IGNORE };
enum lodei_leaks { LODEI_LEAKS_OFF, LODEI_LEAKS_EXACT };
enum lodei_thp { LODEI_THP_KIND, LODEI_THP_NEVER, LODEI_THP_ALWAYS };

/*    E(name, default, choices, help)      choices separated by '|', in the order of the enum
 *    U(name, default, min, max, help)     unsigned number; the unit stands in the name
 *    S(name, help)                        path; "" when not given */
#define LODE_OPTION_TABLE(E, U, S)                                                                \
    E(purge, LODEI_PURGE_INLINE, "inline|thread|auto|off",                                        \
      "who gives unused pages back: the allocating threads, a thread of ours, one started on "    \
      "demand, nobody")                                                                           \
    U(purge_delay_ms, 500, 0, 600000,                                                             \
      "how long a page stays unused before it is given back, fragmentation aside")                \
    U(purge_budget_us, 300, 10, 1000000, "the longest one purge step inside an allocating call")  \
    E(thp, LODEI_THP_KIND, "kind|never|always",                                                   \
      "transparent huge pages: for heaps of kind huge, nowhere, for all memory")                  \
    U(reserve_gib, 1024, 1, 16384, "address space to reserve; halved until the system grants it") \
    E(misuse, LODEI_MISUSE_ABORT, "abort|ignore",                                                 \
      "what a bad free does: one line and abort, or it is counted and ignored")                   \
    E(leaks, LODEI_LEAKS_OFF, "off|exact",                                                        \
      "record every live block with its call stack and report at exit what is still live")        \
    U(leaks_frames, 16, 1, 62, "call stack frames kept per block")                                \
    U(leaks_top, 20, 1, 100000, "stacks printed by the leak report, largest first")               \
    S(leaks_file, "write the leak report there, addresses unresolved, instead of to stderr")      \
    S(stats_file, "write the heap's figures there at exit, one key=value a line")

struct lodei_conf {
#define LODEI_E(name, def, choices, help) int name;
#define LODEI_U(name, def, lo, hi, help)  uint64_t name;
#define LODEI_S(name, help)               char name[256];
    LODE_OPTION_TABLE(LODEI_E, LODEI_U, LODEI_S)
#undef LODEI_E
#undef LODEI_U
#undef LODEI_S
};

/* Holds the defaults from the start, so that it may be read before lodei_conf_parse(). */
extern __attribute__((visibility("default"))) struct lodei_conf lodei_conf;

/* Parse `text` ("key=value,…"; NULL for nothing). Each fault is one line on stderr. Not reentrant:
 * called once, from the constructor. */
void lodei_conf_parse(const char *text);

#endif
