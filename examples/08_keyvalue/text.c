/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Numbers, buffers and replies: see text.h.
 */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a client's requests of one wakeup, and the replies, mostly fit in. */
#define FIRST_ROOM ((size_t)64 << 10)

/* ---- Numbers and words --------------------------------------------------- */

bool text_number(struct slice text, int64_t *number)
{
    const bool negative = text.length > 0 && text.bytes[0] == '-';
    const uint64_t limit = (uint64_t)INT64_MAX + negative;
    size_t at = negative;
    uint64_t value = 0;

    if (at == text.length || (text.bytes[at] == '0' && text.length > 1))
        return false;
    for (; at < text.length; at++) {
        const unsigned digit = (unsigned)text.bytes[at] - '0';

        if (digit > 9 || value > (limit - digit) / 10)
            return false;
        value = 10 * value + digit;
    }
    *number = (int64_t)(negative ? 0 - value : value);
    return true;
}

size_t text_from_number(char text[TEXT_NUMBER_SIZE], int64_t number)
{
    uint64_t value = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char digits[TEXT_NUMBER_SIZE];
    size_t at = sizeof digits, length;

    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    if (number < 0)
        digits[--at] = '-';
    length = sizeof digits - at;
    memcpy(text, digits + at, length);
    return length;
}

bool text_is(struct slice text, const char *word)
{
    return text.length == strlen(word) && strncasecmp(text.bytes, word, text.length) == 0;
}

/* ---- Buffers -------------------------------------------------------------- */

/* Memory of FIRST_ROOM that the last buffers had: it is warm in the cache. */
static char *spare[2];

static char *take_first(void)
{
    for (int i = 0; i < 2; i++)
        if (spare[i] != NULL) {
            char *bytes = spare[i];

            spare[i] = NULL;
            return bytes;
        }
    return malloc(FIRST_ROOM);
}

static void give_back(char *bytes, size_t room)
{
    for (int i = 0; i < 2 && room == FIRST_ROOM; i++)
        if (spare[i] == NULL) {
            spare[i] = bytes;
            return;
        }
    free(bytes);
}

/* Makes its memory large enough for `length` bytes more; doubles it, so that a byte is
 * moved a few times at most however slowly they come. */
static bool grow(struct buffer *buffer, size_t length)
{
    size_t room = buffer->room == 0 ? FIRST_ROOM : buffer->room;
    char *bytes;

    if (buffer->begin > 0) {
        memmove(buffer->bytes, buffer->bytes + buffer->begin, buffer_length(buffer));
        buffer->end -= buffer->begin;
        buffer->begin = 0;
    }
    while (room - buffer->end < length)
        room *= 2;
    if (room == buffer->room)
        return true;
    bytes = room == FIRST_ROOM ? take_first() : realloc(buffer->bytes, room);
    if (bytes == NULL)
        return false;
    buffer->bytes = bytes;
    buffer->room = room;
    return true;
}

char *buffer_reserve(struct buffer *buffer, size_t length)
{
    if (buffer->room - buffer->end < length && !grow(buffer, length))
        buffer->failed = true;
    return buffer->failed ? NULL : buffer->bytes + buffer->end;
}

void buffer_append(struct buffer *buffer, const char *bytes, size_t length)
{
    char *to = buffer_reserve(buffer, length);

    if (to != NULL) {
        memcpy(to, bytes, length);
        buffer->end += length;
    }
}

void buffer_consume(struct buffer *buffer, size_t length)
{
    buffer->begin += length;
    if (buffer->begin == buffer->end)
        buffer_free(buffer);
}

void buffer_truncate(struct buffer *buffer, size_t length)
{
    buffer->end = buffer->begin + length;
    if (length == 0)
        buffer_free(buffer);
}

void buffer_free(struct buffer *buffer)
{
    if (buffer->bytes != NULL)
        give_back(buffer->bytes, buffer->room);
    *buffer = (struct buffer){.failed = buffer->failed};
}

/* ---- Replies --------------------------------------------------------------- */

/* A kind, a number and the end of the line. */
static void reply_header(struct buffer *out, char kind, int64_t number)
{
    char *to = buffer_reserve(out, TEXT_NUMBER_SIZE + 3);
    size_t length;

    if (to == NULL)
        return;
    to[0] = kind;
    length = 1 + text_from_number(to + 1, number);
    to[length] = '\r';
    to[length + 1] = '\n';
    out->end += length + 2;
}

void reply_status(struct buffer *out, const char *text)
{
    buffer_append(out, "+", 1);
    buffer_append(out, text, strlen(text));
    buffer_append(out, "\r\n", 2);
}

void reply_error(struct buffer *out, const char *format, ...)
{
    char line[512] = "-";
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line + 1, sizeof line - 1, format, arguments);
    va_end(arguments);
    for (char *at = line; *at != '\0'; at++) /* what was quoted must not end the line */
        if (*at == '\r' || *at == '\n')
            *at = ' ';
    buffer_append(out, line, strlen(line));
    buffer_append(out, "\r\n", 2);
}

void reply_integer(struct buffer *out, int64_t number)
{
    reply_header(out, ':', number);
}

void reply_bulk(struct buffer *out, struct slice text)
{
    char *to;

    reply_header(out, '$', (int64_t)text.length);
    to = buffer_reserve(out, text.length + 2);
    if (to == NULL)
        return;
    memcpy(to, text.bytes, text.length);
    to[text.length] = '\r';
    to[text.length + 1] = '\n';
    out->end += text.length + 2;
}

void reply_word(struct buffer *out, const char *text)
{
    reply_bulk(out, (struct slice){text, strlen(text)});
}

void reply_nothing(struct buffer *out)
{
    buffer_append(out, "$-1\r\n", 5);
}

void reply_array(struct buffer *out, size_t count)
{
    reply_header(out, '*', (int64_t)count);
}
