/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-trace: the theorem, beside a reading of it word by word on small random histories; traces that
 * are written here, checked and drawn by the command.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "support.h"
#include "trace/save_work.h"
#include "trace/trace_format.h"

/* ---- The theorem, word by word ------------------------------------------------- */

#define MOST_EVENTS 18
#define MOST_PROCESSES 4
#define HISTORIES 1000000

/* Events in an order in which they may have happened; sets of events are bits. */
struct computation {
    struct vi_event events[MOST_EVENTS];
    uint32_t before[MOST_EVENTS]; /* of the same process and not forgotten: the last */
    uint32_t sends[MOST_EVENTS];  /* of a receipt: the events that it received from */
    uint32_t line[MOST_EVENTS];   /* all those of the same process */
    uint32_t past[MOST_EVENTS];
    uint32_t count, processes;
};

#define NONE UINT32_MAX

static uint32_t bit(uint32_t event)
{
    return (uint32_t)1 << event;
}

/* The commits of a round, which stand side by side, happen as one. */
static void unite(struct computation *c, uint32_t event)
{
    uint32_t first = event, all = 0;

    if (c->events[event].round == 0)
        return;
    while (first > 0 && c->events[first - 1].round == c->events[event].round)
        first--;
    for (uint32_t i = first; i <= event; i++)
        all |= c->past[i] | bit(i);
    for (uint32_t i = first; i <= event; i++)
        c->past[i] = all & ~bit(i);
}

static void look_back(struct computation *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        const uint32_t before = c->before[i];

        c->line[i] = before == NONE ? 0 : c->line[before] | bit(before);
        c->past[i] = before == NONE ? 0 : c->past[before] | bit(before);
        for (uint32_t s = 0; s < i; s++)
            if (c->sends[i] & bit(s))
                c->past[i] |= c->past[s] | bit(s);
        unite(c, i);
    }
}

/* "... process p executes a commit event that happens before, or is atomic with, e, and behind the
 * non-deterministic event." */
static bool is_saved(const struct computation *c, uint32_t undetermined, uint32_t e)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (c->events[i].bits & VI_EVENT_COMMIT && c->line[i] & bit(undetermined) &&
            (i == e || c->past[e] & bit(i)))
            return true;
    return false;
}

static uint32_t causes(const struct computation *c, uint32_t e)
{
    uint32_t found = 0;

    if (!(c->events[e].bits & (VI_EVENT_VISIBLE | VI_EVENT_COMMIT)))
        return 0;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->past[e] & bit(i) && c->events[i].bits & VI_EVENT_UNDETERMINED && !is_saved(c, i, e))
            found |= bit(i);
    return found;
}

/* ---- Random histories ------------------------------------------------------------ */

struct drawing {
    struct computation *c;
    struct test_random *random;
    uint32_t last[MOST_PROCESSES];   /* of each process */
    uint32_t commit[MOST_PROCESSES]; /* the last */
    uint32_t commits[MOST_PROCESSES];
    uint32_t rounds;
};

static void add(struct drawing *d, uint32_t process, uint32_t bits)
{
    struct computation *c = d->c;

    c->before[c->count] = d->last[process];
    c->sends[c->count] = 0;
    c->events[c->count] = (struct vi_event){.process = process, .bits = bits};
    d->last[process] = c->count++;
}

static void add_commit(struct drawing *d, uint32_t process, uint32_t round)
{
    add(d, process, VI_EVENT_COMMIT);
    d->commit[process] = d->last[process];
    d->c->events[d->last[process]].checkpoint = ++d->commits[process];
    d->c->events[d->last[process]].round = round;
}

static void add_round(struct drawing *d)
{
    d->rounds++;
    for (uint32_t p = 0; p < d->c->processes && d->c->count < MOST_EVENTS; p++)
        if (test_below(d->random, 3) != 0)
            add_commit(d, p, d->rounds);
}

static void add_failure(struct drawing *d, uint32_t process)
{
    d->last[process] = d->commit[process];
    add(d, process, VI_EVENT_BACK);
    d->c->events[d->last[process]].checkpoint = d->commits[process];
}

static void add_receipt(struct drawing *d, uint32_t process)
{
    static const uint32_t also[] = {0, VI_EVENT_UNDETERMINED, VI_EVENT_LOGGED};
    uint32_t sends = 0;

    for (uint32_t i = 0; i < d->c->count; i++)
        if (d->c->events[i].bits & VI_EVENT_SEND && test_below(d->random, 2) == 0)
            sends |= bit(i);
    add(d, process, VI_EVENT_RECEIVE | also[test_below(d->random, 3)]);
    d->c->sends[d->last[process]] = sends;
}

static void draw_history(struct computation *c, struct test_random *random)
{
    static const uint32_t plain[] = {
        VI_EVENT_UNDETERMINED, VI_EVENT_UNDETERMINED,
        VI_EVENT_LOGGED,       VI_EVENT_VISIBLE,
        VI_EVENT_SEND,         VI_EVENT_VISIBLE | VI_EVENT_UNDETERMINED,
        VI_EVENT_SEND,         VI_EVENT_VISIBLE | VI_EVENT_SEND};
    const uint32_t count = 3 + (uint32_t)test_below(random, MOST_EVENTS - 2);
    struct drawing d = {.c = c, .random = random};

    c->count = 0;
    c->processes = 1 + (uint32_t)test_below(random, MOST_PROCESSES);
    for (uint32_t p = 0; p < MOST_PROCESSES; p++)
        d.last[p] = d.commit[p] = NONE;
    while (c->count < count) {
        const uint32_t process = (uint32_t)test_below(random, c->processes);
        const uint64_t what = test_below(random, 16);

        if (what < 8)
            add(&d, process, plain[what]);
        else if (what < 11)
            add_receipt(&d, process);
        else if (what < 14)
            add_commit(&d, process, 0);
        else if (what == 14)
            add_failure(&d, process);
        else
            add_round(&d);
    }
    look_back(c);
}

/* ---- Both ------------------------------------------------------------------------ */

struct found {
    uint32_t original[MOST_EVENTS]; /* of the history's events */
    uint32_t causes[MOST_EVENTS];   /* of the computation's, bits */
    bool impossible;
};

static void note(void *argument, uint32_t event, uint32_t cause)
{
    struct found *f = argument;

    if (event == cause)
        f->impossible = true;
    f->causes[f->original[event]] |= bit(f->original[cause]);
}

/* As traces are: the events of one process behind those of another. */
static void sort_out(const struct computation *c, struct vi_history *h, struct found *f)
{
    uint32_t place[MOST_EVENTS];

    h->count = h->message_count = 0;
    h->processes = c->processes;
    for (uint32_t p = c->processes; p-- > 0;)
        for (uint32_t i = 0; i < c->count; i++)
            if (c->events[i].process == p) {
                place[i] = h->count;
                f->original[h->count] = i;
                h->events[h->count++] = c->events[i];
            }
    for (uint32_t i = 0; i < h->count; i++)
        for (uint32_t s = 0; s < c->count; s++)
            if (c->sends[f->original[i]] & bit(s))
                h->messages[h->message_count++] = (struct vi_message){place[s], i};
}

/* No assertion of Check's, each of which writes to a pipe. */
static bool is_in_order(const struct vi_history *h, const uint32_t *order)
{
    uint32_t place[MOST_EVENTS] = {0}, seen = 0;

    for (uint32_t i = 0; i < h->count; i++) {
        place[order[i]] = i;
        seen |= bit(order[i]);
    }
    for (uint32_t m = 0; m < h->message_count; m++)
        if (place[h->messages[m].send] >= place[h->messages[m].receive])
            return false;
    return seen == bit(h->count) - 1;
}

static void print_history(const struct computation *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        printf("%u: process %u bits %x before %d sends %x round %u, unsaved %x\n", i,
               c->events[i].process, c->events[i].bits, (int)c->before[i], c->sends[i],
               c->events[i].round, causes(c, i));
}

static bool compare(const struct computation *c)
{
    static struct vi_event events[MOST_EVENTS];
    static struct vi_message messages[MOST_EVENTS * MOST_EVENTS];
    struct vi_history h = {.events = events, .messages = messages};
    struct found f = {0};
    uint32_t order[MOST_EVENTS];
    enum vi_verdict verdict;
    bool broken = false;

    sort_out(c, &h, &f);
    verdict = vi_save_work(&h, note, &f, order);
    for (uint32_t i = 0; i < c->count; i++) {
        const uint32_t expected = causes(c, i);

        broken |= expected != 0;
        if ((f.causes[i] != 0) != (expected != 0) || f.causes[i] & ~expected) {
            print_history(c);
            ck_abort_msg("event %u: %x instead of one of %x", i, f.causes[i], expected);
        }
    }
    if (f.impossible || verdict != (broken ? VI_WORK_UNSAVED : VI_WORK_SAVED) ||
        !is_in_order(&h, order)) {
        print_history(c);
        ck_abort_msg("verdict %d", verdict);
    }
    return broken;
}

START_TEST(theorem_is_read_as_it_is_written)
{
    struct test_random random = test_random_new(1);
    const unsigned histories = test_times(HISTORIES);
    unsigned broken = 0;

    for (unsigned i = 0; i < histories; i++) {
        struct computation c;

        draw_history(&c, &random);
        broken += compare(&c);
    }
    printf("%u histories, %u of them with work that was not saved: no difference\n", histories,
           broken);
    ck_assert_uint_gt(broken, histories / 10);
    ck_assert_uint_lt(broken, histories / 10 * 9 + 1);
}
END_TEST

static void note_one(void *argument, uint32_t event, uint32_t cause)
{
    ck_assert_uint_eq(event, cause);
    *(uint32_t *)argument = event;
}

START_TEST(impossible_histories_are_told)
{
    struct vi_event back[] = {
        {0, VI_EVENT_COMMIT, 1, 0}, {0, VI_EVENT_COMMIT, 2, 0}, {0, VI_EVENT_BACK, 1, 0}};
    struct vi_event circle[] = {{0, VI_EVENT_RECEIVE, 0, 0},
                                {0, VI_EVENT_SEND, 0, 0},
                                {1, VI_EVENT_RECEIVE, 0, 0},
                                {1, VI_EVENT_SEND, 0, 0}};
    struct vi_message messages[] = {{3, 0}, {1, 2}};
    struct vi_history h = {.events = back, .count = 3, .processes = 1};
    uint32_t event = 99;

    ck_assert_int_eq(vi_save_work(&h, note_one, &event, NULL), VI_WORK_IMPOSSIBLE);
    ck_assert_uint_eq(event, 2);
    h = (struct vi_history){circle, 4, messages, 2, 2};
    ck_assert_int_eq(vi_save_work(&h, note_one, &event, NULL), VI_WORK_IMPOSSIBLE);
    ck_assert_uint_eq(event, 0);
}
END_TEST

/* ---- The command ------------------------------------------------------------------ */

static struct vi_trace_record records[64];
static uint32_t record_count, vpid;

static void begin(uint32_t process)
{
    record_count = 0;
    vpid = process;
}

static void put(struct vi_trace_record record)
{
    record.sequence = record_count;
    record.vpid = vpid;
    records[record_count++] = record;
}

static void put_kind(enum vi_trace_kind kind, uint64_t message)
{
    put((struct vi_trace_record){.kind = (uint16_t)kind, .message = message});
}

static void put_call(long number, enum vi_trace_object object, int64_t result)
{
    put((struct vi_trace_record){.kind = VI_TRACE_CALL,
                                 .number = (uint16_t)number,
                                 .descriptor = 3,
                                 .object = (uint8_t)object,
                                 .result = result});
}

static void put_visible(long number)
{
    put((struct vi_trace_record){.kind = VI_TRACE_VISIBLE,
                                 .number = (uint16_t)number,
                                 .descriptor = 1,
                                 .object = VI_TRACE_TERMINAL,
                                 .flags = VI_TRACE_LOGGED,
                                 .result = 5});
}

static void put_part(enum vi_trace_kind kind, uint64_t channel, int64_t position)
{
    put((struct vi_trace_record){.kind = (uint16_t)kind, .message = channel, .result = position});
}

static void save(const char *name)
{
    FILE *file = fopen(name, "we");

    SOME(file);
    put((struct vi_trace_record){.kind = VI_TRACE_NONE}); /* as vista-run leaves it, larger */
    ck_assert_uint_eq(fwrite(records, sizeof *records, record_count, file), record_count);
    ck_assert_int_eq(fclose(file), 0);
}

static char output[16384];

/* Runs it in the folder of the test; its exit status, and what it printed. */
static int trace_command(const char *arguments)
{
    char command[4096];
    FILE *pipe;
    size_t length;
    int status;

    snprintf(command, sizeof command, VISTA_TRACE " %s 2>&1", arguments);
    pipe = popen(command, "re");
    SOME(pipe);
    length = fread(output, 1, sizeof output - 1, pipe);
    output[length] = '\0';
    status = pclose(pipe);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define SAYS(text) \
    ck_assert_msg(strstr(output, text) != NULL, "not said: %s\nbut: %s", text, output)

static void good_session(void)
{
    begin(7);
    put_kind(VI_TRACE_START, 0);
    put_kind(VI_TRACE_COMMIT, 1);
    put_call(SYS_brk, VI_TRACE_NOTHING, 0);
    put_call(SYS_read, VI_TRACE_TERMINAL, 3);
    put((struct vi_trace_record){.kind = VI_TRACE_SIGNAL, .number = 28});
    put_kind(VI_TRACE_COMMIT, 2);
    put_visible(SYS_write);
    put_call(SYS_write, VI_TRACE_OWN, 3);
    put_kind(VI_TRACE_RESUME, 3); /* the commit's record was lost with a kill */
    put_visible(SYS_write);
}

START_TEST(good_trace_passes)
{
    good_session();
    save("good");
    ck_assert_int_eq(trace_command("check good"), 0);
    SAYS("1 process, 11 events: 2 visible, 2 non-deterministic, 2 logged, 3 commits, 0 messages, 1 "
         "failure: all work was saved");
}
END_TEST

START_TEST(recording_may_begin_late)
{
    begin(7);
    put_kind(VI_TRACE_RESUME, 9);
    put_visible(SYS_write);
    put_kind(VI_TRACE_RESUME, 9);
    put_call(SYS_read, VI_TRACE_TERMINAL, 3);
    put_kind(VI_TRACE_COMMIT, 10);
    put_visible(SYS_write);
    save("late");
    ck_assert_int_eq(trace_command("check late"), 0);
    SAYS("2 commits, 0 messages, 1 failure: all work was saved");
}
END_TEST

/* Nothing is said of what was not recorded. */
START_TEST(missing_records_are_told)
{
    good_session();
    put_kind(VI_TRACE_RESUME, 5);
    save("gap");
    ck_assert_int_eq(trace_command("check gap"), 2);
    SAYS("gap: records are missing");
    good_session();
    save("cut");
    ck_assert_int_eq(truncate("cut", 10 * (off_t)sizeof *records), 0);
    ck_assert_int_eq(trace_command("check cut"), 2);
    SAYS("cut: its end is missing");
    ck_assert_int_eq(truncate("cut", 9 * (off_t)sizeof *records + 7), 0);
    ck_assert_int_eq(trace_command("show cut"), 2);
}
END_TEST

/* A call that the runtime did not take for what it is. */
START_TEST(breaches_are_told_in_words)
{
    good_session();
    put_call(SYS_getrandom, VI_TRACE_NOTHING, 8);
    put_visible(SYS_write);
    save("bad");
    ck_assert_int_eq(trace_command("check bad"), 1);
    SAYS("write of a terminal (descriptor 1), record 11 of bad, process 7\n    depends on "
         "getrandom, record 10 of bad, process 7,\n    which no commit of that process has saved");
    good_session();
    put((struct vi_trace_record){.kind = VI_TRACE_SIGNAL, .number = 14});
    put_call(SYS_write, VI_TRACE_PIPE, 3);
    save("bad");
    ck_assert_int_eq(trace_command("check bad"), 1);
    SAYS("write of a pipe (descriptor 3)");
    SAYS("depends on signal 14");
    good_session();
    put_call(SYS_poll, VI_TRACE_NOTHING, 1);
    put_call(SYS_exit_group, VI_TRACE_NOTHING, 0);
    save("bad");
    ck_assert_int_eq(trace_command("check bad"), 1);
    SAYS("exit_group, record 11");
    good_session();
    put_kind(VI_TRACE_RESUME, 1);
    save("bad");
    ck_assert_int_eq(trace_command("check bad"), 1);
    SAYS("cannot be: resumption from commit 1");
    ck_assert_int_eq(trace_command("show bad"), 1);
    SAYS("no computation has them");
}
END_TEST

/* Bytes 0 to 8 of a channel; the receiver shows them. */
static void two_processes(bool committed)
{
    begin(7);
    put_kind(VI_TRACE_START, 0);
    put_kind(VI_TRACE_COMMIT, 1);
    put_call(SYS_clock_gettime, VI_TRACE_NOTHING, 0);
    if (committed)
        put_kind(VI_TRACE_COMMIT, 2);
    put_part(VI_TRACE_TO, 77, 5);
    put_visible(SYS_sendto);
    save("sender");
    begin(8);
    put_kind(VI_TRACE_START, 0);
    put_kind(VI_TRACE_COMMIT, 1);
    put_part(VI_TRACE_FROM, 77, 3);
    put_call(SYS_read, VI_TRACE_SOCKET, 3);
    put_kind(VI_TRACE_COMMIT, 2);
    put_visible(SYS_write);
    save("receiver");
}

START_TEST(messages_are_followed)
{
    two_processes(true);
    ck_assert_int_eq(trace_command("check receiver sender"), 0);
    SAYS("2 processes");
    SAYS(" 1 message, ");
    two_processes(false);
    ck_assert_int_eq(trace_command("check receiver sender"), 1);
    SAYS("commit 2, record 4 of receiver, process 8\n    depends on clock_gettime, record 2 of "
         "sender, process 7,");
    SAYS("write of a terminal (descriptor 1), record 5 of receiver, process 8\n    depends on");
    ck_assert_int_eq(trace_command("check receiver"), 0);
}
END_TEST

START_TEST(diagrams_are_drawn)
{
    two_processes(false);
    ck_assert_int_eq(trace_command("show receiver sender"), 0);
    SAYS("process 8");
    SAYS("     2  |");
    SAYS("N clock_gettime");
    SAYS("V !! write of a terminal (descriptor 1)");
    SAYS("V !! >m1 sendto of a terminal (descriptor 1)");
    SAYS("N <m1 read of a socket (descriptor 3)");
    ck_assert_int_eq(trace_command("show --from 1 --events 1 receiver sender"), 0);
    ck_assert(strstr(output, "clock_gettime") == NULL);
    ck_assert_int_eq(trace_command("show --svg -o both.svg receiver sender"), 0);
    ck_assert_str_eq(output, "");
    if (system("python3 -c pass") != 0) {
        test_skip("the diagram's XML", "there is no Python");
        return;
    }
    ck_assert_int_eq(system("python3 -c 'import xml.dom.minidom as m; t = "
                            "m.parse(\"both.svg\").getElementsByTagName; assert "
                            "len(t(\"g\")) == 9 and len(t(\"title\")) == 9'"),
                     0);
}
END_TEST

START_TEST(what_is_no_trace_is_refused)
{
    ck_assert_int_eq(trace_command("check /dev/null"), 2);
    SAYS("not a trace");
    ck_assert_int_eq(trace_command("check /bin/true"), 2);
    ck_assert_int_eq(trace_command("check missing"), 2);
    SAYS("missing: No such file");
    ck_assert_int_eq(trace_command("check"), 2);
    ck_assert_int_eq(trace_command("show --from x good"), 2);
    ck_assert_int_eq(trace_command("--help"), 0);
    SAYS("usage: vista-trace check");
}
END_TEST

static void enter_folder(void)
{
    char path[4096];

    snprintf(path, sizeof path, "%s", test_path("trace"));
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(chdir(path), 0);
}

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *tests = test_case(suite, "theorem", 60);

    tcase_add_test(tests, theorem_is_read_as_it_is_written);
    tcase_add_test(tests, impossible_histories_are_told);
    tests = test_case(suite, "command", 20);
    tcase_add_checked_fixture(tests, enter_folder, NULL);
    tcase_add_test(tests, good_trace_passes);
    tcase_add_test(tests, recording_may_begin_late);
    tcase_add_test(tests, missing_records_are_told);
    tcase_add_test(tests, breaches_are_told_in_words);
    tcase_add_test(tests, messages_are_followed);
    tcase_add_test(tests, diagrams_are_drawn);
    tcase_add_test(tests, what_is_no_trace_is_refused);
    return test_run(suite);
}
