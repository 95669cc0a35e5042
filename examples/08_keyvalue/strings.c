/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Commands about strings, and numbers as strings.
 */
#include <stdlib.h>
#include <string.h>

#include "commands.h"

#define SECOND 1000 /* milliseconds */

static bool get(const struct call *call, size_t index, struct found *found)
{
    return store_get(call->server->store, call_argument(call, index), found);
}

static void reply_found(struct call *call, bool there, const struct found *found)
{
    if (there)
        reply_bulk(call->out, found->value);
    else
        reply_nothing(call->out);
}

/* ---- One ------------------------------------------------------------------- */

void get_run(struct call *call)
{
    struct found found;
    const bool there = get(call, 1, &found);

    reply_found(call, there, &found);
}

void strlen_run(struct call *call)
{
    struct found found;

    reply_integer(call->out, get(call, 1, &found) ? (int64_t)found.value.length : 0);
}

/* An end of a range, counted from the value's end if it is negative. */
static int64_t from_either_end(int64_t index, int64_t length)
{
    return index >= 0 ? index : index < -length ? 0 : length + index;
}

/* GETRANGE key first last */
void getrange_run(struct call *call)
{
    struct found found = {{"", 0}, 0};
    int64_t first, last, length;

    if (!call_number(call, 2, &first) || !call_number(call, 3, &last))
        return;
    get(call, 1, &found);
    length = (int64_t)found.value.length;
    if (last < -length)
        length = 0;
    first = from_either_end(first, length);
    last = from_either_end(last, length);
    if (last >= length)
        last = length - 1;
    if (first <= last)
        reply_bulk(call->out,
                   (struct slice){found.value.bytes + first, (size_t)(last - first + 1)});
    else
        reply_word(call->out, "");
}

/* ---- SET ------------------------------------------------------------------- */

struct set {
    bool nx, xx; /* if there is none yet; if there is one */
    bool get;    /* reply what there was */
    bool keep;   /* the deadline that it has */
    bool has_deadline;
    uint64_t deadline;
};

/* The deadline that an argument names, in this unit and from a time on; false, with a reply:
 * none. */
static bool parse_deadline(struct call *call, size_t index, int64_t unit, uint64_t from,
                           uint64_t *deadline)
{
    int64_t number;

    if (!call_number(call, index, &number))
        return false;
    if (number <= 0 || __builtin_mul_overflow(number, unit, &number) ||
        __builtin_add_overflow(number, (int64_t)from, &number)) {
        reply_error(call->out, "ERR invalid expire time");
        return false;
    }
    *deadline = (uint64_t)number;
    return true;
}

/* EX seconds, PX milliseconds, from now on, or EXAT and PXAT, since 1970. */
static bool parse_expiry(struct call *call, size_t index, struct set *set)
{
    const struct slice name = call_argument(call, index);
    const bool at = text_is(name, "exat") || text_is(name, "pxat");
    const bool seconds = text_is(name, "ex") || text_is(name, "exat");

    set->has_deadline = true;
    return parse_deadline(call, index + 1, seconds ? SECOND : 1, at ? 0 : store_time(),
                          &set->deadline);
}

static bool is_expiry(struct slice name)
{
    return text_is(name, "ex") || text_is(name, "px") || text_is(name, "exat") ||
           text_is(name, "pxat");
}

/* SET key value [NX | XX] [GET] [EX n | PX n | EXAT n | PXAT n | KEEPTTL] */
static bool parse_set(struct call *call, struct set *set)
{
    for (size_t i = 3; i < call->count; i++) {
        const struct slice name = call_argument(call, i);

        if (text_is(name, "nx") && !set->xx) {
            set->nx = true;
        } else if (text_is(name, "xx") && !set->nx) {
            set->xx = true;
        } else if (text_is(name, "get")) {
            set->get = true;
        } else if (text_is(name, "keepttl") && !set->has_deadline) {
            set->keep = true;
        } else if (is_expiry(name) && i + 1 < call->count && !set->has_deadline && !set->keep) {
            if (!parse_expiry(call, i++, set))
                return false;
        } else {
            reply_syntax(call, "NX or XX, GET, and one of EX, PX, EXAT, PXAT, KEEPTTL");
            return false;
        }
    }
    return true;
}

/* The reply is what there was, copied before the write that may free it, or OK. */
static void set(struct call *call, const struct set *set)
{
    const struct slice key = call_argument(call, 1);
    struct found old = {{"", 0}, 0};
    const bool there = get(call, 1, &old);
    const uint64_t deadline = set->keep && there ? old.deadline : set->deadline;
    const bool wanted = set->nx ? !there : !set->xx || there;

    if (set->get)
        reply_found(call, there, &old);
    if (!wanted) {
        if (!set->get)
            reply_nothing(call->out);
        return;
    }
    if (call_finish(call, call_set(call, key, call_argument(call, 2), deadline)) && !set->get)
        reply_status(call->out, "OK");
}

void set_run(struct call *call)
{
    struct set options = {0};

    if (parse_set(call, &options))
        set(call, &options);
}

void getset_run(struct call *call)
{
    set(call, &(struct set){.get = true});
}

void setnx_run(struct call *call)
{
    const struct slice key = call_argument(call, 1);
    struct found old;

    if (get(call, 1, &old))
        reply_integer(call->out, 0);
    else if (call_finish(call, call_set(call, key, call_argument(call, 2), 0)))
        reply_integer(call->out, 1);
}

/* SETEX key time value */
static void set_for(struct call *call, int64_t unit)
{
    uint64_t deadline;

    if (!parse_deadline(call, 2, unit, store_time(), &deadline))
        return;
    if (call_finish(call, call_set(call, call_argument(call, 1), call_argument(call, 3), deadline)))
        reply_status(call->out, "OK");
}

void setex_run(struct call *call)
{
    set_for(call, SECOND);
}

void psetex_run(struct call *call)
{
    set_for(call, 1);
}

void getdel_run(struct call *call)
{
    struct found old;

    if (!get(call, 1, &old)) {
        reply_nothing(call->out);
        return;
    }
    reply_bulk(call->out, old.value);
    call_finish(call, call_delete(call, call_argument(call, 1)) >= 0);
}

/* APPEND key text; the deadline stays */
void append_run(struct call *call)
{
    const struct slice key = call_argument(call, 1), text = call_argument(call, 2);
    struct found old = {{"", 0}, 0};
    size_t length;
    char *bytes;
    bool done;

    get(call, 1, &old);
    length = old.value.length + text.length;
    if (length > REQUEST_BULK) {
        reply_error(call->out, "ERR the string would be longer than a value may be");
        return;
    }
    bytes = malloc(length + 1);
    if (bytes == NULL) {
        reply_error(call->out, "OOM no memory for the string");
        return;
    }
    memcpy(bytes, old.value.bytes, old.value.length);
    memcpy(bytes + old.value.length, text.bytes, text.length);
    done = call_finish(call, call_set(call, key, (struct slice){bytes, length}, old.deadline));
    free(bytes);
    if (done)
        reply_integer(call->out, (int64_t)length);
}

/* ---- Several --------------------------------------------------------------- */

static bool are_pairs(struct call *call, const char *name)
{
    if (call->count % 2 == 0)
        reply_error(call->out, "ERR wrong number of arguments for '%s' command", name);
    return call->count % 2 != 0;
}

static bool set_all(struct call *call)
{
    bool done = true;

    for (size_t i = 1; done && i < call->count; i += 2)
        done = call_set(call, call_argument(call, i), call_argument(call, i + 1), 0);
    return call_finish(call, done);
}

void mset_run(struct call *call)
{
    if (are_pairs(call, "mset") && set_all(call))
        reply_status(call->out, "OK");
}

void msetnx_run(struct call *call)
{
    struct found old;

    if (!are_pairs(call, "msetnx"))
        return;
    for (size_t i = 1; i < call->count; i += 2)
        if (get(call, i, &old)) {
            reply_integer(call->out, 0);
            return;
        }
    if (set_all(call))
        reply_integer(call->out, 1);
}

void mget_run(struct call *call)
{
    struct found found;
    size_t size = 0;

    for (size_t i = 1; i < call->count; i++)
        if (get(call, i, &found))
            size += found.value.length;
    if (size > REPLY_SIZE) {
        reply_error(call->out, "ERR these values are too much for one reply");
        return;
    }
    reply_array(call->out, call->count - 1);
    for (size_t i = 1; i < call->count; i++) {
        const bool there = get(call, i, &found);

        reply_found(call, there, &found);
    }
}

/* ---- Numbers --------------------------------------------------------------- */

/* The deadline stays. */
static void add(struct call *call, int64_t amount)
{
    struct found found = {{"0", 1}, 0};
    char text[TEXT_NUMBER_SIZE];
    struct slice value = {text, 0};
    int64_t number;

    get(call, 1, &found);
    if (!text_number(found.value, &number)) {
        reply_error(call->out, "ERR value is not an integer or out of range");
        return;
    }
    if (__builtin_add_overflow(number, amount, &number)) {
        reply_error(call->out, "ERR increment or decrement would overflow");
        return;
    }
    value.length = text_from_number(text, number);
    if (call_finish(call, call_set(call, call_argument(call, 1), value, found.deadline)))
        reply_integer(call->out, number);
}

void incr_run(struct call *call)
{
    add(call, 1);
}

void decr_run(struct call *call)
{
    add(call, -1);
}

void incrby_run(struct call *call)
{
    int64_t amount;

    if (call_number(call, 2, &amount))
        add(call, amount);
}

void decrby_run(struct call *call)
{
    int64_t amount;

    if (!call_number(call, 2, &amount))
        return;
    if (amount == INT64_MIN)
        reply_error(call->out, "ERR decrement would overflow");
    else
        add(call, -amount);
}
