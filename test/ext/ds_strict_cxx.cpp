/* SPDX-License-Identifier: MIT */
/* The same as C++17. */
#include "ds_strict.c"
