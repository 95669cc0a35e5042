/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-run: programs of several processes, each of which is killed.  A list of kills holds for every process,
 * by the number of its own calls.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Of the shell: vista-run without and with kills, the program. */
#define SHELL_VARIABLES "R=" VISTA_RUN "; K=" VISTA_RUN_KILLED "; F=" VISTA_FAMILY "; "
#include "run_fixture.h"

/* Before a call, behind it, and where it is made but not noted. */
static void draw_kills(struct test_random *random, unsigned calls, char *list, size_t size)
{
    *list = '\0';
    for (unsigned at = 1 + (unsigned)test_below(random, 6); at < calls && strlen(list) + 16 < size;
         at += 1 + (unsigned)test_below(random, 6))
        snprintf(list + strlen(list), 16, "%u%c ", at, "bma"[test_below(random, 3)]);
}

/* Before each call, again and again. */
static void kill_at_each(char *list)
{
    for (unsigned at = 1; at <= 150; at++)
        list += snprintf(list, 8, "%ub ", at);
}

/* Bare, under vista-run, and killed so many times, the first time at each call: output, files and status are the same, but for lines that
 * come again. */
static void same_when_killed(const char *which, uint64_t stream, unsigned runs)
{
    struct test_random random = test_random_new(stream);
    char kills[4096] = "";

    ck_assert_int_eq(shell("mkdir bare && cd bare && $F %s >out", which), 0);
    for (unsigned i = 0; i <= test_times(runs); i++) {
        if (i == 1)
            kill_at_each(kills);
        else if (i != 0)
            draw_kills(&random, 400, kills, sizeof kills);
        ck_assert_int_eq(shell("rm -rf killed && mkdir killed && cd killed && "
                               "VISTA_KILLS='%s' $K --retries 10000 -f run.dc $F %s >out 2>../err",
                               kills, which),
                         0);
        ck_assert_msg(shell("cd killed && uniq out >same && mv same out && cd .. && "
                            "diff -r bare killed >different 2>&1 && ! [ -s err ]") == 0,
                      "%s, killed at %s:\n%s\n%s", which, kills, contents("different"),
                      contents("err"));
    }
}

START_TEST(child_is_waited_for_once)
{
    same_when_killed("children", 1, 3);
}
END_TEST

START_TEST(several_children_end_in_any_order)
{
    same_when_killed("brood", 2, 3);
}
END_TEST

START_TEST(each_end_of_a_child_is_signalled)
{
    same_when_killed("signals", 9, 2);
}
END_TEST

START_TEST(children_may_be_ignored)
{
    same_when_killed("ignored", 11, 2);
}
END_TEST

START_TEST(children_are_other_programs)
{
    same_when_killed("programs", 3, 2);
}
END_TEST

START_TEST(pipes_lose_and_repeat_nothing)
{
    same_when_killed("pipes", 4, 3);
}
END_TEST

START_TEST(lines_of_others_are_not_undone)
{
    same_when_killed("appended", 10, 2);
}
END_TEST

START_TEST(lock_ends_with_the_file)
{
    same_when_killed("locked", 13, 1);
}
END_TEST

START_TEST(pipe_may_have_two_readers)
{
    same_when_killed("readers", 7, 2);
}
END_TEST

START_TEST(pipe_may_have_a_name)
{
    same_when_killed("named", 8, 2);
}
END_TEST

START_TEST(file_that_is_shared_has_one_offset)
{
    same_when_killed("lines", 5, 2);
}
END_TEST

START_TEST(child_reads_what_its_parent_had_open)
{
    same_when_killed("input", 6, 2);
}
END_TEST

START_TEST(child_has_an_offset_of_its_own)
{
    ck_assert_int_eq(shell("printf '1\n2\n3\n' >list; $R -f run.dc /bin/sh -c "
                           "'read a; (read b; echo $b); read c; echo $a $c' <list >out 2>err"),
                     0);
    ck_assert_str_eq(contents("err"), "");
    ck_assert_str_eq(contents("out"), "2\n1 2\n");
}
END_TEST

/* Killed behind each call, which takes back what was written to a file that is none's but its own. */
START_TEST(fork_that_is_refused_shares_nothing)
{
    char kills[4096] = "";

    kill_at_each(kills);
    ck_assert_int_eq(
        shell("VISTA_KILLS='%s' $K -p cbndvs --retries 10000 -f run.dc $F refused >out 2>err",
              kills),
        0);
    ck_assert_str_eq(contents("out"), "open 1\nrefused 11\n");
    ck_assert_int_eq(shell("[ $(wc -l <log) = 20 ]"), 0);
}
END_TEST

START_TEST(child_knows_its_parent_after_a_new_start)
{
    ck_assert_int_eq(
        shell("$R -f run.dc $F later >out 2>err & until [ -s out ]; do sleep 0.01; done; "
              "kill -9 $!; wait; touch go; $R -f run.dc $F later >>out 2>>err"),
        0);
    holds("out", "status 9\ntold 1\n");
}
END_TEST

START_TEST(shared_file_goes_on_under_a_new_supervisor)
{
    ck_assert_int_eq(shell("$R -f run.dc $F logs >out 2>err & until [ -s out ]; do sleep 0.01; "
                           "done; $R --stop run.dc && wait && touch go && "
                           "$R -f run.dc $F logs >>out 2>>err"),
                     0);
    ck_assert_str_eq(contents("err"), "");
    ck_assert_str_eq(contents("log"), "child\nparent\n");
    ck_assert_str_eq(contents("own"), "child\nparent\n");
}
END_TEST

START_TEST(line_of_another_outlives_the_making_of_its_file)
{
    ck_assert_int_eq(shell("$R -f run.dc $F made >out 2>err"), 0);
    ck_assert_str_eq(contents("err"), "");
    ck_assert_str_eq(contents("out"), "made 6\n");
    ck_assert_str_eq(contents("log"), "child\n");
}
END_TEST

START_TEST(number_of_a_child_that_was_waited_for_is_no_ones)
{
    ck_assert_int_eq(shell("$R -f run.dc /bin/sh -c ': & wait; while kill -0 $!; do :; done' "
                           ">out 2>err"),
                     0);
    holds("err", "No such process");
}
END_TEST

/* Who waits for the run does so while there is a child. */
START_TEST(file_goes_when_the_program_ends)
{
    ck_assert_int_eq(
        shell("$R -f run.dc /bin/sh -c '(until [ -e go ]; do sleep 0.01; done) & echo ends' "
              ">out 2>err & until [ -s out ] && ! [ -e run.dc ]; do sleep 0.01; done; "
              "touch go; wait"),
        0);
    ck_assert_str_eq(contents("err"), "");
}
END_TEST

#define LEFT "(>up; exec sleep 1000) & until [ -e up ]; do sleep 0.01; done; echo $!"
#define WHEN_IT_HAS_ENDED "until [ -s out ] && ! [ -e run.dc ]; do sleep 0.01; done; "

/* It is waiting for what the program has left behind. */
START_TEST(what_is_left_behind_ends_by_a_signal)
{
    ck_assert_int_eq(shell("$R -f run.dc /bin/sh -c '" LEFT
                           "; exit 3' >out 2>err & " WHEN_IT_HAS_ENDED "kill -TERM $!; wait $!"),
                     3);
    ck_assert_int_eq(shell("kill -0 $(cat out) 2>/dev/null || [ -e run.dc* ]"), 1);
    ck_assert_str_eq(contents("err"), "");
}
END_TEST

START_TEST(files_of_what_is_left_behind_go)
{
    ck_assert_int_eq(shell("$R -f run.dc /bin/sh -c '" LEFT
                           "; exit 3' >out 2>err & " WHEN_IT_HAS_ENDED
                           "kill -9 $(cat out); wait $!"),
                     3);
    ck_assert_int_eq(shell("[ -e run.dc* ]"), 1);
    ck_assert_str_eq(contents("err"), "");
}
END_TEST

/* One has lost the folder that it is in, which it is told when it is killed. */
START_TEST(what_is_left_behind_cannot_go_on)
{
    ck_assert_int_eq(
        shell("$R -f run.dc /bin/sh -c 'sleep 1000 & sh -c \"mkdir d; cd d; rmdir ../d; "
              "while [ -e $PWD/run.dc ]; do :; done; kill -9 \\$\\$\" &' 2>err"),
        1);
    ck_assert_int_eq(shell("[ -e run.dc* ]"), 1);
    holds("err", "where the program was: No such file");
}
END_TEST

START_TEST(files_of_a_child_go_with_it)
{
    ck_assert_int_eq(shell("$R -f run.dc /bin/sh -c '(>up; exec sleep 1000) & until [ -e up ]; do "
                           "sleep 0.01; done; kill -9 $!; wait; echo run.dc*' >out 2>err"),
                     0);
    ck_assert_str_eq(contents("err"), "");
    ck_assert_str_eq(contents("out"), "run.dc run.dc.undo\n");
}
END_TEST

/* Those of the children that it has, too. */
START_TEST(files_of_what_dies_with_a_child_go)
{
    ck_assert_int_eq(shell("$R -f run.dc /bin/sh -c '( (>up; exec sleep 1000) & wait) & until "
                           "[ -e up ]; do sleep 0.01; done; kill -9 $!; wait; echo run.dc*' "
                           ">out 2>err"),
                     0);
    ck_assert_str_eq(contents("err"), "");
    ck_assert_str_eq(contents("out"), "run.dc run.dc.undo\n");
}
END_TEST

/* In a group of its own, which is the test's otherwise. */
START_TEST(hangup_of_the_programs_group_stops_no_run)
{
    ck_assert_int_eq(
        shell("setsid -w $R -f run.dc /bin/sh -c 'trap : HUP; (>up; exec sleep 1000) & "
              "until [ -e up ]; do sleep 0.01; done; kill -HUP 0; wait; echo on' "
              ">out 2>err"),
        0);
    ck_assert_str_eq(contents("err"), "");
    ck_assert_str_eq(contents("out"), "on\n");
}
END_TEST

START_TEST(signals_that_a_supervisor_has_are_the_childs)
{
    same_when_killed("sent", 16, 1);
}
END_TEST

START_TEST(signal_that_no_one_handles_changes_nothing)
{
    same_when_killed("masked", 12, 1);
}
END_TEST

START_TEST(folder_that_it_is_in_has_another_name)
{
    same_when_killed("moved", 14, 2);
}
END_TEST

/* Killed before the child has done and behind. */
START_TEST(terminal_is_as_a_child_has_set_it)
{
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int status;
    pid_t pid;

    ck_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    pid = fork();
    if (pid == 0) {
        setsid();
        if (dup2(open(ptsname(terminal), O_RDWR), 0) != 0)
            _exit(100);
        _exit(shell("VISTA_KILLS='150b 400b' $K -f run.dc $F terminal >out 2>err"));
    }
    ck_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    ck_assert_str_eq(contents("err"), "");
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    OK(shell("uniq out >shown"));
    ck_assert_str_eq(contents("shown"), "sent 1\nstatus 9\nechoes 0\n");
}
END_TEST

START_TEST(child_that_cannot_go_on_stops_the_run)
{
    ck_assert_int_eq(shell("$R -f run.dc $F lost >out 2>err"), 1);
    ck_assert_str_eq(contents("out"), "lost 0\n");
    holds("err", "where the program was: No such file");
}
END_TEST

static uint64_t calls_of(const char *command)
{
    uint64_t calls = 0;
    FILE *file;

    ck_assert_int_eq(shell("VISTA_CALLS=calls $K -f calls.dc $F %s >out 2>err", command), 0);
    file = fopen("calls", "re");
    ck_assert(file != NULL && fread(&calls, sizeof calls, 1, file) == 1);
    fclose(file);
    return calls;
}

/* Killed at instructions in the commit before a fork, some of which it does not survive; then the next commit is
 * another one's.  How many instructions that takes is the processor's affair. */
START_TEST(fork_whose_commit_is_lost_makes_its_own)
{
    const unsigned call = (unsigned)calls_of("aside ends");

    for (unsigned at = 2000; at <= 128000; at *= 2) {
        ck_assert_int_eq(shell("VISTA_KILLS='%us%u' $K -f run.dc $F aside >out 2>err", call, at),
                         0);
        ck_assert_str_eq(contents("err"), "");
        ck_assert_str_eq(contents("out"), "begins 0\nstatus 9\n");
    }
}
END_TEST

#define SLEEPERS "/bin/sh -c 'sleep 1000 & echo here; wait'"

/* It says so behind the commit that has the child. */
START_TEST(run_without_its_children_does_not_go_on)
{
    ck_assert_int_eq(shell("$R -f run.dc " SLEEPERS " >out 2>err & "
                           "until [ -s out ]; do sleep 0.01; done; kill -9 $!; wait; "
                           "$R -f run.dc " SLEEPERS " >out 2>err"),
                     1);
    ck_assert_str_eq(contents("out"), "");
    holds("err", "ended with its supervisor; --fresh begins anew");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint family");
    TCase *tests = test_case(suite, "family", 20);

    if (!vista_run_works(VISTA_RUN))
        return 77;
    tcase_add_checked_fixture(tests, enter_case, NULL);
    tcase_add_test(tests, child_is_waited_for_once);
    tcase_add_test(tests, several_children_end_in_any_order);
    tcase_add_test(tests, children_may_be_ignored);
    tcase_add_test(tests, each_end_of_a_child_is_signalled);
    tcase_add_test(tests, run_without_its_children_does_not_go_on);
    tcase_add_test(tests, pipes_lose_and_repeat_nothing);
    tcase_add_test(tests, lines_of_others_are_not_undone);
    tcase_add_test(tests, lock_ends_with_the_file);
    tcase_add_test(tests, pipe_may_have_two_readers);
    tcase_add_test(tests, pipe_may_have_a_name);
    tcase_add_test(tests, file_that_is_shared_has_one_offset);
    tcase_add_test(tests, children_are_other_programs);
    tcase_add_test(tests, fork_that_is_refused_shares_nothing);
    tcase_add_test(tests, fork_whose_commit_is_lost_makes_its_own);
    tcase_add_test(tests, child_knows_its_parent_after_a_new_start);
    tcase_add_test(tests, shared_file_goes_on_under_a_new_supervisor);
    tcase_add_test(tests, line_of_another_outlives_the_making_of_its_file);
    tcase_add_test(tests, number_of_a_child_that_was_waited_for_is_no_ones);
    tcase_add_test(tests, file_goes_when_the_program_ends);
    tcase_add_test(tests, what_is_left_behind_ends_by_a_signal);
    tcase_add_test(tests, files_of_what_is_left_behind_go);
    tcase_add_test(tests, what_is_left_behind_cannot_go_on);
    tcase_add_test(tests, files_of_a_child_go_with_it);
    tcase_add_test(tests, files_of_what_dies_with_a_child_go);
    tcase_add_test(tests, hangup_of_the_programs_group_stops_no_run);
    tcase_add_test(tests, signals_that_a_supervisor_has_are_the_childs);
    tcase_add_test(tests, signal_that_no_one_handles_changes_nothing);
    tcase_add_test(tests, folder_that_it_is_in_has_another_name);
    tcase_add_test(tests, terminal_is_as_a_child_has_set_it);
    tcase_add_test(tests, child_that_cannot_go_on_stops_the_run);
    tcase_add_test(tests, child_reads_what_its_parent_had_open);
    tcase_add_test(tests, child_has_an_offset_of_its_own);
    return test_run(suite);
}
