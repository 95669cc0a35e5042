/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The message of a thread's last failed call.  It is built aside before it takes
 * the old one's place, so that the old one may be among the arguments.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE 512 /* a path and two or three numbers; longer ones are cut */

static __thread char message[MESSAGE_SIZE];

static int fail(int error, const char *reason, const char *format, va_list arguments)
{
    char text[MESSAGE_SIZE];
    int length = vsnprintf(text, sizeof text, format, arguments);

    if (length < 0) {
        length = 0;
        text[0] = '\0';
    }
    if (reason != NULL && (size_t)length < sizeof text)
        snprintf(text + length, sizeof text - (size_t)length, ": %s", reason);
    memcpy(message, text, sizeof message);
    errno = error;
    return -1;
}

int vi_fail(int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fail(error, NULL, format, arguments);
    va_end(arguments);
    return -1;
}

int vi_fail_system(int error, const char *format, ...)
{
    char buffer[128];
    va_list arguments;

    va_start(arguments, format);
    fail(error, strerror_r(error, buffer, sizeof buffer), format, arguments);
    va_end(arguments);
    return -1;
}

const char *vi_error_message(void)
{
    return message;
}
