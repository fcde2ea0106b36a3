/* SPDX-License-Identifier: MIT */
/*
 * Writing a JSON document: one object, filled piece by piece and then printed. Objects and arrays
 * inside it belong to it. Out of memory ends the program.
 */
#ifndef LODEI_JSONDOC_H
#define LODEI_JSONDOC_H

#include <stdint.h>
#include <stdio.h>

struct lodei_json;

struct lodei_json *lodei_json_create(void);
/* Print the document and a newline, and be done with it. */
void lodei_json_finish(struct lodei_json *document, FILE *out);

/* A new object or array under `key`; and a new object at an array's end. */
struct lodei_json *lodei_json_object(struct lodei_json *in, const char *key);
struct lodei_json *lodei_json_array(struct lodei_json *in, const char *key);
struct lodei_json *lodei_json_append(struct lodei_json *array);
void lodei_json_append_count(struct lodei_json *array, uint64_t count);

void lodei_json_null(struct lodei_json *in, const char *key);
void lodei_json_flag(struct lodei_json *in, const char *key, int flag);
/* Up to INT64_MAX; more is printed as that. */
void lodei_json_count(struct lodei_json *in, const char *key, uint64_t count);
/* null where it is no number. */
void lodei_json_real(struct lodei_json *in, const char *key, double real);
/* A string "0x…": JSON readers keep 53 bits of a number. */
void lodei_json_hex(struct lodei_json *in, const char *key, uint64_t number);
/* NULL is null. Text from programs and file systems need not be UTF-8, which is all that JSON
 * takes: bytes that are not ASCII become '?' where it is not. */
void lodei_json_text(struct lodei_json *in, const char *key, const char *text);

#endif
