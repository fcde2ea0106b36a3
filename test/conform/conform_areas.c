/* SPDX-License-Identifier: MIT */
/*
 * The tables of the C conformance program: its areas in the order they run, the bodies it runs
 * through exec, and the tests that other allocators are known to miss.
 */
#include "conform_areas.h"

const struct conform_area conform_areas[] = {
    {conform_alloc}, {conform_realloc}, {conform_align},   {conform_usable},  {conform_limits},
    {conform_info},  {conform_thread},  {conform_process}, {conform_dynamic}, {NULL},
};

const struct conform_mode conform_modes[] = {
    {"limit-as", conform_mode_limit_as}, {"limit-threads", conform_mode_limit_threads},
    {"atexit", conform_mode_atexit},     {"quick-exit", conform_mode_quick_exit},
    {"child", conform_mode_child},       {NULL, NULL},
};

/* mimalloc 2.0.9: what no shim over it can mend, as it keeps no figures that could be asked for. */
const struct conform_known conform_knowns[] = {
    {"mimalloc", "aligned/reuse among plain blocks", "gives blocks short of their alignment"},
    {"mimalloc", "limits/RLIMIT_DATA", "does not look whether what it commits was granted"},
    {"mimalloc", "mallinfo/follows a known pattern", "has no figure of live bytes"},
    {"mimalloc", "mallinfo2/follows a known pattern", "has no figure of live bytes"},
    {"mimalloc", "mallinfo2/totals agree", "has no figure of live bytes"},
    {"mimalloc", "malloc_info/well-formed XML with true figures", "has no figure of live bytes"},
    {"mimalloc", "malloc_trim/small blocks", "gives pages back with a delay"},
    {"mimalloc", "malloc_trim/medium blocks", "gives pages back with a delay"},
    {NULL, NULL, NULL},
};
