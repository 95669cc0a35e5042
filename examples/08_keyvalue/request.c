/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Parsing requests: see request.h.
 */
#include "request.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_ROOM 1024 /* arguments, between requests */
#define HEADER 24      /* more bytes than "*" or "$", a number and CRLF ever need */

static bool add_argument(struct request *request, size_t offset, size_t length)
{
    if (request->count == request->room) {
        const size_t room = request->room == 0 ? 8 : 2 * request->room;
        struct argument *arguments = realloc(request->arguments, room * sizeof *arguments);

        if (arguments == NULL)
            return false;
        request->arguments = arguments;
        request->room = room;
    }
    request->arguments[request->count++] = (struct argument){offset, length};
    return true;
}

void request_reset(struct request *request)
{
    if (request->room > KEPT_ROOM)
        request_free(request);
    request->position = request->expected = request->count = 0;
}

void request_free(struct request *request)
{
    free(request->arguments);
    *request = (struct request){0};
}

/* ---- A line ---------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* What a backslash and this stand for. */
static char unescaped(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

/* Takes the word at `*at`, without its quotes and backslashes, and moves it to `to`.
 * Returns where it ends; NULL if a quote stays open or something follows it. */
static char *take_word(char **at, const char *end, char *to)
{
    char quote = '\0';

    if (**at == '"' || **at == '\'')
        quote = *(*at)++;
    while (*at < end && (quote != '\0' ? **at != quote : !is_blank(**at))) {
        if (quote == '"' && **at == '\\' && *at + 1 < end) {
            ++*at;
            *to++ = unescaped(*(*at)++);
        } else {
            *to++ = *(*at)++;
        }
    }
    if (quote != '\0' && (*at == end || (++*at < end && !is_blank(**at))))
        return NULL;
    return to;
}

static enum parsed parse_line(struct request *request, char *bytes, size_t length,
                              const char **error)
{
    const char *newline = memchr(bytes + request->position, '\n', length - request->position);
    char *at = bytes;

    request->position = newline == NULL ? length : (size_t)(newline - bytes) + 1;
    if (request->position > REQUEST_LINE) {
        *error = "too big inline request";
        return PARSED_BAD;
    }
    if (newline == NULL)
        return PARSED_PART;
    for (;;) {
        char *word, *end;

        while (at < newline && is_blank(*at))
            at++;
        if (at == newline)
            return PARSED_WHOLE;
        word = at;
        end = take_word(&at, newline, word);
        if (end == NULL) {
            *error = "unbalanced quotes in request";
            return PARSED_BAD;
        }
        if (!add_argument(request, (size_t)(word - bytes), (size_t)(end - word))) {
            *error = "out of memory";
            return PARSED_BAD;
        }
    }
}

/* ---- An array -------------------------------------------------------------- */

/* The number of a header of which the kind has been seen, from one byte behind the
 * position on; moves the position behind its CRLF. */
static enum parsed parse_header(struct request *request, const char *bytes, size_t length,
                                int64_t *number)
{
    const char *from = bytes + request->position + 1;
    const size_t left = length - request->position - 1;
    const char *end = memchr(from, '\r', left < HEADER ? left : HEADER);

    if (end == NULL)
        return left < HEADER ? PARSED_PART : PARSED_BAD;
    if (!text_number((struct slice){from, (size_t)(end - from)}, number))
        return PARSED_BAD;
    if (end + 1 == bytes + length)
        return PARSED_PART;
    request->position = (size_t)(end - bytes) + 2;
    return end[1] == '\n' ? PARSED_WHOLE : PARSED_BAD;
}

static enum parsed parse_bulk(struct request *request, const char *bytes, size_t length,
                              const char **error)
{
    const size_t before = request->position;
    enum parsed parsed;
    int64_t size;

    if (before == length)
        return PARSED_PART;
    *error = "expected '$'";
    if (bytes[before] != '$')
        return PARSED_BAD;
    *error = "invalid bulk length";
    parsed = parse_header(request, bytes, length, &size);
    if (parsed != PARSED_WHOLE)
        return parsed;
    if (size < 0 || size > REQUEST_BULK)
        return PARSED_BAD;
    *error = "too big request";
    if (request->position + (size_t)size + 2 > REQUEST_SIZE)
        return PARSED_BAD;
    if (length - request->position < (size_t)size + 2) {
        request->position = before; /* the header is parsed again when more has come */
        return PARSED_PART;
    }
    *error = "expected CRLF behind an argument";
    if (memcmp(bytes + request->position + size, "\r\n", 2) != 0)
        return PARSED_BAD;
    *error = "out of memory";
    if (!add_argument(request, request->position, (size_t)size))
        return PARSED_BAD;
    request->position += (size_t)size + 2;
    return PARSED_WHOLE;
}

enum parsed request_parse(struct request *request, char *bytes, size_t length, const char **error)
{
    if (request->expected == 0) {
        enum parsed parsed;
        int64_t expected;

        if (length == 0)
            return PARSED_PART;
        if (bytes[0] != '*')
            return parse_line(request, bytes, length, error);
        *error = "invalid multibulk length";
        parsed = parse_header(request, bytes, length, &expected);
        if (parsed != PARSED_WHOLE)
            return parsed;
        if (expected > REQUEST_ARGUMENTS)
            return PARSED_BAD;
        if (expected <= 0)
            return PARSED_WHOLE;
        request->expected = (size_t)expected;
    }
    while (request->count < request->expected) {
        const enum parsed parsed = parse_bulk(request, bytes, length, error);

        if (parsed != PARSED_WHOLE)
            return parsed;
    }
    return PARSED_WHOLE;
}
