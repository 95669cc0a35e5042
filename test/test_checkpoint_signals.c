/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-run: signals that come where the program waits, and where its calls go without the trap;
 * what is the process's own, and what it holds, behind a kill.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "../bench/checkpoint/child_of.h"
/* Of the shell: vista-run without and with kills, the guest. */
#define SHELL_VARIABLES "R=" VISTA_RUN "; K=" VISTA_RUN_KILLED "; G=" VISTA_GUEST "; "
#include "run_fixture.h"

#define MOST_STEPS 200000 /* of the processor, from one place to another */

/* ---- Waiting ---------------------------------------------------------------------- */

START_TEST(signal_ends_what_waits_for_ever)
{
    ck_assert_int_eq(shell("timeout -s KILL 100 $R -f run.dc $G blocked >out 2>err"), 0);
    ck_assert_str_eq(contents("out"),
                     "first 0\nopen 4\nsecond 4\nfutex 4\nfar 4\nlimit 110\nother 11\n"
                     "none 0\n");
    ck_assert_str_eq(contents("err"), "");
}
END_TEST

START_TEST(program_that_waits_for_a_peer_can_be_ended)
{
    ck_assert_int_eq(shell("timeout -s KILL 100 sh -c '\"$0\" -f run.dc \"$1\" peer >out 2>err & "
                           "until [ -s out ]; do sleep 0.01; done; sleep 0.2; kill $!; wait $!' "
                           "$R $G"),
                     128 + SIGTERM);
}
END_TEST

START_TEST(signals_do_not_keep_a_file_from_being_cut)
{
    ck_assert_int_eq(shell("timeout -s KILL 100 $R -f run.dc $G cuts >out 2>err"), 0);
    ck_assert_str_eq(contents("out"), "failed 0\nleft 0\nalarms 1\n");
    ck_assert_str_eq(contents("err"), "");
}
END_TEST

/* ---- Calls without the trap --------------------------------------------------------- */

/* Where a symbol of vista-run is in a process that runs it. */
static uint64_t address_of(pid_t pid, const char *symbol)
{
    char command[512];
    unsigned long long base = 0, offset = 0;
    FILE *out;

    snprintf(command, sizeof command,
             "sed -n 's/-.*vista-run$/ /p' /proc/%d/maps; nm %s | grep ' %s$'", (int)pid, VISTA_RUN,
             symbol);
    out = popen(command, "re");
    ck_assert(out != NULL && fscanf(out, "%llx", &base) == 1);
    while (fscanf(out, "%llx%*[^\n]", &offset) == 1)
        continue;
    ck_assert_int_eq(pclose(out), 0);
    return base + offset;
}

/* One instruction, with a signal first if `number` is not 0; other signals than the tracer's go on to the
 * process.  Where it is now. */
static uint64_t step(pid_t pid, int number)
{
    struct user_regs_struct registers;
    int status;

    OK(ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *)(intptr_t)number) < 0);
    ck_assert_int_eq(waitpid(pid, &status, __WALL), pid);
    ck_assert_msg(WIFSTOPPED(status), "it ended: %x", status);
    OK(ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0);
    return WSTOPSIG(status) == SIGTRAP ? registers.rip : step(pid, WSTOPSIG(status));
}

static void step_to(pid_t pid, uint64_t place, int number)
{
    unsigned steps = 0;
    uint64_t at;

    do {
        at = step(pid, number);
        number = 0;
        ck_assert_uint_lt(steps++, MOST_STEPS);
    } while (at != place);
}

/* A signal comes in a call, another at its last instruction, and in a call of that one's handler the first
 * again: each call ends where it was made. */
START_TEST(nested_signals_lead_back)
{
    uint64_t inside, leave;
    pid_t supervisor, pid;
    int status;

    ck_assert_int_eq(
        shell("$R -f run.dc $G nested >out 2>err & echo $! >pid; until [ -s out ]; do sleep "
              "0.01; done"),
        0);
    supervisor = atoi(contents("pid"));
    pid = child_of(supervisor);
    inside = address_of(pid, "vi_fast_inside");
    leave = address_of(pid, "vi_fast_leave");
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0) { /* Yama lets a user trace its children alone */
        ck_assert_int_eq(errno, EPERM);
        test_skip("nested signals", "this user may not trace the program");
        (void)kill(supervisor, SIGKILL);
        (void)kill(pid, SIGKILL);
        return;
    }
    OK(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0);
    ck_assert_int_eq(waitpid(pid, &status, __WALL), pid);
    step_to(pid, inside, 0);
    step_to(pid, leave, SIGUSR1);
    step_to(pid, inside, SIGUSR2);
    step(pid, SIGUSR1);
    OK(ptrace(PTRACE_DETACH, pid, NULL, NULL) < 0);
    ck_assert_int_eq(shell("timeout 60 tail --pid %d -f /dev/null", (int)supervisor), 0);
    ck_assert_str_eq(contents("err"), "");
    ck_assert_str_eq(contents("out"), "begin 0\ngiven 2\ncounted 1\n");
}
END_TEST

/* The protocol that is chosen as it goes computes what each costs. */
START_TEST(runtime_computes_in_its_own_mode)
{
    ck_assert_int_eq(shell("$R -p adaptive -f run.dc $G exact 3000 >out 2>err"), 7);
    ck_assert_str_eq(contents("err"), "");
    ck_assert(strstr(contents("out"), "number 3000\n") != NULL);
}
END_TEST

/* ---- Kills -------------------------------------------------------------------------- */

/* Killed before each call, of which the log replays those of the clock. */
START_TEST(time_zone_is_replayed)
{
    ck_assert_int_eq(shell("VISTA_KILLS=\"$(seq -f %%gb -s ' ' 60)\" timeout 100 $K -p cand-log "
                           "--retries 10000 -f run.dc $G zones >out 2>err"),
                     0);
    ck_assert(strstr(contents("out"), "zone 0\n") != NULL);
    ck_assert_msg(strstr(contents("out"), "zone 77\n") == NULL, "%s", contents("out"));
}
END_TEST

/* Killed where they are made and not noted, while a timer ticks that may come before they are made again. */
START_TEST(calls_that_were_made_are_taken_for_made)
{
    ck_assert_int_eq(shell("VISTA_KILLS=\"$(seq -f %%gm -s ' ' 10 250)\" timeout 100 $K "
                           "--retries 10000 -f run.dc $G sockets >out 2>err"),
                     0);
    ck_assert_str_eq(contents("out"), "failed 0\n");
    ck_assert_str_eq(contents("err"), "");
}
END_TEST

/* By a descriptor that has a copy, which tells them, too. */
START_TEST(many_locks_are_taken_again)
{
    ck_assert_int_eq(shell("echo >in; $R -f run.dc $G locks 1000 >out 2>err & "
                           "until [ $(wc -l <out) -gt 2 ]; do sleep 0.01; done; "
                           "$G found 2500 >before; pkill -9 -P $!; n=$(wc -l <out); "
                           "until [ $(wc -l <out) -gt $((n + 2)) ]; do sleep 0.01; done; "
                           "$G found 2500 >behind; touch end; wait $!"),
                     7);
    ck_assert_str_eq(contents("before"), "found 1000\n");
    ck_assert_str_eq(contents("behind"), "found 1000\n");
    ck_assert_str_eq(contents("err"), "");
}
END_TEST

/* While it waits for it checkpoints are made. */
START_TEST(lock_that_was_waited_for_is_taken_again)
{
    ck_assert_int_eq(
        shell("echo >in; $G locks 1 >holder & h=$!; until [ -s holder ]; do sleep 0.01; done; "
              "$R -f run.dc --every 2 $G locks 1 >out 2>err & p=$!; sleep 0.3; kill $h; wait $h; "
              "until [ $(grep -c number out) -gt 2 ]; do sleep 0.01; done; pkill -9 -P $p; "
              "n=$(wc -l <out); until [ $(wc -l <out) -gt $((n + 2)) ]; do sleep 0.01; done; "
              "$G found 1 >behind; touch end; wait $p"),
        7);
    ck_assert_str_eq(contents("behind"), "found 1\n");
    ck_assert_str_eq(contents("err"), "");
}
END_TEST

START_TEST(locks_beyond_the_most_are_refused)
{
    ck_assert_int_eq(shell("echo >in; touch end; $R -f run.dc $G locks 4200 >out 2>err"), 7);
    ck_assert_msg(strncmp(contents("out"), "locked 4095\nerror 37\nunlocked 0\n", 32) == 0, "%s",
                  contents("out"));
    ck_assert(strstr(contents("err"), "ENOLCK") != NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint signals");
    TCase *tests = test_case(suite, "signals", 20);

    if (!vista_run_works(VISTA_RUN))
        return 77;
    tcase_add_checked_fixture(tests, enter_case, leave_case);
    tcase_add_test(tests, signal_ends_what_waits_for_ever);
    tcase_add_test(tests, program_that_waits_for_a_peer_can_be_ended);
    tcase_add_test(tests, signals_do_not_keep_a_file_from_being_cut);
    tcase_add_test(tests, nested_signals_lead_back);
    tcase_add_test(tests, runtime_computes_in_its_own_mode);
    tcase_add_test(tests, time_zone_is_replayed);
    tcase_add_test(tests, calls_that_were_made_are_taken_for_made);
    tcase_add_test(tests, many_locks_are_taken_again);
    tcase_add_test(tests, lock_that_was_waited_for_is_taken_again);
    tcase_add_test(tests, locks_beyond_the_most_are_refused);
    return test_run(suite);
}
