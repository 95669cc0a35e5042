/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A program for each row of the table of system calls, for test_checkpoint_rows: makes the call
 * named twice, and says what it gave and what came of it.
 *
 *     run_rows NAME
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#define AREA 65536
#define KERNEL_SET 8

static long number; /* of the call */
static unsigned char area[AREA] __attribute__((aligned(4096)));
static unsigned lines;

/* Each line is another, so that one that comes again is known. */
static void say(const char *what, long value)
{
    printf("%u %s %ld\n", ++lines, what, value);
    fflush(stdout);
}

/* Without it the rest would wait for ever. */
static void need(const char *what, long value)
{
    say(what, value);
    if (value < 0)
        _exit(4);
}

static long call(long a, long b, long c, long d, long e, long f)
{
    const long result = syscall(number, a, b, c, d, e, f);

    return result < 0 ? -errno : result;
}

/* ---- Calls that are told by their arguments ------------------------------------- */

static int file, other, directory, inner;
static struct iovec into = {area, 3}, from = {"xyz", 3};
static const struct timeval past[2] = {{1000, 0}, {2000, 0}};
static const struct utimbuf past_seconds = {1000, 2000};
static const struct timespec moment = {0, 1000000};

/* One letter is an argument. */
static long argument(char letter)
{
    switch (letter) {
    case 'f':
        return file;
    case 'g':
        return other;
    case 'd':
        return directory;
    case 'h':
        return inner;
    case 'b':
        return (long)(area + 8192);
    case 'a':
        return (long)area;
    case 'B':
        return 4096;
    case 'p':
        return (long)"data";
    case 'N':
        return (long)"new";
    case 'D':
        return (long)"dir";
    case 'x':
        return (long)"link";
    case 'P':
        return (long)"user.x";
    case 'q':
        return (long)"xyz";
    case 'v':
        return (long)&into;
    case 'w':
        return (long)&from;
    case 'c':
        return AT_FDCWD;
    case 'm':
        return -1;
    case 'M':
        return S_IFREG | 0644;
    case 'T':
        return (long)past;
    case 'U':
        return (long)&past_seconds;
    case 'z':
        return (long)&moment;
    case 'A':
        return O_APPEND | O_RDWR;
    case 'I':
        return FIONREAD;
    case 'R':
        return 24; /* a robust list's head */
    case 'i':
        return getpid();
    case 'n':
        return 0;
    default:
        return letter - '0';
    }
}

/* `~` before the arguments: what it gives differs from time to time. */
static long told_call(const char *letters)
{
    const int vague = letters[0] == '~';
    long a[6] = {0}, result;

    letters += vague;
    for (int i = 0; i < 6 && letters[i] != '\0'; i++)
        a[i] = argument(letters[i]);
    result = call(a[0], a[1], a[2], a[3], a[4], a[5]);
    return vague && result > 0 ? 0 : result;
}

/* Whatever a call may have changed. */
static void observe(void)
{
    char link[64] = "", where[4096] = "";
    struct stat st = {0};

    say("size", stat("data", &st) == 0 ? st.st_size : -errno);
    say("mode", (long)st.st_mode);
    say("links", (long)st.st_nlink);
    say("changed", st.st_mtime < 5000 ? st.st_mtime : 0);
    say("new", access("new", F_OK));
    say("dir", access("dir", F_OK));
    say("link", readlink("link", link, sizeof link));
    say("other", stat("other", &st) == 0 ? st.st_size : -errno);
    say("at", lseek(file, 0, SEEK_CUR));
    say("flags", fcntl(file, F_GETFL));
    say("folder", getcwd(where, sizeof where) != NULL ? (long)strlen(where) : -errno);
    say("next", dup(0));
}

static void told(const char *letters)
{
    file = open("data", O_RDWR);
    other = open("other", O_RDWR);
    directory = open(".", O_RDONLY | O_DIRECTORY);
    inner = open("dir", O_RDONLY | O_DIRECTORY);
    say("begin", file);
    say("first", told_call(letters));
    say("second", told_call(letters));
    say("stored", area[8192] != 0 || area[8193] != 0);
    observe();
}

/* ---- Others ----------------------------------------------------------------------- */

static void on_signal(int which)
{
    area[0] += (unsigned char)(which == SIGALRM ? 1 : 16);
}

/* The same number after a kill, whatever the process is now. */
static void identity(const char *unused)
{
    const long first = call((long)area, 24, 0, 0, 0, 0);

    (void)unused;
    say("begin", first >= 0);
    say("same", call((long)area, 24, 0, 0, 0, 0) == first);
    say("again", call((long)area, 24, 0, 0, 0, 0) == first);
}

static void ends(const char *unused)
{
    (void)unused;
    say("begin", 0);
    call(5, 0, 0, 0, 0, 0);
}

static void kills(const char *unused)
{
    (void)unused;
    signal(SIGUSR1, on_signal);
    say("begin", area[0]);
    say("given", number == SYS_tgkill
                     ? call(getpid(), gettid(), SIGUSR1, 0, 0, 0)
                     : call(number == SYS_kill ? getpid() : gettid(), SIGUSR1, 0, 0, 0, 0));
    say("handled", area[0]);
    say("nobody",
        number == SYS_tgkill ? call(1, 99999999, 0, 0, 0, 0) : call(99999999, 0, 0, 0, 0, 0));
}

static void locks(const char *unused)
{
    int mine = open("data", O_RDWR);
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    (void)unused;
    say("begin", mine);
    say("taken", number == SYS_flock ? call(mine, LOCK_EX, 0, 0, 0, 0)
                                     : call(mine, F_SETLK, (long)&all, 0, 0, 0));
    say("held", 1);
    say("others", flock(open("data", O_RDWR), LOCK_EX | LOCK_NB) == 0 ? 0 : errno);
    say("copy", number == SYS_fcntl ? call(mine, F_DUPFD, 20, 0, 0, 0) : 0);
    say("of", read(20, area, 2));
    say("left", call(mine, number == SYS_flock ? LOCK_UN : F_GETFD, 0, 0, 0, 0));
}

static int listen_at(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;

    need("listener", listener);
    if (number == SYS_setsockopt)
        need("option", call(listener, SOL_SOCKET, SO_REUSEADDR, (long)&on, sizeof on, 0));
    need("bound", bind(listener, (struct sockaddr *)address, size) == 0 ? 0 : -errno);
    need("named", getsockname(listener, (struct sockaddr *)address, &size) == 0 ? 0 : -errno);
    need("listens", listen(listener, 4) == 0 ? 0 : -errno);
    return listener;
}

static void talk(int client, int server)
{
    struct msghdr out = {.msg_iov = &from, .msg_iovlen = 1};
    struct msghdr in = {.msg_iov = &into, .msg_iovlen = 1};
    struct mmsghdr several = {.msg_hdr = out};

    need("sent", number == SYS_sendmsg    ? call(client, (long)&out, 0, 0, 0, 0)
                 : number == SYS_sendmmsg ? call(client, (long)&several, 1, 0, 0, 0)
                                          : send(client, "abc", 3, 0));
    need("got",
         number == SYS_recvmsg ? call(server, (long)&in, 0, 0, 0, 0) : recv(server, area, 3, 0));
    need("byte", area[2]);
    need("more", send(client, "de", 2, 0));
    need("shut", shutdown(client, SHUT_WR) == 0 ? 0 : -errno);
    need("rest", recv(server, area, 9, 0));
    need("last", area[1]);
    need("end", recv(server, area, 9, 0));
}

static void sockets(const char *unused)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int listener = listen_at(&address), client = socket(AF_INET, SOCK_STREAM, 0);
    int server, type = 0;

    (void)unused;
    need("client", client);
    need("connected", connect(client, (struct sockaddr *)&address, size) == 0 ? 0 : -errno);
    server = number == SYS_accept4 ? accept4(listener, NULL, NULL, 0)
                                   : (int)syscall(SYS_accept, listener, NULL, NULL);
    need("accepted", server);
    need("peer", getpeername(server, (struct sockaddr *)&address, &size) == 0 ? 0 : -errno);
    size = sizeof type;
    need("kind", getsockopt(server, SOL_SOCKET, SO_TYPE, &type, &size) == 0 ? type : -errno);
    talk(client, server);
}

static void waits_by_epoll(const char *unused)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = 77};
    const int set = epoll_create1(0), counter = eventfd(0, 0);

    (void)unused;
    need("begin", set);
    need("entered", epoll_ctl(set, EPOLL_CTL_ADD, counter, &event) == 0 ? 0 : -errno);
    say("none", number == SYS_epoll_wait ? call(set, (long)&event, 1, 0, 0, 0)
                                         : epoll_pwait(set, &event, 1, 0, NULL));
    need("counted", write(counter, "\1\0\0\0\0\0\0\0", 8));
    need("one", number == SYS_epoll_wait ? call(set, (long)&event, 1, -1, 0, 0)
                                         : epoll_pwait(set, &event, 1, -1, NULL));
    need("it", event.data.fd);
    need("gone", epoll_ctl(set, EPOLL_CTL_DEL, counter, &event) == 0 ? 0 : -errno);
}

static void timers_by_file(const char *unused)
{
    const struct itimerspec later = {.it_value.tv_sec = 1000};
    struct itimerspec left = {0};
    const int timer = timerfd_create(CLOCK_MONOTONIC, 0);

    (void)unused;
    say("begin", timer);
    say("set", timerfd_settime(timer, 0, &later, NULL) == 0 ? 0 : -errno);
    say("told", timerfd_gettime(timer, &left) == 0 ? 0 : -errno);
    say("left", left.it_value.tv_sec > 900);
}

static void watches(const char *unused)
{
    const int set = inotify_init1(IN_NONBLOCK);
    const int watch = inotify_add_watch(set, ".", IN_CREATE);

    (void)unused;
    say("begin", set);
    say("watch", watch);
    say("event", close(open("new", O_CREAT | O_RDWR, 0600)));
    say("told", read(set, area, sizeof area) > 0);
    say("gone", inotify_rm_watch(set, watch) == 0 ? 0 : -errno);
}

/* A signal ends the wait, and bytes that are there. */
static void waits(const char *unused)
{
    const struct itimerval soon = {.it_value.tv_usec = 20000};
    struct pollfd ready = {.events = POLLIN};
    fd_set set;
    int fds[2];

    (void)unused;
    signal(SIGALRM, on_signal);
    if (pipe(fds) != 0)
        abort();
    ready.fd = fds[0];
    need("begin", fds[1]);
    need("written", write(fds[1], "x", 1));
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    need("one", number == SYS_poll || number == SYS_ppoll
                    ? poll(&ready, 1, -1)
                    : call(fds[0] + 1, (long)&set, 0, 0, 0, 0));
    need("read", read(fds[0], area + 1, 1));
    setitimer(ITIMER_REAL, &soon, NULL);
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    say("none", number == SYS_poll    ? call((long)&ready, 1, -1, 0, 0, 0)
                : number == SYS_ppoll ? call((long)&ready, 1, 0, 0, 0, 0)
                                      : call(fds[0] + 1, (long)&set, 0, 0, 0, 0));
    need("alarms", area[0] != 0);
}

/* pause and rt_sigsuspend are ended by a timer. */
static void waits_for_signal(const char *unused)
{
    const struct itimerval soon = {{0, 20000}, {0, 20000}};
    const uint64_t open = 0;

    (void)unused;
    signal(SIGALRM, on_signal);
    say("begin", 0);
    say("timer", setitimer(ITIMER_REAL, &soon, NULL));
    say("woken",
        number == SYS_pause ? call(0, 0, 0, 0, 0, 0) : call((long)&open, KERNEL_SET, 0, 0, 0, 0));
    say("alarms", area[0] != 0);
}

static void handles(const char *unused)
{
    static char stack[65536];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    stack_t now;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK}, old;
    sigset_t set, pending;

    (void)unused;
    say("begin", 0);
    say("stack", sigaltstack(&alternate, NULL));
    say("handler", sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    say("blocked", sigprocmask(SIG_BLOCK, &set, NULL));
    say("raised", raise(SIGUSR1));
    say("waits", sigpending(&pending) == 0 ? sigismember(&pending, SIGUSR1) : -errno);
    say("not yet", area[0]);
    say("open", sigprocmask(SIG_UNBLOCK, &set, NULL));
    say("handled", area[0]);
    say("known", sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == on_signal);
    say("there", sigaltstack(NULL, &now) == 0 && now.ss_size == sizeof stack);
}

static void remembers(const char *unused)
{
    const size_t size = 4 * 4096;
    unsigned char *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *end = sbrk(8192), *moved;

    (void)unused;
    say("begin", a != MAP_FAILED && end != (void *)-1);
    memset(a, 7, size);
    memset(end, 9, 8192);
    say("closed", mprotect(a, 4096, PROT_READ));
    say("kept", a[0] + end[8191]);
    moved = mremap(a + 4096, size - 4096, 64 * size, MREMAP_MAYMOVE);
    say("moved", moved != MAP_FAILED ? moved[size - 1] + moved[size] : -errno);
    say("dropped", madvise(moved + 4096, 4096, MADV_DONTNEED));
    say("zero", moved[4096] + moved[8192]);
    say("gone", munmap(moved, 64 * size));
    a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("fresh", a[0] + a[size - 1]);
    say("shrunk", sbrk(-8192) == (void *)-1 ? -errno : 0);
}

static void has_timer(const char *unused)
{
    const struct itimerval later = {.it_value.tv_sec = 1000};
    struct itimerval left = {0};

    (void)unused;
    say("begin", 0);
    say("set",
        number == SYS_alarm ? call(1000, 0, 0, 0, 0, 0) : setitimer(ITIMER_REAL, &later, NULL));
    say("held", 1);
    say("told", getitimer(ITIMER_REAL, &left) == 0 ? left.it_value.tv_sec > 900 : -errno);
}

static void has_name(const char *unused)
{
    char name[32] = "";

    (void)unused;
    say("begin", 0);
    say("set", call(number == SYS_prctl ? 15 : 0x1003,
                    number == SYS_prctl ? (long)"called" : (long)area, 0, 0, 0, 0));
    say("held", 1);
    say("told", number == SYS_prctl ? call(16, (long)name, 0, 0, 0, 0) : area[1] != 0);
    say("name", name[0]);
}

/* The program itself, by its name and by a descriptor; of the others some are closed in its place. */
static void replaces(const char *unused)
{
    const int at = number == SYS_execveat;
    char *const again[] = {"rows", at ? "execveat" : "execve", "again", NULL};
    char *const environment[] = {"REPLACED=1", NULL};
    char name[4096] = "";

    (void)unused;
    if (getenv("REPLACED") != NULL) {
        say("open", fcntl(8, F_GETFD));
        say("closed", fcntl(9, F_GETFD));
        say("handler", signal(SIGUSR1, SIG_DFL) == SIG_DFL);
        say("ignored", signal(SIGUSR2, SIG_DFL) == SIG_IGN);
        return;
    }
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, SIG_IGN);
    dup2(open("data", O_RDONLY), 8);
    fcntl(dup2(8, 9), F_SETFD, FD_CLOEXEC);
    say("begin", 0);
    say("absent", at ? call(AT_FDCWD, (long)"none", (long)again, (long)environment, 0, 0)
                     : call((long)"none", (long)again, (long)environment, 0, 0, 0));
    say("folder", at ? call(AT_FDCWD, (long)"dir", (long)again, (long)environment, 0, 0)
                     : call((long)"dir", (long)again, (long)environment, 0, 0, 0));
    (void)!readlink("/proc/self/exe", name, sizeof name - 1);
    if (at)
        call(open(name, O_RDONLY | O_CLOEXEC), (long)"", (long)again, (long)environment,
             AT_EMPTY_PATH, 0);
    else
        call((long)"/proc/self/exe", (long)again, (long)environment, 0, 0, 0);
}

/* A child, which is waited for. */
static void forks(const char *unused)
{
    siginfo_t info = {0};
    int status = 0;
    long pid, ended;

    (void)unused;
    say("begin", 0);
    if (number == SYS_vfork)
        pid = vfork();
    else
        pid = number == SYS_fork || number == SYS_clone
                  ? call(number == SYS_clone ? SIGCHLD : 0, 0, 0, 0, 0, 0)
                  : fork();
    if (pid == 0)
        _exit(5);
    need("child", pid > 0 ? 0 : pid);
    ended = number == SYS_waitid  ? call(P_ALL, 0, (long)&info, WEXITED, 0, 0)
            : number == SYS_wait4 ? call(-1, (long)&status, 0, 0, 0, 0)
                                  : waitpid((pid_t)pid, &status, 0);
    say("ended", number == SYS_waitid ? ended : ended == pid);
    say("status", number == SYS_waitid ? info.si_status : WEXITSTATUS(status));
    say("none", wait(NULL) < 0 ? errno : 0);
}

static void refused(const char *unused)
{
    (void)unused;
    say("begin", 0);
    say("first", call(0, 0, 0, 0, 0, 0));
    say("second", call(0, 0, 0, 0, 0, 0));
}

/* ---- The rows ----------------------------------------------------------------------- */

struct row {
    const char *name;
    long number;
    void (*step)(const char *letters);
    const char *letters;
};

#define STEP(name, step) \
    { \
#name, SYS_##name, step, NULL \
    }
#define TOLD(name, letters) \
    { \
#name, SYS_##name, told, letters \
    }
#include "run_rows.h"

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].name, argv[1]) == 0) {
            number = rows[i].number;
            rows[i].step(rows[i].letters);
            return 3;
        }
    if (argc > 2) { /* one that is refused, by its number */
        number = atol(argv[2]);
        refused(NULL);
        return 3;
    }
    return 2;
}
