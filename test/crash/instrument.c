/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the instrumented objects call instead of the thread sanitizer's runtime, and
 * instead of what stores in the C library (interpose.h).
 */
#include "instrument.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

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

/* What threads share that is not in a file is stored to by such instructions: another thread may
 * come before one, and before it is announced: an announced store is complete at a switch. */
static void let_others_in(void)
{
    if (memory.current == LIVE && memory.pause != NULL)
        memory.pause(false);
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
        let_others_in(); \
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
#define SWAP(bits) \
    NAMED(uint##bits##_t, hook_swap##bits, __tsan_atomic##bits##_exchange, uint##bits##_t *at, \
          uint##bits##_t value, int order) \
    { \
        (void)order; \
        memory_store(at, sizeof *at); \
        return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST); \
    }
/* As clang has it. */
#define EXCHANGE_VALUE(bits) \
    NAMED(uint##bits##_t, hook_exchange_value##bits, __tsan_atomic##bits##_compare_exchange_val, \
          uint##bits##_t *at, uint##bits##_t old, uint##bits##_t value, int yes, int no) \
    { \
        hook_exchange_strong##bits(at, &old, value, yes, no); \
        return old; \
    }
#define ATOMICS(bits) \
    LOAD(bits) \
    STORE(bits) \
    SWAP(bits) \
    MODIFY(bits, fetch_or) \
    MODIFY(bits, fetch_and) \
    MODIFY(bits, fetch_xor) \
    MODIFY(bits, fetch_add) \
    MODIFY(bits, fetch_sub) \
    EXCHANGE(bits, strong) \
    EXCHANGE(bits, weak) \
    EXCHANGE_VALUE(bits)
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

int crash_mutex_lock(pthread_mutex_t *mutex)
{
    while (pthread_mutex_trylock(mutex) != 0)
        hooks.blocked(); /* another simulated thread has it */
    return 0;
}
