/* SPDX-License-Identifier: MIT */
/*
 * Looking into executables, with libelf; the only file that includes it.
 *
 * A command is followed to the ELF file that the kernel would map: through PATH, then `#!` lines,
 * and through env(1), which scripts use to find their interpreter. Each thing found there is one
 * line.
 */
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "elfprobe.h"
#include "xalloc.h"

/* The kernel follows as many `#!` lines before it gives up. */
enum { INTERPRETERS_MAX = 5, FIRST_LINE_MAX = 256 };

#if __SIZEOF_POINTER__ == 8
enum { OWN_CLASS = ELFCLASS64, OWN_BITS = 64 };
#else
enum { OWN_CLASS = ELFCLASS32, OWN_BITS = 32 };
#endif

/* Libraries that bring a malloc; compared with the start of a DT_NEEDED name. */
static const char *const allocator_libraries[] = {
    "libjemalloc", "libtcmalloc", "libmimalloc", "libtbbmalloc", "librpmalloc",
    "libsnmalloc", "libhoard",    "libscudo",    "libptmalloc",  "libasan.",
    "libtsan.",    "liblsan.",    "libmsan.",    "libefence",    "libduma",
};

static char *find_command(const char *name)
{
    const char *path = getenv("PATH");
    size_t length;

    if (strchr(name, '/') != NULL)
        return lodei_xstrdup(name);
    if (path == NULL)
        path = "/bin:/usr/bin"; /* what execvp() takes then */
    for (;; path += length + 1) {
        char *candidate;

        length = strcspn(path, ":");
        candidate =
            length > 0 ? lodei_xasprintf("%.*s/%s", (int)length, path, name) : lodei_xstrdup(name);
        if (access(candidate, X_OK) == 0)
            return candidate;
        free(candidate);
        if (path[length] == '\0')
            return NULL;
    }
}

/* The program named by `words`, the first word of which is an interpreter or a command. Of env it
 * is the first word that is neither an option nor an assignment. Cuts `words`. */
static char *program_of_line(char *words)
{
    char *rest, *word = strtok_r(words, " \t", &rest);
    const char *base;

    if (word == NULL)
        return NULL;
    base = strrchr(word, '/');
    base = base != NULL ? base + 1 : word;
    if (strcmp(base, "env") == 0) {
        char *next;

        while ((next = strtok_r(NULL, " \t", &rest)) != NULL)
            if (next[0] != '-' && strchr(next, '=') == NULL)
                return find_command(next);
    }
    return find_command(word);
}

/* The interpreter that a `#!` line of the file names; NULL when it has none. */
static char *interpreter_of(const char *path)
{
    char line[FIRST_LINE_MAX + 1] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, line, FIRST_LINE_MAX) : -1;

    if (fd >= 0)
        close(fd);
    if (length < 3 || line[0] != '#' || line[1] != '!')
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return program_of_line(line + 2);
}

/* As interpreter_of() for a command line: env's own arguments are followed too. */
static char *resolve(char *const *argv)
{
    const char *base = strrchr(argv[0], '/');
    char *path;

    base = base != NULL ? base + 1 : argv[0];
    if (strcmp(base, "env") == 0)
        for (argv++; argv[0] != NULL && (argv[0][0] == '-' || strchr(argv[0], '=') != NULL);)
            argv++;
    if (argv[0] == NULL)
        return NULL;
    path = find_command(argv[0]);
    for (int depth = 0; path != NULL && depth < INTERPRETERS_MAX; depth++) {
        char *interpreter = interpreter_of(path);

        if (interpreter == NULL)
            break;
        free(path);
        path = interpreter;
    }
    return path;
}

/* The loader ignores LD_PRELOAD where executing raises privileges. */
static void warn_of_privileges(const char *path)
{
    struct statvfs mount;
    struct stat file;

    if (stat(path, &file) != 0 || statvfs(path, &mount) != 0 || (mount.f_flag & ST_NOSUID) != 0)
        return;
    if ((file.st_mode & S_ISUID) != 0 && file.st_uid != getuid())
        warnx("%s is setuid: the loader ignores LD_PRELOAD", path);
    else if ((file.st_mode & S_ISGID) != 0 && (file.st_mode & S_IXGRP) != 0 &&
             file.st_gid != getgid())
        warnx("%s is setgid: the loader ignores LD_PRELOAD", path);
    else if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
        warnx("%s has file capabilities: the loader ignores LD_PRELOAD", path);
}

static void warn_of_needed(const char *path, const char *library)
{
    for (size_t i = 0; i < sizeof(allocator_libraries) / sizeof(allocator_libraries[0]); i++) {
        if (strncmp(library, allocator_libraries[i], strlen(allocator_libraries[i])) != 0)
            continue;
        if (strstr(library, "san.") != NULL)
            warnx("%s needs %s, a sanitizer that refuses another malloc", path, library);
        else
            warnx("%s links the allocator %s: its malloc is replaced, calls by names of its own "
                  "are not",
                  path, library);
    }
}

/* What a walk over the sections found. */
struct sections {
    int go, malloc_defined, soname;
};

static void read_dynamic(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, const char *path,
                         struct sections *found)
{
    Elf_Data *data = elf_getdata(section, NULL);
    size_t count = header->sh_entsize > 0 ? header->sh_size / header->sh_entsize : 0;

    for (size_t i = 0; data != NULL && i < count; i++) {
        GElf_Dyn entry;
        const char *name;

        if (gelf_getdyn(data, (int)i, &entry) == NULL || entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_SONAME)
            found->soname = 1;
        if (entry.d_tag != DT_NEEDED)
            continue;
        name = elf_strptr(elf, header->sh_link, entry.d_un.d_val);
        if (name != NULL)
            warn_of_needed(path, name);
    }
}

static int defines_malloc(Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    size_t count = header->sh_entsize > 0 ? header->sh_size / header->sh_entsize : 0;

    for (size_t i = 1; data != NULL && i < count; i++) {
        GElf_Sym symbol;
        const char *name;

        if (gelf_getsym(data, (int)i, &symbol) == NULL)
            break;
        name = elf_strptr(elf, header->sh_link, symbol.st_name);
        if (name != NULL && strcmp(name, "malloc") == 0 && symbol.st_shndx != SHN_UNDEF)
            return 1;
    }
    return 0;
}

static void read_sections(Elf *elf, const char *path, struct sections *found)
{
    size_t names = 0;
    Elf_Scn *section = NULL;

    if (elf_getshdrstrndx(elf, &names) != 0)
        return;
    while ((section = elf_nextscn(elf, section)) != NULL) {
        GElf_Shdr header;
        const char *name;

        if (gelf_getshdr(section, &header) == NULL)
            continue;
        name = elf_strptr(elf, names, header.sh_name);
        if (name != NULL &&
            (strcmp(name, ".note.go.buildid") == 0 || strcmp(name, ".go.buildinfo") == 0))
            found->go = 1;
        if (header.sh_type == SHT_DYNAMIC)
            read_dynamic(elf, section, &header, path, found);
        if (header.sh_type == SHT_DYNSYM)
            found->malloc_defined |= defines_malloc(elf, section, &header);
    }
}

/* The path in PT_INTERP, the loader that the kernel starts; NULL for none. */
static const char *loader_of(Elf *elf)
{
    size_t count = 0, bytes = 0;
    const char *image = elf_rawfile(elf, &bytes);

    if (elf_getphdrnum(elf, &count) != 0 || image == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;

        if (gelf_getphdr(elf, (int)i, &segment) == NULL || segment.p_type != PT_INTERP)
            continue;
        if (segment.p_filesz == 0 || segment.p_offset >= bytes ||
            segment.p_filesz > bytes - segment.p_offset ||
            image[segment.p_offset + segment.p_filesz - 1] != '\0')
            return NULL;
        return image + segment.p_offset;
    }
    return NULL;
}

static void warn_of_elf(Elf *elf, const char *path)
{
    struct sections found = {0};
    const char *loader = loader_of(elf);

    if (gelf_getclass(elf) != OWN_CLASS) {
        warnx("%s is a %d-bit executable: the library is %d-bit and not loaded into it", path,
              96 - OWN_BITS, OWN_BITS);
        return;
    }
    read_sections(elf, path, &found);
    if (found.go)
        warnx("%s is a Go program: its own heap stays, only its C code calls malloc", path);
    /* The loader itself, run as a command, has no loader either, but a name as a library. */
    if (loader == NULL && !found.soname)
        warnx("%s is statically linked: nothing can be preloaded", path);
    if (loader != NULL && strstr(loader, "ld-musl") != NULL)
        warnx("%s runs on musl: the library needs glibc", path);
    if (found.malloc_defined)
        warnx("%s defines malloc itself: that one serves it, not the preloaded one", path);
}

void lodei_elfprobe_warn(char *const *argv)
{
    char *path = resolve(argv);
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    Elf *elf;

    if (fd >= 0) {
        warn_of_privileges(path);
        elf_version(EV_CURRENT);
        elf = elf_begin(fd, ELF_C_READ, NULL);
        if (elf != NULL && elf_kind(elf) == ELF_K_ELF)
            warn_of_elf(elf, path);
        elf_end(elf);
        close(fd);
    }
    free(path);
}
