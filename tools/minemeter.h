/* SPDX-License-Identifier: MIT */
/*
 * What `lode mine` measures with: a clock, the share of memory operations, resident memory.
 *
 * A memory operation is a call that gets, gives back or resizes memory of bricks or nodes. Timing
 * each would cost more than most of them take; timed is every LODEI_MINE_SAMPLED-th, a prime, so
 * that no pattern of calls is always met at the same place, less what reading the clock twice takes
 * by itself. The processor finishes what came before and starts nothing of what comes after while
 * one is timed: otherwise much of it runs beside other work, and takes next to nothing. So what is
 * found is the most that memory operations can cost, and bounds what could be won without them.
 * Page faults that come when the memory is first written to are not in it. A sample of more than
 * LODEI_MINE_LOST_US is taken for the scheduler's doing and left out.
 *
 * None of this allocates.
 */
#ifndef LODEI_MINEMETER_H
#define LODEI_MINEMETER_H

#include <stdint.h>

enum { LODEI_MINE_SAMPLED = 17, LODEI_MINE_LOST_US = 500 };

enum lodei_mine_phase {
    LODEI_MINE_BUILD, /* the first filling of the window */
    LODEI_MINE_EDIT,  /* edits */
    LODEI_MINE_LEAVE, /* bricks that left the window given back */
    LODEI_MINE_ENTER, /* bricks that entered it made */
};
enum { LODEI_MINE_PHASES = 4 };

/* One thread's at a time. */
struct lodei_mine_meter {
    enum lodei_mine_phase phase;
    uint32_t until; /* the next operation that is timed */
    struct {
        uint64_t operations, sampled;
        int64_t ticks; /* of those sampled */
    } phases[LODEI_MINE_PHASES];
};

/* The processor's counter; and the same, with all that stands before it done, and nothing begun
 * that stands after it. */
#if defined(__x86_64__)
static inline uint64_t lodei_mine_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

static inline uint64_t lodei_mine_ticks_alone(void)
{
    uint64_t ticks;

    __builtin_ia32_lfence();
    ticks = __builtin_ia32_rdtsc();
    __builtin_ia32_lfence();
    return ticks;
}
#elif defined(__aarch64__)
static inline uint64_t lodei_mine_ticks(void)
{
    uint64_t ticks;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}

static inline uint64_t lodei_mine_ticks_alone(void)
{
    uint64_t ticks;

    __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks) : : "memory");
    return ticks;
}
#else
#error "lodei_mine_ticks(): which counter has this processor?"
#endif

void lodei_mine_meter_init(struct lodei_mine_meter *meter);

/* Count the operation of `statement`, and maybe time it. */
#define LODEI_MINE_MEMORY(meter, statement)                                             \
    do {                                                                                \
        (meter)->phases[(meter)->phase].operations++;                                   \
        if (--(meter)->until == 0) {                                                    \
            uint64_t lodei_mine_start = lodei_mine_ticks_alone();                       \
            statement;                                                                  \
            lodei_mine_meter_add((meter), lodei_mine_ticks_alone() - lodei_mine_start); \
        } else {                                                                        \
            statement;                                                                  \
        }                                                                               \
    } while (0)

/* Take a sample of so many ticks. */
void lodei_mine_meter_add(struct lodei_mine_meter *meter, uint64_t ticks);

/* What all operations of a phase took, as the samples have it. */
double lodei_mine_meter_ns(const struct lodei_mine_meter *meter, enum lodei_mine_phase phase);

/* Nanoseconds a tick. The first call, and none that another thread's could meet, takes 20 ms. */
double lodei_mine_tick_ns(void);

/* Resident bytes of this process now, exactly; 0 where the kernel does not say. */
uint64_t lodei_mine_resident_bytes(void);
/* The most they were since lodei_mine_peak_reset(); 0 where it is not known. */
uint64_t lodei_mine_peak_bytes(void);
/* 0, or -1: the kernel does not let us, and there is no peak to be had. */
int lodei_mine_peak_reset(void);

#endif
