//! The steward's side: one step after the other.

use super::mounts::{Furniture, furnish, mount_scratch};
use super::{EXITED, FAILED, KILL, RUN, Refusal, STARTED, Step, StepExit};
use crate::create::new_id;
use crate::error::StartKind;
use crate::files;
use crate::home::Home;
use crate::lower::{self, Inputs};
use crate::monitor::Failure;
use crate::network::{self, is_bridge_network};
use crate::record::{ContainerId, Mount, Record};
use crate::role;
use crate::users::{self, Identity};
use lapstrake_runtime::{
    ChildStdio, Connect, Launch, OverlaySpec, RootFs, Running, StartError, Stdio,
};
use lapstrake_snapshot::View;
use lapstrake_spec::{ContainerConfig, Digest, Hasher, Platform};
use lapstrake_sys::socket;
use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The steward's whole life. `args` are the words after [`super::ROLE`]; the result is the process's exit status,
/// which nobody reads.
pub fn main(mut args: impl Iterator<Item = OsString>) -> i32 {
    let failed = StartKind::Other.exit_code();
    let Some(scratch) = args.next().map(PathBuf::from) else {
        return failed;
    };
    let Ok(caller) = role::begin() else {
        return failed;
    };
    lapstrake_runtime::prepare();
    let ready = mount_scratch(&scratch);
    let mut connected = false;
    loop {
        let message = match socket::receive(caller.as_fd()) {
            Ok(message) => message,
            Err(_lost) => break,
        };
        let (Some(&RUN), Some(file)) = (message.bytes.first(), message.fds.into_iter().next())
        else {
            break;
        };
        let answer = match &ready {
            Ok(()) => attend(&caller, &scratch, file, &mut connected),
            Err(message) => Err(refuse(StartKind::Other, message.clone())),
        };
        if !report(&caller, answer) {
            break;
        }
    }
    drop(caller);
    if connected {
        network::linger(|time| {
            std::thread::sleep(time);
            true
        });
    }
    0
}

/// Tells the caller how it went. False when that is gone.
fn report(caller: &OwnedFd, answer: Result<StepExit, Refusal>) -> bool {
    let (kind, json) = match answer {
        Ok(exit) => (EXITED, serde_json::to_vec(&exit)),
        Err(refusal) => (FAILED, serde_json::to_vec(&refusal)),
    };
    let Ok(json) = json else {
        return false;
    };
    let message = [&[kind], json.as_slice()].concat();
    // Long reasons are cut: the packet has a limit.
    let length = message.len().min(socket::MESSAGE_LIMIT);
    message
        .get(..length)
        .is_some_and(|message| socket::send(caller.as_fd(), message, &[]).is_ok())
}

fn refuse(kind: StartKind, message: String) -> Refusal {
    Refusal { kind, message }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind,
            message: failure.message,
        }
    }
}

fn other(message: impl std::fmt::Display) -> Refusal {
    refuse(StartKind::Other, message.to_string())
}

/// Runs one step to its end.
fn attend(
    caller: &OwnedFd,
    scratch: &Path,
    file: OwnedFd,
    connected: &mut bool,
) -> Result<StepExit, Refusal> {
    let step = read(file).map_err(other)?;
    let id = new_id().map_err(other)?;
    let home = Home::new(scratch.join(id.as_str()));
    std::fs::create_dir(home.path()).map_err(other)?;
    let furniture = furnish(&step, home.path());
    let result = match &furniture {
        Ok(furniture) => run(caller, &step, furniture, (&id, &home), connected),
        Err(message) => Err(other(message)),
    };
    if let Ok(furniture) = furniture {
        furniture.clear();
    }
    // Only memory of this process's own: it is gone with it at the latest.
    std::fs::remove_dir_all(home.path()).ok();
    result
}

fn read(file: OwnedFd) -> std::io::Result<Step> {
    let mut file = File::from(file);
    file.rewind()?;
    let mut json = Vec::new();
    file.read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

fn run(
    caller: &OwnedFd,
    step: &Step,
    furniture: &Furniture,
    (id, home): (&ContainerId, &Home),
    connected: &mut bool,
) -> Result<StepExit, Refusal> {
    let record = record(step, furniture, id);
    let failed = |error: crate::Error| Refusal::from(Failure::from(error));
    files::write(home, &record).map_err(failed)?;
    let identity = identity(step, furniture).map_err(failed)?;
    let launch = Launch {
        id: id.to_string(),
        spec: spec(step, &record, home, &identity).map_err(failed)?,
        rootfs: RootFs::Overlay(OverlaySpec {
            lowers: furniture.lowers.clone(),
            upper: step.upper.clone(),
            work: step.work.clone(),
            volatile: true,
        }),
        stdio: Stdio::Pipes { stdin: false },
        init: false,
    };
    let mut connect = |pid| {
        let endpoint = network::connect(pid).map_err(StartError::other)?;
        *connected = true;
        files::write_own_host(home, &record, &endpoint)
            .map_err(|error| StartError::other(Failure::from(error).message))
    };
    let connect: Option<Connect<'_>> = is_bridge_network(&step.host).then_some(&mut connect);
    let running = lapstrake_runtime::spawn_connected(&launch, connect)
        .map_err(|error| Refusal::from(Failure::from(error)))?;
    let exit = follow(caller, running).map_err(other)?;
    Ok(exit)
}

/// Hands the output over and waits for the end.
fn follow(caller: &OwnedFd, mut running: Running) -> Result<StepExit, lapstrake_runtime::Error> {
    let stdio = std::mem::replace(&mut running.stdio, ChildStdio::None);
    if let ChildStdio::Pipes { stdout, stderr, .. } = &stdio
        && socket::send(
            caller.as_fd(),
            &[STARTED],
            &[stdout.as_fd(), stderr.as_fd()],
        )
        .is_err()
    {
        running.kill_all()?;
    }
    drop(stdio);
    let mut watched = true;
    loop {
        let mut fds = vec![PollFd::new(&running.pidfd, PollFlags::IN)];
        if watched {
            fds.push(PollFd::new(caller, PollFlags::IN));
        }
        rustix::event::poll(&mut fds, None).ok();
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.first() == Some(&true) {
            break;
        }
        if ready.get(1) == Some(&true) {
            // `K`, or the caller has gone.
            let message = socket::receive(caller.as_fd()).unwrap_or_default();
            watched = message.bytes.first() == Some(&KILL);
            running.kill_all()?;
        }
    }
    let exit = running.wait()?;
    running.kill_all()?;
    running.delete()?;
    Ok(StepExit {
        code: exit.code,
        signal: exit.signal,
    })
}

/// The record of a container that is none: what the specification is made from.
fn record(step: &Step, furniture: &Furniture, id: &ContainerId) -> Record {
    let mut words = step.arguments.iter().cloned();
    let config = ContainerConfig {
        hostname: step.hostname.clone(),
        user: step.user.clone(),
        working_dir: step.directory.clone(),
        // The step's own is complete: `spec` takes it as it is.
        env: None,
        ..ContainerConfig::default()
    };
    let mut host = step.host.clone();
    host.tmpfs.extend(furniture.tmpfs.clone());
    Record {
        id: id.clone(),
        name: String::new(),
        created: String::new(),
        image_id: nothing(),
        image: String::new(),
        path: words.next().unwrap_or_default(),
        args: words.collect(),
        config,
        host_config: host,
        mounts: furniture.mounts.clone(),
        layers: Vec::new(),
        layer_blobs: Vec::new(),
        platform: Platform::host(),
        driver: String::new(),
    }
}

/// The digest of no bytes: a step has no image.
fn nothing() -> Digest {
    Hasher::sha256().finish()
}

fn identity(step: &Step, furniture: &Furniture) -> Result<Identity, crate::Error> {
    let trees: Vec<PathBuf> = std::iter::once(&step.upper)
        .chain(&furniture.lowers)
        .cloned()
        .collect();
    let view = View::of(&trees)?;
    users::identify_in(&view, &step.user, &[])
}

/// A container's specification, with the step's environment as it is.
fn spec(
    step: &Step,
    record: &Record,
    home: &Home,
    identity: &Identity,
) -> Result<Spec, crate::Error> {
    let mut spec = lower::spec(&Inputs {
        record,
        home: home.path(),
        identity,
        devices: &[],
    })?;
    let mut environment = step.environment.clone();
    if !environment.iter().any(|pair| pair.starts_with("HOME=")) {
        environment.push(format!("HOME={}", identity.home));
    }
    if let Some(process) = spec.process_mut() {
        process.set_env(Some(environment));
    }
    if step.is_bare {
        let target = Path::new(files::HOSTNAME_TARGET);
        let asked = |mount: &Mount| Path::new(&mount.destination) == target;
        if !record.mounts.iter().any(asked)
            && let Some(mounts) = spec.mounts_mut()
        {
            mounts.retain(|mount| mount.destination() != target);
        }
    }
    Ok(spec)
}
