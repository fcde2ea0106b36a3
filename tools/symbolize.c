/* SPDX-License-Identifier: MIT */
/*
 * Addresses to names, with libdw (libdwfl); the only file that includes it. See symbolize.h.
 *
 * Every module has a Dwfl of its own: one Dwfl refuses modules that overlap, as those of a process
 * that unloaded libraries do. A return address belongs to the call before it, so it is looked up
 * one byte earlier.
 *
 * The scopes around an address run from the innermost inlined call out to the function itself:
 *
 *     scope       name            source position of the frame
 *     inlined g   g               line table at the address
 *     inlined f   f               where g was called  (DW_AT_call_file, DW_AT_call_line of g)
 *     function    main            where f was called
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize.h"
#include "xalloc.h"

/* The C++ runtime's demangler, from the ABI that gcc and clang share; it has no C header. */
char *__cxa_demangle(const char *mangled, char *buffer, size_t *bytes, int *status);

/* Addresses that one compilation unit covers; of `bias` less in its own numbering. */
struct unit_range {
    uint64_t start, end;
    Dwarf_Addr bias;
    Dwarf_Die die;
};

struct module {
    uint64_t base, end, bias;
    char *path;
    int opened;
    Dwfl *dwfl;
    Dwfl_Module *dwfl_module; /* NULL: the file could not be read */
    struct unit_range *units; /* sorted by start */
    size_t unit_count, unit_room;
};

struct lodei_symbolizer {
    struct module *modules;
    size_t count, room;
};

/* What one lookup carries along. */
struct lookup {
    struct lodei_frame frame;
    lodei_frame_visitor visit;
    void *ctx;
};

struct lodei_symbolizer *lodei_symbolizer_create(void)
{
    return lodei_xcalloc(1, sizeof(struct lodei_symbolizer));
}

void lodei_symbolizer_destroy(struct lodei_symbolizer *symbolizer)
{
    if (symbolizer == NULL)
        return;
    for (size_t i = 0; i < symbolizer->count; i++) {
        if (symbolizer->modules[i].dwfl != NULL)
            dwfl_end(symbolizer->modules[i].dwfl);
        free(symbolizer->modules[i].units);
        free(symbolizer->modules[i].path);
    }
    free(symbolizer->modules);
    free(symbolizer);
}

void lodei_symbolizer_add(struct lodei_symbolizer *symbolizer, uint64_t base, uint64_t end,
                          uint64_t bias, const char *path)
{
    if (symbolizer->count == symbolizer->room) {
        symbolizer->room = symbolizer->room > 0 ? symbolizer->room * 2 : 32;
        symbolizer->modules = lodei_xreallocarray(symbolizer->modules, symbolizer->room,
                                                  sizeof(*symbolizer->modules));
    }
    symbolizer->modules[symbolizer->count++] =
        (struct module){.base = base, .end = end, .bias = bias, .path = lodei_xstrdup(path)};
}

static struct module *find_module(struct lodei_symbolizer *symbolizer, uint64_t pc)
{
    for (size_t i = symbolizer->count; i-- > 0;)
        if (pc >= symbolizer->modules[i].base && pc < symbolizer->modules[i].end)
            return &symbolizer->modules[i];
    return NULL;
}

static void add_unit(struct module *module, Dwarf_Die *die, Dwarf_Addr bias)
{
    Dwarf_Addr base = 0, start, end;
    ptrdiff_t offset = 0;

    while ((offset = dwarf_ranges(die, offset, &base, &start, &end)) > 0) {
        /* What the linker threw away starts at 0. */
        if (start == 0 || start >= end)
            continue;
        if (module->unit_count == module->unit_room) {
            module->unit_room = module->unit_room > 0 ? module->unit_room * 2 : 256;
            module->units =
                lodei_xreallocarray(module->units, module->unit_room, sizeof(*module->units));
        }
        module->units[module->unit_count++] = (struct unit_range){
            .start = start + bias, .end = end + bias, .bias = bias, .die = *die};
    }
}

static int by_start(const void *a, const void *b)
{
    const struct unit_range *left = a, *right = b;

    return (left->start > right->start) - (left->start < right->start);
}

/* libdwfl's own search goes by .debug_aranges, which clang does not write, and gives code without
 * debug information to the unit in front of it: so the units are indexed here. */
static void index_units(struct module *module)
{
    Dwarf_Die *die = NULL;
    Dwarf_Addr bias;

    while ((die = dwfl_module_nextcu(module->dwfl_module, die, &bias)) != NULL)
        add_unit(module, die, bias);
    if (module->unit_count > 0)
        qsort(module->units, module->unit_count, sizeof(*module->units), by_start);
}

static struct unit_range *find_unit(struct module *module, uint64_t pc)
{
    size_t low = 0, high = module->unit_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (module->units[middle].start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && pc < module->units[low - 1].end ? &module->units[low - 1] : NULL;
}

static void open_module(struct module *module)
{
    static char *debuginfo_path; /* NULL: libdwfl's standard places */
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .section_address = dwfl_offline_section_address,
        .debuginfo_path = &debuginfo_path,
    };

    module->opened = 1;
    module->dwfl = dwfl_begin(&callbacks);
    if (module->dwfl == NULL)
        return;
    dwfl_report_begin(module->dwfl);
    module->dwfl_module =
        dwfl_report_elf(module->dwfl, module->path, module->path, -1, module->bias, true);
    dwfl_report_end(module->dwfl, NULL, NULL);
    if (module->dwfl_module != NULL)
        index_units(module);
}

/* Hand the frame over under `symbol`, demangled if it is mangled, without the symbol's version. */
static void emit(struct lookup *lookup, const char *symbol)
{
    char *name = NULL, *demangled = NULL;
    int status;

    if (symbol != NULL)
        name = lodei_xasprintf("%.*s", (int)strcspn(symbol, "@"), symbol);
    if (name != NULL && strncmp(name, "_Z", 2) == 0)
        demangled = __cxa_demangle(name, NULL, NULL, &status);
    lookup->frame.function = demangled != NULL ? demangled : name;
    lookup->visit(lookup->ctx, &lookup->frame);
    free(demangled);
    free(name);
}

static const char *die_name(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    const char *linkage =
        dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute));

    return linkage != NULL ? linkage : dwarf_diename(die);
}

static int unsigned_attribute(Dwarf_Die *die, unsigned name, Dwarf_Word *ret_value)
{
    Dwarf_Attribute attribute;

    return dwarf_formudata(dwarf_attr(die, name, &attribute), ret_value);
}

/* The frame that comes next is the caller of the inlined `die`. */
static void move_to_call_site(struct lodei_frame *frame, Dwarf_Die *unit, Dwarf_Die *die)
{
    Dwarf_Word file = 0, line = 0;
    Dwarf_Files *files;
    size_t count;

    frame->file = NULL;
    frame->line = 0;
    if (unsigned_attribute(die, DW_AT_call_file, &file) != 0 ||
        unsigned_attribute(die, DW_AT_call_line, &line) != 0)
        return;
    if (dwarf_getsrcfiles(unit, &files, &count) != 0 || file >= count)
        return;
    frame->file = dwarf_filesrc(files, file, NULL, NULL);
    frame->line = (int)line;
}

/* The scopes that hold `pc` as they nest in the machine code; malloc'ed, NULL for none. */
static int concrete_scopes(Dwarf_Die *unit, Dwarf_Addr pc, Dwarf_Die **ret_scopes)
{
    Dwarf_Die *around = NULL, innermost;
    int count = dwarf_getscopes(unit, pc, &around);

    *ret_scopes = NULL;
    if (count <= 0)
        return 0;
    /* Behind the first inlined call dwarf_getscopes() goes on in the source's nesting instead. */
    innermost = around[0];
    free(around);
    count = dwarf_getscopes_die(&innermost, ret_scopes);
    return count > 0 ? count : 0;
}

/* Emit the frames of inlined calls at `pc`, leaving lookup->frame at the function around them. */
static void emit_inlined(struct lookup *lookup, Dwarf_Die *unit, Dwarf_Addr pc)
{
    Dwarf_Die *scopes;
    int count = concrete_scopes(unit, pc, &scopes);

    lookup->frame.inlined = 1;
    for (int i = 0; i < count && dwarf_tag(&scopes[i]) != DW_TAG_subprogram; i++) {
        if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine)
            continue;
        emit(lookup, die_name(&scopes[i]));
        move_to_call_site(&lookup->frame, unit, &scopes[i]);
    }
    lookup->frame.inlined = 0;
    free(scopes);
}

static void resolve_in(struct lookup *lookup, struct module *module, uint64_t pc)
{
    struct unit_range *unit = find_unit(module, pc);
    Dwarf_Line *line;
    GElf_Off offset;
    GElf_Sym symbol;

    if (unit != NULL) {
        line = dwarf_getsrc_die(&unit->die, pc - unit->bias);
        if (line != NULL) {
            lookup->frame.file = dwarf_linesrc(line, NULL, NULL);
            dwarf_lineno(line, &lookup->frame.line);
        }
        emit_inlined(lookup, &unit->die, pc - unit->bias);
    }
    emit(lookup, dwfl_module_addrinfo(module->dwfl_module, pc, &offset, &symbol, NULL, NULL, NULL));
}

void lodei_symbolizer_resolve(struct lodei_symbolizer *symbolizer, uint64_t address,
                              lodei_frame_visitor visit, void *ctx)
{
    uint64_t pc = address > 0 ? address - 1 : 0;
    struct module *module = find_module(symbolizer, pc);
    struct lookup lookup = {.frame = {.address = address}, .visit = visit, .ctx = ctx};

    if (module != NULL) {
        lookup.frame.module = module->path;
        lookup.frame.offset = address - module->bias;
        if (!module->opened)
            open_module(module);
    }
    if (module != NULL && module->dwfl_module != NULL)
        resolve_in(&lookup, module, pc);
    else
        emit(&lookup, NULL);
}
