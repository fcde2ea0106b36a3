/* SPDX-License-Identifier: MIT */
/* `lode options`: prints the library's option table, for a reader or as Markdown for the README. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "optiontable.h"
#include "table.h"
#include "verbs.h"

static const char *type_name(enum lodei_option_type type)
{
    switch (type) {
    case LODEI_OPTION_CHOICE:
        return "choice";
    case LODEI_OPTION_NUMBER:
        return "number";
    default:
        return "path";
    }
}

static void print_text(void)
{
    struct lodei_table *table = lodei_table_create("lllll", 1);
    struct lodei_terminal terminal;

    lodei_terminal_init(&terminal, stdout);
    lodei_table_cell(table, "option");
    lodei_table_cell(table, "type");
    lodei_table_cell(table, "default");
    lodei_table_cell(table, "allowed");
    lodei_table_cell(table, "meaning");
    for (size_t i = 0; i < lodei_option_row_count; i++) {
        const struct lodei_option *row = &lodei_option_rows[i];
        char *allowed = lodei_option_allowed(row), *value = lodei_option_default(row);

        lodei_table_cell(table, "%s", row->name);
        lodei_table_cell(table, "%s", type_name(row->type));
        lodei_table_cell(table, "%s", value[0] != '\0' ? value : "(none)");
        lodei_table_cell(table, "%s", row->type == LODEI_OPTION_PATH ? "any" : allowed);
        lodei_table_cell(table, "%s", row->help);
        free(allowed);
        free(value);
    }
    lodei_table_print(table, &terminal, 0);
    lodei_table_destroy(table);
    lodei_terminal_finish(&terminal);
}

/* '|' separates the cells of a Markdown table even inside code. */
static void print_escaped(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
}

static void print_markdown(void)
{
    printf("| option | type | default | allowed | meaning |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < lodei_option_row_count; i++) {
        const struct lodei_option *row = &lodei_option_rows[i];
        char *allowed = lodei_option_allowed(row), *value = lodei_option_default(row);

        printf("| `%s` | %s | %s | ", row->name, type_name(row->type), value);
        print_escaped(row->type == LODEI_OPTION_PATH ? "" : allowed);
        printf(" | ");
        print_escaped(row->help);
        printf(" |\n");
        free(allowed);
        free(value);
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    int *markdown = state->input;

    (void)arg;
    switch (key) {
    case 'm':
        *markdown = 1;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "no arguments are taken");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int lodei_verb_options(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"markdown", 'm', NULL, 0, "as a Markdown table", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc = "List the options that LODE_OPTIONS=\"key=value,key=value\" understands.",
    };
    int markdown = 0;

    if (argp_parse(&argp, argc, argv, 0, NULL, &markdown) != 0)
        return LODEI_EXIT_BAD_INPUT;
    if (markdown)
        print_markdown();
    else
        print_text();
    return 0;
}
