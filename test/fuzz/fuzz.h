/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the fuzzers share: input read as numbers, a file in memory with its images,
 * promises that must hold, refused system calls, a process that "dies".
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "refuse_calls.h"
#include "vista.h"

/* ---- Input ------------------------------------------------------------- */

struct input {
    const uint8_t *at;
    size_t left;
};

/* The next `bytes` as a little-endian number; zeros once the input has ended. */
uint64_t take(struct input *input, unsigned bytes);

/* ---- Promises ---------------------------------------------------------- */

/* Says what did not hold, with errno and the library's message, and aborts. */
#define HOLDS(condition, ...) \
    do { \
        if (!(condition)) \
            broken(__FILE__, __LINE__, #condition, "" __VA_ARGS__); \
    } while (0)
__attribute__((noreturn, format(printf, 4, 5))) void
broken(const char *file, int line, const char *what, const char *format, ...);

/* Before a call that may fail: forgets errno and the last message. */
void expect(void);

/* After one that has: errno is one of `errors`, which ends with 0, and there is a message. */
void refused(const char *call, const int *errors);
#define REFUSED(call, ...) refused(call, (const int[]){__VA_ARGS__, 0})

/* ---- The file ---------------------------------------------------------- */

/* Files in memory, always the same; their names can be opened, and are their absolute paths
 * (realpath).  One of them is meant by all that follows. */
#define FILES 3
extern int file_fd;
extern const char *file_path;
void file_open(void);
void file_use(unsigned which); /* 0 after file_open */

/* The pages of a file that are not all zero. */
struct image {
    uint64_t size;
    size_t count;
    struct page {
        uint64_t at;
        unsigned char bytes[4096];
    } * pages;
};
struct image image_take(void);
void image_free(struct image *image);
void image_put(const struct image *image);

/* Of the file's size and of every byte in it. */
uint64_t file_digest(void);

/* ---- Protected pages --------------------------------------------------- */

/* Where the segments of the files live: from PLACE on, one every so many bytes. */
#define PLACE 0x551234400000u
#define APART 0x10000000u

/* CALL_PROTECT: the kernel refuses what would make one mapping more of the data of a segment
 * of up to 64 pages, as where there are vm.max_map_count.  To be told when only `size` bytes
 * of the data are there, or none. */
void protection_of(unsigned which, size_t size);

/* ---- Death ------------------------------------------------------------- */

/* Leaves the segment as a kill of the process would: no transaction ends, nothing is
 * marked, the mapping is gone. */
void die(vista_segment *segment);
void die_all(void); /* of all that are mapped */

/* Allocated blocks that vista_check counts in the file, if it is sound. */
bool file_sound(uint64_t *blocks);

#endif
