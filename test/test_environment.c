/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What surrounds a program: limits, locked memory, folders that change or are moved, links,
 * many threads, a full disk under a copy, text in files that is not for a terminal.
 */
#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/error.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static size_t on_disk(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (size_t)st.st_blocks * 512 : 0;
}

static void add(vista_segment *segment, long number)
{
    long *root = vista_root(segment, 64 * KIB / 8);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    REQUIRE(root != NULL && tx != NULL && vista_set_range(tx, root, sizeof *root) == 0);
    *root += number;
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

/* ---- Limits ------------------------------------------------------------ */

static void limit_files(rlim_t bytes)
{
    REQUIRE(setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, bytes}) == 0);
}

static bool is_too_big(void)
{
    return errno == EFBIG && strstr(vista_errormsg(), "File too large") != NULL;
}

static void create_past_limit(void *path)
{
    limit_files(4 * MIB);
    REQUIRE(vista_map(path, 16 * MIB, VISTA_CREATE, NULL) == NULL && is_too_big());
    REQUIRE(access(path, F_OK) != 0);
}

static void grow_past_limit(void *path)
{
    const struct vista_map_options options = {.max_size = 64 * MIB};
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE | VISTA_GROW, &options);
    vista_tx *tx;

    REQUIRE(segment != NULL);
    limit_files(4 * MIB);
    REQUIRE(vista_resize(segment, 8 * MIB) == -1 && is_too_big());
    do {
        tx = vista_begin_transaction(segment, 0);
        REQUIRE(tx != NULL);
    } while (vista_malloc(tx, 100000) != NULL && vista_end_transaction(tx, 0) == 0);
    REQUIRE(is_too_big());
    REQUIRE(vista_end_transaction(tx, 0) == 0 && vista_size(segment) == MIB);
    REQUIRE(vista_unmap(segment) == 0);
}

/* The action of SIGXFSZ is to kill: it does not come. */
START_TEST(file_size_limit)
{
    const char *path = test_path("limit");

    ck_assert_int_eq(test_in_child(create_past_limit, (void *)(uintptr_t)path), 0);
    ck_assert_int_eq(test_in_child(grow_past_limit, (void *)(uintptr_t)path), 0);
    test_sound(path);
}
END_TEST

static void map_locked(void *path)
{
    struct rusage usage;
    vista_segment *segment;

    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        _exit(77);
    segment = vista_map(path, 16 * MIB, VISTA_CREATE, NULL);
    REQUIRE(segment != NULL);
    add(segment, 1);
    REQUIRE(vista_unmap(segment) == 0);
    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss < 128 * 1024);
    REQUIRE(on_disk(path) < 32 * MIB);
}

/* What is laid out for a size that may never be is not filled. */
START_TEST(locked_memory)
{
    const char *path = test_path("locked");
    int status;

    if (test_is_sanitized()) {
        test_skip("locked memory", "a sanitizer has more than can be locked");
        return;
    }
    status = test_in_child(map_locked, (void *)(uintptr_t)path);
    if (status == 77)
        test_skip("locked memory", "it is not allowed here");
    else
        ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- Many threads ------------------------------------------------------ */

#define THREADS 4500 /* more than there are slots */

static vista_segment *shared;
static pthread_barrier_t all_began, all_end;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static int refused;

static void *run_one(void *unused)
{
    vista_tx *tx;

    pthread_mutex_lock(&one);
    tx = vista_begin_transaction(shared, 0);
    if (tx == NULL || vista_end_transaction(tx, 0) != 0)
        refused++;
    pthread_mutex_unlock(&one);
    pthread_barrier_wait(&all_began);
    pthread_barrier_wait(&all_end);
    return unused;
}

/* Each has begun and ended one: none is open, and three quarters of the slots can be had. */
START_TEST(idle_threads)
{
    static pthread_t threads[THREADS];
    static vista_tx *open[1000];
    pthread_attr_t attributes;
    int count = 0;

    if (test_is_sanitized() || test_is_valgrind()) {
        test_skip("thousands of threads", "under a sanitizer or Valgrind");
        return;
    }
    shared = vista_map(test_path("threads"), MIB, VISTA_CREATE, NULL);
    SOME(shared);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * KIB);
    pthread_barrier_init(&all_began, NULL, THREADS + 1);
    pthread_barrier_init(&all_end, NULL, THREADS + 1);
    refused = 0;
    for (; count < THREADS; count++)
        if (pthread_create(&threads[count], &attributes, run_one, NULL) != 0)
            break;
    ck_assert_int_eq(count, THREADS);
    pthread_barrier_wait(&all_began);
    ck_assert_int_eq(refused, 0);
    for (int i = 0; i < 1000; i++) {
        open[i] = vista_begin_transaction(shared, 0);
        SOME(open[i]);
    }
    for (int i = 0; i < 1000; i++)
        OK(vista_end_transaction(open[i], 0));
    pthread_barrier_wait(&all_end);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    OK(vista_unmap(shared));
}
END_TEST

/* ---- Places ------------------------------------------------------------ */

/* Folders "one" and "two" below a new one, which is its path. */
static const char *make_tree(const char *name)
{
    static char tree[4096];
    char folder[4200];

    snprintf(tree, sizeof tree, "%s", test_path(name));
    ck_assert_int_eq(mkdir(tree, 0700), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(folder, sizeof folder, "%s/%s", tree, i == 0 ? "one" : "two");
        ck_assert_int_eq(mkdir(folder, 0700), 0);
    }
    return tree;
}

static void die_with_group(void *tree)
{
    struct vista_map_options options = {0};
    vista_segment *home, *member;
    long *root;
    vista_tx *tx;

    REQUIRE(chdir(tree) == 0 && chdir("one") == 0);
    home = vista_map("home", 64 * KIB, VISTA_CREATE, NULL);
    REQUIRE(home != NULL && chdir("../two") == 0);
    options.log = home;
    member = vista_map("../two/member", 64 * KIB, VISTA_CREATE, &options);
    REQUIRE(member != NULL);
    add(home, 1);
    add(member, 1);
    tx = vista_begin_transaction(home, 0);
    root = vista_root(member, 0);
    REQUIRE(vista_set_range(tx, root, sizeof *root) == 0);
    *root = 5;
    root = vista_root(home, 0);
    REQUIRE(vista_set_range(tx, root, sizeof *root) == 0);
    *root = 5;
    raise(SIGKILL);
}

static void holds_one(const char *tree, const char *name)
{
    char path[4200];
    vista_segment *segment;

    snprintf(path, sizeof path, "%s/%s", tree, name);
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    ck_assert_int_eq(*(long *)vista_root(segment, 0), 1);
    OK(vista_unmap(segment));
    test_sound(path);
}

/* Relative paths are meant from where the program was when it mapped them. */
START_TEST(another_folder_since)
{
    const char *tree = make_tree(_i == 0 ? "tree-0" : "tree-1");

    ck_assert_int_eq(test_in_child(die_with_group, (void *)(uintptr_t)tree), 128 + SIGKILL);
    holds_one(tree, _i == 0 ? "one/home" : "two/member");
    holds_one(tree, _i == 0 ? "two/member" : "one/home");
}
END_TEST

/* The folder that both lie in has another name, or lies elsewhere. */
START_TEST(moved_folder)
{
    const char *tree = make_tree(_i == 0 ? "before-0" : "before-1");
    char to[4200];

    ck_assert_int_eq(test_in_child(die_with_group, (void *)(uintptr_t)tree), 128 + SIGKILL);
    snprintf(to, sizeof to, "%s-moved", tree);
    ck_assert_int_eq(rename(tree, to), 0);
    holds_one(to, _i == 0 ? "one/home" : "two/member");
    holds_one(to, _i == 0 ? "two/member" : "one/home");
}
END_TEST

/* A segment of another UUID in the member's place is not taken for it. */
START_TEST(moved_and_replaced)
{
    const char *tree = make_tree("replaced");
    char from[4200], to[4200];
    vista_segment *other;

    ck_assert_int_eq(test_in_child(die_with_group, (void *)(uintptr_t)tree), 128 + SIGKILL);
    snprintf(from, sizeof from, "%s/two/member", tree);
    snprintf(to, sizeof to, "%s/kept", tree);
    ck_assert_int_eq(rename(from, to), 0);
    other = vista_map(from, 64 * KIB, VISTA_CREATE, NULL);
    SOME(other);
    SOME(vista_root(other, 64));
    OK(vista_unmap(other));
    snprintf(to, sizeof to, "%s/one/home", tree);
    NULLS(vista_map(to, 0, 0, NULL), ENOENT, "another segment");
    test_sound(from);
}
END_TEST

/* By the command that is built beside the tests. */
static void recover_by_command(const char *folder, const char *path)
{
    char program[PATH_MAX / 2], line[4 * PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);

    ck_assert_int_gt(length, 0);
    program[length] = '\0';
    *strrchr(program, '/') = '\0';
    snprintf(line, sizeof line, "%s/../vista recover --group-folder=%s %s", program, folder, path);
    ck_assert_int_eq(system(line), 0);
}

/* They lie apart now, under other names: found where the program, or the command, is told. */
START_TEST(moved_apart)
{
    const char *tree = make_tree(_i == 0 ? "apart-0" : _i == 1 ? "apart-1" : "apart-2");
    char from[4200], home[4200], folder[4200], member[4300];
    struct vista_map_options options = {.group_folder = folder};
    vista_segment *segment;

    ck_assert_int_eq(test_in_child(die_with_group, (void *)(uintptr_t)tree), 128 + SIGKILL);
    snprintf(folder, sizeof folder, "%s/elsewhere", tree);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    snprintf(from, sizeof from, "%s/two/member", tree);
    snprintf(member, sizeof member, "%s/kept", folder);
    ck_assert_int_eq(rename(from, member), 0);
    snprintf(from, sizeof from, "%s/one/home", tree);
    snprintf(home, sizeof home, _i == 0 ? "%s/one/home" : "%s/elsewhere/h", tree);
    ck_assert_int_eq(rename(from, home), 0);
    if (_i == 0)
        NULLS(vista_map(home, 0, 0, NULL), ENOENT, "another segment");
    if (_i == 2) {
        recover_by_command(folder, member);
    } else {
        segment = vista_map(_i == 0 ? home : member, 0, 0, &options);
        SOME(segment);
        OK(vista_unmap(segment));
    }
    test_sound(home);
    test_sound(member);
    holds_one(folder, "kept");
}
END_TEST

/* As open(2) with O_CREAT: the target is made. */
START_TEST(link_to_nothing)
{
    const char *link = test_path("link"), *target = test_path("target");
    vista_segment *segment;
    struct stat st;

    ck_assert_int_eq(symlink(target, link), 0);
    NULLS(vista_map(link, MIB, VISTA_CREATE | VISTA_EXCLUSIVE, NULL), EEXIST, link);
    NULLS(vista_map(link, (size_t)1 << 62, VISTA_CREATE, NULL), EINVAL, link);
    ck_assert_int_ne(access(target, F_OK), 0); /* a creation that failed leaves none */
    segment = vista_map(link, MIB, VISTA_CREATE, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
    ck_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    test_sound(target);
}
END_TEST

/* ---- Children ---------------------------------------------------------- */

static volatile int *outlives;

static void fork_and_die(void *path)
{
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);
    pid_t child;

    REQUIRE(segment != NULL);
    add(segment, 1);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        outlives[1] = 1;
        while (outlives[0] == 0) /* it has done nothing with the library */
            test_sleep_us(1000);
        _exit(0);
    }
    outlives[2] = child;
    while (outlives[1] == 0)
        test_sleep_us(1000);
    raise(SIGKILL);
}

/* The lock goes with the process that has it, whatever its children do. */
START_TEST(child_outlives_parent)
{
    const char *path = test_path("outlived");
    vista_segment *segment;

    outlives = test_share(4096);
    ck_assert_int_eq(test_in_child(fork_and_die, (void *)(uintptr_t)path), 128 + SIGKILL);
    segment = vista_map(path, 0, 0, NULL);
    outlives[0] = 1;
    SOME(segment);
    ck_assert_int_eq(*(long *)vista_root(segment, 0), 1);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- A copy with holes ------------------------------------------------- */

static void fill_disk(const char *path)
{
    static char page[4096];
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);

    REQUIRE(fd >= 0);
    while (write(fd, page, sizeof page) == sizeof page)
        ;
    close(fd);
}

static void use_copy_on_full_disk(void *disk)
{
    char from[4200], to[4200], command[9000];
    vista_segment *segment;
    unsigned char *root;
    vista_tx *tx;

    snprintf(from, sizeof from, "%s/from", (char *)disk);
    snprintf(to, sizeof to, "%s/to", (char *)disk);
    segment = vista_map(from, MIB, VISTA_CREATE, NULL);
    REQUIRE(segment != NULL && vista_root(segment, 8000) != NULL);
    add(segment, 1);
    REQUIRE(vista_unmap(segment) == 0);
    snprintf(command, sizeof command, "cp --sparse=always %s %s", from, to);
    REQUIRE(system(command) == 0);
    segment = vista_map(to, 0, 0, NULL);
    REQUIRE(segment != NULL);
    snprintf(from, sizeof from, "%s/filler", (char *)disk);
    fill_disk(from);
    root = vista_root(segment, 0);
    tx = vista_begin_transaction(segment, 0);
    for (size_t i = 0; i < 7000; i += 200) { /* the whole of the slot */
        REQUIRE(vista_set_range(tx, root + i, 200) == 0);
        memset(root + i, (int)i, 200);
    }
    REQUIRE(vista_end_transaction(tx, 0) == 0 && vista_unmap(segment) == 0);
}

START_TEST(sparse_copy_on_a_full_disk)
{
    const char *disk = test_path("small");

    if (mkdir(disk, 0700) != 0 || mount("none", disk, "tmpfs", 0, "size=16m") != 0) {
        test_skip("a disk that is full", "no file system can be mounted here");
        rmdir(disk);
        return;
    }
    ck_assert_int_eq(test_in_child(use_copy_on_full_disk, (void *)(uintptr_t)disk), 0);
    umount(disk);
    rmdir(disk);
}
END_TEST

/* ---- A plugin that is closed ------------------------------------------- */

static sigjmp_buf back;

static void jump(int signal)
{
    siglongjmp(back, signal);
}

static void *use_plugin(void *path)
{
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    int (*use)(const char *);

    if (plugin == NULL)
        return "dlopen";
    *(void **)&use = dlsym(plugin, "plug_use");
    if (use == NULL || use(test_path("plug")) != 0)
        return "plug_use";
    return dlclose(plugin) == 0 ? NULL : "dlclose";
}

/* Its thread ends, and a fault then is the program's own. */
static void close_plugin(void *path)
{
    const struct sigaction action = {.sa_handler = jump, .sa_flags = SA_NODEFER};
    void *volatile wrong = NULL;
    void *result;
    pthread_t thread;

    REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
    REQUIRE(pthread_create(&thread, NULL, use_plugin, path) == 0);
    REQUIRE(pthread_join(thread, &result) == 0);
    if (result != NULL)
        fprintf(stderr, "%s\n", (const char *)result);
    REQUIRE(result == NULL);
    if (sigsetjmp(back, 1) == 0) {
        *(volatile int *)wrong = 1;
        REQUIRE(false);
    }
}

START_TEST(plugin_closed)
{
    static const char *const plugins[] = {VISTA_PLUG, VISTA_PLUG_STATIC};

    if (test_is_sanitized() || test_is_valgrind())
        test_skip("closing a plugin", "under a sanitizer or Valgrind");
    else
        ck_assert_int_eq(test_in_child(close_plugin, (void *)(uintptr_t)plugins[_i]), 0);
}
END_TEST

/* ---- Text -------------------------------------------------------------- */

START_TEST(text_is_escaped)
{
    char to[32], small[8];

    ck_assert_uint_eq(vi_escape(to, sizeof to, "a\x1b]0;b\n\x7f"), 17);
    ck_assert_str_eq(to, "a\\x1b]0;b\\x0a\\x7f");
    vi_escape(small, sizeof small, "abcd\x1b");
    ck_assert_str_eq(small, "abcd");
    NULLS(vista_map("no\x1b[2Jfolder/\nfile", 0, 0, NULL), ENOENT, "no\\x1b[2Jfolder/\\x0afile");
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("environment");
    TCase *tests = test_case(suite, "limits", 30);

    tcase_add_test(tests, file_size_limit);
    tcase_add_test(tests, locked_memory);
    tests = test_case(suite, "threads", 60);
    tcase_add_test(tests, idle_threads);
    tests = test_case(suite, "places", 30);
    tcase_add_loop_test(tests, another_folder_since, 0, 2);
    tcase_add_loop_test(tests, moved_folder, 0, 2);
    tcase_add_test(tests, moved_and_replaced);
    tcase_add_loop_test(tests, moved_apart, 0, 3);
    tcase_add_test(tests, link_to_nothing);
    tests = test_case(suite, "children", 30);
    tcase_add_test(tests, child_outlives_parent);
    tests = test_case(suite, "copies", 30);
    tcase_add_test(tests, sparse_copy_on_a_full_disk);
    tests = test_case(suite, "plugins", 30);
    tcase_add_loop_test(tests, plugin_closed, 0, 2);
    tests = test_case(suite, "text", 10);
    tcase_add_test(tests, text_is_escaped);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
