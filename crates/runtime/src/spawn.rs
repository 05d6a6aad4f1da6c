//! The parent's half of a start.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use lapstrake_sys::process::{self, Forked, Namespaces};
use lapstrake_sys::socket;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, Process};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;
use rustix::thread::LinkNameSpaceType;

use crate::cgroup::Cgroup;
use crate::child::{self, Ends, Message, Stage};
use crate::error::{StartError, failed};
use crate::launch::{ChildStdio, Launch, Running, Stdio};
use crate::seccomp::{self, Filter};

/// Starts a container and returns once its command has been executed.
///
/// The calling process must have one thread: the child is a fork that goes on running Rust code.
/// The container is killed when the calling thread ends.
pub fn spawn(launch: &Launch) -> Result<Running, StartError> {
    spawn_connected(launch, None)
}

/// Connects a new container, whose first process has this number, with a network.
pub type Connect<'a> = &'a mut dyn FnMut(i32) -> Result<(), StartError>;

/// [`spawn`] that calls `connect` in the calling process while the new one builds its root file system. The
/// command is executed once both are done.
pub fn spawn_connected(
    launch: &Launch,
    connect: Option<Connect<'_>>,
) -> Result<Running, StartError> {
    if !process::is_single_threaded() {
        return Err(StartError::other(
            "the starting process has more than one thread",
        ));
    }
    start_connected(launch, connect)
}

/// [`spawn`] without the check.
#[cfg(test)]
pub(crate) fn start(launch: &Launch) -> Result<Running, StartError> {
    start_connected(launch, None)
}

/// [`spawn_connected`] without the check.
pub(crate) fn start_connected(
    launch: &Launch,
    connect: Option<Connect<'_>>,
) -> Result<Running, StartError> {
    let plan = Plan::new(launch)?;
    let cgroup = Cgroup::create(&launch.id, launch.spec.linux().as_ref())?;
    match start_in(launch, &plan, &cgroup, connect) {
        Ok((pid, pidfd, stdio)) => Ok(Running {
            pid,
            pidfd,
            stdio,
            cgroup,
            own_pid_namespace: plan.own_pid_namespace(),
        }),
        Err(error) => {
            cgroup.remove();
            Err(error)
        }
    }
}

/// What is worked out before there is a child.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Namespaces to make.
    pub(crate) namespaces: Namespaces,
    /// Namespaces of others to move into.
    pub(crate) joined: Vec<(LinuxNamespaceType, OwnedFd)>,
    /// The command line.
    pub(crate) arguments: Vec<CString>,
    /// The environment.
    pub(crate) environment: Vec<CString>,
    /// The system call filter.
    pub(crate) filter: Option<Filter>,
}

impl Plan {
    fn new(launch: &Launch) -> Result<Self, StartError> {
        let process = launch.spec.process().as_ref();
        let linux = launch.spec.linux().as_ref();
        let filter = linux
            .and_then(|linux| linux.seccomp().as_ref())
            .map(seccomp::compiled);
        let mut plan = Self {
            // A container without mounts of its own would change the host's.
            namespaces: Namespaces::NEWNS,
            joined: Vec::new(),
            arguments: strings(process.and_then(|process| process.args().as_ref()))?,
            environment: strings(process.and_then(|process| process.env().as_ref()))?,
            filter: filter
                .transpose()
                .map_err(|error| StartError::other(error.to_string()))?,
        };
        let namespaces = linux.and_then(|linux| linux.namespaces().as_ref());
        for namespace in namespaces.into_iter().flatten() {
            let kind = namespace.typ();
            match namespace
                .path()
                .as_deref()
                .filter(|path| !path.as_os_str().is_empty())
            {
                None => plan.namespaces |= flag(kind),
                Some(path) => {
                    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                    let fd = rustix::fs::open(path, flags, Mode::empty())
                        .map_err(failed(format_args!("open {}", path.display())))?;
                    plan.joined.push((kind, fd));
                    plan.namespaces.remove(flag(kind));
                }
            }
        }
        Ok(plan)
    }

    /// Whether the container's processes die with its first one.
    fn own_pid_namespace(&self) -> bool {
        self.namespaces.contains(Namespaces::NEWPID)
    }
}

/// The flag of a new namespace.
fn flag(kind: LinuxNamespaceType) -> Namespaces {
    match kind {
        LinuxNamespaceType::Mount => Namespaces::NEWNS,
        LinuxNamespaceType::Cgroup => Namespaces::NEWCGROUP,
        LinuxNamespaceType::Uts => Namespaces::NEWUTS,
        LinuxNamespaceType::Ipc => Namespaces::NEWIPC,
        LinuxNamespaceType::User => Namespaces::NEWUSER,
        LinuxNamespaceType::Pid => Namespaces::NEWPID,
        LinuxNamespaceType::Network => Namespaces::NEWNET,
        LinuxNamespaceType::Time => Namespaces::NEWTIME,
    }
}

/// Strings as the kernel takes them.
fn strings(list: Option<&Vec<String>>) -> Result<Vec<CString>, StartError> {
    let convert = |string: &String| CString::new(string.as_str());
    let strings: Result<Vec<_>, _> = list.into_iter().flatten().map(convert).collect();
    strings.map_err(|_nul| StartError::other("argument or variable with a zero byte in it"))
}

type Started = (i32, OwnedFd, ChildStdio);

fn start_in(
    launch: &Launch,
    plan: &Plan,
    cgroup: &Cgroup,
    connect: Option<Connect<'_>>,
) -> Result<Started, StartError> {
    let (ends, mut stdio) =
        open_stdio(&launch.stdio).map_err(failed("error creating the standard streams"))?;
    let (ours, theirs) =
        socket::packet_pair().map_err(failed("error creating the status socket"))?;
    let group = cgroup.unified.as_deref().map(open_directory).transpose()?;
    // The cgroup namespace shows the group as its root only if it is made inside the group.
    let namespaces = plan.namespaces.difference(Namespaces::NEWCGROUP);
    let outside = enter_pid_namespace(plan)?;
    let forked = process::fork(namespaces, group.as_ref().map(AsFd::as_fd));
    let (pid, pidfd) = match forked {
        Ok(Forked::Child) => {
            drop(ours);
            let channel = theirs;
            child::run(&Stage {
                launch,
                plan,
                cgroup,
                channel,
                ends,
                waits: connect.is_some(),
            })
        }
        Ok(Forked::Parent { pid, pidfd }) => (pid, pidfd),
        Err(error) => {
            leave_pid_namespace(outside)?;
            return Err(failed("error creating the process")(error));
        }
    };
    leave_pid_namespace(outside)?;
    drop(theirs);
    drop(ends);
    let result = let_go(launch, plan, pid, &ours)
        .and_then(|()| connect.map_or(Ok(()), |connect| join(connect, pid, &ours)))
        .and_then(|()| follow(&ours, &mut stdio));
    if let Err(error) = result {
        // It has reported its failure and ends, or cannot go on without what was refused here.
        rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL).ok();
        let pid = rustix::process::Pid::from_raw(pid);
        rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).ok();
        return Err(error);
    }
    Ok((pid, pidfd, stdio))
}

/// In a new user namespace, the child waits for its mappings.
fn let_go(launch: &Launch, plan: &Plan, pid: i32, channel: &OwnedFd) -> Result<(), StartError> {
    if !plan.namespaces.contains(Namespaces::NEWUSER) {
        return Ok(());
    }
    write_id_maps(pid, launch.spec.linux().as_ref())
        .map_err(failed("error writing the user id mappings"))?;
    go(channel)
}

fn go(channel: &OwnedFd) -> Result<(), StartError> {
    match socket::send(channel.as_fd(), child::GO, &[]) {
        // It has failed meanwhile, and said why.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other
            .map(drop)
            .map_err(failed("error continuing the process")),
    }
}

/// Connects the container while the child works, then lets that go on.
fn join(connect: Connect<'_>, pid: i32, channel: &OwnedFd) -> Result<(), StartError> {
    let Err(error) = connect(pid) else {
        return go(channel);
    };
    // A child that has failed has no namespaces any more: its own reason is the one to tell.
    while socket::is_readable(channel.as_fd()) {
        let message = socket::receive(channel.as_fd())
            .map_err(failed("error reading the status of the process"))?;
        match Message::parse(message) {
            Some(Message::Terminal(_)) => {}
            Some(Message::Failed(reported)) => return Err(reported),
            None => break,
        }
    }
    Err(error)
}

/// Hears the child out until it has executed the command.
fn follow(channel: &OwnedFd, stdio: &mut ChildStdio) -> Result<(), StartError> {
    loop {
        let message = socket::receive(channel.as_fd())
            .map_err(failed("error reading the status of the process"))?;
        match Message::parse(message) {
            Some(Message::Terminal(master)) => *stdio = ChildStdio::Terminal(master),
            Some(Message::Failed(error)) => return Err(error),
            None => return Ok(()),
        }
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, StartError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(failed(format_args!("open {}", path.display())))
}

/// Makes the streams: the child's ends and the caller's.
fn open_stdio(stdio: &Stdio) -> rustix::io::Result<(Ends<'_>, ChildStdio)> {
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    match stdio {
        Stdio::Terminal { .. } => Ok((Ends::Terminal, ChildStdio::None)),
        Stdio::Null => Ok((Ends::Null, ChildStdio::None)),
        Stdio::Inherit {
            stdin,
            stdout,
            stderr,
        } => {
            let ends = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
            Ok((Ends::Inherited(ends), ChildStdio::None))
        }
        Stdio::Pipes { stdin } => {
            let (their_stdin, our_stdin) = if *stdin {
                let (reader, writer) = pipe()?;
                (Some(reader), Some(writer))
            } else {
                (None, None)
            };
            let (our_stdout, their_stdout) = pipe()?;
            let (our_stderr, their_stderr) = pipe()?;
            let ends = Ends::Pipes {
                stdin: their_stdin,
                stdout: their_stdout,
                stderr: their_stderr,
            };
            let ours = ChildStdio::Pipes {
                stdin: our_stdin,
                stdout: our_stdout,
                stderr: our_stderr,
            };
            Ok((ends, ours))
        }
    }
}

/// Children go to the joined process namespace from here on. Returns the way back.
fn enter_pid_namespace(plan: &Plan) -> Result<Option<OwnedFd>, StartError> {
    let joined = plan
        .joined
        .iter()
        .find(|(kind, _)| *kind == LinuxNamespaceType::Pid);
    let Some((_, namespace)) = joined else {
        return Ok(None);
    };
    let what = "error joining the pid namespace";
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let outside = rustix::fs::open(c"/proc/self/ns/pid", flags, Mode::empty());
    let outside = outside.map_err(failed(what))?;
    let kind = Some(LinkNameSpaceType::ProcessID);
    rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).map_err(failed(what))?;
    Ok(Some(outside))
}

fn leave_pid_namespace(outside: Option<OwnedFd>) -> Result<(), StartError> {
    let Some(outside) = outside else {
        return Ok(());
    };
    let kind = Some(LinkNameSpaceType::ProcessID);
    rustix::thread::move_into_link_name_space(outside.as_fd(), kind)
        .map_err(failed("error leaving the pid namespace"))
}

fn write_id_maps(pid: i32, linux: Option<&Linux>) -> std::io::Result<()> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let text = |mappings: Option<&Vec<LinuxIdMapping>>| -> String {
        let lines = mappings.into_iter().flatten().map(|mapping| {
            format!(
                "{} {} {}\n",
                mapping.container_id(),
                mapping.host_id(),
                mapping.size()
            )
        });
        lines.collect()
    };
    fs::write(
        process.join("uid_map"),
        text(linux.and_then(|linux| linux.uid_mappings().as_ref())),
    )?;
    let groups = text(linux.and_then(|linux| linux.gid_mappings().as_ref()));
    match fs::write(process.join("gid_map"), &groups) {
        // An ordinary user has to give up on dropping groups first.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            fs::write(process.join("setgroups"), "deny")?;
            fs::write(process.join("gid_map"), &groups)
        }
        result => result,
    }
}

/// The process part of a specification, or a failure in its place.
pub(crate) fn process_of(launch: &Launch) -> Result<&Process, StartError> {
    launch
        .spec
        .process()
        .as_ref()
        .ok_or_else(|| StartError::other("no process is specified"))
}
