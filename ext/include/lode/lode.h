/* SPDX-License-Identifier: MIT */
/**
 * @file lode.h
 * The mining API (liblode-ext.so), all of it. Each area has its own header; this one includes them.
 * Linking liblode-ext does not replace malloc.
 */
#ifndef LODE_LODE_H
#define LODE_LODE_H

#include "lode/allocator.h"
#include "lode/arena.h"
#include "lode/buddy.h"
#include "lode/cpool.h"
#include "lode/ds.h"
#include "lode/frame.h"
#include "lode/freelist.h"
#include "lode/handle.h"
#include "lode/heap.h"
#include "lode/locked.h"
#include "lode/morton.h"
#include "lode/morton_code.h"
#include "lode/offset.h"
#include "lode/pool.h"
#include "lode/predict.h"
#include "lode/regions.h"
#include "lode/request.h"
#include "lode/sdf.h"
#include "lode/slab.h"
#include "lode/stackalloc.h"
#include "lode/stats.h"
#include "lode/svo.h"
#include "lode/temperature.h"
#include "lode/util.h"

#endif
