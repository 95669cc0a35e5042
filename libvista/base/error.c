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

int vi_fail(int error, const char *format, ...)
{
    char text[MESSAGE_SIZE] = "";
    va_list arguments;

    errno = error; /* for %m */
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(message, text, sizeof message);
    errno = error;
    return -1;
}

const char *vi_error_message(void)
{
    return message;
}
