/* SPDX-License-Identifier: MIT */
/*
 * Frame arenas. Owns lanes with their tables of chunks for each frame that is kept, lists of large
 * blocks, and unless it was given one, the heap they are from. framearena.h has the layout.
 *
 * An allocation adds its units to the word of its thread's lane. What it gets back says in which
 * chunk of which frame it landed and where. Beyond the chunk's end it has failed: it takes the lock
 * and moves the word on to the next chunk, unless somebody else has. Once one addition has gone
 * beyond the end all later ones fail, so the lock's owner may set the word: no block is lost by it.
 * An addition is of at most 2^16 units and each thread adds once before it waits for the lock, so
 * that it would take 14,000 threads at once on one lane to carry out of the position.
 *
 * A chunk's place in its table never changes, so a thread that was delayed between its addition and
 * its look at the table finds the right chunk, or finds by `generation` that its frame is over, and
 * starts again.
 *
 * Two threads that add to one word took 34 ns each, with a lane each 9 ns (EPYC, two cores).
 *
 * Blocks of more than an eighth of the smallest chunk get memory of their own, under the lock,
 * which is used again for as large ones while it is used at all.
 */
#include "ext/framearena.h"

#include <errno.h>

#include "ext/ops.h"
#include "ext/opts.h"
#include "ext/poison.h"

#define CHUNK_DEFAULT   ((size_t)64 << 10)
#define CHUNK_LEAST     ((size_t)4 << 10)
#define CHUNK_MOST      ((size_t)64 << 20)
#define CHUNK_UNITS_MAX ((size_t)1 << 27) /* 2 GiB, far from the end of a position */
#define CHUNKS_A_SIZE   4                 /* then they double */
#define SMALL_UNITS_MAX ((size_t)1 << 16)
#define FRAMES_MAX      8
/* A spare large block goes back to the heap when so many frames did not want it. */
#define LARGE_IDLE_FRAMES 16

_Static_assert(sizeof(struct lode_frame_opts) == 16 + 2 * sizeof(size_t) + 2 * sizeof(void *),
               "no hidden padding");
_Static_assert(sizeof(((struct lode_frame *)0)->larges) /
                       sizeof(((struct lode_frame *)0)->larges[0]) ==
                   FRAMES_MAX,
               "one list a frame");

unsigned lodei_frame_lane_number(void)
{
    /* 4 bytes of static TLS; 0: this thread has none yet. */
    static __thread unsigned mine __attribute__((tls_model("initial-exec")));
    static _Atomic unsigned threads;
    if (lode_unlikely(mine == 0))
        /* relaxed: different numbers are all that is wanted */
        mine = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % LODEI_FRAME_LANES + 1;
    return mine - 1;
}

/* relaxed: for who holds the lock, under which it changes */
static uint64_t generation_now(const struct lode_frame *f)
{
    return atomic_load_explicit(&f->generation, memory_order_relaxed);
}

/* ---- memory; under the lock ---- */

static void *memory_take(struct lode_frame *f, size_t bytes, size_t align)
{
    if (bytes > f->max_bytes - f->total_bytes)
        return NULL;
    void *p = lodei_source_alloc(&f->source, bytes, align);
    if (p != NULL)
        f->total_bytes += bytes;
    return p;
}

static size_t memory_give(struct lode_frame *f, void *p, size_t bytes)
{
    f->total_bytes -= bytes;
    lodei_source_free(p, bytes);
    return bytes;
}

size_t lodei_frame_chunk_size(const struct lode_frame *f, unsigned number)
{
    size_t bytes = f->chunk_bytes << lodei_min(number / CHUNKS_A_SIZE, 32);
    bytes = lodei_min(bytes, CHUNK_UNITS_MAX << LODEI_FRAME_UNIT_LOG2);
    return lodei_min(bytes, lodei_round_down(f->max_bytes - f->total_bytes, LODEI_FRAME_LINE));
}

/* Have a chunk of that number, with at least `units` if it is made now. */
static int chunk_have(struct lode_frame *f, struct lodei_frame_chunk *chunk, unsigned number,
                      size_t units)
{
    if (lodei_frame_base(chunk) != 0)
        return 1;
    size_t bytes = lodei_frame_chunk_size(f, number);
    if (bytes < units << LODEI_FRAME_UNIT_LOG2)
        return 0;
    f->misses++;
    void *base = memory_take(f, bytes, LODEI_FRAME_LINE);
    if (base == NULL)
        return 0;
    lodei_taken(base, bytes);
    atomic_store_explicit(&chunk->units, (uint32_t)(bytes >> LODEI_FRAME_UNIT_LOG2),
                          memory_order_relaxed);
    /* release: pairs with the acquire in landed(): who sees it sees the units, and the generation
     * it was made in */
    atomic_store_explicit(&chunk->base, (uintptr_t)base, memory_order_release);
    return 1;
}

static size_t chunk_give(struct lode_frame *f, struct lodei_frame_chunk *chunk)
{
    size_t units = lodei_frame_units(chunk);
    void *base = (void *)lodei_frame_base(chunk);
    if (units == 0)
        return 0;
    /* relaxed: whoever may still look is late, and finds that out by the generation */
    atomic_store_explicit(&chunk->base, 0, memory_order_relaxed);
    return memory_give(f, base, units << LODEI_FRAME_UNIT_LOG2);
}

/* The lane, made if need be; NULL: out of memory. Takes the lock. */
static LODE_COLD struct lodei_frame_lane *lane_have(struct lode_frame *f, unsigned number)
{
    pthread_mutex_lock(&f->lock);
    struct lodei_frame_lane *lane = lodei_frame_lane(f, number);
    if (lane == NULL) {
        lane = lodei_source_calloc(&f->source, lodei_frame_lane_bytes(f));
        if (lane != NULL) {
            f->lane_count++;
            /* relaxed: shown by the release below, which pairs with lodei_frame_lane() */
            atomic_store_explicit(&lane->word, lodei_frame_word(generation_now(f), 0, 0),
                                  memory_order_relaxed);
            atomic_store_explicit(&f->lanes[number], lane, memory_order_release);
        }
    }
    pthread_mutex_unlock(&f->lock);
    return lane;
}

/* A spare block with memory for `need` bytes and not more than twice as much; NULL: none. */
static struct lodei_frame_large *spare_take(struct lode_frame *f, size_t need)
{
    for (struct lodei_frame_large **from = &f->spare, *l; (l = *from) != NULL; from = &l->next)
        if (l->total_bytes >= need && l->total_bytes / 2 <= need) {
            *from = l->next;
            return l;
        }
    return NULL;
}

/* Give those back that were not wanted since before `oldest`; the bytes. */
static size_t spare_give(struct lode_frame *f, uint64_t oldest)
{
    struct lodei_frame_large **from = &f->spare, *l;
    size_t bytes = 0;
    while ((l = *from) != NULL) {
        if (l->last_used >= oldest) {
            from = &l->next;
        } else {
            *from = l->next;
            bytes += memory_give(f, l, l->total_bytes);
        }
    }
    return bytes;
}

/* ---- allocation ---- */

/* What an addition landed on. */
enum landing {
    LANDED,
    BEYOND,  /* the chunk's end, or there is no such chunk yet */
    TOO_LATE /* a frame that is over */
};

LODE_INLINE enum landing landed(struct lode_frame *f, struct lodei_frame_lane *lane, uint64_t word,
                                size_t units, struct lode_frame_ref *ret_ref)
{
    uint64_t generation = lodei_frame_generation_in(word);
    const struct lodei_frame_chunk *chunk =
        &lodei_frame_age(f, lane, generation)->chunks[lodei_frame_chunk_in(word)];
    /* acquire: pairs with chunk_have(); if this is a later frame's chunk, the generation below is
     * that frame's at least */
    uintptr_t base = atomic_load_explicit(&chunk->base, memory_order_acquire);
    size_t has = atomic_load_explicit(&chunk->units, memory_order_relaxed);
    /* acquire: pairs with the release in lode_frame_advance(); not older than the word */
    uint64_t now = atomic_load_explicit(&f->generation, memory_order_acquire);
    if (lode_unlikely((now & LODEI_FRAME_GENERATION_MASK) != generation))
        return TOO_LATE;
    if (lode_unlikely(base == 0 || lodei_frame_position(word) + units > has))
        return BEYOND;
    ret_ref->block = (void *)(base + (lodei_frame_position(word) << LODEI_FRAME_UNIT_LOG2));
    ret_ref->generation = now;
    return LANDED;
}

/*
 * An addition went beyond, at `seen`. Move the word on and land at the next chunk's start. 1:
 * landed, in *ret_word; 0: somebody else has moved it, try again; -1: no memory.
 */
static int move_on(struct lode_frame *f, struct lodei_frame_lane *lane, uint64_t seen, size_t units,
                   uint64_t *ret_word)
{
    int status = 0;
    pthread_mutex_lock(&f->lock);
    uint64_t word = atomic_load_explicit(&lane->word, memory_order_relaxed); /* moved under lock */
    uint64_t now = generation_now(f);
    struct lodei_frame_age *age = lodei_frame_age(f, lane, now);
    unsigned number = lodei_frame_chunk_in(word);
    size_t has = lodei_frame_units(&age->chunks[number]);
    if (word >> LODEI_FRAME_POSITION_BITS != seen >> LODEI_FRAME_POSITION_BITS ||
        lodei_frame_position(word) + units <= has)
        goto done;
    if (has != 0)
        number++;
    status = -1;
    for (; number < LODEI_FRAME_CHUNKS && status < 0; number += status < 0) {
        if (!chunk_have(f, &age->chunks[number], number, units))
            break;
        if (lodei_frame_units(&age->chunks[number]) >= units)
            status = 1;
    }
    if (status < 0) {
        /* Additions that fail do not add up: the first one beyond the end, of which there is one
         * only, takes all of them back. relaxed: no new chunk is shown */
        if (lodei_frame_position(seen) <= has)
            atomic_store_explicit(&lane->word, seen, memory_order_relaxed);
        goto done;
    }
    age->full = number;
    *ret_word = lodei_frame_word(now, number, 0);
    /* release: pairs with the acquire of the next addition */
    atomic_store_explicit(&lane->word, *ret_word + units, memory_order_release);
done:
    pthread_mutex_unlock(&f->lock);
    return status;
}

/* An addition has not landed. As move_on(). */
static LODE_NOINLINE int alloc_again(struct lode_frame *f, struct lodei_frame_lane *lane,
                                     enum landing landing, uint64_t seen, size_t units,
                                     struct lode_frame_ref *ret_ref)
{
    uint64_t word;
    if (landing == TOO_LATE) {
        /* lode_frame_advance() is under way and has not come to this lane yet. */
        pthread_mutex_lock(&f->lock);
        pthread_mutex_unlock(&f->lock);
        return 0;
    }
    int moved = move_on(f, lane, seen, units, &word);
    if (moved > 0 && landed(f, lane, word, units, ret_ref) != LANDED)
        moved = 0;
    return moved;
}

LODE_INLINE int alloc_small(struct lode_frame *f, size_t units, struct lode_frame_ref *ret_ref)
{
    unsigned number = lodei_frame_lane_number();
    struct lodei_frame_lane *lane = lodei_frame_lane(f, number);
    if (lode_unlikely(lane == NULL)) {
        lane = lane_have(f, number);
        if (lane == NULL)
            return 0;
    }
    for (;;) {
        /* acquire: pairs with the stores in move_on() and lode_frame_advance() */
        uint64_t word = atomic_fetch_add_explicit(&lane->word, units, memory_order_acquire);
        enum landing landing = landed(f, lane, word, units, ret_ref);
        if (lode_likely(landing == LANDED))
            return 1;
        int moved = alloc_again(f, lane, landing, word, units, ret_ref);
        if (moved != 0)
            return moved > 0;
    }
}

static LODE_NOINLINE int alloc_large(struct lode_frame *f, size_t bytes, size_t slack,
                                     struct lode_frame_ref *ret_ref)
{
    size_t need = bytes + slack + sizeof(struct lodei_frame_large);
    pthread_mutex_lock(&f->lock);
    uint64_t now = generation_now(f);
    struct lodei_frame_large *l = spare_take(f, need);
    if (l == NULL) {
        f->misses++;
        l = memory_take(f, need, LODEI_FRAME_UNIT);
        if (l != NULL) {
            l->total_bytes = need;
            lodei_taken(l + 1, need - sizeof(*l));
        }
    }
    if (l != NULL) {
        l->last_used = now;
        l->next = f->larges[now & f->age_mask].list;
        f->larges[now & f->age_mask].list = l;
        f->larges[now & f->age_mask].used_bytes += l->total_bytes - sizeof(*l);
        *ret_ref = (struct lode_frame_ref){.block = l + 1, .generation = now};
    }
    pthread_mutex_unlock(&f->lock);
    return l != NULL;
}

struct lode_frame_ref lode_frame_alloc_ref(struct lode_frame *f, size_t bytes, size_t align)
{
    struct lode_frame_ref ref = {NULL, 0};
    int served = 0;
    align = lodei_align_take(align);
    bytes = lodei_max(bytes, 1);
    size_t slack = lodei_frame_slack(align), whole = lodei_round_up(bytes, LODEI_FRAME_UNIT);
    if (lode_likely(align != 0 && bytes <= PTRDIFF_MAX / 2 && slack <= PTRDIFF_MAX / 4)) {
        size_t units = (whole + slack) >> LODEI_FRAME_UNIT_LOG2;
        served = lode_likely(units <= f->small_units) ? alloc_small(f, units, &ref)
                                                      : alloc_large(f, whole, slack, &ref);
    }
    if (lode_unlikely(!served)) {
        atomic_fetch_add_explicit(&f->failures, 1, memory_order_relaxed); /* a figure */
        return ref;
    }
    ref.block = (void *)lodei_round_up((uintptr_t)ref.block, align);
    lodei_given(ref.block, bytes);
    return ref;
}

void *lode_frame_alloc(struct lode_frame *f, size_t bytes, size_t align)
{
    return lode_frame_alloc_ref(f, bytes, align).block;
}

/* ---- frames ---- */

uint64_t lode_frame_generation(const struct lode_frame *f)
{
    /* acquire: pairs with lode_frame_advance() */
    return atomic_load_explicit(&f->generation, memory_order_acquire);
}

void *lode_frame_get(const struct lode_frame *f, struct lode_frame_ref ref)
{
    return lode_frame_generation(f) - ref.generation < f->frames ? ref.block : NULL;
}

size_t lodei_frame_last_units(const struct lode_frame *f, struct lodei_frame_lane *lane,
                              uint64_t generation)
{
    const struct lodei_frame_age *age = lodei_frame_age(f, lane, generation);
    size_t units = age->last_units;
    if (generation == generation_now(f)) /* relaxed: a figure */
        units = lodei_frame_position(atomic_load_explicit(&lane->word, memory_order_relaxed));
    return lodei_min(units, lodei_frame_units(&age->chunks[age->full]));
}

size_t lodei_frame_used_small(const struct lode_frame *f)
{
    size_t units = 0;
    uint64_t now = generation_now(f);
    for (unsigned i = 0; i < LODEI_FRAME_LANES; i++) {
        struct lodei_frame_lane *lane = lodei_frame_lane(f, i);
        for (uint64_t g = now; lane != NULL && g + f->frames > now && g != 0; g--) {
            const struct lodei_frame_age *age = lodei_frame_age(f, lane, g);
            for (unsigned n = 0; n < age->full; n++)
                units += lodei_frame_units(&age->chunks[n]);
            units += lodei_frame_last_units(f, lane, g);
        }
    }
    return units << LODEI_FRAME_UNIT_LOG2;
}

size_t lodei_frame_used_large(const struct lode_frame *f)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i <= f->age_mask; i++)
        bytes += f->larges[i].used_bytes;
    return bytes;
}

/* Everything of that frame is nobody's. */
static void give_up(struct lode_frame *f, uint64_t generation)
{
    for (unsigned i = 0; i < LODEI_FRAME_LANES; i++) {
        struct lodei_frame_lane *lane = lodei_frame_lane(f, i);
        if (lane == NULL)
            continue;
        struct lodei_frame_age *age = lodei_frame_age(f, lane, generation);
        for (unsigned n = 0; n <= age->full; n++)
            lodei_taken((void *)lodei_frame_base(&age->chunks[n]),
                        lodei_frame_units(&age->chunks[n]) << LODEI_FRAME_UNIT_LOG2);
        age->full = 0;
        age->last_units = 0;
    }
    struct lodei_frame_large *l;
    while ((l = f->larges[generation & f->age_mask].list) != NULL) {
        f->larges[generation & f->age_mask].list = l->next;
        lodei_taken(l + 1, l->total_bytes - sizeof(*l));
        l->next = f->spare;
        f->spare = l;
    }
    f->larges[generation & f->age_mask].used_bytes = 0;
}

uint64_t lode_frame_advance(struct lode_frame *f)
{
    pthread_mutex_lock(&f->lock);
    uint64_t now = generation_now(f), next = now + 1, patience = LARGE_IDLE_FRAMES + f->frames;
    f->peak_bytes = lodei_max(f->peak_bytes, lodei_frame_used_small(f) + lodei_frame_used_large(f));
    /* release: pairs with landed(): whoever lands in the new frame knows its number. Before the
     * oldest frame is given up and before the words change: an addition that is late finds that
     * out, and who has seen the new frame lands in no older one. */
    atomic_store_explicit(&f->generation, next, memory_order_release);
    give_up(f, next - f->frames);
    for (unsigned i = 0; i < LODEI_FRAME_LANES; i++) {
        struct lodei_frame_lane *lane = lodei_frame_lane(f, i);
        if (lane == NULL)
            continue;
        /* acq_rel: pairs with the next addition, and orders the exchange behind the earlier ones */
        uint64_t word = atomic_exchange_explicit(&lane->word, lodei_frame_word(next, 0, 0),
                                                 memory_order_acq_rel);
        if (f->frames > 1)
            lodei_frame_age(f, lane, now)->last_units = lodei_frame_position(word);
    }
    if (next > patience)
        (void)spare_give(f, next - patience);
    pthread_mutex_unlock(&f->lock);
    return next;
}

size_t lode_frame_trim(struct lode_frame *f)
{
    pthread_mutex_lock(&f->lock);
    size_t bytes = spare_give(f, UINT64_MAX);
    for (unsigned i = 0; i < LODEI_FRAME_LANES; i++) {
        struct lodei_frame_lane *lane = lodei_frame_lane(f, i);
        for (uint32_t a = 0; lane != NULL && a <= f->age_mask; a++)
            for (unsigned n = lane->ages[a].full + 1; n < LODEI_FRAME_CHUNKS; n++)
                bytes += chunk_give(f, &lane->ages[a].chunks[n]);
    }
    pthread_mutex_unlock(&f->lock);
    return bytes;
}

/* ---- life ---- */

static int opts_check(struct lode_frame_opts *o)
{
    if (o->frames == 0)
        o->frames = 2;
    if (o->chunk_bytes == 0)
        o->chunk_bytes = CHUNK_DEFAULT;
    if (o->max_bytes == 0)
        o->max_bytes = SIZE_MAX;
    if (o->frames > FRAMES_MAX || o->flags != 0 || o->reserved != 0)
        return -EINVAL;
    return o->chunk_bytes < CHUNK_LEAST || o->chunk_bytes > CHUNK_MOST ? -EINVAL : 0;
}

int lode_frame_create(const struct lode_frame_opts *opts, struct lode_frame **ret_frame)
{
    struct lode_frame_opts o;
    struct lodei_source source;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error == 0)
        error = opts_check(&o);
    if (error == 0)
        error = lodei_source_open(&source, o.heap, o.tag, o.name != NULL ? o.name : "frame");
    if (error != 0)
        return error;
    struct lode_frame *f = lodei_source_calloc(&source, sizeof(*f));
    if (f == NULL) {
        lodei_source_close(&source);
        return -ENOMEM;
    }
    f->source = source;
    f->frames = o.frames;
    while (f->age_mask + 1 < o.frames)
        f->age_mask = 2 * f->age_mask + 1;
    f->chunk_bytes = lodei_round_up(o.chunk_bytes, LODEI_FRAME_LINE);
    f->max_bytes = o.max_bytes;
    f->small_units =
        (uint32_t)lodei_min((f->chunk_bytes / 8) >> LODEI_FRAME_UNIT_LOG2, SMALL_UNITS_MAX);
    pthread_mutex_init(&f->lock, NULL);
    /* relaxed: nobody else knows it yet */
    atomic_store_explicit(&f->generation, 1, memory_order_relaxed);
    lodei_registry_add_locked(&f->registered, "frame", o.name, f, lodei_frame_describe, &f->lock);
    *ret_frame = f;
    return 0;
}

void lode_frame_destroy(struct lode_frame *f)
{
    if (f == NULL)
        return;
    struct lodei_source source = f->source;
    lodei_registry_remove(&f->registered);
    for (uint32_t a = 0; a <= f->age_mask; a++)
        give_up(f, a);
    for (unsigned i = 0; i < LODEI_FRAME_LANES; i++) {
        struct lodei_frame_lane *lane = lodei_frame_lane(f, i);
        for (uint32_t a = 0; lane != NULL && a <= f->age_mask; a++)
            for (unsigned n = 0; n < LODEI_FRAME_CHUNKS; n++)
                (void)chunk_give(f, &lane->ages[a].chunks[n]);
        lodei_source_free(lane, lodei_frame_lane_bytes(f));
    }
    (void)spare_give(f, UINT64_MAX);
    pthread_mutex_destroy(&f->lock);
    lodei_source_free(f, sizeof(*f));
    lodei_source_close(&source);
}
