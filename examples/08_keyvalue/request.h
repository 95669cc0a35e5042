/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Requests of the Redis protocol, version 2, as they come in, in pieces:
 *
 *     *2 CRLF $3 CRLF GET CRLF $6 CRLF colour CRLF     an array of bulk strings
 *     GET "colour" LF                                  or a line, typed by hand
 *
 * A request that is not whole yet is taken up again where parsing stopped, so that
 * one which arrives byte by byte costs no more than another.
 */
#ifndef KEYVALUE_REQUEST_H
#define KEYVALUE_REQUEST_H

#include "text.h"

#define REQUEST_LINE ((size_t)64 << 10) /* bytes of a request typed as a line */
#define REQUEST_ARGUMENTS ((int64_t)1 << 20)
#define REQUEST_BULK ((int64_t)64 << 20) /* bytes of an argument */
#define REQUEST_SIZE ((size_t)128 << 20) /* bytes of it all */

struct argument {
    size_t offset; /* from the beginning of the request */
    size_t length;
};

/* All zero: nothing of it has been parsed. */
struct request {
    size_t position; /* how far it has been; when it is whole, its length */
    size_t expected; /* arguments, once known; 0: not yet */
    size_t count;    /* arguments that are whole */
    size_t room;
    struct argument *arguments;
};

enum parsed { PARSED_PART, PARSED_WHOLE, PARSED_BAD };

/* Parses on, in the `length` bytes that have come so far from the request's beginning.
 * Whole with no arguments: an empty request, to be passed over.  Bad: `*error` says why,
 * and there is no telling where the next one begins. */
enum parsed request_parse(struct request *request, char *bytes, size_t length, const char **error);

/* For the next one. */
void request_reset(struct request *request);
void request_free(struct request *request);

#endif
