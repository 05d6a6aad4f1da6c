//! Docker's default profile as data.
//!
//! An allow list: what is not named here fails with `EPERM`. Calls that need a capability to be of
//! use are allowed to containers that were given the capability.

use oci_spec::runtime::{
    Arch, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator,
};

use super::profile::{ArchMap, Condition, Profile, Rule};

/// `EPERM`, for everything not allowed.
const EPERM: u32 = 1;
/// `ENOSYS`, for calls that programs replace by an older one when they are missing.
const ENOSYS: u32 = 38;

/// Every `CLONE_NEW*` flag: a process without `CAP_SYS_ADMIN` makes no namespaces.
const CLONE_NAMESPACES: u64 = 0x7E02_0000;

/// `AF_VSOCK`, which reaches the host of a virtual machine.
const AF_VSOCK: u64 = 40;

/// Execution domains without effect on security: Linux, Linux/32, and both with the flag that
/// makes `uname` say 2.6; the last one asks for the current domain.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

/// Files, directories and their attributes.
const FILES: &str = "access chdir chmod chown chown32 close close_range copy_file_range creat dup \
    dup2 dup3 faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat \
    fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock \
    fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 \
    futimesat getcwd getdents getdents64 getxattr getxattrat ioctl lchown lchown32 lgetxattr link \
    linkat listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat \
    lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe \
    pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat \
    readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr \
    setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync \
    sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat \
    utimensat_time64 utimes vmsplice write writev fanotify_mark inotify_add_watch inotify_init \
    inotify_init1 inotify_rm_watch landlock_add_rule landlock_create_ruleset \
    landlock_restrict_self io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 \
    io_setup io_submit cachestat";

/// Memory.
const MEMORY: &str = "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore \
    mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap \
    pkey_alloc pkey_free pkey_mprotect remap_file_pages";

/// Waiting for several things.
const POLLING: &str = "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait \
    epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 _newselect poll ppoll ppoll_time64 \
    pselect6 pselect6_time64 select";

/// Processes, threads, identities and limits.
const PROCESSES: &str = "capget capset execve execveat exit exit_group fork futex futex_requeue \
    futex_time64 futex_wait futex_waitv futex_wake getcpu getegid getegid32 geteuid geteuid32 \
    getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getrandom \
    getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid \
    get_thread_area gettid getuid getuid32 ioprio_get ioprio_set pause pidfd_open \
    pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall rseq sched_getaffinity \
    sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min \
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity \
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 \
    setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid \
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit \
    set_robust_list setsid set_thread_area set_tid_address setuid setuid32 sysinfo ugetrlimit \
    uname uretprobe vfork wait4 waitid waitpid";

/// Signals.
const SIGNALS: &str = "kill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo \
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo \
    sigaltstack signalfd signalfd4 sigprocmask sigreturn tgkill tkill";

/// Clocks and timers.
const TIME: &str = "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres \
    clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 \
    getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun \
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime \
    timerfd_gettime64 timerfd_settime timerfd_settime64 times";

/// Sockets and System V and POSIX communication.
const COMMUNICATION: &str = "accept accept4 bind connect getpeername getsockname getsockopt \
    listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto \
    setsockopt shutdown socketcall socketpair ipc mq_getsetattr mq_notify mq_open \
    mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl \
    msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt \
    shmget";

/// Allowed to a container with the capability.
const BY_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
         umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    (
        "CAP_SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    (
        "CAP_SYS_TIME",
        "clock_settime clock_settime64 settimeofday stime",
    ),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    (
        "CAP_SYS_NICE",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// Allowed on some architectures only, in Go's names for them.
const BY_ARCHITECTURE: [(&[&str], &str); 3] = [
    (
        &["arm", "arm64"],
        "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    ),
    (&["amd64", "x32"], "arch_prctl"),
    (&["amd64", "x32", "x86"], "modify_ldt"),
];

/// Builds the profile.
pub(super) fn profile() -> Profile {
    Profile {
        default_action: LinuxSeccompAction::ScmpActErrno,
        default_errno_ret: Some(EPERM),
        arch_map: vec![
            ArchMap {
                architecture: Arch::ScmpArchX86_64,
                sub_architectures: vec![Arch::ScmpArchX86, Arch::ScmpArchX32],
            },
            ArchMap {
                architecture: Arch::ScmpArchAarch64,
                sub_architectures: vec![Arch::ScmpArchArm],
            },
        ],
        architectures: Vec::new(),
        flags: Vec::new(),
        syscalls: rules(),
    }
}

fn rules() -> Vec<Rule> {
    let always = [
        FILES,
        MEMORY,
        POLLING,
        PROCESSES,
        SIGNALS,
        TIME,
        COMMUNICATION,
    ];
    let mut rules: Vec<Rule> = always.into_iter().map(allow).collect();
    // Older kernels let a tracer change a call after the filter had seen it.
    let includes = Condition {
        min_kernel: Some("4.8".to_owned()),
        ..Condition::default()
    };
    rules.push(Rule {
        includes,
        ..allow("process_vm_readv process_vm_writev ptrace")
    });
    rules.push(matching(
        "socket",
        LinuxSeccompOperator::ScmpCmpNe,
        AF_VSOCK,
    ));
    let equal = LinuxSeccompOperator::ScmpCmpEq;
    rules.extend(PERSONALITIES.map(|domain| matching("personality", equal, domain)));
    for (arches, names) in BY_ARCHITECTURE {
        let arches = arches.iter().map(|&arch| arch.to_owned()).collect();
        let includes = Condition {
            arches,
            ..Condition::default()
        };
        rules.push(Rule {
            includes,
            ..allow(names)
        });
    }
    for (capability, names) in BY_CAPABILITY {
        rules.push(Rule {
            includes: with_capability(capability),
            ..allow(names)
        });
    }
    let excludes = with_capability("CAP_SYS_ADMIN");
    rules.push(Rule {
        excludes: excludes.clone(),
        ..matching(
            "clone",
            LinuxSeccompOperator::ScmpCmpMaskedEq,
            CLONE_NAMESPACES,
        )
    });
    // Its flags are in memory, out of a filter's sight; programs fall back to clone.
    rules.push(Rule {
        action: LinuxSeccompAction::ScmpActErrno,
        errno_ret: Some(ENOSYS),
        excludes,
        ..allow("clone3")
    });
    rules
}

/// A rule that allows the calls named, separated by white space.
fn allow(names: &str) -> Rule {
    Rule {
        name: None,
        names: names.split_whitespace().map(ToOwned::to_owned).collect(),
        action: LinuxSeccompAction::ScmpActAllow,
        errno_ret: None,
        args: Vec::new(),
        includes: Condition::default(),
        excludes: Condition::default(),
    }
}

/// A rule that allows a call whose first argument compares to `value`.
fn matching(name: &str, operator: LinuxSeccompOperator, value: u64) -> Rule {
    Rule {
        args: vec![argument(operator, value)],
        ..allow(name)
    }
}

/// A comparison of the first argument. A masked one is with zero.
fn argument(operator: LinuxSeccompOperator, value: u64) -> LinuxSeccompArg {
    #[expect(
        clippy::expect_used,
        reason = "every field that the builder wants is given"
    )]
    LinuxSeccompArgBuilder::default()
        .index(0_usize)
        .op(operator)
        .value(value)
        .build()
        .expect("complete")
}

/// The condition of having a capability.
fn with_capability(name: &str) -> Condition {
    Condition {
        caps: vec![name.to_owned()],
        ..Condition::default()
    }
}
