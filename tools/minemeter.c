/* SPDX-License-Identifier: MIT */
/*
 * Clock and resident memory; see minemeter.h. The counter is compared with CLOCK_MONOTONIC for
 * 20 ms, which tells its pace to some parts in a million.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "minemeter.h"

enum { CALIBRATION_NS = 20 * 1000 * 1000, PAIRS = 101 };

static double tick_ns;
static uint64_t pair_ticks; /* what reading the clock twice takes */

static int64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static void calibrate(void)
{
    int64_t start_ns = monotonic_ns(), ns;
    uint64_t start = lodei_mine_ticks(), pairs[PAIRS];

    for (unsigned i = 0; i < PAIRS; i++) {
        uint64_t once = lodei_mine_ticks_alone();

        pairs[i] = lodei_mine_ticks_alone() - once;
    }
    qsort(pairs, PAIRS, sizeof(pairs[0]), by_value);
    pair_ticks = pairs[PAIRS / 2];
    do
        ns = monotonic_ns() - start_ns;
    while (ns < CALIBRATION_NS);
    tick_ns = (double)ns / (double)(lodei_mine_ticks() - start);
}

double lodei_mine_tick_ns(void)
{
    if (tick_ns == 0)
        calibrate();
    return tick_ns;
}

void lodei_mine_meter_init(struct lodei_mine_meter *meter)
{
    memset(meter, 0, sizeof(*meter));
    meter->until = LODEI_MINE_SAMPLED;
}

void lodei_mine_meter_add(struct lodei_mine_meter *meter, uint64_t ticks)
{
    meter->until = LODEI_MINE_SAMPLED;
    if ((double)ticks * tick_ns > LODEI_MINE_LOST_US * 1e3)
        return;
    meter->phases[meter->phase].ticks += (int64_t)(ticks - pair_ticks);
    meter->phases[meter->phase].sampled++;
}

double lodei_mine_meter_ns(const struct lodei_mine_meter *meter, enum lodei_mine_phase phase)
{
    double ticks = (double)meter->phases[phase].ticks;

    if (meter->phases[phase].sampled == 0 || ticks < 0)
        return 0;
    return ticks / (double)meter->phases[phase].sampled * (double)meter->phases[phase].operations *
           lodei_mine_tick_ns();
}

/* The figure behind "Key:" in a file of /proc, given there in kB, as bytes. */
static uint64_t proc_bytes(const char *path, const char *key)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length, filled = 0;
    char text[4096], *line;

    if (fd < 0)
        return 0;
    while (filled < (ssize_t)sizeof(text) - 1 &&
           (length = read(fd, text + filled, sizeof(text) - 1 - (size_t)filled)) > 0)
        filled += length;
    close(fd);
    text[filled] = '\0';
    line = strstr(text, key);
    return line != NULL ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

uint64_t lodei_mine_resident_bytes(void)
{
    /* statm lags behind by what each processor has not added up yet */
    return proc_bytes("/proc/self/smaps_rollup", "\nRss:");
}

uint64_t lodei_mine_peak_bytes(void)
{
    return proc_bytes("/proc/self/status", "\nVmHWM:");
}

int lodei_mine_peak_reset(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    int fault = fd < 0 || write(fd, "5", 1) != 1 ? -1 : 0;

    if (fd >= 0)
        close(fd);
    return fault;
}
