/* SPDX-License-Identifier: MIT */
/*
 * Fields of bricks against a naive dense model (test/ext/sdf_model.h): the input says what is done,
 * in what order, and where; an operation is 4 bytes. The first byte picks brick size, place in the
 * world and limit.
 */
#include <string.h>

#include "fuzz_input.h"
#include "../ext/sdf_model.h"

#define EDGE ((1 << 20) - MODEL_SIDE)

static struct lode_brick_box box_of(const struct model *m, const uint8_t *op)
{
    struct lode_brick_box box;
    int32_t lo[3] = {op[1] % 9 - 2, op[1] / 9 % 9 - 2, op[2] % 9 - 2};
    int32_t side[3] = {op[2] / 9 % 7, op[3] % 7, op[3] / 7 % 7};
    if (op[1] > 250) /* far away */
        lo[0] = (op[1] & 1) != 0 ? 1 << 12 : -(1 << 12);
    if (op[2] > 250) /* upside down */
        side[1] = -3;
    box.lo = (struct lode_ivec3){m->origin.x + lo[0], m->origin.y + lo[1], m->origin.z + lo[2]};
    box.hi = (struct lode_ivec3){box.lo.x + side[0], box.lo.y + side[1], box.lo.z + side[2]};
    return box;
}

static void change(struct model *m, const uint8_t *op, uint64_t seed)
{
    unsigned channel = op[2] % 4 == 3 ? 0 : op[2] % 4, place = op[1] % MODEL_BRICKS;
    struct lode_brick_box box = box_of(m, op);
    switch (op[0] % 16) {
    case 0:
        model_alloc(m, channel, place, op[3] % 5);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        model_store(m, channel, place, op[3] % 5, op[3] / 5 % 4, op[3] / 20 % 6, seed);
        break;
    case 6:
        model_free(m, channel, place);
        break;
    case 7:
        model_free_many(m, channel, place, op[3] % 16);
        break;
    case 8:
        model_encode(m, place, seed);
        break;
    case 9:
    case 10:
        model_edit(m, place, seed);
        break;
    case 11:
        model_retier(m, channel, place, op[3] % 4);
        break;
    case 12:
        model_prioritise(m, channel, place, op[3] % 5);
        break;
    case 13:
        if (op[2] % 2 == 0) {
            model_copy_packed(m, op[2] % MODEL_BRICKS, place, op[3] % 4);
            break;
        }
        model_band(m, op[1] % 4, (float)(op[3] % 24) / 4);
        break;
    case 14:
        if (op[3] % 4 == 0)
            model_window(m, &box);
        else if (op[3] % 4 == 1)
            model_trim(m);
        else
            model_hint(m, op[1] % (MODEL_BRICKS + 2), seed);
        break;
    default:
        model_evict(m, (size_t)op[3] * 16);
        break;
    }
}

static void look(struct model *m, const uint8_t *op, uint64_t seed)
{
    unsigned channel = op[2] % MODEL_CHANNELS, place = op[1] % (MODEL_BRICKS + 2);
    struct lode_brick_box box = box_of(m, op);
    switch (op[0] % 8) {
    case 0:
        model_view(m, place % MODEL_BRICKS);
        break;
    case 1:
        model_sample(m, place, seed);
        break;
    case 2:
        model_around(m, place, op[3] % (m->dim + 1));
        break;
    case 3:
        model_stale(m, op[1]);
        break;
    case 4:
        model_walk(m, channel, op[3] % 8 == 0 ? NULL : &box);
        break;
    case 5:
        model_stats(m);
        break;
    default:
        model_look(m, channel, place);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct model m;
    static const int32_t origins[] = {-2, 0, EDGE, -(1 << 20), 12345, -77};
    if (bytes == 0)
        return 0;
    int32_t at = origins[data[0] / 4 % 6];
    model_create(&m, data[0] % 2 != 0 ? 8 : 4,
                 (struct lode_ivec3){at, origins[data[0] / 24 % 6], at}, data[0] % 4 >= 2 ? 40 : 0);
    for (size_t i = 1; i + 4 <= bytes; i += 4) {
        uint64_t seed;
        uint32_t op;
        memcpy(&op, data + i, sizeof(op));
        seed = op * UINT64_C(0x9e3779b97f4a7c15) >> 20;
        if ((data[i] & 128) == 0)
            change(&m, data + i, seed);
        else
            look(&m, data + i, seed);
    }
    for (unsigned place = 0; place < MODEL_BRICKS; place++)
        for (unsigned channel = 0; channel < MODEL_CHANNELS; channel++)
            model_look(&m, channel, place);
    for (unsigned channel = 0; channel < MODEL_CHANNELS; channel++)
        model_walk(&m, channel, NULL);
    model_stats(&m);
    model_trim(&m);
    model_destroy(&m);
    return 0;
}
