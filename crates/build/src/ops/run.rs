//! `RUN`: what the sandbox is asked for.

use super::collect::{self, Reading, Rules};
use super::draft::{Draft, IMPLICIT_MODE, Missing};
use super::layer::{Chain, Held};
use super::lower::LayersTree;
use super::owner::Owner;
use super::path::{TreePath, clean};
use super::snapshot::{Snapshots, Taking};
use super::write;
use crate::cache::{Cache, CacheMount, Wanted, claim};
use crate::cancel::CancelToken;
use crate::error::StepError;
use crate::graph::{self, MountKind, Run, Sharing, Tree};
use crate::sandbox::{RunRequest, SandboxMount, SecretBytes};
use crate::source::{AgentSocket, FileKind, SocketOwner, Sources, Time};
use lapstrake_dockerfile::ignore::Matcher;
use lapstrake_snapshot::View;
use lapstrake_store::{LayerTree, Lease, Store};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a request is made from.
pub(crate) struct Making<'a> {
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a Cache,
    pub(crate) sources: &'a Arc<dyn Sources>,
    pub(crate) lease: &'a Lease,
    pub(crate) cancel: &'a CancelToken,
    /// The time of new directories.
    pub(crate) now: Time,
    /// The time of use of cache mounts.
    pub(crate) clock: Time,
    /// What another node made.
    pub(crate) chain: &'a dyn Fn(&Tree) -> Result<Chain, StepError>,
    /// Copies of contexts.
    pub(crate) snapshots: &'a Snapshots,
    /// A context's files.
    pub(crate) reading: &'a dyn Fn(&Tree) -> Result<Reading, StepError>,
}

/// What has to live as long as the program runs.
#[derive(Default)]
pub(crate) struct Keep {
    held: Vec<Held>,
    trees: Vec<LayerTree>,
    /// By their ids.
    caches: BTreeMap<String, CacheMount>,
    sockets: Vec<Box<dyn AgentSocket>>,
}

impl Making<'_> {
    /// The request for a step whose root is made of these trees, the top one first.
    pub(crate) fn request(
        &self,
        run: &Run,
        chain: &Chain,
        layer: &LayerTree,
    ) -> Result<(RunRequest, Keep), StepError> {
        let mut keep = Keep::default();
        let (mut lowers, held) = chain.trees(self.store)?;
        keep.held.extend(held);
        let mut mounts = Vec::new();
        self.volumes(&run.volumes, &lowers, layer, (&mut mounts, &mut keep))?;
        lowers.push(lapstrake_snapshot::base_tree(self.store.root())?);
        let mut environment: Vec<String> = run
            .environment
            .iter()
            .map(|variable| format!("{}={}", variable.name, variable.value))
            .collect();
        self.claim_caches(run, &mut keep)?;
        for mount in &run.mounts {
            self.mount(mount, &mut mounts, &mut environment, &mut keep)?;
        }
        mounts.extend(run.files.iter().map(|file| SandboxMount::Secret {
            content: SecretBytes::new(file.content.clone().into_bytes()),
            target: file.path.clone(),
            mode: file.mode,
            uid: 0,
            gid: 0,
        }));
        let request = RunRequest {
            lowers,
            upper: layer.path(),
            work: layer.work()?,
            arguments: run.arguments.clone(),
            environment,
            directory: run.directory.clone(),
            user: run.user.clone(),
            mounts,
            network: run.network,
            privileged: run.security == graph::Security::Insecure,
            hostname: run.hostname.clone(),
            extra_hosts: run.extra_hosts.clone(),
            shm_bytes: run.shm_size,
            ulimits: run.ulimits.clone(),
            resources: run.resources.clone(),
            cancel: self.cancel.clone(),
        };
        Ok((request, keep))
    }

    fn mount(
        &self,
        mount: &graph::Mount,
        mounts: &mut Vec<SandboxMount>,
        environment: &mut Vec<String>,
        keep: &mut Keep,
    ) -> Result<(), StepError> {
        let target = mount.target.clone();
        match &mount.kind {
            MountKind::Bind(bind) => mounts.push(self.bind(target, bind, keep)?),
            MountKind::Cache(cache) => mounts.push(Self::cache(target, cache, keep)?),
            MountKind::Tmpfs(size_bytes) => mounts.push(SandboxMount::Tmpfs {
                target,
                size_bytes: *size_bytes,
            }),
            MountKind::Secret(secret) => self.secret(target, secret, mounts, environment)?,
            MountKind::Ssh(ssh) => mounts.extend(self.ssh(target, ssh, keep)?),
        }
        Ok(())
    }

    fn ssh(
        &self,
        target: String,
        ssh: &graph::Ssh,
        keep: &mut Keep,
    ) -> Result<Option<SandboxMount>, StepError> {
        let owner = SocketOwner {
            uid: ssh.uid,
            gid: ssh.gid,
            mode: ssh.mode,
        };
        let Some(socket) = self.sources.ssh(&ssh.id, owner)? else {
            return if ssh.required {
                Err(StepError::Invalid(format!(
                    "no SSH key \"{}\" forwarded from the client",
                    ssh.id
                )))
            } else {
                Ok(None)
            };
        };
        let source = socket.path().to_owned();
        keep.sockets.push(socket);
        Ok(Some(SandboxMount::Bind {
            source,
            target,
            read_only: false,
        }))
    }

    /// Declared volumes: what is there is copied, and what the program makes of it is thrown away. A directory that is
    /// missing stays in the layer, as the classic builder's runtime leaves it.
    fn volumes(
        &self,
        volumes: &[String],
        lowers: &[PathBuf],
        layer: &LayerTree,
        (mounts, keep): (&mut Vec<SandboxMount>, &mut Keep),
    ) -> Result<(), StepError> {
        if volumes.is_empty() {
            return Ok(());
        }
        let view = View::of(lowers)?;
        let mut draft = Draft::new((!lowers.is_empty()).then_some(&view), self.now);
        for volume in volumes {
            let path = draft.resolve(volume.as_bytes(), true)?;
            if path.is_root() {
                return Err(StepError::Invalid(format!(
                    "invalid volume specification: '{volume}'"
                )));
            }
            if !matches!(draft.kind(&path)?, None | Some(FileKind::Directory)) {
                return Err(StepError::Invalid(format!(
                    "cannot mount volume over existing file, file exists {path}"
                )));
            }
            let missing = Missing {
                owner: Some(Owner::default()),
                mode: IMPLICIT_MODE,
            };
            draft.make_directories(&path, missing)?;
            let copy = self.store.new_layer_tree()?;
            if !lowers.is_empty() {
                view.copy_dir(volume, open_directory(&copy.path())?.as_fd())?;
            }
            mounts.push(SandboxMount::Bind {
                source: copy.path(),
                target: volume.clone(),
                read_only: false,
            });
            keep.trees.push(copy);
        }
        let place = write::Place {
            store: self.store,
            tree: layer,
            lease: self.lease,
            latest: None,
            cancel: self.cancel,
        };
        write::write_tree(&draft, place)?;
        Ok(())
    }

    fn secret(
        &self,
        target: String,
        secret: &graph::Secret,
        mounts: &mut Vec<SandboxMount>,
        environment: &mut Vec<String>,
    ) -> Result<(), StepError> {
        let Some(content) = self.sources.secret(&secret.id)? else {
            return if secret.required {
                Err(StepError::Invalid(format!(
                    "secret {}: not found",
                    secret.id
                )))
            } else {
                Ok(())
            };
        };
        if let Some(variable) = &secret.variable {
            let value = String::from_utf8_lossy(content.expose());
            environment.push(format!("{variable}={value}"));
        }
        if !target.is_empty() {
            mounts.push(SandboxMount::Secret {
                content,
                target,
                mode: secret.mode,
                uid: secret.uid,
                gid: secret.gid,
            });
        }
        Ok(())
    }

    fn bind(
        &self,
        target: String,
        bind: &graph::Bind,
        keep: &mut Keep,
    ) -> Result<SandboxMount, StepError> {
        let (lowers, subpath) = self.trees_of(&bind.from, &bind.source, keep)?;
        let upper = if bind.writable {
            let tree = self.store.new_layer_tree()?;
            let paths = (tree.path(), tree.work()?);
            keep.trees.push(tree);
            Some(paths)
        } else {
            None
        };
        let subpath = real_path(&lowers, &subpath)?;
        // One tree needs no overlay unless it is to be written on, and could not be one.
        if upper.is_none()
            && let [single] = lowers.as_slice()
        {
            return Ok(SandboxMount::Bind {
                source: single.join(&subpath),
                target,
                read_only: true,
            });
        }
        Ok(SandboxMount::Overlay {
            lowers,
            upper,
            subpath,
            target,
        })
    }

    /// The trees behind a source of a mount, the top one first, and the part of them that is meant.
    fn trees_of(
        &self,
        from: &Tree,
        source: &str,
        keep: &mut Keep,
    ) -> Result<(Vec<PathBuf>, String), StepError> {
        let subpath =
            String::from_utf8_lossy(&TreePath::parse(source.as_bytes()).to_bytes()).into_owned();
        match from {
            Tree::Node(_) => {
                let (mut lowers, held) = (self.chain)(from)?.trees(self.store)?;
                keep.held.extend(held);
                if lowers.is_empty() {
                    lowers.push(self.empty(keep)?);
                }
                Ok((lowers, subpath))
            }
            Tree::Scratch => Ok((vec![self.empty(keep)?], subpath)),
            Tree::Context | Tree::Named(_) => {
                let taking = Taking {
                    store: self.store,
                    lease: self.lease,
                    cancel: self.cancel,
                    now: self.now,
                    reading: self.reading,
                };
                let copy = self.snapshots.take(from, source, &taking)?;
                Ok((vec![copy], subpath))
            }
        }
    }

    fn empty(&self, keep: &mut Keep) -> Result<PathBuf, StepError> {
        let tree = self.store.new_layer_tree()?;
        let path = tree.path();
        keep.trees.push(tree);
        Ok(path)
    }

    /// Takes the directories of all cache mounts of a step. Mounts of one id share one; locks are taken in the order of the
    /// ids, so that steps do not wait for each other in a circle.
    fn claim_caches(&self, run: &Run, keep: &mut Keep) -> Result<(), StepError> {
        let mut ids: BTreeMap<&str, (Sharing, &graph::Cache)> = BTreeMap::new();
        for mount in &run.mounts {
            if let MountKind::Cache(cache) = &mount.kind {
                let (sharing, _) = ids.entry(&cache.id).or_insert((cache.sharing, cache));
                *sharing = stricter(*sharing, cache.sharing);
            }
        }
        for (id, (sharing, first)) in ids {
            let wanted = Wanted {
                id,
                sharing,
                now: self.clock,
                cancel: self.cancel,
            };
            let mut fill = |data: &Path| self.fill(data, first);
            let Some(mount) = claim(self.cache, &wanted, &mut fill)? else {
                return Err(StepError::Cancelled);
            };
            keep.caches.insert(id.to_owned(), mount);
        }
        Ok(())
    }

    fn cache(target: String, cache: &graph::Cache, keep: &Keep) -> Result<SandboxMount, StepError> {
        let claimed = keep
            .caches
            .get(&cache.id)
            .ok_or_else(|| StepError::invalid("a cache mount that was not claimed"))?;
        Ok(SandboxMount::Bind {
            source: claimed.path.clone(),
            target,
            read_only: cache.read_only,
        })
    }

    /// The first content of a cache mount, its owner and mode.
    fn fill(&self, data: &Path, cache: &graph::Cache) -> Result<(), StepError> {
        let failed = || StepError::io(format!("making {}", data.display()));
        if cache.from != Tree::Scratch {
            let mut keep = Keep::default();
            let (trees, subpath) = self.trees_of(&cache.from, &cache.source, &mut keep)?;
            let dir = open_directory(data)?;
            let view = View::of(&trees)?;
            if !view.copy_dir(&subpath, dir.as_fd())? {
                return Err(StepError::Invalid(format!(
                    "\"/{}\": not found",
                    clean(cache.source.as_bytes()).display()
                )));
            }
            return Ok(());
        }
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = (Uid::from_raw(cache.uid), Gid::from_raw(cache.gid));
            rustix::fs::chown(data, Some(uid), Some(gid)).map_err(failed())?;
        }
        rustix::fs::chmod(data, Mode::from_raw_mode(cache.mode)).map_err(failed())
    }
}

/// What two mounts of one directory both are content with.
fn stricter(one: Sharing, other: Sharing) -> Sharing {
    match (one, other) {
        (Sharing::Locked, _) | (_, Sharing::Locked) => Sharing::Locked,
        (Sharing::Private, _) | (_, Sharing::Private) => Sharing::Private,
        (Sharing::Shared, Sharing::Shared) => Sharing::Shared,
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, StepError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(StepError::io(format!("open {}", path.display())))
}

/// The path of a part of merged trees, links resolved within them.
fn real_path(trees: &[PathBuf], subpath: &str) -> Result<String, StepError> {
    let view = View::of(trees)?;
    let tree = LayersTree::new("source".to_owned(), &view);
    match collect::resolve(&tree, Path::new(subpath), true)? {
        Some((path, _)) => Ok(path.to_string_lossy().into_owned()),
        None => Err(StepError::Invalid(format!(
            "failed to compute cache key: failed to calculate checksum: \"/{subpath}\": not found"
        ))),
    }
}

/// Rules that take a path as it is.
pub(crate) fn plain_rules() -> Result<Rules, StepError> {
    Ok(Rules {
        excludes: matcher(&[])?,
        parents: false,
        follow_links: true,
        classic: false,
        instruction: "COPY",
        wildcards: false,
    })
}

/// The matcher of `--exclude`.
pub(crate) fn matcher(patterns: &[String]) -> Result<Matcher, StepError> {
    Matcher::new(patterns).map_err(|error| StepError::Invalid(error.to_string()))
}

/// How a mount is told in a key; `None` when it has no part in one: what is in caches, secrets and
/// sockets does not change what a step is.
pub(crate) fn mount_words(mount: &graph::Mount) -> String {
    match &mount.kind {
        MountKind::Bind(bind) => format!("bind {} {}", bind.source, bind.writable),
        MountKind::Cache(cache) => format!(
            "cache {} {} {}",
            cache.id,
            match cache.sharing {
                Sharing::Shared => "shared",
                Sharing::Private => "private",
                Sharing::Locked => "locked",
            },
            cache.read_only
        ),
        MountKind::Tmpfs(size) => format!("tmpfs {size:?}"),
        MountKind::Secret(secret) => format!(
            "secret {} {:?} {} {} {:o}",
            secret.id, secret.variable, secret.uid, secret.gid, secret.mode
        ),
        MountKind::Ssh(ssh) => format!("ssh {} {} {} {:o}", ssh.id, ssh.uid, ssh.gid, ssh.mode),
    }
}
