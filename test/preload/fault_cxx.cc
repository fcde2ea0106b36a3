/* SPDX-License-Identifier: MIT */
/*
 * One misuse through the C++ operators per run, for test_faults.py: fault-cxx FAULT. The address is
 * printed on stdout first, "survived" at the end if the heap ignored the misuse.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <unistd.h>

namespace
{

void *opaque(void *p)
{
    void *volatile v = p;
    return v;
}

void *announced(void *p)
{
    char text[64];
    int n = snprintf(text, sizeof text, "ptr 0x%lx\n", (unsigned long)(uintptr_t)p);

    if (write(STDOUT_FILENO, text, (size_t)n) < 0)
        _exit(9);
    return opaque(p);
}

bool run(const char *fault)
{
    const std::align_val_t align{256};
    void *p = opaque(operator new(200)), *again = opaque(p);
    void *a = opaque(operator new(200, align)), *a_again = opaque(a);
    char *local = static_cast<char *>(opaque(alloca(64)));

    if (strcmp(fault, "delete-twice") == 0) {
        operator delete(p);
        operator delete(announced(again));
    } else if (strcmp(fault, "delete-array-twice") == 0) {
        operator delete[](p);
        operator delete[](announced(again));
    } else if (strcmp(fault, "sized-delete-twice") == 0) {
        operator delete(p, 200);
        operator delete(announced(again), 200);
    } else if (strcmp(fault, "aligned-delete-twice") == 0) {
        operator delete(a, align);
        operator delete(announced(a_again), align);
    } else if (strcmp(fault, "free-then-delete") == 0) {
        free(p);
        operator delete(announced(again));
    } else if (strcmp(fault, "delete-then-free") == 0) {
        operator delete(p);
        free(announced(again));
    } else if (strcmp(fault, "delete-of-stack") == 0) {
        operator delete(announced(local));
    } else if (strcmp(fault, "delete-interior") == 0) {
        operator delete(announced(static_cast<char *>(p) + 64));
    } else if (strcmp(fault, "delete-misaligned") == 0) {
        operator delete[](announced(static_cast<char *>(p) + 8));
    } else {
        return false;
    }
    return true;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2 || !run(argv[1])) {
        fprintf(stderr, "fault-cxx: bad arguments\n");
        return 2;
    }
    for (int i = 0; i < 1000; i++)
        operator delete(opaque(operator new((size_t)i * 10)));
    puts("survived");
    return 0;
}
