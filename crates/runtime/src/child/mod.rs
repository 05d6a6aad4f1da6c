//! The child's half of a start: from a fresh fork to the container's command.
//!
//! The process is a fork of a single-threaded one, so this is ordinary code. It never returns: it
//! executes the command, or reports over the status socket why it cannot and ends.

mod credentials;
mod program;

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use lapstrake_sys::process::{self, Namespaces};
use lapstrake_sys::{net, signal, socket};
use oci_spec::runtime::{LinuxNamespaceType, PosixRlimitType};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::process::{Resource, Rlimit};
use rustix::thread::LinkNameSpaceType;

use crate::cgroup::Cgroup;
use crate::error::{StartError, failed};
use crate::launch::Launch;
use crate::reaper;
use crate::rootfs::Rootfs;
use crate::spawn::{Plan, process_of};

/// Tells the child that its user ids are mapped, and that it is connected with the network.
pub(crate) const GO: &[u8] = b"G";

/// First byte of a message that brings the terminal.
const TERMINAL: u8 = b'T';

/// What the child tells.
#[derive(Debug)]
pub(crate) enum Message {
    /// The master side of the container's terminal.
    Terminal(OwnedFd),
    /// Why it cannot start.
    Failed(StartError),
}

impl Message {
    /// `None` at the end: the command has been executed.
    pub(crate) fn parse(message: socket::Message) -> Option<Self> {
        let socket::Message { bytes, mut fds } = message;
        match (bytes.as_slice(), fds.pop()) {
            ([], _) => None,
            ([TERMINAL], Some(master)) => Some(Self::Terminal(master)),
            (json, _) => Some(Self::Failed(serde_json::from_slice(json).unwrap_or_else(
                |_json| StartError::other("the process sent a status that cannot be understood"),
            ))),
        }
    }
}

/// The child's ends of the standard streams.
#[derive(Debug)]
pub(crate) enum Ends<'a> {
    /// A pipe each; without one, standard input is `/dev/null`.
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// The terminal, once it is there.
    Terminal,
    /// `/dev/null`.
    Null,
    /// The caller's.
    Inherited([BorrowedFd<'a>; 3]),
}

/// All the child starts with.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) launch: &'a Launch,
    pub(crate) plan: &'a Plan,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) channel: OwnedFd,
    pub(crate) ends: Ends<'a>,
    /// Whether the parent says when the network is there.
    pub(crate) waits: bool,
}

/// Goes on to the command. Called in a new process, which ends here.
pub(crate) fn run(stage: &Stage<'_>) -> ! {
    // Nothing may unwind into the code that the parent goes on with.
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let error = match stage.go() {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if let Ok(json) = serde_json::to_vec(&error) {
            // A parent that is gone has no use for it.
            socket::send(stage.channel.as_fd(), &json, &[]).ok();
        }
    }));
    process::exit(if result.is_ok() { 1 } else { 101 })
}

impl Stage<'_> {
    fn go(&self) -> Result<Infallible, StartError> {
        signal::reset().map_err(failed("error resetting signals"))?;
        // Modes are meant as they are written until the container's own mask.
        rustix::process::umask(Mode::empty());
        self.become_mapped_root()?;
        self.enter_groups()?;
        self.join_namespaces()?;
        // A session of its own, without a terminal so far.
        rustix::process::setsid().map_err(failed("error creating a session"))?;
        self.set_oom_score()?;
        let cgroup = self.cgroup;
        let entered = cgroup.unified.is_some()
            || !cgroup.v1.is_empty()
            || self.plan.namespaces.contains(Namespaces::NEWCGROUP);
        let rootfs = Rootfs::build(self.launch, entered)?;
        self.set_names()?;
        if self.plan.namespaces.contains(Namespaces::NEWNET) {
            net::loopback_up().map_err(failed("error setting up the loopback interface"))?;
        }
        if let Ok(name) = CString::new(format!("_ses.{}", self.launch.id)) {
            // Where keyrings are missing or used up, the session's old one is left all the same.
            process::join_session_keyring(&name).ok();
        }
        let profile = self.open_exec_profile()?;
        rootfs.enter()?;
        self.set_limits()?;
        self.set_streams(&rootfs)?;
        drop(rootfs);
        if self.waits {
            socket::receive(self.channel.as_fd())
                .map_err(failed("error waiting for the network"))?;
        }
        self.execute(profile)
    }

    /// In a new user namespace, waits for the mappings and becomes its root.
    fn become_mapped_root(&self) -> Result<(), StartError> {
        if !self.plan.namespaces.contains(Namespaces::NEWUSER) {
            return Ok(());
        }
        socket::receive(self.channel.as_fd()).map_err(failed("error waiting for the mappings"))?;
        credentials::set_ids(0, 0, None).map_err(failed("error becoming root"))
    }

    /// Enters the version 1 groups; of version 2 it is a member by birth.
    fn enter_groups(&self) -> Result<(), StartError> {
        for group in &self.cgroup.v1 {
            let file = group.join("cgroup.procs");
            std::fs::write(&file, "0")
                .map_err(failed(format_args!("error entering {}", group.display())))?;
        }
        if self.plan.namespaces.contains(Namespaces::NEWCGROUP) {
            process::unshare(Namespaces::NEWCGROUP)
                .map_err(failed("error creating a cgroup namespace"))?;
        }
        Ok(())
    }

    fn join_namespaces(&self) -> Result<(), StartError> {
        // The user namespace first: it gives the right to the others. The mount namespace last:
        // paths mean something else behind it.
        let order = |kind| match kind {
            LinuxNamespaceType::User => 0,
            LinuxNamespaceType::Mount => 2,
            _ => 1,
        };
        let mut joined: Vec<_> = self.plan.joined.iter().collect();
        joined.sort_by_key(|(kind, _)| order(*kind));
        for (kind, namespace) in joined {
            let link = match kind {
                // Children of the parent are already in it.
                LinuxNamespaceType::Pid => continue,
                LinuxNamespaceType::Mount => LinkNameSpaceType::Mount,
                LinuxNamespaceType::Cgroup => LinkNameSpaceType::ControlGroup,
                LinuxNamespaceType::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
                LinuxNamespaceType::Ipc => LinkNameSpaceType::InterProcessCommunication,
                LinuxNamespaceType::User => LinkNameSpaceType::User,
                LinuxNamespaceType::Network => LinkNameSpaceType::Network,
                LinuxNamespaceType::Time => LinkNameSpaceType::Time,
            };
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(link))
                .map_err(failed(format_args!("error joining the {kind} namespace")))?;
        }
        Ok(())
    }

    fn set_oom_score(&self) -> Result<(), StartError> {
        match process_of(self.launch)?.oom_score_adj() {
            Some(score) => std::fs::write("/proc/self/oom_score_adj", score.to_string())
                .map_err(failed("error setting oom_score_adj")),
            None => Ok(()),
        }
    }

    /// Host and domain name, if they are the container's own.
    fn set_names(&self) -> Result<(), StartError> {
        if !self.plan.namespaces.contains(Namespaces::NEWUTS) {
            return Ok(());
        }
        if let Some(name) = self.launch.spec.hostname() {
            rustix::system::sethostname(name.as_bytes())
                .map_err(failed("error setting the host name"))?;
        }
        if let Some(name) = self.launch.spec.domainname() {
            rustix::system::setdomainname(name.as_bytes())
                .map_err(failed("error setting the domain name"))?;
        }
        Ok(())
    }

    fn set_limits(&self) -> Result<(), StartError> {
        for limit in process_of(self.launch)?.rlimits().iter().flatten() {
            // All bits set is no limit.
            let number = |value: u64| Some(value).filter(|value| *value != u64::MAX);
            let value = Rlimit {
                current: number(limit.soft()),
                maximum: number(limit.hard()),
            };
            rustix::process::setrlimit(resource(limit.typ()), value)
                .map_err(failed(format_args!("error setting rlimit {}", limit.typ())))?;
        }
        Ok(())
    }

    /// Makes the ends the standard streams, owned by the container's user so that it can open
    /// `/dev/stdout`.
    fn set_streams(&self, rootfs: &Rootfs) -> Result<(), StartError> {
        let set = || -> rustix::io::Result<()> {
            let uid = process_of(self.launch).map_or(0, |process| process.user().uid());
            let own = |fd: BorrowedFd<'_>| match uid {
                0 => Ok(()),
                uid => rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), None::<Gid>),
            };
            match (&self.ends, &rootfs.terminal) {
                (Ends::Terminal, Some(terminal)) => {
                    let slave = terminal.slave.as_fd();
                    own(slave)?;
                    rustix::process::ioctl_tiocsctty(slave)?;
                    redirect([slave; 3])?;
                    socket::send(
                        self.channel.as_fd(),
                        &[TERMINAL],
                        &[terminal.master.as_fd()],
                    )
                    .map(drop)
                    .map_err(|_error| rustix::io::Errno::PIPE)
                }
                (Ends::Terminal, None) => Err(rustix::io::Errno::NOTTY),
                (Ends::Inherited(fds), _) => redirect(*fds),
                (Ends::Null, _) => {
                    let null = open_null()?;
                    redirect([null.as_fd(); 3])
                }
                (
                    Ends::Pipes {
                        stdin,
                        stdout,
                        stderr,
                    },
                    _,
                ) => {
                    own(stdout.as_fd())?;
                    own(stderr.as_fd())?;
                    let null;
                    let stdin = match stdin {
                        Some(stdin) => {
                            own(stdin.as_fd())?;
                            stdin
                        }
                        None => {
                            null = open_null()?;
                            &null
                        }
                    };
                    redirect([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
                }
            }
        };
        set().map_err(failed("error setting up the standard streams"))
    }

    /// The file that takes the AppArmor profile for the next execution, while the host's `/proc`
    /// is there.
    fn open_exec_profile(&self) -> Result<Option<(OwnedFd, String)>, StartError> {
        let profile = process_of(self.launch)?.apparmor_profile().clone();
        let Some(profile) = profile.filter(|profile| !profile.is_empty()) else {
            return Ok(None);
        };
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let open = |path: &Path| rustix::fs::open(path, flags, Mode::empty());
        let file = open(Path::new("/proc/thread-self/attr/apparmor/exec"))
            .or_else(|_errno| open(Path::new("/proc/thread-self/attr/exec")))
            .map_err(failed("error opening the AppArmor profile"))?;
        Ok(Some((file, format!("exec {profile}"))))
    }

    /// From here on as the container's user, with nothing but what the container gets.
    fn execute(&self, profile: Option<(OwnedFd, String)>) -> Result<Infallible, StartError> {
        let process = process_of(self.launch)?;
        let user = process.user();
        let umask = user.umask().unwrap_or(0o022);
        let mut environment = self.plan.environment.clone();
        program::add_home(&mut environment, user.uid());
        let credentials = credentials::Credentials::new(process)?;
        let entered = program::enter_directory(process.cwd());
        credentials.change_user()?;
        // What root may not enter, its owner may.
        entered.or_else(|_error| program::enter_directory(process.cwd()))?;
        rustix::process::umask(Mode::from_raw_mode(umask));
        if let Some((file, text)) = profile {
            rustix::io::write(&file, text.as_bytes())
                .map_err(failed("error setting the AppArmor profile"))?;
        }
        let program = program::find(&self.plan.arguments, &environment)?;
        self.die_with_parent()?;
        process::close_on_exec_from(3).map_err(failed("error closing descriptors"))?;
        // Until the command is executed, other processes of the container, who are of the same user
        // from the next line on, must not reach this program or its descriptors.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
            .map_err(failed("error protecting the process"))?;
        credentials.restrict(self.plan.filter.as_ref())?;
        if self.launch.init {
            become_reaper()?;
        }
        let error = process::exec(&program, &self.plan.arguments, &environment);
        program::complain(&program, &error);
        process::exit(255)
    }

    /// Set after the last change of user, which clears it.
    fn die_with_parent(&self) -> Result<(), StartError> {
        let kill = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(kill)
            .map_err(failed("error setting the parent death signal"))?;
        if socket::is_hung_up(self.channel.as_fd()) {
            process::exit(1)
        }
        Ok(())
    }
}

/// Goes on as a child of a reaper, which this process becomes.
fn become_reaper() -> Result<(), StartError> {
    let what = "error creating the process below init";
    let mask = signal::set_mask(&signal::SignalSet::full()).map_err(failed(what))?;
    // Before there is a child that could look at this process.
    reaper::prepare().map_err(failed(what))?;
    match process::fork_plain().map_err(failed(what))? {
        Some(child) => reaper::run(child),
        None => {
            reaper::take_terminal();
            signal::set_mask(&mask).map_err(failed(what)).map(drop)
        }
    }
}

fn open_null() -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// Makes three descriptors the standard streams.
fn redirect(fds: [BorrowedFd<'_>; 3]) -> rustix::io::Result<()> {
    // Copies out of the way first: one of them may be the number that another one gets.
    let [stdin, stdout, stderr] = fds.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3));
    rustix::stdio::dup2_stdin(stdin?)?;
    rustix::stdio::dup2_stdout(stdout?)?;
    rustix::stdio::dup2_stderr(stderr?)
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}
