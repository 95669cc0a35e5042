/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Cache-line write-back, and stores past the caches, for the hand-written peer: the best
 * instruction that the processor has, chosen once; elsewhere than on x86-64 through libpmem.
 */
#ifndef BENCH_FLUSH_H
#define BENCH_FLUSH_H

#include <stddef.h>
#include <stdint.h>

#define LINE 64u

#ifdef __x86_64__
#include <cpuid.h>
#include <emmintrin.h>

enum { FLUSH_UNKNOWN, FLUSH_CLWB, FLUSH_CLFLUSHOPT, FLUSH_CLFLUSH };
static int flush_how;

static inline void flush_choose(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;

    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    flush_how = b & (1u << 24) ? FLUSH_CLWB : b & (1u << 23) ? FLUSH_CLFLUSHOPT : FLUSH_CLFLUSH;
}

static inline void flush_line(uintptr_t address)
{
    volatile char *line = (volatile char *)address;

    if (__builtin_expect(flush_how == FLUSH_CLWB, 1))
        __asm__ __volatile__("clwb %0" : "+m"(*line));
    else if (flush_how == FLUSH_CLFLUSHOPT)
        __asm__ __volatile__("clflushopt %0" : "+m"(*line));
    else
        __asm__ __volatile__("clflush %0" : "+m"(*line));
}

static inline void flush_fence(void)
{
    __asm__ __volatile__("sfence" ::: "memory");
}

static inline void flush_word(uint64_t *to, uint64_t word)
{
    _mm_stream_si64((long long *)to, (long long)word);
}

static inline void flush_copy(void *to, const void *from, size_t length)
{
    for (size_t i = 0; i < (length + sizeof(__m128i) - 1) / sizeof(__m128i); i++)
        _mm_stream_si128((__m128i *)to + i, _mm_load_si128((const __m128i *)from + i));
}

/* A line, from anywhere. */
static inline void flush_line_of(void *to, const void *from)
{
    for (size_t i = 0; i < LINE / sizeof(__m128i); i++)
        _mm_stream_si128((__m128i *)to + i, _mm_loadu_si128((const __m128i *)from + i));
}

static inline uint32_t flush_sum(uint32_t sum, uint64_t word)
{
    uint64_t wide = sum;

    __asm__("crc32q %1, %0" : "+r"(wide) : "r"(word));
    return (uint32_t)wide;
}
#else
#include <libpmem.h>

static inline void flush_choose(void)
{
}

static inline void flush_line(uintptr_t address)
{
    pmem_flush((void *)address, LINE);
}

static inline void flush_fence(void)
{
    pmem_drain();
}

static inline void flush_word(uint64_t *to, uint64_t word)
{
    *to = word;
    pmem_flush(to, sizeof *to);
}

static inline void flush_copy(void *to, const void *from, size_t length)
{
    pmem_memcpy(to, from, length, PMEM_F_MEM_NODRAIN);
}

static inline void flush_line_of(void *to, const void *from)
{
    flush_copy(to, from, LINE);
}

static inline uint32_t flush_sum(uint32_t sum, uint64_t word)
{
    return (uint32_t)((sum ^ word) * 0x9e3779b97f4a7c15u >> 32);
}
#endif

/* The lines of a range, but for `last`, which was flushed just before; returns the
 * range's last line. */
static inline uintptr_t flush_range(uintptr_t address, size_t length, uintptr_t last)
{
    uintptr_t line = address & ~(uintptr_t)(LINE - 1);

    for (; line < address + length; line += LINE) {
        if (line != last)
            flush_line(line);
    }
    return line - LINE;
}

#endif
