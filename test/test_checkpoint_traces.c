/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Traces of several processes, each under a vista-run of its own, that hand a number round: the checker
 * follows their messages from one to the other, and names bugs that are put into the traces.
 */
#include <sys/syscall.h>

/* R and K are vista-run without and with kills, T and N the processes' programs. */
#define SHELL_VARIABLES \
    "R=" VISTA_RUN "; K=" VISTA_RUN_KILLED "; T=" VISTA_TOKEN "; N=" VISTA_NBODY "; " \
    "C=" VISTA_TRACE "; "
#include "run_fixture.h"
#include "trace/trace_format.h"

#define ROUNDS 10
#define MOST 3

static void says_each_number(unsigned process, unsigned processes)
{
    const unsigned first = process == 0 ? processes : process + 1;
    unsigned number, last = 0;
    const char *at;
    char name[16];

    snprintf(name, sizeof name, "out%u", process);
    at = strstr(contents(name), "number");
    for (; at != NULL && sscanf(at, "number %u", &number) == 1; at = strchr(at, '\n') + 1)
        if (number != last) { /* a kill may repeat one */
            ck_assert_uint_eq(number, last == 0 ? first : last + processes);
            last = number;
        }
    ck_assert_uint_eq(last, (ROUNDS - 1) * processes + first);
}

/* They begin together and have to end as the program does; `kills` of their calls, or none. */
static void run(const char *way, const char *protocol, unsigned processes, const char *kills)
{
    const unsigned pid = (unsigned)getpid();
    char address[32];

    snprintf(address, sizeof address, "127.%u.%u", 1 + pid / 256 % 254, pid % 256);
    ck_assert_int_eq(
        shell("for i in $(seq 0 %u); do VISTA_KILLS=\"%s\" $K -p %s --retries 10000 -f run$i.dc "
              "--trace trace$i $T %s %u $i %u >out$i 2>err$i & all=\"$all $!\"; done; s=0; "
              "for p in $all; do wait $p; [ $? = 7 ] || s=1; done; exit $s",
              processes - 1, kills, protocol, strcmp(way, "tcp") == 0 ? address : way, processes,
              ROUNDS),
        0);
    for (unsigned i = 0; i < processes; i++)
        says_each_number(i, processes);
}

/* Of four processes each gives what it gives by itself, whatever is killed when. */
START_TEST(computation_goes_on)
{
    static const char *const protocols[] = {"cpvs", "cand", "cbndvs-log", "adaptive"};
    const unsigned pid = (unsigned)getpid();

    ck_assert_int_eq(
        shell("for i in 0 1 2 3; do $N unix 4 $i 10 >bare$i & all=\"$all $!\"; done; s=0; for p in "
              "$all; do wait $p || s=1; done; exit $s"),
        0);
    ck_assert_int_eq(
        shell("for i in 0 1 2 3; do VISTA_KILLS=\"$(seq -f %%gb -s ' ' $((40 + i)) 11 150)\" $K -p "
              "%s --retries 10000 -f run$i.dc --trace trace$i $N 127.%u.%u 4 $i 10 >out$i 2>err$i "
              "& all=\"$all $!\"; done; s=0; for p in $all; do wait $p || s=1; done; exit $s",
              protocols[_i], 1 + pid / 256 % 254, pid % 256),
        0);
    ck_assert_int_eq(
        shell("for i in 0 1 2 3; do [ -s bare$i ] && uniq out$i | cmp - bare$i || exit 1; done"),
        0);
    ck_assert_int_eq(shell("$C check trace? >checked"), 0);
    holds("checked", "4 processes, ");
    ck_assert(strstr(contents("checked"), " 0 failures") == NULL);
}
END_TEST

static void says_messages(unsigned processes, unsigned messages)
{
    char text[64];

    snprintf(text, sizeof text, "%u processes, ", processes);
    holds("checked", text);
    snprintf(text, sizeof text, " %u messages, ", messages);
    holds("checked", text);
}

static const struct {
    const char *way;
    unsigned processes;
} rings[] = {{"unix", 2}, {"tcp", 2}, {"unix", 3}, {"tcp", 3}};

START_TEST(messages_are_found_in_traces)
{
    const unsigned processes = rings[_i].processes;

    run(rings[_i].way, "cpvs", processes, "");
    ck_assert_int_eq(shell("$C check trace? >checked"), 0);
    says_messages(processes, processes * ROUNDS);
    ck_assert_int_eq(shell("$C show --svg --events 10000 -o drawn trace?"), 0);
    ck_assert_int_eq(shell("[ $(grep -c 'stroke=.blue.' drawn) = %u ]", processes * ROUNDS), 0);
    ck_assert_int_eq(shell("$C show --events 10000 trace? >drawn"), 0);
    holds("drawn", "V >m1 sendto of a socket");
    holds("drawn", "N <m1 read of a socket");
}
END_TEST

/* Of TCP the kernel keeps count, so that a kill loses none; all has to be in the right order still. */
START_TEST(messages_are_found_across_kills)
{
    static const char *const protocols[] = {"cand", "cbndvs-log"};

    run("tcp", protocols[_i], 3, "$(seq -f %gb -s ' ' 40 9 150)");
    ck_assert_int_eq(shell("$C check trace? >checked"), 0);
    holds("checked", "3 processes, ");
    ck_assert(strstr(contents("checked"), " 0 failures") == NULL);
    ck_assert(strstr(contents("checked"), " 0 messages") == NULL);
    /* Of a Unix socket it is not known how much was sent: it is followed no further. */
    OK(shell("rm -f trace? ring.*"));
    run("unix", protocols[_i], 2, "$(seq -f %gb -s ' ' 40 9 150)");
    ck_assert_int_eq(shell("$C check trace? >checked"), 0);
}
END_TEST

/* ---- Seeded bugs ------------------------------------------------------------------- */

static struct vi_trace_record records[4096];
static size_t record_count;

static void load(const char *name)
{
    FILE *file = fopen(name, "re");

    SOME(file);
    record_count = fread(records, sizeof *records, sizeof records / sizeof *records, file);
    fclose(file);
    ck_assert_uint_lt(record_count, 0 + sizeof records / sizeof *records + 1);
}

static void store(const char *name)
{
    FILE *file = fopen(name, "we");

    SOME(file);
    ck_assert_uint_eq(fwrite(records, sizeof *records, record_count, file), record_count);
    OK(fclose(file));
}

/* The records of that kind: how many. */
static unsigned records_of(uint16_t kind, size_t *found, unsigned most)
{
    unsigned count = 0;

    for (size_t i = 0; i < record_count && records[i].kind != VI_TRACE_NONE; i++)
        if (records[i].kind == kind && count < most)
            found[count++] = i;
    return count;
}

/* A record that means nothing is in its place. */
static void take_out(size_t i)
{
    records[i].kind = VI_TRACE_CALL;
    records[i].number = SYS_getpid;
    records[i].object = VI_TRACE_NOTHING;
    records[i].result = 0;
}

/* A commit that was not made before a send shows there, and where another commits or shows what it
 * has received. */
START_TEST(missing_commit_is_named_in_both)
{
    size_t sends[64], commit;
    unsigned count;

    run(rings[_i].way, "cpvs", rings[_i].processes, "");
    load("trace0");
    count = records_of(VI_TRACE_TO, sends, 64);
    ck_assert_uint_eq(count, ROUNDS);
    commit = sends[ROUNDS - 1];
    while (records[commit].kind != VI_TRACE_COMMIT)
        commit--;
    take_out(commit);
    store("trace0");
    ck_assert_int_eq(shell("$C check trace? >checked"), 1);
    holds("checked", "sendto of a socket (descriptor ");
    holds("checked", " of trace1, process ");
    holds("checked", "depends on clock_gettime, record ");
    holds("checked", " of trace0, process ");
    holds("checked", ": work was not saved");
    /* Without its messages no one else is to blame. */
    ck_assert_int_eq(shell("$C check trace1 >checked"), 0);
    ck_assert_int_eq(shell("$C check trace0 >checked"), 1);
}
END_TEST

/* What is received before it is sent cannot be. */
START_TEST(impossible_order_is_named)
{
    size_t sends[64];
    int64_t size;

    run(rings[_i].way, "cpvs", rings[_i].processes, "");
    load("trace0");
    ck_assert_uint_eq(records_of(VI_TRACE_TO, sends, 64), ROUNDS);
    size = records[sends[0]].result;
    records[sends[0]].result = records[sends[ROUNDS - 1]].result;
    records[sends[ROUNDS - 1]].result = size;
    store("trace0");
    ck_assert_int_eq(shell("$C check trace? >checked"), 1);
    holds("checked", "cannot be: ");
    holds("checked", "no computation has this history");
}
END_TEST

/* The others are, each by its position. */
START_TEST(message_that_is_not_recorded_is_not_followed)
{
    size_t sends[64];

    run(rings[_i].way, "cpvs", rings[_i].processes, "");
    load("trace0");
    ck_assert_uint_eq(records_of(VI_TRACE_TO, sends, 64), ROUNDS);
    take_out(sends[3]);
    store("trace0");
    ck_assert_int_eq(shell("$C check trace? >checked"), 0);
    says_messages(rings[_i].processes, rings[_i].processes * ROUNDS - 1);
}
END_TEST

static unsigned logged_calls(void)
{
    unsigned count = 0;

    load("trace0");
    for (size_t i = 0; i < record_count && records[i].kind != VI_TRACE_NONE; i++)
        count += records[i].kind == VI_TRACE_CALL && records[i].flags & VI_TRACE_LOGGED;
    return count;
}

START_TEST(late_run_logs_nothing)
{
    static const char *const protocols[] = {"cand-log", "cbndvs-log", "adaptive"};
    char late[32];

    run("unix", protocols[_i], 1, "");
    ck_assert_uint_gt(logged_calls(), ROUNDS);
    OK(shell("rm trace0 ring.0"));
    snprintf(late, sizeof late, "%s --late", protocols[_i]);
    run("unix", late, 1, "$(seq -f %gb -s ' ' 40 9 150)");
    ck_assert_int_eq(shell("$C check trace0 >checked"), 0);
    ck_assert_uint_eq(logged_calls(), 0);
}
END_TEST

/* Who commits what it says commits bugs, too; who logs never does, and comes to them again. */
START_TEST(failures_are_counted)
{
    unsigned crashes, crossed, again, log_crossed, log_again;
    const char *all;

    OK(shell("$(dirname $N)/vista-bench failures --runs 1 >said"));
    all = strstr(contents("said"), "says each step  all");
    ck_assert_ptr_nonnull(all);
    ck_assert_int_eq(sscanf(all, "says each step all %u %u %u %*u %*u %*u %*u %u %u", &crashes,
                            &crossed, &again, &log_crossed, &log_again),
                     5);
    ck_assert_uint_gt(crashes, 0);
    ck_assert_uint_gt(crossed, 0);
    ck_assert_uint_eq(log_crossed, 0);
    ck_assert_uint_eq(log_again, 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint traces");
    TCase *tests = test_case(suite, "traces", 20);

    if (!vista_run_works(VISTA_RUN))
        return 77;
    tcase_add_checked_fixture(tests, enter_case, leave_case);
    tcase_add_loop_test(tests, messages_are_found_in_traces, 0, 4);
    tcase_add_loop_test(tests, computation_goes_on, 0, 4);
    tcase_add_loop_test(tests, late_run_logs_nothing, 0, 3);
    tcase_add_test(tests, failures_are_counted);
    tcase_add_loop_test(tests, messages_are_found_across_kills, 0, 2);
    tcase_add_loop_test(tests, missing_commit_is_named_in_both, 0, 4);
    tcase_add_loop_test(tests, impossible_order_is_named, 1, 3);
    tcase_add_loop_test(tests, message_that_is_not_recorded_is_not_followed, 3, 4);
    return test_run(suite);
}
