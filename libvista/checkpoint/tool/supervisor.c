/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The supervisor: see supervisor.h.
 */
#include "checkpoint/tool/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "checkpoint/engine/layout.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/keeper.h"
#include "checkpoint/files/undo.h"
#include "checkpoint/tool/birth.h"
#include "checkpoint/tool/runtime.h"

#define TICK 64
#define LOCK_TRIES 200 /* 2 seconds */
#define DESCRIPTORS_WANTED 4096

/* Signals that were passed on when the child had made so many checkpoints: one that it has not stored
 * since dies with it, and is passed on again. */
static uint64_t passed, passed_at;
static const struct flock first_byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
static int signals = -1;
static int lock = -1;
static bool had_terminal;
static struct vi_report *above; /* of the parent's supervisor, if the program is a child */

/* These end a program by an error of its own, or of the machine: it is resumed.  The others
 * end it as it would have ended without us. */
static bool is_crash(int number)
{
    return number == SIGKILL || number == SIGSEGV || number == SIGBUS || number == SIGILL ||
           number == SIGFPE || number == SIGABRT || number == SIGSYS;
}

/* The lock on a byte of the undo log tells who supervises. */
static bool take_lock(const char *file)
{
    struct flock byte = first_byte;
    char name[PATH_MAX + 8];

    snprintf(name, sizeof name, "%s.undo", file);
    lock = vi_report_raise(open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock < 0) {
        vi_say("%s: %s", name, strerror(errno));
        return false;
    }
    for (int tries = 0; tries < LOCK_TRIES; tries++) { /* it may just have been killed */
        if (fcntl(lock, F_SETLK, &byte) == 0)
            return true;
        usleep(10000);
    }
    vi_say("%s: another vista-run has it", file);
    return false;
}

static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static bool complain(void)
{
    vi_say("the supervisor cannot begin: %s", strerror(errno));
    return false;
}

static bool prepare(void)
{
    sigset_t set;

    raise_limit();
    had_terminal = isatty(0);
    passed = passed_at = 0;
    vi_report =
        mmap(NULL, sizeof *vi_report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (vi_report == MAP_FAILED || !vi_keeper_open())
        return complain();
    vi_report->pid = getpid();
    vi_report->parent = getppid();
    vi_report->first = above != NULL ? above->first : vi_report;
    vi_report->ends = vi_report_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    sigfillset(&set); /* the guest may have asked for any, for its process group */
    for (const int *s = (const int[]){SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS, 0};
         *s != 0; s++)
        sigdelset(&set, *s);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = vi_report_raise(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    return (signals >= 0 && vi_report->ends >= 0) || complain();
}

static pid_t start(const struct vi_options *options)
{
    const pid_t child = fork();

    if (child != 0)
        return child;
    close(signals); /* they stay blocked until the guest is there to have them */
    vi_runtime_run(options);
}

static bool is_terminal_gone(void)
{
    struct termios settings;

    return had_terminal && tcgetattr(0, &settings) != 0 && errno == EIO;
}

static void stop(pid_t child)
{
    vi_report->stopped = 1;
    kill(child, TICK);
}

static void pass(pid_t child, int number)
{
    passed = (vi_report->commits == passed_at ? passed : 0) | (uint64_t)1 << number;
    passed_at = vi_report->commits;
    kill(child, number);
}

/* Sent to a group by the program, or another of its run. */
static bool is_to_group(const struct signalfd_siginfo *info)
{
    return info->ssi_code == SI_USER && (pid_t)info->ssi_pid == vi_report->first->sends_to_group;
}

/* What the terminal sends it sends to the child, too; what a user sends to us is the child's.  A pipe that
 * has no reader is ours. */
static void pass_on(pid_t child, const struct signalfd_siginfo *info)
{
    const int number = (int)info->ssi_signo;
    const bool wants_stop = number == SIGHUP && info->ssi_code == SI_USER && above == NULL;
    const bool is_own = number == SIGPIPE && (pid_t)info->ssi_pid == getpid();

    if ((wants_stop && !is_to_group(info)) || (number == SIGHUP && is_terminal_gone()))
        stop(child);
    else if (info->ssi_code <= 0 && !is_own)
        pass(child, number);
}

static void pass_again(pid_t child)
{
    for (int number = 1; passed != 0 && number < TICK; number++)
        if (passed & (uint64_t)1 << number)
            kill(child, number);
}

/* Does what the runtime has asked for; looks after the program's own children.  False: this process is the
 * supervisor of one of them from now on, and has its options. */
static bool serve(pid_t child, struct vi_options *options)
{
    vi_keeper_receive();
    if (vi_birth_look(options->file)) /* first, since it makes room for others */
        pass(child, SIGCHLD);
    return !vi_birth_give(options);
}

/* Waits until the child is gone, and serves it meanwhile. */
static bool wait_for(pid_t child, struct vi_options *options, int *status)
{
    struct pollfd fds[2] = {{.fd = signals, .events = POLLIN},
                            {.fd = vi_keeper_channel(), .events = POLLIN}};
    struct signalfd_siginfo info;

    for (;;) {
        poll(fds, 2, -1);
        while (read(signals, &info, sizeof info) == sizeof info)
            pass_on(child, &info);
        if (!serve(child, options))
            return false;
        if (vi_report->refused) /* one of its children cannot go on */
            kill(child, SIGKILL);
        if (waitpid(child, status, WNOHANG | WUNTRACED) != child)
            continue;
        if (!WIFSTOPPED(*status))
            break;
        raise(SIGSTOP); /* as the shell expects of its job */
        kill(child, SIGCONT);
    }
    return serve(child, options);
}

/* The program cannot go on, or is not to: nor can those that are in one run with it. */
static int stop_all(int status)
{
    if (above != NULL)
        above->refused = 1;
    vi_birth_kill();
    return status;
}

/* Does one of the signals that have come end what the program has left behind?  To a child that has ended
 * none does anything. */
static bool is_ended_by_user(void)
{
    const uint64_t ending = (uint64_t)1 << SIGHUP | (uint64_t)1 << SIGINT | (uint64_t)1 << SIGQUIT |
                            (uint64_t)1 << SIGTERM;
    struct signalfd_siginfo info;
    bool ends = false;

    while (read(signals, &info, sizeof info) == sizeof info)
        ends |= above == NULL && info.ssi_signo < TICK && ending >> info.ssi_signo & 1 &&
                info.ssi_code != SI_QUEUE && !is_to_group(&info);
    return ends;
}

/* The program has ended.  Others see the end of what it had; who waits for it sees it when its own children
 * have ended, too.  The files go first: nothing goes on from them.  The status to exit with. */
static int end(const char *file, int status)
{
    struct pollfd fd = {.fd = signals, .events = POLLIN};
    bool ends = false;

    (void)is_ended_by_user(); /* what has come until now was the program's */
    vi_keeper_end();
    vi_undo_remove(file);
    while (!vi_birth_is_over(file) && !ends && !vi_report->refused) {
        poll(&fd, 1, -1);
        ends = is_ended_by_user();
    }
    if (vi_report->refused)
        status = stop_all(1);
    vi_birth_end(file);
    return status;
}

static int end_by_signal(const char *file, int number)
{
    sigset_t set;

    if (end(file, 0) != 0)
        return 1;
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    kill(getpid(), number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return 128 + number;
}

static bool may_resume(int number, int *tries, int retries)
{
    *tries = number == SIGKILL && vi_report->commits != 0 ? 0 : *tries + 1;
    if (*tries <= retries)
        return true;
    vi_say("%s, %d times from one checkpoint: given up; the same command tries again",
           strsignal(number), *tries);
    return false;
}

/* A child's supervisor has nothing of its parent's but what it keeps. */
static bool begin_child(const struct vi_options *options)
{
    const int theirs[] = {lock, signals, vi_report->ends};

    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        close(theirs[i]);
    above = vi_report;
    if (take_lock(options->file) && prepare())
        return true;
    above->refused = 1;
    return false;
}

/* The status to exit with, or -1: the program is to be resumed. */
static int judge(const struct vi_options *options, int status, int *tries)
{
    if (vi_report->ended)
        return end(options->file, (int)(vi_report->ended - 1) & 0xff);
    if (vi_report->refused || !(vi_report->stopped || WIFSIGNALED(status)))
        return stop_all(1);
    if (vi_report->stopped || is_terminal_gone())
        return stop_all(0);
    if (!is_crash(WTERMSIG(status)))
        return end_by_signal(options->file, WTERMSIG(status));
    if (may_resume(WTERMSIG(status), tries, options->retries))
        return -1;
    if (above == NULL)
        return stop_all(128 + WTERMSIG(status));
    return end_by_signal(options->file, WTERMSIG(status));
}

int vi_supervisor_run(const struct vi_options *given)
{
    struct vi_options options = *given;
    int tries = 0, status, result;

    if (options.fresh)
        vi_undo_remove(options.file);
    if (!take_lock(options.file) || !prepare())
        return 1;
    for (;;) {
        const pid_t child = start(&options);

        if (child < 0) {
            vi_say("no process: %s", strerror(errno));
            return stop_all(1);
        }
        pass_again(child);
        if (!vi_birth_is_told()) /* what a checkpoint had of it may have been too late */
            pass(child, SIGCHLD);
        if (!wait_for(child, &options, &status)) {
            if (!begin_child(&options))
                return 1;
            tries = 0;
            continue;
        }
        result = judge(&options, status, &tries);
        if (result >= 0)
            return result;
        passed = vi_report->commits == passed_at ? passed : 0;
        vi_report->commits = passed_at = 0;
        vi_report->calls = vi_report->committed_calls;
    }
}

int vi_supervisor_stop(const char *file)
{
    struct flock byte = first_byte;
    char name[PATH_MAX + 8];
    pid_t pid;
    int fd;

    snprintf(name, sizeof name, "%s.undo", file);
    fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fcntl(fd, F_GETLK, &byte) != 0 || byte.l_type == F_UNLCK) {
        vi_say("%s: no vista-run has it", file);
        return 1;
    }
    pid = byte.l_pid;
    if (kill(pid, SIGHUP) != 0) {
        vi_say("%s: %s", file, strerror(errno));
        return 1;
    }
    while (kill(pid, 0) == 0)
        usleep(10000);
    close(fd);
    return 0;
}
