# SPDX-License-Identifier: Apache-2.0
"""What a seccomp filter has to say, as values; and docker's default policy.

The facts of the default policy (names of system calls, values of arguments, capabilities) are
those of moby's default profile; socket(2) is stricter, see _SOCKET.
"""

from minidock.linux.capabilities import mask
from minidock.values import NamedTuple

KILL_THREAD = 0x00000000
KILL_PROCESS = 0x80000000
TRAP = 0x00030000
ERRNO = 0x00050000  # | errno
TRACE = 0x7FF00000  # | a value for the tracer
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000

EPERM = 1
ENOSYS = 38
ALL_BITS = 0xFFFFFFFFFFFFFFFF
INT_BITS = 0xFFFFFFFF
"""The bits of an argument that the kernel looks at where it takes an int."""


class Condition(NamedTuple):
    """Argument number `argument` (0 to 5), masked, compares to `value`.

    `operator` is eq, ne, lt, le, gt or ge, on unsigned 64-bit numbers.
    """

    argument: int
    operator: str
    value: int
    mask: int = ALL_BITS


class Guard(NamedTuple):
    """Where a rule is in force: all of it has to be true.

    `needs` are capabilities that the container has, `lacks` are capabilities of which it has
    none. Machines are those of uname(2), none means every one. `kernel` is the oldest version.
    """

    needs: int = 0
    lacks: int = 0
    machines: tuple[str, ...] = ()
    other_machines: tuple[str, ...] = ()
    kernel: tuple[int, int] = (0, 0)

    def holds(self, machine: str, capabilities: int, kernel: tuple[int, int]) -> bool:
        """Return whether the rule is in force there."""
        return (
            self.needs & ~capabilities == 0
            and self.lacks & capabilities == 0
            and (not self.machines or machine in self.machines)
            and machine not in self.other_machines
            and kernel >= self.kernel
        )


class Rule(NamedTuple):
    """System calls `names` get `action`, a SECCOMP_RET_* value, when all `conditions` hold."""

    names: tuple[str, ...]
    action: int = ALLOW
    conditions: tuple[Condition, ...] = ()
    guard: Guard = Guard()


class Policy(NamedTuple):
    """All that a filter is compiled from.

    `default` is the action for calls that no rule is about. `abis` are names of
    minidock.linux.syscalls; calls by another ABI of the machine kill the process.

    Of the rules for one call, one without conditions wins over those with; else the first whose
    conditions hold. System calls newer than every one that the rules name get ENOSYS, so that a
    C library newer than the policy falls back to an older call, as with runc.
    """

    default: int
    abis: tuple[str, ...]
    rules: tuple[Rule, ...]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _with(capability: str, text: str) -> Rule:
    return Rule(_names(text), guard=Guard(needs=mask((capability,))))


_ALWAYS = _names("""
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir
    fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
    flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64
    fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv
    futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64
    getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer
    getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32
    getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid
    gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init
    inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32
    lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek
    lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier
    memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap
    mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
    mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd
    msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open
    openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
    process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall
    rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
    select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64
    sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid
    setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
    setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
    setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl
    shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall
    socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
    sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
    timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times
    tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime
    utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
""")

_PTRACE = _names("process_vm_readv process_vm_writev ptrace")

_SYS_ADMIN = mask(("CAP_SYS_ADMIN",))

_NAMESPACES = 0x7E020000
"""CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}."""

# All families but AF_ALG (38, CVE-2026-31431) and AF_VSOCK (40, reaches the hypervisor). The
# kernel takes an int: moby's profile compares 64 bits, and socket(1 << 32 | 38, …) passes it.
# No filter can look behind the pointer of i386's socketcall(2), and without that call many
# 32-bit programs don't work (moby denied it for a week).
_SOCKET = (
    Condition(0, "lt", 38, INT_BITS),
    Condition(0, "eq", 39, INT_BITS),
    Condition(0, "gt", 40, INT_BITS),
)

# PER_LINUX, PER_LINUX32, each with UNAME26, and the query; not ADDR_NO_RANDOMIZE and the like.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

DEFAULT = Policy(
    default=ERRNO | EPERM,
    abis=("x86_64", "i386", "x32", "aarch64", "arm"),
    rules=(
        Rule(_ALWAYS),
        # Before 4.8 a tracer could change the call after the filter had seen it (seccomp(2)).
        Rule(_PTRACE, guard=Guard(kernel=(4, 8))),
        *(Rule(("socket",), conditions=(condition,)) for condition in _SOCKET),
        *(
            Rule(("personality",), conditions=(Condition(0, "eq", value),))
            for value in _PERSONALITIES
        ),
        Rule(
            _names(
                "arm_fadvise64_64 arm_sync_file_range sync_file_range2"
                " breakpoint cacheflush set_tls"
            ),
            guard=Guard(machines=("aarch64",)),
        ),
        Rule(("arch_prctl", "modify_ldt"), guard=Guard(machines=("x86_64",))),
        Rule(
            ("clone",),
            conditions=(Condition(0, "eq", 0, _NAMESPACES),),
            guard=Guard(lacks=_SYS_ADMIN),
        ),
        # Its flags are behind a pointer; ENOSYS makes C libraries fall back to clone(2).
        Rule(("clone3",), ERRNO | ENOSYS, guard=Guard(lacks=_SYS_ADMIN)),
        _with(
            "CAP_SYS_ADMIN",
            """
            bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
            lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
            open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns
            syslog umount umount2 unshare
            """,
        ),
        _with("CAP_BPF", "bpf"),
        _with("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        _with("CAP_PERFMON", "perf_event_open"),
        _with("CAP_SYSLOG", "syslog"),
        _with("CAP_SYS_BOOT", "reboot"),
        _with("CAP_SYS_CHROOT", "chroot"),
        _with("CAP_SYS_MODULE", "delete_module finit_module init_module"),
        _with("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
        _with("CAP_SYS_PACCT", "acct"),
        _with("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
        Rule(_PTRACE, guard=Guard(needs=mask(("CAP_SYS_PTRACE",)))),
        _with("CAP_SYS_RAWIO", "ioperm iopl"),
        _with("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
        _with("CAP_SYS_TTY_CONFIG", "vhangup"),
    ),
)
"""What a container may call that is neither privileged nor told otherwise."""
