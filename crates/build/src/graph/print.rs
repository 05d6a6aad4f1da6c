//! The printed form of a graph.

use std::fmt;

use crate::sandbox::Network;

use super::{Copy, CopySource, Graph, MountKind, Node, NodeId, Operation, Run, Tree};

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            writeln!(f, "{node}")?;
        }
        for target in &self.targets {
            writeln!(f, "{} = {}", target.platform, target.node)?;
        }
        Ok(())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.step.name)?;
        if let Some(parent) = self.parent {
            write!(f, "\n    on {parent}")?;
        }
        if self.step.ignore_cache {
            write!(f, "\n    ignore cache")?;
        }
        match &self.operation {
            Operation::Base(image) => write!(f, "\n    image {} {}", image.name, image.platform),
            Operation::Scratch => write!(f, "\n    scratch"),
            Operation::Context(name) => write!(f, "\n    context {name}"),
            Operation::Run(run) => print_run(f, run),
            Operation::Copy(copy) => print_copy(f, copy),
            Operation::MakeDirectory(made) => {
                write!(f, "\n    directory {}", made.path)?;
                made.owner
                    .as_ref()
                    .map_or(Ok(()), |owner| write!(f, " of {owner}"))
            }
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context => f.write_str("context"),
            Self::Named(name) => write!(f, "context {name}"),
            Self::Node(id) => write!(f, "{id}"),
            Self::Scratch => f.write_str("scratch"),
        }
    }
}

fn print_run(f: &mut fmt::Formatter<'_>, run: &Run) -> fmt::Result {
    write!(f, "\n    run {:?} in {}", run.arguments, run.directory)?;
    if !run.user.is_empty() {
        write!(f, " as {}", run.user)?;
    }
    for variable in &run.environment {
        write!(
            f,
            "\n    {}={} ({:?})",
            variable.name, variable.value, variable.origin
        )?;
    }
    for mount in &run.mounts {
        write!(f, "\n    mount {} ", mount.target)?;
        match &mount.kind {
            MountKind::Bind(bind) => {
                let mode = if bind.writable { "rw" } else { "ro" };
                write!(f, "bind {} {} {mode}", bind.from, bind.source)?;
            }
            MountKind::Cache(cache) => write!(
                f,
                "cache {} {:?} {} {}",
                cache.id, cache.sharing, cache.from, cache.source
            )?,
            MountKind::Tmpfs(size) => write!(f, "tmpfs {size:?}")?,
            MountKind::Secret(secret) => {
                write!(f, "secret {} {:?}", secret.id, secret.variable)?;
            }
            MountKind::Ssh(ssh) => write!(f, "ssh {}", ssh.id)?,
        }
    }
    for file in &run.files {
        write!(f, "\n    file {} {:?}", file.path, file.content)?;
    }
    if run.network != Network::Default {
        write!(f, "\n    network {:?}", run.network)?;
    }
    if run.security != super::Security::Sandbox {
        write!(f, "\n    security {:?}", run.security)?;
    }
    Ok(())
}

fn print_copy(f: &mut fmt::Formatter<'_>, copy: &Copy) -> fmt::Result {
    for source in &copy.sources {
        match source {
            CopySource::Path(path) => write!(f, "\n    from {} {path}", copy.from)?,
            CopySource::Inline(file) => {
                write!(f, "\n    file {} {:?}", file.path, file.content)?;
            }
            CopySource::Http(http) => {
                write!(f, "\n    fetch {} as {}", http.url, http.file_name)?;
                if let Some(checksum) = &http.checksum {
                    write!(f, " {checksum}")?;
                }
            }
            CopySource::Git(git) => {
                let kept = if git.keep_git_dir { " with .git" } else { "" };
                write!(f, "\n    clone {}{kept}", git.url)?;
            }
        }
    }
    write!(f, "\n    to {}", copy.destination)?;
    for (name, value) in [("chown", &copy.chown), ("chmod", &copy.chmod)] {
        if let Some(value) = value {
            write!(f, " {name}={value}")?;
        }
    }
    for (name, set) in [("link", copy.link), ("parents", copy.parents)] {
        if set {
            write!(f, " {name}")?;
        }
    }
    for pattern in &copy.excludes {
        write!(f, " exclude={pattern}")?;
    }
    if let Some(unpack) = copy.unpack {
        write!(f, " unpack={unpack}")?;
    }
    Ok(())
}
