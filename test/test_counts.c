/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a transaction costs, counted and not timed.
 *
 * Kill-safe: instructions, by single steps of a warm loop; none of them a system
 * call, locked, a fence or a flush; between two segments few more than within one.  Cache-line class: fences and flushed lines, by
 * operations put in the place of libpmem's, which also keep what a power failure
 * would leave: at the end of a call that must be all that was stored.
 */
#include "support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

#include "media/persist.h"

#define MIB ((size_t)1 << 20)

/* ---- Debit-credit, in small -------------------------------------------- */

#define TELLERS 10
#define ACCOUNTS 10000
#define HISTORY 4096

struct account {
    int64_t balance;
    char filler[92];
} __attribute__((packed));

struct history {
    uint32_t account, teller, branch;
    int64_t delta;
    char filler[30];
} __attribute__((packed));

_Static_assert(sizeof(struct account) == 100 && sizeof(struct history) == 50, "as TPC-B says");

struct bank {
    struct account branch, tellers[TELLERS], accounts[ACCOUNTS];
    uint64_t rows;
    struct history history[HISTORY];
};

static vista_segment *segment;
static struct bank *bank;
static struct test_random state;

static void open_bank(unsigned class)
{
    OK(vista_init(&(struct vista_options){.force_class = class}));
    segment = vista_map(test_path("bank"), 4 * MIB, VISTA_CREATE, NULL);
    SOME(segment);
    bank = vista_root(segment, sizeof *bank);
    SOME(bank);
    state.state = test_seed() | 1;
}

static uint64_t next(void)
{
    state.state ^= state.state << 13;
    state.state ^= state.state >> 7;
    state.state ^= state.state << 17;
    return state.state;
}

struct choice {
    struct account *account, *teller;
    struct history *row;
    int64_t delta;
};

static inline struct choice choose(void)
{
    return (struct choice){&bank->accounts[next() % ACCOUNTS], &bank->tellers[next() % TELLERS],
                           &bank->history[bank->rows % HISTORY],
                           (int64_t)(next() % 1999999) - 999999};
}

static inline void change(struct choice c)
{
    c.account->balance += c.delta;
    c.teller->balance += c.delta;
    bank->branch.balance += c.delta;
    *c.row = (struct history){(uint32_t)(c.account - bank->accounts),
                              (uint32_t)(c.teller - bank->tellers),
                              0,
                              c.delta,
                              {0}};
    bank->rows++;
}

static __attribute__((noinline)) void debit_credit(void)
{
    const struct choice c = choose();
    vista_tx *tx = vista_begin_transaction(segment, 0);

    vista_set_range(tx, &c.account->balance, sizeof c.account->balance);
    vista_set_range(tx, &c.teller->balance, sizeof c.teller->balance);
    vista_set_range(tx, &bank->branch.balance, sizeof bank->branch.balance);
    vista_set_range(tx, c.row, sizeof *c.row);
    vista_set_range(tx, &bank->rows, sizeof bank->rows);
    change(c);
    vista_end_transaction(tx, 0);
}

static void debit_credit_at_once(void)
{
    const struct choice c = choose();
    struct iovec ranges[] = {{&c.account->balance, 8},
                             {&c.teller->balance, 8},
                             {&bank->branch.balance, 8},
                             {c.row, sizeof *c.row},
                             {&bank->rows, 8}};
    vista_tx *tx = vista_begin_transaction(segment, 0);

    vista_set_ranges(tx, ranges, 5);
    change(c);
    vista_end_transaction(tx, 0);
}

static __attribute__((noinline)) void one_range(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    vista_set_range(tx, &bank->branch.balance, 8);
    bank->branch.balance++;
    vista_end_transaction(tx, 0);
}

/* The compiler does not know how long the range is. */
static volatile size_t any_length;
static const size_t any_lengths[] = {1, 100, 256};

static __attribute__((noinline)) void any_range(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    vista_set_range(tx, bank->history, any_length);
    vista_end_transaction(tx, 0);
}

static __attribute__((noinline)) void no_range(void)
{
    vista_end_transaction(vista_begin_transaction(segment, 0), 0);
}

static __attribute__((noinline)) void no_transaction(void)
{
    __asm__ __volatile__("");
}

/* A block in, a block out: the oldest of KEPT.  Nothing of Check, which locks. */
#define KEPT 300
static void *kept[KEPT];
static unsigned turn;

static __attribute__((noinline)) void malloc_and_free(void)
{
    void **const block = &kept[turn++ % KEPT];
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (vista_free(tx, *block) != 0 || (*block = vista_malloc(tx, 64)) == NULL)
        abort();
    vista_end_transaction(tx, 0);
}

/* Blocks that the transaction itself has allocated are freed, and all is aborted. */
static __attribute__((noinline)) void malloc_and_abort(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    void *block = vista_malloc(tx, 64);

    if (vista_free(tx, block) != 0 || vista_malloc(tx, 64) == NULL || vista_malloc(tx, 200) == NULL)
        abort();
    vista_abort_transaction(tx);
}

/* From one account to another, which may be in another segment. */
static bool apart;
static uint64_t *from, *to;

static void open_accounts(void)
{
    const struct vista_map_options options = {.log = segment};

    from = &bank->rows;
    to = (void *)&bank->branch;
    if (apart)
        to = vista_root(vista_map(test_path("other"), MIB, VISTA_CREATE, &options), 8);
    SOME(to);
}

static __attribute__((noinline)) void transfer(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    vista_set_range(tx, from, 8);
    vista_set_range(tx, to, 8);
    *from -= 1;
    *to += 1;
    vista_end_transaction(tx, 0);
}

static __attribute__((noinline)) void transfer_at_once(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    const struct iovec both[] = {{from, 8}, {to, 8}};

    vista_set_ranges(tx, both, 2);
    *from -= 1;
    *to += 1;
    vista_end_transaction(tx, 0);
}

/* ---- Instructions ------------------------------------------------------ */

#define WARM 1000
#define COUNTED 20

static __attribute__((noinline)) void mark(void)
{
    __asm__ __volatile__("" ::: "memory");
}

static void (*counted)(void);

static void run_counted(void *argument)
{
    (void)argument;
    open_bank(VISTA_CLASS_KILL);
    open_accounts();
    for (int i = 0; i < WARM; i++)
        counted();
    test_stop();
    for (int i = 0; i < COUNTED; i++) {
        mark();
        counted();
    }
    mark();
    test_stop();
}

/* What is not to be among them; NULL: nothing wrong with this instruction. */
static const char *forbidden(const unsigned char *code)
{
    bool lock = false;

    for (;; code++) {
        const bool prefix = *code == 0x66 || *code == 0x67 || *code == 0xf2 || *code == 0xf3 ||
                            *code == 0x2e || *code == 0x36 || *code == 0x3e || *code == 0x26 ||
                            *code == 0x64 || *code == 0x65 || (*code & 0xf0) == 0x40;

        lock |= *code == 0xf0;
        if (!prefix && *code != 0xf0)
            break;
    }
    if (lock)
        return "locked";
    if ((code[0] == 0x86 || code[0] == 0x87) && code[1] < 0xc0)
        return "an exchange with memory, which locks";
    if (code[0] == 0xcd || (code[0] == 0x0f && (code[1] == 0x05 || code[1] == 0x34)))
        return "a system call";
    if (code[0] == 0x0f && code[1] == 0xae && (code[2] >> 3 & 7) >= 5)
        return "a fence or a flush";
    return NULL;
}

/* The dearest of the loop's rounds; fails at the first forbidden instruction. */
static uint64_t count(void (*what)(void))
{
    uint64_t steps = 0, most = 0, rounds = 0;
    pid_t child;

    counted = what;
    child = test_trace(run_counted, NULL);
    if (child < 0)
        return 0;
    while (test_step(child)) {
        const uintptr_t at = test_where(child);
        unsigned char code[16];
        const char *wrong;

        for (size_t i = 0; i < 16; i += 8) {
            const long word = ptrace(PTRACE_PEEKTEXT, child, at + i, NULL);

            memcpy(code + i, &word, 8);
        }
        if (at == (uintptr_t)mark) {
            if (rounds++ > 0 && steps > most)
                most = steps;
            steps = 0;
        }
        steps++;
        wrong = forbidden(code);
        ck_assert_msg(wrong == NULL || rounds == 0 || rounds > COUNTED,
                      "the instruction at %p is %s: %02x %02x %02x %02x", (void *)at, wrong,
                      code[0], code[1], code[2], code[3]);
    }
    test_trace_end(child);
    ck_assert_uint_eq(rounds, COUNTED + 1);
    return most;
}

static bool can_count(void)
{
    const char *why = test_is_sanitized()    ? "built with a sanitizer"
                      : !test_is_optimized() ? "built without optimization"
                      : test_is_valgrind()   ? "under Valgrind"
                                             : NULL;

    if (why != NULL)
        test_skip("instructions", why);
    return why == NULL;
}

START_TEST(instructions)
{
    uint64_t loop, none, one, two, five, together;

    if (!can_count())
        return;
    loop = count(no_transaction);
    if (loop == 0) {
        test_skip("instructions", "tracing is not allowed here");
        return;
    }
    none = count(no_range) - loop;
    one = count(one_range) - loop;
    five = count(debit_credit) - loop;
    together = count(debit_credit_at_once) - loop;
    printf("instructions: an empty transaction %llu, of one range %llu, debit-credit %llu, its "
           "ranges at once %llu\n",
           (unsigned long long)none, (unsigned long long)one, (unsigned long long)five,
           (unsigned long long)together);
    ck_assert_uint_le(none, 80);
    ck_assert_uint_le(one, 100);
    ck_assert_uint_le(five, 350);
    ck_assert_uint_le(together, 210);
    for (size_t i = 0; i < sizeof any_lengths / sizeof *any_lengths; i++) {
        any_length = any_lengths[i];
        one = count(any_range) - loop;
        printf("instructions: one range of %zu bytes, a length not known before, %llu\n",
               any_length, (unsigned long long)one);
        ck_assert_uint_le(one, 110);
    }
    one = count(transfer) - loop;
    apart = true;
    two = count(transfer) - loop;
    together = count(transfer_at_once) - loop;
    apart = false;
    printf("instructions: a transfer within a segment %llu, between two %llu, their ranges at "
           "once %llu\n",
           (unsigned long long)one, (unsigned long long)two, (unsigned long long)together);
    ck_assert_uint_le(10 * two, 13 * one);
    ck_assert_uint_le(10 * together, 13 * one);
    one = count(malloc_and_free) - loop;
    two = count(malloc_and_abort) - loop;
    printf("instructions: a block allocated and one freed %llu, allocations aborted %llu\n",
           (unsigned long long)one, (unsigned long long)two);
    ck_assert_uint_le(one, 650);
    ck_assert_uint_le(two, 3000);
}
END_TEST

/* ---- Fences and flushes ------------------------------------------------ */

#define LINES 10000

static struct {
    uint64_t fences, syncs;
    size_t lines, pending; /* flushed; of these, since the last fence */
    uintptr_t line[LINES];
    unsigned char content[LINES][VI_LINE];
    unsigned char *durable; /* the file as a power failure would leave it */
    size_t length;
    struct {
        uintptr_t from, to;
        uint64_t offset;
    } mapped[8];
    size_t mappings;
} memory;

static void record_flush(const void *address, size_t length)
{
    const uintptr_t end = (uintptr_t)address + length;

    for (uintptr_t at = (uintptr_t)address & ~(uintptr_t)(VI_LINE - 1); at < end; at += VI_LINE) {
        if (memory.lines == LINES) /* outside what is measured */
            memory.lines = memory.pending = 0;
        memory.line[memory.lines] = at;
        memcpy(memory.content[memory.lines++], (const void *)at, VI_LINE);
    }
}

static uint64_t offset_of(uintptr_t at)
{
    for (size_t i = 0; i < memory.mappings; i++)
        if (at >= memory.mapped[i].from && at < memory.mapped[i].to)
            return memory.mapped[i].offset + (at - memory.mapped[i].from);
    ck_abort_msg("flushed %p, which is not the segment's", (void *)at);
}

static void record_fence(void)
{
    memory.fences++;
    for (; memory.pending < memory.lines; memory.pending++)
        if (memory.durable != NULL)
            memcpy(memory.durable + offset_of(memory.line[memory.pending]),
                   memory.content[memory.pending], VI_LINE);
}

static void record_write(uint64_t *to, const uint64_t *from, size_t length)
{
    memcpy(to, from, length);
    record_flush(to, length);
}

static int record_sync(int fd)
{
    (void)fd;
    memory.syncs++;
    return 0;
}

static const struct vi_persist_ops recorder = {record_flush, record_fence, record_write,
                                               record_sync};

/* Where the segment's file is mapped. */
static void find_mappings(const char *path)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];

    memory.mappings = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long long from, to, offset;

        if (strstr(line, path) == NULL ||
            sscanf(line, "%llx-%llx %*s %llx", &from, &to, &offset) != 3)
            continue;
        ck_assert_uint_lt(memory.mappings, 8);
        memory.mapped[memory.mappings].from = from;
        memory.mapped[memory.mappings].to = to;
        memory.mapped[memory.mappings++].offset = offset;
    }
    fclose(maps);
    ck_assert_uint_ge(memory.mappings, 2);
}

/* Calls `take` with each page of the file that holds data. */
static void each_page(int fd, void (*take)(off_t at, const unsigned char *page))
{
    unsigned char page[VI_PAGE];
    off_t at = 0, end;

    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
        end = lseek(fd, at, SEEK_HOLE);
        for (; at < end; at += VI_PAGE) {
            if (pread(fd, page, VI_PAGE, at) != VI_PAGE)
                ck_abort_msg("cannot read the file");
            take(at, page);
        }
    }
}

static void keep_page(off_t at, const unsigned char *page)
{
    memcpy(memory.durable + at, page, VI_PAGE);
}

static void compare_page(off_t at, const unsigned char *page)
{
    for (size_t i = 0; i < VI_PAGE; i += VI_LINE)
        if (memcmp(memory.durable + at + i, page + i, VI_LINE) != 0)
            ck_abort_msg("the line at offset %llx of the file was stored to and is not durable",
                         (unsigned long long)at + i);
}

struct cost {
    uint64_t fences;
    size_t lines, repeated;
};

/* Runs it: what it costs.  What it stored must then be durable. */
static struct cost measure(void (*what)(void))
{
    struct cost cost = {0};
    struct vista_info info;
    struct stat st;

    OK(vista_info(segment, &info));
    ck_assert_int_eq(fstat(info.fd, &st), 0);
    find_mappings(info.path);
    memory.durable = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(memory.durable, MAP_FAILED);
    each_page(info.fd, keep_page);
    memory.fences = memory.lines = memory.pending = 0;
    what();
    cost.fences = memory.fences;
    cost.lines = memory.lines;
    for (size_t i = 0; i < memory.lines; i++)
        for (size_t j = 0; j < i; j++)
            cost.repeated += memory.line[i] == memory.line[j];
    ck_assert_msg(memory.pending == memory.lines, "flushed and not fenced");
    each_page(info.fd, compare_page);
    munmap(memory.durable, (size_t)st.st_size);
    memory.durable = NULL;
    return cost;
}

/* In the steady state; not the first time. */
static void expect_cost(const char *name, void (*what)(void), uint64_t fences, size_t repeated)
{
    struct cost cost;

    what();
    what();
    for (int i = 0; i < 3; i++) {
        cost = measure(what);
        ck_assert_msg(cost.fences <= fences, "%s: %llu fences, not %llu", name,
                      (unsigned long long)cost.fences, (unsigned long long)fences);
        ck_assert_msg(cost.repeated <= repeated, "%s: %zu lines flushed more than once", name,
                      cost.repeated);
    }
    printf("%s: %llu fences, %zu lines, %zu of them twice\n", name, (unsigned long long)cost.fences,
           cost.lines, cost.repeated);
}

static void five_calls(void)
{
    const struct choice c = choose();
    vista_tx *tx = vista_begin_transaction(segment, 0);

    OK(vista_set_range(tx, &c.account->balance, 8));
    OK(vista_set_range(tx, &c.teller->balance, 8));
    OK(vista_set_range(tx, &bank->branch.balance, 8));
    OK(vista_set_range(tx, c.row, sizeof *c.row));
    OK(vista_set_range(tx, &bank->rows, 8));
    change(c);
    OK(vista_end_transaction(tx, 0));
}

static void no_range_abort(void)
{
    OK(vista_abort_transaction(vista_begin_transaction(segment, 0)));
}

static void overlapping(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    struct iovec ranges[10];

    for (size_t i = 0; i < 10; i++)
        ranges[i] = (struct iovec){(char *)bank->accounts + 20 * i, 300};
    OK(vista_set_ranges(tx, ranges, 10));
    memset(bank->accounts, (int)next(), 400);
    OK(vista_end_transaction(tx, 0));
}

static void long_range(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    OK(vista_set_range(tx, bank->accounts, 8000));
    memset(bank->accounts, (int)next(), 8000);
    OK(vista_end_transaction(tx, 0));
}

static void ranges_abort(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    OK(vista_set_range(tx, bank->accounts, 800));
    memset(bank->accounts, (int)next(), 800);
    OK(vista_set_range(tx, bank->tellers, 8));
    bank->tellers[0].balance++;
    OK(vista_abort_transaction(tx));
}

static void *blocks[1000];
static size_t held;

static void allocate_only(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    blocks[held] = vista_malloc(tx, 64);
    SOME(blocks[held]);
    memset(blocks[held++], 1, 64);
    OK(vista_end_transaction(tx, 0));
}

static void allocate_and_declare(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    blocks[held] = vista_malloc(tx, 64);
    SOME(blocks[held]);
    memset(blocks[held++], 1, 64);
    OK(vista_set_range(tx, &bank->rows, 8));
    bank->rows++;
    OK(vista_end_transaction(tx, 0));
}

static void free_only(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    OK(vista_free(tx, blocks[--held]));
    OK(vista_end_transaction(tx, 0));
}

static void free_and_declare(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    OK(vista_free(tx, blocks[--held]));
    OK(vista_set_range(tx, &bank->rows, 8));
    bank->rows++;
    OK(vista_end_transaction(tx, 0));
}

static void both_and_declare(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    OK(vista_free(tx, blocks[--held]));
    blocks[held] = vista_malloc(tx, 64);
    SOME(blocks[held]);
    memset(blocks[held++], 2, 64);
    OK(vista_set_range(tx, &bank->rows, 8));
    bank->rows++;
    OK(vista_end_transaction(tx, 0));
}

static void allocate_abort(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(vista_malloc(tx, 64));
    OK(vista_set_range(tx, &bank->rows, 8));
    bank->rows++;
    OK(vista_abort_transaction(tx));
}

static void large_allocate(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    blocks[held] = vista_malloc(tx, 10000);
    SOME(blocks[held]);
    memset(blocks[held++], 3, 10000);
    OK(vista_set_range(tx, &bank->rows, 8));
    bank->rows++;
    OK(vista_end_transaction(tx, 0));
}

START_TEST(fences_of_ranges)
{
    vi_persist_test_ops = &recorder;
    open_bank(_i);
    expect_cost("one range", one_range, 3, 0);
    ck_assert_uint_eq(measure(one_range).fences, 3);
    ck_assert_uint_eq(measure(one_range).lines, 3); /* the record, the data, the slot's word */
    expect_cost("debit-credit at once", debit_credit_at_once, 3, 0);
    expect_cost("debit-credit in five calls", five_calls, 7, 0);
    expect_cost("nothing", no_range, 0, 0);
    ck_assert_uint_eq(measure(no_range).lines, 0);
    expect_cost("nothing, aborted", no_range_abort, 0, 0);
    expect_cost("overlapping ranges", overlapping, 3, 0);
    expect_cost("a long range", long_range, 3, 0);
    expect_cost("an abort", ranges_abort, 4, 0);
    OK(vista_unmap(segment));
}
END_TEST

/* Frees store the slot's word and a block's mark twice each. */
START_TEST(fences_of_the_heap)
{
    vi_persist_test_ops = &recorder;
    open_bank(_i);
    held = 0;
    expect_cost("an allocation", allocate_only, 3, 0);
    expect_cost("an allocation and a range", allocate_and_declare, 3, 0);
    expect_cost("a free", free_only, 5, 1);
    for (int i = 0; i < 10; i++)
        allocate_only();
    expect_cost("a free and a range", free_and_declare, 5, 1);
    expect_cost("both and a range", both_and_declare, 5, 2);
    expect_cost("an allocation, aborted", allocate_abort, 4, 0);
    expect_cost("a large allocation and a range", large_allocate, 4, 0); /* it is a span */
    OK(vista_unmap(segment));
}
END_TEST

/* In the kill-safe class none is called. */
START_TEST(kill_safe_flushes_nothing)
{
    vi_persist_test_ops = &recorder;
    open_bank(VISTA_CLASS_KILL);
    held = 0;
    memory.fences = memory.lines = memory.pending = memory.syncs = 0;
    debit_credit();
    five_calls();
    debit_credit_at_once();
    allocate_and_declare();
    free_and_declare();
    ranges_abort();
    ck_assert_uint_eq(memory.fences + memory.lines + memory.syncs, 0);
    OK(vista_unmap(segment));
    ck_assert_uint_gt(memory.syncs, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("counts");
    TCase *tests = test_case(suite, "counts", 40);

    tcase_add_test(tests, instructions);
    tcase_add_loop_test(tests, fences_of_ranges, VISTA_CLASS_LINE, VISTA_CLASS_EADR + 1);
    tcase_add_loop_test(tests, fences_of_the_heap, VISTA_CLASS_LINE, VISTA_CLASS_EADR + 1);
    tcase_add_test(tests, kill_safe_flushes_nothing);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
