/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the tests of RVM share: a log and a segment of known bytes.
 */
#ifndef VISTA_TEST_RVM_SUPPORT_H
#define VISTA_TEST_RVM_SUPPORT_H

#include <limits.h>
#include <rvm/rvm.h>
#include <stdlib.h>

#include "support.h"

#define PAGE 4096u
#define SIZE (16 * PAGE)

#define GIVES(call, code) \
    do { \
        const rvm_return_t result_ = (call); \
        ck_assert_msg(result_ == (code), "%s gave %s, errno %d (%s); expected %s", #call, \
                      rvm_return(result_), errno, strerror(errno), rvm_return(code)); \
    } while (0)
#define WORKS(call) GIVES(call, RVM_SUCCESS)
/* In a child. */
#define MUST(call) REQUIRE((call) == RVM_SUCCESS)

static char log_path[PATH_MAX], data_path[PATH_MAX];

/* A segment whose bytes are 1, 2, 3, ... */
static inline void make_segment(const char *path, size_t size)
{
    unsigned char *bytes = malloc(size + 1);
    FILE *file = fopen(path, "w");

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i + 1);
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    free(bytes);
}

static inline void set_up(void)
{
    strcpy(log_path, test_path("log"));
    strcpy(data_path, test_path("data"));
    make_segment(data_path, SIZE);
}

static inline void set_up_on_disk(void)
{
    strcpy(log_path, test_disk_path("log"));
    strcpy(data_path, test_disk_path("data"));
    make_segment(data_path, SIZE);
}

/* Begins, with a log for transactions of 256 KiB. */
static inline rvm_return_t start(rvm_length_t flags)
{
    rvm_options_t options;

    rvm_init_options(&options);
    options.log_dev = log_path;
    options.flags = flags;
    options.create_log_file = rvm_true;
    options.create_log_size = RVM_MK_OFFSET(0, 256 << 10);
    return RVM_INIT(&options);
}

static inline rvm_return_t map_part(rvm_region_t *region, rvm_length_t offset, rvm_length_t length)
{
    rvm_init_region(region);
    region->data_dev = data_path;
    region->offset = RVM_MK_OFFSET(0, offset);
    region->length = length;
    return rvm_map(region, NULL);
}

static inline char *map_all(void)
{
    rvm_region_t region;

    REQUIRE(map_part(&region, 0, 0) == RVM_SUCCESS);
    REQUIRE(region.length == SIZE);
    return region.vmaddr;
}

static inline void commit(char *at, const void *bytes, size_t length, rvm_mode_t mode)
{
    rvm_tid_t tid;

    rvm_init_tid(&tid);
    MUST(rvm_begin_transaction(&tid, restore));
    MUST(rvm_modify_bytes(&tid, at, bytes, length));
    MUST(rvm_end_transaction(&tid, mode));
}

/* The file's bytes are those of make_segment but for `length` at `offset`. */
static inline void expect_file(size_t offset, const void *bytes, size_t length)
{
    static unsigned char wanted[SIZE], got[SIZE + 1];
    FILE *file = fopen(data_path, "r");

    for (size_t i = 0; i < SIZE; i++)
        wanted[i] = (unsigned char)(i + 1);
    memcpy(wanted + offset, bytes, length);
    ck_assert_uint_eq(fread(got, 1, sizeof got, file), SIZE);
    fclose(file);
    ck_assert_mem_eq(got, wanted, SIZE);
}

#endif
