/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Programs under vista-run, killed before and after system calls and at random, and compared
 * with a run that was not: visible events, files, the final screen, the exit status.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "run_fixture.h"
#include "session.h"

#define KILLS_A_SESSION 64

struct program {
    struct session_script script;
    const char *const *files; /* to be compared */
    unsigned sessions;        /* 0: as many as kill at each call, on a side that is drawn */
    unsigned interval_us;     /* between kills at random, on average */
};

static const char *const bc_arguments[] = {"/usr/bin/bc", "-q", NULL};
static const char *const bc_keys[] = {"2+3\n",
                                      "x=7^20\n",
                                      "x\n",
                                      "define f(n) {\n",
                                      "if (n<2) return (1)\n",
                                      "return (n*f(n-1))\n",
                                      "}\n",
                                      "f(30)\n",
                                      "scale=20\n",
                                      "4*a(1)\n",
                                      "1/7\n",
                                      "quit\n",
                                      NULL};
static const char *const lua_arguments[] = {"/usr/bin/lua5.4", "-i", NULL};
static const char *const lua_keys[] = {"t={}\n",
                                       "for i=1,200 do t[i]=i*i end\n",
                                       "print(#t, t[77])\n",
                                       "f=io.open('out','w')\n",
                                       "_=f:write('one\\n')\n",
                                       "_=f:flush()\n",
                                       "print(2^10)\n",
                                       "f:write('two\\n') f:close()\n",
                                       "print(io.open('out'):read('a'))\n",
                                       "os.remove('out')\n",
                                       "g=io.open('kept','a') g:write('end\\n') g:close()\n",
                                       "os.exit(3)\n",
                                       NULL};
static const char *const sqlite_arguments[] = {"/usr/bin/sqlite3", "base.db", NULL};
static const char *const sqlite_keys[] = {"create table t(a,b);\n",
                                          "insert into t values(1,'one');\n",
                                          "insert into t values(2,'two');\n",
                                          "select * from t;\n",
                                          "begin;\n",
                                          "insert into t select a+10,b from t;\n",
                                          "select count(*) from t;\n",
                                          "commit;\n",
                                          "update t set b='x' where a=1;\n",
                                          "select sum(a),max(b) from t;\n",
                                          ".quit\n",
                                          NULL};
static const char *const nvi_arguments[] = {"/usr/bin/nvi", "letter", NULL};
static const char *const nvi_keys[] = {"i", "D",    "e",    "a", "r", " ",    "y",  "o",  "u", "\n",
                                       "h", "e",    "l",    "l", "o", "\033", "k",  "x",  "j", "A",
                                       "!", "\033", "d",    "d", "p", ":",    "w",  "\n", "o", "e",
                                       "n", "d",    "\033", ":", "w", "q",    "\n", NULL};
static const char *const sc_arguments[] = {"/usr/bin/sc", NULL};
static const char *const sc_keys[] = {"=", "4",  "2", "\n", "j",  "=", "a", "0", "*",
                                      "2", "\n", "l", "<",  "w",  "o", "r", "d", "\n",
                                      "P", "o",  "u", "t",  "\n", "q", NULL};
static const char *const tclsh_arguments[] = {"/usr/bin/tclsh", NULL};
static const char *const tclsh_keys[] = {"set x 5\n",
                                         "proc f n {expr {$n*2}}\n",
                                         "puts [f $x]\n",
                                         "set f [open out w]\n",
                                         "puts $f hello\n",
                                         "close $f\n",
                                         "lsort {c a b}\n",
                                         "exit 2\n",
                                         NULL};
static const char *const python_arguments[] = {"/usr/bin/python3", "-q", NULL};
static const char *const python_keys[] = {"x = 2**100\n",
                                          "print(x)\n",
                                          "open('out','w').write('abc')\n",
                                          "import json\n",
                                          "json.dumps({'a': [1, 2]})\n",
                                          "exit(4)\n",
                                          NULL};
#define MAGIC "/usr/lib/x86_64-linux-gnu/magic/tcl/magicdnull"
static const char *const magic_arguments[] = {MAGIC, "-nowrapper", "-dnull", "-noconsole", NULL};
static const char *const magic_keys[] = {
    "box 0 0 4 6\n", "paint magnet\n", "select area\n", "what\n",           "save drawing\n",
    "move r 3\n",    "box\n",          "undo\n",        "quit -noprompt\n", NULL};
static const char *const no_files[] = {NULL};
static const char *const out_file[] = {"out", NULL};
static const char *const lua_files[] = {"kept", NULL};
static const char *const letter_file[] = {"letter", NULL};

static const struct program programs[] = {
    {{"bc", bc_arguments, bc_keys, NULL}, no_files, 0, 60000},
    {{"lua5.4", lua_arguments, lua_keys, NULL}, lua_files, 0, 60000},
    {{"sqlite3", sqlite_arguments, sqlite_keys, NULL}, no_files, 0, 60000},
    {{"nvi", nvi_arguments, nvi_keys, NULL}, letter_file, 0, 1000000},
    {{"sc", sc_arguments, sc_keys, NULL}, out_file, 2, 60000},
    {{"tclsh", tclsh_arguments, tclsh_keys, NULL}, out_file, 2, 60000},
    {{"python3", python_arguments, python_keys, NULL}, out_file, 2, 150000},
    {{"magic", magic_arguments, magic_keys, NULL},
     no_files,
     2,
     1000000}, /* its file has the time in it */
};
#define PROGRAMS ((int)(sizeof programs / sizeof programs[0]))

static char folder[4200], before[4096];

/* In folders of their own, one for each run. */
static void enter(const char *program)
{
    struct statvfs fs;
    const bool memory = statvfs("/dev/shm", &fs) == 0 && !(fs.f_flag & ST_NOEXEC);

    ck_assert_ptr_nonnull(getcwd(before, sizeof before));
    snprintf(folder, sizeof folder, "%s/%s-XXXXXX", memory ? "/dev/shm" : before, program);
    if (mkdtemp(folder) == NULL || chdir(folder) != 0)
        ck_abort_msg("%s: %s", folder, strerror(errno));
}

static void leave(void)
{
    char command[4300];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (chdir(before) != 0 || system(command) != 0)
        ck_abort_msg("cannot leave: %s", strerror(errno));
}

struct contents {
    char bytes[4096];
    ssize_t size; /* -1: not there */
};

static void read_contents(const char *name, struct contents *contents)
{
    FILE *file = fopen(name, "re");

    memset(contents, 0, sizeof *contents);
    contents->size = -1;
    if (file == NULL)
        return;
    contents->size = (ssize_t)fread(contents->bytes, 1, sizeof contents->bytes, file);
    fclose(file);
}

struct outcome {
    struct session_result result;
    struct contents files[2];
};

static const char *runner(void)
{
    const char *given = getenv("VISTA_TEST_RUNNER"); /* one with a seeded bug */

    return given != NULL ? given : VISTA_RUN_KILLED;
}

static bool run(const struct program *p, const char *kills, unsigned random_us, uint64_t seed,
                struct outcome *outcome)
{
    const bool good = session_run(runner(), &p->script, kills, random_us, seed, &outcome->result);

    for (int i = 0; p->files[i] != NULL; i++)
        read_contents(p->files[i], &outcome->files[i]);
    return good;
}

static const char *difference(const struct program *p, const struct outcome *reference,
                              const struct outcome *outcome, bool screen)
{
    if (outcome->result.status != reference->result.status)
        return "it ended with another status";
    for (int i = 0; p->files[i] != NULL; i++)
        if (memcmp(&outcome->files[i], &reference->files[i], sizeof outcome->files[i]) != 0)
            return "a file differs";
    if (!session_same_events(&reference->result, &outcome->result))
        return "its visible events are no others' of a run without failures";
    if (outcome->result.breach[0] != '\0')
        return outcome->result.breach;
    if (screen && !screen_equal(&outcome->result.screen, &reference->result.screen))
        return "the screen differs";
    return NULL;
}

static bool is_there(const struct program *p)
{
    if (access(p->script.arguments[0], X_OK) == 0)
        return true;
    test_skip(p->script.name, "it is not installed");
    return false;
}

static struct outcome reference, other;

static void reference_run(const struct program *p)
{
    enter(p->script.name);
    if (!run(p, NULL, 0, 0, &reference)) {
        screen_print(&reference.result.screen);
        ck_abort_msg("%s does not run to its end", p->script.name);
    }
    ck_assert_str_eq(reference.result.breach, "");
    leave();
}

struct point {
    unsigned call;
    bool after;
};

static int by_place(const void *a, const void *b)
{
    const struct point *x = a, *y = b;

    return x->call != y->call ? (x->call < y->call ? -1 : 1) : x->after - y->after;
}

/* A place before or after each call of the reference run, in an order that is drawn. */
static struct point *draw_points(struct test_random *random, unsigned *count)
{
    struct point *points;

    *count = (unsigned)reference.result.calls;
    points = malloc(*count * sizeof *points);
    SOME(points);
    for (unsigned i = 0; i < *count; i++)
        points[i] = (struct point){i + 1, i + 1 < *count && test_below(random, 2)};
    for (unsigned i = *count - 1; i > 0; i--) {
        const unsigned j = (unsigned)test_below(random, i + 1);
        const struct point swap = points[i];

        points[i] = points[j];
        points[j] = swap;
    }
    return points;
}

static void killed_session(const struct program *p, struct point *points, unsigned count)
{
    char kills[KILLS_A_SESSION * 16] = "";
    const char *wrong;
    bool good;

    qsort(points, count, sizeof *points, by_place);
    for (unsigned i = 0; i < count; i++)
        sprintf(kills + strlen(kills), "%u%c ", points[i].call, points[i].after ? 'a' : 'b');
    enter(p->script.name);
    good = run(p, kills, 0, 0, &other);
    wrong = good ? difference(p, &reference, &other, true) : "it did not end as it should";
    if (!good)
        printf("status %x, %u resumes, %u events\n", other.result.status, other.result.resumes,
               other.result.count);
    if (wrong != NULL) {
        screen_print(&reference.result.screen);
        screen_print(&other.result.screen);
        ck_abort_msg("%s %s killed at \"%s\": %s", p->script.name,
                     p->script.protocol != NULL ? p->script.protocol : "", kills, wrong);
    }
    leave();
}

START_TEST(killed_at_each_call)
{
    const struct program *p = &programs[_i];
    struct test_random random = test_random_new((uint64_t)_i);
    struct point *points;
    unsigned count, sessions, kills = 0, resumes = 0, quick = 0;

    if (!is_there(p))
        return;
    reference_run(p);
    OK(setenv("VISTA_QUICK", "1", 1)); /* calls that need no trap make none, and are killed there */
    points = draw_points(&random, &count);
    sessions = (count + KILLS_A_SESSION - 1) / KILLS_A_SESSION;
    if (p->sessions != 0 && test_times(p->sessions) < sessions)
        sessions = test_times(p->sessions);
    else if (test_scale() < 1)
        sessions = test_times(sessions);
    for (unsigned i = 0; i < sessions; i++) {
        const unsigned from = i * KILLS_A_SESSION;
        const unsigned part = count - from < KILLS_A_SESSION ? count - from : KILLS_A_SESSION;

        killed_session(p, points + from, part);
        kills += part;
        resumes += other.result.resumes;
        quick += (unsigned)other.result.quick_kills;
    }
    OK(unsetenv("VISTA_QUICK"));
    printf(
        "%s: %u system calls, %u sessions, %u kills drawn, %u resumed, %u of them at calls without "
        "the trap, none wrong\n",
        p->script.name, (unsigned)reference.result.calls, sessions, kills, resumes, quick);
    ck_assert_uint_ge(resumes, kills / 2);
    ck_assert(quick != 0 || p->sessions != 0 || test_scale() < 1);
    free(points);
}
END_TEST

/* A kill between an event and its note repeats it, which a screen that scrolls shows. */
START_TEST(killed_at_random)
{
    const struct program *p = &programs[_i];
    struct test_random random = test_random_new(100 + (uint64_t)_i);
    unsigned resumes = 0;

    if (!is_there(p))
        return;
    reference_run(p);
    for (unsigned i = 0; i < test_times(3); i++) {
        const uint64_t seed = test_next(&random);
        const char *wrong;

        enter(p->script.name);
        wrong = run(p, NULL, p->interval_us, seed, &other)
                    ? difference(p, &reference, &other, false)
                    : "it did not end";
        if (wrong != NULL) {
            screen_print(&reference.result.screen);
            screen_print(&other.result.screen);
            ck_abort_msg("%s killed at random: %s", p->script.name, wrong);
        }
        resumes += other.result.resumes;
        leave();
    }
    printf("%s: killed %u times at random, none wrong\n", p->script.name, resumes);
}
END_TEST

enum { CPVS, CAND, CBNDVS, CAND_LOG, CBNDVS_LOG, ADAPTIVE, PROTOCOLS };
static const char *const protocols[PROTOCOLS] = {"cpvs",     "cand",       "cbndvs",
                                                 "cand-log", "cbndvs-log", "adaptive"};
#define KILLS_A_PROTOCOL 32

static void killed_under(struct program *p, struct test_random *random)
{
    unsigned count;
    struct point *points = draw_points(random, &count);

    count = count < KILLS_A_PROTOCOL ? count : KILLS_A_PROTOCOL;
    killed_session(p, points, count);
    free(points);
}

/* What is between two commits is done again, or replayed, and no one sees a difference. */
START_TEST(killed_under_each_protocol)
{
    struct program p = programs[_i];
    struct test_random random = test_random_new(200 + (uint64_t)_i);
    unsigned commits[PROTOCOLS];

    if (!is_there(&p))
        return;
    for (int i = CPVS; i < PROTOCOLS; i++) {
        p.script.protocol = protocols[i];
        reference_run(&p);
        commits[i] = reference.result.commits;
        if (i != CPVS)
            killed_under(&p, &random);
        printf("%s: %u commits of %s, %u kills, none wrong\n", p.script.name, commits[i],
               protocols[i], i != CPVS ? other.result.resumes : 0);
    }
    ck_assert_uint_le(commits[CBNDVS], commits[CPVS]);
    ck_assert_uint_le(commits[CBNDVS], commits[CAND]);
    ck_assert_uint_le(commits[CAND_LOG], commits[CAND]);
    ck_assert_uint_le(commits[CBNDVS_LOG], commits[CBNDVS]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sessions");

    if (!vista_run_works(VISTA_RUN_KILLED))
        return 77;
    for (int i = 0; i < PROGRAMS; i++) {
        TCase *tests = test_case(suite, programs[i].script.name, 60);

        tcase_add_loop_test(tests, killed_at_each_call, i, i + 1);
        tcase_add_loop_test(tests, killed_at_random, i, i + 1);
        tcase_add_loop_test(tests, killed_under_each_protocol, i, i + 1);
    }
    return test_run(suite);
}
