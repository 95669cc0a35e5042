/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-run: what is refused, how runs end, stop and go on, what is undone, signals and memory
 * across kills that are drawn, and libdc.
 */
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Of the shell: vista-run without and with kills, the guest, the example. */
#define SHELL_VARIABLES \
    "R=" VISTA_RUN "; K=" VISTA_RUN_KILLED "; G=" VISTA_GUEST "; D=" VISTA_ROD "; "
#include "run_fixture.h"
#include "trace/trace_format.h"

static bool exists(const char *name)
{
    return access(name, F_OK) == 0;
}

START_TEST(what_is_not_handled_is_refused_by_name)
{
    ck_assert_int_eq(shell("$R -f run.dc $G refusals >out 2>err"), 0);
    ck_assert_str_eq(contents("out"), "thread 11\nfork 11\nio_uring 38\nshared 19\nunknown 38\n"
                                      "theirs 9\n");
    holds("err", "a child process that shares a socket or a file to read and write is refused");
    holds("err", "io_uring_setup is refused: ENOSYS");
    holds("err", "a shared writable mapping of a file is refused: ENODEV");
    holds("err", "system call 1000 is refused");
}
END_TEST

START_TEST(run_ends_as_its_program_does)
{
    ck_assert_int_eq(shell("$R -f run.dc $G count 3 >out 2>err"), 7);
    ck_assert_str_eq(contents("out"), "number 1\nnumber 2\nnumber 3\n");
    ck_assert_str_eq(contents("err"), "");
    ck_assert(!exists("run.dc"));
    ck_assert(!exists("run.dc.undo"));
    /* A shell tells of the signal by 128 and its number. */
    ck_assert_int_eq(shell("($R -f run.dc $G raise 15; exit $?) >out 2>err"), 128 + 15);
    ck_assert(!exists("run.dc"));
    ck_assert_int_eq(shell("$R no-such-program 2>err"), 127);
    ck_assert_int_eq(shell("$R -p other $G 2>err"), 2);
}
END_TEST

/* A bug that is met again after each resumption is given up, and the file stays. */
START_TEST(crash_is_retried_and_given_up)
{
    ck_assert_int_eq(shell("$R -f run.dc --retries 2 $G raise 11 >out 2>err"), 128 + 11);
    holds("err", "3 times from one checkpoint: given up");
    ck_assert(exists("run.dc"));
}
END_TEST

/* The numbers 1 to `most` in their order; one may come again. */
static void counted(const char *name, int most)
{
    const char *at = contents(name);
    int last = 0, number;

    for (; sscanf(at, "number %d", &number) == 1; at = strchr(at, '\n') + 1) {
        ck_assert_msg(number == last || number == last + 1, "%d behind %d", number, last);
        last = number;
        if (strchr(at, '\n') == NULL)
            break;
    }
    ck_assert_int_eq(last, most);
}

/* The kill may come when the run is over. */
static bool ended(const char *output, const char *last, const char *file)
{
    return strstr(contents(output), last) != NULL && !exists(file);
}

/* Runs the counting guest; its supervisor dies, too, by chance, until the run is over. */
START_TEST(same_command_goes_on_when_the_supervisor_died)
{
    struct test_random random = test_random_new(1);
    unsigned kills = 0;
    int status;

    do {
        status = shell("timeout -s KILL 0.%03u $R -f run.dc $G count 300 >>out 2>>err",
                       200 + (unsigned)test_below(&random, 400));
        ck_assert_uint_lt(kills++, 2000);
        ck_assert(status == 7 || status == 137);
    } while (!ended("out", "number 300\n", "run.dc"));
    counted("out", 300);
    ck_assert_uint_gt(kills, 1);
}
END_TEST

/* Runs a command until there is output, and kills its supervisor. */
static void begin_and_kill(const char *command)
{
    (void)shell(
        "rm -f out; %s >out 2>err & until [ -s out ]; do sleep 0.01; done; kill -9 $!; wait",
        command);
    ck_assert(exists("run.dc"));
}

START_TEST(file_is_of_one_command_and_one_run)
{
    ck_assert_int_eq(
        shell("$R -f run.dc $G count 4000 >out 2>err & until [ -s out ]; do sleep 0.01; done; "
              "$R -f run.dc $G count 4000 2>err2; s=$?; kill $!; wait;"
              "exit $s"),
        1);
    holds("err2", "another vista-run has it");
    ck_assert(!exists("run.dc")); /* SIGTERM ended it */
    begin_and_kill("$R -f run.dc $G count 4000");
    ck_assert_int_eq(shell("$R -f run.dc $G count 4001 2>err"), 1);
    holds("err", "is of another command");
    ck_assert_int_eq(shell("$R --info run.dc >out"), 0);
    holds("out", "protocol     cpvs");
    holds("out", "count 4000");
    ck_assert_int_eq(shell("$R --fresh -f run.dc $G count 2 >out 2>err"), 7);
    counted("out", 2);
}
END_TEST

START_TEST(run_keeps_its_protocol)
{
    ck_assert_int_eq(shell("$R -f run.dc -p nonsense $G 2>err"), 2);
    holds("err", "not a protocol; there are cpvs, cand, cbndvs, cand-log, cbndvs-log, adaptive");
    begin_and_kill("$R -p cbndvs -f run.dc $G count 400");
    ck_assert_int_eq(shell("$R --info run.dc >info"), 0);
    holds("info", "protocol     cbndvs");
    ck_assert_int_eq(shell("$R -p cand -f run.dc $G count 400 2>err"), 1);
    holds("err", "is of protocol cbndvs, and keeps it");
    ck_assert_int_eq(shell("$R -f run.dc $G count 400 >>out 2>err"), 7);
    counted("out", 400);
}
END_TEST

#define PHASES 2400

/* Of the run's trace, which has to pass the checker: by which protocols it committed, as bits, and how
 * often; what logging has saved. */
static unsigned protocols_of_trace(unsigned *commits, unsigned *saved)
{
    FILE *trace = fopen("trace", "re");
    struct vi_trace_record record;
    unsigned protocols = 0;

    SOME(trace);
    *commits = 0;
    while (fread(&record, sizeof record, 1, trace) == 1 && record.kind != VI_TRACE_NONE)
        if (record.kind == VI_TRACE_COMMIT) {
            protocols |= 1u << record.number;
            *saved = (unsigned)record.result;
            ++*commits;
        }
    fclose(trace);
    return protocols;
}

/* It commits as it goes, by protocols that differ, and no kill shows, at calls or at any time. */
START_TEST(adaptive_run_goes_on)
{
    struct test_random random = test_random_new(20);
    unsigned commits, saved = 0, protocols;
    char kills[1024] = "";

    for (unsigned at = 1; strlen(kills) + 16 < sizeof kills && at < 40000;
         at += 1 + (unsigned)test_below(&random, 1600))
        snprintf(kills + strlen(kills), 16, "%u%c ", at, test_below(&random, 2) ? 'a' : 'b');
    ck_assert_int_eq(shell("$R -p adaptive -f run.dc $G phases %d >out 2>err", PHASES), 7);
    counted("out", PHASES);
    ck_assert_int_eq(shell("VISTA_KILLS='%s' $K -p adaptive --retries 100 --trace trace "
                           "-f run.dc $G phases %d >out 2>err",
                           kills, PHASES),
                     7);
    counted("out", PHASES);
    OK(shell(VISTA_TRACE " check trace >checked"));
    protocols = protocols_of_trace(&commits, &saved);
    printf(
        "adaptive: %u commits of %u visible events, %u saved by the log; protocols %x, kills %s\n",
        commits, PHASES, saved, protocols, kills);
    ck_assert_uint_ne(protocols & 1, 0);   /* CPVS, in the first phase */
    ck_assert_uint_ne(protocols & ~1u, 0); /* but not later */
    ck_assert_uint_lt(commits, PHASES / 2);
    ck_assert_uint_gt(saved, PHASES / 6);
}
END_TEST

#define TICKS 40

/* What ends a call is logged with it, and comes again when the call does. */
START_TEST(signals_in_the_log_go_on)
{
    static const char *const protocols[] = {"cand-log", "cbndvs-log", "adaptive"};
    unsigned commits, saved = 0;

    ck_assert_int_eq(
        shell("$R -p %s --trace trace -f run.dc $G ticks %d >out 2>err", protocols[_i], TICKS), 7);
    counted("out", TICKS);
    OK(shell(VISTA_TRACE " check trace >checked"));
    (void)protocols_of_trace(&commits, &saved);
    ck_assert_uint_lt(commits, TICKS / 2);
    ck_assert_uint_ge(saved, TICKS / 2);
    OK(shell("rm trace"));
    ck_assert_int_eq(shell("VISTA_KILLS=\"$(seq -f %%gb -s ' ' 10 3 200)\" timeout 100 $K -p %s "
                           "--retries 10000 --trace trace -f run.dc $G ticks %d >out 2>err",
                           protocols[_i], TICKS),
                     7);
    counted("out", TICKS);
    OK(shell(VISTA_TRACE " check trace >checked"));
}
END_TEST

#define LOOSE 40

/* What the registers of arguments hold that a call does not have is another thing each time. */
START_TEST(calls_are_known_by_their_arguments_alone)
{
    static const char *const protocols[] = {"cand-log", "cbndvs-log", "adaptive"};

    ck_assert_int_eq(shell("VISTA_KILLS=\"$(seq -f %%gb -s ' ' 60 17 900)\" timeout 100 $K -p %s "
                           "--retries 10000 -f run.dc $G loose %d >out 2>err",
                           protocols[_i], LOOSE),
                     7);
    counted("out", LOOSE);
}
END_TEST

START_TEST(adaptive_run_tells_what_it_chose)
{
    ck_assert_int_eq(shell("$R -p adaptive -f run.dc $G phases 10000000 >out 2>err & "
                           "until [ $(wc -l <out) -gt 3000 ] || ! kill -0 $!; do sleep 0.01; done; "
                           "$R --stop run.dc || exit 9; wait $!"),
                     0);
    ck_assert_int_eq(shell("$R --info run.dc >info"), 0);
    holds("info", "protocol     adaptive, now c");
    holds("info", "more saved by the log");
    ck_assert(strstr(contents("info"), "after 0 choices") == NULL);
    ck_assert(strstr(contents("info"), ", 0 more saved") == NULL);
}
END_TEST

/* Calls that go without the trap whatever the protocol are not for CPVS. */
START_TEST(adaptive_run_leaves_cpvs)
{
    ck_assert_int_eq(shell("$R -p adaptive -f run.dc $G quiet 10000000 >out 2>err & "
                           "until [ $(wc -l <out) -gt 4000 ] || ! kill -0 $!; do sleep 0.01; "
                           "done; $R --stop run.dc || exit 9; wait $!"),
                     0);
    ck_assert_int_eq(shell("$R --info run.dc >info"), 0);
    holds("info", "protocol     adaptive, now cbndvs-log");
}
END_TEST

/* Copies a file by lines, without a commit for most of them; another changes the file meanwhile. */
START_TEST(run_that_goes_another_way_is_stopped)
{
    bool stopped = false;

    for (int i = 0; i < 20 && !stopped; i++) { /* behind a commit there may be nothing to replay */
        (void)shell("rm -f run.dc*; seq 100000 199999 >lines");
        begin_and_kill("$R -p cbndvs -f run.dc /bin/sh -c 'while read a; do echo $a; done <lines'");
        (void)shell("sed 's/^/longer/' lines >new; cat new >lines");
        stopped = shell("$R -f run.dc /bin/sh -c 'while read a; do echo $a; done <lines' "
                        ">>out 2>err") == 1;
    }
    ck_assert(stopped);
    holds("err", "does not do again what it did before it was killed: not write(1, ..., 7) but "
                 "write(1, ...");
}
END_TEST

START_TEST(stopped_run_goes_on)
{
    ck_assert_int_eq(
        shell("$R -f run.dc $G count 200 >out 2>err & until [ -s out ]; do sleep 0.01; done; "
              "$R --stop run.dc || exit 9; wait $!"),
        0);
    ck_assert(exists("run.dc"));
    ck_assert_int_eq(shell("$R -f run.dc $G count 200 >>out 2>err"), 7);
    counted("out", 200);
}
END_TEST

START_TEST(changed_file_is_refused)
{
    OK(shell("echo 12345 >in"));
    begin_and_kill("$R -f run.dc $G follow 9");
    ck_assert_int_eq(shell("cp in new; mv new in; $R -f run.dc $G follow 9 2>err"), 1);
    holds("err", "is another file now");
    ck_assert_int_eq(shell("echo 89 >>in; $R -f run.dc --accept-changed $G follow 9 >>out 2>err"),
                     7);
    ck_assert_str_eq(contents("err"), "");
    counted("out", 9);
}
END_TEST

START_TEST(ignored_signals_stay_ignored)
{
    ck_assert_int_eq(shell("trap '' USR1; $R -f run.dc $G raise 10 >out 2>err"), 0);
    ck_assert_int_eq(shell("($R -f run.dc $G raise 10; exit $?) >out 2>err"), 128 + 10);
}
END_TEST

START_TEST(descriptors_do_not_run_out)
{
    ck_assert_int_eq(shell("$R -f run.dc $G nameless >out 2>err"), 0);
    ck_assert_str_eq(contents("out"), "failed 0\n");
}
END_TEST

/* Calls that go without the trap, bare and killed at any time. */
START_TEST(quick_calls_go_on)
{
    struct test_random random = test_random_new(10);
    size_t kills = 0;

    OK(shell("echo 01234567 >in"));
    ck_assert_int_eq(shell("$G busy 5 >out"), 7);
    ck_assert_int_eq(shell("$R -f run.dc $G busy 5 >out 2>err"), 7);
    counted("out", 5);
    for (unsigned i = 0; i < test_times(2) || (kills == 0 && i < 100); i++) {
        const int status = shell("rm -f out; $R -f run.dc --retries 1000 $G busy 15 >out 2>err & "
                                 "until [ -s out ]; do sleep 0.01; done; "
                                 "while pkill -9 -P $! && echo >>kills; do sleep 0.%03u; done; "
                                 "wait $!",
                                 30 + (unsigned)test_below(&random, 150));

        ck_assert_msg(status == 7, "status %d: %s", status, contents("err"));
        counted("out", 15);
        kills = strlen(contents("kills"));
    }
    ck_assert_uint_gt(kills, 0);
}
END_TEST

START_TEST(locks_are_taken_again)
{
    ck_assert_int_eq(shell("echo 0123456789 >in; $R -f run.dc $G lock 300 >out 2>err & "
                           "until [ -s out ]; do sleep 0.01; done; $G locked >before; "
                           "pkill -9 -P $!; n=$(wc -l <out); "
                           "until [ $(wc -l <out) -gt $((n + 2)) ]; do sleep 0.01; done; "
                           "$G locked >behind; wait $!"),
                     7);
    ck_assert_str_eq(contents("before"), "1110011111");
    ck_assert_str_eq(contents("behind"), "1110011111");
    ck_assert_str_eq(contents("err"), "");
    counted("out", 300);
}
END_TEST

/* On a disk too small for its checkpoints a run stops; with more room it goes on. */
START_TEST(full_disk_stops_the_run)
{
    OK(mkdir("small", 0700));
    if (shell("unshare -m true 2>/dev/null") != 0) {
        test_skip("full disk", "a file system cannot be mounted");
        return;
    }
    ck_assert_int_eq(shell("unshare -m sh -c 'mount -t tmpfs -o size=%dm none small || exit 99; "
                           "'$R' -f small/run.dc '$G' grow 40 >out 2>err; echo $? >status; "
                           "mount -o remount,size=200m small; "
                           "'$R' -f small/run.dc '$G' grow 40 >>out 2>err2'",
                           16 + (int)(test_seed() % 16)),
                     7);
    holds("err", "no checkpoint can be made, the run stops: ");
    ck_assert_str_eq(contents("status"), "1\n");
    ck_assert_str_eq(contents("err2"), "");
    counted("out", 40);
}
END_TEST

/* The tree but for the run's own files, with contents, modes and times that a program set. */
static int tree(const char *to)
{
    return shell("find . -path './[a-g]*' -printf '%%p %%y %%m %%n %%l\\n' | sort >%s; cat g >>%s "
                 "2>/dev/null || true",
                 to, to);
}

/* Calls, before and after; with `inside`, at instructions of the runtime, too, most of which are a
 * checkpoint's. */
static void kill_list(struct test_random *random, unsigned calls, bool inside, char *list,
                      size_t size)
{
    *list = '\0';
    for (unsigned at = 1 + (unsigned)test_below(random, 8); at < calls && strlen(list) + 16 < size;
         at += 1 + (unsigned)test_below(random, 16))
        if (inside)
            snprintf(list + strlen(list), 16, "%us%u ", at,
                     1 + (unsigned)test_below(random, test_below(random, 2) ? 20000 : 1000));
        else
            snprintf(list + strlen(list), 16, "%u%c ", at, test_below(random, 2) ? 'a' : 'b');
}

/* `which` of the guest, so many times with kills that are drawn: output, status and files as without. */
static void killed_guest(const char *which, uint64_t stream, unsigned runs)
{
    struct test_random random = test_random_new(stream);
    char kills[4096], expected[CONTENTS], files[CONTENTS];
    uint64_t calls = 0;
    FILE *file;

    (void)shell("rm -rf plain");
    OK(mkdir("plain", 0700));
    OK(chdir("plain"));
    ck_assert_int_eq(shell("VISTA_CALLS=../calls $K -f ../p.dc $G %s >../out 2>../err", which), 0);
    OK(tree("../tree"));
    OK(chdir(".."));
    strcpy(expected, contents("out"));
    strcpy(files, contents("tree"));
    file = fopen("calls", "re");
    ck_assert(file != NULL && fread(&calls, sizeof calls, 1, file) == 1);
    fclose(file);
    for (unsigned i = 0; i < test_times(runs); i++) {
        kill_list(&random, (unsigned)calls, i % 2 != 0, kills, sizeof kills);
        OK(shell("rm -rf killed out2; mkdir killed"));
        OK(chdir("killed"));
        ck_assert_msg(shell("VISTA_KILLS='%s' $K --retries 10000 -f ../k.dc "
                            "--output ../out2 $G %s 2>../err2",
                            kills, which) == 0,
                      "%s, killed at %s: %s", which, kills, contents("../err2"));
        OK(tree("../tree2"));
        OK(chdir(".."));
        ck_assert_msg(strcmp(contents("out2"), expected) == 0, "%s, killed at %s:\n%s\nnot:\n%s",
                      which, kills, contents("out2"), expected);
        ck_assert_msg(strcmp(contents("tree2"), files) == 0, "%s, killed at %s:\n%s\nnot:\n%s",
                      which, kills, contents("tree2"), files);
    }
}

START_TEST(files_are_undone)
{
    killed_guest("files", 2, 12);
}
END_TEST

START_TEST(signals_and_timers_go_on)
{
    killed_guest("signals", 3, 12);
}
END_TEST

/* Killed amid the 5,000 names, and behind them. */
START_TEST(many_changes_are_undone)
{
    ck_assert_int_eq(shell("VISTA_KILLS='5500b 7000a 9000b 10100b 10150a' $K -f run.dc "
                           "$G large >out 2>err; s=$?; ls >left; exit $s"),
                     0);
    holds("out", "made 0\n");
    holds("out", "wrong 0\nfailed 0\n");
    ck_assert_str_eq(contents("left"), "err\nleft\nout\n");
    ck_assert_str_eq(contents("err"), "");
}
END_TEST

/* Killed before and after each call, of which one opens the pipe and the others read it. */
START_TEST(pipe_that_was_opened_is_read_on)
{
    ck_assert_int_eq(
        shell(
            "mkfifo pipe; (timeout 60 sh -c 'printf 0123456789 >pipe') & VISTA_KILLS=\"$(seq 60 | "
            "sed 's/.*/&b &a/' | tr '\\n' ' ')\" timeout -s KILL 60 $K --retries 10000 "
            "-f run.dc $G pour >out 2>err; s=$?; wait; exit $s"),
        0);
    holds("out", "sum 525\n");
}
END_TEST

/* The runtime's own clock neither ends a wait nor makes it longer, and holds no signal back. */
START_TEST(waits_end_at_their_limits)
{
    ck_assert_int_eq(shell("timeout 60 $R --every 1 -f run.dc $G waits >out 2>err"), 0);
    ck_assert_str_eq(contents("out"), "poll 0\nppoll 0\nselect 0\npselect 0\nepoll_wait 0\n"
                                      "alarms 100\n");
}
END_TEST

/* Killed before each call: what is logged of a call that a signal ended would come without it. */
START_TEST(sleep_is_ended_by_its_signal)
{
    static const char *const protocols[] = {"cpvs", "cand-log", "cbndvs-log", "adaptive"};

    ck_assert_int_eq(shell("VISTA_KILLS=\"$(seq -f %%gb -s ' ' 100)\" timeout 60 $K "
                           "-p %s --retries 10000 -f run.dc $G asleep >out 2>err",
                           protocols[_i]),
                     0);
    holds("out", "slept 4\n");
    holds("out", "polled 4\n");
    holds("out", "still ");
    ck_assert(strstr(contents("out"), "woken 0\n") == NULL);
}
END_TEST

/* The timer of the checkpoint does not give once more what the log gives. */
START_TEST(timers_fire_as_often_as_they_are_to)
{
    static const char *const protocols[] = {"cand-log", "cbndvs-log", "adaptive"};

    ck_assert_int_eq(shell("VISTA_KILLS=\"$(seq -f %%gb -s ' ' 100)\" timeout 100 $K "
                           "-p %s --retries 10000 -f run.dc $G timers >out 2>err",
                           protocols[_i]),
                     0);
    holds("out", "alarms 1\n");
    holds("out", "late 0\n");
    ck_assert_msg(strstr(contents("out"), "alarms 2\n") == NULL, "%s", contents("out"));
    ck_assert_msg(strstr(contents("out"), "late 1\n") == NULL, "%s", contents("out"));
}
END_TEST

/* Sent to vista-run, which gives it the program anew where a kill took it. */
START_TEST(signal_to_the_supervisor_comes_once)
{
    ck_assert_int_eq(
        shell("timeout 100 sh -c '\"$0\" -p cbndvs-log -f run.dc \"$1\" given >out 2>err & "
              "until grep -q 0 out; do sleep 0.01; done; kill -USR1 $!; "
              "until grep -q 1 out; do sleep 0.01; done; pkill -9 -P $!; sleep 0.1; "
              "kill -USR2 $!; wait $!' $R $G"),
        7);
    holds("out", "given 1\n");
    ck_assert_msg(strstr(contents("out"), "given 2\n") == NULL, "%s", contents("out"));
}
END_TEST

/* Killed behind each call: signals that the timer sends are kept while the log is replayed. */
START_TEST(messages_are_replayed_while_signals_come)
{
    ck_assert_int_eq(shell("VISTA_KILLS=\"$(seq -f %%ga -s ' ' 60)\" timeout -s KILL 100 "
                           "$K -p cbndvs-log --retries 10000 -f run.dc $G messages >out "
                           "2>err"),
                     0);
    holds("out", "sent 5\n");
}
END_TEST

START_TEST(memory_goes_on)
{
    killed_guest("memory", 4, 12);
}
END_TEST

START_TEST(pages_written_again_and_again_go_on)
{
    killed_guest("again", 11, 6);
}
END_TEST

START_TEST(descriptors_go_on)
{
    killed_guest("descriptors", 6, 4);
}
END_TEST

START_TEST(programs_that_replace_each_other_go_on)
{
    killed_guest("replaced", 12, 8);
}
END_TEST

START_TEST(callbacks_are_called)
{
    killed_guest("simulate", 7, 4);
}
END_TEST

START_TEST(ordinary_user_can_run_it)
{
    char folder[] = "/tmp/vista-user-XXXXXX";
    const uid_t nobody = 65534;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    OK(chdir(folder));
    if (geteuid() == 0) {
        OK(chown(folder, nobody, nobody));
        OK(setgroups(0, NULL));
        OK(setresgid(nobody, nobody, nobody));
        OK(setresuid(nobody, nobody, nobody));
    }
    if (access(VISTA_RUN_KILLED, X_OK) == 0 && access(VISTA_GUEST, X_OK) == 0) {
        killed_guest("files", 8, 2);
        killed_guest("descriptors", 9, 2);
    } else {
        test_skip("ordinary user", "the build is in a folder that only its owner can enter");
    }
    OK(shell("rm -rf %s", folder));
}
END_TEST

/* The example, killed with its supervisor again and again, draws what it draws by itself. */
START_TEST(two_lines_make_a_program_recoverable)
{
    struct test_random random = test_random_new(5);
    char expected[CONTENTS];
    const char *at, *next;
    unsigned kills = 0;
    int status, last = 0, number;

    ck_assert_int_eq(shell("VISTA_RUN=$R $D 60 >out 2>err"), 0);
    strcpy(expected, contents("out"));
    do {
        status = shell("VISTA_RUN=$R timeout -s KILL 0.%03u $D 60 >>out2 2>>err2",
                       200 + (unsigned)test_below(&random, 400));
        ck_assert_uint_lt(kills++, 2000);
        ck_assert(status == 0 || status == 137);
    } while (!ended("out2", "    60 |", "rod.dc"));
    for (at = contents("out2"); sscanf(at, "%d", &number) == 1; at = next + 1) {
        char line[128] = "";

        next = strchr(at, '\n');
        ck_assert(next != NULL && next - at < (int)sizeof line);
        memcpy(line, at, (size_t)(next - at) + 1);
        ck_assert_msg(number == last || number == last + 1, "%d behind %d", number, last);
        ck_assert_msg(strstr(expected, line) != NULL, "not drawn by itself: %s", line);
        last = number;
    }
    ck_assert_int_eq(last, 60);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tests = test_case(suite, "checkpoint", 20);

    if (!vista_run_works(VISTA_RUN))
        return 77;
    tcase_add_checked_fixture(tests, enter_case, leave_case);
    tcase_add_test(tests, what_is_not_handled_is_refused_by_name);
    tcase_add_test(tests, run_ends_as_its_program_does);
    tcase_add_test(tests, crash_is_retried_and_given_up);
    tcase_add_test(tests, same_command_goes_on_when_the_supervisor_died);
    tcase_add_test(tests, file_is_of_one_command_and_one_run);
    tcase_add_test(tests, stopped_run_goes_on);
    tcase_add_test(tests, run_keeps_its_protocol);
    tcase_add_test(tests, adaptive_run_goes_on);
    tcase_add_loop_test(tests, signals_in_the_log_go_on, 0, 3);
    tcase_add_loop_test(tests, calls_are_known_by_their_arguments_alone, 0, 3);
    tcase_add_test(tests, adaptive_run_tells_what_it_chose);
    tcase_add_test(tests, adaptive_run_leaves_cpvs);
    tcase_add_test(tests, run_that_goes_another_way_is_stopped);
    tcase_add_test(tests, changed_file_is_refused);
    tcase_add_test(tests, ignored_signals_stay_ignored);
    tcase_add_test(tests, descriptors_do_not_run_out);
    tcase_add_test(tests, quick_calls_go_on);
    tcase_add_test(tests, locks_are_taken_again);
    tcase_add_test(tests, full_disk_stops_the_run);
    tcase_add_test(tests, descriptors_go_on);
    tcase_add_test(tests, programs_that_replace_each_other_go_on);
    tcase_add_test(tests, callbacks_are_called);
    tcase_add_test(tests, ordinary_user_can_run_it);
    tcase_add_test(tests, files_are_undone);
    tcase_add_test(tests, signals_and_timers_go_on);
    tcase_add_test(tests, many_changes_are_undone);
    tcase_add_test(tests, pipe_that_was_opened_is_read_on);
    tcase_add_test(tests, waits_end_at_their_limits);
    tcase_add_loop_test(tests, sleep_is_ended_by_its_signal, 0, 4);
    tcase_add_loop_test(tests, timers_fire_as_often_as_they_are_to, 0, 3);
    tcase_add_test(tests, signal_to_the_supervisor_comes_once);
    tcase_add_test(tests, messages_are_replayed_while_signals_come);
    tcase_add_test(tests, memory_goes_on);
    tcase_add_test(tests, pages_written_again_and_again_go_on);
    tcase_add_test(tests, two_lines_make_a_program_recoverable);
    return test_run(suite);
}
