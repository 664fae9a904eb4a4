/*
 * Counts the allocations of a program, in a file that others can look at meanwhile:
 *
 *     LD_PRELOAD=libbench_allocations.so BENCH_ALLOCATIONS=/tmp/count PROGRAM
 *
 * The file begins with a 64-bit number. A realloc() counts like a malloc(), a free() not at all.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static _Atomic uint64_t before; /* what is allocated until there is a file */
static _Atomic uint64_t *count = &before;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("BENCH_ALLOCATIONS");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    void *shared = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof(*count)) == 0)
        shared = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (shared != MAP_FAILED)
        count = shared;
}

void *malloc(size_t size)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    return __libc_realloc(old, size);
}
