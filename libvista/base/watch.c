/* SPDX-License-Identifier: BSD-3-Clause
 *
 * AddressSanitizer is there when its functions are: they come with the program.
 * Valgrind is asked by instructions that do nothing elsewhere (VISTA_VALGRIND: its
 * header was there when this was built).
 */
#include "base/watch.h"

#ifdef VISTA_VALGRIND
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND false
#define VALGRIND_MAKE_MEM_NOACCESS(address, length) (void)0
#define VALGRIND_MAKE_MEM_DEFINED(address, length) (void)0
#define VALGRIND_MAKE_MEM_UNDEFINED(address, length) (void)0
#define VALGRIND_DISABLE_ERROR_REPORTING (void)0
#define VALGRIND_ENABLE_ERROR_REPORTING (void)0
#endif

void __asan_poison_memory_region(const volatile void *, size_t) __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *, size_t) __attribute__((weak));

bool vi_watched;

__attribute__((constructor)) static void look(void)
{
    vi_watched = __asan_poison_memory_region != NULL || RUNNING_ON_VALGRIND;
}

void vi_watch_hide(const void *address, size_t length)
{
    VALGRIND_MAKE_MEM_NOACCESS(address, length);
    if (__asan_poison_memory_region != NULL)
        __asan_poison_memory_region(address, length);
}

void vi_watch_show(const void *address, size_t length, bool contents)
{
    if (contents)
        VALGRIND_MAKE_MEM_DEFINED(address, length);
    else
        VALGRIND_MAKE_MEM_UNDEFINED(address, length);
    if (__asan_unpoison_memory_region != NULL)
        __asan_unpoison_memory_region(address, length);
}

/* Not by memcpy, of which the sanitizer has its own. */
__attribute__((no_sanitize("address"))) void vi_watch_copy(void *to, const void *from,
                                                           size_t length)
{
    volatile unsigned char *const target = to;
    const volatile unsigned char *const source = from;

    VALGRIND_DISABLE_ERROR_REPORTING;
    for (size_t i = 0; i < length; i++)
        target[i] = source[i];
    VALGRIND_ENABLE_ERROR_REPORTING;
}
