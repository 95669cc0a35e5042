/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Programs of several processes for test_checkpoint_family, which runs them under vista-run; the first
 * argument says which.  A process that says something is the only one that runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

/* What fails is no number: kill(2) would take -1 for all processes of the machine. */
static pid_t make_child(void)
{
    const pid_t pid = fork();

    if (pid < 0)
        _exit(99);
    return pid;
}

static void say(const char *what, long value)
{
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

/* Leaves a file that tells of it, and ends with its number. */
static _Noreturn void child(int number)
{
    char name[16], text[64];
    const int length =
        snprintf(text, sizeof text, "child %d, its parent's %d\n", number, getppid() == getpid());
    int fd;

    snprintf(name, sizeof name, "c%d", number);
    fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || write(fd, text, (size_t)length) != length || close(fd) != 0)
        _exit(100);
    _exit(number);
}

static long size_of(int number)
{
    char name[16];
    struct stat st;

    snprintf(name, sizeof name, "c%d", number);
    return stat(name, &st) == 0 ? st.st_size : -errno;
}

static int waited(pid_t pid)
{
    int status = -1;

    return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* Each is waited for once, in one way or another; then there is none. */
static int children(int most)
{
    for (int i = 1; i <= most; i++) {
        const pid_t pid = make_child();
        siginfo_t info = {0};
        int status = 0;

        if (pid == 0)
            child(i);
        if (i % 3 == 0)
            say("same", wait(&status) == pid);
        else if (i % 3 == 1)
            say("same", waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0 &&
                            info.si_pid == pid && info.si_status == i &&
                            waitpid(pid, &status, 0) == pid);
        else
            while (waitpid(-1, &status, WNOHANG) == 0)
                usleep(1000);
        say("status", WEXITSTATUS(status));
        say("left", size_of(i));
        say("none", wait(NULL) < 0 ? errno : 0);
    }
    return 0;
}

static volatile sig_atomic_t told;

static void on_child(int number)
{
    (void)number;
    told = 1;
}

/* Several at once, that end in any order, one by a signal that the parent sends; of each the status is had
 * once. */
static int brood(void)
{
    pid_t pids[4];
    sigset_t set, old;
    int sum = 0, status;

    signal(SIGCHLD, on_child);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 4; i++) {
        pids[i] = make_child();
        if (pids[i] == 0) {
            if (i == 3)
                for (;;)
                    pause();
            child(i + 1);
        }
    }
    while (!told)
        sigsuspend(&old);
    say("told", told);
    say("sent", kill(pids[3], SIGTERM));
    while (wait(&status) > 0)
        sum += WIFEXITED(status) ? WEXITSTATUS(status) : 100 * WTERMSIG(status);
    say("sum", sum);
    return 0;
}

/* Waits for the signal of each, and does something meanwhile that is seen. */
static int signals(void)
{
    sigset_t set, old;

    signal(SIGCHLD, on_child);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 4; i++) {
        const pid_t pid = make_child();

        if (pid == 0)
            _exit(i);
        for (int j = 0; j < 4; j++)
            say("goes on", j);
        while (!told)
            sigsuspend(&old);
        told = 0;
        say("status", WEXITSTATUS(waited(pid)));
    }
    return 0;
}

/* Whoever ignores the signal is told of none, but waits until all have ended. */
static int ignored(void)
{
    signal(SIGCHLD, SIG_IGN);
    for (int i = 1; i <= 3; i++)
        if (make_child() == 0)
            child(i);
    say("none", wait(NULL) < 0 ? errno : 0);
    say("left", size_of(1) + size_of(2) + size_of(3));
    return 0;
}

/* A signal that waits for a handler that the next program does not have leaves alone what is blocked, and
 * the call that waits. */
static int masked(bool again)
{
    char *const arguments[] = {"family", "masked", "again", NULL};
    sigset_t set, none;

    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    sigaddset(&set, SIGALRM);
    if (!again) {
        signal(SIGURG, on_child);
        sigprocmask(SIG_BLOCK, &set, NULL);
        raise(SIGURG);
        return execv("/proc/self/exe", arguments);
    }
    signal(SIGALRM, on_child);
    ualarm(10000, 0);
    say("ended", sigsuspend(&none));
    say("told", told);
    sigprocmask(SIG_BLOCK, NULL, &set);
    say("blocked", sigismember(&set, SIGURG));
    return 0;
}

/* Programs of their own, by vfork, by posix_spawn and by the shell, and a child of a child. */
static int programs(void)
{
    char *const arguments[] = {"sh", "-c", "exit $((0$N + 5))", NULL};
    char *const environment[] = {"N=4", NULL};
    pid_t pid = vfork();

    if (pid == 0) {
        execve("/bin/sh", arguments, environment);
        _exit(1);
    }
    say("vfork", WEXITSTATUS(waited(pid)));
    say("spawned", posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ));
    say("spawn", WEXITSTATUS(waited(pid)));
    say("system", WEXITSTATUS(system("exit 6")));
    say("absent", posix_spawn(&pid, "/none", NULL, NULL, arguments, environ) == 0
                      ? WEXITSTATUS(waited(pid))
                      : 127);
    pid = make_child();
    if (pid == 0) {
        pid = make_child();
        if (pid == 0)
            child(7);
        _exit(WEXITSTATUS(waited(pid)) + 1);
    }
    say("grandchild", WEXITSTATUS(waited(pid)));
    return 0;
}

/* Between a line and a fork a process that was killed meanwhile does something else, behind which there is a
 * checkpoint: another one than the fork's. */
static int aside(bool ends)
{
    char first[16] = "", now[16] = ""; /* numbers of the process, as the kernel has them */
    int fds[2];
    pid_t pid;

    if (pipe(fds) != 0 || readlink("/proc/self", first, sizeof first - 1) < 0)
        return 1;
    say("begins", 0);
    if (readlink("/proc/self", now, sizeof now - 1) < 0)
        return 1;
    if (ends) /* by the call that is the fork otherwise */
        _exit(0);
    if (strcmp(first, now) != 0)
        close(fds[1]);
    pid = make_child();
    if (pid == 0)
        _exit(9);
    say("status", WEXITSTATUS(waited(pid)));
    return 0;
}

/* The bytes of a stream, in no order that an offset that is wrong would leave alike. */
static unsigned char byte_of(long at)
{
    return (unsigned char)(at * 7 + at / 251);
}

static int sends(int fd, long from, long to)
{
    static unsigned char bytes[10000];

    while (from < to) {
        const long size = to - from < (long)sizeof bytes ? to - from : (long)sizeof bytes;
        ssize_t put;

        for (long i = 0; i < size; i++)
            bytes[i] = byte_of(from + i);
        put = write(fd, bytes, (size_t)size);
        if (put <= 0)
            return 1;
        from += put;
    }
    return 0;
}

/* How many bytes come that are as they have to be, until the end or `most`. */
static long receives(int fd, long most)
{
    static unsigned char bytes[3000];
    long at = 0;
    ssize_t got = 0;

    while (at < most && (got = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++)
            if (bytes[i] != byte_of(at++))
                return -at;
    return got >= 0 ? at : -errno;
}

/* A child sends and the parent receives, more than a pipe holds; and the other way; a third one whose reader
 * is gone. */
static int pipes(void)
{
    int fds[2];
    pid_t pid;

    if (pipe(fds) != 0)
        return 1;
    pid = make_child();
    if (pid == 0) {
        close(fds[0]);
        _exit(sends(fds[1], 0, 100000));
    }
    close(fds[1]);
    say("received", receives(fds[0], LONG_MAX));
    close(fds[0]);
    say("sent", waited(pid));
    if (pipe2(fds, O_CLOEXEC) != 0)
        return 1;
    pid = make_child();
    if (pid == 0) {
        close(fds[1]);
        _exit(receives(fds[0], LONG_MAX) == 100000 ? 9 : 1);
    }
    close(fds[0]);
    say("sends", sends(fds[1], 0, 100000));
    close(fds[1]);
    say("had", WEXITSTATUS(waited(pid)));
    if (pipe(fds) != 0)
        return 1;
    pid = make_child();
    if (pid == 0) {
        close(fds[0]);
        sends(fds[1], 0, 100000);
        _exit(0);
    }
    close(fds[1]);
    close(fds[0]);
    say("broken", WTERMSIG(waited(pid)));
    return 0;
}

#define MOVED 300

/* Takes bytes one by one, as long as there are some, and passes them on. */
static int moves(int from, int to)
{
    char byte;
    ssize_t got;

    while ((got = read(from, &byte, 1)) == 1)
        if (write(to, &byte, 1) != 1)
            return 1;
    return got == 0 ? 9 : 1;
}

/* Two children read one pipe; what both are told of one has. */
static int readers(void)
{
    int from[2], to[2];
    pid_t pids[2];
    char byte;

    if (pipe(from) != 0 || pipe(to) != 0)
        return 1;
    for (int i = 0; i < 2; i++) {
        pids[i] = make_child();
        if (pids[i] == 0) {
            close(from[1]);
            _exit(moves(from[0], to[1]));
        }
    }
    close(from[0]);
    close(to[1]);
    for (int i = 0; i < MOVED; i++)
        if (write(from[1], "b", 1) != 1 || read(to[0], &byte, 1) != 1)
            return 1;
    close(from[1]);
    say("moved", WEXITSTATUS(waited(pids[0])) + WEXITSTATUS(waited(pids[1])));
    say("end", read(to[0], &byte, 1));
    return 0;
}

/* A pipe that has a name, open for both: a child writes more than it holds; the parent reads it. */
static int named(void)
{
    pid_t pid;
    int fd;

    if (mkfifo("fifo", 0600) != 0 || (fd = open("fifo", O_RDWR)) < 0)
        return 1;
    pid = make_child();
    if (pid == 0)
        _exit(sends(fd, 0, 100000));
    say("received", receives(fd, 100000));
    say("sent", waited(pid));
    return remove("fifo");
}

/* A fork that is refused leaves what is open as it is: a file of the parent's own. */
static int refused(void)
{
    const int log = open("log", O_WRONLY | O_CREAT, 0600),
              own = open("own", O_RDWR | O_CREAT, 0600);
    pid_t pid;

    say("open", log >= 0 && own >= 0);
    pid = fork();
    if (pid == 0)
        _exit(0);
    for (int i = 0; i < 20; i++)
        if (write(log, "line\n", 5) != 5)
            return 1;
    say("refused", pid < 0 ? errno : 0);
    return close(own);
}

/* The folder that it is in has another name, by a name that leads through it, and then goes. */
static int moved(void)
{
    const int top = open(".", O_RDONLY | O_DIRECTORY);

    if (top < 0 || mkdir("d", 0700) != 0 || chdir("d") != 0)
        return 1;
    say("renamed", rename("../d", "../e"));
    if (mkdir("f", 0700) != 0 || rmdir("../e/f/") != 0 || rmdir("../e") != 0)
        return 1;
    say("left", fchdir(top));
    say("gone", access("e", F_OK) < 0 ? errno : 0);
    return 0;
}

/* The child has lost the folder that it is in: when it is killed it cannot go on. */
static int lost(void)
{
    const pid_t pid = make_child();

    if (pid == 0) {
        if (mkdir("d", 0700) != 0 || chdir("d") != 0 || rmdir("../d") != 0)
            _exit(1);
        say("lost", 0);
        kill(getpid(), SIGKILL);
    }
    say("status", waited(pid));
    return 0;
}

/* Is in a child, which signals its parent, when the run has been ended and goes on. */
static int later(void)
{
    sigset_t set, old;
    pid_t pid = make_child();

    if (pid == 0)
        _exit(0);
    waited(pid);
    signal(SIGHUP, on_child);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, &old);
    say("waits", 0);
    while (access("go", F_OK) != 0)
        usleep(1000);
    pid = make_child();
    if (pid == 0)
        _exit(kill(getppid(), SIGHUP) == 0 ? 9 : errno);
    say("status", WEXITSTATUS(waited(pid)));
    while (!told)
        sigsuspend(&old);
    say("told", told);
    return 0;
}

/* A signal that a supervisor has of its own, and one that it has not. */
static int sent(void)
{
    static const int numbers[] = {SIGPIPE, SIGUSR1};
    sigset_t set, old;

    sigemptyset(&set);
    for (int i = 0; i < 2; i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 2; i++) {
        pid_t pid;

        signal(numbers[i], on_child);
        pid = make_child();
        if (pid == 0) {
            while (!told)
                sigsuspend(&old);
            _exit(9);
        }
        say("sent", kill(pid, numbers[i]));
        say("status", WEXITSTATUS(waited(pid)));
    }
    return 0;
}

/* A child waits for the lock that its parent has, until both have closed what they had it by. */
static int locked(void)
{
    const int fd = open("lock", O_WRONLY | O_CREAT, 0600);
    pid_t pid;

    say("locked", flock(fd, LOCK_EX));
    pid = make_child();
    if (pid == 0) {
        const int own = open("lock", O_RDONLY);

        close(fd);
        _exit(flock(own, LOCK_EX) == 0 ? 9 : 1);
    }
    close(fd);
    say("status", WEXITSTATUS(waited(pid)));
    return 0;
}

static int appends(const char *line)
{
    const int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);

    return write(fd, line, strlen(line)) != (ssize_t)strlen(line) || close(fd) != 0;
}

/* Parent and child open a file by its name, and append to it; the parent is not seen between. */
static int appended(void)
{
    const pid_t pid = make_child();
    struct stat st;

    if (pid == 0) {
        while (stat("log", &st) != 0 || st.st_size == 0)
            usleep(1000);
        _exit(appends("child\n"));
    }
    if (appends("parent\n") != 0)
        return 1;
    say("status", waited(pid));
    return 0;
}

/* What a child has appended to a file that its parent has made, and not committed, when that is killed. */
static int made(void)
{
    const pid_t pid = make_child();
    struct stat st = {0};
    bool waits = false;

    if (pid == 0) {
        while (stat("log", &st) != 0)
            usleep(1000);
        _exit(appends("child\n"));
    }
    close(open("log", O_WRONLY | O_CREAT, 0600));
    while (stat("log", &st) == 0 && st.st_size == 0 && waitpid(pid, NULL, WNOHANG) == 0) {
        waits = true;
        usleep(1000);
    }
    if (stat("log", &st) == 0 && st.st_size != 0 && waits)
        kill(getpid(), SIGKILL);
    say("made", st.st_size);
    return 0;
}

/* Two files that a child has written to, one to append to, are written to in another run of the command. */
static int logs(void)
{
    const int own = open("own", O_WRONLY | O_CREAT, 0600),
              log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    const pid_t pid = make_child();

    if (pid == 0)
        _exit(write(own, "child\n", 6) != 6 || write(log, "child\n", 6) != 6);
    say("status", waited(pid));
    while (access("go", F_OK) != 0)
        usleep(1000);
    return write(own, "parent\n", 7) != 7 || write(log, "parent\n", 7) != 7;
}

/* Lines that parent and child write to one file in turn, by one offset; a third process reads them. */
static int lines(void)
{
    const int fd = open("lines", O_WRONLY | O_CREAT, 0600);
    char line[32];

    for (int i = 0; i < 6; i++) {
        const pid_t pid = i % 2 != 0 ? make_child() : 0;

        if (pid == 0 && write(fd, line, (size_t)snprintf(line, sizeof line, "line %d\n", i)) < 0)
            return 1;
        if (pid == 0 && i % 2 != 0)
            _exit(0);
        say("wrote", i + (i % 2 != 0 ? waited(pid) : 0));
    }
    say("pipeline", WEXITSTATUS(system("sort -r lines | { read a b; exit $b; }")));
    return 0;
}

static int echoes(void)
{
    struct termios t;

    return tcgetattr(0, &t) == 0 && t.c_lflag & ECHO;
}

/* A child has the terminal not echo while its parent does much else, and leaves it so. */
static int terminal(void)
{
    int to[2], from[2];
    struct termios t;
    char byte = 0;
    pid_t pid;

    if (pipe(to) != 0 || pipe(from) != 0 || (pid = fork()) < 0)
        return 1;
    if (pid == 0) {
        tcgetattr(0, &t);
        t.c_lflag &= ~(tcflag_t)ECHO;
        if (tcsetattr(0, TCSANOW, &t) != 0 || write(from[1], "s", 1) != 1)
            _exit(1);
        _exit(read(to[0], &byte, 1) != 1 || echoes() ? 8 : 9);
    }
    if (read(from[0], &byte, 1) != 1)
        return 1;
    for (int i = 0; i < 200; i++)
        (void)!access(".", F_OK);
    say("sent", write(to[1], "g", 1));
    say("status", WEXITSTATUS(waited(pid)));
    for (int i = 0; i < 200; i++)
        (void)!access(".", F_OK);
    say("echoes", echoes());
    return 0;
}

/* A child reads on in a file that its parent has removed meanwhile. */
static int input(void)
{
    char text[8] = "";
    int fd = open("list", O_RDWR | O_CREAT, 0600);
    pid_t pid;

    if (write(fd, "one two", 7) != 7 || close(fd) != 0)
        return 1;
    fd = open("list", O_RDONLY);
    say("first", read(fd, text, 4));
    pid = make_child();
    if (pid == 0) {
        while (access("gone", F_OK) != 0)
            usleep(1000);
        _exit(read(fd, text, 4) == 3 && memcmp(text, "two", 3) == 0 ? 9 : 8);
    }
    remove("list");
    close(open("gone", O_WRONLY | O_CREAT, 0600));
    say("second", WEXITSTATUS(waited(pid)));
    return 0;
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "";

    if (strcmp(which, "children") == 0)
        return children(3);
    if (strcmp(which, "brood") == 0)
        return brood();
    if (strcmp(which, "signals") == 0)
        return signals();
    if (strcmp(which, "ignored") == 0)
        return ignored();
    if (strcmp(which, "masked") == 0)
        return masked(argc > 2);
    if (strcmp(which, "aside") == 0)
        return aside(argc > 2);
    if (strcmp(which, "pipes") == 0)
        return pipes();
    if (strcmp(which, "readers") == 0)
        return readers();
    if (strcmp(which, "named") == 0)
        return named();
    if (strcmp(which, "refused") == 0)
        return refused();
    if (strcmp(which, "moved") == 0)
        return moved();
    if (strcmp(which, "terminal") == 0)
        return terminal();
    if (strcmp(which, "lost") == 0)
        return lost();
    if (strcmp(which, "appended") == 0)
        return appended();
    if (strcmp(which, "later") == 0)
        return later();
    if (strcmp(which, "locked") == 0)
        return locked();
    if (strcmp(which, "made") == 0)
        return made();
    if (strcmp(which, "logs") == 0)
        return logs();
    if (strcmp(which, "sent") == 0)
        return sent();
    if (strcmp(which, "lines") == 0)
        return lines();
    if (strcmp(which, "input") == 0)
        return input();
    if (strcmp(which, "programs") == 0)
        return programs();
    return 2;
}
