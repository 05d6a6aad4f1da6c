//! Signal names, masks and descriptors.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Names of the signals 1 to 31; the index plus one is the number.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Second names.
const ALIASES: [(&str, i32); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

/// The first and the last real-time signal as C programs number them.
const REALTIME: (i32, i32) = (34, 64);

/// Parses `SIGTERM`, `term`, `15`, `RTMIN+3`, `SIGRTMAX-1`.
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=REALTIME.1).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(index).ok().map(|index| index + 1);
    }
    if let Some((_, number)) = ALIASES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    realtime(name)
}

/// Parses `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`.
fn realtime(name: &str) -> Option<i32> {
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        let offset = if rest.is_empty() {
            0
        } else {
            rest.strip_prefix('+')?.parse().ok()?
        };
        REALTIME.0.checked_add(offset)?
    } else {
        let rest = name.strip_prefix("RTMAX")?;
        let offset = if rest.is_empty() {
            0
        } else {
            rest.strip_prefix('-')?.parse().ok()?
        };
        REALTIME.1.checked_sub(offset)?
    };
    (REALTIME.0..=REALTIME.1)
        .contains(&number)
        .then_some(number)
}

/// The name with `SIG` before it, or the number of a signal that has none.
pub fn name(signal: i32) -> String {
    let index = usize::try_from(signal).ok().and_then(|n| n.checked_sub(1));
    match index.and_then(|index| NAMES.get(index)) {
        Some(name) => format!("SIG{name}"),
        None => signal.to_string(),
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members = (1..=REALTIME.1).filter(|signal| self.contains(*signal));
        f.debug_set().entries(members.map(name)).finish()
    }
}

impl SignalSet {
    /// No signal.
    pub fn empty() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the pointer is to memory for one set, which the call initialises.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialised by the call above, which cannot fail with a valid pointer.
        Self(unsafe { set.assume_init() })
    }

    /// Every signal.
    pub fn full() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the pointer is to memory for one set, which the call initialises.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
        // SAFETY: initialised by the call above, which cannot fail with a valid pointer.
        Self(unsafe { set.assume_init() })
    }

    /// The given signals; numbers that are none are left out.
    pub fn of(signals: &[i32]) -> Self {
        let mut set = Self::empty();
        for signal in signals {
            // SAFETY: the set is initialised; a bad number is refused by the call.
            unsafe { libc::sigaddset(&raw mut set.0, *signal) };
        }
        set
    }

    /// Whether the signal is in the set.
    pub fn contains(&self, signal: i32) -> bool {
        // SAFETY: the set is initialised; a bad number is refused by the call.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }
}

/// Makes `blocked` the calling thread's blocked signals. Returns the set before.
pub fn set_mask(blocked: &SignalSet) -> io::Result<SignalSet> {
    let mut before = SignalSet::empty();
    // SAFETY: both sets are initialised and live for the call.
    let result = unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const blocked.0, &raw mut before.0)
    };
    if result == 0 {
        Ok(before)
    } else {
        Err(io::Error::from_raw_os_error(result))
    }
}

/// Gives every signal its default disposition and blocks none, as a new program expects it.
pub fn reset() -> io::Result<()> {
    // `struct sigaction` of the kernel: default, no flags, nothing blocked meanwhile.
    let default = [0_u64; 4];
    for signal in 1..=REALTIME.1 {
        // Not through the C library: it keeps two numbers for itself, and leaves them ignored in a
        // program that it has spawned. The kernel refuses the two that cannot be changed.
        // SAFETY: the default disposition runs no code of this program.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null::<u64>(),
                size_of::<u64>(),
            )
        };
    }
    set_mask(&SignalSet::empty()).map(drop)
}

/// Gives these signals their default disposition again.
pub fn restore(signals: &[i32]) {
    for signal in signals {
        // SAFETY: the default disposition runs no code of this program; a bad number is refused.
        unsafe { libc::signal(*signal, libc::SIG_DFL) };
    }
}

/// Signals as something to read.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

/// A signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Who sent it, 0 for the kernel.
    pub pid: u32,
}

impl SignalFd {
    /// For the given signals, which the caller has blocked ([`set_mask`]). Close-on-exec,
    /// non-blocking.
    pub fn new(signals: &SignalSet) -> io::Result<Self> {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const signals.0, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that is pending, if one is.
    pub fn read(&self) -> io::Result<Option<Received>> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut buffer = [0_u8; SIZE];
        match rustix::io::read(&self.0, &mut buffer) {
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
            Ok(_) => {
                // The structure begins with the number; the sender is its fourth word.
                let word = |at: usize| {
                    let mut bytes = [0; 4];
                    bytes.copy_from_slice(&buffer[at * 4..at * 4 + 4]);
                    u32::from_ne_bytes(bytes)
                };
                Ok(Some(Received {
                    signal: word(0).cast_signed(),
                    pid: word(3),
                }))
            }
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits for one of the given, blocked signals.
pub fn wait(signals: &SignalSet) -> io::Result<Received> {
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: the set is initialised, the pointer is to memory for one siginfo_t.
    let signal = unsafe { libc::sigwaitinfo(&raw const signals.0, info.as_mut_ptr()) };
    if signal < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: filled in by the successful call.
    let info = unsafe { info.assume_init() };
    // SAFETY: every signal that can be waited for has a sender, 0 from the kernel.
    let pid = unsafe { info.si_pid() };
    Ok(Received {
        signal,
        pid: u32::try_from(pid).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
