/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Flush, fence and write by class.  Lines are written back by CLWB, or where the processor
 * has none, or PMEM_NO_CLWB says so, through libpmem.
 */
#include "media/persist.h"

#include <cpuid.h>
#include <errno.h>
#include <immintrin.h>
#ifndef VISTA_NO_LIBPMEM
#include <libpmem.h>
#endif
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "media/format.h"
#include "media/io.h"

const struct vi_persist_ops *vi_persist_test_ops;

static void flush_nothing(const void *address, size_t length)
{
    (void)address;
    (void)length;
}

__attribute__((target("clwb"))) static void write_back(const void *address, size_t length)
{
    const uintptr_t end = (uintptr_t)address + length;

    for (uintptr_t line = (uintptr_t)address & ~(uintptr_t)(VI_LINE - 1); line < end;
         line += VI_LINE)
        _mm_clwb((void *)line);
}

static void fence_stores(void)
{
    _mm_sfence(); /* pmem_drain may be empty where flushes order themselves: writes do not */
}

static void write_words(uint64_t *to, const uint64_t *from, size_t length)
{
    for (size_t i = 0; i < length / sizeof *to; i++)
        ((volatile uint64_t *)to)[i] = from[i];
}

/* Past the caches: a fence waits about half as long for a line that goes to memory at once
 * as for one that is stored in a cache and written back. */
static void write_lines(uint64_t *to, const uint64_t *from, size_t length)
{
    const uint64_t *const end = to + length / sizeof *to;

    for (; end - to >= 8; to += 8, from += 8)
#pragma GCC unroll 4
        for (int i = 0; i < 8; i += 2)
            _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
    for (; to < end; to++, from++)
        _mm_stream_si64((long long *)to, (long long)*from);
}

void vi_persist_evict(const void *address, size_t length)
{
    for (size_t i = 0; i < length; i += VI_LINE)
        _mm_clflush((const char *)address + i);
}

#ifdef VISTA_NO_LIBPMEM
/* A static program cannot have libpmem, whose libndctl has no static library. */
static void pmem_flush(const void *address, size_t length)
{
    vi_persist_evict((const void *)((uintptr_t)address & ~(uintptr_t)(VI_LINE - 1)),
                     length + (uintptr_t)address % VI_LINE);
}

/* Flushing is right where the caches survive, too. */
static int pmem_has_auto_flush(void)
{
    return 0;
}
#endif

static int sync_disk(int fd)
{
    return vi_io()->sync(fd);
}

static const struct vi_persist_ops class_ops[] = {
    [VISTA_CLASS_KILL] = {.sync = fsync}, /* the others are not called */
    [VISTA_CLASS_LINE] = {pmem_flush, fence_stores, write_lines, fsync},
    [VISTA_CLASS_EADR] = {flush_nothing, fence_stores, write_words, fsync},
    [VISTA_CLASS_DISK] = {.sync = sync_disk},
};

static bool is_one(const char *name)
{
    const char *value = secure_getenv(name);

    return value != NULL && strcmp(value, "1") == 0;
}

static bool has_clwb(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_CLWB && !is_one("PMEM_NO_CLWB");
}

void vi_persist_init(struct vi_persist *persist, enum vista_class class)
{
    persist->ops = vi_persist_test_ops != NULL ? *vi_persist_test_ops : class_ops[class];
    if (persist->ops.flush == pmem_flush && has_clwb())
        persist->ops.flush = write_back;
    persist->class = class;
    persist->flushes = vi_class_flushes(class);
}

int vi_persist_forced(enum vista_class option, enum vista_class *class, unsigned *forced)
{
    static const char *const names[] = {"", "kill", "line", "eadr", "disk"};
    const char *value = secure_getenv("VISTA_CLASS");

    *class = option;
    *forced = option != VISTA_CLASS_PROBE;
    if (*forced)
        return 0;
    while (value != NULL && strcmp(value, names[*class]) != 0)
        if (++*class > VISTA_CLASS_DISK)
            return vi_fail(EINVAL, "VISTA_CLASS is \"%s\": it must be kill, line, eadr or disk",
                           value);
    if (*class == VISTA_CLASS_PROBE && is_one("PMEM_IS_PMEM_FORCE"))
        *class = VISTA_CLASS_LINE;
    *forced = *class != VISTA_CLASS_PROBE ? 2 : 0;
    return 0;
}

enum vista_class vi_persist_probe(bool map_sync)
{
    if (!map_sync || is_one("PMEM_NO_FLUSH"))
        return VISTA_CLASS_KILL;
    return pmem_has_auto_flush() == 1 ? VISTA_CLASS_EADR : VISTA_CLASS_LINE;
}
