/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The trace of a run: see trace.h.
 */
#include "checkpoint/protocol/trace.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"

#define MOST_RECORDS ((uint64_t)1 << 22)

static struct vi_trace_record *records; /* NULL: none is kept */
static uint64_t next;

bool vi_trace_open(const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)(MOST_RECORDS * sizeof *records)) == 0)
        map = mmap(NULL, MOST_RECORDS * sizeof *records, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (map == MAP_FAILED)
        return false;
    records = map;
    while (next < MOST_RECORDS && records[next].kind != VI_TRACE_NONE)
        next++;
    return true;
}

static void append(struct vi_trace_record record)
{
    if (records == NULL || next == MOST_RECORDS)
        return;
    record.sequence = (uint32_t)next;
    record.vpid = (uint32_t)vi_engine.header->vpid;
    records[next] = (struct vi_trace_record){.sequence = record.sequence,
                                             .number = record.number,
                                             .vpid = record.vpid,
                                             .descriptor = record.descriptor,
                                             .message = record.message,
                                             .result = record.result};
    __asm__ volatile("" ::: "memory");
    records[next++].kind = record.kind; /* only now it counts */
}

void vi_trace_start(void)
{
    append((struct vi_trace_record){.kind = VI_TRACE_START});
}

void vi_trace_resumed(void)
{
    append((struct vi_trace_record){.kind = VI_TRACE_RESUME, .message = vi_engine.header->commits});
}

void vi_trace_commit(void)
{
    append((struct vi_trace_record){.kind = VI_TRACE_COMMIT, .message = vi_engine.header->commits});
}

/* FNV-1a. */
static uint64_t hash(const unsigned char *bytes, long length)
{
    uint64_t value = 0xcbf29ce484222325u;

    for (long i = 0; i < length; i++)
        value = (value ^ bytes[i]) * 0x100000001b3u;
    return value;
}

void vi_trace_visible(const struct vi_call *call, long result, const void *bytes)
{
    if (records != NULL)
        append((struct vi_trace_record){.kind = VI_TRACE_VISIBLE,
                                        .number = (uint16_t)call->number,
                                        .descriptor = (uint32_t)call->arguments[0],
                                        .message =
                                            bytes != NULL && result > 0 ? hash(bytes, result) : 0,
                                        .result = result});
}

void vi_trace_call(const struct vi_call *call, long result)
{
    append((struct vi_trace_record){.kind = VI_TRACE_RECEIVE,
                                    .number = (uint16_t)call->number,
                                    .descriptor = (uint32_t)call->arguments[0],
                                    .result = result});
}
