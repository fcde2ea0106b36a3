/* SPDX-License-Identifier: MIT */
/* JSON, with jansson; the only file that includes it. See jsondoc.h. */
#include <err.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "jsondoc.h"
#include "verbs.h"
#include "xalloc.h"

static json_t *checked(json_t *value)
{
    if (value == NULL)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    return value;
}

/* `value` becomes the document's. */
static json_t *set(struct lodei_json *in, const char *key, json_t *value)
{
    if (json_object_set_new((json_t *)in, key, checked(value)) != 0)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    return value;
}

struct lodei_json *lodei_json_create(void)
{
    return (struct lodei_json *)checked(json_object());
}

void lodei_json_finish(struct lodei_json *document, FILE *out)
{
    json_dumpf((json_t *)document, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    fputc('\n', out);
    json_decref((json_t *)document);
}

struct lodei_json *lodei_json_object(struct lodei_json *in, const char *key)
{
    return (struct lodei_json *)set(in, key, json_object());
}

struct lodei_json *lodei_json_array(struct lodei_json *in, const char *key)
{
    return (struct lodei_json *)set(in, key, json_array());
}

static json_t *append(struct lodei_json *array, json_t *value)
{
    if (json_array_append_new((json_t *)array, checked(value)) != 0)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    return value;
}

static json_t *whole(uint64_t count)
{
    return json_integer(count < INT64_MAX ? (json_int_t)count : INT64_MAX);
}

struct lodei_json *lodei_json_append(struct lodei_json *array)
{
    return (struct lodei_json *)append(array, json_object());
}

void lodei_json_append_count(struct lodei_json *array, uint64_t count)
{
    append(array, whole(count));
}

void lodei_json_null(struct lodei_json *in, const char *key)
{
    set(in, key, json_null());
}

void lodei_json_flag(struct lodei_json *in, const char *key, int flag)
{
    set(in, key, json_boolean(flag));
}

void lodei_json_count(struct lodei_json *in, const char *key, uint64_t count)
{
    set(in, key, whole(count));
}

void lodei_json_real(struct lodei_json *in, const char *key, double real)
{
    set(in, key, isfinite(real) ? json_real(real) : json_null());
}

void lodei_json_hex(struct lodei_json *in, const char *key, uint64_t number)
{
    char *text = lodei_xasprintf("0x%" PRIx64, number);

    set(in, key, json_string(text));
    free(text);
}

void lodei_json_text(struct lodei_json *in, const char *key, const char *text)
{
    json_t *string = text != NULL ? json_string(text) : json_null();
    char *ascii;

    if (string == NULL) {
        ascii = lodei_xstrdup(text);
        for (char *c = ascii; *c != '\0'; c++)
            if ((unsigned char)*c >= 0x80)
                *c = '?';
        string = json_string(ascii);
        free(ascii);
    }
    set(in, key, string);
}
