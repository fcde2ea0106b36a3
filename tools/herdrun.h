/* SPDX-License-Identifier: MIT */
/*
 * What `lode herd` and the modules it loads have in common. There is a module for each --alloc,
 * lode-herd-NAME.so, which keeps the creatures in one way; the program itself links none of them.
 * Both are built together and know each other's structs.
 */
#ifndef LODEI_HERDRUN_H
#define LODEI_HERDRUN_H

#include <stdint.h>

/* The parts of a frame in which memory is got, resized or given back, in the order in which a frame
 * has them; see herd_frame.h. */
enum lodei_herd_part {
    LODEI_HERD_ROOM,    /* of creatures' lists: first and larger rooms, paths dropped */
    LODEI_HERD_KILL,    /* all that those who died had */
    LODEI_HERD_SPAWN,   /* what those who are born have from the start; new names */
    LODEI_HERD_SCRATCH, /* what lives for the frame alone; and the frame's end */
};
enum { LODEI_HERD_PARTS = 4 };

/* A frame, in ticks of the clock of minemeter.h. */
struct lodei_herd_frame {
    uint32_t parts[LODEI_HERD_PARTS];
    uint32_t whole; /* with AI, and writing to what was got */
};

struct lodei_herd_config {
    uint32_t creatures; /* the most that are alive at once */
    uint32_t frames;
    uint64_t seed;
    struct lodei_herd_frame *times; /* written: of each frame */
};

/* What still stands when all creatures are gone. */
struct lodei_herd_left {
    uint64_t creature_blocks; /* of creatures, all tables still standing */
    uint64_t blocks;          /* of anything, all tables given up too */
    int64_t bytes;            /* the same, by the allocator's own figures */
    int bytes_known;          /* 0: malloc's owner has no mallinfo2() */
};

struct lodei_herd_result {
    uint64_t hash; /* of all creatures at the end: everything but where it is stored */
    uint64_t spawned, died;
    uint64_t operations[LODEI_HERD_PARTS]; /* creatures, lists or scratch blocks */
    uint64_t alive_end, alive_peak, died_at_once, born_at_once;
    uint64_t live_bytes; /* of what creatures hold at the end, as asked for */
    uint64_t resident_start, resident_end, resident_despawned;
    double despawn_us; /* the last creatures, all at once */
    struct lodei_herd_left left;
};

/* Returns 0, or -errno. Ends the program when out of memory. */
typedef int lodei_herd_runner(const struct lodei_herd_config *config,
                              struct lodei_herd_result *result);
#define LODEI_HERD_RUN __attribute__((visibility("default"))) int lodei_herd_run
extern lodei_herd_runner lodei_herd_run;

#endif
