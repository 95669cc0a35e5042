/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What system calls mean: see trace_calls.h.
 */
#include "trace/trace_calls.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>

enum class {
    UNKNOWN,
    DETERMINED,   /* of the process alone */
    UNDETERMINED, /* of time, of others, of chance */
    READING,      /* undetermined unless of a file of the program's own */
    WRITING,      /* visible unless of a file of the program's own */
    SHOWN,        /* visible */
    KILLING,      /* visible unless sent to the process itself, which sees a signal */
    ENDING        /* visible whatever it gives */
};

#define CALL(class, name) [SYS_##name] = {#name, class}
#define D(name) CALL(DETERMINED, name)
#define U(name) CALL(UNDETERMINED, name)

static const struct {
    const char *name;
    enum class class;
} calls[512] = {
    CALL(READING, read),
    CALL(READING, readv),
    CALL(READING, pread64),
    CALL(READING, preadv),
    CALL(READING, preadv2),
    CALL(UNDETERMINED, getdents),
    CALL(UNDETERMINED, getdents64),
    CALL(READING, lseek),

    CALL(WRITING, write),
    CALL(WRITING, writev),
    CALL(WRITING, pwrite64),
    CALL(WRITING, pwritev),
    CALL(WRITING, pwritev2),
    CALL(WRITING, sendfile),
    CALL(WRITING, copy_file_range),
    CALL(WRITING, ftruncate),
    CALL(WRITING, fallocate),
    CALL(WRITING, fchmod),
    CALL(WRITING, fchown),

    CALL(SHOWN, connect),
    CALL(SHOWN, bind),
    CALL(SHOWN, listen),
    CALL(SHOWN, setsockopt),
    CALL(SHOWN, epoll_ctl),
    CALL(SHOWN, timerfd_settime),
    CALL(SHOWN, inotify_add_watch),
    CALL(SHOWN, inotify_rm_watch),
    CALL(SHOWN, sendto),
    CALL(SHOWN, sendmsg),
    CALL(SHOWN, sendmmsg),
    CALL(SHOWN, shutdown),
    CALL(SHOWN, setpgid),
    CALL(KILLING, kill),
    CALL(KILLING, tkill),
    CALL(KILLING, tgkill),
    CALL(ENDING, exit),
    CALL(ENDING, exit_group),

    /* Of who sends what, and when. */
    U(poll),
    U(ppoll),
    U(select),
    U(pselect6),
    U(epoll_wait),
    U(epoll_pwait),
    U(accept),
    U(accept4),
    U(recvfrom),
    U(recvmsg),
    U(rt_sigpending),
    U(rt_sigsuspend),
    U(pause),
    U(wait4),
    U(waitid),
    U(execve),
    U(execveat),
    U(futex),
    U(flock),
    U(ioctl),
    U(getsockname),
    U(getpeername),
    U(getsockopt),
    /* Of time. */
    U(time),
    U(gettimeofday),
    U(clock_gettime),
    U(clock_getres),
    U(times),
    U(getrusage),
    U(nanosleep),
    U(clock_nanosleep),
    U(getitimer),
    U(setitimer),
    U(alarm),
    U(timerfd_gettime),
    U(sysinfo),
    U(sched_yield),
    /* Of chance, and of the machine as it is. */
    U(getrandom),
    U(getcpu),
    U(sched_getaffinity),
    U(sched_getparam),
    U(sched_getscheduler),
    U(sched_get_priority_max),
    U(sched_get_priority_min),
    U(getpriority),
    U(ioprio_get),
    U(mincore),
    U(statfs),
    U(fstatfs),
    /* Of who started the run: another terminal, another session. */
    U(getpgrp),
    U(getpgid),
    U(getsid),
    /* Of files as others leave them, with the times of their changes. */
    U(stat),
    U(lstat),
    U(fstat),
    U(newfstatat),
    U(statx),
    U(access),
    U(faccessat),
    U(faccessat2),
    U(readlink),
    U(readlinkat),
    U(getcwd),
    U(fcntl),
    U(getxattr),
    U(lgetxattr),
    U(fgetxattr),
    U(listxattr),
    U(llistxattr),
    U(flistxattr),
    U(sync),
    U(syncfs),
    U(fsync),
    U(fdatasync),
    U(sync_file_range),
    U(fadvise64),
    U(readahead),

    /* Files of the program's own, which are undone, and so the same when it opens them again. */
    D(open),
    D(openat),
    D(creat),
    D(close),
    D(close_range),
    D(dup),
    D(dup2),
    D(dup3),
    D(mkdir),
    D(mkdirat),
    D(mknod),
    D(mknodat),
    D(link),
    D(linkat),
    D(symlink),
    D(symlinkat),
    D(unlink),
    D(unlinkat),
    D(rmdir),
    D(rename),
    D(renameat),
    D(renameat2),
    D(truncate),
    D(chmod),
    D(fchmodat),
    D(chown),
    D(lchown),
    D(fchownat),
    D(utime),
    D(utimes),
    D(utimensat),
    D(futimesat),
    D(chdir),
    D(fchdir),
    D(umask),
    /* New objects that no one else has seen. */
    D(pipe),
    D(pipe2),
    D(socketpair),
    D(socket),
    D(eventfd),
    D(eventfd2),
    D(epoll_create),
    D(epoll_create1),
    D(timerfd_create),
    D(signalfd),
    D(signalfd4),
    D(inotify_init),
    D(inotify_init1),
    D(memfd_create),
    /* Memory, at addresses that are drawn once for a run, and the process itself. */
    D(mmap),
    D(munmap),
    D(mprotect),
    D(mremap),
    D(madvise),
    D(brk),
    D(msync),
    D(mlock),
    D(munlock),
    D(mlock2),
    D(rt_sigaction),
    D(rt_sigprocmask),
    D(rt_sigreturn),
    D(sigaltstack),
    D(getpid),
    D(gettid),
    D(getppid),
    D(set_tid_address),
    D(set_robust_list),
    D(arch_prctl),
    D(prctl),
    D(getrlimit),
    D(setrlimit),
    D(prlimit64),
    D(getuid),
    D(geteuid),
    D(getgid),
    D(getegid),
    D(getgroups),
    D(getresuid),
    D(getresgid),
    D(setresuid),
    D(setresgid),
    D(capget),
    D(uname),
    D(fork),
    D(vfork),
    D(clone),
};

static enum class class_of(unsigned number) {
    return number < sizeof calls / sizeof *calls ? calls[number].class : UNKNOWN;
}

/* What failed has shown nothing; that of a wrong argument fails again. */
static enum vi_meaning of_failure(int64_t result)
{
    return result == -EBADF || result == -EFAULT || result == -ENOTSOCK ? VI_MEANS_NOTHING
                                                                        : VI_MEANS_UNDETERMINED;
}

static enum vi_meaning of_call(enum class class, const struct vi_trace_record *r)
{
    const bool own = r->object == VI_TRACE_OWN;

    switch (class) {
    case DETERMINED:
        return VI_MEANS_NOTHING;
    case READING:
        return own ? VI_MEANS_NOTHING : VI_MEANS_UNDETERMINED;
    case WRITING:
        return own ? VI_MEANS_NOTHING : VI_MEANS_VISIBLE;
    case KILLING:
        return r->message == r->vpid ? VI_MEANS_NOTHING : VI_MEANS_VISIBLE;
    case SHOWN:
        return VI_MEANS_VISIBLE;
    default:
        return VI_MEANS_UNDETERMINED;
    }
}

enum vi_meaning vi_trace_meaning(const struct vi_trace_record *record)
{
    const enum class class = class_of(record->number);
    enum vi_meaning meaning;

    if (class == ENDING)
        return VI_MEANS_VISIBLE;
    meaning = record->kind == VI_TRACE_VISIBLE ? VI_MEANS_VISIBLE : of_call(class, record);
    return meaning == VI_MEANS_VISIBLE && record->result < 0 ? of_failure(record->result) : meaning;
}

const char *vi_trace_call_name(unsigned number)
{
    return number < sizeof calls / sizeof *calls ? calls[number].name : NULL;
}

const char *vi_trace_object_name(unsigned object)
{
    static const char *const names[] = {
        [VI_TRACE_NOTHING] = NULL,
        [VI_TRACE_OWN] = "a file",
        [VI_TRACE_OUTPUT] = "an inherited file",
        [VI_TRACE_OUTSIDE] = "a file of the kernel's",
        [VI_TRACE_TERMINAL] = "a terminal",
        [VI_TRACE_DEVICE] = "a device",
        [VI_TRACE_PIPE] = "a pipe",
        [VI_TRACE_SOCKET] = "a socket",
        [VI_TRACE_OTHER] = "an object of the kernel's",
    };

    return object < sizeof names / sizeof *names ? names[object] : NULL;
}
