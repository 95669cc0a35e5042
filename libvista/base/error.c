/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The message of a thread's last failed call.  It is built aside before it takes
 * the old one's place, so that the old one may be among the arguments.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE 512 /* a path and two or three numbers; longer ones are cut */

/* Where a signal handler finds it without the dynamic linker's help. */
static __thread char message[MESSAGE_SIZE] __attribute__((tls_model("initial-exec")));

static __thread bool explains __attribute__((tls_model("initial-exec")));

size_t vi_escape(char *to, size_t size, const char *from)
{
    size_t at = 0;

    for (; *from != '\0' && at + 1 < size; from++) {
        const unsigned char c = (unsigned char)*from;

        if (c >= 0x20 && c != 0x7f) {
            to[at++] = *from;
            continue;
        }
        if (at + 5 > size)
            break;
        to[at++] = '\\';
        to[at++] = 'x';
        to[at++] = "0123456789abcdef"[c >> 4];
        to[at++] = "0123456789abcdef"[c & 15];
    }
    to[at] = '\0';
    return at;
}

int vi_fail(int error, const char *format, ...)
{
    char text[MESSAGE_SIZE] = "", escaped[MESSAGE_SIZE];
    va_list arguments;

    errno = error; /* for %m */
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    vi_escape(escaped, sizeof escaped, text); /* before it is stored: an argument may be that */
    memcpy(message, escaped, strlen(escaped) + 1);
    explains = false;
    errno = error;
    return -1;
}

void vi_error_explains(void)
{
    explains = true;
}

int vi_fail_null(const char *what)
{
    if (!explains)
        return vi_fail(EINVAL, "%s", what);
    errno = EINVAL;
    return -1;
}

static size_t append(size_t at, const char *text)
{
    while (*text != '\0' && at < MESSAGE_SIZE - 1)
        message[at++] = *text++;
    message[at] = '\0';
    return at;
}

void vi_error_fault(const char *path, uintptr_t address, const char *why)
{
    char number[2 + 2 * sizeof address + 2] = "";
    char *digit = number + sizeof number - 2;
    size_t at = append(0, path);

    *digit = ' ';
    do
        *--digit = "0123456789abcdef"[address & 15];
    while ((address >>= 4) != 0);
    *--digit = 'x';
    *--digit = '0';
    at = append(at, ": ");
    append(append(at, digit), why);
}

const char *vi_error_message(void)
{
    return message;
}
