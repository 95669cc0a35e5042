/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tool/: the `vista` command as a script uses it: exit statuses and output.
 */
#include "command.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static const char *path;

/* ---- JSON: that it is well-formed -------------------------------------- */

static const char *json_value(const char *at);

static const char *json_space(const char *at)
{
    return at == NULL ? NULL : at + strspn(at, " \n");
}

static const char *json_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20)
            return NULL;
        if (*at == '\\' && strchr("\"\\u", *++at) == NULL)
            return NULL;
    }
    return at + 1;
}

static const char *json_members(const char *at, bool keys, char close)
{
    for (at = json_space(at + 1); at != NULL && *at != close; at = json_space(at + 1)) {
        if (keys && ((at = json_string(at)) == NULL || *at++ != ':'))
            return NULL;
        at = json_space(json_value(json_space(at)));
        if (at == NULL || *at != ',')
            break;
    }
    return at != NULL && *at == close ? at + 1 : NULL;
}

/* Where the value ends; NULL: there is none. */
static const char *json_value(const char *at)
{
    static const char *const words[] = {"true", "false"};

    if (*at == '{' || *at == '[')
        return json_members(at, *at == '{', *at == '{' ? '}' : ']');
    if (*at == '"')
        return json_string(at);
    for (int i = 0; i < 2; i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    return isdigit(*at) ? at + strspn(at, "0123456789") : NULL;
}

static void expect_json(const char *part)
{
    const char *end = json_space(json_value(output));

    ck_assert_msg(end != NULL && *end == '\0', "not JSON, or more than that:\n%s", output);
    ck_assert_msg(strstr(output, part) != NULL, "\"%s\" is not in\n%s", part, output);
}

/* ---- Segments ---------------------------------------------------------- */

static void make_clean(void)
{
    vista_segment *segment;

    path = test_path("segment");
    segment = vista_map(path, 1 << 20, VISTA_CREATE, NULL);
    SOME(segment);
    SOME(vista_root(segment, 100));
    OK(vista_unmap(segment));
}

/* Dies with one transaction open, that has changed the root to 7. */
static void die(void *unused)
{
    vista_segment *segment = vista_map(path, 0, 0, NULL);
    vista_tx *tx;
    int *root;

    (void)unused;
    REQUIRE(segment != NULL);
    root = vista_root(segment, 0);
    tx = vista_begin_transaction(segment, 0);
    REQUIRE(root != NULL && tx != NULL);
    REQUIRE(vista_set_range(tx, root, sizeof *root) == 0);
    *root = 7;
    REQUIRE(vista_malloc(tx, 5000) != NULL);
    _exit(0);
}

static void make_unclean(void)
{
    make_clean();
    ck_assert_int_eq(test_in_child(die, NULL), 0);
}

static int root_value(void)
{
    vista_segment *segment = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    int value;

    SOME(segment);
    value = *(int *)vista_root(segment, 0);
    OK(vista_unmap(segment));
    return value;
}

START_TEST(test_usage)
{
    EXPECT(0, "usage: vista COMMAND", "vista --help");
    EXPECT(0, "vista ", "vista --version");
    EXPECT(2, "no command given", "vista");
    EXPECT(2, "unknown command frobnicate", "vista frobnicate");
    EXPECT(2, "unknown command -x", "vista -x");
    EXPECT(0, "usage: vista info", "vista info --help");
    EXPECT(0, "usage: vista check", "vista check --help");
    EXPECT(0, "usage: vista recover", "vista recover --help");
    EXPECT(0, "usage: vista create", "vista create --help");
    EXPECT(0, "usage: vista dump", "vista dump --help");
    EXPECT(0, "usage: vista copy", "vista copy --help");
    EXPECT(0, "usage: vista resize", "vista resize --help");
    EXPECT(2, "no file given", "vista info");
    EXPECT(2, "no file given", "vista check -q");
    EXPECT(2, "one file at a time; there is also b", "vista check a b");
    EXPECT(2, "unknown option -z", "vista check -z a");
    EXPECT(2, "unknown option --quiet", "vista info --quiet a");
    EXPECT(2, "Try `vista recover --help`", "vista recover --yes a");
    EXPECT(2, "unknown option --js", "vista info --js a");
    EXPECT(2, "unknown option --json=1", "vista info --json=1 a");
    EXPECT(2, "no value given to --size", "vista create a --size");
    EXPECT(2, "a file has no name", "vista copy a ''");
    EXPECT(2, "no file given to write", "vista copy a");
    EXPECT(2, "too many files; there is also c", "vista copy a b c");
    EXPECT(3, "cannot write the output", "vista --help >/dev/full");
}
END_TEST

START_TEST(test_no_file)
{
    static const char *const commands[] = {"info", "check", "recover", "dump"};

    EXPECT(3, "/no/such/file: cannot open", "vista copy /no/such/file /tmp/copy");
    EXPECT(3, "/no/such/file: cannot open", "vista create /no/such/file");
    for (size_t i = 0; i < 4; i++) {
        EXPECT(3, "/no/such/file: cannot open", "vista %s /no/such/file", commands[i]);
        EXPECT(3, "-odd: cannot open", "vista %s -- -odd", commands[i]);
        EXPECT(3, "is a directory", "vista %s /tmp", commands[i]);
    }
}
END_TEST

START_TEST(test_not_a_segment)
{
    static const char *const commands[] = {"info", "check", "recover", "dump"};

    path = test_path("other");
    for (size_t i = 0; i < 4; i++) {
        close(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
        EXPECT(1, "not a vista segment", "vista %s %s", commands[i], path);
        test_poke(path, 0, "something else", 14);
        EXPECT(1, "not a vista segment", "vista %s %s", commands[i], path);
    }
}
END_TEST

START_TEST(test_clean)
{
    uint64_t before;

    make_clean();
    before = test_digest(path);
    EXPECT(0, "state         clean\n", "vista info %s", path);
    ck_assert_ptr_ne(strstr(output, "size          1048576 bytes (1.0 MiB)\n"), NULL);
    ck_assert_ptr_ne(strstr(output, "heap blocks   1\n"), NULL);
    ck_assert_ptr_ne(strstr(output, "root          100 bytes at 0x"), NULL);
    EXPECT(0, ": sound\n", "vista check %s", path);
    ck_assert_ptr_ne(strstr(output, "ok      superblock: "), NULL);
    EXPECT(0, "", "vista check --quiet %s", path);
    ck_assert_str_eq(output, "");
    EXPECT(0, "clean, nothing to recover", "vista recover %s", path);
    ck_assert_uint_eq(test_digest(path), before);
}
END_TEST

START_TEST(test_needs_recovery)
{
    uint64_t before;

    make_unclean();
    before = test_digest(path);
    EXPECT(1, "state         needs recovery: 1 to roll back, 0 to finish\n", "vista info %s", path);
    EXPECT(0, "transactions to roll back: 1", "vista check %s", path);
    ck_assert_ptr_ne(strstr(output, "note    state: "), NULL);
    ck_assert_uint_eq(test_digest(path), before);
    EXPECT(0, "recovered; transactions rolled back: 1, committed ones finished: 0\n",
           "vista recover %s", path);
    EXPECT(0, "state         clean\n", "vista info %s", path);
    EXPECT(0, "allocated blocks, large ones too: 1,", "vista check %s", path);
    ck_assert_int_eq(root_value(), 0);
}
END_TEST

START_TEST(test_torn)
{
    const char *copy;
    uint64_t before;

    make_unclean();
    copy = test_path("copy");
    test_copy(path, copy);
    path = copy;
    before = test_digest(path);
    EXPECT(1, "state         may be torn; needs recovery", "vista info %s", path);
    EXPECT(0, "it may be torn", "vista check %s", path);
    EXPECT(1, "may be torn", "vista recover %s", path);
    ck_assert_uint_eq(test_digest(path), before);
    EXPECT(0, "rolled back: 1", "vista recover --accept-torn %s", path);
    ck_assert_int_eq(root_value(), 0);
}
END_TEST

START_TEST(test_damaged)
{
    static const uint64_t bad = 0x77;
    struct vi_superblock superblock;
    uint64_t before;

    make_clean();
    superblock = test_superblock(path, 0);
    test_poke(path, superblock.heap_offset + VI_PAGE + 8 * 20, &bad, sizeof bad);
    before = test_digest(path);
    EXPECT(1, "DAMAGE  heap descriptors: unit 20: the descriptor 0x77", "vista check %s", path);
    EXPECT(1, "DAMAGE  heap descriptors", "vista check -q %s", path);
    ck_assert_ptr_eq(strstr(output, "ok  "), NULL);
    EXPECT(1, "state         damaged", "vista info %s", path);
    ck_assert_uint_eq(test_digest(path), before);
}
END_TEST

START_TEST(test_in_use)
{
    vista_segment *segment;

    make_clean();
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    EXPECT(3, "mapped already", "vista check %s", path);
    EXPECT(3, "mapped already", "vista recover %s", path);
    EXPECT(3, "mapped already", "vista dump %s", path);
    EXPECT(3, "mapped already", "vista copy %s %s.copy", path, path);
    EXPECT(3, "cannot open", "vista info %s.copy", path);
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    SOME(segment);
    EXPECT(0, ": sound", "vista check %s", path);
    OK(vista_unmap(segment));
}
END_TEST

static uint64_t number_behind(const char *name)
{
    const char *at = strstr(output, name);

    ck_assert_msg(at != NULL, "\"%s\" is not in\n%s", name, output);
    return strtoull(at + strlen(name), NULL, 10);
}

/* What `vista info` counts beside a segment's user, in each class. */
START_TEST(test_live)
{
    static const unsigned classes[] = {VISTA_CLASS_KILL, VISTA_CLASS_LINE, VISTA_CLASS_DISK};
    const char *ended = "\"transactions_ended\": ", *open = "\"transactions_open\": ";
    vista_segment *segment;
    vista_tx *tx;
    uint64_t *root, before;

    make_clean();
    OK(vista_init(&(struct vista_options){.force_class = classes[_i]}));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    root = vista_root(segment, 0);
    EXPECT(0, "state         in use\n", "vista info %s", path);
    EXPECT(0, "\"state\": \"in use\"", "vista info --json %s", path);
    expect_json("\"size\": 1048576");
    if (classes[_i] == VISTA_CLASS_DISK) { /* its undo log is in memory */
        expect_json("\"redo_log_size\": 4194304");
        ck_assert_ptr_eq(strstr(output, ended), NULL);
        OK(vista_unmap(segment));
        return;
    }
    before = number_behind(ended);
    ck_assert_uint_eq(number_behind(open), 0);
    for (int i = 0; i < 10; i++) {
        tx = vista_begin_transaction(segment, 0);
        SOME(tx);
        OK(vista_set_range(tx, root, sizeof *root));
        if (i == 9)
            EXPECT(0, "", "vista info --json %s", path);
        OK(i % 2 == 0 ? vista_end_transaction(tx, 0) : vista_abort_transaction(tx));
    }
    ck_assert_uint_eq(number_behind(ended), before + 9);
    ck_assert_uint_eq(number_behind(open), 1);
    EXPECT(0, "11 have ended", "vista info %s", path); /* the root was made, too */
    OK(vista_resize(segment, 2 << 20));
    EXPECT(0, "2097152 bytes", "vista info %s", path);
    OK(vista_unmap(segment));
    EXPECT(0, "state         clean\n", "vista info %s", path);
}
END_TEST

/* A file whose maker has not come to its superblock, and one that is no segment. */
START_TEST(test_live_refused)
{
    const struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd;

    path = test_path("new");
    fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    OK(fcntl(fd, F_OFD_SETLK, &range));
    EXPECT(1, "has no superblock yet", "vista info %s", path);
    ck_assert_int_eq(pwrite(fd, "no segment", 10, 0), 10);
    EXPECT(1, "not a vista segment", "vista info %s", path);
    close(fd);
}
END_TEST

START_TEST(test_other_version)
{
    struct vi_superblock superblock;

    make_clean();
    for (int copy = 0; copy < 2; copy++) {
        superblock = test_superblock(path, copy);
        superblock.version = 9;
        test_superblock_put(path, copy, superblock, true);
    }
    EXPECT(3, "format version 9", "vista info %s", path);
    EXPECT(3, "format version 9", "vista check %s", path);
    EXPECT(3, "format version 9", "vista recover %s", path);
}
END_TEST

/* ---- create ------------------------------------------------------------ */

START_TEST(test_create)
{
    struct stat st;

    path = test_path("made");
    EXPECT(0, "1048576 bytes at 0x", "vista create --size 1M %s", path);
    ck_assert_ptr_ne(strstr(output, "may grow to 4194304, kill-safe\n"), NULL);
    EXPECT(0, "state         clean\n", "vista info %s", path);
    EXPECT(3, "File exists", "vista create --size 1M %s", path);
    EXPECT(0, ": sound", "vista check %s", path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);

    path = test_path("flat");
    EXPECT(0, "65536 bytes at 0x550000000000, may grow to 131072",
           "vista create -s 0x10000 -m 128K --no-heap --sparse --mode 640 --kill-safe "
           "--address 0x550000000000 %s",
           path);
    EXPECT(0, "none, the data is flat", "vista info %s", path);
    ck_assert_ptr_ne(strstr(output, "version 1, sparse"), NULL);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640);
}
END_TEST

START_TEST(test_create_refused)
{
    static const char *const wrong[] = {
        "--size 0",
        "--size 1X",
        "--size 1KK",
        "--size -1",
        "--size ''",
        "--mode 999",
        "--mode 0",
        "--max-size 1Q",
        "--address 12345",
        "--size 10000G",
        "--size 2M -m 1M",
        "--size 99999999999999999999",
        "--power-safe --kill-safe",
    };

    path = test_path("refused");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        EXPECT(2, "Try `vista create --help`", "vista create %s %s", wrong[i], path);
        ck_assert_int_ne(access(path, F_OK), 0);
    }
    EXPECT(3, "cannot be power-safe", "vista create --power-safe %s", path);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* A file system of 8 MiB that only this test sees, with `path` on it. */
static bool mount_small_disk(void)
{
    static char on_it[PATH_MAX];
    const char *directory = test_path("small");

    ck_assert_int_eq(mkdir(directory, 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", directory, "tmpfs", 0, "size=8m") != 0) {
        test_skip("a full disk", "no file system can be mounted here without being root");
        return false;
    }
    snprintf(on_it, sizeof on_it, "%s/segment", directory);
    path = on_it;
    return true;
}

START_TEST(test_no_room)
{
    struct statvfs before, after;

    if (!mount_small_disk())
        return;
    EXPECT(3, "No space left", "vista create --size 9M %s", path);
    ck_assert_int_ne(access(path, F_OK), 0);
    EXPECT(0, "may grow", "vista create --size 5M %s", path);
    ck_assert_int_eq(statvfs(path, &before), 0);
    EXPECT(3, "No space left", "vista copy %s %s.copy", path, path);
    ck_assert_int_eq(statvfs(path, &after), 0);
    ck_assert_uint_eq(after.f_bfree, before.f_bfree);
    ck_assert_uint_eq(after.f_ffree, before.f_ffree);
    test_sound(path);
}
END_TEST

/* ---- Segments that share a log ------------------------------------------ */

static const char *home_path;

/* Dies with one transaction open, which has changed the roots of both. */
static void die_in_both(void *unused)
{
    vista_segment *home = vista_map(home_path, 1 << 20, VISTA_CREATE, NULL), *member;
    const struct vista_map_options options = {.log = home};
    uint64_t *roots[2];
    vista_tx *tx;

    (void)unused;
    REQUIRE(home != NULL);
    member = vista_map(path, 1 << 20, VISTA_CREATE, &options);
    REQUIRE(member != NULL);
    roots[0] = vista_root(home, sizeof *roots[0]);
    roots[1] = vista_root(member, sizeof *roots[1]);
    tx = vista_begin_transaction(home, 0);
    REQUIRE(roots[0] != NULL && roots[1] != NULL && tx != NULL);
    for (int i = 0; i < 2; i++) {
        REQUIRE(vista_set_range(tx, roots[i], sizeof *roots[i]) == 0);
        *roots[i] = 7;
    }
    _exit(0);
}

/* What a file names is text of whoever made it: a terminal gets no escapes, and no lines. */
START_TEST(test_escapes)
{
    home_path = test_path("\x1b]0;owned\x07\nstate         clean");
    path = test_path("named");
    ck_assert_int_eq(test_in_child(die_in_both, NULL), 0);
    EXPECT(1, "\\x1b]0;owned\\x07\\x0astate", "vista info %s", path);
    ck_assert_ptr_eq(strchr(output, '\x1b'), NULL);
    ck_assert_ptr_eq(strstr(output, "\nstate         clean"), NULL);
    ck_assert_int_eq(unlink(home_path), 0);
    EXPECT(3, "\\x1b]0;owned", "vista recover %s", path);
    ck_assert_ptr_eq(strchr(output, '\x1b'), NULL);
}
END_TEST

START_TEST(test_shared_log)
{
    home_path = test_path("home");
    path = test_path("member");
    ck_assert_int_eq(test_in_child(die_in_both, NULL), 0);
    EXPECT(1, "that of /", "vista info %s", path);
    EXPECT(1, "\"log_of\": \"/", "vista info --json %s", path);
    EXPECT(1, "to roll back", "vista info %s", home_path);
    ck_assert_ptr_eq(strstr(output, "that of /"), NULL);
    EXPECT(0, "(of a member)", "vista dump --log %s", home_path);
    EXPECT(0, "\"of_member\": true", "vista dump --log --json %s", home_path);
    EXPECT(1, "needs recovery", "vista copy %s %s.copy", path, path);
    EXPECT(0, "recovered", "vista recover %s", path);
    EXPECT(0, "state         clean\n", "vista info %s", path);
    ck_assert_ptr_eq(strstr(output, "that of /"), NULL);
    EXPECT(0, "state         clean\n", "vista info %s", home_path);
    ck_assert_int_eq(root_value(), 0);
    EXPECT(0, "a copy", "vista copy %s %s.copy", home_path, home_path);
    EXPECT(0, ": sound", "vista check %s.copy", home_path);
    path = home_path;
    ck_assert_int_eq(root_value(), 0);
}
END_TEST

/* ---- resize ------------------------------------------------------------ */

START_TEST(test_resize)
{
    vista_segment *segment;
    uint64_t before;

    make_clean();
    EXPECT(2, "no size given", "vista resize %s", path);
    EXPECT(2, "not a number", "vista resize --size 0 %s", path);
    before = test_digest(path);
    EXPECT(2, "up to 4194304", "vista resize --size 5M %s", path);
    ck_assert_uint_eq(test_digest(path), before);
    EXPECT(0, "3145728 bytes, was 1048576\n", "vista resize --size 3M %s", path);
    EXPECT(0, "size          3145728 bytes", "vista info %s", path);
    EXPECT(0, ": sound", "vista check %s", path);
    ck_assert_int_eq(root_value(), 0);
    EXPECT(0, "131072 bytes, was 3145728\n", "vista resize -s 128K %s", path);
    EXPECT(0, ": sound", "vista check %s", path);
    segment = vista_map(path, 0, 0, NULL);
    SOME(vista_root(segment, 80000));
    OK(vista_unmap(segment));
    EXPECT(3, "there is a block at", "vista resize -s 64K %s", path);
    EXPECT(0, "size          131072 bytes", "vista info %s", path);
}
END_TEST

START_TEST(test_resize_refused)
{
    vista_segment *segment;
    uint64_t before;

    make_unclean();
    before = test_digest(path);
    EXPECT(1, "needs recovery", "vista resize --size 2M %s", path);
    ck_assert_uint_eq(test_digest(path), before);
    EXPECT(0, "recovered", "vista recover %s", path);
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    EXPECT(3, "mapped already", "vista resize --size 2M %s", path);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- copy -------------------------------------------------------------- */

/* Files in the directory of `path`. */
static unsigned files_beside(void)
{
    char directory[PATH_MAX];
    unsigned count = 0;
    DIR *open;

    snprintf(directory, sizeof directory, "%s", path);
    open = opendir(dirname(directory));
    ck_assert_ptr_ne(open, NULL);
    while (readdir(open) != NULL)
        count++;
    closedir(open);
    return count;
}

static void make_list(void)
{
    vista_segment *segment;
    vista_tx *tx;
    void **root;

    make_clean();
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    root = vista_root(segment, 0);
    tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, root, sizeof *root));
    *root = vista_malloc(tx, 100);
    SOME(*root);
    strcpy(*root, "found by its pointer");
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
}

START_TEST(test_copies)
{
    const struct vi_superblock none = {0};
    struct vi_superblock original, copied;
    const char *copy = test_path("copy");
    vista_segment *segment;
    uint64_t before;

    make_list();
    before = test_digest(path);
    EXPECT(0, ": a copy", "vista copy %s %s", path, copy);
    ck_assert_uint_eq(test_digest(path), before);
    EXPECT(0, "", "vista --version; cmp -i %u %s %s", VI_SUPERBLOCKS * VI_SUPERBLOCK_SIZE, path,
           copy);
    original = test_superblock(path, test_superblock_current(path));
    copied = test_superblock(copy, test_superblock_current(copy));
    ck_assert_int_ne(memcmp(original.uuid, copied.uuid, sizeof original.uuid), 0);
    ck_assert_int_ne(memcmp(none.uuid, copied.uuid, sizeof none.uuid), 0);
    ck_assert_uint_eq(original.address, copied.address);
    test_sound(copy);

    segment = vista_map(copy, 0, 0, NULL);
    SOME(segment);
    ck_assert_str_eq(*(char **)vista_root(segment, 0), "found by its pointer");
    OK(vista_unmap(segment));
    ck_assert_uint_eq(test_digest(path), before);
    EXPECT(3, "is there already", "vista copy %s %s", path, copy);
    test_sound(copy);
    unlink(copy);

    EXPECT(0, ": a copy", "vista copy --keep-uuid %s %s", path, copy);
    copied = test_superblock(copy, test_superblock_current(copy));
    ck_assert_int_eq(memcmp(original.uuid, copied.uuid, sizeof original.uuid), 0);
    segment = vista_map(copy, 0, VISTA_READ_ONLY, NULL); /* itself not for writing: no fault */
    SOME(segment);
    EXPECT(0, ": a copy", "vista copy %s %s.2", copy, copy);
    OK(vista_unmap(segment));
}
END_TEST

/* A list of blocks, each with its number, in a segment that is nearly full; and transactions
 * at once, so that there are far slots. */
static void make_full(unsigned flags)
{
    const struct vista_map_options options = {.max_size = 2 << 20};
    vista_tx *open[100];
    vista_segment *segment;
    uint64_t **last;

    path = test_path("full");
    segment = vista_map(path, 2 << 20, VISTA_CREATE | flags, &options);
    SOME(segment);
    last = vista_root(segment, sizeof *last);
    for (uint64_t i = 0; i < 100; i++) {
        SOME(open[i] = vista_begin_transaction(segment, 0));
        OK(vista_set_range(open[i], last, sizeof *last));
        *last = vista_malloc(open[i], 16000);
        SOME(*last);
        **last = i;
        last = (uint64_t **)(*last + 1);
        *last = NULL;
    }
    for (int i = 0; i < 100; i++)
        OK(vista_end_transaction(open[i], 0));
    OK(vista_unmap(segment));
}

static void expect_full(vista_segment *segment)
{
    uint64_t *const *last = vista_root(segment, 0);
    uint64_t count = 0;

    for (; *last != NULL; last = (uint64_t *const *)(*last + 1))
        ck_assert_uint_eq(**last, count++);
    ck_assert_uint_eq(count, 100);
}

START_TEST(test_copy_with_more_room)
{
    static const struct {
        unsigned flags, class;
        bool keep;
    } ways[] = {{0, VISTA_CLASS_KILL, false},
                {VISTA_SPARSE, VISTA_CLASS_LINE, true},
                {0, VISTA_CLASS_DISK, true}};
    const char *copy = test_path("copy");
    vista_segment *segment;
    vista_tx *tx[100];

    OK(vista_init(&(struct vista_options){.force_class = ways[_i].class}));
    make_full(ways[_i].flags);
    EXPECT(0, ": a copy", "vista copy %s --max-size 1G %s %s", ways[_i].keep ? "--keep-uuid" : "",
           path, copy);
    test_sound(copy);
    EXPECT(0, "may grow to   1073741824 bytes", "vista info %s", copy);
    segment = vista_map(copy, 0, 0, NULL);
    SOME(segment);
    expect_full(segment);
    OK(vista_resize(segment, 500 << 20));
    for (int i = 0; i < 100; i++) {
        tx[i] = vista_begin_transaction(segment, 0);
        SOME(vista_malloc(tx[i], 1 << 20));
    }
    for (int i = 0; i < 100; i++)
        OK(i % 2 == 0 ? vista_end_transaction(tx[i], 0) : vista_abort_transaction(tx[i]));
    OK(vista_unmap(segment));
    test_sound(copy);
    segment = vista_map(copy, 0, VISTA_READ_ONLY, NULL);
    SOME(segment);
    expect_full(segment);
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(test_no_more_room)
{
    const struct vista_map_options options = {.address = (void *)0x550000000000};
    unsigned files;

    path = test_path("flat");
    OK(vista_unmap(vista_map(path, 1 << 20, VISTA_CREATE | VISTA_NO_HEAP, &options)));
    files = files_beside();
    EXPECT(3, "to no less", "vista copy --max-size 1M %s %s.copy", path, path);
    EXPECT(3, "to no less", "vista copy --max-size 9T %s %s.copy", path, path);
    EXPECT(2, "not a number", "vista copy --max-size 1X %s %s.copy", path, path);
    EXPECT(3, "", "vista copy --max-size 8T %s %s.copy", path, path); /* in the way */
    ck_assert_uint_eq(files_beside(), files);
    EXPECT(0, ": a copy", "vista copy --max-size 4194305 %s %s.copy", path, path);
    EXPECT(0, "may grow to   4198400 bytes", "vista info %s.copy", path);
}
END_TEST

/* From memory to the disk and back, where no kernel may copy ranges: holes stay. */
START_TEST(test_copy_elsewhere)
{
    const char *disk, *back;
    struct stat st;

    path = test_path("sparse");
    EXPECT(0, "may grow", "vista create --sparse --size 1G %s", path);
    disk = test_disk_path("sparse");
    EXPECT(0, ": a copy", "vista copy %s %s", path, disk);
    test_sound(disk);
    back = test_path("back");
    EXPECT(0, ": a copy", "vista copy %s %s", disk, back);
    test_sound(back);
    ck_assert_int_eq(stat(back, &st), 0);
    ck_assert_int_gt(st.st_size, 1 << 30);
    ck_assert_int_lt(st.st_blocks, (16 << 20) / 512);
}
END_TEST

START_TEST(test_copy_refused)
{
    unsigned files;

    make_unclean();
    files = files_beside();
    EXPECT(1, "needs recovery, and a copy", "vista copy %s %s.copy", path, path);
    EXPECT(0, "recovered", "vista recover %s", path);
    EXPECT(3, "cannot be made", "vista copy %s /no/such/copy", path);
    EXPECT(3, "is there already", "vista copy %s /tmp", path);
    ck_assert_int_eq(run("vista info /dev/null; ulimit -f 64; %s/vista copy %s %s.copy",
                         build_directory(), path, path),
                     3);
    ck_assert_ptr_ne(strstr(output, "File too large"), NULL);
    ck_assert_uint_eq(files_beside(), files);
    EXPECT(0, ": sound", "vista check %s", path);
}
END_TEST

/* ---- check --roots ----------------------------------------------------- */

static uint64_t stray, ring; /* offsets of blocks that nothing points to */

static void make_leaks(void)
{
    vista_segment *segment;
    vista_tx *tx;
    void **root, **block, **other;

    make_list();
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    root = vista_root(segment, 0);
    tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, root, 100));
    block = vista_malloc(tx, 100000); /* large, found by a pointer into it */
    root[1] = (char *)block + 5000;
    memset(block, 0, 100000);
    block[12345] = vista_calloc(tx, 1, 24); /* in its last page */
    other = vista_malloc(tx, 32);
    ring = (uint64_t)((char *)other - (char *)vista_base(segment));
    *other = block = vista_malloc(tx, 3000);
    memset(block, 0, 3000);
    *block = other;
    stray = (uint64_t)((char *)vista_malloc(tx, 20000) - (char *)vista_base(segment));
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
}

START_TEST(test_leaks)
{
    char part[128];
    uint64_t before;

    make_list();
    EXPECT(0, "blocks that no pointer leads to: 0 of 2, 0 bytes", "vista check --roots %s", path);
    EXPECT(0, "", "vista check --roots --quiet %s", path);
    ck_assert_str_eq(output, "");
    make_leaks();
    before = test_digest(path);
    EXPECT(1, "blocks that no pointer leads to: 3 of 7", "vista check --roots %s", path);
    ck_assert_ptr_ne(strstr(output, ": sound\n"), NULL);
    snprintf(part, sizeof part, "at data offset %llu (", (unsigned long long)stray);
    ck_assert_ptr_ne(strstr(output, part), NULL);
    snprintf(part, sizeof part, "at data offset %llu (", (unsigned long long)ring);
    ck_assert_ptr_ne(strstr(output, part), NULL);
    EXPECT(1, "blocks that no pointer leads to: 2 of 7", "vista check --roots=%llu %s",
           (unsigned long long)stray, path);
    EXPECT(1, "leads to: 1 of 7", "vista check -q --roots=0x%llx %s", (unsigned long long)ring,
           path);
    ck_assert_ptr_eq(strstr(output, "ok "), NULL);
    EXPECT(0, "leads to: 0 of 7", "vista check --roots=%llu,%llu %s", (unsigned long long)ring,
           (unsigned long long)(stray + test_superblock(path, 0).address), path);
    EXPECT(2, "not offsets", "vista check --roots=x %s", path);
    EXPECT(2, "not offsets", "vista check --roots=-8 %s", path);
    EXPECT(2, "not offsets", "vista check --roots=0x99999999999999999 %s", path);
    /* At once: before the file is looked at. */
    EXPECT(2, "not offsets", "vista check --roots=zzz /no/such/file");
    ck_assert_ptr_eq(strstr(output, "ok "), NULL);
    EXPECT(2, "no block is at 1000000", "vista check --roots=1000000 %s", path);
    EXPECT(1, "", "vista check --roots --json %s", path);
    expect_json("\"leaked_blocks\": 3");
    ck_assert_uint_eq(test_digest(path), before);
}
END_TEST

START_TEST(test_leaks_not_looked_for)
{
    make_unclean();
    EXPECT(1, "not looked for: the segment needs recovery", "vista check --roots %s", path);
    EXPECT(1, "not looked for: the segment needs recovery", "vista check -q --roots %s", path);
    EXPECT(1, "", "vista check --roots --json %s", path);
    expect_json("\"leaks_not_looked_for\": \"leaks: not looked for: the segment needs");
    path = test_path("flat");
    EXPECT(0, "", "vista create --no-heap --size 64K %s", path);
    EXPECT(0, "there is no heap", "vista check --roots %s", path);
}
END_TEST

/* ---- dump and JSON ----------------------------------------------------- */

START_TEST(test_dump)
{
    uint64_t before;

    make_unclean();
    before = test_digest(path);
    EXPECT(0, "slot 0: open, to be rolled back\n", "vista dump %s", path);
    ck_assert_ptr_ne(strstr(output, "undo"), NULL);
    ck_assert_ptr_ne(strstr(output, "length 4 "), NULL);
    ck_assert_ptr_ne(strstr(output, " : 00 00 00 00\n"), NULL);
    ck_assert_ptr_ne(strstr(output, "alloc"), NULL);
    ck_assert_ptr_ne(strstr(output, "to roll back 1, to finish 0"), NULL);
    ck_assert_ptr_ne(strstr(output, "small   offset "), NULL);
    ck_assert_ptr_ne(strstr(output, "free    offset "), NULL);
    EXPECT(0, "slots: 1 used", "vista dump --log %s", path);
    ck_assert_ptr_eq(strstr(output, "free    "), NULL);
    ck_assert_uint_eq(test_digest(path), before);

    make_leaks();
    EXPECT(0, "large   offset ", "vista dump --heap %s", path);
    ck_assert_ptr_eq(strstr(output, "slots: "), NULL);
    ck_assert_ptr_ne(strstr(output, "map of the data, 4096 bytes a character"), NULL);
    ck_assert_ptr_ne(strstr(output, "########"), NULL);
    EXPECT(0, "block   offset ", "vista dump --blocks %s", path);
}
END_TEST

/* ---- The redo log -------------------------------------------------------- */

static void commit_root(vista_segment *segment, int value, unsigned mode)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    int *root = vista_root(segment, 0);

    REQUIRE(tx != NULL && root != NULL && vista_set_range(tx, root, sizeof *root) == 0);
    *root = value;
    REQUIRE(vista_end_transaction(tx, mode) == 0);
}

/* Dies with one commit in the log and one in the ring alone. */
static void die_with_redo(void *unused)
{
    vista_segment *segment = vista_map(path, 0, 0, NULL);

    (void)unused;
    REQUIRE(segment != NULL);
    commit_root(segment, 5, 0);
    commit_root(segment, 7, VISTA_NO_FLUSH);
    _exit(0);
}

START_TEST(test_redo_log)
{
    const struct vista_options disk = {.force_class = VISTA_CLASS_DISK};
    unsigned long long head, ring;
    uint64_t before;

    OK(vista_init(&disk));
    make_clean();
    EXPECT(0, "redo records  0 to apply", "vista info %s", path);
    EXPECT(0, "redo log: 0 records to apply", "vista dump --log %s", path);
    ck_assert_int_eq(test_in_child(die_with_redo, NULL), 0);
    before = test_digest(path);
    EXPECT(1, "redo records  2 to apply", "vista info %s", path);
    ck_assert_ptr_ne(strstr(output, "\nredo log      4194304 bytes"), NULL);
    ck_assert_ptr_ne(strstr(output, "\nin the ring   from LSN "), NULL);
    EXPECT(1, "", "vista info --json %s", path);
    expect_json("\"redo_records\": 2");
    head = number_behind("\"redo_head\": ");
    ring = number_behind("\"redo_ring_from\": ");
    ck_assert_uint_eq(number_behind("\"redo_tail\": "), ring + 40 + 16 + 8);
    ck_assert_uint_eq(ring, head + 4096); /* a flush ends at a block */
    EXPECT(0, "", "vista dump --log %s", path);
    ck_assert_uint_eq(number_behind("redo record "), head);
    ck_assert_ptr_ne(strstr(output, "\n  data       offset "), NULL);
    ck_assert_ptr_ne(strstr(output, " : 05 00 00 00\n"), NULL);
    ck_assert_ptr_ne(strstr(output, " : 07 00 00 00\n"), NULL);
    EXPECT(0, "", "vista dump --log --json %s", path);
    expect_json("\"kind\": \"data\"");
    ck_assert_uint_eq(test_digest(path), before);
    EXPECT(0, "recovered", "vista recover %s", path);
    EXPECT(0, "", "vista info --json %s", path);
    ck_assert_ptr_eq(strstr(output, "redo_"), NULL); /* of another class now */
    ck_assert_int_eq(root_value(), 7);
    OK(vista_init(NULL));
}
END_TEST

/* What --blocks lists and what the spans say are the blocks that there are. */
START_TEST(test_dump_counts)
{
    unsigned long long blocks = 0, allocated = 0, large = 0;

    make_leaks();
    EXPECT(0, "", "vista dump --blocks %s", path);
    for (const char *line = output; line != NULL && *line != '\0';
         line = strchr(line, '\n'), line += line != NULL) {
        unsigned long long count;

        blocks += strncmp(line, "block ", 6) == 0;
        large += strncmp(line, "large ", 6) == 0;
        if (sscanf(line, "small offset %*u %llu of", &count) == 1)
            allocated += count;
    }
    ck_assert_uint_eq(blocks, test_live_blocks(path));
    ck_assert_uint_eq(allocated + large, blocks);
}
END_TEST

START_TEST(test_json)
{
    static const uint64_t bad = 0x77;
    char odd[512];

    make_unclean();
    EXPECT(1, "", "vista info --json %s", path);
    expect_json("\"state\": \"needs recovery\"");
    EXPECT(0, "", "vista check --json %s", path);
    expect_json("\"to_roll_back\": 1");
    ck_assert_ptr_ne(strstr(output, "\"severity\": \"note\""), NULL);
    EXPECT(0, "", "vista dump --blocks --log --json %s", path);
    expect_json("\"kind\": \"undo\"");
    ck_assert_ptr_ne(strstr(output, "\"kind\": \"free\""), NULL);

    snprintf(odd, sizeof odd, "%s \\ \" \n \xc3\xa4 \xff.vista", test_path("odd"));
    EXPECT(0, "", "vista recover %s", path);
    ck_assert_int_eq(rename(path, odd), 0);
    EXPECT(0, "", "vista info --json '%s'", odd);
    expect_json("\\\\ \\\" \\u000a \xc3\xa4 \\ufffd.vista\"");
    ck_assert_int_eq(rename(odd, path), 0); /* the last of a row and what is beyond */
    snprintf(odd, sizeof odd, "%s \xed\x9f\xbf\xed\xa0\x80 \xe0\xa0\x80\xe0\x9f\xbf ", path);
    strcat(odd, "\xf4\x8f\xbf\xbf\xf4\x90\x80\x80 \xf0\x90\x80\x80\xf0\x8f\xbf\xbf ");
    strcat(odd, "\xc2\x80\xc1\xbf\x7f");
    ck_assert_int_eq(rename(path, odd), 0);
    EXPECT(0, "", "vista info --json '%s'", odd);
    expect_json(" \xed\x9f\xbf\\ufffd\\ufffd\\ufffd \xe0\xa0\x80\\ufffd\\ufffd\\ufffd "
                "\xf4\x8f\xbf\xbf\\ufffd\\ufffd\\ufffd\\ufffd "
                "\xf0\x90\x80\x80\\ufffd\\ufffd\\ufffd\\ufffd \xc2\x80\\ufffd\\ufffd\x7f\"");
    test_poke(odd, test_superblock(odd, 0).heap_offset + VI_PAGE + 8 * 20, &bad, sizeof bad);
    EXPECT(1, "", "vista check --roots --json '%s' 2>/dev/null", odd);
    expect_json("\"severity\": \"damage\"");
    ck_assert_ptr_ne(strstr(output, "\"sound\": false"), NULL);
    EXPECT(1, "", "vista dump --json '%s' 2>/dev/null", odd);
    expect_json("\"log\": []");
}
END_TEST

/* Runs vista on the path, where all work is long. */
static void run_slowly(const char *command, const char *more)
{
    char line[4 * PATH_MAX];

    snprintf(line, sizeof line, "LD_PRELOAD=%s/test/libslow.so %s/vista %s %s %s 2>&1",
             build_directory(), build_directory(), command, path, more);
    ck_assert_int_eq(run_shell(line), 0);
}

/* The command says what has happened, and does not die by a signal. */
START_TEST(test_cut_short)
{
    char line[4 * PATH_MAX];

    if (test_is_sanitized()) {
        test_skip("a file cut short", "what is preloaded would come before the sanitizer");
        return;
    }
    make_list();
    snprintf(line, sizeof line, "TRUNCATED=%s LD_PRELOAD=%s/test/libslow.so %s/vista check %s 2>&1",
             path, build_directory(), build_directory(), path);
    ck_assert_int_eq(run_shell(line), 3);
    ck_assert_ptr_ne(strstr(output, "made shorter by someone"), NULL);
}
END_TEST

/* A program with more rights than who started it does not look at the environment. */
START_TEST(test_more_rights)
{
    const char *folder = test_disk_path("rights"), *program = test_disk_path("rights/vista");
    const char *file = test_disk_path("rights/file");
    char line[4 * PATH_MAX];

    if (geteuid() != 0 || test_is_sanitized()) { /* which cannot trace such a program */
        test_skip("more rights", "only root can give a program another's, without sanitizers");
        return;
    }
    ck_assert_int_eq(mkdir(folder, 0777), 0);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    snprintf(line, sizeof line, "%s/..", folder); /* which others may pass through */
    ck_assert_int_eq(chmod(line, 0711), 0);
    snprintf(line, sizeof line, "cp %s/vista %s && chown 65534 %s", build_directory(), program,
             program);
    ck_assert_int_eq(run_shell(line), 0);
    for (int more = 0; more < 2; more++) {
        snprintf(line, sizeof line,
                 "chmod %s %s && rm -f %s && VISTA_CLASS=line %s create -s 64K %s",
                 more ? "4755" : "755", program, file, program, file);
        ck_assert_int_eq(run_shell(line), 0);
        ck_assert_uint_eq(test_superblock(file, test_superblock_current(file)).log_class,
                          more ? VISTA_CLASS_KILL : VISTA_CLASS_LINE);
    }
}
END_TEST

START_TEST(test_progress)
{
    vista_segment *segment;
    char copy[PATH_MAX];

    if (test_is_sanitized()) {
        test_skip("the progress line", "what is preloaded would come before the sanitizer");
        return;
    }
    make_list();
    snprintf(copy, sizeof copy, "%s.copy", path);
    run_slowly("info", "");
    ck_assert_ptr_eq(strstr(output, "\r\033[Kheap marks: 0 %\r\033[Kfile "), output);
    run_slowly("dump", "");
    ck_assert_ptr_ne(strstr(output, "heap marks: 0 %\r\033[K"), NULL);
    run_slowly("dump --blocks", ""); /* each block tells */
    ck_assert_ptr_eq(strchr(output, '%'), NULL);
    run_slowly("check -q --roots", "");
    ck_assert_ptr_ne(strstr(output, "pointers: 100 %\r\033[K"), NULL);
    ck_assert_int_eq(unlink(path), 0);
    segment = vista_map(path, 20 << 20, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    SOME(segment);
    memset(vista_base(segment), 1, 20 << 20);
    OK(vista_unmap(segment));
    run_slowly("copy", copy); /* in steps of 8 MiB */
    ck_assert_ptr_eq(strstr(output, "\r\033[Kcopied: 80 %\r\033[Kcopied: 100 %\r\033[K/"), output);
    unlink(copy);
    EXPECT(0, "a copy", "vista copy %s %s", path, copy); /* on no terminal */
    ck_assert_ptr_eq(strchr(output, '%'), NULL);
    unlink(copy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tool");
    TCase *command_line = test_case(suite, "command line", 30);
    TCase *segments = test_case(suite, "segments", 30);

    tcase_add_test(command_line, test_usage);
    tcase_add_test(command_line, test_no_file);
    tcase_add_test(segments, test_not_a_segment);
    tcase_add_test(segments, test_clean);
    tcase_add_test(segments, test_needs_recovery);
    tcase_add_test(segments, test_torn);
    tcase_add_test(segments, test_damaged);
    tcase_add_test(segments, test_in_use);
    tcase_add_loop_test(segments, test_live, 0, 3);
    tcase_add_test(segments, test_live_refused);
    tcase_add_test(segments, test_other_version);
    tcase_add_test(segments, test_create);
    tcase_add_test(segments, test_create_refused);
    tcase_add_test(segments, test_no_room);
    tcase_add_test(segments, test_shared_log);
    tcase_add_test(segments, test_escapes);
    tcase_add_test(segments, test_resize);
    tcase_add_test(segments, test_resize_refused);
    tcase_add_test(segments, test_copies);
    tcase_add_loop_test(segments, test_copy_with_more_room, 0, 3);
    tcase_add_test(segments, test_no_more_room);
    tcase_add_test(segments, test_copy_elsewhere);
    tcase_add_test(segments, test_copy_refused);
    tcase_add_test(segments, test_leaks);
    tcase_add_test(segments, test_leaks_not_looked_for);
    tcase_add_test(segments, test_dump);
    tcase_add_test(segments, test_dump_counts);
    tcase_add_test(segments, test_redo_log);
    tcase_add_test(segments, test_json);
    tcase_add_test(segments, test_progress);
    tcase_add_test(segments, test_cut_short);
    tcase_add_test(segments, test_more_rights);
    return test_run(suite);
}
