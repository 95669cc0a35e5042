/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Engines: who follows a group's transactions is told of each, in order, and can refuse it;
 * a commit that is refused is rolled back, in every class and around automatic ranges.
 */
#include "support.h"

#include "core/engine.h"
#include "core/redo.h"
#include "core/segment.h"

#define MIB ((size_t)1 << 20)

/* What a follower was told, a letter each. */
struct follower {
    struct vi_redo redo; /* first */
    char told[64];
    size_t length;
    int error;      /* of the next prepare, or wait */
    unsigned mode;  /* of the last call */
    uint64_t seen;  /* the word at the root as it is at commit */
    uint64_t *word; /* there */
};

static struct follower first, second;
static vista_segment *segment;
static uint64_t *word;

static struct follower *tell(struct vi_redo *redo, char what)
{
    struct follower *follower = (struct follower *)redo;

    ck_assert_uint_lt(follower->length, sizeof follower->told - 1);
    follower->told[follower->length++] = what;
    return follower;
}

static int prepare(struct vi_redo *redo, struct vi_tx *tx, unsigned mode)
{
    struct follower *follower = tell(redo, 'p');

    (void)tx;
    follower->mode = mode;
    errno = follower->error;
    return follower->error != 0 ? -1 : 0;
}

static uint64_t commit(struct vi_redo *redo, struct vi_tx *tx, unsigned mode)
{
    struct follower *follower = tell(redo, 'c');

    (void)tx;
    follower->mode = mode;
    follower->seen = *follower->word;
    return 7;
}

static int wait(struct vi_redo *redo, uint64_t position, unsigned mode)
{
    (void)mode;
    tell(redo, 'w');
    ck_assert_uint_eq(position, 7);
    return 0;
}

static int wait_in_vain(struct vi_redo *redo, uint64_t position, unsigned mode)
{
    wait(redo, position, mode);
    return errno = EIO, -1;
}

static void aborted(struct vi_redo *redo, struct vi_tx *tx)
{
    (void)tx;
    tell(redo, 'a');
}

static int flush(struct vi_redo *redo)
{
    tell(redo, 'f');
    return 0;
}

static const struct vi_redo_ops all = {
    .prepare = prepare, .commit = commit, .wait = wait, .abort = aborted, .flush = flush};
static const struct vi_redo_ops observer = {.commit = commit, .abort = aborted};
static const struct vi_redo_ops failing = {.commit = commit, .wait = wait_in_vain};

static void follow(struct follower *follower, const struct vi_redo_ops *ops)
{
    *follower = (struct follower){.redo.ops = ops, .word = word};
    vi_engine_follow(((struct vi_segment *)segment)->group, &follower->redo);
}

static void told(struct follower *follower, const char *what)
{
    ck_assert_str_eq(follower->told, what);
    memset(follower->told, 0, sizeof follower->told);
    follower->length = 0;
}

static void map(unsigned class, unsigned flags)
{
    OK(vista_init(&(struct vista_options){.force_class = class}));
    segment = vista_map(test_path("engine"), MIB, VISTA_CREATE | VISTA_NO_HEAP | flags, NULL);
    SOME(segment);
    word = vista_base(segment);
}

static vista_tx *change(uint64_t value)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    OK(vista_set_range(tx, word, sizeof *word));
    *word = value;
    return tx;
}

static const unsigned classes[] = {VISTA_CLASS_KILL, VISTA_CLASS_LINE, VISTA_CLASS_EADR};

START_TEST(followed)
{
    map(classes[_i], 0);
    follow(&first, &all);
    follow(&second, &observer);
    OK(vista_end_transaction(change(5), VISTA_NO_FLUSH));
    ck_assert_uint_eq(first.mode, VISTA_NO_FLUSH);
    ck_assert_uint_eq(first.seen, 5);
    told(&first, "pcw");
    told(&second, "c");
    OK(vista_abort_transaction(change(6)));
    ck_assert_uint_eq(*word, 5);
    told(&first, "a");
    told(&second, "a");
    OK(vista_flush(segment));
    told(&first, "f");
    OK(vista_end_transaction(vista_begin_transaction(segment, 0), 0));
    OK(vista_abort_transaction(vista_begin_transaction(segment, 0)));
    told(&first, ""); /* of nothing, nothing is said */
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(refused)
{
    vista_tx *tx;

    map(classes[_i], 0);
    follow(&first, &all);
    OK(vista_end_transaction(change(5), 0));
    first.error = EIO;
    tx = change(6);
    errno = 0;
    ck_assert_int_eq(vista_end_transaction(tx, 0), -1);
    ck_assert_int_eq(errno, EIO);
    ck_assert_uint_eq(*word, 5);
    told(&first, "pcwpa");
    FAILS(vista_abort_transaction(tx), EINVAL, "has ended");
    first.error = 0;
    OK(vista_end_transaction(change(7), 0));
    ck_assert_uint_eq(*word, 7);
    OK(vista_unmap(segment));
}
END_TEST

/* Not to be undone any more: the handle has ended all the same. */
START_TEST(not_durable)
{
    vista_tx *tx;

    map(classes[_i], 0);
    follow(&first, &failing);
    tx = change(6);
    errno = 0;
    ck_assert_int_eq(vista_end_transaction(tx, 0), -1);
    ck_assert_int_eq(errno, EIO);
    ck_assert_uint_eq(*word, 6);
    FAILS(vista_abort_transaction(tx), EINVAL, "has ended");
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(behind_automatic_ranges)
{
    vista_tx *tx;

    map(VISTA_CLASS_KILL, VISTA_AUTO_RANGE);
    follow(&first, &all);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    *word = 8;
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(first.seen, 8);
    told(&first, "pcw");
    OK(vista_unmap(segment));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *test = test_case(suite, "followers", 2);

    tcase_add_loop_test(test, followed, 0, 3);
    tcase_add_loop_test(test, refused, 0, 3);
    tcase_add_loop_test(test, not_durable, 0, 3);
    tcase_add_test(test, behind_automatic_ranges);
    return test_run(suite);
}
