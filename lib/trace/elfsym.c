/* SPDX-License-Identifier: MIT */
/*
 * Owns the mapped symbol tables. A table is the mapped file plus an index of its functions, sorted
 * by address:
 *
 *     file  [ELF header ... .dynsym/.symtab ... its strings ... section headers]
 *     index [symbol number | symbol number | ...]     by st_value
 *
 * Every offset read from the file is checked: what is on disk need not be what was loaded. The
 * index is heap-sorted in place: qsort() may call malloc.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace/chunk.h"
#include "trace/elfsym.h"

/* How many functions before the nearest one may cover an address: entry points inside a function.
 */
#define COVER_STEPS 8

struct lodei_elfsym {
    const char *file;
    uint64_t file_bytes;
    const ElfW(Sym) * symbols;
    const char *strings;
    uint64_t strings_bytes;
    uint32_t *index;
    uint32_t count;
};

static const void *part(const struct lodei_elfsym *table, uint64_t offset, uint64_t bytes)
{
    if (offset > table->file_bytes || bytes > table->file_bytes - offset)
        return NULL;
    return table->file + offset;
}

/* Returns the number of symbols, 0 when the file has no table that can be used. */
static uint64_t find_symbols(struct lodei_elfsym *table)
{
    const ElfW(Ehdr) *head = part(table, 0, sizeof(*head));
    const ElfW(Shdr) * sections;
    const ElfW(Shdr) *best = NULL;
    const ElfW(Shdr) * strings;

    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        head->e_shentsize != sizeof(*sections) || head->e_shoff % sizeof(void *))
        return 0;
    sections = part(table, head->e_shoff, (uint64_t)head->e_shnum * sizeof(*sections));
    for (unsigned i = 0; sections && i < head->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB || (sections[i].sh_type == SHT_DYNSYM && !best))
            best = &sections[i];
    if (!best || best->sh_entsize != sizeof(ElfW(Sym)) || best->sh_link >= head->e_shnum ||
        best->sh_offset % sizeof(void *))
        return 0;
    strings = &sections[best->sh_link];
    table->symbols = part(table, best->sh_offset, best->sh_size);
    table->strings = part(table, strings->sh_offset, strings->sh_size);
    table->strings_bytes = strings->sh_size;
    if (!table->symbols || !table->strings || !table->strings_bytes ||
        table->strings[table->strings_bytes - 1] != 0)
        return 0;
    return best->sh_size / sizeof(ElfW(Sym));
}

static bool is_function(const struct lodei_elfsym *table, const ElfW(Sym) * symbol)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info);

    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF &&
           symbol->st_name < table->strings_bytes && table->strings[symbol->st_name];
}

static uint64_t value_at(const struct lodei_elfsym *table, uint32_t at)
{
    return table->symbols[table->index[at]].st_value;
}

static void sift_down(struct lodei_elfsym *table, uint32_t root, uint32_t count)
{
    uint32_t child;

    while ((child = 2 * root + 1) < count) {
        uint32_t moved = table->index[root];

        if (child + 1 < count && value_at(table, child) < value_at(table, child + 1))
            child++;
        if (value_at(table, root) >= value_at(table, child))
            return;
        table->index[root] = table->index[child];
        table->index[child] = moved;
        root = child;
    }
}

static void sort_index(struct lodei_elfsym *table)
{
    for (uint32_t root = table->count / 2; root-- > 0;)
        sift_down(table, root, table->count);
    for (uint32_t last = table->count; last-- > 1;) {
        uint32_t largest = table->index[0];

        table->index[0] = table->index[last];
        table->index[last] = largest;
        sift_down(table, 0, last);
    }
}

static bool map_file(struct lodei_elfsym *table, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    off_t bytes;
    void *file = MAP_FAILED;

    if (fd < 0)
        return false;
    bytes = lseek(fd, 0, SEEK_END);
    if (bytes > 0)
        file = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file == MAP_FAILED)
        return false;
    table->file = file;
    table->file_bytes = (uint64_t)bytes;
    return true;
}

struct lodei_elfsym *lodei_elfsym_open(const char *path)
{
    struct lodei_elfsym *table = lodei_chunk_map(sizeof(*table));
    uint64_t symbols;

    if (!table || path[0] != '/' || !map_file(table, path))
        goto fail;
    symbols = find_symbols(table);
    if (!symbols || symbols > UINT32_MAX)
        goto fail_file;
    table->index = lodei_chunk_map(symbols * sizeof(*table->index));
    if (!table->index)
        goto fail_file;
    for (uint32_t i = 0; i < symbols; i++)
        if (is_function(table, &table->symbols[i]))
            table->index[table->count++] = i;
    if (!table->count)
        goto fail_index;
    sort_index(table);
    return table;

fail_index:
    lodei_chunk_unmap(table->index, symbols * sizeof(*table->index));
fail_file:
    munmap((void *)(uintptr_t)table->file, table->file_bytes);
fail:
    lodei_chunk_unmap(table, sizeof(*table));
    return NULL;
}

/* The index one past the last function that starts at or before `address`. */
static uint32_t upper_bound(const struct lodei_elfsym *table, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = table->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (value_at(table, middle) <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Assembly often leaves the size out: such a function reaches to the next one. */
static bool covers(const struct lodei_elfsym *table, uint32_t at, uint64_t address, bool nearest)
{
    const ElfW(Sym) *symbol = &table->symbols[table->index[at]];

    return address - symbol->st_value < symbol->st_size || (nearest && symbol->st_size == 0);
}

/* Of several names for one function, one the program would use. */
static bool nicer(const char *name, const char *than)
{
    return than[0] == '_' && (name[0] != '_' || (than[1] == '_' && name[1] != '_'));
}

const char *lodei_elfsym_name(const struct lodei_elfsym *table, uint64_t address,
                              uint64_t *ret_start)
{
    const char *best = NULL;
    uint32_t at = upper_bound(table, address);

    for (unsigned step = 0; at-- > 0 && (step < COVER_STEPS || best); step++) {
        const ElfW(Sym) *symbol = &table->symbols[table->index[at]];
        const char *name = table->strings + symbol->st_name;

        if (best && symbol->st_value != *ret_start)
            break;
        if (!covers(table, at, address, step == 0) || (best && !nicer(name, best)))
            continue;
        best = name;
        *ret_start = symbol->st_value;
    }
    return best;
}

bool lodei_elfsym_any(const struct lodei_elfsym *table, uint64_t address,
                      bool (*match)(const char *name))
{
    uint64_t start;
    uint32_t at = upper_bound(table, address);

    if (!lodei_elfsym_name(table, address, &start))
        return false;
    while (at-- > 0 && value_at(table, at) >= start) {
        const ElfW(Sym) *symbol = &table->symbols[table->index[at]];

        if (symbol->st_value == start && match(table->strings + symbol->st_name))
            return true;
    }
    return false;
}
