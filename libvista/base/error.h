/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Errors: errno, and this thread's message in words.
 */
#ifndef VI_BASE_ERROR_H
#define VI_BASE_ERROR_H

#include <stddef.h>
#include <stdint.h>

/* Sets errno to `error` and the message of vista_errormsg; returns -1.  Pointer
 * functions say `return vi_fail(...), NULL`. */
int vi_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, with ": " and what the system says of `error` added.  `format` is a literal. */
#define vi_fail_system(error, format, ...) vi_fail(error, format ": %m", ##__VA_ARGS__)

/* Sets the message alone, without stdio: for a signal handler.  "`path`: 0x`address`
 * `why`". */
void vi_error_fault(const char *path, uintptr_t address, const char *why);

const char *vi_error_message(void);

/* After a vista_map that failed, until another call fails: what a NULL handle is answered with
 * is why there is none. */
void vi_error_explains(void);
int vi_fail_null(const char *what);

/* Text that is not ours, for a terminal: control characters as \x1b.  Returns its length in `to`,
 * which has room for `size` bytes. */
size_t vi_escape(char *to, size_t size, const char *from);

#endif
