/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The trace of a run: see trace.h.
 */
#include "checkpoint/protocol/trace.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/paths.h"
#include "checkpoint/protocol/channels.h"

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
                                             .object = record.object,
                                             .flags = record.flags,
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
    if (records != NULL)
        vi_channels_lost();
}

void vi_trace_forks(void)
{
    if (records != NULL)
        vi_channels_lost();
}

void vi_trace_commit(void)
{
    append((struct vi_trace_record){.kind = VI_TRACE_COMMIT,
                                    .number = (uint16_t)vi_engine.header->plan,
                                    .message = vi_engine.header->commits,
                                    .result = (int64_t)vi_engine.header->saved});
}

void vi_trace_signal(int number, bool logged)
{
    append((struct vi_trace_record){.kind = VI_TRACE_SIGNAL,
                                    .number = (uint16_t)number,
                                    .flags = logged ? VI_TRACE_LOGGED : 0});
}

/* ---- Calls -------------------------------------------------------------------- */

/* The present call: its descriptor, what that leads to, and whether there is a record of it. */
static uint16_t descriptor;
static uint8_t object;
static bool recorded;

/* The kernel says what a descriptor leads to, not the runtime, which the trace is to check; only
 * which files are inherited, and so never undone, the kernel does not know. */
static uint8_t object_of(int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return VI_TRACE_NOTHING;
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
        if (fcntl(fd, F_GETFD) >= 0 && vi_files_is_visible((uint64_t)fd) && S_ISREG(st.st_mode))
            return VI_TRACE_OUTPUT;
        return vi_paths_is_made_up(fd) ? VI_TRACE_OUTSIDE : VI_TRACE_OWN;
    case S_IFCHR:
        return isatty(fd) ? VI_TRACE_TERMINAL : VI_TRACE_DEVICE;
    case S_IFIFO:
        return VI_TRACE_PIPE;
    case S_IFSOCK:
        return VI_TRACE_SOCKET;
    default:
        return st.st_mode & S_IFMT ? VI_TRACE_DEVICE : VI_TRACE_OTHER;
    }
}

static bool is_connection(void)
{
    return object == VI_TRACE_SOCKET || object == VI_TRACE_PIPE;
}

void vi_trace_before(const struct vi_call *call, bool has_descriptor)
{
    const uint64_t fd = call->arguments[call->number == SYS_copy_file_range ? 2 : 0];

    recorded = false;
    if (records == NULL)
        return;
    descriptor = (uint16_t)fd;
    object = has_descriptor && fd < VI_DESCRIPTORS ? object_of((int)fd) : VI_TRACE_NOTHING;
    if (is_connection())
        vi_channels_before((int)fd);
}

static void append_part(enum vi_trace_kind kind, uint64_t channel, uint64_t position)
{
    append((struct vi_trace_record){
        .kind = (uint16_t)kind, .message = channel, .result = (int64_t)position});
}

static void append_call(const struct vi_call *call, struct vi_trace_record record)
{
    record.number = (uint16_t)call->number;
    record.descriptor = descriptor;
    record.object = object;
    append(record);
    recorded = true;
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
    uint64_t channel, position;

    if (records == NULL)
        return;
    if (is_connection() && vi_channels_sent(call, result, &channel, &position))
        append_part(VI_TRACE_TO, channel, position);
    append_call(call, (struct vi_trace_record){
                          .kind = VI_TRACE_VISIBLE,
                          .flags = VI_TRACE_LOGGED,
                          .message = bytes != NULL && result > 0 ? hash(bytes, result) : 0,
                          .result = result});
}

void vi_trace_replayed(void)
{
    recorded = true;
}

void vi_trace_after(const struct vi_call *call, long result, bool logged)
{
    uint64_t channel, position;

    if (records == NULL || recorded)
        return;
    if (is_connection() && vi_channels_received(call, result, &channel, &position))
        append_part(VI_TRACE_FROM, channel, position);
    append_call(call, (struct vi_trace_record){.kind = VI_TRACE_CALL,
                                               .flags = logged ? VI_TRACE_LOGGED : 0,
                                               .message = call->arguments[0],
                                               .result = result});
}
