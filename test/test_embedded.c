/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a library needs that lives in another program's process: its descriptors out of the way,
 * disk blocks for single pages, large transactions without a system call.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "support.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define PAGE ((size_t)4096)
#define SIZE (64 * MIB)

static const char *path;

static vista_segment *map_flat(const struct vista_map_options *options)
{
    vista_segment *segment;

    path = test_path("embedded");
    segment = vista_map(path, SIZE, VISTA_CREATE | VISTA_NO_HEAP | VISTA_SPARSE, options);
    SOME(segment);
    return segment;
}

/* Stores to `count` pages, `stride` pages apart, in one transaction. */
static void store_pages(vista_segment *segment, int count, size_t stride)
{
    struct iovec *ranges = malloc((size_t)count * sizeof *ranges);
    char *base = vista_base(segment);
    vista_tx *tx = vista_begin_transaction(segment, VISTA_NO_RESTORE);

    SOME(ranges);
    SOME(tx);
    for (int i = 0; i < count; i++)
        ranges[i] = (struct iovec){base + (size_t)i * stride * PAGE, PAGE};
    OK(vista_set_ranges(tx, ranges, count));
    for (int i = 0; i < count; i++)
        memset(ranges[i].iov_base, i + 1, PAGE);
    OK(vista_end_transaction(tx, 0));
    free(ranges);
}

START_TEST(descriptor_is_above_the_floor)
{
    const struct vista_map_options options = {.descriptor_floor = 500};
    vista_segment *segment = map_flat(&options);
    struct vista_info info;
    const int next = open("/dev/null", O_RDONLY);

    OK(vista_info(segment, &info));
    ck_assert_int_ge(info.fd, 500);
    ck_assert_int_ne(fcntl(info.fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_lt(next, 500);
    close(next);
    ck_assert_ptr_null(vista_map(path, 0, 0, NULL)); /* the lock has gone along */
    ck_assert_int_eq(errno, EBUSY);
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
}
END_TEST

static uint64_t blocks_of(const char *file)
{
    struct stat st;

    OK(stat(file, &st));
    return (uint64_t)st.st_blocks * 512;
}

START_TEST(flat_pages_take_64_kib_each)
{
    vista_segment *segment = map_flat(NULL);
    uint64_t before;

    store_pages(segment, 1, 1);
    before = blocks_of(path);
    store_pages(segment, 8, MIB / PAGE * 2); /* the first has its blocks */
    ck_assert_uint_le(blocks_of(path) - before, 7 * 64 * KIB + 256 * KIB);
    OK(vista_unmap(segment));
}
END_TEST

static uint64_t log_bytes_after(size_t kept)
{
    const struct vista_map_options options = {.log_kept = kept};
    vista_segment *segment = map_flat(&options);
    struct vista_info info;

    store_pages(segment, 4096, 2); /* 16 MiB of log */
    OK(vista_info(segment, &info));
    OK(vista_unmap(segment));
    return info.log_bytes;
}

START_TEST(log_is_kept_as_asked)
{
    ck_assert_uint_lt(log_bytes_after(0), 8 * MIB);
    OK(unlink(path));
    ck_assert_uint_gt(log_bytes_after(64 * MIB), 16 * MIB);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("embedded");
    TCase *tests = test_case(suite, "embedded", 2);

    tcase_add_test(tests, descriptor_is_above_the_floor);
    tcase_add_test(tests, flat_pages_take_64_kib_each);
    tcase_add_test(tests, log_is_kept_as_asked);
    return test_run(suite);
}
