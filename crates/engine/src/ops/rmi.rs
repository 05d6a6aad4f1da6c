//! `rmi`: untag, and delete what nothing names any more.
//!
//! The rules are docker's: a name is untagged; when it was the last one of its repository, the digests
//! of that repository go with it; when nothing names the image any more, it is deleted with every
//! parent that only it kept. Conflicts are hard (a running container, a child image) or soft (a
//! stopped container, several repositories): `force` overrides the soft ones.

use crate::error::{Error, ErrorKind};
use crate::{Engine, lookup};
use lapstrake_container::Container;
use lapstrake_spec::{Digest, Platform, Reference, chain_ids};
use lapstrake_store::{Images, Store};
use std::collections::{BTreeMap, BTreeSet};

/// What `rmi` asks for, one image at a time.
#[derive(Debug, Clone)]
pub struct RmiRequest {
    /// A name, a name with digest, an id or the beginning of one.
    pub image: String,
    /// Override soft conflicts.
    pub force: bool,
    /// Also delete untagged parents.
    pub prune: bool,
    /// Only say what would go.
    pub dry_run: bool,
    /// Only an image for one of these; empty is any.
    pub platforms: Vec<Platform>,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name was taken away.
    Untagged(Reference),
    /// An image or a layer chain was deleted.
    Deleted(Digest),
}

/// Removes one image reference, and the image when it was the last.
pub fn rmi(engine: &Engine, request: &RmiRequest) -> Result<Vec<Removed>, Error> {
    let containers = engine.containers()?.list()?;
    let removal = |images: &mut Images| {
        let id = lookup::image_id(images, &request.image)?;
        check_platform(images, &id, request)?;
        let mut work = Removal::new(images, &containers, request.force);
        work.remove(&id, request)?;
        Ok(work.records)
    };
    let removing = change(engine, request.dry_run, removal)?;
    if !request.dry_run && !removing.chains.is_empty() {
        engine.store()?.collect(&[])?;
    }
    removing.lines(engine.store()?, &containers)
}

/// An image here is for one platform: it goes when that is one of those given.
fn check_platform(images: &Images, id: &Digest, request: &RmiRequest) -> Result<(), Error> {
    let Some(wanted) = request.platforms.first() else {
        return Ok(());
    };
    let fits = |platform: &Platform| {
        request.platforms.iter().any(|wanted| {
            platform.os == wanted.os
                && platform.architecture == wanted.architecture
                && (wanted.variant.is_none() || platform.variant == wanted.variant)
        })
    };
    let own = images.by_id(id).and_then(|entry| entry.platform.as_ref());
    if own.is_some_and(fits) {
        return Ok(());
    }
    let text = format!(
        "image with reference {} was found but does not provide the specified platform ({wanted})",
        request.image
    );
    Err(Error::new(ErrorKind::NotFound, text))
}

/// Images that were taken out of the index, their blobs not yet collected.
pub(super) struct Removing {
    records: Vec<Removed>,
    /// The layer chains of the images that were deleted.
    chains: BTreeMap<Digest, Vec<Digest>>,
    /// The index without them, when it is only thought so.
    pub(super) thought: Option<Images>,
}

/// Takes images out of the index, or only out of a copy of it.
pub(super) fn change(
    engine: &Engine,
    dry_run: bool,
    removal: impl FnOnce(&mut Images) -> Result<Vec<Removed>, Error>,
) -> Result<Removing, Error> {
    let store = engine.store()?;
    let with_chains = |images: &mut Images| {
        let records = removal(images)?;
        // Before anybody can collect the configurations.
        let chains = chains_of(store, &records);
        Ok::<_, Error>((records, chains))
    };
    if dry_run {
        let mut images = store.images()?;
        let (records, chains) = with_chains(&mut images)?;
        return Ok(Removing {
            records,
            chains,
            thought: Some(images),
        });
    }
    let (records, chains) = store.update(with_chains)?;
    Ok(Removing {
        records,
        chains,
        thought: None,
    })
}

impl Removing {
    /// Names the layer chains that go too, each below the image it belonged to.
    pub(super) fn lines(
        self,
        store: &Store,
        containers: &[Container],
    ) -> Result<Vec<Removed>, Error> {
        if self.chains.is_empty() {
            return Ok(self.records);
        }
        let kept = kept_chains(store, self.thought, containers)?;
        let mut named = BTreeSet::new();
        let mut lines = Vec::new();
        for record in self.records {
            let own = match &record {
                Removed::Deleted(id) => self.chains.get(id).map(Vec::as_slice).unwrap_or_default(),
                Removed::Untagged(_) => &[],
            };
            lines.push(record);
            for chain in own.iter().rev() {
                if !kept.contains(chain) && named.insert(chain.clone()) {
                    lines.push(Removed::Deleted(chain.clone()));
                }
            }
        }
        Ok(lines)
    }
}

/// The layer chains of the images that were deleted.
fn chains_of(store: &Store, records: &[Removed]) -> BTreeMap<Digest, Vec<Digest>> {
    let deleted = records.iter().filter_map(|record| match record {
        Removed::Deleted(id) => Some(id),
        Removed::Untagged(_) => None,
    });
    deleted
        .filter_map(|id| {
            let (config, _raw) = store.image_config(id).ok()?;
            Some((id.clone(), chain_ids(&config.rootfs.diff_ids)))
        })
        .collect()
}

/// The layer chains that images and containers still use.
fn kept_chains(
    store: &Store,
    images: Option<Images>,
    containers: &[Container],
) -> Result<BTreeSet<Digest>, Error> {
    let chains = match images {
        Some(images) => store.layer_chains_of(&images)?,
        None => store.layer_chains()?,
    };
    let mut kept = BTreeSet::new();
    for diff_ids in chains {
        kept.extend(chain_ids(&diff_ids));
    }
    for container in containers {
        kept.extend(chain_ids(&container.record.layers));
    }
    Ok(kept)
}

/// One removal at work on the index.
pub(super) struct Removal<'a> {
    images: &'a mut Images,
    containers: &'a [Container],
    force: bool,
    pub(super) records: Vec<Removed>,
}

/// A reason not to delete an image.
struct Conflict {
    /// Whether `force` cannot override it.
    hard: bool,
    /// Whether a container is the reason.
    used: bool,
    message: String,
}

impl Conflict {
    fn error(&self, id: &Digest) -> Error {
        let force = if self.hard {
            "cannot be forced"
        } else {
            "must be forced"
        };
        Error::new(
            ErrorKind::Conflict,
            format!(
                "conflict: unable to delete {} ({force}) - {}",
                id.short(),
                self.message
            ),
        )
    }
}

impl<'a> Removal<'a> {
    pub(super) fn new(images: &'a mut Images, containers: &'a [Container], force: bool) -> Self {
        Self {
            images,
            containers,
            force,
            records: Vec::new(),
        }
    }

    pub(super) fn remove(&mut self, id: &Digest, request: &RmiRequest) -> Result<(), Error> {
        let references = self.references(id);
        let by_name = !lookup::is_id(id, &request.image);
        if by_name {
            let reference = self.named(id, &request.image)?;
            self.refuse_name_in_use(id, &references, &request.image)?;
            if self.untag(id, &reference) {
                return Ok(());
            }
        } else if is_single(&references) {
            if let Some(conflict) = self.conflict(id, self.force, false) {
                return Err(conflict.error(id));
            }
            self.untag_all(id);
        }
        self.delete(id.clone(), request.prune, by_name)
    }

    /// Every name and digest of an image.
    pub(super) fn references(&self, id: &Digest) -> Vec<Reference> {
        let mut tags = self.images.tags_of(id);
        tags.extend(self.images.digests_of(id));
        tags
    }

    /// The reference in the index that the words on the command line mean.
    fn named(&self, id: &Digest, typed: &str) -> Result<Reference, Error> {
        let reference = lookup::parse(typed)?;
        let wanted = if reference.digest().is_some() {
            reference
        } else {
            reference.or_latest()
        };
        self.references(id)
            .into_iter()
            .find(|known| {
                *known == wanted
                    || (known.digest().is_some()
                        && known.digest() == wanted.digest()
                        && known.repository() == wanted.repository())
            })
            .ok_or_else(|| Error::no_such_image(typed))
    }

    /// The last name of an image that a container was made from is kept, unless forced.
    fn refuse_name_in_use(
        &self,
        id: &Digest,
        references: &[Reference],
        typed: &str,
    ) -> Result<(), Error> {
        if self.force || !is_single(references) {
            return Ok(());
        }
        let Some(user) = self.containers.iter().find(|c| c.record.image_id == *id) else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "conflict: unable to remove repository reference {typed:?} (must force) - container {} \
                 is using its referenced image {}",
                user.record.id.short(),
                id.short()
            ),
        ))
    }

    /// Takes one name away, and the digests of a repository that has no tag left. True when other
    /// names keep the image.
    fn untag(&mut self, id: &Digest, reference: &Reference) -> bool {
        self.drop_reference(id, reference);
        let rest = self.references(id);
        let repository = reference.repository();
        if reference.digest().is_none() {
            let tagged = rest
                .iter()
                .any(|r| r.digest().is_none() && r.repository() == repository);
            if !tagged {
                for digest in rest.iter().filter(|r| r.repository() == repository) {
                    self.drop_reference(id, digest);
                }
            }
        }
        !self.references(id).is_empty()
    }

    fn untag_all(&mut self, id: &Digest) {
        let mut references = self.references(id);
        references.sort_by_key(Reference::repository);
        for reference in references {
            self.drop_reference(id, &reference);
        }
    }

    fn drop_reference(&mut self, id: &Digest, reference: &Reference) {
        self.images.untag(id, reference);
        self.records.push(Removed::Untagged(reference.clone()));
    }

    /// Deletes the image, then the untagged parents that nothing else uses. A quiet deletion lets
    /// conflicts pass: the name is gone, the image stays.
    fn delete(&mut self, id: Digest, prune: bool, mut quiet: bool) -> Result<(), Error> {
        let mut next = Some(id);
        let mut force = self.force;
        while let Some(id) = next.take() {
            if let Some(conflict) = self.conflict(&id, force, true) {
                let dangling = self.references(&id).is_empty() && !self.has_children(&id);
                return if quiet && (!dangling || conflict.used) {
                    Ok(())
                } else {
                    Err(conflict.error(&id))
                };
            }
            let parent = self
                .images
                .by_id(&id)
                .and_then(|entry| entry.parent.clone());
            self.untag_all(&id);
            self.images.remove(&id);
            self.records.push(Removed::Deleted(id));
            next = parent.filter(|parent| prune && self.images.by_id(parent).is_some());
            (force, quiet) = (false, true);
        }
        Ok(())
    }

    fn has_children(&self, id: &Digest) -> bool {
        self.images
            .entries()
            .iter()
            .any(|entry| entry.parent.as_ref() == Some(id))
    }

    /// The first reason not to delete; soft ones only when not forced.
    fn conflict(&self, id: &Digest, force: bool, references_count: bool) -> Option<Conflict> {
        let conflict = |hard, used, message: String| {
            Some(Conflict {
                hard,
                used,
                message,
            })
        };
        if self.has_children(id) {
            return conflict(true, false, "image has dependent child images".to_owned());
        }
        let user = |running: bool| {
            self.containers
                .iter()
                .find(|c| c.record.image_id == *id && c.state.status.is_alive() == running)
        };
        if let Some(container) = user(true) {
            let text = format!(
                "image is being used by running container {}",
                container.record.id.short()
            );
            return conflict(true, true, text);
        }
        if force {
            return None;
        }
        if references_count && !self.references(id).is_empty() {
            return conflict(
                false,
                false,
                "image is referenced in multiple repositories".to_owned(),
            );
        }
        let container = user(false)?;
        let text = format!(
            "image is being used by stopped container {}",
            container.record.id.short()
        );
        conflict(false, true, text)
    }
}

/// Whether removing "the image" is unambiguous: one tag at most, and all digests of its repository.
fn is_single(references: &[Reference]) -> bool {
    let mut tags = references.iter().filter(|r| r.digest().is_none());
    let first = tags.next();
    if tags.next().is_some() {
        return false;
    }
    let mut repositories: BTreeSet<String> = references
        .iter()
        .filter(|r| r.digest().is_some())
        .map(Reference::repository)
        .collect();
    match first {
        Some(tag) => {
            repositories.remove(&tag.repository());
            repositories.is_empty()
        }
        None => repositories.len() <= 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tag_with_digests_of_its_repository_is_single() {
        let parse = |text: &str| Reference::parse(text).unwrap();
        let digest = format!("@sha256:{}", "a".repeat(64));
        let with = |name: &str| parse(&format!("{name}{digest}"));
        assert!(is_single(&[]));
        assert!(is_single(&[parse("a:1")]));
        assert!(is_single(&[parse("a:1"), with("a")]));
        assert!(is_single(&[with("a")]));
        assert!(!is_single(&[parse("a:1"), parse("a:2")]));
        assert!(!is_single(&[parse("a:1"), with("b")]));
        assert!(!is_single(&[with("a"), with("b")]));
    }
}
