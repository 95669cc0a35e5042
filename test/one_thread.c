/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Programs that CMakeLists.txt lists as having one thread are not run under the thread sanitizer,
 * to which they would show nothing.  This is linked with them and holds them to it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    (void)thread;
    (void)attributes;
    (void)run;
    (void)argument;
    fprintf(stderr, "a second thread: this program belongs under the thread sanitizer, and not in "
                    "one_thread_tests of test/CMakeLists.txt\n");
    abort();
}
