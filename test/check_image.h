/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A segment made by hand, for the tests of check/, and what vista_check says of it.
 *
 * The image: 128 pages of data that may grow to 256; a span of 16-byte blocks in
 * units 0 to 3 with the first four allocated, one of 8 KiB blocks in units 4 to 19
 * with one allocated, a large block in units 20 to 29; the root in block 3; three
 * log slots, of which slot 1 has a chain of two chunks.
 */
#ifndef VISTA_TEST_CHECK_IMAGE_H
#define VISTA_TEST_CHECK_IMAGE_H

#include <fcntl.h>
#include <sys/mman.h>

#include "media/guard.h"
#include "media/superblock.h"
#include "support.h"

#define UNITS 128u
#define SMALL_UNIT 0u
#define COARSE_UNIT 4u
#define LARGE_UNIT 20u
#define LARGE_UNITS 10u
#define FREE_UNIT 30u
#define SMALL_CLASS 0u
#define COARSE_CLASS 55u
#define ROOT_OFFSET 48u

struct image {
    const char *path;
    struct vi_superblock superblock;
    unsigned char *meta;
    size_t size;
    uint64_t next; /* file offset of the next record */
    uint64_t last;
    uint64_t stamp;
};
static struct image image;

/* ---- Making one -------------------------------------------------------- */

static inline uint64_t *word_at(uint64_t offset)
{
    return (uint64_t *)(image.meta + offset);
}

static inline uint64_t slot_at(unsigned slot)
{
    return VI_SLOTS_OFFSET + (uint64_t)slot * VI_SLOT_SIZE;
}

static inline uint64_t chunk_at(unsigned unit)
{
    return VI_CHUNKS_OFFSET + (uint64_t)unit * VI_CHUNK_UNIT;
}

static inline uint64_t descriptor_at(uint64_t unit)
{
    return image.superblock.heap_offset + VI_PAGE + unit * sizeof(uint64_t);
}

static inline uint64_t marks_at(uint64_t unit)
{
    return descriptor_at(vi_superblock_units(&image.superblock)) + unit * VI_MARKS_PER_UNIT;
}

static inline void put_superblocks(void)
{
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        image.superblock.sequence = 2 + (uint64_t)copy;
        test_superblock_put(image.path, copy, image.superblock, true);
    }
}

/* The mapping stays when the test ends: each runs in a process of its own. */
static inline void make_file(uint64_t size, uint64_t max_size)
{
    struct vi_superblock *s = &image.superblock;
    int fd;

    *s = (struct vi_superblock){.magic = VI_MAGIC,
                                .version = VI_VERSION,
                                .features_must = VI_MUST_HEAP | VI_MUST_SPARSE,
                                .uuid = {1, 2, 3},
                                .address = 0x550000200000,
                                .mapped = 0x550000000000,
                                .size = size,
                                .max_size = max_size,
                                .clean = 1,
                                .log_class = VISTA_CLASS_KILL,
                                .real_class = VISTA_CLASS_KILL};
    OK(vi_superblock_layout(s));
    image.path = test_path("image");
    fd = open(image.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)(s->data_offset + s->size)), 0);
    image.size = vi_superblock_meta_size(s);
    image.meta = mmap(NULL, image.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(image.meta, MAP_FAILED);
    close(fd);
    put_superblocks();
}

static inline void make_slots(void)
{
    *word_at(VI_LOG_OFFSET) = 3;
    for (unsigned slot = 0; slot < 3; slot++)
        *word_at(slot_at(slot)) =
            (slot + 1) * (uint64_t)VISTA_INLINE_STAMP_STEP | slot << VI_STAMP_SLOT_SHIFT;
    *word_at(slot_at(1) + offsetof(struct vi_slot_header, next)) = chunk_at(0);
    *(struct vi_chunk_header *)(image.meta + chunk_at(0)) = (struct vi_chunk_header){
        .owner = 2, .next = chunk_at(2), .index = 1, .size = VI_CHUNK_UNIT};
    *(struct vi_chunk_header *)(image.meta + chunk_at(2)) =
        (struct vi_chunk_header){.owner = 2, .index = 2, .size = 2 * VI_CHUNK_UNIT};
    image.next = slot_at(2) + sizeof(struct vi_slot_header);
    image.last = image.next;
    image.stamp = *word_at(slot_at(2));
}

static inline void make_image(void)
{
    make_file(UNITS * VI_UNIT, 2 * UNITS * VI_UNIT);
    make_slots();
    *word_at(descriptor_at(SMALL_UNIT)) = VI_SPAN(VI_SPAN_SMALL, 4, SMALL_CLASS);
    *word_at(descriptor_at(COARSE_UNIT)) = VI_SPAN(VI_SPAN_SMALL, 16, COARSE_CLASS);
    *word_at(descriptor_at(LARGE_UNIT)) = VI_SPAN(VI_SPAN_LARGE, LARGE_UNITS, 0);
    *word_at(marks_at(SMALL_UNIT)) = 0x01010101;
    *word_at(marks_at(COARSE_UNIT)) = (uint64_t)1 << 56;
    *word_at(marks_at(LARGE_UNIT)) = 1;
    *(struct vi_heap_header *)(image.meta + image.superblock.heap_offset) =
        (struct vi_heap_header){.root = {.offset = ROOT_OFFSET, .size = 16}, .end = UNITS};
}

/* Left open by a process that was killed. */
static inline void make_unclean(void)
{
    image.superblock.clean = 0;
    (void)vi_guard_boot_id(image.superblock.boot_id);
    put_superblocks();
    test_adopt(image.path);
}

/* ---- What the check says ----------------------------------------------- */

static struct {
    char text[16384];
    unsigned severities[3];
    int stop_at; /* the call that returns 1; 0: none */
    int calls;
} said;

static inline int collect(void *arg, int severity, const char *text)
{
    const size_t length = strlen(said.text);

    ck_assert_ptr_eq(arg, &said);
    ck_assert(severity >= 0 && severity <= 2);
    ck_assert_ptr_eq(strchr(text, '\n'), NULL);
    said.severities[severity]++;
    snprintf(said.text + length, sizeof said.text - length, "%d %s\n", severity, text);
    return ++said.calls == said.stop_at;
}

static inline int check_image(void)
{
    memset(&said, 0, offsetof(__typeof__(said), stop_at));
    said.calls = 0;
    return vista_check(image.path, 0, collect, &said);
}

static inline void expect_sound(const char *part)
{
    const int result = check_image();

    ck_assert_msg(result == 0, "%s\n%s", vista_errormsg(), said.text);
    ck_assert_uint_eq(said.severities[2], 0);
    ck_assert_msg(strstr(said.text, part) != NULL, "\"%s\" is not in\n%s", part, said.text);
}

static inline void expect_damage(const char *part)
{
    int result, error;

    errno = 0;
    result = check_image();
    error = errno;
    ck_assert_msg(result == -1 && error == EBADMSG && said.severities[2] > 0,
                  "gave %d, errno %d; expected \"%s\" in\n%s", result, error, part, said.text);
    ck_assert_msg(strstr(said.text, part) != NULL, "\"%s\" is not in\n%s", part, said.text);
    ck_assert(test_says(image.path));
}

#endif
