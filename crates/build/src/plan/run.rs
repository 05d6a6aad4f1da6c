//! RUN: command line, environment, mounts.

use std::collections::BTreeSet;

use lapstrake_dockerfile::Heredoc;
use lapstrake_dockerfile::instruction::{
    BindMount, CacheMount, Expander, MountText, Ownership, Run as RunInstruction, RunMount,
    RunNetwork, RunSecurity, SecretMount, Sharing as CacheSharing, SshMount,
};
use lapstrake_dockerfile::words::Lookup;

use super::assemble::{Assembly, Current, NewNode};
use super::dispatch::join;
use super::history::Entry;
use super::scope::{Environment, Recorder, proxies};
use super::stages::Planned;
use super::{Dialect, PlanErrorKind};
use crate::graph::{
    Bind, Cache, InlineFile, Mount, MountKind, NodeId, Operation, Origin, Run, Secret, Security,
    Sharing, Ssh, Tree, Variable,
};
use crate::sandbox::Network;

/// Where scripts lie that name their own interpreter.
const SCRIPTS: &str = "/dev/pipes/";
const SCRIPT_MODE: u32 = 0o755;
const CACHE_MODE: u32 = 0o755;
const SECRET_MODE: u32 = 0o400;
const SOCKET_MODE: u32 = 0o600;
const SECRET_DIRECTORY: &str = "/run/secrets/";
const SHARED_MEMORY: &str = "/dev/shm";
const SOCKET: &str = "/run/buildkit/ssh_agent.";
const SOCKET_VARIABLE: &str = "SSH_AUTH_SOCK";
/// What people see in the place of a secret's value.
const MASK: &str = "****";

/// A mount and the nodes that it reads.
type Mounted = (Mount, Vec<NodeId>);

impl<'a> Assembly<'a, '_> {
    pub(super) fn run_step(
        &mut self,
        current: &mut Current<'_, 'a>,
        planned: &Planned<'a>,
        run: &RunInstruction,
        trigger: bool,
    ) -> Result<NodeId, PlanErrorKind> {
        let command = planned.command.as_ref();
        let (arguments, files) = program(current, run);
        let (mut mounts, inputs) = self.mounts(current, planned, run)?;
        let environment = self.environment(current, &mounts);
        let entry = Entry::Run(front(current, &environment), arguments.clone());
        let display = arguments.join(" ");
        let options = self.context.input.options;
        let shm_size = options.shm_size.filter(|size| *size > 0);
        let is_classic = current.state.dialect == Dialect::Classic;
        if !is_classic && let Some(size) = shm_size {
            mounts.push(shared_memory(size));
        }
        let declared = current.state.run.volumes.iter().flatten();
        let declared = declared.filter(|_| is_classic);
        let volumes: BTreeSet<String> = declared.map(|path| join("/", path)).collect();
        let hostname = options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME");
        let operation = Operation::Run(Box::new(Run {
            arguments,
            environment,
            directory: join(&current.state.run.working_dir, ""),
            user: current.state.run.user.clone(),
            volumes: volumes.into_iter().collect(),
            files,
            network: match run.network {
                RunNetwork::Default => options.network,
                RunNetwork::None => Network::None,
                RunNetwork::Host => Network::Host,
            },
            security: match run.security {
                RunSecurity::Sandbox => Security::Sandbox,
                RunSecurity::Insecure => Security::Insecure,
            },
            hostname: hostname.unwrap_or(&options.hostname).clone(),
            extra_hosts: options.extra_hosts.clone(),
            shm_size: shm_size.filter(|_| is_classic),
            ulimits: options.ulimits.clone(),
            resources: options.resources.clone(),
            display,
            mounts,
        }));
        let text = run.heredocs.first().map(|heredoc| {
            let is_alone = heredoc_alone(run).is_some();
            let summary = is_alone.then(|| format!(" ({})", summary(&heredoc.content)));
            format!("{}{}", command.text, summary.unwrap_or_default())
        });
        let new = NewNode {
            operation,
            inputs,
            text: text.or_else(|| masked(run, &command.text)),
            arguments: current.state.environment.arguments(),
        };
        let node = self.push_node(current, command, trigger, new)?;
        current.state.commit(&entry);
        Ok(node)
    }

    fn mounts(
        &mut self,
        current: &mut Current<'_, 'a>,
        planned: &Planned<'a>,
        run: &RunInstruction,
    ) -> Result<(Vec<Mount>, Vec<NodeId>), PlanErrorKind> {
        let mut mounts = Vec::with_capacity(run.mounts.len());
        let mut inputs = Vec::new();
        let mut sockets = 0;
        for text in &run.mounts {
            let (mount, nodes) =
                self.mount(current, planned, text, &mut sockets)
                    .map_err(|kind| PlanErrorKind::InMount {
                        flag: format!("--mount={}", text.as_str()),
                        kind: Box::new(kind),
                    })?;
            mounts.push(mount);
            inputs.extend(nodes);
        }
        Ok((mounts, inputs))
    }

    fn mount(
        &mut self,
        current: &mut Current<'_, 'a>,
        planned: &Planned<'a>,
        text: &MountText,
        sockets: &mut usize,
    ) -> Result<Mounted, PlanErrorKind> {
        let mut recorder = Recorder::new(&current.state.environment, self.escape());
        let resolved = text.resolve(&mut |text| recorder.word(text));
        let undefined = std::mem::take(&mut recorder.undefined);
        let environment = &current.state.environment;
        let span = planned.command.span;
        self.shared
            .lints
            .undefined_variables(&undefined, environment, span);
        let resolved = resolved.map_err(|error| PlanErrorKind::Mount(error.to_string()))?;
        Ok(match resolved {
            RunMount::Bind(bind) => self.bind(current, planned, &bind)?,
            RunMount::Cache(cache) => self.cache(current, planned, cache)?,
            RunMount::Tmpfs(tmpfs) => {
                let size = u64::try_from(tmpfs.size).ok().filter(|size| *size > 0);
                let target = target(current, tmpfs.target.as_deref())?;
                let kind = MountKind::Tmpfs(size);
                (Mount { target, kind }, Vec::new())
            }
            RunMount::Secret(secret) => (secret_mount(current, secret)?, Vec::new()),
            RunMount::Ssh(ssh) => {
                *sockets += 1;
                (ssh_mount(current, ssh, *sockets - 1)?, Vec::new())
            }
        })
    }

    fn bind(
        &mut self,
        current: &Current<'_, 'a>,
        planned: &Planned<'a>,
        bind: &BindMount,
    ) -> Result<Mounted, PlanErrorKind> {
        let (from, nodes) = match bind.from.as_deref() {
            None => (Tree::Context, Vec::new()),
            Some(from) => self.mount_source(current, planned, (from, bind.target.as_deref()))?,
        };
        let kind = MountKind::Bind(Bind {
            from,
            source: join("/", bind.source.as_deref().unwrap_or_default()),
            writable: !bind.read_only,
        });
        let target = target(current, bind.target.as_deref())?;
        Ok((Mount { target, kind }, nodes))
    }

    fn cache(
        &mut self,
        current: &Current<'_, 'a>,
        planned: &Planned<'a>,
        cache: CacheMount,
    ) -> Result<Mounted, PlanErrorKind> {
        let (from, nodes) = match cache.from.as_deref() {
            None => (Tree::Scratch, Vec::new()),
            Some(from) => self.mount_source(current, planned, (from, cache.target.as_deref()))?,
        };
        let target_text = cache.target.as_deref().unwrap_or_default();
        let id = cache.id.filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| clean(target_text));
        let arguments = &self.context.input.options.build_args;
        let id = match arguments.get("BUILDKIT_CACHE_MOUNT_NS") {
            Some(space) if !space.is_empty() => format!("{space}/{id}"),
            _ => id,
        };
        let (uid, gid, mode) = owner(cache.ownership, CACHE_MODE);
        let kind = MountKind::Cache(Cache {
            id,
            sharing: match cache.sharing {
                CacheSharing::Shared => Sharing::Shared,
                CacheSharing::Private => Sharing::Private,
                CacheSharing::Locked => Sharing::Locked,
            },
            from,
            source: join("/", cache.source.as_deref().unwrap_or_default()),
            read_only: cache.read_only,
            uid,
            gid,
            mode,
        });
        let target = target(current, cache.target.as_deref())?;
        Ok((Mount { target, kind }, nodes))
    }

    fn mount_source(
        &mut self,
        current: &Current<'_, 'a>,
        planned: &Planned<'a>,
        (from, target): (&str, Option<&str>),
    ) -> Result<(Tree, Vec<NodeId>), PlanErrorKind> {
        self.tree_of(current, planned.source(from)?)
            .ok_or_else(|| PlanErrorKind::MountFromLater {
                from: from.to_owned(),
                target: target.unwrap_or_default().to_owned(),
            })
    }

    /// What the program sees. Classic has the configuration's variables first, then arguments by name.
    fn environment(&self, current: &Current<'_, 'a>, mounts: &[Mount]) -> Vec<Variable> {
        let options = self.context.input.options;
        let classic = current.state.dialect == Dialect::Classic;
        let mut environment = if classic {
            let mut environment = current.state.config_environment.clone();
            for (name, value) in current.state.environment.arguments() {
                environment.set(&name, &value, Origin::Argument);
            }
            environment
        } else {
            current.state.environment.clone()
        };
        for (name, value) in proxies(options, !classic) {
            if !environment.contains(&name) {
                environment.set(&name, &value, Origin::Proxy);
            }
        }
        let socket = mounts.iter().find_map(|mount| match &mount.kind {
            MountKind::Ssh(_) => Some(mount.target.as_str()),
            _ => None,
        });
        if let Some(socket) = socket.filter(|_| !environment.contains(SOCKET_VARIABLE)) {
            environment.set(SOCKET_VARIABLE, socket, Origin::Image);
        }
        environment.variables()
    }
}

/// BuildKit makes an ordinary mount of `--shm-size`.
fn shared_memory(size: u64) -> Mount {
    Mount {
        target: SHARED_MEMORY.to_owned(),
        kind: MountKind::Tmpfs(Some(size)),
    }
}

/// What stands before the command in the history: `|2 A=1 B=2`.
fn front(current: &Current<'_, '_>, environment: &[Variable]) -> Vec<String> {
    let pairs: Vec<String> = match current.state.dialect {
        Dialect::Classic => {
            let is_given = |variable: &&Variable| variable.origin != Origin::Image;
            if !environment.iter().any(|variable| is_given(&variable)) {
                return Vec::new();
            }
            let arguments = current.state.environment.arguments().into_iter();
            arguments
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        }
        Dialect::BuildKit => {
            let environment = &current.state.environment;
            let arguments = current.state.arguments.variables().into_iter();
            arguments
                .map(|argument| {
                    let (name, value) = (argument.name, argument.value);
                    format!("{name}={}", environment.get(&name).unwrap_or(&value))
                })
                .collect()
        }
    };
    if pairs.is_empty() && current.state.dialect == Dialect::BuildKit {
        return Vec::new();
    }
    let mut words = vec![format!("|{}", pairs.len())];
    words.extend(pairs);
    words
}

/// The command line, and the script when a heredoc names its own interpreter.
fn program(current: &Current<'_, '_>, run: &RunInstruction) -> (Vec<String>, Vec<InlineFile>) {
    let mut line = run.line.clone();
    if !run.heredocs.is_empty() && line.shell {
        if let Some(heredoc) = heredoc_alone(run) {
            let content = content(heredoc);
            if content.starts_with("#!") {
                let path = format!("{SCRIPTS}{}", heredoc.name);
                let script = InlineFile {
                    path: path.clone(),
                    content,
                    mode: SCRIPT_MODE,
                };
                let arguments =
                    current.with_shell(&lapstrake_dockerfile::instruction::CommandLine {
                        arguments: vec![path],
                        shell: true,
                    });
                return (arguments, vec![script]);
            }
            line.arguments = vec![content];
        } else {
            // The shell reads the documents itself, so they come to it as they stood.
            let mut whole = line.arguments.join(" ");
            for heredoc in &run.heredocs {
                whole.push('\n');
                whole.push_str(&heredoc.content);
                whole.push_str(&heredoc.name);
            }
            line.arguments = vec![whole];
        }
    }
    (current.with_shell(&line), Vec::new())
}

/// The heredoc that is the whole command: `RUN <<EOF`.
fn heredoc_alone(run: &RunInstruction) -> Option<&Heredoc> {
    let ([heredoc], [word]) = (run.heredocs.as_slice(), run.line.arguments.as_slice()) else {
        return None;
    };
    let word = word.trim().trim_start_matches(|c: char| c.is_ascii_digit());
    let name = word.strip_prefix("<<")?;
    let name = name.strip_prefix('-').unwrap_or(name);
    let bare: String = name.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
    (bare == heredoc.name && !name.contains([' ', '\t', ';', '|', '&'])).then_some(heredoc)
}

fn content(heredoc: &Heredoc) -> String {
    if heredoc.chomp {
        heredoc.chomped()
    } else {
        heredoc.content.clone()
    }
}

/// The first line of a document.
fn summary(document: &str) -> String {
    let mut lines = document.trim().lines();
    let first = lines.next().unwrap_or_default();
    let more = if lines.next().is_some() { "..." } else { "" };
    format!("{first}{more}")
}

/// Secrets that are variables must not look as if their values stood in the Dockerfile.
fn masked(run: &RunInstruction, text: &str) -> Option<String> {
    let mut masks = Environment::default();
    for mount in &run.mounts {
        let resolved = mount.resolve(&mut |text| Ok(text.to_owned()));
        if let Ok(RunMount::Secret(secret)) = resolved
            && let Some(name) = secret.env.filter(|name| !name.is_empty())
        {
            masks.set(&name, MASK, Origin::Image);
        }
    }
    if masks.len() == 0 {
        return None;
    }
    let options = lapstrake_dockerfile::words::Options {
        raw_quotes: true,
        raw_escapes: true,
        keep_unset: true,
        ..lapstrake_dockerfile::words::Options::new('\\')
    };
    let expansion = lapstrake_dockerfile::words::expand_with(text, &masks, options);
    expansion.ok().map(|expansion| expansion.text)
}

/// Where a mount is: absolute, and not the root.
fn target(current: &Current<'_, '_>, path: Option<&str>) -> Result<String, PlanErrorKind> {
    let path = path.unwrap_or_default();
    let whole = join(&current.state.run.working_dir, path);
    if path.is_empty() || whole == "/" {
        let text = if path.is_empty() { "/" } else { &whole };
        return Err(PlanErrorKind::Mount(format!(
            "invalid mount target \"{text}\""
        )));
    }
    check_target(&whole)?;
    Ok(whole)
}

/// Refuses what would take the kernel's own file systems from the program. Below `/dev` and `/sys` mounts are fine;
/// below `/proc` no runtime makes any.
fn check_target(whole: &str) -> Result<(), PlanErrorKind> {
    let is_reserved = matches!(whole, "/" | "/proc" | "/sys" | "/dev");
    if is_reserved || whole.starts_with("/proc/") {
        return Err(PlanErrorKind::Mount(format!(
            "invalid mount target \"{whole}\": it belongs to the system"
        )));
    }
    Ok(())
}

/// A path as written, without `.`, `..` and double slashes: docker's default id of a cache.
fn clean(path: &str) -> String {
    let whole = join("/", path);
    if path.starts_with('/') {
        whole
    } else {
        whole.trim_start_matches('/').to_owned()
    }
}

fn owner(ownership: Ownership, mode: u32) -> (u32, u32, u32) {
    (
        ownership.uid.unwrap_or_default(),
        ownership.gid.unwrap_or_default(),
        ownership.mode.unwrap_or(mode),
    )
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

fn secret_mount(current: &Current<'_, '_>, secret: SecretMount) -> Result<Mount, PlanErrorKind> {
    let given = secret.target.as_deref().filter(|target| !target.is_empty());
    let variable = secret.env.filter(|name| !name.is_empty());
    let named = given.map(base_name).or(variable.as_deref());
    let id = secret.id.as_deref().filter(|id| !id.is_empty()).or(named);
    let Some(id) = id else {
        return Err(PlanErrorKind::Mount(
            "one of source, target required".to_owned(),
        ));
    };
    let target = match (given, &variable) {
        (Some(path), _) => target(current, Some(path))?,
        (None, Some(_)) => String::new(),
        (None, None) => format!("{SECRET_DIRECTORY}{}", base_name(id)),
    };
    let (uid, gid, mode) = owner(secret.ownership, SECRET_MODE);
    let kind = MountKind::Secret(Secret {
        id: id.to_owned(),
        required: secret.required,
        variable,
        uid,
        gid,
        mode,
    });
    Ok(Mount { target, kind })
}

fn ssh_mount(
    current: &Current<'_, '_>,
    ssh: SshMount,
    number: usize,
) -> Result<Mount, PlanErrorKind> {
    let given = ssh.target.filter(|target| !target.is_empty());
    let target = match given {
        Some(path) => target(current, Some(&path))?,
        None => format!("{SOCKET}{number}"),
    };
    let (uid, gid, mode) = owner(ssh.ownership, SOCKET_MODE);
    let id = ssh.id.filter(|id| !id.is_empty());
    let kind = MountKind::Ssh(Ssh {
        id: id.unwrap_or_else(|| "default".to_owned()),
        required: ssh.required,
        uid,
        gid,
        mode,
    });
    Ok(Mount { target, kind })
}
