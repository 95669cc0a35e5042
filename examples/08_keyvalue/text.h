/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Bytes with a length, numbers as text, and the buffers that the server's clients have:
 * ordinary memory, which dies with the process.  What is to outlive it is in store.h.
 */
#ifndef KEYVALUE_TEXT_H
#define KEYVALUE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of someone else's, any of which may be zero. */
struct slice {
    const char *bytes;
    size_t length;
};

/* A decimal number as Redis takes it: no sign but '-', no blanks, no leading zeros. */
bool text_number(struct slice text, int64_t *number);
#define TEXT_NUMBER_SIZE 21
/* Writes one, not zero-terminated; returns its length. */
size_t text_from_number(char text[TEXT_NUMBER_SIZE], int64_t number);

/* Whether the text is the word, in letters of either case. */
bool text_is(struct slice text, const char *word);

/*
 * A queue of bytes: those at [begin, end) of `bytes` wait.  An empty one holds no
 * memory, so that thousands of clients who wait cost next to nothing.
 */
struct buffer {
    char *bytes;
    size_t begin, end, room;
    bool failed; /* there was no memory for something: what it holds is not to be used */
};

static inline size_t buffer_length(const struct buffer *buffer)
{
    return buffer->end - buffer->begin;
}

/* Room for `length` bytes behind its end, or NULL: it has failed.  Advance `end` by what
 * was written there. */
char *buffer_reserve(struct buffer *buffer, size_t length);
void buffer_append(struct buffer *buffer, const char *bytes, size_t length);
/* Takes all but the first `length` bytes back. */
void buffer_truncate(struct buffer *buffer, size_t length);
/* Takes the first `length` bytes out; gives its memory back when none is left. */
void buffer_consume(struct buffer *buffer, size_t length);
void buffer_free(struct buffer *buffer);

/* What a server may answer, at the end of a buffer. */
void reply_status(struct buffer *out, const char *text);
/* An error: the first word of the format is its kind, as in "ERR no such thing". */
void reply_error(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_integer(struct buffer *out, int64_t number);
void reply_bulk(struct buffer *out, struct slice text);
void reply_word(struct buffer *out, const char *text);
void reply_nothing(struct buffer *out);
void reply_array(struct buffer *out, size_t count); /* as many replies follow */

#endif
