/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SCAN and KEYS: options, and patterns as Redis has them.
 */
#include "commands.h"

#include <string.h>

#define BUCKETS_PER_KEY 10            /* looked at in vain, before a call returns with less */
#define LARGE_REPLY ((size_t)1 << 20) /* a call that has found so much returns with it */

/* ---- Patterns -------------------------------------------------------------- */

/* One character of a pattern at [*at, end) against one of a text: moves `*at` behind it. */
static bool match_one(const char **at, const char *end, char c)
{
    bool negated, found = false;

    if (**at == '?') {
        ++*at;
        return true;
    }
    if (**at != '[') {
        if (**at == '\\' && *at + 1 < end)
            ++*at;
        return *(*at)++ == c;
    }
    negated = ++*at < end && **at == '^';
    *at += negated;
    for (; *at < end && **at != ']'; ++*at) {
        const unsigned char low = (unsigned char)**at;
        unsigned char high = low;

        if (end - *at > 2 && (*at)[1] == '-' && (*at)[2] != ']') {
            high = (unsigned char)(*at)[2];
            *at += 2;
        }
        found |= (unsigned char)c >= low && (unsigned char)c <= high;
    }
    *at += *at < end;
    return found != negated;
}

/* Whether all of the text matches.  When something does not, the last '*' takes one
 * character more: so it is never worse than quadratic. */
static bool matches(struct slice pattern, struct slice text)
{
    const char *at = pattern.bytes, *end = at + pattern.length;
    const char *c = text.bytes, *text_end = c + text.length;
    const char *star = NULL, *starred = NULL;

    for (;;) {
        if (at < end && *at == '*') {
            star = ++at;
            starred = c;
        } else if (c == text_end) {
            return at == end;
        } else if (at < end && match_one(&at, end, *c)) {
            c++;
        } else if (star != NULL && starred < text_end) {
            at = star;
            c = ++starred;
        } else {
            return false;
        }
    }
}

/* ---- The command ----------------------------------------------------------- */

struct scan {
    struct slice pattern; /* no bytes: every key */
    int64_t wanted;       /* COUNT: about as many keys as to look at */
    int64_t seen;
    size_t count;        /* of keys found */
    struct buffer found; /* as bulk replies */
};

static void visit(void *context, struct slice key)
{
    struct scan *scan = context;

    scan->seen++;
    if (scan->pattern.bytes != NULL && !matches(scan->pattern, key))
        return;
    scan->count++;
    reply_bulk(&scan->found, key);
}

static bool parse_options(struct call *call, struct scan *scan)
{
    for (size_t i = 2; i < call->count; i += 2) {
        const struct slice name = call_argument(call, i);

        if (i + 1 == call->count)
            return false;
        if (text_is(name, "match"))
            scan->pattern = call_argument(call, i + 1);
        else if (!text_is(name, "count") ||
                 !text_number(call_argument(call, i + 1), &scan->wanted) || scan->wanted < 1)
            return false;
    }
    return true;
}

/* Cursors are numbers without a sign, of which ours stay far below the largest. */
static bool parse_cursor(struct slice text, uint64_t *cursor)
{
    int64_t number;

    if (!text_number(text, &number) || number < 0)
        return false;
    *cursor = (uint64_t)number;
    return true;
}

static void reply_keys(struct call *call, struct scan *scan)
{
    reply_array(call->out, scan->count);
    if (buffer_length(&scan->found) > 0)
        buffer_append(call->out, scan->found.bytes, buffer_length(&scan->found));
    call->out->failed |= scan->found.failed;
    buffer_free(&scan->found);
}

void scan_run(struct call *call)
{
    struct scan scan = {.wanted = 10};
    char text[TEXT_NUMBER_SIZE];
    uint64_t cursor;
    int64_t buckets = 0;

    if (!parse_cursor(call_argument(call, 1), &cursor)) {
        reply_error(call->out, "ERR invalid cursor");
        return;
    }
    if (!parse_options(call, &scan)) {
        reply_error(call->out, "ERR syntax error: the options here are MATCH and COUNT");
        return;
    }
    do
        cursor = store_scan(call->server->store, cursor, visit, &scan);
    while (cursor != 0 && scan.seen < scan.wanted && ++buckets / BUCKETS_PER_KEY < scan.wanted &&
           buffer_length(&scan.found) < LARGE_REPLY);
    reply_array(call->out, 2);
    reply_bulk(call->out, (struct slice){text, text_from_number(text, (int64_t)cursor)});
    reply_keys(call, &scan);
}

/* KEYS pattern: all at once, which holds every other client up. */
void keys_run(struct call *call)
{
    struct scan scan = {.pattern = call_argument(call, 1)};
    uint64_t cursor = 0;

    do
        cursor = store_scan(call->server->store, cursor, visit, &scan);
    while (cursor != 0 && buffer_length(&scan.found) <= REPLY_SIZE);
    if (cursor != 0) {
        reply_error(call->out, "ERR these keys are too much for one reply: use SCAN");
        buffer_free(&scan.found);
        return;
    }
    reply_keys(call, &scan);
}
