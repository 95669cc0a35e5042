/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows of the table of system calls.  Whoever includes it says what a row is: the table itself,
 * and the tests, of which each row has one.
 *
 * CALL(class, name, handler): the handler is vi_call_<handler>; PASS(class, name): made as it is;
 * both with _FD where the first argument is a descriptor.  EMPTY(name): there is nothing to do.
 * REFUSED(name): ENOSYS; FORBIDDEN(name): EPERM; REFUSED_WITH(error, name).  ABSENT(name): refused
 * without a word.
 */
#ifndef VI_CHECKPOINT_TABLE_ROWS_H
#define VI_CHECKPOINT_TABLE_ROWS_H

/* Others see them at once. */
#define VISIBLE_ROWS \
    CALL_FD(VISIBLE, write, write), CALL_FD(VISIBLE, writev, write), \
        CALL_FD(VISIBLE, connect, visible), CALL_FD(VISIBLE, bind, visible), \
        CALL_FD(VISIBLE, listen, visible), CALL_FD(VISIBLE, setsockopt, visible), \
        CALL_FD(VISIBLE, epoll_ctl, visible), CALL_FD(VISIBLE, timerfd_settime, visible), \
        CALL_FD(VISIBLE, inotify_add_watch, visible), CALL_FD(VISIBLE, inotify_rm_watch, visible), \
        CALL_FD(VISIBLE, sendto, send), CALL_FD(VISIBLE, sendmsg, send), \
        CALL_FD(VISIBLE, sendmmsg, send), CALL_FD(VISIBLE, shutdown, send), \
        CALL(VISIBLE, exit, exit), CALL(VISIBLE, exit_group, exit), CALL(VISIBLE, kill, kill), \
        CALL(VISIBLE, tkill, kill), CALL(VISIBLE, tgkill, kill), CALL(VISIBLE, setpgid, kill), \
        CALL(VISIBLE, fork, fork), CALL(VISIBLE, vfork, fork), CALL(VISIBLE, clone, fork)

/* They change files. */
#define FILE_ROWS \
    CALL_FD(FILE, pwrite64, write), CALL_FD(FILE, pwritev, write), CALL_FD(FILE, pwritev2, write), \
        CALL_FD(FILE, sendfile, copy), CALL_FD(FILE, copy_file_range, copy), \
        CALL_FD(FILE, ftruncate, resize), CALL_FD(FILE, fallocate, resize), \
        CALL(FILE, truncate, truncate), CALL(FILE, open, open), CALL(FILE, openat, open), \
        CALL(FILE, creat, open), CALL(FILE, mkdir, name_create), CALL(FILE, mkdirat, name_create), \
        CALL(FILE, mknod, name_create), CALL(FILE, mknodat, name_create), \
        CALL(FILE, link, name_create), CALL(FILE, linkat, name_create), \
        CALL(FILE, symlink, name_create), CALL(FILE, symlinkat, name_create), \
        CALL(FILE, unlink, name_remove), CALL(FILE, unlinkat, name_remove), \
        CALL(FILE, rmdir, name_remove), CALL(FILE, rename, rename), CALL(FILE, renameat, rename), \
        CALL(FILE, renameat2, rename), CALL(FILE, chmod, attributes), \
        CALL(FILE, fchmodat, attributes), CALL(FILE, chown, attributes), \
        CALL(FILE, lchown, attributes), CALL(FILE, fchownat, attributes), \
        CALL(FILE, utime, attributes), CALL(FILE, utimes, attributes), \
        CALL(FILE, utimensat, attributes), CALL(FILE, futimesat, attributes), \
        CALL_FD(FILE, fchmod, attributes), CALL_FD(FILE, fchown, attributes)

/* Made again, they may give something else. */
#define UNDETERMINED_ROWS \
    CALL_FD(READ, read, read), CALL_FD(READ, readv, read), CALL_FD(READ, pread64, file_read), \
        CALL_FD(READ, preadv, file_read), CALL_FD(READ, preadv2, file_read), \
        CALL_FD(UNDETERMINED, getdents, file_read), CALL_FD(UNDETERMINED, getdents64, file_read), \
        CALL_FD(READ, lseek, file_read), CALL_FD(UNDETERMINED, fcntl, fcntl), \
        CALL_FD(UNDETERMINED, flock, flock), CALL_FD(UNDETERMINED, accept, accept), \
        CALL_FD(UNDETERMINED, accept4, accept), CALL_FD(UNDETERMINED, recvfrom, recv), \
        CALL_FD(UNDETERMINED, recvmsg, recvmsg), CALL(UNDETERMINED, readlink, readlink), \
        CALL_FD(UNDETERMINED, readlinkat, readlink), CALL_FD(UNDETERMINED, ioctl, ioctl), \
        CALL(UNDETERMINED, poll, poll), CALL(UNDETERMINED, ppoll, poll), \
        CALL(UNDETERMINED, select, select), CALL(UNDETERMINED, pselect6, select), \
        CALL_FD(UNDETERMINED, epoll_wait, epoll_wait), \
        CALL_FD(UNDETERMINED, epoll_pwait, epoll_wait), CALL(UNDETERMINED, nanosleep, sleep), \
        CALL(UNDETERMINED, clock_nanosleep, sleep), CALL(UNDETERMINED, pause, pause), \
        CALL(UNDETERMINED, rt_sigpending, rt_sigpending), \
        CALL(UNDETERMINED, rt_sigsuspend, rt_sigsuspend), CALL(UNDETERMINED, wait4, wait), \
        CALL(UNDETERMINED, waitid, wait), PASS(UNDETERMINED, stat), PASS(UNDETERMINED, lstat), \
        PASS(UNDETERMINED, access), PASS(UNDETERMINED, statfs), PASS(UNDETERMINED, getcwd), \
        PASS(UNDETERMINED, getxattr), PASS(UNDETERMINED, lgetxattr), \
        PASS(UNDETERMINED, listxattr), PASS(UNDETERMINED, llistxattr), PASS(UNDETERMINED, sync), \
        PASS(UNDETERMINED, mincore), PASS(UNDETERMINED, getitimer), PASS(UNDETERMINED, time), \
        PASS(UNDETERMINED, gettimeofday), PASS(UNDETERMINED, clock_gettime), \
        PASS(UNDETERMINED, clock_getres), PASS(UNDETERMINED, times), \
        PASS(UNDETERMINED, getrusage), PASS(UNDETERMINED, sysinfo), PASS(UNDETERMINED, getrandom), \
        PASS(UNDETERMINED, getcpu), PASS(UNDETERMINED, sched_yield), \
        CALL(UNDETERMINED, sched_getaffinity, of_process), \
        CALL(UNDETERMINED, sched_getparam, of_process), \
        CALL(UNDETERMINED, sched_getscheduler, of_process), \
        PASS(UNDETERMINED, sched_get_priority_max), PASS(UNDETERMINED, sched_get_priority_min), \
        CALL(UNDETERMINED, getpriority, of_process), CALL(UNDETERMINED, ioprio_get, of_process), \
        CALL(UNDETERMINED, futex, futex), PASS_FD(UNDETERMINED, getsockname), \
        PASS_FD(UNDETERMINED, getpeername), PASS_FD(UNDETERMINED, getsockopt), \
        PASS_FD(UNDETERMINED, timerfd_gettime), PASS_FD(UNDETERMINED, fstat), \
        PASS_FD(UNDETERMINED, newfstatat), PASS_FD(UNDETERMINED, statx), \
        PASS_FD(UNDETERMINED, faccessat), PASS_FD(UNDETERMINED, faccessat2), \
        PASS_FD(UNDETERMINED, fstatfs), PASS_FD(UNDETERMINED, fgetxattr), \
        PASS_FD(UNDETERMINED, flistxattr), PASS_FD(UNDETERMINED, fadvise64), \
        PASS_FD(UNDETERMINED, readahead), PASS_FD(UNDETERMINED, fsync), \
        PASS_FD(UNDETERMINED, fdatasync), PASS_FD(UNDETERMINED, sync_file_range), \
        PASS_FD(UNDETERMINED, syncfs)

/* They are of the process alone. */
#define STATE_ROWS \
    CALL(STATE, close, close), CALL(STATE, close_range, close), CALL_FD(STATE, dup, dup), \
        CALL_FD(STATE, dup2, dup), CALL_FD(STATE, dup3, dup), CALL(STATE, pipe, pair), \
        CALL(STATE, pipe2, pair), CALL(STATE, socketpair, pair), CALL(STATE, socket, make), \
        CALL(STATE, eventfd, make), CALL(STATE, eventfd2, make), CALL(STATE, epoll_create, make), \
        CALL(STATE, epoll_create1, make), CALL(STATE, timerfd_create, make), \
        CALL(STATE, signalfd, make), CALL(STATE, signalfd4, make), \
        CALL(STATE, inotify_init, make), CALL(STATE, inotify_init1, make), \
        CALL(STATE, memfd_create, make), CALL(STATE, chdir, chdir), CALL_FD(STATE, fchdir, chdir), \
        CALL(STATE, mmap, mmap), CALL(STATE, munmap, munmap), CALL(STATE, mprotect, mprotect), \
        CALL(STATE, mremap, mremap), CALL(STATE, madvise, madvise), CALL(STATE, brk, brk), \
        CALL(STATE, rt_sigaction, rt_sigaction), CALL(STATE, rt_sigprocmask, rt_sigprocmask), \
        CALL(STATE, rt_sigreturn, rt_sigreturn), CALL(STATE, sigaltstack, sigaltstack), \
        CALL(STATE, getpid, getpid), CALL(STATE, gettid, getpid), CALL(STATE, getppid, getppid), \
        CALL(STATE, set_tid_address, getpid), CALL(STATE, arch_prctl, arch_prctl), \
        CALL(STATE, prctl, prctl), CALL(STATE, umask, umask), CALL(STATE, getrlimit, limit), \
        CALL(STATE, setrlimit, limit), CALL(STATE, prlimit64, limit), \
        CALL(UNDETERMINED, setitimer, timer), CALL(UNDETERMINED, alarm, timer), \
        CALL(STATE, execve, exec), CALL(STATE, execveat, exec), PASS(STATE, getuid), \
        PASS(STATE, geteuid), PASS(STATE, getgid), PASS(STATE, getegid), PASS(STATE, getgroups), \
        PASS(STATE, getresuid), PASS(STATE, getresgid), CALL(STATE, setresuid, set_user), \
        CALL(STATE, setresgid, set_user), CALL(UNDETERMINED, getpgrp, of_process), \
        CALL(UNDETERMINED, getpgid, of_process), CALL(UNDETERMINED, getsid, of_process), \
        PASS(STATE, capget), PASS(STATE, uname), EMPTY(msync), EMPTY(mlock), EMPTY(munlock), \
        EMPTY(mlock2), EMPTY(set_robust_list)

/* Programs try them and do without. */
#define ABSENT_ROWS \
    ABSENT(clone3), ABSENT(rseq), ABSENT(membarrier), ABSENT(openat2), ABSENT(epoll_pwait2), \
        ABSENT(get_robust_list), ABSENT(futex_waitv), ABSENT(restart_syscall)

/* They could not be taken back or made again, or concern the whole machine. */
#define REFUSED_ROWS \
    REFUSED_WITH(ENODEV, shmget), REFUSED_WITH(ENODEV, shmat), REFUSED_WITH(ENODEV, shmctl), \
        REFUSED_WITH(ENODEV, shmdt), REFUSED(io_uring_setup), REFUSED(io_uring_enter), \
        REFUSED(io_uring_register), REFUSED(io_setup), REFUSED(io_destroy), REFUSED(io_submit), \
        REFUSED(io_getevents), REFUSED(io_cancel), REFUSED(io_pgetevents), REFUSED(ptrace), \
        REFUSED(userfaultfd), REFUSED(perf_event_open), REFUSED(bpf), REFUSED(unshare), \
        REFUSED(setns), REFUSED(seccomp), REFUSED(msgget), REFUSED(msgsnd), REFUSED(msgrcv), \
        REFUSED(msgctl), REFUSED(semget), REFUSED(semop), REFUSED(semctl), REFUSED(semtimedop), \
        REFUSED(mq_open), REFUSED(mq_unlink), REFUSED(mq_timedsend), REFUSED(mq_timedreceive), \
        REFUSED(mq_notify), REFUSED(mq_getsetattr), REFUSED(splice), REFUSED(tee), \
        REFUSED(vmsplice), REFUSED(recvmmsg), REFUSED(rt_sigtimedwait), REFUSED(rt_sigqueueinfo), \
        REFUSED(rt_tgsigqueueinfo), REFUSED(timer_create), REFUSED(timer_settime), \
        REFUSED(timer_gettime), REFUSED(timer_getoverrun), REFUSED(timer_delete), \
        REFUSED(mlockall), REFUSED(munlockall), REFUSED(pkey_alloc), REFUSED(pkey_free), \
        REFUSED(pkey_mprotect), REFUSED(remap_file_pages), REFUSED(process_vm_readv), \
        REFUSED(process_vm_writev), REFUSED(kcmp), REFUSED(pidfd_open), \
        REFUSED(pidfd_send_signal), REFUSED(pidfd_getfd), REFUSED(process_madvise), \
        REFUSED(memfd_secret), REFUSED(name_to_handle_at), REFUSED(open_by_handle_at), \
        REFUSED(fanotify_init), REFUSED(fanotify_mark), REFUSED(landlock_create_ruleset), \
        REFUSED(landlock_add_rule), REFUSED(landlock_restrict_self), REFUSED(mbind), \
        REFUSED(set_mempolicy), REFUSED(get_mempolicy), REFUSED(migrate_pages), \
        REFUSED(move_pages), REFUSED(sched_setaffinity), REFUSED(sched_setparam), \
        REFUSED(sched_setscheduler), REFUSED(sched_setattr), REFUSED(sched_getattr), \
        REFUSED(sched_rr_get_interval), REFUSED(setpriority), REFUSED(ioprio_set), \
        REFUSED(add_key), REFUSED(request_key), REFUSED(keyctl), REFUSED_WITH(ENOTSUP, setxattr), \
        REFUSED_WITH(ENOTSUP, lsetxattr), REFUSED_WITH(ENOTSUP, fsetxattr), \
        REFUSED_WITH(ENOTSUP, removexattr), REFUSED_WITH(ENOTSUP, lremovexattr), \
        REFUSED_WITH(ENOTSUP, fremovexattr), FORBIDDEN(setuid), FORBIDDEN(setgid), \
        FORBIDDEN(setreuid), FORBIDDEN(setregid), FORBIDDEN(setfsuid), FORBIDDEN(setfsgid), \
        FORBIDDEN(setgroups), FORBIDDEN(capset), FORBIDDEN(setsid), FORBIDDEN(chroot), \
        FORBIDDEN(pivot_root), FORBIDDEN(mount), FORBIDDEN(umount2), FORBIDDEN(sethostname), \
        FORBIDDEN(setdomainname), FORBIDDEN(settimeofday), FORBIDDEN(clock_settime), \
        FORBIDDEN(adjtimex), FORBIDDEN(clock_adjtime), FORBIDDEN(personality), FORBIDDEN(vhangup), \
        FORBIDDEN(acct), FORBIDDEN(reboot), FORBIDDEN(swapon), FORBIDDEN(swapoff), \
        FORBIDDEN(syslog), FORBIDDEN(iopl), FORBIDDEN(ioperm), FORBIDDEN(modify_ldt), \
        FORBIDDEN(init_module), FORBIDDEN(finit_module), FORBIDDEN(delete_module), \
        FORBIDDEN(kexec_load), FORBIDDEN(kexec_file_load), FORBIDDEN(quotactl)

#endif
