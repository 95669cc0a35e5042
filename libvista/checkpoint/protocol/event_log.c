/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The log of events: see event_log.h.
 */
#include "checkpoint/protocol/event_log.h"

#include <stdio.h>
#include <string.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/kernel/argument_counts.h"
#include "checkpoint/kernel/table.h"

/* The word `log_mark` tells at once which checkpoint the log is of, and how many entries it has. */
#define COUNT_BITS 12
#define ENDED ((uint64_t)1 << 32) /* of a call's number: a signal has ended it */
_Static_assert(VI_LOG_ENTRIES < 1 << COUNT_BITS, "their number fits the mark");

/* Of the entries to be replayed: the next, and the end. */
static uint32_t replay_at, replay_end;

static uint32_t count_of(uint64_t mark)
{
    return mark >> COUNT_BITS == vi_engine.header->commits ? mark & ((1u << COUNT_BITS) - 1) : 0;
}

void vi_events_resumed(void)
{
    replay_at = 0;
    replay_end = count_of(vi_engine.header->log_mark);
}

void vi_events_committed(void)
{
    replay_at = replay_end = 0;
}

bool vi_events_is_replaying(void)
{
    return replay_at != replay_end;
}

uint64_t vi_events_place(void)
{
    const struct vi_header *header = vi_engine.header;
    const uint32_t count = vi_events_is_replaying() ? replay_at : count_of(header->log_mark);

    return header->commits << COUNT_BITS | count;
}

uint64_t vi_events_place_behind_commit(void)
{
    return (vi_engine.header->commits + 1) << COUNT_BITS;
}

static void describe(const struct vi_log_entry *entry, char *text, size_t size)
{
    const struct vi_row *row = vi_table_row((long)(entry->number & ~ENDED));

    snprintf(text, size, "%s(%lld, ..., %lld)", row != NULL ? row->name : "an unknown call",
             (long long)entry->first, (long long)entry->last);
}

static struct vi_log_entry entry_of(const struct vi_call *call, long result)
{
    const unsigned count = vi_argument_count(call->number);

    return (struct vi_log_entry){.number = (uint64_t)call->number,
                                 .first = count > 0 ? call->arguments[0] : 0,
                                 .last = count > 1 ? call->arguments[count - 1] : 0,
                                 .result = result};
}

void vi_events_refuse(const char *event)
{
    char logged[128];

    describe(&vi_engine.header->log[replay_at], logged, sizeof logged);
    vi_give_up("the program does not do again what it did before it was killed: not %s but %s; "
               "--fresh begins anew",
               logged, event);
}

long vi_events_replay(const struct vi_call *call)
{
    const struct vi_log_entry *entry = &vi_engine.header->log[replay_at];
    const struct vi_log_entry now = entry_of(call, 0);
    char event[128];

    if ((entry->number & ~ENDED) != now.number || entry->first != now.first ||
        entry->last != now.last) {
        describe(&now, event, sizeof event);
        vi_events_refuse(event);
    }
    replay_at++;
    return entry->result;
}

/* Where the bytes of the next entry begin. */
static uint64_t bytes_used(uint32_t count)
{
    return count != 0 ? vi_engine.header->log[count - 1].end : 0;
}

bool vi_events_has_room(size_t bytes)
{
    const uint32_t count = count_of(vi_engine.header->log_mark);

    return count < VI_LOG_ENTRIES && bytes <= VI_LOG_BYTES - bytes_used(count);
}

bool vi_events_is_ended(void)
{
    return vi_engine.header->log[replay_at].number & ENDED;
}

static void append(struct vi_log_entry entry, const struct iovec *parts, int count)
{
    struct vi_header *header = vi_engine.header;
    const uint32_t number = count_of(header->log_mark);

    entry.end = bytes_used(number);
    for (int i = 0; i < count; i++) {
        memcpy(header->log_bytes + entry.end, parts[i].iov_base, parts[i].iov_len);
        entry.end += parts[i].iov_len;
    }
    header->log[number] = entry;
    __asm__ volatile("" ::: "memory"); /* only now it counts */
    header->log_mark = header->commits << COUNT_BITS | (number + 1);
}

void vi_events_append(const struct vi_call *call, long result, const struct iovec *parts, int count)
{
    append(entry_of(call, result), parts, count);
}

void vi_events_append_ended(const struct vi_call *call, long result, const struct iovec *parts,
                            int count)
{
    struct vi_log_entry entry = entry_of(call, result);

    entry.number |= ENDED;
    append(entry, parts, count);
}

void vi_events_write(const struct iovec *parts, int count)
{
    const unsigned char *from = vi_engine.header->log_bytes + bytes_used(replay_at - 1);

    for (int i = 0; i < count; from += parts[i++].iov_len)
        memcpy(parts[i].iov_base, from, parts[i].iov_len);
}
