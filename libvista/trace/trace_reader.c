/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading traces: see trace_reader.h.
 */
#include "trace/trace_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/trace_calls.h"

/* The part of a channel's bytes that an event sent or received. */
struct vi_segment {
    uint64_t channel, from, to;
    uint32_t event;
};

/* Makes room for one more of `*count` elements; their number is a power of two. */
static bool grow(void *array, size_t count, size_t size)
{
    void **at = array, *larger;

    if (count & (count - 1) || (count < 16 && count != 0))
        return true;
    larger = realloc(*at, (count < 16 ? 16 : 2 * count) * size);
    if (larger != NULL)
        *at = larger;
    return larger != NULL;
}

/* ---- Events ------------------------------------------------------------------- */

static uint32_t bits_of(const struct vi_trace_record *r)
{
    const uint32_t undetermined =
        r->flags & VI_TRACE_LOGGED ? VI_EVENT_LOGGED : VI_EVENT_UNDETERMINED;

    switch (r->kind) {
    case VI_TRACE_COMMIT:
        return VI_EVENT_COMMIT;
    case VI_TRACE_START:
    case VI_TRACE_RESUME:
        return VI_EVENT_BACK;
    case VI_TRACE_SIGNAL:
        return undetermined;
    default:
        break;
    }
    switch (vi_trace_meaning(r)) {
    case VI_MEANS_VISIBLE: /* how much of it was shown may differ the next time */
        return VI_EVENT_VISIBLE | undetermined;
    case VI_MEANS_UNDETERMINED:
        return undetermined;
    default:
        return 0;
    }
}

static bool add_process(struct vi_traces *t, const char *file, uint32_t vpid, uint32_t *process)
{
    struct vi_history *h = &t->history;

    for (*process = 0; *process < h->processes; ++*process)
        if (strcmp(t->names[*process].file, file) == 0 && t->names[*process].vpid == vpid)
            return true;
    if (!grow(&t->names, h->processes, sizeof *t->names))
        return false;
    t->names[h->processes++] = (struct vi_process_name){file, vpid};
    return true;
}

static bool add_event(struct vi_traces *t, const char *file, const struct vi_trace_record *r,
                      uint32_t bits)
{
    struct vi_history *h = &t->history;
    uint32_t process;

    if (!add_process(t, file, r->vpid, &process) ||
        !grow(&h->events, h->count, sizeof *h->events) ||
        !grow(&t->origins, h->count, sizeof *t->origins))
        return false;
    t->origins[h->count] = (struct vi_origin){*r, file};
    h->events[h->count++] = (struct vi_event){
        .process = process,
        .bits = bits,
        .checkpoint = r->kind == VI_TRACE_START ? 0 : (uint32_t)r->message,
    };
    return true;
}

/* A kill may come between a commit and its record; and recording may begin with a resumption, of
 * whose past all that matters is that it is committed. */
static bool add_lost_commit(struct vi_traces *t, const char *file, const struct vi_trace_record *r,
                            uint64_t last)
{
    struct vi_trace_record commit = *r;

    if (r->kind != VI_TRACE_RESUME || r->message == 0 ||
        (r->sequence != 0 && r->message != last + 1))
        return true;
    commit.kind = VI_TRACE_COMMIT;
    return add_event(t, file, &commit, VI_EVENT_COMMIT);
}

static bool add_segment(struct vi_segment **segments, size_t *count,
                        const struct vi_trace_record *r, uint64_t size, uint32_t event)
{
    if (!grow(segments, *count, sizeof **segments))
        return false;
    (*segments)[(*count)++] =
        (struct vi_segment){r->message, (uint64_t)r->result - size, (uint64_t)r->result, event};
    return true;
}

/* `part`: the record before, which names the channel. */
static bool add_message(struct vi_traces *t, const struct vi_trace_record *part,
                        const struct vi_trace_record *r)
{
    struct vi_history *h = &t->history;
    const uint32_t event = h->count - 1;

    if (r->result <= 0)
        return true;
    if (part->kind == VI_TRACE_TO) {
        h->events[event].bits |= VI_EVENT_SEND;
        return add_segment(&t->sent, &t->sent_count, part, (uint64_t)r->result, event);
    }
    if (part->kind == VI_TRACE_FROM) {
        h->events[event].bits |= VI_EVENT_RECEIVE;
        return add_segment(&t->received, &t->received_count, part, (uint64_t)r->result, event);
    }
    return true;
}

static const char *read_records(struct vi_traces *t, const char *name, FILE *file)
{
    struct vi_trace_record r = {0}, part = {0};
    uint64_t last = 0;
    uint32_t expected = 0;

    while (fread(&r, sizeof r, 1, file) == 1 && r.kind != VI_TRACE_NONE) {
        if (r.sequence != expected++ || r.kind > VI_TRACE_FROM)
            return "not a trace";
        if (r.kind == VI_TRACE_RESUME && r.sequence != 0 && r.message > last + 1)
            return "records are missing: the run went on for a time without --trace";
        if (r.kind == VI_TRACE_TO || r.kind == VI_TRACE_FROM) {
            part = r;
            continue;
        }
        if (!add_lost_commit(t, name, &r, last) || !add_event(t, name, &r, bits_of(&r)) ||
            !add_message(t, &part, &r))
            return strerror(ENOMEM);
        part = (struct vi_trace_record){0};
        if (r.kind == VI_TRACE_COMMIT || r.kind == VI_TRACE_RESUME)
            last = r.message;
        if (r.kind == VI_TRACE_START)
            last = 0;
    }
    if (ferror(file))
        return strerror(errno);
    if (expected == 0)
        return "not a trace, or an empty one";
    return r.kind != VI_TRACE_NONE ? "its end is missing: it was cut, or is full" : NULL;
}

const char *vi_traces_read(struct vi_traces *traces, const char *name)
{
    FILE *file = fopen(name, "re");
    const char *wrong;

    if (file == NULL)
        return strerror(errno);
    wrong = read_records(traces, name, file);
    fclose(file);
    return wrong;
}

/* ---- Messages ------------------------------------------------------------------ */

static int by_channel(const void *a, const void *b)
{
    const struct vi_segment *x = a, *y = b;

    if (x->channel != y->channel)
        return x->channel < y->channel ? -1 : 1;
    return x->from != y->from ? (x->from < y->from ? -1 : 1) : 0;
}

static int by_receipt(const void *a, const void *b)
{
    const struct vi_message *x = a, *y = b;

    return x->receive != y->receive ? (x->receive < y->receive ? -1 : 1) : 0;
}

static bool add_pair(struct vi_history *h, uint32_t send, uint32_t receive)
{
    if (!grow(&h->messages, h->message_count, sizeof *h->messages))
        return false;
    h->messages[h->message_count++] = (struct vi_message){send, receive};
    return true;
}

/* How many parts of channels come before the position. */
static size_t count_before(const struct vi_traces *t, uint64_t channel, uint64_t position)
{
    const struct vi_segment key = {.channel = channel, .from = position};
    size_t low = 0, high = t->sent_count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (by_channel(&t->sent[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What was sent again after a kill is there twice; both depend on what was before the first. */
static bool join_one(struct vi_traces *t, const struct vi_segment *received)
{
    for (size_t i = count_before(t, received->channel, received->to); i-- > 0;) {
        const struct vi_segment *s = &t->sent[i];

        if (s->channel != received->channel || s->to <= received->from)
            break;
        if (!add_pair(&t->history, s->event, received->event))
            return false;
    }
    return true;
}

bool vi_traces_join(struct vi_traces *t)
{
    if (t->sent_count != 0)
        qsort(t->sent, t->sent_count, sizeof *t->sent, by_channel);
    for (size_t i = 0; i < t->received_count; i++)
        if (!join_one(t, &t->received[i]))
            return false;
    if (t->history.message_count != 0)
        qsort(t->history.messages, t->history.message_count, sizeof *t->history.messages,
              by_receipt);
    return true;
}

void vi_traces_free(struct vi_traces *t)
{
    free(t->history.events);
    free(t->history.messages);
    free(t->origins);
    free(t->names);
    free(t->sent);
    free(t->received);
}

/* ---- Words --------------------------------------------------------------------- */

static void describe_call(const struct vi_trace_record *r, char *text, size_t size)
{
    const char *name = vi_trace_call_name(r->number);
    const char *object = vi_trace_object_name(r->object);
    char number[32];

    snprintf(number, sizeof number, "system call %u", r->number);
    if (object == NULL)
        snprintf(text, size, "%s", name != NULL ? name : number);
    else
        snprintf(text, size, "%s of %s (descriptor %u)", name != NULL ? name : number, object,
                 r->descriptor);
}

void vi_traces_describe(const struct vi_traces *t, uint32_t event, char *text, size_t size)
{
    const struct vi_trace_record *r = &t->origins[event].record;

    switch (r->kind) {
    case VI_TRACE_START:
        snprintf(text, size, "start");
        break;
    case VI_TRACE_COMMIT:
        snprintf(text, size, "commit %llu", (unsigned long long)r->message);
        break;
    case VI_TRACE_RESUME:
        snprintf(text, size, "resumption from commit %llu", (unsigned long long)r->message);
        break;
    case VI_TRACE_SIGNAL:
        snprintf(text, size, "signal %u", r->number);
        break;
    default:
        describe_call(r, text, size);
    }
}
