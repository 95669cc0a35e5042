/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the test programs share: see support.h.
 */
#include "support.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#include "base/crc32c.h"
#include "base/watch.h"

#define PATHS 16
#define ROOM ((uint64_t)1 << 30) /* what several tests at a time may take */

static char memory_directory[256], disk_directory[256];

/* ---- Running ----------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

/* In the first of them that can be written to and has room: a container's memory may be small.
 * Named without symbolic links, as in /proc/self/maps. */
static void make_directory(char *out, const char *const *parents)
{
    char real[PATH_MAX];
    struct statvfs fs;

    for (; *parents != NULL; parents++) {
        if (statvfs(*parents, &fs) == 0 && parents[1] != NULL &&
            (uint64_t)fs.f_bavail * fs.f_frsize < ROOM)
            continue;
        snprintf(out, 256, "%s/vista-test.XXXXXX", *parents);
        if (mkdtemp(out) != NULL) {
            if (realpath(out, real) != NULL && strlen(real) < 256)
                memcpy(out, real, strlen(real) + 1);
            return;
        }
    }
    fprintf(stderr, "no place for a test's files\n");
    exit(2);
}

static void set_seed(void)
{
    char text[32];
    uint32_t seed;

    if (getenv("VISTA_TEST_SEED") != NULL)
        return;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (uint32_t)time(NULL);
    snprintf(text, sizeof text, "%u", seed);
    setenv("VISTA_TEST_SEED", text, 1);
}

int test_run(Suite *suite)
{
    static const char *const in_memory[] = {"/dev/shm", "/tmp", ".", NULL};
    static const char *const on_disk[] = {"/var/tmp", "/tmp", ".", NULL};
    SRunner *runner = srunner_create(suite);
    char program[PATH_MAX] = "the test";
    int failed;

    vi_watched = false; /* heaps are used to the last byte here, ranges are anywhere */
    setvbuf(stdout, NULL, _IOLBF, 0);
    set_seed();
    unsetenv("VISTA_CLASS");
    unsetenv("PMEM_IS_PMEM_FORCE");
    make_directory(memory_directory, in_memory);
    make_directory(disk_directory, on_disk);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    nftw(memory_directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    nftw(disk_directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (failed != 0) {
        if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
            program[0] = '\0';
        printf("rerun: VISTA_TEST_SEED=%llu VISTA_TEST_SCALE=%g %s\n",
               (unsigned long long)test_seed(), test_scale(), program);
    }
    return failed == 0 ? 0 : 1;
}

TCase *test_case(Suite *suite, const char *name, double seconds)
{
    TCase *tests = tcase_create(name);

    /* What hangs is to be ended; what other programs leave little time is to come to its end. */
    seconds *= test_is_sanitized() || test_is_valgrind() ? 20 : 10;
    tcase_set_timeout(tests, seconds);
    suite_add_tcase(suite, tests);
    return tests;
}

double test_scale(void)
{
    const char *text = getenv("VISTA_TEST_SCALE");
    const double scale = text == NULL ? 1 : strtod(text, NULL);

    return scale > 0 ? scale : 1;
}

unsigned test_times(unsigned count)
{
    const double scaled = count * test_scale();

    return scaled < 1 ? 1 : (unsigned)scaled;
}

void test_skip(const char *what, const char *why)
{
    printf("SKIPPED: %s: %s\n", what, why);
}

#if defined __has_feature
#define FEATURE(x) __has_feature(x)
#else
#define FEATURE(x) 0
#endif

/* There when the undefined-behaviour sanitizer is, which defines no macro. */
extern void __ubsan_handle_type_mismatch_v1(void *, void *) __attribute__((weak));

bool test_is_thread_sanitized(void)
{
#if defined __SANITIZE_THREAD__ || FEATURE(thread_sanitizer)
    return true;
#else
    return false;
#endif
}

bool test_is_sanitized(void)
{
#if defined __SANITIZE_ADDRESS__ || FEATURE(address_sanitizer)
    return true;
#else
    return test_is_thread_sanitized() || __ubsan_handle_type_mismatch_v1 != NULL;
#endif
}

bool test_is_optimized(void)
{
#if defined(__OPTIMIZE__) && !defined(VISTA_COVERAGE)
    return true;
#else
    return false;
#endif
}

bool test_is_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

/* ---- Random numbers ---------------------------------------------------- */

uint64_t test_seed(void)
{
    const char *text = getenv("VISTA_TEST_SEED");

    return text == NULL ? 1 : strtoull(text, NULL, 0);
}

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
uint64_t test_next(struct test_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct test_random test_random_new(uint64_t stream)
{
    struct test_random random = {test_seed()};

    random.state = test_next(&random) ^ stream * 0xd1342543de82ef95u;
    return random;
}

uint64_t test_below(struct test_random *random, uint64_t limit)
{
    return test_next(random) % limit;
}

/* ---- Files ------------------------------------------------------------- */

static const char *fresh(const char *directory, const char *name)
{
    static char paths[PATHS][512];
    static atomic_uint next;
    char *path = paths[atomic_fetch_add(&next, 1) % PATHS];

    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    remove(path);
    return path;
}

const char *test_path(const char *name)
{
    return fresh(memory_directory, name);
}

const char *test_disk_path(const char *name)
{
    return fresh(disk_directory, name);
}

uint64_t test_room(bool disk)
{
    struct statvfs fs;

    return statvfs(disk ? disk_directory : memory_directory, &fs) == 0
               ? (uint64_t)fs.f_bavail * fs.f_frsize
               : 0;
}

static int must_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    ck_assert_msg(fd >= 0, "cannot open %s: %s", path, strerror(errno));
    return fd;
}

static bool is_zero(const uint64_t *words, size_t count)
{
    uint64_t any = 0;

    for (size_t i = 0; i < count; i++)
        any |= words[i];
    return any == 0;
}

/* Calls `take` with each page of a file that is not in a hole. */
static void each_page(int fd, void (*take)(void *, off_t, const uint64_t *, size_t), void *argument)
{
    uint64_t page[VI_PAGE / 8];
    off_t from = 0, to;

    while ((from = lseek(fd, from, SEEK_DATA)) >= 0) {
        to = lseek(fd, from, SEEK_HOLE);
        for (; from < to; from += VI_PAGE) {
            memset(page, 0, sizeof page);
            const ssize_t got = pread(fd, page, sizeof page, from);

            if (got <= 0)
                ck_abort_msg("a file cannot be read");
            take(argument, from, page, (size_t)got);
        }
        from = to;
    }
}

static void hash_page(void *argument, off_t at, const uint64_t *page, size_t length)
{
    uint64_t hash = *(uint64_t *)argument;

    (void)length;
    if (is_zero(page, VI_PAGE / 8))
        return;
    hash = (hash ^ (uint64_t)at) * 0x100000001b3u;
    for (size_t i = 0; i < VI_PAGE / 8; i++) {
        hash = (hash ^ page[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    *(uint64_t *)argument = hash;
}

uint64_t test_digest(const char *path)
{
    struct stat st;
    uint64_t hash = 0xcbf29ce484222325u;
    int fd = must_open(path, O_RDONLY);

    ck_assert_int_eq(fstat(fd, &st), 0);
    hash ^= (uint64_t)st.st_size * 0x9e3779b97f4a7c15u;
    each_page(fd, hash_page, &hash);
    close(fd);
    return hash;
}

static void copy_page(void *argument, off_t at, const uint64_t *page, size_t length)
{
    if (is_zero(page, VI_PAGE / 8))
        return;
    ck_assert_int_eq(pwrite(*(int *)argument, page, length, at), (ssize_t)length);
}

void test_copy(const char *from, const char *to)
{
    struct stat st;
    int in = must_open(from, O_RDONLY);
    int out = must_open(to, O_RDWR | O_CREAT | O_TRUNC);

    ck_assert_int_eq(fstat(in, &st), 0);
    ck_assert_int_eq(ftruncate(out, st.st_size), 0);
    each_page(in, copy_page, &out);
    close(in);
    close(out);
}

struct vi_superblock test_superblock(const char *path, int copy)
{
    struct vi_superblock superblock;
    int fd = must_open(path, O_RDONLY);

    ck_assert_int_eq(pread(fd, &superblock, sizeof superblock, copy * VI_SUPERBLOCK_SIZE),
                     sizeof superblock);
    close(fd);
    return superblock;
}

void test_superblock_put(const char *path, int copy, struct vi_superblock superblock, bool mend)
{
    if (mend)
        superblock.check = vi_crc32c(0, &superblock, offsetof(struct vi_superblock, check));
    test_poke(path, (uint64_t)copy * VI_SUPERBLOCK_SIZE, &superblock, sizeof superblock);
}

static bool whole(const struct vi_superblock *superblock)
{
    return superblock->magic == VI_MAGIC &&
           superblock->check == vi_crc32c(0, superblock, offsetof(struct vi_superblock, check));
}

int test_superblock_current(const char *path)
{
    const struct vi_superblock first = test_superblock(path, 0);
    const struct vi_superblock second = test_superblock(path, 1);

    if (!whole(&second))
        return 0;
    return !whole(&first) || second.sequence > first.sequence;
}

void test_adopt(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock superblock = test_superblock(path, copy);

        if (!whole(&superblock))
            continue;
        superblock.device = st.st_dev;
        superblock.inode = st.st_ino;
        superblock.birth = 0; /* not known */
        test_superblock_put(path, copy, superblock, true);
    }
}

void test_poke(const char *path, uint64_t offset, const void *bytes, size_t length)
{
    int fd = must_open(path, O_RDWR);

    ck_assert_int_eq(pwrite(fd, bytes, length, (off_t)offset), (ssize_t)length);
    close(fd);
}

/* The allocated blocks of a span. */
static uint64_t count_marks(int fd, uint64_t offset, uint64_t units)
{
    unsigned char marks[16 * VI_MARKS_PER_UNIT];
    const size_t length = (units < 16 ? units : 16) * VI_MARKS_PER_UNIT;
    uint64_t count = 0;

    ck_assert_int_eq(pread(fd, marks, length, (off_t)offset), (ssize_t)length);
    for (size_t i = 0; i < length; i++)
        count += marks[i] != 0;
    return count;
}

uint64_t test_live_blocks(const char *path)
{
    const struct vi_superblock sb = test_superblock(path, test_superblock_current(path));
    const uint64_t all =
        (sb.max_size / VI_UNIT + VI_GROUP_UNITS - 1) / VI_GROUP_UNITS * VI_GROUP_UNITS;
    const off_t from = (off_t)sb.heap_offset + (off_t)VI_PAGE;
    const uint64_t marks = (uint64_t)from + 8 * all;
    uint64_t descriptors[VI_GROUP_UNITS], blocks = 0;
    int fd = must_open(path, O_RDONLY);

    /* A page of descriptors after the other; many are holes. */
    for (off_t at = from; (at = lseek(fd, at, SEEK_DATA)) >= 0 && (uint64_t)at < marks;
         at += (off_t)VI_PAGE) {
        const uint64_t first = (uint64_t)(at - from) / 8;

        ck_assert_int_eq(pread(fd, descriptors, sizeof descriptors, at), sizeof descriptors);
        for (uint64_t i = 0; i < VI_GROUP_UNITS && first + i < sb.size / VI_UNIT; i++) {
            if (descriptors[i] != 0)
                blocks += count_marks(fd, marks + (first + i) * VI_MARKS_PER_UNIT,
                                      VI_SPAN_UNITS(descriptors[i]));
        }
    }
    close(fd);
    return blocks;
}

static int collect(void *argument, int severity, const char *text)
{
    char *all = argument;
    const size_t length = strlen(all);

    snprintf(all + length, 4096 - length, "\n  %d %s", severity, text);
    return 0;
}

void test_sound(const char *path)
{
    char findings[4096] = "";

    ck_assert_msg(vista_check(path, 0, collect, findings) == 0, "vista_check: errno %d, %s%s",
                  errno, vista_errormsg(), findings);
}

bool test_says(const char *part)
{
    return strstr(vista_errormsg(), part) != NULL;
}

/* ---- Children ---------------------------------------------------------- */

/* Children leave without what happens at exit; their coverage counts all the same. */
__attribute__((noreturn)) static void leave(int status)
{
#ifdef VISTA_COVERAGE
    extern void __gcov_dump(void);

    __gcov_dump();
#endif
    _exit(status);
}

void test_child_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: in a child: %s is false; errno %d (%s), \"%s\"\n", file, line, what,
            errno, strerror(errno), vista_errormsg());
    leave(99);
}

pid_t test_begin_child(void)
{
    const pid_t child = fork();

    if (child != 0)
        ck_assert_int_ge(child, 0);
    return child;
}

pid_t test_fork(void (*run)(void *), void *argument)
{
    pid_t child;

    fflush(NULL);
    child = test_begin_child();
    if (child == 0) {
        run(argument);
        leave(0);
    }
    return child;
}

int test_wait(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) != child)
        ck_assert_int_eq(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int test_in_child(void (*run)(void *), void *argument)
{
    return test_wait(test_fork(run, argument));
}

void test_sleep_us(uint64_t microseconds)
{
    struct timespec left = {(time_t)(microseconds / 1000000),
                            (long)(microseconds % 1000000) * 1000};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

void *test_share(size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(shared, MAP_FAILED);
    return shared;
}

/* ---- Single steps ------------------------------------------------------ */

/* Parent and child take turns, so one processor serves them twice as fast. */
static void share_processor(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
}

void test_stop(void)
{
    raise(SIGSTOP);
}

pid_t test_trace(void (*run)(void *), void *argument)
{
    pid_t child;
    int status;

    share_processor();
    fflush(NULL);
    child = test_begin_child();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        run(argument);
        leave(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        return -1;
    ck_assert_msg(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP,
                  "the traced child did not reach its start: status %x", status);
    return child;
}

int test_step(pid_t child)
{
    int status;

    ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        ck_assert_msg(WEXITSTATUS(status) == 0, "the traced child failed: %d", WEXITSTATUS(status));
        return 0;
    }
    ck_assert_msg(WIFSTOPPED(status), "the traced child died: signal %d", WTERMSIG(status));
    if (WSTOPSIG(status) == SIGSTOP)
        return 0;
    ck_assert_msg(WSTOPSIG(status) == SIGTRAP, "the traced child got signal %d", WSTOPSIG(status));
    return 1;
}

void test_trace_end(pid_t child)
{
    kill(child, SIGKILL);
    (void)test_wait(child);
}

uintptr_t test_where(pid_t child)
{
    struct user_regs_struct registers;

    ck_assert_int_eq(ptrace(PTRACE_GETREGS, child, NULL, &registers), 0);
    return registers.rip;
}
