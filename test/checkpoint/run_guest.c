/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Programs for test_checkpoint, which runs them under vista-run; the first argument says which.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "dc.h"

static void say(const char *what, long value)
{
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

static void *thread(void *argument)
{
    return argument;
}

/* Each of these is refused, with the error that says so. */
static int refusals(void)
{
    pthread_t id;
    const int fd = open("mapped", O_RDWR | O_CREAT, 0600);

    say("thread", pthread_create(&id, NULL, thread, NULL));
    say("fork", fork() < 0 ? errno : 0);
    say("io_uring", syscall(SYS_io_uring_setup, 1, NULL) < 0 ? errno : 0);
    if (ftruncate(fd, 4096) != 0)
        return 1;
    say("shared",
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? errno : 0);
    say("unknown", syscall(1000) < 0 ? errno : 0);
    say("theirs", close(965) < 0 ? errno : 0);
    return 0;
}

static int count(int most)
{
    for (int i = 1; i <= most; i++) {
        say("number", i);
        usleep(3000);
    }
    return 7;
}

/* Every way to change files that is undone; each step depends on what the one before left. */
static int files(void)
{
    const struct timespec times[2] = {{1000, 0}, {2000, 0}};
    struct stat st;
    char bytes[16] = "";
    int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0644);

    say("create", fd);
    say("write", write(fd, "hello world", 11));
    say("overwrite", pwrite(fd, "HE", 2, 0));
    say("seek", lseek(fd, 0, SEEK_END));
    say("append", write(fd, "!\n", 2));
    say("shorten", ftruncate(fd, 5));
    say("lengthen", ftruncate(fd, 9));
    say("link", link("a", "b"));
    say("again", link("a", "b") < 0 ? errno : 0);
    say("rename", rename("a", "c"));
    say("symlink", symlink("c", "d"));
    say("mkdir", mkdir("e", 0755));
    say("exists", mkdir("e", 0755) < 0 ? errno : 0);
    say("into", rename("b", "e/b"));
    say("full", rmdir("e") < 0 ? errno : 0);
    say("mode", chmod("c", 0600));
    say("times", utimensat(AT_FDCWD, "c", times, 0));
    close(open("f", O_WRONLY | O_CREAT, 0644));
    say("over", rename("c", "f"));
    say("unlink", unlink("e/b"));
    say("remove", rmdir("e"));
    say("read", pread(fd, bytes, sizeof bytes, 0));
    say(bytes, fstat(fd, &st) == 0 ? st.st_size : -1);
    say("gone", unlink("f"));
    say("still", pwrite(fd, "x", 1, 3));
    say("there", pread(fd, bytes, sizeof bytes, 0));
    close(fd);
    fd = open("g", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    for (int i = 0; i < 5; i++)
        say("line", dprintf(fd, "line %d\n", i));
    close(fd);
    return unlink("d");
}

static volatile sig_atomic_t alarms, users, depth; /* 1: the handler has gone on */

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

static void on_user(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (number == SIGUSR1 && info->si_signo == SIGUSR1) {
        users++;
        raise(SIGUSR2); /* held until this handler is over */
        depth = users == 1;
    } else {
        users += 10 + depth;
    }
}

/* Calls that need no trap, while timers tick; counted, since none of them may be lost. */
static int busy(int most)
{
    const struct itimerval often = {{0, 300}, {0, 300}};
    const int fd = open("in", O_RDONLY), parent = (int)syscall(SYS_getppid);
    struct timespec last = {0}, now;
    int wrong = 0, ticks = 0;
    struct stat st;
    char byte;

    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 1; i <= most; i++) {
        for (int turn = 0; turn < 3000; turn++) {
            wrong += lseek(fd, turn % 8, SEEK_SET) != turn % 8 || fstat(fd, &st) != 0 ||
                     pread(fd, &byte, 1, turn % 8) != 1 || byte != '0' + turn % 8 ||
                     read(fd, &byte, 1) != 1 || byte != '0' + turn % 8 ||
                     lseek(fd, 0, SEEK_CUR) != turn % 8 + 1 ||
                     clock_gettime(CLOCK_MONOTONIC, &now) != 0 || now.tv_sec < last.tv_sec ||
                     syscall(SYS_getppid) != parent;
            last = now;
        }
        wrong += syscall(SYS_close, 500) != -1 || syscall(SYS_fstat, 965, &st) != -1;
        say("number", i);
        ticks += alarms > 0;
        alarms = 0;
    }
    return wrong != 0 ? 1 : ticks < most / 2 ? 2 : 7;
}

static int signals(void)
{
    static char stack[65536];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = on_user, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    const struct itimerval soon = {{0, 0}, {0, 20000}};
    volatile double sum = 1.5;
    sigset_t set, old;

    sigaltstack(&alternate, NULL);
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    signal(SIGALRM, on_alarm);
    raise(SIGUSR1);
    say("nested", users); /* 1, then 10 + 1 */
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    say("blocked", users);
    setitimer(ITIMER_REAL, &soon, NULL);
    sigdelset(&old, SIGALRM);
    sigaddset(&old, SIGUSR1);
    while (alarms == 0)
        sigsuspend(&old);
    say("alarm", alarms);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    say("unblocked", users);
    for (int i = 0; i < 10; i++) {
        sum = sum * 1.25 + i;
        say("sum", (long)(sum * 1000));
    }
    return 0;
}

/* Waits that a limit ends, or a signal while nothing but computing goes on. */
static int waits(void)
{
    const struct timespec limit = {0, 30000000};
    const int set = epoll_create1(0);
    struct timeval soon = {0, 30000};
    struct epoll_event event;

    signal(SIGALRM, on_alarm);
    say("poll", poll(NULL, 0, 30));
    say("ppoll", ppoll(NULL, 0, &limit, NULL));
    say("select", select(0, NULL, NULL, NULL, &soon));
    say("pselect", pselect(0, NULL, NULL, NULL, &limit, NULL));
    say("epoll_wait", epoll_wait(set, &event, 1, 30));
    for (int i = 1; i <= 100; i++) {
        const struct itimerval once = {{0, 0}, {0, 200 + 50 * i}};

        setitimer(ITIMER_REAL, &once, NULL);
        while (alarms < i)
            ;
    }
    say("alarms", alarms);
    return 0;
}

/* A sleep for ages that a signal ends, and a poll, of which the kernel then says that nothing has
 * happened. */
static int asleep(void)
{
    const struct itimerval often = {{0, 50000}, {0, 50000}};
    const struct timespec ages = {(time_t)1 << 55, 0};
    struct pollfd silent = {.events = POLLIN, .revents = 77};
    int ends[2];

    if (pipe(ends) != 0)
        return 1;
    silent.fd = ends[0];
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    say("awake", 0);
    say("slept", nanosleep(&ages, NULL) < 0 ? errno : 0);
    say("woken", alarms != 0);
    say("polled", poll(&silent, 1, -1) < 0 ? errno : 0);
    say("events", silent.revents);
    say("still", silent.revents);
    return 0;
}

static void block(sigset_t *none, int one, int other)
{
    sigset_t both;

    sigemptyset(none);
    sigemptyset(&both);
    sigaddset(&both, one);
    sigaddset(&both, other);
    sigprocmask(SIG_BLOCK, &both, NULL);
}

/* A timer that fires once, and then one that fires often, for the first time late. */
static int timers(void)
{
    const struct itimerval once = {{0, 0}, {0, 300000}}, often = {{0, 50000}, {0, 400000}};
    const struct timespec limit = {0, 600000000};
    struct itimerval left;
    sigset_t none;

    block(&none, SIGALRM, SIGALRM);
    signal(SIGALRM, on_alarm);
    say("begin", 0);
    setitimer(ITIMER_REAL, &once, NULL);
    say("once", 0);
    sigsuspend(&none);
    say("alarms", alarms);
    say("none", ppoll(NULL, 0, &limit, &none));
    say("alarms", alarms);
    setitimer(ITIMER_REAL, &often, NULL);
    say("often", 0);
    sigsuspend(&none);
    say("tick", 0);
    getitimer(ITIMER_REAL, &left);
    say("late", left.it_value.tv_sec != 0 || left.it_value.tv_usec > 50000);
    return 0;
}

/* A timer ends each of these, which wait for what never comes. */
static int blocked(void)
{
    const struct itimerval often = {{0, 50000}, {0, 50000}}, never = {{0, 0}, {0, 0}};
    const struct sigaction action = {.sa_handler = on_alarm}; /* nothing is made again */
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    const struct timespec limit = {0, 30000000}, ages = {(time_t)1 << 55, 0};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), word = 5;

    if (mkfifo("fifo", 0600) != 0 ||
        bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 0) != 0)
        return 1;
    say("first", connect(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr *)&address,
                         sizeof address));
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    say("open", open("fifo", O_RDONLY) < 0 ? errno : 0);
    say("second", connect(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr *)&address,
                          sizeof address) < 0
                      ? errno
                      : 0);
    say("futex", syscall(SYS_futex, &word, FUTEX_WAIT, 5, NULL, NULL, 0) < 0 ? errno : 0);
    say("far", syscall(SYS_futex, &word, FUTEX_WAIT, 5, &ages, NULL, 0) < 0 ? errno : 0);
    setitimer(ITIMER_REAL, &never, NULL);
    say("limit", syscall(SYS_futex, &word, FUTEX_WAIT, 5, &limit, NULL, 0) < 0 ? errno : 0);
    say("other", syscall(SYS_futex, &word, FUTEX_WAIT, 6, NULL, NULL, 0) < 0 ? errno : 0);
    say("none", syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0));
    return 0;
}

/* Cuts off more than can be kept between two signals. */
static int cuts(void)
{
    static unsigned char part[1 << 20];
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    int failed = 0, fd = open("big", O_WRONLY | O_CREAT, 0600);
    struct stat st;

    for (int i = 0; i < 40; i++)
        failed += pwrite(fd, part, sizeof part, (off_t)i << 20) != sizeof part;
    close(fd);
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    fd = open("big", O_WRONLY | O_TRUNC);
    setitimer(ITIMER_REAL, &never, NULL);
    say("failed", failed);
    say("left", fstat(fd, &st) == 0 ? st.st_size : -1);
    say("alarms", alarms != 0);
    return unlink("big");
}

/* Calls that say when they were made before, while a timer ticks. */
static int sockets(int most)
{
    const struct itimerval often = {{0, 300}, {0, 300}};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    const struct sockaddr *to = (const struct sockaddr *)&address;
    struct epoll_event event = {.events = EPOLLIN};
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0), set = epoll_create1(0);
    int failed = bind(listener, to, sizeof address) != 0 || listen(listener, most) != 0;

    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < most && failed == 0; i++) {
        const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        failed |= (connect(fd, to, sizeof address) != 0) << 1;
        snprintf(address.sun_path, sizeof address.sun_path, "socket%d", i);
        failed |= (bind(fd, to, sizeof address) != 0) << 2;
        failed |= (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) << 3;
        strcpy(address.sun_path, "socket");
    }
    say("failed", failed);
    return 0;
}

/* Has each exception of its computing end it, and rounds up: who computes for it may do neither. */
static int exact(int most)
{
    const unsigned exact_up = 0x4000;
    struct timespec now;

    __builtin_ia32_ldmxcsr(exact_up);
    for (int i = 1; i <= most; i++) {
        clock_gettime(CLOCK_REALTIME, &now);
        say("number", i);
    }
    return __builtin_ia32_stmxcsr() == exact_up ? 7 : 1;
}

/* Waits for whom the test does not start. */
static int waits_for_peer(void)
{
    say("begin", mkfifo("fifo", 0600));
    return open("fifo", O_RDONLY);
}

/* Two functions, each of which makes a call and counts it, the second elsewhere: nop, mov $110 or $102,
 * %eax, syscall, incl (%rdi) or 4(%rdi), ret.  They are where libraries are. */
static const unsigned char code[2][16] = {
    {0x90, 0xb8, 0x6e, 0, 0, 0, 0x0f, 0x05, 0xff, 0x07, 0xc3},
    {0x90, 0xb8, 0x66, 0, 0, 0, 0x0f, 0x05, 0xff, 0x47, 0x04, 0xc3},
};
typedef void counting_call(volatile int *counts);
static counting_call *counting[2];
static volatile int counts[2];
static volatile sig_atomic_t given;

static void on_given(int number)
{
    (void)number;
    given++;
}

/* Counts the one signal until the other comes. */
static int counts_signals(void)
{
    sigset_t none;

    block(&none, SIGUSR1, SIGUSR2);
    signal(SIGUSR1, on_given);
    signal(SIGUSR2, on_alarm);
    say("given", given);
    while (alarms == 0) {
        sigsuspend(&none);
        say("given", given);
    }
    return 7;
}

/* Messages to itself, while a timer ticks. */
static int messages(void)
{
    const struct itimerval often = {{0, 1000}, {0, 1000}};
    char byte = 'm';
    struct iovec part = {&byte, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    int ends[2], sent = 0;

    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0)
        return 1;
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 5; i++)
        sent += sendmmsg(ends[0], &message, 1, 0);
    say("sent", sent);
    return 0;
}

/* Makes calls of its own until the other signal has come in one of them. */
static void on_another(int number)
{
    const int before = given;

    (void)number;
    while (given == before)
        counting[1](counts);
    depth = 1;
}

/* Calls that need no trap, in which the test gives signals. */
static int nested(void)
{
    unsigned char *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int made = 0;

    if (page == MAP_FAILED)
        return 1;
    memcpy(page + 64, code, sizeof code);
    counting[0] = (counting_call *)(page + 64);
    counting[1] = (counting_call *)(page + 64 + sizeof code[0]);
    if (mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0)
        return 1;
    signal(SIGUSR1, on_given);
    signal(SIGUSR2, on_another);
    say("begin", 0);
    for (; depth == 0; made++)
        counting[0](counts);
    say("given", given);
    say("counted", made == counts[0] && counts[1] != 0);
    return 0;
}

/* The zone is stored, too, when the call is not made but replayed. */
static int zones(void)
{
    struct timezone zone;
    struct timeval now;

    for (int i = 0; i < 5; i++) {
        zone = (struct timezone){77, 77};
        say("time", syscall(SYS_gettimeofday, &now, &zone));
        say("zone", zone.tz_minuteswest);
    }
    return 0;
}

/* Locks every other byte, `most` of them, by a descriptor that has a copy, too; one goes where they are too many.
 * Until there is a file. */
static int many_locks(int most)
{
    struct flock first = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = 1};
    const int fd = open("in", O_RDWR);
    int locked = 0, error = 0;

    if (dup(fd) < 0)
        return 1;
    for (int i = 0; i < most; i++) {
        struct flock byte = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2 * (off_t)i, .l_len = 1};

        if (fcntl(fd, F_SETLKW, &byte) == 0)
            locked++;
        else
            error = errno;
    }
    say("locked", locked);
    say("error", error);
    if (error != 0)
        say("unlocked", fcntl(fd, F_SETLK, &first));
    for (int i = 1; i <= 20000 && access("end", F_OK) != 0; i++) {
        say("number", i);
        usleep(3000);
    }
    return 7;
}

/* How many of the first bytes others have locked. */
static int count_locked(int most)
{
    const int fd = open("in", O_RDWR);
    int found = 0;

    for (int i = 0; i < most; i++) {
        struct flock byte = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = i, .l_len = 1};

        found += fcntl(fd, F_GETLK, &byte) == 0 && byte.l_type == F_WRLCK;
    }
    say("found", found);
    return 0;
}

/* Signals that come in waits alone, and end them: one each. */
static int ticks(int most)
{
    const struct itimerval often = {{0, 3000}, {0, 3000}};
    sigset_t none, alarm;

    sigemptyset(&none);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarm, NULL);
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 1; i <= most; i++) {
        if (i % 3 == 0)
            sigsuspend(&none);
        else if (i % 3 == 1)
            ppoll(NULL, 0, NULL, &none);
        else
            pselect(0, NULL, NULL, NULL, NULL, &none);
        say("number", alarms);
    }
    return 7;
}

#define PHASE 400

/* A call of so many arguments; the registers of the others have no meaning, and here another each time. */
static long loose_call(long number, unsigned count, uint64_t a, uint64_t b)
{
    const uint64_t chance = __builtin_ia32_rdtsc();
    register uint64_t r10 __asm__("r10") = chance;
    register uint64_t r8 __asm__("r8") = chance;
    register uint64_t r9 __asm__("r9") = chance;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(count > 0 ? a : chance), "S"(count > 1 ? b : chance),
                       "d"(chance), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static int loose(int most)
{
    static char room[256];
    const uint64_t at = (uint64_t)room, root = (uint64_t) "/", none = 0;
    const struct {
        long number;
        unsigned count;
        uint64_t a, b;
    } calls[] = {{SYS_getpgrp, 0, 0, 0},
                 {SYS_sched_yield, 0, 0, 0},
                 {SYS_getpgid, 1, none, 0},
                 {SYS_getsid, 1, none, 0},
                 {SYS_sched_getscheduler, 1, none, 0},
                 {SYS_sysinfo, 1, at, 0},
                 {SYS_time, 1, at, 0},
                 {SYS_times, 1, at, 0},
                 {SYS_access, 2, root, R_OK},
                 {SYS_clock_getres, 2, CLOCK_MONOTONIC, at},
                 {SYS_clock_gettime, 2, CLOCK_MONOTONIC, at},
                 {SYS_fcntl, 2, 1, F_GETFL},
                 {SYS_fstat, 2, 1, at},
                 {SYS_getcwd, 2, at, sizeof room},
                 {SYS_getrusage, 2, RUSAGE_SELF, at},
                 {SYS_gettimeofday, 2, at, none},
                 {SYS_ioctl, 2, 1, TIOCEXCL},
                 {SYS_kill, 2, (uint64_t)getppid(), 0},
                 {SYS_nanosleep, 2, at, none},
                 {SYS_stat, 2, root, at}};

    for (int i = 1; i <= most; i++) {
        for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
            if (calls[c].number == SYS_nanosleep)
                memset(room, 0, sizeof room);
            loose_call(calls[c].number, calls[c].count, calls[c].a, calls[c].b);
        }
        say("number", i);
    }
    return 7;
}

/* By turns one that asks for the time often, never, and each time that it says something. */
static int phases(int most)
{
    static const int asks[] = {40, 0, 1};
    struct timespec now;

    for (int i = 1; i <= most; i++) {
        for (int n = asks[i / PHASE % 3]; n > 0; n--)
            clock_gettime(CLOCK_REALTIME, &now);
        say("number", i);
    }
    return 7;
}

/* One that asks for the time often, and then for its own number only. */
static int quiet(int most)
{
    struct timespec now;

    for (int i = 1; i <= most; i++) {
        for (int n = 0; n < 40 && i <= PHASE; n++)
            clock_gettime(CLOCK_REALTIME, &now);
        for (int n = 0; n < 200 && i > PHASE; n++)
            (void)syscall(SYS_getpid);
        say("number", i);
    }
    return 7;
}

/* What is mapped of a file that changed is what it holds, though it lies where the file lay before and says
 * that it is as old. */
static void map_what_changes(void)
{
    const struct timespec times[2] = {{1, 0}, {1, 0}};
    const size_t size = 1u << 20;
    const int fd = open("changes", O_RDWR | O_CREAT | O_TRUNC, 0600);
    long seen = 0;

    for (char letter = 'a'; letter < 'd'; letter++) {
        const char *at;

        (void)!pwrite(fd, &letter, 1, 0);
        (void)!futimens(fd, times);
        at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        seen = seen * 256 + at[0];
        munmap((void *)at, size);
    }
    say("seen", seen);
    close(fd);
}

/* Memory that comes, moves and goes. */
static int memory(void)
{
    const size_t size = 64 * 4096;
    unsigned char *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned long sum = 0;

    memset(a, 7, size);
    say("mapped", a[size - 1]);
    say("closed", mprotect(a, 4096, PROT_READ));
    a = mremap(a, size, 4 * size, MREMAP_MAYMOVE);
    say("moved", a[size - 1] + a[4 * size - 1]);
    say("dropped", madvise(a + size / 2, size / 2, MADV_DONTNEED));
    say("zero", a[size - 1] + a[size / 2 - 1]);
    say("unmapped", munmap(a + size, size));
    a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < size; i++)
        sum += a[i];
    say("fresh", (long)sum);
    munmap(a + size / 4, size / 4);
    say("hole", mmap(a + size / 4, size / 4, PROT_READ, MAP_PRIVATE | MAP_FIXED,
                     open(".", O_RDONLY), 0) == MAP_FAILED
                    ? errno
                    : 0);
    say("beside", a[0] + a[size - 1]);
    for (int i = 0; i < 20; i++) {
        unsigned char *block = malloc(100000 + 5000 * (size_t)i);

        memset(block, i, 1000);
        say("block", block[999]);
        if (i % 3 != 0)
            free(block);
    }
    map_what_changes();
    return 0;
}

/* Pages that are written to between any two checkpoints: the first eight otherwise each time; the others
 * with what they hold, but for one at a time, and from the thirtieth turn on a third of them not at all. */
static int again(void)
{
    enum { PAGES = 24, SIZE = 4096 };
    unsigned char *a =
        mmap(NULL, PAGES * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (int turn = 0; turn < 60; turn++) {
        unsigned long sum = 0;

        for (int page = 0; page < PAGES; page++) {
            volatile unsigned char *byte = a + page * SIZE + page;

            if (page < 8 || page == turn % PAGES)
                *byte = (unsigned char)(turn + page);
            else if (page < 16 || turn < 30)
                *byte = *byte;
        }
        for (int i = 0; i < PAGES * SIZE; i++)
            sum = sum * 31 + a[i];
        say("sum", (long)(sum % 1000003));
    }
    return 0;
}

/* A set tells of a descriptor until it is closed, in whatever way. */
static int descriptors(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    const int set = epoll_create1(0);

    for (int how = 0; how < 3; how++) {
        const int counter = eventfd(1, 0);

        epoll_ctl(set, EPOLL_CTL_ADD, counter, &event);
        say("told", epoll_wait(set, &event, 1, 0));
        if (how == 0)
            close(counter);
        else if (how == 1)
            syscall(SYS_close_range, counter, counter, 0);
        else
            dup2(set, counter);
        say("silent", epoll_wait(set, &event, 1, 0));
        if (how == 2)
            say("there", close(counter));
    }
    return 0;
}

/* More files without a name than there are descriptors, and nothing to be seen of them. */
static int nameless(int most)
{
    int failed = 0;

    for (int i = 0; i < most; i++) {
        const int fd = open("t", O_RDWR | O_CREAT, 0600);

        failed += fd < 0 || unlink("t") != 0 || write(fd, "x", 1) != 1 || close(fd) != 0;
    }
    say("failed", failed);
    return 0;
}

/* More names removed and replaced between two checkpoints than there may be, and more bytes cut off
 * than there are in one record; it says what it saw, behind them. */
static int large(void)
{
    static unsigned char part[1 << 20];
    const int fd = open("big", O_RDWR | O_CREAT, 0600);
    int failed = 0, wrong = 0;
    char name[16];

    for (int i = 0; i < 40; i++) {
        memset(part, i, sizeof part);
        failed += pwrite(fd, part, sizeof part, (off_t)i << 20) != sizeof part;
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        failed += mknod(name, S_IFREG | 0600, 0) != 0;
    }
    say("made", failed);
    for (int i = 0; i < 40; i++)
        wrong += pread(fd, part, sizeof part, (off_t)i << 20) != sizeof part || part[0] != i ||
                 part[sizeof part - 1] != i;
    failed += ftruncate(fd, 12345) != 0;
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        failed += i % 8 == 0 ? rename(name, "last") != 0 : unlink(name) != 0;
    }
    say("wrong", wrong);
    say("failed", failed);
    return unlink("last") != 0 || unlink("big") != 0;
}

/* Reads a pipe that has a name, byte by byte. */
static int pour(void)
{
    const int fd = open("pipe", O_RDONLY);
    unsigned char byte;
    long sum = 0;

    while (read(fd, &byte, 1) == 1)
        sum += byte;
    say("sum", sum);
    return 0;
}

/* Says what is there, until there are `most` bytes. */
static int follow(int most)
{
    const int fd = open("in", O_RDONLY);
    char byte;

    for (int i = 1; i <= most; usleep(1000))
        if (read(fd, &byte, 1) == 1)
            say("number", i++);
    return 7;
}

/* Locks bytes 0 to 2 and 5 to 9, and writes to that file, by a descriptor that cannot read it, too. */
static int lock(int most)
{
    struct flock bytes = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    const int fd = open("in", O_RDWR), writer = open("in", O_WRONLY);

    if (fcntl(fd, F_SETLKW, &bytes) != 0)
        return 1;
    bytes = (struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = 3, .l_len = 2};
    if (fcntl(fd, F_SETLK, &bytes) != 0)
        return 1;
    for (int i = 1; i <= most; i++) {
        if (pwrite(fd, "x", 1, i % 10) != 1 || pwrite(writer, "y", 1, i % 10) != 1)
            return 1;
        say("number", i);
        usleep(3000);
    }
    return 7;
}

/* Which of the first ten bytes others have locked. */
static int locked(void)
{
    const int fd = open("in", O_RDWR);

    for (int i = 0; i < 10; i++) {
        struct flock byte = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = i, .l_len = 1};

        printf("%d", fcntl(fd, F_GETLK, &byte) == 0 && byte.l_type == F_WRLCK);
    }
    return 0;
}

static int is_pending(int number)
{
    sigset_t set;

    return sigpending(&set) == 0 && sigismember(&set, number) == 1;
}

static int is_default(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_DFL;
}

/* Replaces itself, in turn by its name and by a script; each time the file, the folder, what is blocked and
 * ignored and what waits are as the one before left them. */
static int replaced(int left)
{
    const int fd = left == 12 ? dup2(open("a", O_RDWR | O_CREAT | O_APPEND, 0600), 20) : 20;
    char text[4200], number[16], *const arguments[] = {"guest", "replaced", number, NULL};
    static char block[1 << 21]; /* what the one before had here is gone */
    sigset_t set;
    ssize_t length;
    int script;

    say("left", left);
    say("wrote", write(fd, "a line\n", 7));
    say("clean", block[0] + block[sizeof block - 1] + *(char *)sbrk(65536));
    memset(block, left, sizeof block);
    say("default", is_default(SIGUSR2));
    if (left == 12) {
        length = readlink("/proc/self/exe", text + 2, 4096);
        memcpy(text, "#!", 2);
        memcpy(text + 2 + length, " replaced\n", 10);
        script = open("b", O_RDWR | O_CREAT, 0700);
        say("script", write(script, text, (size_t)length + 12) > 0);
        close(script);
        say("marked", dup3(fd, 21, O_CLOEXEC));
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGUSR1, SIG_IGN);
        signal(SIGUSR2, on_alarm);
        raise(SIGUSR2);
    }
    raise(SIGUSR1);
    say("pending", is_pending(SIGUSR2));
    say("size", lseek(fd, 0, SEEK_END));
    say("next", fcntl(21, F_GETFD));
    if (left == 0)
        return 0;
    snprintf(number, sizeof number, "%d", left - 1);
    if (left % 2 != 0)
        execv("/proc/self/exe", arguments);
    else
        execv("./b", (char *const[]){"b", number, NULL});
    return 1;
}

static int grow(int most)
{
    for (int i = 1; i <= most; i++) {
        char *volatile block = malloc(1 << 20); /* that a compiler does not leave out */

        memset(block, i, 1 << 20);
        say("number", i);
    }
    return 7;
}

static unsigned prepared, recovered;

static void prepare(void *argument)
{
    *(unsigned *)argument += 1;
}

static void recover(void *argument, const struct dc_info *info)
{
    recovered += argument == &prepared && info->resumes;
}

/* Its callbacks are called: before each checkpoint that it makes, and after a recovery if there was one. */
static int simulate(void)
{
    const struct dc_options options = {
        .before_checkpoint = prepare, .after_recovery = recover, .argument = &prepared};
    struct dc_info info;

    if (dc_init("simulation.dc", &options) != 0)
        return 1;
    for (int i = 0; i < 20; i++) {
        if (dc_checkpoint() != 0)
            return 1;
        say("prepared", (long)prepared);
    }
    if (dc_get_info(&info) != 0 || info.commits < 20)
        return 1;
    say("alike", (recovered != 0) == (info.resumes != 0));
    return 0;
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "";

    if (strcmp(which, "refusals") == 0)
        return refusals();
    if (strcmp(which, "count") == 0)
        return count(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "files") == 0)
        return files();
    if (strcmp(which, "signals") == 0)
        return signals();
    if (strcmp(which, "large") == 0)
        return large();
    if (strcmp(which, "pour") == 0)
        return pour();
    if (strcmp(which, "waits") == 0)
        return waits();
    if (strcmp(which, "asleep") == 0)
        return asleep();
    if (strcmp(which, "timers") == 0)
        return timers();
    if (strcmp(which, "given") == 0)
        return counts_signals();
    if (strcmp(which, "messages") == 0)
        return messages();
    if (strcmp(which, "blocked") == 0)
        return blocked();
    if (strcmp(which, "cuts") == 0)
        return cuts();
    if (strcmp(which, "sockets") == 0)
        return sockets(20);
    if (strcmp(which, "exact") == 0)
        return exact(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "peer") == 0)
        return waits_for_peer();
    if (strcmp(which, "nested") == 0)
        return nested();
    if (strcmp(which, "zones") == 0)
        return zones();
    if (strcmp(which, "locks") == 0)
        return many_locks(atoi(argv[2]));
    if (strcmp(which, "found") == 0)
        return count_locked(atoi(argv[2]));
    if (strcmp(which, "again") == 0)
        return again();
    if (strcmp(which, "ticks") == 0)
        return ticks(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "phases") == 0)
        return phases(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "loose") == 0)
        return loose(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "quiet") == 0)
        return quiet(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "memory") == 0)
        return memory();
    if (strcmp(which, "descriptors") == 0)
        return descriptors();
    if (strcmp(which, "nameless") == 0)
        return nameless(2000);
    if (strcmp(which, "lock") == 0)
        return lock(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "locked") == 0)
        return locked();
    if (strcmp(which, "busy") == 0)
        return busy(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "grow") == 0)
        return grow(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "follow") == 0)
        return follow(argc > 2 ? atoi(argv[2]) : 10);
    if (strcmp(which, "replaced") == 0)
        return replaced(argc > 2 ? atoi(argv[argc - 1]) : 12);
    if (strcmp(which, "simulate") == 0)
        return simulate();
    if (strcmp(which, "raise") == 0)
        raise(atoi(argv[2]));
    return 0;
}
