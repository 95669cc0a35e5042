/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Telling AddressSanitizer and Valgrind which memory is no block's, so that they report
 * its use as they do with malloc's.  Whether one of them looks on is found out when the
 * program starts: the same library serves programs with and without.
 */
#ifndef VI_BASE_WATCH_H
#define VI_BASE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* One of them does. */
extern bool vi_watched __attribute__((visibility("hidden")));

/* Bytes left unused behind a block then, so that a store beyond it hits no other. */
#define VI_WATCH_MARGIN 16u

/* The bytes may not be used; may be used, and have contents or have none yet. */
void vi_watch_hide(const void *address, size_t length);
void vi_watch_show(const void *address, size_t length, bool contents);

/* Copies a block as a whole, with what of it the program may not use. */
void vi_watch_copy(void *to, const void *from, size_t length);
static inline void vi_copy(void *to, const void *from, size_t length)
{
    if (__builtin_expect(vi_watched, 0))
        vi_watch_copy(to, from, length);
    else
        memcpy(to, from, length);
}

#endif
