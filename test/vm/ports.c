/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The way out of the virtual machine: lines for the host, the end, and the count of
 * persists at which it comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest.h"
#include "media/persist.h"

#define SAY_PORT 0xe9
#define END_PORT 0xf4

/* Held for a whole line. */
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;

static struct vi_persist real;
static unsigned long armed, counted;
static char letters[1024];

/* ---- The host ---------------------------------------------------------- */

void vm_ports_open(void)
{
    /* Threads made later inherit it. */
    if (ioperm(SAY_PORT, 1, 1) != 0 || ioperm(END_PORT, 4, 1) != 0) {
        perror("ioperm");
        exit(1);
    }
}

static void say(const char *text)
{
    pthread_mutex_lock(&line_lock);
    for (; *text != '\0'; text++)
        outb((unsigned char)*text, SAY_PORT);
    outb('\n', SAY_PORT);
    pthread_mutex_unlock(&line_lock);
}

void vm_say(const char *format, ...)
{
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    say(text);
}

void vm_wait(void)
{
    const int random = open("/dev/urandom", O_RDWR | O_CLOEXEC);

    vm_say("waiting");
    while (inb(SAY_PORT) == SAY_PORT)
        usleep(1000);
    if (random < 0 || ioctl(random, RNDRESEEDCRNG) != 0)
        vm_fail("/dev/urandom: %s", strerror(errno));
}

void vm_end(enum vm_end how)
{
    for (;;)
        outl(how, END_PORT);
}

void vm_fail(const char *format, ...)
{
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    vm_say("FAIL %s", text);
    vm_end(VM_FAILED);
}

void vm_fail_call(const char *call)
{
    const int error = errno;

    vm_fail("%s: %s: %s", call, strerror(error), vista_errormsg());
}

/* ---- Persists ---------------------------------------------------------- */

static void count(char letter)
{
    const unsigned long n = __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED);

    if (n < sizeof letters)
        letters[n - 1] = letter;
    if (n != __atomic_load_n(&armed, __ATOMIC_RELAXED))
        return;
    vm_say("died at persist %lu, %s", n,
           letter == 'w'   ? "a write-back"
           : letter == 'f' ? "a fence"
                           : "a sync");
    vm_end(VM_DIED);
}

static void counted_flush(const void *address, size_t length)
{
    count('w');
    real.ops.flush(address, length);
}

static void counted_fence(void)
{
    count('f');
    real.ops.fence();
}

static void counted_write(uint64_t *to, const uint64_t *from, size_t length)
{
    count('w');
    real.ops.write(to, from, length);
}

static int counted_sync(int fd)
{
    count('s');
    return real.ops.sync(fd);
}

void vm_persist_count(void)
{
    static const struct vi_persist_ops ops = {counted_flush, counted_fence, counted_write,
                                              counted_sync};

    vi_persist_init(&real, vi_persist_probe(true));
    vi_persist_test_ops = &ops;
}

void vm_persist_arm(unsigned long point)
{
    __atomic_store_n(&armed, point, __ATOMIC_RELAXED);
    __atomic_store_n(&counted, 0, __ATOMIC_RELAXED);
    memset(letters, 0, sizeof letters);
}

unsigned long vm_persist_counted(const char **out)
{
    *out = letters;
    return __atomic_load_n(&counted, __ATOMIC_RELAXED);
}
