/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The message of a thread's last failed call.  It is built aside before it takes
 * the old one's place, so that the old one may be among the arguments.
 *
 * A thread has a pointer to it in its own storage, of which there is little for libraries that
 * are loaded late.  The buffers, which a thread has from its first failure to its exit, come from
 * a list that is taken as a whole and given back by one exchange, so that a signal handler finds
 * neither a lock nor a list in between.
 */
#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define MESSAGE_SIZE 512 /* a path and two or three numbers; longer ones are cut */

struct buffer {
    struct buffer *next; /* in the list of those that no thread has */
    bool kept;           /* the thread's exit gives it back */
    char text[MESSAGE_SIZE];
};

#define PAGE ((size_t)4096)
#define STATIC_BUFFERS 7u /* a page of them: before memory is asked for */

static struct buffer static_buffers[STATIC_BUFFERS];
static atomic_uint static_used;
static _Atomic(struct buffer *) spare;
static struct buffer no_buffer = {.text = "a call failed, and there is no memory to say why"};

/* Where a signal handler finds it without the dynamic linker's help; NULL: nothing has failed. */
static __thread struct buffer *mine __attribute__((tls_model("initial-exec")));

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

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool has_key;

static void give(struct buffer *list)
{
    struct buffer *last = list;

    while (last != NULL && last->next != NULL)
        last = last->next;
    if (last == NULL)
        return;
    last->next = atomic_load(&spare);
    while (!atomic_compare_exchange_weak(&spare, &last->next, list))
        ;
}

static struct buffer *take(void)
{
    struct buffer *taken = atomic_exchange(&spare, NULL), *page;

    if (taken != NULL) {
        give(taken->next);
        return taken;
    }
    if (atomic_load(&static_used) < STATIC_BUFFERS) {
        const unsigned at = atomic_fetch_add(&static_used, 1);

        if (at < STATIC_BUFFERS)
            return &static_buffers[at];
    }
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return &no_buffer;
    for (size_t i = 1; i + 1 < PAGE / sizeof *page; i++)
        page[i].next = &page[i + 1];
    give(&page[1]);
    return page;
}

static void give_back(void *buffer)
{
    struct buffer *const own = buffer;

    mine = NULL;
    own->text[0] = '\0';
    own->kept = false;
    own->next = NULL;
    give(own);
}

static void make_key(void)
{
    has_key = pthread_key_create(&exit_key, give_back) == 0;
}

/* This thread's buffer.  A signal handler's is kept by the next failure outside. */
static struct buffer *own_buffer(bool in_handler)
{
    if (mine == NULL || mine == &no_buffer)
        mine = take();
    if (in_handler || mine == &no_buffer || mine->kept)
        return mine;
    pthread_once(&once, make_key);
    mine->kept = has_key && pthread_setspecific(exit_key, mine) == 0;
    return mine;
}

int vi_fail(int error, const char *format, ...)
{
    char text[MESSAGE_SIZE] = "", escaped[MESSAGE_SIZE];
    struct buffer *own;
    va_list arguments;

    errno = error; /* for %m */
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    vi_escape(escaped, sizeof escaped, text); /* before it is stored: an argument may be that */
    own = own_buffer(false);
    if (own != &no_buffer)
        memcpy(own->text, escaped, strlen(escaped) + 1);
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

static size_t append(char *message, size_t at, const char *text)
{
    while (*text != '\0' && at < MESSAGE_SIZE - 1)
        message[at++] = *text++;
    message[at] = '\0';
    return at;
}

void vi_error_fault(const char *path, uintptr_t address, const char *why)
{
    char number[2 + 2 * sizeof address + 2] = "";
    char *digit = number + sizeof number - 2, *const message = own_buffer(true)->text;
    size_t at;

    if (message == no_buffer.text)
        return;
    at = append(message, 0, path);
    *digit = ' ';
    do
        *--digit = "0123456789abcdef"[address & 15];
    while ((address >>= 4) != 0);
    *--digit = 'x';
    *--digit = '0';
    at = append(message, at, ": ");
    append(message, append(message, at, digit), why);
}

const char *vi_error_message(void)
{
    return mine != NULL ? mine->text : "";
}
