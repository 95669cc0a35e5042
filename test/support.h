/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the test programs share: files of their own, random numbers from a printed
 * seed, children that may be killed, a look at a segment's file from outside, and
 * single-stepping.
 *
 * The environment: VISTA_TEST_SEED (default: random, printed) and
 * VISTA_TEST_SCALE (default 1: how much of the long tests to run).  A failing run
 * prints the line that repeats it.
 */
#ifndef VISTA_TEST_SUPPORT_H
#define VISTA_TEST_SUPPORT_H

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "media/format.h"
#include "vista.h"

/* ---- Running ----------------------------------------------------------- */

/* Runs a suite in a directory of its own and removes it: the value of main. */
int test_run(Suite *suite);

/* Adds a case whose tests take at most so many seconds each on an idle machine; they are
 * ended after ten times that. */
TCase *test_case(Suite *suite, const char *name, double seconds);

double test_scale(void);
/* `count` scaled, at least 1. */
unsigned test_times(unsigned count);

/* Says, so that it is seen, what was not tested. */
void test_skip(const char *what, const char *why);

/* Built with a sanitizer, without optimization, or running under Valgrind. */
bool test_is_sanitized(void);
bool test_is_thread_sanitized(void);
bool test_is_optimized(void);
bool test_is_valgrind(void);

/* ---- Random numbers ---------------------------------------------------- */

struct test_random {
    uint64_t state;
};

uint64_t test_seed(void);
/* A generator of its own for each use, all from the seed. */
struct test_random test_random_new(uint64_t stream);
uint64_t test_next(struct test_random *random);
uint64_t test_below(struct test_random *random, uint64_t limit);

/* ---- Files ------------------------------------------------------------- */

/* The path of a file that does not exist, in memory (tmpfs where there is one) or
 * on a disk.  The string stays good for the next 15 calls. */
const char *test_path(const char *name);
const char *test_disk_path(const char *name);
/* Bytes free where test_path's and test_disk_path's files are. */
uint64_t test_room(bool disk);

/* Of a file's length and of all bytes in it. */
uint64_t test_digest(const char *path);

/* Copies a file, holes and all. */
void test_copy(const char *from, const char *to);

/* Makes the file the one that its superblock names, as if it had not been copied. */
void test_adopt(const char *path);

/* Superblock copy 0 or 1.  Writing it with `mend` makes its checksum right. */
struct vi_superblock test_superblock(const char *path, int copy);
void test_superblock_put(const char *path, int copy, struct vi_superblock superblock, bool mend);
/* The copy that counts. */
int test_superblock_current(const char *path);

/* Overwrites bytes of a file. */
void test_poke(const char *path, uint64_t offset, const void *bytes, size_t length);

/* The allocated blocks of a segment's heap, counted in the file. */
uint64_t test_live_blocks(const char *path);

/* Runs vista_check; its findings, if it does not pass, are in the failure. */
void test_sound(const char *path);

/* ---- Expecting --------------------------------------------------------- */

/* That vista_errormsg() has `part` in it. */
bool test_says(const char *part);

#define OK(call) \
    do { \
        int result_ = (call); \
        ck_assert_msg(result_ == 0, "%s gave %d, errno %d (%s), \"%s\"", #call, result_, errno, \
                      strerror(errno), vista_errormsg()); \
    } while (0)

#define SOME(pointer) \
    ck_assert_msg((pointer) != NULL, "%s is NULL, errno %d (%s), \"%s\"", #pointer, errno, \
                  strerror(errno), vista_errormsg())

/* The call fails with this errno and a message that has `part` in it. */
#define FAILS(call, error, part) \
    do { \
        errno = 0; \
        int result_ = (call), errno_ = errno; \
        ck_assert_msg(result_ == -1 && errno_ == (error) && test_says(part), \
                      "%s gave %d, errno %d (%s), \"%s\"; expected %s and \"%s\"", #call, result_, \
                      errno_, strerror(errno_), vista_errormsg(), #error, part); \
    } while (0)

#define NULLS(call, error, part) \
    do { \
        errno = 0; \
        const void *result_ = (call); \
        int errno_ = errno; \
        ck_assert_msg(result_ == NULL && errno_ == (error) && test_says(part), \
                      "%s gave %p, errno %d (%s), \"%s\"; expected %s and \"%s\"", #call, result_, \
                      errno_, strerror(errno_), vista_errormsg(), #error, part); \
    } while (0)

/* ---- Children ---------------------------------------------------------- */

/* In a child: as an assertion, by exit status 99 and a line on stderr. */
#define REQUIRE(condition) \
    do { \
        if (!(condition)) \
            test_child_failed(__FILE__, __LINE__, #condition); \
    } while (0)
__attribute__((noreturn)) void test_child_failed(const char *file, int line, const char *what);

/* fork(2).  The parent alone asserts: a child may be killed at any time, and in the middle of what an
 * assertion tells Check. */
pid_t test_begin_child(void);

/* Runs `run` in a child, which ends with status 0 when it returns. */
pid_t test_fork(void (*run)(void *), void *argument);
/* Waits: the exit status, or 128 + the signal that killed it. */
int test_wait(pid_t child);
int test_in_child(void (*run)(void *), void *argument);
void test_sleep_us(uint64_t microseconds);
/* Zeroed memory that children share. */
void *test_share(size_t size);

/* ---- Single steps ------------------------------------------------------ */

/* Starts `run` in a traced child, to the first call of test_stop in it.  -1 when
 * tracing is not allowed here. */
pid_t test_trace(void (*run)(void *), void *argument);
void test_stop(void);
/* Lets the child execute one instruction: 1; 0 when it has reached test_stop again. */
int test_step(pid_t child);
/* Kills it. */
void test_trace_end(pid_t child);
/* Where the child is; a function in this program has the same address in it. */
uintptr_t test_where(pid_t child);

#endif
