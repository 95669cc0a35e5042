/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the instrumented objects call instead of the thread sanitizer's runtime, and
 * instead of some functions of the C library (interpose.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hooks.h"
#include "memory.h"

/* ---- Stores ------------------------------------------------------------ */

/* The compiler thinks that it knows these functions, so they have other names here. */
#define NAMED(type, name, symbol, ...) \
    type name(__VA_ARGS__) __asm__(#symbol); \
    type name(__VA_ARGS__)

#define NOTHING(name, symbol) \
    NAMED(void, name, symbol, const void *address) \
    { \
        (void)address; \
    }
#define WRITE(name, symbol, size) \
    NAMED(void, name, symbol, void *address) \
    { \
        memory_store(address, size); \
    }
NOTHING(hook_entry, __tsan_func_entry)
NOTHING(hook_read1, __tsan_read1)
NOTHING(hook_read2, __tsan_read2)
NOTHING(hook_read4, __tsan_read4)
NOTHING(hook_read8, __tsan_read8)
NOTHING(hook_read16, __tsan_read16)
NOTHING(hook_unaligned_read2, __tsan_unaligned_read2)
NOTHING(hook_unaligned_read4, __tsan_unaligned_read4)
NOTHING(hook_unaligned_read8, __tsan_unaligned_read8)
NOTHING(hook_unaligned_read16, __tsan_unaligned_read16)
WRITE(hook_write1, __tsan_write1, 1)
WRITE(hook_write2, __tsan_write2, 2)
WRITE(hook_write4, __tsan_write4, 4)
WRITE(hook_write8, __tsan_write8, 8)
WRITE(hook_write16, __tsan_write16, 16)
WRITE(hook_unaligned_write2, __tsan_unaligned_write2, 2)
WRITE(hook_unaligned_write4, __tsan_unaligned_write4, 4)
WRITE(hook_unaligned_write8, __tsan_unaligned_write8, 8)
WRITE(hook_unaligned_write16, __tsan_unaligned_write16, 16)

NAMED(void, hook_init, __tsan_init, void)
{
}

NAMED(void, hook_exit, __tsan_func_exit, void)
{
}

NAMED(void, hook_read_range, __tsan_read_range, const void *address, size_t size)
{
    (void)address;
    (void)size;
}

NAMED(void, hook_write_range, __tsan_write_range, void *address, size_t size)
{
    memory_store(address, size);
}

NAMED(void, hook_fence, __tsan_atomic_thread_fence, int order)
{
    (void)order;
}

/* A locked instruction fences too, on today's processors; not counting on that only
 * makes for more states. */
#define LOAD(bits) \
    NAMED(uint##bits##_t, hook_load##bits, __tsan_atomic##bits##_load, const uint##bits##_t *at, \
          int order) \
    { \
        (void)order; \
        return __atomic_load_n(at, __ATOMIC_SEQ_CST); \
    }
#define STORE(bits) \
    NAMED(void, hook_store##bits, __tsan_atomic##bits##_store, uint##bits##_t *at, \
          uint##bits##_t value, int order) \
    { \
        (void)order; \
        memory_store(at, sizeof *at); \
        __atomic_store_n(at, value, __ATOMIC_SEQ_CST); \
    }
#define MODIFY(bits, what) \
    NAMED(uint##bits##_t, hook_##what##bits, __tsan_atomic##bits##_##what, uint##bits##_t *at, \
          uint##bits##_t value, int order) \
    { \
        (void)order; \
        memory_store(at, sizeof *at); \
        return __atomic_##what(at, value, __ATOMIC_SEQ_CST); \
    }
#define EXCHANGE(bits, how) \
    NAMED(int, hook_exchange_##how##bits, __tsan_atomic##bits##_compare_exchange_##how, \
          uint##bits##_t *at, uint##bits##_t *old, uint##bits##_t value, int yes, int no) \
    { \
        (void)yes; \
        (void)no; \
        memory_store(at, sizeof *at); \
        return __atomic_compare_exchange_n(at, old, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    }
#define ATOMICS(bits) \
    LOAD(bits) \
    STORE(bits) \
    MODIFY(bits, fetch_or) \
    MODIFY(bits, fetch_and) \
    MODIFY(bits, fetch_xor) \
    MODIFY(bits, fetch_add) \
    MODIFY(bits, fetch_sub) \
    EXCHANGE(bits, strong) \
    EXCHANGE(bits, weak)
ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

void *crash_memcpy(void *to, const void *from, size_t length)
{
    memory_store(to, length);
    return memcpy(to, from, length);
}

void *crash_memmove(void *to, const void *from, size_t length)
{
    memory_store(to, length);
    return memmove(to, from, length);
}

void *crash_memset(void *to, int value, size_t length)
{
    memory_store(to, length);
    return memset(to, value, length);
}

/* ---- The system -------------------------------------------------------- */

struct hooks hooks;

void *crash_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *got;

    if (memory.registering && address == NULL && fd < 0)
        address = (void *)PART(META); /* but a hint: nothing else is there */
    got = mmap(address, length, protection, flags, fd, offset);
    if (memory.registering && fd >= 0 && got != MAP_FAILED) {
        struct stat st;

        if (fstat(fd, &st) == 0) {
            hooks.device = st.st_dev;
            hooks.inode = st.st_ino;
        }
        memory_register(got, length, fd, (uint64_t)offset);
    }
    return got;
}

/* Nothing is protected: scenarios say where a store would fault. */
int crash_mprotect(void *address, size_t length, int protection)
{
    (void)address;
    (void)length;
    (void)protection;
    return 0;
}

int crash_posix_fallocate(int fd, off_t offset, off_t length)
{
    if (hooks.no_space && memory.current == LIVE)
        return ENOSPC;
    return posix_fallocate(fd, offset, length);
}

int crash_fallocate(int fd, int mode, off_t offset, off_t length)
{
    const int result = fallocate(fd, mode, offset, length);

    if (result == 0 && fd == memory.fd)
        memory_punched((uint64_t)offset, (uint64_t)length);
    return result;
}

/* The copies that recovery is tried on pass for the file itself, so that it is the
 * plain way of vista_map that they go. */
static void pretend(struct stat *st)
{
    if (hooks.pretend && memory.current == NO_WORLD) {
        st->st_dev = hooks.device;
        st->st_ino = hooks.inode;
    }
}

int crash_fstat(int fd, struct stat *st)
{
    const int result = fstat(fd, st);

    pretend(st);
    return result;
}

int crash_stat(const char *path, struct stat *st)
{
    const int result = stat(path, st);

    pretend(st);
    return result;
}

/* The same numbers at each run: a state found twice is counted once. */
ssize_t crash_getrandom(void *to, size_t length, unsigned flags)
{
    (void)flags;
    memset(to, 0x5a, length);
    return (ssize_t)length;
}

int crash_mutex_lock(pthread_mutex_t *mutex)
{
    while (pthread_mutex_trylock(mutex) != 0)
        hooks.blocked(); /* another simulated thread has it */
    return 0;
}
