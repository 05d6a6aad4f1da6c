//! From a record to a running container.

use super::{Arguments, socket_path};
use crate::error::{Error, StartKind};
use crate::files;
use crate::home::{self, Home};
use crate::lower::{self, Inputs};
use crate::network::{self, NetworkState, is_bridge_network};
use crate::record::{Record, State, Status};
use crate::users::{self, Identity};
use crate::{clock, remove, volumes};
use lapstrake_runtime::{
    Connect, Launch, OverlaySpec, RootFs, Running, StartError, Stdio, external,
};
use lapstrake_snapshot::Snapshot;
use lapstrake_sys::lock::Lock;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::FileType;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Somebody who looks whether the container runs holds its lock for a moment.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_INTERVAL: Duration = Duration::from_millis(1);

/// A container that has been started, with all that its monitor holds.
#[derive(Debug)]
pub(super) struct Boot {
    pub(super) root: PathBuf,
    pub(super) home: Home,
    pub(super) record: Record,
    pub(super) state: State,
    pub(super) lock: Lock,
    pub(super) running: Running,
    pub(super) listener: UnixListener,
    /// The OCI runtime program that started it, when it was not the built-in one.
    pub(super) runtime: Option<PathBuf>,
}

/// Why it was not started.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: StartKind,
    pub(crate) message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self {
            kind: StartKind::Other,
            message,
        }
    }
}

impl From<lapstrake_runtime::StartError> for Failure {
    fn from(error: lapstrake_runtime::StartError) -> Self {
        let kind = match error.exit_code() {
            126 => StartKind::NotExecutable,
            127 => StartKind::NotFound,
            _ => StartKind::Other,
        };
        Self {
            kind,
            message: error.to_string(),
        }
    }
}

/// Starts the container and records it.
pub(super) fn boot(arguments: &Arguments) -> Result<Boot, Failure> {
    let home = Home::new(
        arguments
            .root
            .join("containers")
            .join(arguments.id.as_str()),
    );
    let lock = take_lock(&home, arguments)?;
    let record = home
        .record()?
        .ok_or_else(|| Error::NotFound(arguments.id.to_string()))?;
    // With the lock in hand, a state that says it lives tells of a monitor that was killed.
    if home.ended_state()?.is_some() {
        let group = lower::cgroups_path(&record);
        lapstrake_runtime::cleanup(record.id.as_str(), group.as_deref()).ok();
    }
    let started = launch(arguments, &home, &record).and_then(|started| {
        let Started {
            running,
            runtime,
            network,
        } = started;
        let state = State {
            status: Status::Running,
            pid: running.pid,
            network,
            started_at: clock::now(),
            ..State::default()
        };
        // The door first: whoever reads that it runs finds it.
        let listener = listen(&home)?;
        home.write_state(&state, false)?;
        Ok((running, runtime, state, listener))
    });
    let root = arguments.root.clone();
    match started {
        Ok((running, runtime, state, listener)) => Ok(Boot {
            root,
            home,
            record,
            state,
            lock,
            running,
            listener,
            runtime,
        }),
        Err(failure) => {
            record_failure(&root, &home, &record, &failure);
            drop(lock);
            Err(failure)
        }
    }
}

fn take_lock(home: &Home, arguments: &Arguments) -> Result<Lock, Failure> {
    for _ in 0..LOCK_ATTEMPTS {
        if let Some(lock) = home.try_lock()? {
            return Ok(lock);
        }
        std::thread::sleep(LOCK_INTERVAL);
    }
    let message = format!(
        "container {} is being started or removed already",
        arguments.id
    );
    Err(Failure {
        kind: StartKind::Other,
        message,
    })
}

/// A container that did not start keeps the error, or vanishes when it was to vanish at its end. Nothing
/// more can be done about a failure here: the first one is what the starter hears of.
fn record_failure(root: &Path, home: &Home, record: &Record, failure: &Failure) {
    if record.host_config.auto_remove {
        if let Ok(trash) = remove::discard(root, record, true) {
            remove::empty(&trash);
        }
        return;
    }
    let state = home.state().unwrap_or_default();
    let code = match failure.kind {
        StartKind::Other => 128,
        kind => kind.exit_code(),
    };
    home.write_state(
        &State {
            exit_code: code,
            error: failure.message.clone(),
            ..state
        },
        false,
    )
    .ok();
}

/// What [`launch`] has made.
struct Started {
    running: Running,
    runtime: Option<PathBuf>,
    network: Option<NetworkState>,
}

fn launch(arguments: &Arguments, home: &Home, record: &Record) -> Result<Started, Failure> {
    let snapshot = Snapshot::prepared(home.path(), arguments.lowers.clone());
    let identity = identity(&snapshot, record)?;
    // What `--mount` names must be there; what `--volume` names is made.
    for request in &record.host_config.mounts {
        request.check()?;
    }
    volumes::make_sources(&record.mounts)?;
    files::write(home, record)?;
    let devices = devices(record)?;
    let mut record_now = record.clone();
    if arguments.window.rows > 0 {
        record_now.host_config.console_size = [arguments.window.rows, arguments.window.columns];
    }
    let spec = lower::spec(&Inputs {
        record: &record_now,
        home: home.path(),
        identity: &identity,
        devices: &devices,
    })?;
    let launch = Launch {
        id: record.id.to_string(),
        spec,
        rootfs: RootFs::Overlay(overlay(&snapshot, record.host_config.auto_remove)),
        stdio: stdio(&record_now),
        init: record.host_config.init.unwrap_or(false),
    };
    let mut network = Ok(None);
    let mut connect = |pid| {
        network = connect(home, record, pid).map(Some);
        match &network {
            Ok(_) => Ok(()),
            Err(message) => Err(StartError::other(message)),
        }
    };
    let connect: Option<Connect<'_>> =
        is_bridge_network(&record.host_config).then_some(&mut connect);
    let runtime = runtime_program(record);
    let started = match &runtime {
        None => lapstrake_runtime::spawn_connected(&launch, connect),
        Some(program) => {
            external::isolate_mounts()?;
            let bundle = bundle(home);
            std::fs::create_dir_all(&bundle).map_err(|error| external_failure(&bundle, &error))?;
            external::run(&bundle, &launch, program, connect)
        }
    };
    match (started, network) {
        (Ok(running), Ok(network)) => Ok(Started {
            running,
            runtime,
            network,
        }),
        // Not a failure of the runtime, whose words it would get.
        (Err(error), Err(message)) if error.message == message => Err(Failure {
            kind: StartKind::Other,
            message,
        }),
        (Err(error), _) => Err(error.into()),
        (Ok(_), Err(message)) => Err(Failure {
            kind: StartKind::Other,
            message,
        }),
    }
}

/// Connects the new container with the bridge. Its /etc/hosts gets its own line before it runs.
fn connect(home: &Home, record: &Record, pid: i32) -> Result<NetworkState, String> {
    let endpoint = network::connect(pid)?;
    files::write_own_host(home, record, &endpoint).map_err(|error| Failure::from(error).message)?;
    Ok(endpoint.into())
}

fn external_failure(bundle: &Path, error: &std::io::Error) -> Failure {
    let message = format!("making {}: {error}", bundle.display());
    Failure {
        kind: StartKind::Other,
        message,
    }
}

/// The folder that an OCI runtime program gets.
pub(super) fn bundle(home: &Home) -> PathBuf {
    home.file("bundle")
}

/// The OCI runtime program that the container asks for; `None` is the built-in runtime.
fn runtime_program(record: &Record) -> Option<PathBuf> {
    match record.host_config.runtime.as_str() {
        "" | "lapstrake" | "lap" | "runc" | "io.containerd.runc.v2" => None,
        name => Some(PathBuf::from(name)),
    }
}

fn overlay(snapshot: &Snapshot, volatile: bool) -> OverlaySpec {
    let overlay = snapshot.overlay();
    OverlaySpec {
        lowers: overlay.lowers,
        upper: overlay.upper,
        work: overlay.work,
        volatile,
    }
}

fn stdio(record: &Record) -> Stdio {
    let config = &record.config;
    if config.tty {
        let [rows, columns] = record.host_config.console_size;
        return Stdio::Terminal { rows, columns };
    }
    Stdio::Pipes {
        stdin: config.open_stdin,
    }
}

fn identity(snapshot: &Snapshot, record: &Record) -> Result<Identity, Error> {
    let view = snapshot.view()?;
    let more = record.host_config.group_add.clone().unwrap_or_default();
    users::identify_in(&view, &record.config.user, &more)
}

/// The host's devices that the container asks for.
fn devices(record: &Record) -> Result<Vec<LinuxDevice>, Error> {
    let mut devices = Vec::new();
    for asked in record.host_config.devices.iter().flatten() {
        let path = &asked.path_on_host;
        let gather = |why: &str| {
            Error::Invalid(format!(
                "error gathering device information while adding custom device {path:?}: {why}"
            ))
        };
        let stat = rustix::fs::stat(path.as_str()).map_err(|errno| {
            let text = std::io::Error::from(errno).to_string().to_lowercase();
            gather(text.split(" (os error").next().unwrap_or_default())
        })?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => LinuxDeviceType::C,
            FileType::BlockDevice => LinuxDeviceType::B,
            _ => return Err(gather("not a device node")),
        };
        let target = if asked.path_in_container.is_empty() {
            path
        } else {
            &asked.path_in_container
        };
        let mut device = LinuxDevice::default();
        device
            .set_path(PathBuf::from(target))
            .set_typ(kind)
            .set_major(i64::from(rustix::fs::major(stat.st_rdev)))
            .set_minor(i64::from(rustix::fs::minor(stat.st_rdev)))
            .set_file_mode(Some(stat.st_mode & 0o777))
            .set_uid(Some(stat.st_uid))
            .set_gid(Some(stat.st_gid));
        devices.push(device);
    }
    Ok(devices)
}

/// Opens the door.
fn listen(home: &Home) -> Result<UnixListener, Failure> {
    let fail = |error: std::io::Error| Failure {
        kind: StartKind::Other,
        message: format!(
            "opening the control socket of {}: {error}",
            home.path().display()
        ),
    };
    close_door(home).map_err(fail)?;
    let folder: OwnedFd = home::open_folder(home.path()).map_err(fail)?;
    let listener = UnixListener::bind(socket_path(folder.as_raw_fd())).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

/// Takes the door away.
pub(super) fn close_door(home: &Home) -> std::io::Result<()> {
    home::remove_if_there(&home.file(super::SOCKET))
}
