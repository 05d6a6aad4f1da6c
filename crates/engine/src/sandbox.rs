//! Where the steps of a build run: the build's seam on one side, the containers' parts on the other.

use crate::Engine;
use crate::error::Error;
use crate::ops::Dialect;
use lapstrake_build::sandbox::{
    ExitStatus, Network, Output, RunRequest, Sandbox, SandboxError, SandboxMount, Stream,
};
use lapstrake_container::sandbox::{Sandboxes, Step, StepEnd, StepMount, StepStream};
use lapstrake_container::{HostConfig, StartKind, Ulimit};

/// A directory that stays empty: each steward mounts memory of its own over it.
const SCRATCH: &str = "containers/.scratch";

/// The host's name in a step, as BuildKit has it.
const HOSTNAME: &str = "buildkitsandbox";

/// The signal of a process that exceeds its memory.
const SIGKILL: i32 = 9;

/// Runs steps in containers that have no record.
#[derive(Debug)]
pub(crate) struct EngineSandbox {
    sandboxes: Sandboxes,
    /// Whether steps find what docker's containers have; see [`Step::is_bare`].
    is_bare: bool,
}

impl EngineSandbox {
    pub(crate) fn new(engine: &Engine, dialect: Dialect) -> Result<Self, Error> {
        let scratch = engine.store()?.root().join(SCRATCH);
        std::fs::create_dir_all(&scratch).map_err(|error| {
            lapstrake_image::Error::io(format!("mkdir {}", scratch.display()), error)
        })?;
        Ok(Self {
            sandboxes: Sandboxes::new(&scratch),
            is_bare: dialect == Dialect::BuildKit,
        })
    }
}

impl Sandbox for EngineSandbox {
    fn run(
        &self,
        request: &RunRequest,
        output: &mut dyn Output,
    ) -> Result<ExitStatus, SandboxError> {
        let step = Step {
            is_bare: self.is_bare,
            ..step(request)
        };
        let cancelled = || request.cancel.is_cancelled();
        let mut pass_on = |stream, bytes: &[u8]| {
            let stream = match stream {
                StepStream::Stdout => Stream::Stdout,
                StepStream::Stderr => Stream::Stderr,
            };
            output.write(stream, bytes);
        };
        match self.sandboxes.run(&step, &cancelled, &mut pass_on) {
            Ok(StepEnd::Exited(exit)) => Ok(match exit.signal {
                Some(SIGKILL) if request.resources.memory_bytes.is_some() => {
                    ExitStatus::OutOfMemory
                }
                Some(signal) => ExitStatus::Signal(u8::try_from(signal).unwrap_or(u8::MAX)),
                None => ExitStatus::Code(u8::try_from(exit.code & 0xff).unwrap_or(u8::MAX)),
            }),
            Ok(StepEnd::Cancelled) => Err(SandboxError::Cancelled),
            Err(error) => Err(refused(error)),
        }
    }
}

/// Tells programs that cannot be executed from everything else.
fn refused(error: lapstrake_container::Error) -> SandboxError {
    let code = match &error {
        lapstrake_container::Error::Start { kind, .. } if *kind != StartKind::Other => {
            u8::try_from(kind.exit_code()).ok()
        }
        _ => None,
    };
    match (error, code) {
        (lapstrake_container::Error::Start { message, .. }, Some(code)) => {
            SandboxError::Exec { message, code }
        }
        (lapstrake_container::Error::Start { message, .. }, None) => SandboxError::Other {
            message,
            source: None,
        },
        (error, _) => SandboxError::Other {
            message: error.to_string(),
            source: Some(Box::new(error)),
        },
    }
}

fn step(request: &RunRequest) -> Step {
    Step {
        lowers: request.lowers.clone(),
        upper: request.upper.clone(),
        work: request.work.clone(),
        arguments: request.arguments.clone(),
        environment: request.environment.clone(),
        directory: request.directory.clone(),
        user: request.user.clone(),
        hostname: match request.hostname.as_str() {
            "" => HOSTNAME.to_owned(),
            name => name.to_owned(),
        },
        host: host(request),
        mounts: request.mounts.iter().map(mount).collect(),
        is_bare: false,
    }
}

fn mount(mount: &SandboxMount) -> StepMount {
    match mount.clone() {
        SandboxMount::Bind {
            source,
            target,
            read_only,
        } => StepMount::Bind {
            source,
            target,
            read_only,
        },
        SandboxMount::Overlay {
            lowers,
            upper,
            subpath,
            target,
        } => StepMount::Overlay {
            lowers,
            upper,
            subpath,
            target,
        },
        SandboxMount::Tmpfs { target, size_bytes } => StepMount::Tmpfs { target, size_bytes },
        SandboxMount::Secret {
            content,
            target,
            mode,
            uid,
            gid,
        } => StepMount::Secret {
            content: content.expose().to_vec(),
            target,
            mode,
            uid,
            gid,
        },
    }
}

fn host(request: &RunRequest) -> HostConfig {
    let signed = |value: Option<u64>| i64::try_from(value.unwrap_or(0)).unwrap_or(i64::MAX);
    let limits = &request.resources;
    let network = match request.network {
        Network::Default => "default",
        Network::None => "none",
        Network::Host => "host",
    };
    let ulimits = request.ulimits.iter().map(|limit| Ulimit {
        name: limit.name.clone(),
        soft: limit.soft,
        hard: limit.hard,
    });
    let hosts = request.extra_hosts.iter();
    HostConfig {
        network_mode: network.to_owned(),
        privileged: request.privileged,
        extra_hosts: Some(
            hosts
                .map(|(name, address)| format!("{name}:{address}"))
                .collect(),
        ),
        shm_size: signed(request.shm_bytes),
        ulimits: Some(ulimits.collect()),
        memory: signed(limits.memory_bytes),
        memory_swap: limits.memory_swap_bytes.unwrap_or(0),
        cpu_shares: signed(limits.cpu_shares),
        cpu_period: signed(limits.cpu_period),
        cpu_quota: limits.cpu_quota.unwrap_or(0),
        cpuset_cpus: limits.cpuset_cpus.clone(),
        cpuset_mems: limits.cpuset_mems.clone(),
        cgroup_parent: limits.cgroup_parent.clone(),
        ..HostConfig::default()
    }
}
