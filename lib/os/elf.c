/* SPDX-License-Identifier: MIT */
/*
 * The lookup follows the GNU hash section: bloom word, bucket, chain (format as emitted by
 * binutils; every glibc-era object has it). Only functions with default visibility rules are
 * returned; an indirect function is resolved.
 */
#include "os/elf.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct query {
    const char *objects, *symbol;
    void *address;
    uintptr_t start, end;
};

static int name_matches(const char *path, const char *objects)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;
    while (*objects != '\0') {
        size_t n = (size_t)(strchrnul(objects, '|') - objects);
        if (strncmp(file, objects, n) == 0)
            return 1;
        objects += n + (objects[n] == '|');
    }
    return 0;
}

struct tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *hash;
};

static int find_tables(const struct dl_phdr_info *info, struct tables *ret)
{
    const ElfW(Dyn) *dyn = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dyn = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    memset(ret, 0, sizeof(*ret));
    for (; dyn != NULL && dyn->d_tag != DT_NULL; dyn++) {
        /* glibc relocates these in place for all but the vDSO, which nobody asks for. */
        const void *at = (const void *)dyn->d_un.d_ptr;
        if (dyn->d_tag == DT_SYMTAB)
            ret->symbols = at;
        else if (dyn->d_tag == DT_STRTAB)
            ret->strings = at;
        else if (dyn->d_tag == DT_GNU_HASH)
            ret->hash = at;
    }
    return ret->symbols != NULL && ret->strings != NULL && ret->hash != NULL;
}

static uint32_t gnu_hash(const char *s)
{
    uint32_t h = 5381;
    for (; *s != '\0'; s++)
        h = h * 33 + (unsigned char)*s;
    return h;
}

static void *resolve(const struct dl_phdr_info *info, const ElfW(Sym) * sym)
{
    void *at = (void *)(info->dlpi_addr + sym->st_value);
    if (ELF64_ST_TYPE(sym->st_info) == STT_GNU_IFUNC) {
        void *(*choose)(void);
        *(void **)&choose = at; /* ISO C has no cast from void * to a function pointer */
        at = choose();
    }
    return at;
}

static void *lookup(const struct dl_phdr_info *info, const char *name)
{
    struct tables t;
    if (!find_tables(info, &t))
        return NULL;
    uint32_t buckets = t.hash[0], first = t.hash[1], bloom_words = t.hash[2];
    const uint32_t *bucket =
        (const uint32_t *)((const ElfW(Addr) *)(const void *)(t.hash + 4) + bloom_words);
    const uint32_t *chain = bucket + buckets;
    uint32_t h = gnu_hash(name);
    uint32_t i = buckets > 0 ? bucket[h % buckets] : 0;
    if (i < first)
        return NULL;
    for (;; i++) {
        uint32_t c = chain[i - first];
        const ElfW(Sym) *sym = &t.symbols[i];
        if ((c | 1) == (h | 1) && sym->st_shndx != SHN_UNDEF &&
            strcmp(t.strings + sym->st_name, name) == 0)
            return resolve(info, sym);
        if (c & 1)
            return NULL;
    }
}

static void range_of(const struct dl_phdr_info *info, uintptr_t *start, uintptr_t *end)
{
    *start = UINTPTR_MAX;
    *end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type != PT_LOAD)
            continue;
        uintptr_t from = info->dlpi_addr + ph->p_vaddr, to = from + ph->p_memsz;
        *start = from < *start ? from : *start;
        *end = to > *end ? to : *end;
    }
}

static int visit_function(struct dl_phdr_info *info, size_t bytes, void *ctx)
{
    struct query *q = ctx;
    (void)bytes;
    if (!name_matches(info->dlpi_name, q->objects))
        return 0;
    q->address = lookup(info, q->symbol);
    return q->address != NULL;
}

static int visit_range(struct dl_phdr_info *info, size_t bytes, void *ctx)
{
    struct query *q = ctx;
    (void)bytes;
    if (!name_matches(info->dlpi_name, q->objects))
        return 0;
    range_of(info, &q->start, &q->end);
    return 1;
}

void *lodei_elf_function(const char *objects, const char *symbol)
{
    struct query q = {.objects = objects, .symbol = symbol};
    dl_iterate_phdr(visit_function, &q);
    return q.address;
}

int lodei_elf_range(const char *objects, uintptr_t *ret_start, uintptr_t *ret_end)
{
    struct query q = {.objects = objects};
    if (dl_iterate_phdr(visit_range, &q) != 1)
        return 0;
    *ret_start = q.start;
    *ret_end = q.end;
    return 1;
}
