/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The numbers of arguments by which vista-run knows calls again, beside the prototypes of the C library,
 * which the compiler compares with those here, and of the kernel where these differ.
 */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>

#include "checkpoint/kernel/argument_counts.h"
#include "checkpoint/kernel/table_rows.h"
#include "support.h"

/* Calls that the library has with the kernel's arguments. */
#define LIBRARY_CALLS(CALL) \
    CALL(int, access, (const char *, int)) \
    CALL(unsigned, alarm, (unsigned)) \
    CALL(int, clock_getres, (clockid_t, struct timespec *)) \
    CALL(int, clock_gettime, (clockid_t, struct timespec *)) \
    CALL(int, clock_nanosleep, (clockid_t, int, const struct timespec *, struct timespec *)) \
    CALL(ssize_t, copy_file_range, (int, off64_t *, int, off64_t *, size_t, unsigned)) \
    CALL(int, epoll_ctl, (int, int, int, struct epoll_event *)) \
    CALL(int, epoll_wait, (int, struct epoll_event *, int, int)) \
    CALL(int, fallocate, (int, int, off_t, off_t)) \
    CALL(int, fdatasync, (int)) \
    CALL(ssize_t, fgetxattr, (int, const char *, void *, size_t)) \
    CALL(ssize_t, flistxattr, (int, char *, size_t)) \
    CALL(int, flock, (int, int)) \
    CALL(int, fstat, (int, struct stat *)) \
    CALL(int, fstatfs, (int, struct statfs *)) \
    CALL(int, fsync, (int)) \
    CALL(int, ftruncate, (int, off_t)) \
    CALL(ssize_t, getrandom, (void *, size_t, unsigned)) \
    CALL(ssize_t, getxattr, (const char *, const char *, void *, size_t)) \
    CALL(pid_t, getpgid, (pid_t)) \
    CALL(pid_t, getpgrp, (void)) \
    CALL(pid_t, getsid, (pid_t)) \
    CALL(int, gettimeofday, (struct timeval *, void *)) \
    CALL(int, inotify_add_watch, (int, const char *, uint32_t)) \
    CALL(int, inotify_rm_watch, (int, int)) \
    CALL(int, kill, (pid_t, int)) \
    CALL(ssize_t, lgetxattr, (const char *, const char *, void *, size_t)) \
    CALL(int, listen, (int, int)) \
    CALL(ssize_t, listxattr, (const char *, char *, size_t)) \
    CALL(ssize_t, llistxattr, (const char *, char *, size_t)) \
    CALL(off_t, lseek, (int, off_t, int)) \
    CALL(int, lstat, (const char *, struct stat *)) \
    CALL(int, mincore, (void *, size_t, unsigned char *)) \
    CALL(int, nanosleep, (const struct timespec *, struct timespec *)) \
    CALL(int, pause, (void)) \
    CALL(int, poll, (struct pollfd *, nfds_t, int)) \
    CALL(ssize_t, pread64, (int, void *, size_t, off64_t)) \
    CALL(ssize_t, pwrite64, (int, const void *, size_t, off64_t)) \
    CALL(ssize_t, read, (int, void *, size_t)) \
    CALL(ssize_t, readahead, (int, off64_t, size_t)) \
    CALL(ssize_t, readlink, (const char *, char *, size_t)) \
    CALL(ssize_t, readlinkat, (int, const char *, char *, size_t)) \
    CALL(ssize_t, readv, (int, const struct iovec *, int)) \
    CALL(ssize_t, recvmsg, (int, struct msghdr *, int)) \
    CALL(int, sched_get_priority_max, (int)) \
    CALL(int, sched_get_priority_min, (int)) \
    CALL(int, sched_getaffinity, (pid_t, size_t, cpu_set_t *)) \
    CALL(int, sched_getparam, (pid_t, struct sched_param *)) \
    CALL(int, sched_getscheduler, (pid_t)) \
    CALL(int, sched_yield, (void)) \
    CALL(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *)) \
    CALL(ssize_t, sendfile, (int, int, off_t *, size_t)) \
    CALL(ssize_t, sendmsg, (int, const struct msghdr *, int)) \
    CALL(int, setpgid, (pid_t, pid_t)) \
    CALL(int, setsockopt, (int, int, int, const void *, socklen_t)) \
    CALL(int, shutdown, (int, int)) \
    CALL(int, stat, (const char *, struct stat *)) \
    CALL(int, statfs, (const char *, struct statfs *)) \
    CALL(int, statx, (int, const char *, int, unsigned, struct statx *)) \
    CALL(int, sync_file_range, (int, off64_t, off64_t, unsigned)) \
    CALL(int, syncfs, (int)) \
    CALL(int, sysinfo, (struct sysinfo *)) \
    CALL(int, tgkill, (pid_t, pid_t, int)) \
    CALL(time_t, time, (time_t *)) \
    CALL(int, timerfd_gettime, (int, struct itimerspec *)) \
    CALL(int, timerfd_settime, (int, int, const struct itimerspec *, struct itimerspec *)) \
    CALL(clock_t, times, (struct tms *)) \
    CALL(ssize_t, write, (int, const void *, size_t)) \
    CALL(ssize_t, writev, (int, const struct iovec *, int))

/* Calls that it has otherwise, with other types, or not: by the kernel's SYSCALL_DEFINEn. */
#define KERNEL_CALLS(CALL) \
    CALL(, accept, (int, struct sockaddr *, int *)) \
    CALL(, accept4, (int, struct sockaddr *, int *, int)) \
    CALL(, bind, (int, struct sockaddr *, int)) \
    CALL(, connect, (int, struct sockaddr *, int)) \
    CALL(, epoll_pwait, (int, struct epoll_event *, int, int, const sigset_t *, size_t)) \
    CALL(, exit, (int)) \
    CALL(, exit_group, (int)) \
    CALL(, faccessat, (int, const char *, int)) \
    CALL(, faccessat2, (int, const char *, int, int)) \
    CALL(, fadvise64, (int, loff_t, size_t, int)) \
    CALL(, fcntl, (unsigned, unsigned)) \
    CALL(, futex, (u32 *, int, u32, const struct timespec *, u32 *, u32)) \
    CALL(, getcpu, (unsigned *, unsigned *, struct getcpu_cache *)) \
    CALL(, getcwd, (char *, unsigned long)) \
    CALL(, getdents, (unsigned, struct linux_dirent *, unsigned)) \
    CALL(, getdents64, (unsigned, struct linux_dirent64 *, unsigned)) \
    CALL(, getitimer, (int, struct itimerval *)) \
    CALL(, getpeername, (int, struct sockaddr *, int *)) \
    CALL(, getpriority, (int, int)) \
    CALL(, getrusage, (int, struct rusage *)) \
    CALL(, getsockname, (int, struct sockaddr *, int *)) \
    CALL(, getsockopt, (int, int, int, char *, int *)) \
    CALL(, ioctl, (unsigned, unsigned)) \
    CALL(, ioprio_get, (int, int)) \
    CALL(, newfstatat, (int, const char *, struct stat *, int)) \
    CALL(, ppoll, (struct pollfd *, unsigned, struct timespec *, const sigset_t *, size_t)) \
    CALL(, preadv, (int, const struct iovec *, int, unsigned long, unsigned long)) \
    CALL(, preadv2, (int, const struct iovec *, int, unsigned long, unsigned long, int)) \
    CALL(, pselect6, (int, fd_set *, fd_set *, fd_set *, struct timespec *, void *)) \
    CALL(, pwritev, (int, const struct iovec *, int, unsigned long, unsigned long)) \
    CALL(, pwritev2, (int, const struct iovec *, int, unsigned long, unsigned long, int)) \
    CALL(, recvfrom, (int, void *, size_t, unsigned, struct sockaddr *, int *)) \
    CALL(, rt_sigpending, (sigset_t *, size_t)) \
    CALL(, rt_sigsuspend, (sigset_t *, size_t)) \
    CALL(, sendmmsg, (int, struct mmsghdr *, unsigned, unsigned)) \
    CALL(, sendto, (int, void *, size_t, unsigned, struct sockaddr *, int)) \
    CALL(, setitimer, (int, struct itimerval *, struct itimerval *)) \
    CALL(, sync, (void)) \
    CALL(, tkill, (int, int)) \
    CALL(, wait4, (int, int *, int, struct rusage *)) \
    CALL(, waitid, (int, int, siginfo_t *, int, struct rusage *)) \
    CALL(, clone, (unsigned long, unsigned long, int *, int *, unsigned long)) \
    CALL(, fork, (void)) \
    CALL(, vfork, (void)) \
    CALL(, execve, (const char *, const char *const *, const char *const *)) \
    CALL(, execveat, (int, const char *, const char *const *, const char *const *, int)) \
    CALL(, pidfd_send_signal, (int, int, siginfo_t *, unsigned)) \
    CALL(, recvmmsg, (int, struct mmsghdr *, unsigned, unsigned, struct timespec *)) \
    CALL(, rt_sigtimedwait, (const sigset_t *, siginfo_t *, const struct timespec *, size_t)) \
    CALL(, splice, (int, loff_t *, int, loff_t *, size_t, unsigned)) \
    CALL(, tee, (int, int, size_t, unsigned)) \
    CALL(, vmsplice, (int, const struct iovec *, unsigned long, unsigned))

#define DECLARE(result, name, arguments) result name arguments;
LIBRARY_CALLS(DECLARE)

#define DESCRIBE(result, name, arguments) {#name, SYS_##name, #arguments},
static const struct {
    const char *name;
    long number;
    const char *arguments;
} described[] = {LIBRARY_CALLS(DESCRIBE) KERNEL_CALLS(DESCRIBE)};
#define DESCRIBED (sizeof described / sizeof *described)

static unsigned written(const char *arguments)
{
    unsigned count = strcmp(arguments, "(void)") != 0;

    for (; *arguments != '\0'; arguments++)
        count += *arguments == ',';
    return count < 3 ? count : 3;
}

START_TEST(counts_are_those_of_the_prototypes)
{
    for (size_t i = 0; i < DESCRIBED; i++)
        ck_assert_msg(vi_argument_count(described[i].number) == written(described[i].arguments),
                      "%s%s has not %u", described[i].name, described[i].arguments,
                      vi_argument_count(described[i].number));
}
END_TEST

/* Rows of the table whose results can be in the log. */
#define CALL(class, name, handler) \
    { \
#name, SYS_##name, #class \
    }
#define CALL_FD(class, name, handler) CALL(class, name, handler)
#define PASS(class, name) CALL(class, name, )
#define PASS_FD(class, name) CALL(class, name, )
#define EMPTY(name) CALL(STATE, name, )
static const struct {
    const char *name;
    long number;
    const char *class;
} rows[] = {VISIBLE_ROWS, UNDETERMINED_ROWS, STATE_ROWS};

static bool is_described(long number)
{
    size_t i = 0;

    while (i < DESCRIBED && described[i].number != number)
        i++;
    return i < DESCRIBED;
}

START_TEST(no_row_is_left_out)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].class, "STATE") != 0)
            ck_assert_msg(is_described(rows[i].number), "%s", rows[i].name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("argument counts");
    TCase *tests = test_case(suite, "counts", 5);

    tcase_add_test(tests, counts_are_those_of_the_prototypes);
    tcase_add_test(tests, no_row_is_left_out);
    return test_run(suite);
}
