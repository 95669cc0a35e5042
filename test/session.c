/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sessions: see session.h.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../bench/checkpoint/child_of.h"
#include "trace/trace_reader.h"

#define TRACE "trace"
#define CALLS "calls"
#define PATIENCE_MS 30000

struct session {
    pid_t supervisor;
    int master;
    int slave; /* to see what was typed and not yet read */
    bool ended;
    int status;
    struct screen *screen;
    unsigned random_us;
    uint64_t state; /* of the random numbers */
    int64_t next_kill;
};

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t next_random(struct session *s)
{
    s->state ^= s->state << 13;
    s->state ^= s->state >> 7;
    s->state ^= s->state << 17;
    return s->state;
}

/* Does it wait for input, for as long as it takes? */
static bool is_waiting(const struct session *s)
{
    const pid_t pid = child_of(s->supervisor);
    unsigned long long number, a[5] = {0};
    char name[64];
    FILE *file;
    int found = 0;

    if (pid == 0)
        return false;
    snprintf(name, sizeof name, "/proc/%d/syscall", pid);
    file = fopen(name, "re");
    if (file != NULL) {
        found = fscanf(file, "%llu %llx %llx %llx %llx %llx", &number, &a[0], &a[1], &a[2], &a[3],
                       &a[4]);
        fclose(file);
    }
    return found == 6 && ((number == SYS_ppoll && a[1] != 0 && a[2] == 0) ||
                          (number == SYS_pselect6 && a[0] != 0 && a[4] == 0));
}

/* Takes what it has written; false: nothing came for a millisecond. */
static bool drain(struct session *s)
{
    struct pollfd pollfd = {.fd = s->master, .events = POLLIN};
    char bytes[4096];
    ssize_t got;

    if (poll(&pollfd, 1, 1) != 1)
        return false;
    got = read(s->master, bytes, sizeof bytes);
    if (got > 0)
        screen_put(s->screen, bytes, (size_t)got);
    return got > 0;
}

static bool is_all_read(const struct session *s)
{
    struct pollfd pollfd = {.fd = s->slave, .events = POLLIN};

    return poll(&pollfd, 1, 0) == 0;
}

static void kill_by_chance(struct session *s)
{
    pid_t pid;

    if (s->random_us == 0 || now_us() < s->next_kill)
        return;
    pid = child_of(s->supervisor);
    if (pid != 0)
        kill(pid, SIGKILL);
    s->next_kill = now_us() + (int64_t)(next_random(s) % (2 * s->random_us));
}

static void look(struct session *s)
{
    if (!s->ended && waitpid(s->supervisor, &s->status, WNOHANG) == s->supervisor)
        s->ended = true;
}

/* Waits until it is ready for a key, or, with `end`, has ended. */
static bool settle(struct session *s, bool end)
{
    const int64_t limit = now_us() + PATIENCE_MS * 1000;
    int quiet = 0;

    while (quiet < 2 && now_us() < limit) {
        const bool came = drain(s);

        kill_by_chance(s);
        look(s);
        if (s->ended && !came)
            return true;
        quiet = !end && !came && is_all_read(s) && is_waiting(s) ? quiet + 1 : 0;
    }
    return quiet >= 2;
}

static void run_child(const char *runner, const struct session_script *script, const char *kills)
{
    const char *argv[32] = {runner, "-f", "run.dc", "--trace", TRACE, "--retries", "1000000"};
    char home[4096];
    int count = 7;

    if (script->protocol != NULL) {
        argv[count++] = "-p";
        argv[count++] = script->protocol;
    }
    for (int i = 0; script->arguments[i] != NULL && count < 31; i++)
        argv[count++] = script->arguments[i];
    setenv("TERM", "vt100", 1);
    setenv("LC_ALL", "C", 1);
    setenv("HOME", getcwd(home, sizeof home) != NULL ? home : ".", 1);
    setenv("VISTA_CALLS", CALLS, 1);
    if (kills != NULL)
        setenv("VISTA_KILLS", kills, 1);
    execv(runner, (char **)argv);
    _exit(126);
}

static bool start(struct session *s, const char *runner, const struct session_script *script,
                  const char *kills)
{
    const struct winsize size = {.ws_row = SCREEN_ROWS, .ws_col = SCREEN_COLUMNS};

    char name[64];

    (void)unlink(TRACE);
    (void)unlink(CALLS);
    s->supervisor = forkpty(&s->master, name, NULL, &size);
    if (s->supervisor == 0)
        run_child(runner, script, kills);
    s->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return s->supervisor > 0 && s->slave >= 0;
}

static void read_trace(struct session_result *result)
{
    const int fd = open(TRACE, O_RDONLY | O_CLOEXEC);
    struct vi_trace_record record;
    bool resumed = false;
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;

    while (file != NULL && fread(&record, sizeof record, 1, file) == 1 &&
           record.kind != VI_TRACE_NONE) {
        if (record.kind == VI_TRACE_RESUME) {
            resumed = true;
            result->resumes++;
        }
        result->commits += record.kind == VI_TRACE_COMMIT;
        if (record.kind != VI_TRACE_VISIBLE || result->count == SESSION_EVENTS)
            continue;
        result->events[result->count++] =
            (struct session_event){record.message, record.result, record.descriptor, resumed};
        resumed = false;
    }
    if (file != NULL)
        fclose(file);
}

struct breach {
    const struct vi_traces *traces;
    char *text;
};

static void note_breach(void *argument, uint32_t event, uint32_t cause)
{
    const struct breach *breach = argument;
    char what[128], why[128];

    vi_traces_describe(breach->traces, event, what, sizeof what);
    vi_traces_describe(breach->traces, cause, why, sizeof why);
    if (breach->text[0] == '\0')
        snprintf(breach->text, SESSION_BREACH, "%s, record %u, depends on %s, record %u", what,
                 breach->traces->origins[event].record.sequence, why,
                 breach->traces->origins[cause].record.sequence);
}

static void check_trace(struct session_result *result)
{
    struct vi_traces traces = {0};
    const char *wrong = vi_traces_read(&traces, TRACE);
    struct breach breach = {&traces, result->breach};

    if (wrong != NULL || !vi_traces_join(&traces))
        snprintf(result->breach, SESSION_BREACH, "%s", wrong != NULL ? wrong : "no memory");
    else if (vi_save_work(&traces.history, note_breach, &breach, NULL) == VI_WORK_NO_MEMORY)
        snprintf(result->breach, SESSION_BREACH, "no memory");
    vi_traces_free(&traces);
}

static void read_calls(struct session_result *result)
{
    const int fd = open(CALLS, O_RDONLY | O_CLOEXEC);
    uint64_t counts[2];

    if (fd < 0)
        return;
    if (read(fd, counts, sizeof counts) == sizeof counts) {
        result->calls = counts[0];
        result->quick_kills = counts[1];
    }
    close(fd);
}

bool session_run(const char *runner, const struct session_script *script, const char *kills,
                 unsigned random_us, uint64_t seed, struct session_result *result)
{
    struct session s = {.screen = &result->screen, .random_us = random_us, .state = seed | 1};
    bool good;

    memset(result, 0, sizeof *result);
    screen_clear(&result->screen);
    good = start(&s, runner, script, kills);
    for (int i = 0; good && script->keys[i] != NULL; i++) {
        const size_t length = strlen(script->keys[i]);

        good = settle(&s, false) && !s.ended;
        if (good)
            good = write(s.master, script->keys[i], length) == (ssize_t)length;
    }
    if (good)
        good = settle(&s, true);
    if (!s.ended) {
        printf("%s: is not ready: %s\n", script->name, strerror(errno));
        kill(s.supervisor, SIGKILL);
        waitpid(s.supervisor, &s.status, 0);
    }
    close(s.slave);
    close(s.master);
    result->status = s.status;
    read_trace(result);
    check_trace(result);
    read_calls(result);
    return good;
}

static bool is_same(const struct session_event *a, const struct session_event *b)
{
    return a->message == b->message && a->result == b->result && a->descriptor == b->descriptor;
}

/* `at[i]`: the events so far can be the first i of the reference. */
bool session_same_events(const struct session_result *reference, const struct session_result *run)
{
    static bool at[SESSION_EVENTS + 1], then[SESSION_EVENTS + 1];

    memset(at, 0, sizeof at);
    at[0] = true;
    for (unsigned e = 0; e < run->count; e++) {
        const struct session_event *event = &run->events[e];

        for (unsigned i = 0; i <= reference->count; i++)
            then[i] =
                (i > 0 && at[i - 1] && is_same(event, &reference->events[i - 1])) ||
                (i > 0 && at[i] && event->resumed && is_same(event, &reference->events[i - 1]));
        memcpy(at, then, sizeof at);
    }
    return at[reference->count];
}
