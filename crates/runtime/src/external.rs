//! The same container through an OCI runtime program (`runc`, `crun`, …).
//!
//! In the bundle directory: `config.json`, `rootfs/` (the mount point), `runtime/` (the program's
//! own state), `runtime.log` and `pid`. The program ends once the container runs; the caller, a
//! child subreaper, inherits the container's first process.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Standard};

use lapstrake_sys::process::{self, Namespaces};
use lapstrake_sys::socket;
use lapstrake_sys::tty::{self, WindowSize};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags};

use crate::cgroup::Cgroup;
use crate::error::{StartError, StartErrorKind, failed};
use crate::launch::{ChildStdio, Launch, Running, Stdio};
use crate::rootfs;
use crate::spawn::Connect;

/// What runc puts before the message of interest.
const RUNC_PREFIXES: [&str; 3] = [
    "runc create failed: ",
    "unable to start container process: ",
    "error during container init: ",
];

/// Gives the calling, single-threaded process a mount namespace of its own whose mounts do not
/// travel back to the host.
pub fn isolate_mounts() -> Result<(), StartError> {
    let what = "error creating a mount namespace";
    process::unshare(Namespaces::NEWNS).map_err(failed(what))?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", flags).map_err(failed(what))
}

/// Starts `launch` with the OCI runtime program `runtime`: a path, or a name to look up in `PATH`.
///
/// `bundle` is an existing directory of the caller. The root file system is mounted at
/// `bundle/rootfs` in the caller's current mount namespace: the caller has put itself into one of
/// its own with [`isolate_mounts`], so that nothing is left on the host. The calling process
/// becomes a child subreaper, so that [`Running::wait`] gets the container's exit status.
///
/// `connect` is called when the container has its namespaces and does not run yet.
pub fn run(
    bundle: &Path,
    launch: &Launch,
    runtime: &Path,
    connect: Option<Connect<'_>>,
) -> Result<Running, StartError> {
    if launch.init {
        return Err(StartError::other(
            "an init process needs the built-in runtime",
        ));
    }
    prepare_bundle(bundle, launch).map_err(failed("error preparing the bundle"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(failed("error becoming a child subreaper"))?;
    let program = Program {
        bundle,
        id: &launch.id,
        runtime,
    };
    let result = program.create_and_start(&launch.stdio, connect);
    let (pid, stdio) = result.inspect_err(|_error| {
        // Whatever it has left of the container; the first error is the one to tell.
        delete(bundle, &launch.id, runtime).ok();
    })?;
    let what = "error opening the container's process";
    let number = Pid::from_raw(pid).ok_or_else(|| StartError::other(what))?;
    let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty()).map_err(failed(what))?;
    let linux = launch.spec.linux().as_ref();
    let cgroups_path = linux.and_then(|linux| linux.cgroups_path().as_deref());
    let cgroup = Cgroup::find(&launch.id, cgroups_path);
    let own_pid_namespace = has_own_pid_namespace(&launch.spec);
    Ok(Running {
        pid,
        pidfd,
        stdio,
        cgroup,
        own_pid_namespace,
    })
}

/// Removes the runtime's state of a container that has ended: `runtime delete --force ID`. The
/// bundle's root file system is unmounted.
pub fn delete(bundle: &Path, id: &str, runtime: &Path) -> Result<(), StartError> {
    let program = Program {
        bundle,
        id,
        runtime,
    };
    let mut command = program.command();
    command.args(["delete", "--force", id]);
    let result = program.run(command);
    // In this mount namespace alone; with the process gone it would be gone too.
    rustix::mount::unmount(bundle.join("rootfs"), UnmountFlags::DETACH).ok();
    result
}

fn has_own_pid_namespace(spec: &Spec) -> bool {
    let namespaces = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.namespaces().as_ref());
    namespaces
        .into_iter()
        .flatten()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none())
}

fn prepare_bundle(bundle: &Path, launch: &Launch) -> io::Result<()> {
    let root = bundle.join("rootfs");
    fs::create_dir_all(&root)?;
    rootfs::mount_at(&launch.rootfs, &root)?;
    let mut spec = launch.spec.clone();
    let mut place = spec.root().clone().unwrap_or_default();
    let readonly = spec
        .root()
        .as_ref()
        .and_then(oci_spec::runtime::Root::readonly);
    place
        .set_path(PathBuf::from("rootfs"))
        .set_readonly(Some(readonly.unwrap_or(false)));
    spec.set_root(Some(place));
    if let Some(process) = spec.process_mut() {
        match launch.stdio {
            Stdio::Terminal { .. } => process.set_terminal(Some(true)),
            _ => process.set_terminal(None),
        };
    }
    if let Some(linux) = spec.linux_mut()
        && linux.cgroups_path().is_none()
    {
        linux.set_cgroups_path(Some(Cgroup::default_path(&launch.id)));
    }
    let json = serde_json::to_vec(&spec).map_err(io::Error::other)?;
    fs::write(bundle.join("config.json"), json)
}

/// The runtime program, about one container.
struct Program<'a> {
    bundle: &'a Path,
    id: &'a str,
    runtime: &'a Path,
}

impl Program<'_> {
    fn command(&self) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "running this program is what was asked"
        )]
        let mut command = Command::new(self.runtime);
        command
            .arg("--root")
            .arg(self.bundle.join("runtime"))
            .arg("--log")
            .arg(self.log())
            .args(["--log-format", "json"])
            .stdin(Standard::null())
            .stdout(Standard::null())
            .stderr(Standard::null());
        command
    }

    fn log(&self) -> PathBuf {
        self.bundle.join("runtime.log")
    }

    fn create_and_start(
        &self,
        stdio: &Stdio,
        network: Option<Connect<'_>>,
    ) -> Result<(i32, ChildStdio), StartError> {
        let pid_file = self.bundle.join("pid");
        let mut create = self.command();
        create
            .arg("create")
            .arg("--bundle")
            .arg(self.bundle)
            .arg("--pid-file")
            .arg(&pid_file);
        let console = match stdio {
            Stdio::Terminal { .. } => {
                let console = Console::listen(self.bundle)
                    .map_err(failed("error creating the console socket"))?;
                create.arg("--console-socket").arg(&console.path);
                Some(console)
            }
            _ => None,
        };
        create.arg(self.id);
        let ours =
            connect(&mut create, stdio).map_err(failed("error creating the standard streams"))?;
        self.run(create)?;
        let ours = match console {
            Some(console) => {
                let master = console
                    .master()
                    .map_err(failed("error receiving the terminal"))?;
                if let Stdio::Terminal { rows, columns } = *stdio {
                    tty::set_window_size(master.as_fd(), WindowSize { rows, columns })
                        .map_err(failed("error setting the size of the terminal"))?;
                }
                ChildStdio::Terminal(master)
            }
            None => ours,
        };
        let pid = fs::read_to_string(&pid_file).map_err(failed("error reading the pid file"))?;
        let pid = pid.trim().parse();
        let pid = pid.map_err(|_error| StartError::other("error reading the pid file"))?;
        if let Some(connect) = network {
            connect(pid)?;
        }
        let mut start = self.command();
        start.args(["start", self.id]);
        self.run(start)?;
        Ok((pid, ours))
    }

    /// Runs the program to its end. Its log tells what went wrong.
    fn run(&self, mut command: Command) -> Result<(), StartError> {
        fs::remove_file(self.log()).ok();
        let name = self.runtime.display();
        let status = command.status().map_err(|error| {
            StartError::other(format!(
                "unable to run {name}: {}",
                crate::error::words(&error)
            ))
        })?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        Err(match last_error(&log) {
            Some(message) => classify(&message),
            None => StartError::other(format!("{name} failed: {status}")),
        })
    }
}

/// The last error in a log of JSON lines.
fn last_error(log: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        #[serde(default)]
        level: String,
        msg: String,
    }
    let lines = log
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut errors = lines.filter(|line| line.level.is_empty() || line.level == "error");
    errors.next().map(|line| line.msg)
}

/// Tells the kinds of failure by docker's key words.
fn classify(message: &str) -> StartError {
    let mut text = message;
    for prefix in RUNC_PREFIXES {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    let has = |words: &str| text.contains(words);
    let kind = if has("executable file not found") || has("no such file or directory") {
        StartErrorKind::NotFound
    } else if has("permission denied") || has("is a directory") {
        StartErrorKind::NotExecutable
    } else if has("not a directory") {
        StartErrorKind::NotDirectory
    } else {
        StartErrorKind::Other
    };
    StartError::new(kind, text)
}

/// Gives the program the streams that it hands on. Returns the caller's ends.
fn connect(command: &mut Command, stdio: &Stdio) -> io::Result<ChildStdio> {
    match stdio {
        Stdio::Terminal { .. } | Stdio::Null => Ok(ChildStdio::None),
        Stdio::Inherit {
            stdin,
            stdout,
            stderr,
        } => {
            command
                .stdin(stdin.try_clone()?)
                .stdout(stdout.try_clone()?)
                .stderr(stderr.try_clone()?);
            Ok(ChildStdio::None)
        }
        Stdio::Pipes { stdin } => {
            let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
            let our_stdin = if *stdin {
                let (reader, writer) = pipe()?;
                command.stdin(reader);
                Some(writer)
            } else {
                None
            };
            let (our_stdout, theirs) = pipe()?;
            command.stdout(theirs);
            let (our_stderr, theirs) = pipe()?;
            command.stderr(theirs);
            Ok(ChildStdio::Pipes {
                stdin: our_stdin,
                stdout: our_stdout,
                stderr: our_stderr,
            })
        }
    }
}

/// The socket to which the program sends the terminal.
struct Console {
    listener: UnixListener,
    /// The directory of the socket: its path is too long to be an address.
    _directory: OwnedFd,
    path: PathBuf,
}

impl Console {
    fn listen(bundle: &Path) -> io::Result<Self> {
        const NAME: &str = "console.sock";
        fs::remove_file(bundle.join(NAME)).ok();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(bundle, flags, Mode::empty())?;
        let pid = rustix::process::getpid();
        let descriptor = directory.as_raw_fd();
        let path = PathBuf::from(format!("/proc/{}/fd/{descriptor}/{NAME}", pid.as_raw_pid()));
        let listener = UnixListener::bind(&path)?;
        Ok(Self {
            listener,
            _directory: directory,
            path,
        })
    }

    fn master(&self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        let mut message = socket::receive(stream.as_fd())?;
        let master = message.fds.pop().ok_or(io::ErrorKind::UnexpectedEof)?;
        fs::remove_file(&self.path).ok();
        Ok(master)
    }
}
