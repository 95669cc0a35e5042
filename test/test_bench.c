/* SPDX-License-Identifier: BSD-3-Clause
 *
 * bench/: every workload runs on every peer in every class, and its checks can fail;
 * what a killed run leaves passes them; what it is told wrongly it says.
 *
 * The files of killed runs are looked at by `vista-bench --verify`, which knows what
 * was acknowledged, and by vista_check.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "command.h"

#define SHORT "--runs 1 --seconds 0.005"

/* The peers that are no part of this project's code are not for the sanitizers. */
static const char *peers(const char *all)
{
    return test_is_sanitized() || test_is_valgrind() ? "vista,floor,plain" : all;
}

/* Every row is a JSON object of its own that says it passed. */
static void expect_rows(unsigned least)
{
    unsigned rows = 0;

    for (const char *line = output; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (*line != '{')
            continue;
        ck_assert_msg(strstr(line, "\"failed\":false,\"ns\":") != NULL, "%s", line);
        ck_assert_msg(strstr(line, "}\n") != NULL, "%s", line);
        rows++;
    }
    ck_assert_msg(rows >= least, "%u rows, not %u:\n%s", rows, least, output);
}

/* `least`: rows of the peers that are always built in. */
static void expect_workload(const char *command, unsigned least, const char *options)
{
    const bool few = test_is_sanitized() || test_is_valgrind();

    EXPECT(0, "\"workload\":", "bench/vista-bench %s " SHORT " --json --class %s %s", command,
           few ? "kill" : "kill,line,eadr", options);
    expect_rows(few ? 2 : least);
}

/* The same with these peers. */
static void expect_peers(const char *command, unsigned least, const char *options, const char *all)
{
    char text[128];

    snprintf(text, sizeof text, "%s --peer %s", options, peers(all));
    expect_workload(command, least, text);
}

/* Who reads it through a pipe hears from it, too. */
START_TEST(test_progress)
{
    EXPECT(0, "  1/1  debit-credit, vista, kill\n",
           "bench/vista-bench debit-credit --peer vista --class kill " SHORT);
}
END_TEST

START_TEST(test_debit_credit)
{
    expect_peers("debit-credit", 11, "--size 10M",
                 "vista,vista-auto,floor,plain,faults,libpmemobj,lmdb,sqlite");
    expect_workload("debit-credit", 4, "--size 20M --threads 2 --peer vista,plain");
    expect_workload("debit-credit", 4, "--size 20M --threads 2 --shared --peer vista,plain");
}
END_TEST

START_TEST(test_order_entry)
{
    expect_peers("order-entry", 10, "", "vista,vista-auto,floor,plain,libpmemobj");
}
END_TEST

START_TEST(test_synthetic)
{
    expect_peers("synthetic", 11, "--size 4M --range 100",
                 "vista,vista-auto,floor,plain,faults,libpmemobj,lmdb,sqlite");
}
END_TEST

START_TEST(test_heap)
{
    expect_peers("heap", 12, "--size 16M", "vista,plain,libpmemobj,lmdb,sqlite");
}
END_TEST

/* The disk class and RVM, flushed and not, and what is their floor. */
START_TEST(test_disk_peers)
{
    EXPECT(0, "\"workload\":",
           "bench/vista-bench debit-credit " SHORT " --json --size 10M --class kill,sync --peer %s",
           peers("vista-disk,vista-disk-8,vista-disk-64,vista-disk-lazy,vista-disk-everysec,"
                 "floor-sync,floor-ring,rvm,rvm-8,rvm-64,rvm-lazy"));
    expect_rows(strcmp(peers("all"), "all") == 0 ? 11 : 2);
    EXPECT(0,
           "\"workload\":", "bench/vista-bench order-entry " SHORT " --json --class kill --peer %s",
           peers("vista-disk-lazy,rvm-lazy"));
    expect_rows(2);
    EXPECT(0, "\"workload\":",
           "bench/vista-bench heap " SHORT " --json --size 16M --class kill,sync --peer %s",
           peers("vista-disk,vista-disk-lazy"));
    expect_rows(strcmp(peers("all"), "all") == 0 ? 6 : 2);
    EXPECT(0, "heap-small",
           "bench/vista-bench threads " SHORT " --size 20M --threads 2 --class kill --peer %s",
           peers("vista-disk-lazy"));
    EXPECT(0, "\"workload\":",
           "bench/vista-bench synthetic " SHORT " --json --range 1M --class kill,sync --peer %s",
           "floor-sync,floor-ring");
    expect_rows(2);
}
END_TEST

/* The bars of the peers that are asked for have their figures, the others say why not. */
START_TEST(test_disk)
{
    EXPECT(0, "  1  NO_FLUSH, debit-credit: the same  ",
           "bench/vista-bench disk " SHORT " --size 10M --path . --peer %s",
           "vista-disk-lazy,floor-ring");
    ck_assert(strstr(output, "a peer is missing") != NULL);
    ck_assert(strstr(output, "  <= 1.3 ") != NULL);
    ck_assert(strstr(output, "Invariants after each run: all held") != NULL);
}
END_TEST

START_TEST(test_segments)
{
    expect_workload("segments", 7, "--size 10M");
}
END_TEST

START_TEST(test_threads)
{
    expect_peers("threads", 32, "--size 20M --threads 2", "vista,plain,libpmemobj");
    ck_assert(strstr(output, "{\"workload\":\"heap-small\",\"peer\":\"vista\",\"class\":\"kill\","
                             "\"threads\":2,\"shared\":true") != NULL);
    ck_assert(strstr(output, "live blocks hold their numbers") != NULL);
}
END_TEST

/* What goes on with a file does so in the class that the row names. */
START_TEST(test_resumed_class)
{
    const char *path = test_path("resumed");

    for (int i = 0; i < 2; i++) {
        EXPECT(0, "Invariants after each run: all held",
               "bench/vista-bench debit-credit --size 10M " SHORT
               " --peer vista --class line --path %s --resume",
               path);
        EXPECT(0, "\"log_class\": \"line\"", "vista info --json %s", path);
    }
}
END_TEST

/* A file's first line is the heading, and each line has as many fields. */
START_TEST(test_csv)
{
    const char *path = test_path("csv");
    char line[1024];
    unsigned fields = 0, lines = 0;
    FILE *file;

    EXPECT(0, "Invariants after each run: all held",
           "bench/vista-bench debit-credit --size 10M " SHORT " --peer vista,plain --csv %s", path);
    file = fopen(path, "r");
    ck_assert_ptr_ne(file, NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned found = 1;
        bool quoted = false;

        for (const char *at = line; *at != '\0'; at++) {
            quoted ^= *at == '"';
            found += *at == ',' && !quoted;
        }
        ck_assert(lines++ == 0 || found == fields);
        fields = found;
    }
    fclose(file);
    ck_assert_uint_eq(lines, 3);
}
END_TEST

START_TEST(test_wrong_options)
{
    static const char *const wrong[][2] = {
        {"", "a command is wanted"},
        {"debit", "no command 'debit'"},
        {"debit-credit order-entry", "'order-entry' stands after it"},
        {"debit-credit --seconds 0", "--seconds wants a number"},
        {"debit-credit --seconds nan", "--seconds wants a number"},
        {"debit-credit --seconds 1x", "not '1x'"},
        {"debit-credit --runs 0", "--runs wants a whole number from 1"},
        {"debit-credit --runs 1000", "--runs wants"},
        {"debit-credit --threads -1", "--threads wants"},
        {"debit-credit --size 5X", "--size wants a size"},
        {"debit-credit --size 0", "--size wants a size"},
        {"debit-credit --class fast", "no class 'fast'"},
        {"debit-credit --class ''", "an empty list"},
        {"debit-credit --peer oracle", "no peer 'oracle'"},
        {"debit-credit --class sync --peer vista", "none of these peers"},
        {"order-entry --threads 2", "none of these peers"},
        {"debit-credit --resume", "--resume wants a file"},
        {"synthetic --verify x", "--verify wants"},
        {"synthetic --range 2M", "--range: 1 MB at most"},
        {"debit-credit --frequency 1", "frequency"},
        {"debit-credit --path /proc/version", "one --peer and one --class"},
        {"debit-credit --path /no/such/directory", "No such file or directory"},
        {"debit-credit --csv /no/such/directory/file", "No such file or directory"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        EXPECT(2, wrong[i][1], "bench/vista-bench %s", wrong[i][0]);
    EXPECT(0, "--seconds S", "bench/vista-bench --help");
    EXPECT(1, "No such file", "bench/vista-bench debit-credit --verify /no/such/file");
}
END_TEST

/* The process of a run. */
static pid_t start_run(const char *workload, const char *peer, const char *path,
                       const char *const options[])
{
    const char *arguments[32] = {"vista-bench", workload, "--worker", "--peer", peer,
                                 "--size",      "10M",    "--path",   path};
    unsigned n = 9;
    char program[PATH_MAX];
    pid_t child;
    int null;

    while (*options != NULL)
        arguments[n++] = *options++;
    snprintf(program, sizeof program, "%s/bench/vista-bench", build_directory());
    child = test_begin_child();
    if (child > 0)
        return child;
    null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execv(program, (char *const *)(uintptr_t)arguments);
    _exit(99);
}

/* ---- Threads ----------------------------------------------------------- */

/* Whether two threads of a process are each bound to a processor, and not to one.  (The
 * thread sanitizer has a third.) */
static bool threads_are_apart(pid_t process)
{
    char path[64];
    cpu_set_t all, one;
    unsigned threads = 0;
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    tasks = opendir(path);
    CPU_ZERO(&all);
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] == '.' ||
            sched_getaffinity((pid_t)atoi(entry->d_name), sizeof one, &one) != 0 ||
            CPU_COUNT(&one) != 1)
            continue;
        CPU_OR(&all, &all, &one);
        threads++;
    }
    if (tasks != NULL)
        closedir(tasks);
    return threads >= 2 && CPU_COUNT(&all) == 2;
}

START_TEST(test_threads_apart)
{
    const char *path = test_path("apart");
    const char *const options[] = {"--seconds", "20", "--threads", "2", NULL};
    cpu_set_t allowed;
    bool apart = false;
    pid_t child;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2)
        return; /* nowhere to go */
    child = start_run("debit-credit", "plain", path, options);
    for (int i = 0; i < 4000 && !apart; i++) {
        test_sleep_us(5000);
        apart = threads_are_apart(child);
    }
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_msg(apart, "two threads were never on processors of their own");
}
END_TEST

/* ---- Kills ------------------------------------------------------------- */

/* The first thread's transactions so far, from the file of --acks. */
static uint64_t acknowledged(const char *acks)
{
    const int fd = open(acks, O_RDONLY);
    uint64_t count = 0;

    if (fd >= 0 && pread(fd, &count, sizeof count, 0) != (ssize_t)sizeof count)
        count = 0;
    close(fd);
    return count;
}

/* A run that goes on with what is there, killed so many microseconds after its start or,
 * if it is to be `busy`, after its first transaction. */
static void kill_run(const char *workload, const char *peer, const char *path, const char *acks,
                     bool busy, uint64_t microseconds)
{
    const uint64_t before = acknowledged(acks);
    const char *const options[] = {"--class", "kill", "--seconds", "0.3",
                                   "--acks",  acks,   "--resume",  NULL};
    const pid_t child = start_run(workload, peer, path, options);
    int status;

    for (int i = 0; busy && i < 20000 && acknowledged(acks) == before; i++)
        test_sleep_us(500);
    test_sleep_us(microseconds);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "%s on %s gave %#x", workload,
                  peer, status);
}

/* The first kill is while the database is made, the others while it is worked on.
 * libpmemobj does not promise to open a file whose making was killed. */
static void kills(const char *workload, const char *peer, unsigned times)
{
    const char *path = test_path(workload);
    const char *acks = test_path("acks");
    struct test_random random = test_random_new(7);

    unlink(path);
    unlink(acks);
    for (unsigned i = strcmp(peer, "libpmemobj") == 0; i <= times; i++) {
        kill_run(workload, peer, path, acks, i > 0, test_below(&random, 200000));
        if (access(path, F_OK) != 0)
            continue;
        EXPECT(0, ": sound: ", "bench/vista-bench %s --peer %s --verify %s --acks %s", workload,
               peer, path, acks);
        if (strncmp(peer, "vista", 5) == 0)
            test_sound(path);
        if (i == 0) /* a database that was never finished cannot be gone on with */
            unlink(path);
    }
}

START_TEST(test_killed_order_entry)
{
    kills("order-entry", "vista", test_times(5));
}
END_TEST

START_TEST(test_killed_order_entry_floor)
{
    kills("order-entry", "floor", test_times(3));
}
END_TEST

START_TEST(test_killed_debit_credit)
{
    kills("debit-credit", "vista", test_times(5));
    kills("debit-credit", "vista-two", test_times(5));
    kills("debit-credit", "vista-auto", test_times(4));
    kills("debit-credit", "vista-disk-lazy", test_times(3));
    kills("debit-credit", "floor", test_times(4));
}
END_TEST

START_TEST(test_killed_peers)
{
    static const char *const others[] = {"libpmemobj", "lmdb", "sqlite"};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        run("bench/vista-bench order-entry --peer %s --threads 2", others[i]);
        if (strstr(output, "not built in") == NULL && strcmp(peers("all"), "all") == 0)
            kills("debit-credit", others[i], 1);
    }
}
END_TEST

/* The checks find what is wrong: an acknowledged transaction that is not there, and a
 * changed byte. */
START_TEST(test_verify_finds)
{
    const char *path = test_path("bank");
    const char *acks = test_path("bank-acks");
    uint64_t count;
    int fd;

    EXPECT(0, "",
           "bench/vista-bench debit-credit --peer vista --class kill --size 10M " SHORT
           " --path %s --acks %s",
           path, acks);
    EXPECT(0, ": sound: ", "bench/vista-bench debit-credit --verify %s --acks %s", path, acks);
    fd = open(acks, O_RDWR);
    ck_assert_int_eq(pread(fd, &count, sizeof count, 0), (int)sizeof count);
    ck_assert_uint_gt(count, 0);
    count++;
    ck_assert_int_eq(pwrite(fd, &count, sizeof count, 0), (int)sizeof count);
    close(fd);
    EXPECT(1, "BROKEN", "bench/vista-bench debit-credit --verify %s --acks %s", path, acks);
    EXPECT(1, "", "bench/vista-bench order-entry --peer floor --verify %s", path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench");
    TCase *runs = test_case(suite, "runs", 120);
    TCase *killed = test_case(suite, "killed", 120);

    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* a run ends with its process */
    tcase_add_test(runs, test_progress);
    tcase_add_test(runs, test_debit_credit);
    tcase_add_test(runs, test_order_entry);
    tcase_add_test(runs, test_synthetic);
    tcase_add_test(runs, test_heap);
    tcase_add_test(runs, test_disk_peers);
    tcase_add_test(runs, test_disk);
    tcase_add_test(runs, test_segments);
    tcase_add_test(runs, test_threads);
    tcase_add_test(runs, test_csv);
    tcase_add_test(runs, test_resumed_class);
    tcase_add_test(runs, test_wrong_options);
    tcase_add_test(runs, test_threads_apart);
    tcase_add_test(killed, test_killed_order_entry);
    tcase_add_test(killed, test_killed_order_entry_floor);
    tcase_add_test(killed, test_killed_debit_credit);
    tcase_add_test(killed, test_killed_peers);
    tcase_add_test(killed, test_verify_finds);
    return test_run(suite);
}
