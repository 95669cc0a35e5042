/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Programs of several processes for test_checkpoint_family, which runs them under vista-run; the first
 * argument says which.  A process that says something is the only one that runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

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
        const pid_t pid = fork();
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
        pids[i] = fork();
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
    pid = fork();
    if (pid == 0) {
        pid = fork();
        if (pid == 0)
            child(7);
        _exit(WEXITSTATUS(waited(pid)) + 1);
    }
    say("grandchild", WEXITSTATUS(waited(pid)));
    return 0;
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "";

    if (strcmp(which, "children") == 0)
        return children(3);
    if (strcmp(which, "brood") == 0)
        return brood();
    if (strcmp(which, "programs") == 0)
        return programs();
    return 2;
}
