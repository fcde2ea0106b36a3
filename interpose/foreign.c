/* SPDX-License-Identifier: MIT */
/*
 * Tells a pointer of glibc's malloc from a wild one, and hands it to glibc's own functions, found
 * by name in libc.so. One warning a process. Nothing is read through the pointer before
 * /proc/self/maps has said that it is readable private anonymous memory.
 *
 * What counts as glibc's (layout of malloc.c and arena.c of glibc 2.26 to 2.4x):
 *   - an address in [heap];
 *   - a chunk with a mapping of its own: its header says IS_MMAPPED, and previous size and size, in
 *     whole pages, lie inside one mapping;
 *   - a chunk of a thread's arena: its header says NON_MAIN_ARENA, and the arena's heap_info, at
 * the multiple of 64 MiB below, is mapped, covers the chunk, and names an arena that is mapped too.
 */
#include "foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/print.h"
#include "heap/entry.h"
#include "os/elf.h"

#define CHUNK_IS_MMAPPED     2
#define CHUNK_NON_MAIN_ARENA 4
#define CHUNK_FLAGS          7
#define ARENA_HEAP_BYTES     ((uintptr_t)64 << 20)

struct chunk_header {
    size_t previous_bytes;
    size_t bytes_and_flags;
};

struct arena_heap {
    void *arena;
    struct arena_heap *previous;
    size_t bytes;
};

static struct {
    void (*free)(void *);
    void *(*realloc)(void *, size_t);
    size_t (*usable)(void *);
} glibc;

/* Where [heap] starts, once it is known: from there to the break no file need be read. */
static uintptr_t heap_start = UINTPTR_MAX;

struct mapping {
    uintptr_t start, end;
    int writable, private, anonymous, heap;
};

struct reader {
    int fd;
    size_t have, at;
    char text[4096];
};

static int next_char(struct reader *r)
{
    if (r->at == r->have) {
        ssize_t n = syscall(SYS_read, r->fd, r->text, sizeof(r->text));
        if (n <= 0)
            return -1;
        r->have = (size_t)n;
        r->at = 0;
    }
    return (unsigned char)r->text[r->at++];
}

static int hex_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Number in hex up to the first other character, which is returned. */
static int read_hex(struct reader *r, uintptr_t *ret)
{
    int c, d;
    *ret = 0;
    while ((c = next_char(r)) >= 0 && (d = hex_digit(c)) >= 0)
        *ret = *ret << 4 | (uintptr_t)d;
    return c;
}

/* One line "start-end rwxp offset dev inode   path"; 0 at the end. */
static int read_mapping(struct reader *r, struct mapping *m)
{
    char tail[64];
    size_t n = 0;
    int c;
    if (read_hex(r, &m->start) != '-' || read_hex(r, &m->end) != ' ')
        return 0;
    while ((c = next_char(r)) >= 0 && c != '\n')
        if (n < sizeof(tail) - 1)
            tail[n++] = (char)c;
    tail[n] = '\0';
    m->writable = tail[0] == 'r' && tail[1] == 'w';
    m->private = tail[3] == 'p';
    m->heap = strstr(tail, "[heap]") != NULL;
    m->anonymous = strstr(tail, " 00:00 0") != NULL && strstr(tail, "[stack") == NULL;
    return 1;
}

/* The mapping `address` lies in: 1; 0 when there is none; -1 when the kernel does not say. By
 * syscall(): free() is no cancellation point, while open(), read() and close() are. */
static int find_mapping(uintptr_t address, struct mapping *m)
{
    long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    struct reader r = {.fd = (int)fd};
    int found = 0;
    if (r.fd < 0)
        return -1;
    while (!found && read_mapping(&r, m))
        found = address >= m->start && address < m->end;
    syscall(SYS_close, r.fd);
    return found;
}

static int usable_mapping(uintptr_t address, struct mapping *m)
{
    return find_mapping(address, m) > 0 && m->writable && m->private && m->anonymous;
}

static int in_arena(uintptr_t p)
{
    struct mapping m;
    uintptr_t start = p & ~(ARENA_HEAP_BYTES - 1);
    if (!usable_mapping(start, &m) || m.end - start < sizeof(struct arena_heap))
        return 0;
    const struct arena_heap *heap = (const void *)start;
    return p > start + sizeof(*heap) && p < start + heap->bytes &&
           heap->bytes <= ARENA_HEAP_BYTES && start + heap->bytes <= m.end &&
           ((uintptr_t)heap->arena & 15) == 0 && usable_mapping((uintptr_t)heap->arena, &m);
}

/* Read without /proc/self/maps, by a call that cannot fault. */
static int header_is_plausible(uintptr_t chunk_at)
{
    struct chunk_header chunk;
    struct iovec here = {&chunk, sizeof(chunk)}, there = {(void *)chunk_at, sizeof(chunk)};
    if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != (ssize_t)sizeof(chunk))
        return 0;
    return (chunk.bytes_and_flags & (CHUNK_IS_MMAPPED | CHUNK_NON_MAIN_ARENA)) != 0 &&
           chunk.bytes_and_flags >> 40 == 0;
}

static int is_glibcs(const void *ptr)
{
    uintptr_t p = (uintptr_t)ptr;
    struct mapping m;
    if (p % 16 != 0 || p < sizeof(struct chunk_header))
        return 0;
    if (p > heap_start && p < (uintptr_t)sbrk(0))
        return 1;
    uintptr_t chunk_at = p - sizeof(struct chunk_header);
    int found = find_mapping(chunk_at, &m);
    if (found < 0) /* no descriptor left, no /proc: an honest pointer is likelier than a wild one */
        return header_is_plausible(chunk_at);
    if (found == 0 || !m.writable || !m.private)
        return 0;
    if (m.heap) {
        heap_start = m.start;
        return 1;
    }
    const struct chunk_header *chunk = (const void *)chunk_at;
    size_t bytes = chunk->bytes_and_flags & ~(size_t)CHUNK_FLAGS;
    if (!m.anonymous || bytes == 0 || bytes > m.end - chunk_at)
        return 0;
    if (chunk->bytes_and_flags & CHUNK_IS_MMAPPED) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        return (bytes + chunk->previous_bytes) % page == 0 &&
               chunk->previous_bytes <= chunk_at - m.start &&
               (chunk_at - chunk->previous_bytes) % page == 0;
    }
    return (chunk->bytes_and_flags & CHUNK_NON_MAIN_ARENA) != 0 && in_arena(chunk_at);
}

static void warn_once(const char *what)
{
    static _Atomic int warned;
    if (!atomic_exchange_explicit(&warned, 1, memory_order_relaxed))
        lodei_warn(what);
}

/* Is it glibc's to handle? errno is kept. */
static int take_foreign(const void *p, void *function)
{
    int saved = errno;
    int ours = function != NULL && is_glibcs(p);
    if (ours)
        lodei_foreign_counted();
    errno = saved;
    return ours;
}

static int foreign_free(void *p)
{
    if (!take_foreign(p, *(void **)&glibc.free))
        return 0;
    warn_once("pointer of glibc's malloc passed to free; handed to glibc");
    int saved = errno; /* glibc's free keeps it only since 2.33 */
    glibc.free(p);
    errno = saved;
    return 1;
}

static int foreign_realloc(void *p, size_t bytes, void **ret_p)
{
    if (!take_foreign(p, *(void **)&glibc.realloc))
        return 0;
    warn_once("pointer of glibc's malloc passed to realloc; handed to glibc");
    *ret_p = glibc.realloc(p, bytes);
    return 1;
}

static int foreign_usable(const void *p, size_t *ret_bytes)
{
    if (!take_foreign(p, *(void **)&glibc.usable))
        return 0;
    warn_once("pointer of glibc's malloc passed to malloc_usable_size; handed to glibc");
    *ret_bytes = glibc.usable((void *)(uintptr_t)p);
    return 1;
}

/* Nothing below the break: glibc's malloc has not moved it yet, and [heap] will start there.
 * Reading /proc/self/maps would cost a tenth of all our start-up. */
static void find_heap(void)
{
    struct mapping m;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), end = (uintptr_t)sbrk(0);
    unsigned char resident;
    int saved = errno;
    if (mincore((void *)((end - 1) & ~(page - 1)), page, &resident) != 0 && errno == ENOMEM)
        heap_start = end;
    else if (find_mapping(end - 1, &m) > 0 && m.heap)
        heap_start = m.start;
    errno = saved;
}

void lodei_foreign_start(void)
{
    *(void **)&glibc.free = lodei_elf_function("libc.so.", "__libc_free");
    *(void **)&glibc.realloc = lodei_elf_function("libc.so.", "__libc_realloc");
    *(void **)&glibc.usable = lodei_elf_function("libc.so.", "malloc_usable_size");
    find_heap();
    lodei_foreign.free = foreign_free;
    lodei_foreign.realloc = foreign_realloc;
    lodei_foreign.usable = foreign_usable;
}
