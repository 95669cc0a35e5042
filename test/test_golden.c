/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Golden segments: files of every version of the format that there has been, whole and
 * broken, kept for ever in golden/.  Each later version opens or refuses them as their
 * table says, and finds in them what was committed.  See golden/README.md.
 */
#include "golden/golden.h"
#include "media/format.h"
#include "step.h"
#include "support.h"

#include <fcntl.h>
#include <stdlib.h>

struct row {
    char name[64], holds[16];
    int check, read_only, map, torn;
    unsigned state, rolled_back, finished;
};

static struct row rows[128];
static unsigned row_count;
static char folder[512];

/* ---- Files from text ---------------------------------------------------- */

static int error_of(const char *name)
{
    static const struct {
        const char *name;
        int error;
    } errors[] = {{"ok", 0},
                  {"EBADMSG", EBADMSG},
                  {"ENOTSUP", ENOTSUP},
                  {"EUCLEAN", EUCLEAN},
                  {"ECANCELED", ECANCELED},
                  {"EINVAL", EINVAL}};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].error;
    ck_abort_msg("the table has the error %s", name);
}

static void read_table(const char *version)
{
    char path[600], line[256], errors[4][16];
    FILE *table;

    snprintf(folder, sizeof folder, "%s/%s", VISTA_GOLDEN, version);
    snprintf(path, sizeof path, "%s/table", folder);
    table = fopen(path, "re");
    ck_assert_msg(table != NULL, "%s: %s", path, strerror(errno));
    row_count = 0;
    while (fgets(line, sizeof line, table) != NULL) {
        struct row *row = &rows[row_count];

        if (line[0] == '#')
            continue;
        ck_assert_uint_lt(row_count, sizeof rows / sizeof rows[0]);
        ck_assert_msg(sscanf(line, "%63s %15s %15s %15s %15s %15s %u %u %u", row->name, row->holds,
                             errors[0], errors[1], errors[2], errors[3], &row->state,
                             &row->rolled_back, &row->finished) == 9,
                      "in the table: %s", line);
        row->check = error_of(errors[0]);
        row->read_only = error_of(errors[1]);
        row->map = error_of(errors[2]);
        row->torn = error_of(errors[3]);
        row_count++;
    }
    fclose(table);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `OFFSET BYTES` or `OFFSET BYTE*COUNT`, in hexadecimal but for the count. */
static void write_line(int fd, const char *line)
{
    static unsigned char bytes[1 << 20];
    unsigned long long at;
    size_t length = 0;
    unsigned byte;
    int used = 0;

    ck_assert_msg(sscanf(line, "%llx %n", &at, &used) == 1 && used > 0, "%s", line);
    line += used;
    if (sscanf(line, "%2x*%zu", &byte, &length) == 2) {
        ck_assert_uint_le(length, sizeof bytes);
        memset(bytes, (int)byte, length);
    } else {
        for (length = 0; digit(line[2 * length]) >= 0; length++)
            bytes[length] =
                (unsigned char)(digit(line[2 * length]) * 16 + digit(line[2 * length + 1]));
    }
    ck_assert_int_eq(pwrite(fd, bytes, length, (off_t)at), (ssize_t)length);
}

static void expand_into(int fd, const char *name)
{
    char path[600], line[4096], from[64];
    unsigned long long size;
    FILE *text;

    snprintf(path, sizeof path, "%s/%s.seg", folder, name);
    text = fopen(path, "re");
    ck_assert_msg(text != NULL, "%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, text) != NULL)
        if (sscanf(line, "from %63s", from) == 1)
            expand_into(fd, from);
        else if (sscanf(line, "size %llu", &size) == 1)
            ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
        else
            write_line(fd, line);
    fclose(text);
}

static const char *expand_named(const char *name, const char *path)
{
    int fd;

    unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    expand_into(fd, name);
    close(fd);
    return path;
}

static const char *expand(const struct row *row)
{
    return expand_named(row->name, test_path("golden"));
}

/* ---- What is in them ---------------------------------------------------- */

static void expect_flat(vista_segment *segment, const struct row *row)
{
    static unsigned char expected[GOLDEN_FLAT];

    memset(expected, 0, sizeof expected);
    for (unsigned state = 1; state <= row->state; state++)
        for (unsigned i = 0; i < GOLDEN_RANGES; i++)
            memset(expected + golden_at(state, i), (int)state, golden_length(state, i));
    ck_assert_uint_eq(vista_size(segment), GOLDEN_FLAT);
    ck_assert_msg(memcmp(vista_base(segment), expected, GOLDEN_FLAT) == 0, "%s: other contents",
                  row->name);
}

static void expect_block(vista_segment *segment, const struct row *row,
                         const struct golden_block *b)
{
    const unsigned char *at = (unsigned char *)vista_base(segment) + b->offset;

    ck_assert_msg(b->size == golden_size((unsigned)b->byte), "%s: a block's size", row->name);
    ck_assert_msg(vista_usable_size(segment, at) >= b->size, "%s: a block of state %llu is not one",
                  row->name, (unsigned long long)b->byte);
    for (uint64_t i = 0; i < b->size; i++)
        ck_assert_msg(at[i] == b->byte, "%s: a block of state %llu has other contents", row->name,
                      (unsigned long long)b->byte);
}

/* The blocks that are there after so many transactions; how many. */
static unsigned expect_heap(vista_segment *segment, const struct row *row)
{
    const struct golden_root *root = vista_root(segment, 0);
    uint64_t owners[GOLDEN_BLOCKS] = {0};
    unsigned count = 0;

    SOME(root);
    ck_assert_msg(root->state == row->state, "%s: at state %llu, not %u", row->name,
                  (unsigned long long)root->state, row->state);
    for (unsigned state = 1; state <= row->state; state++) {
        owners[(state + GOLDEN_BLOCKS / 2) % GOLDEN_BLOCKS] = 0;
        owners[state % GOLDEN_BLOCKS] = state;
    }
    for (unsigned i = 0; i < GOLDEN_BLOCKS; i++) {
        ck_assert_msg(root->blocks[i].byte == owners[i], "%s: block %u is of state %llu, not %llu",
                      row->name, i, (unsigned long long)root->blocks[i].byte,
                      (unsigned long long)owners[i]);
        if (owners[i] != 0) {
            expect_block(segment, row, &root->blocks[i]);
            count++;
        }
    }
    return count;
}

/* It can be used from here on. */
static void use(vista_segment *segment)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    unsigned char *base = vista_base(segment), old = base[5000];

    SOME(tx);
    OK(vista_set_range(tx, base + 5000, 1));
    base[5000] ^= 0xff;
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[5000], old);
}

static void expect_mapped(const struct row *row, unsigned flags, int error)
{
    const char *path = expand(row);
    const bool holds = strcmp(row->holds, "any") != 0, heap = strcmp(row->holds, "heap") == 0;
    struct vista_info info;
    vista_segment *segment;
    unsigned blocks = 0;

    errno = 0;
    segment = vista_map(path, 0, flags, NULL);
    ck_assert_msg((segment != NULL ? 0 : errno) == error, "%s, flags 0x%x: %s (\"%s\"), not %s",
                  row->name, flags, segment != NULL ? "mapped" : strerror(errno), vista_errormsg(),
                  strerror(error));
    if (segment == NULL) {
        ck_assert(*vista_errormsg() != '\0');
        return;
    }
    OK(vista_info(segment, &info));
    if (holds && !(flags & VISTA_READ_ONLY)) {
        ck_assert_msg(info.rolled_back == row->rolled_back && info.finished == row->finished,
                      "%s: %llu rolled back, %llu finished", row->name,
                      (unsigned long long)info.rolled_back, (unsigned long long)info.finished);
    }
    if (holds && !heap)
        expect_flat(segment, row);
    if (heap)
        blocks = expect_heap(segment, row);
    if (holds && !(flags & VISTA_READ_ONLY))
        use(segment);
    OK(vista_unmap(segment));
    if (holds && row->check == 0)
        test_sound(path);
    if (heap && row->check == 0)
        ck_assert_msg(test_live_blocks(path) == blocks + 1, "%s: %llu blocks and not %u", row->name,
                      (unsigned long long)test_live_blocks(path), blocks + 1);
}

static const struct {
    const char *folder;
    unsigned least; /* rows of its table */
} kept[] = {{"v1", 30}, {"disk1", 13}};

START_TEST(as_recorded)
{
    read_table(kept[_i].folder);
    ck_assert_uint_ge(row_count, kept[_i].least);
    for (unsigned i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        int result;

        errno = 0;
        result = vista_check(expand(row), 0, NULL, NULL);
        ck_assert_msg((result == 0 ? 0 : errno) == row->check,
                      "%s: vista_check: %s (\"%s\"), not %s", row->name,
                      result == 0 ? "sound" : strerror(errno), vista_errormsg(),
                      strerror(row->check));
        expect_mapped(row, VISTA_READ_ONLY, row->read_only);
        expect_mapped(row, 0, row->map);
        expect_mapped(row, VISTA_ACCEPT_TORN, row->torn);
    }
}
END_TEST

/* The files of a group, at paths of today. */
static void expand_group(const char *home, const char *member)
{
    snprintf(folder, sizeof folder, "%s/disk-group1", VISTA_GOLDEN);
    expand_named("home", home);
    expand_named("member", member);
    step_name_entry(home, VI_MEMBERS_OFFSET, member);
    step_name_entry(member, VI_HOME_OFFSET, home);
    test_adopt(home);
    test_adopt(member);
}

/* A group of the disk class that was killed: recovered from home, or from its member, both have what was
 * committed; home without the member is refused, and is what it was. */
START_TEST(a_group_of_the_disk_class)
{
    const struct row row = {.name = "a group", .state = GOLDEN_GROUP};
    char path[2][200], away[200];
    vista_segment *segment;

    snprintf(path[0], sizeof path[0], "%s", test_path("golden-home"));
    snprintf(path[1], sizeof path[1], "%s", test_path("golden-member"));
    snprintf(away, sizeof away, "%s", test_path("golden-away"));
    expand_group(path[0], path[1]);
    ck_assert_int_eq(rename(path[1], away), 0);
    ck_assert_ptr_null(vista_map(path[0], 0, 0, NULL));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(rename(away, path[1]), 0);
    for (int i = 0; i < 2; i++) {
        segment = vista_map(path[i ^ _i], 0, 0, NULL);
        ck_assert_msg(segment != NULL, "%s", vista_errormsg());
        expect_flat(segment, &row);
        use(segment);
        OK(vista_unmap(segment));
        test_sound(path[i ^ _i]);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("golden segments");
    TCase *tests = test_case(suite, "golden", 200);

    tcase_add_loop_test(tests, as_recorded, 0, (int)(sizeof kept / sizeof *kept));
    tcase_add_loop_test(tests, a_group_of_the_disk_class, 0, 2);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
