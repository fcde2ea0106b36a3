/* SPDX-License-Identifier: MIT */
/*
 * Terminal capabilities, from ncurses' terminfo library; the only file that includes it.
 *
 * terminfo keeps one current terminal for the process. It is held only inside
 * lodei_terminal_init(), which copies what it needs, so that stdout and stderr may differ.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curses.h>
#include <term.h>

#include "terminal.h"
#include "xalloc.h"

/* terminfo's functions take their arguments without const and change nothing. */
static char *capability(const char *name)
{
    char *text = tigetstr((char *)(uintptr_t)name);

    return text == NULL || text == (char *)-1 ? NULL : text;
}

static char *colour_sequence(void)
{
    const char *no_colour = getenv("NO_COLOR");
    char *foreground = capability("setaf");

    if ((no_colour != NULL && no_colour[0] != '\0') || foreground == NULL)
        return NULL;
    if (tigetnum((char *)(uintptr_t) "colors") < 8)
        return NULL;
    return tparm(foreground, (long)COLOR_GREEN, 0L, 0L, 0L, 0L, 0L, 0L, 0L, 0L);
}

/* A copy without padding, "$<milliseconds>", which terminals behind slow lines needed. */
static char *copy_unpadded(const char *text)
{
    char *copy = lodei_xstrdup(text), *pad;

    while ((pad = strstr(copy, "$<")) != NULL && strchr(pad, '>') != NULL) {
        const char *rest = strchr(pad, '>') + 1;

        memmove(pad, rest, strlen(rest) + 1);
    }
    return copy;
}

static char *copy_or_empty(const char *text)
{
    return copy_unpadded(text != NULL ? text : "");
}

static void read_capabilities(struct lodei_terminal *terminal)
{
    const char *plain = capability("sgr0");
    const char *line_start = capability("cr");
    const char *clear_end = capability("el");

    terminal->width = tigetnum((char *)(uintptr_t) "cols");
    if (terminal->width < 20)
        terminal->width = 80;
    terminal->bold_on = copy_or_empty(plain != NULL ? capability("bold") : NULL);
    terminal->colour_on = copy_or_empty(plain != NULL ? colour_sequence() : NULL);
    terminal->plain = copy_or_empty(plain);
    if (line_start != NULL && clear_end != NULL) {
        terminal->line_start = copy_unpadded(line_start);
        terminal->clear_end = copy_unpadded(clear_end);
    }
}

void lodei_terminal_init(struct lodei_terminal *terminal, FILE *out)
{
    int fault;

    memset(terminal, 0, sizeof(*terminal));
    terminal->out = out;
    if (isatty(fileno(out)) && setupterm(NULL, fileno(out), &fault) == OK) {
        read_capabilities(terminal);
        del_curterm(cur_term);
        return;
    }
    terminal->bold_on = copy_or_empty(NULL);
    terminal->colour_on = copy_or_empty(NULL);
    terminal->plain = copy_or_empty(NULL);
}

void lodei_terminal_finish(struct lodei_terminal *terminal)
{
    free(terminal->bold_on);
    free(terminal->colour_on);
    free(terminal->plain);
    free(terminal->line_start);
    free(terminal->clear_end);
    memset(terminal, 0, sizeof(*terminal));
}

void lodei_terminal_progress(struct lodei_terminal *terminal, const char *format, ...)
{
    char text[256];
    va_list ap;

    if (terminal->line_start == NULL)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    /* One column stays free: a full line wraps on some terminals and could not be taken back. */
    fprintf(terminal->out, "%s%.*s%s", terminal->line_start, terminal->width - 1, text,
            terminal->clear_end);
    fflush(terminal->out);
    terminal->line_shown = 1;
}

void lodei_terminal_progress_end(struct lodei_terminal *terminal)
{
    if (!terminal->line_shown)
        return;
    fprintf(terminal->out, "%s%s", terminal->line_start, terminal->clear_end);
    fflush(terminal->out);
    terminal->line_shown = 0;
}
