/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See fuzz.h.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/watch.h"
#include "check/check.h"
#include "core/lifetime.h"
#include "core/transaction.h"
#include "heap/heap.h"
#include "heap/visit.h"
#include "ranges/ranges.h"

uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && input->left > 0; i++, input->left--)
        value |= (uint64_t)*input->at++ << 8 * i;
    return value;
}

/* ---- Promises ---------------------------------------------------------- */

void broken(const char *file, int line, const char *what, const char *format, ...)
{
    const int error = errno;
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "\n%s:%d: does not hold: %s\n", file, line, what);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nerrno %d (%s), \"%s\"\n", error, strerror(error), vista_errormsg());
    abort();
}

void expect(void)
{
    vi_fail(0, "%s", "");
    fault_reset();
}

void refused(const char *call, const int *errors)
{
    const int error = errno;

    for (; *errors != 0 && *errors != error; errors++)
        ;
    HOLDS(*errors != 0, "%s fails with an errno that it is not said to have", call);
    HOLDS(*vista_errormsg() != '\0', "%s fails without a message", call);
}

/* ---- The file ---------------------------------------------------------- */

#define FIRST_FD 900 /* so that names are the same in each run: they stand in files */
#define DIRECTORY "/proc/self/fd/"

int file_fd = -1;
const char *file_path;

void file_open(void)
{
    vi_watched = false;   /* ranges may be anywhere, heaps full to the last byte */
    disk_room = 64 << 20; /* files are in memory */
    for (int i = 0; i < FILES; i++) {
        const int fd = memfd_create("segment", MFD_CLOEXEC);

        HOLDS(fd >= 0 && dup2(fd, FIRST_FD + i) >= 0 && close(fd) == 0, "memfd_create");
    }
    file_use(0);
}

void file_use(unsigned which)
{
    static char paths[FILES][sizeof DIRECTORY + 10];

    file_fd = FIRST_FD + (int)which;
    file_path = paths[which];
    snprintf(paths[which], sizeof paths[which], DIRECTORY "%d", file_fd);
}

/* Of a file in memory it would give what cannot be opened. */
char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved)
{
    if (strncmp(path, DIRECTORY, sizeof DIRECTORY - 1) == 0)
        return resolved != NULL ? strcpy(resolved, path) : strdup(path);
    return __real_realpath(path, resolved);
}

/* Calls `visit` with each page of the file that may hold something. */
static void each_page(void (*visit)(void *context, uint64_t at, const unsigned char *bytes),
                      void *context)
{
    static unsigned char bytes[4096];
    off_t data = 0, hole = 0;

    while ((data = lseek(file_fd, hole, SEEK_DATA)) >= 0) {
        hole = lseek(file_fd, data, SEEK_HOLE);
        for (off_t at = data / 4096 * 4096; at < hole; at += 4096) {
            const ssize_t got = pread(file_fd, bytes, sizeof bytes, at);

            HOLDS(got > 0, "pread");
            memset(bytes + got, 0, sizeof bytes - (size_t)got);
            visit(context, (uint64_t)at, bytes);
        }
    }
}

static bool is_zero(const unsigned char *bytes)
{
    static const unsigned char zero[4096];

    return memcmp(bytes, zero, sizeof zero) == 0;
}

static void keep_page(void *context, uint64_t at, const unsigned char *bytes)
{
    struct image *image = context;

    if (is_zero(bytes))
        return;
    image->pages = realloc(image->pages, (image->count + 1) * sizeof *image->pages);
    HOLDS(image->pages != NULL, "realloc");
    image->pages[image->count].at = at;
    memcpy(image->pages[image->count++].bytes, bytes, 4096);
}

struct image image_take(void)
{
    struct image image = {.size = (uint64_t)lseek(file_fd, 0, SEEK_END)};

    each_page(keep_page, &image);
    return image;
}

void image_free(struct image *image)
{
    free(image->pages);
    *image = (struct image){0};
}

void image_put(const struct image *image)
{
    HOLDS(ftruncate(file_fd, 0) == 0 && ftruncate(file_fd, (off_t)image->size) == 0, "ftruncate");
    for (size_t i = 0; i < image->count; i++) {
        const struct page *page = &image->pages[i];
        const uint64_t left = image->size - page->at;
        const size_t length = left < 4096 ? left : 4096;

        HOLDS(pwrite(file_fd, page->bytes, length, (off_t)page->at) == (ssize_t)length, "pwrite");
    }
}

__attribute__((no_sanitize("address", "undefined"))) static void
digest_page(void *context, uint64_t at, const unsigned char *bytes)
{
    uint64_t *digest = context, word;

    if (is_zero(bytes))
        return;
    for (size_t i = 0; i < 4096; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        if (word != 0)
            *digest = (*digest ^ word ^ (at + i) << 20) * 0x9e3779b97f4a7c15u;
        *digest ^= *digest >> 29;
    }
}

uint64_t file_digest(void)
{
    uint64_t digest = (uint64_t)lseek(file_fd, 0, SEEK_END) + 1;

    each_page(digest_page, &digest);
    return digest;
}

/* ---- Protected pages --------------------------------------------------- */

enum { NOT_THERE, CLOSED, OPEN };
#define PAGES 64u
static unsigned char pages[FILES][PAGES];

void protection_of(unsigned which, size_t size)
{
    for (size_t page = size / 4096; page < PAGES; page++)
        pages[which][page] = NOT_THERE;
}

static unsigned count_runs(const unsigned char *of)
{
    unsigned runs = 1;

    for (unsigned i = 1; i < PAGES; i++)
        runs += of[i] != of[i - 1];
    return runs;
}

int __real_mprotect(void *at, size_t size, int protection);
int __wrap_mprotect(void *at, size_t size, int protection);
int __wrap_mprotect(void *at, size_t size, int protection)
{
    const uintptr_t from = (uintptr_t)at - PLACE, first = from % APART / 4096;
    unsigned char *now, then[PAGES];
    int result;

    if (from / APART >= FILES || first + size / 4096 > PAGES)
        return __real_mprotect(at, size, protection);
    now = pages[from / APART];
    memcpy(then, now, sizeof then);
    memset(then + first, protection & PROT_WRITE ? OPEN : CLOSED, size / 4096);
    if (count_runs(then) > count_runs(now) && fault_refuse(CALL_PROTECT, ENOMEM) != 0) {
        errno = ENOMEM;
        return -1;
    }
    result = __real_mprotect(at, size, protection);
    if (result == 0)
        memcpy(now, then, sizeof then);
    return result;
}

/* ---- Death ------------------------------------------------------------- */

void die(vista_segment *handle)
{
    struct vi_segment *segment = (struct vi_segment *)handle;

    for (struct vi_tx *tx = segment->own.all; tx != NULL; tx = tx->next_all) {
        vi_pages_clear(&tx->pages); /* handles are used again */
        tx->no_restore = false;
    }
    if (segment->group != &segment->own)
        vi_group_leave(segment);
    vi_ranges_close(segment);
    if (segment->heap != NULL && vi_watched)
        vi_heap_watch(segment->heap, false);
    if (segment->heap != NULL)
        vi_heap_close(segment->heap);
    (segment->own.engine->close)(segment, false);
}

void die_all(void)
{
    struct vi_segment *segment;

    while ((segment = vi_process()->mapped) != NULL)
        die(segment->own.members != NULL ? &segment->own.members->handle : &segment->handle);
}

bool file_sound(uint64_t *blocks)
{
    struct vi_check_totals totals;
    struct vi_file file;
    int result;

    if (vi_file_open(&file, file_path, VISTA_READ_ONLY, 0, 0) != 0)
        return false;
    result = vi_check_file(&file, NULL, NULL, &totals);
    vi_file_close(&file);
    *blocks = totals.blocks;
    return result == 0;
}
