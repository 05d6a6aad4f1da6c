use super::{SignalFd, SignalSet, name, parse, reset, restore, set_mask};

#[test]
fn names_and_numbers() {
    for text in ["SIGTERM", "term", "Term", "15"] {
        assert_eq!(parse(text), Some(15), "{text}");
    }
    let table = [
        ("KILL", 9),
        ("sigusr2", 12),
        ("IOT", 6),
        ("64", 64),
        ("SIGRTMIN+3", 37),
    ];
    for (text, number) in table {
        assert_eq!(parse(text), Some(number), "{text}");
    }
    assert_eq!(parse("RTMAX-1"), Some(63));
    for text in [
        "", "0", "65", "-9", "SIG", "nope", "RTMIN+31", "RTMAX-31", "RTMIN-1",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
    assert_eq!(
        (name(9), name(17), name(40)),
        ("SIGKILL".into(), "SIGCHLD".into(), "40".into())
    );
}

#[test]
fn signals_are_read() {
    let signals = SignalSet::of(&[12]);
    assert!(signals.contains(12) && !signals.contains(10));
    let before = set_mask(&signals).expect("blocked");
    let fd = SignalFd::new(&signals).expect("made");
    assert_eq!(fd.read().expect("nothing so far"), None);
    // To this thread alone: others have it unblocked.
    let thread = rustix::thread::gettid();
    let process = rustix::process::getpid();
    // SAFETY: has no preconditions.
    let result = unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            process.as_raw_pid(),
            thread.as_raw_pid(),
            12,
        )
    };
    assert_eq!(result, 0);
    let received = fd.read().expect("readable").expect("a signal");
    assert_eq!((received.signal, received.pid), (12, std::process::id()));
    set_mask(&before).expect("as before");
}

#[test]
fn all_signals_are_as_in_a_new_program() {
    // The one that C libraries keep for themselves, ignored as in a program that they spawn.
    let ignored = [1_u64, 0, 0, 0];
    // SAFETY: the kernel's structure of that size; ignoring runs no code.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            33,
            ignored.as_ptr(),
            std::ptr::null::<u64>(),
            8,
        )
    };
    assert_eq!(result, 0);
    let is_ignored = |signal: u32| {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:\t"));
        let mask = u64::from_str_radix(mask.expect("a line"), 16).expect("a number");
        mask & 1 << (signal - 1) != 0
    };
    assert!(is_ignored(33));
    // Rust programs ignore a closed pipe.
    assert!(is_ignored(13));
    restore(&[13]);
    assert!(!is_ignored(13));
    reset().expect("reset");
    assert!(!(1..=64).any(is_ignored));
    // SAFETY: ignoring runs no code.
    unsafe { libc::signal(13, libc::SIG_IGN) };
}
