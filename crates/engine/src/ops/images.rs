//! `images`: what is in the store.

use super::filter::{Filters, label_fits};
use super::moment::moment;
use crate::error::{Error, ErrorKind};
use crate::{Engine, glob, lookup};
use lapstrake_spec::{Digest, Reference};
use lapstrake_store::Images;
use std::collections::{BTreeMap, BTreeSet};

/// What `images` asks for.
#[derive(Debug, Clone, Default)]
pub struct ListImages {
    /// Also untagged parents of other images.
    pub all: bool,
    /// A repository, or a repository with tag, patterns allowed.
    pub reference: Option<String>,
    /// `dangling`, `label`, `before`, `since`, `reference`, `until`.
    pub filters: Filters,
    /// Whether it is wanted how many containers use each image; that reads their records.
    pub containers: bool,
}

/// One image, as the Engine API lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The image id (digest of the configuration).
    pub id: Digest,
    /// Tagged references that fit the request.
    pub tags: Vec<Reference>,
    /// Digest references that fit the request.
    pub digests: Vec<Reference>,
    /// When it was made.
    pub created: Option<jiff::Timestamp>,
    /// The bytes of its unpacked layers.
    pub size: u64,
    /// The image it was made from, when that is known here.
    pub parent: Option<Digest>,
    /// How many containers use it; zero unless it was asked for.
    pub containers: usize,
}

const NAMES: [&str; 6] = ["dangling", "label", "before", "since", "reference", "until"];

/// Lists images, newest first.
pub fn images(engine: &Engine, request: &ListImages) -> Result<Vec<ImageSummary>, Error> {
    request.filters.allow(&NAMES)?;
    let dangling = request.filters.boolean("dangling")?;
    let images = engine.store()?.images()?;
    let window = Window::new(engine, &images, &request.filters)?;
    let mut patterns: Vec<&str> = request
        .filters
        .values("reference")
        .iter()
        .map(String::as_str)
        .collect();
    patterns.extend(request.reference.as_deref());
    let parents: BTreeSet<&Digest> = images
        .entries()
        .iter()
        .filter_map(|entry| entry.parent.as_ref())
        .collect();

    let mut found = Vec::new();
    for mut summary in summaries(&images) {
        if !patterns.is_empty() && !keep_matching(&mut summary, &patterns)? {
            continue;
        }
        let untagged = summary.tags.is_empty();
        let bare = untagged && summary.digests.is_empty();
        let has_children = parents.contains(&summary.id);
        let wanted = match dangling {
            Some(true) => untagged && !has_children,
            // An image that was pulled by digest has a name of a kind.
            Some(false) => !bare,
            None => request.all || !(bare && has_children),
        };
        if wanted && window.holds(&summary) && labels_fit(engine, &summary, &request.filters)? {
            found.push(summary);
        }
    }
    found.sort_by_key(|summary| std::cmp::Reverse(summary.created));
    if request.containers {
        count_containers(engine, &mut found)?;
    }
    Ok(found)
}

fn count_containers(engine: &Engine, images: &mut [ImageSummary]) -> Result<(), Error> {
    // A container whose record cannot be read hides no image; `ps` tells of it.
    let (containers, _unreadable) = engine.containers()?.list_readable()?;
    let mut uses: BTreeMap<&Digest, usize> = BTreeMap::new();
    for container in &containers {
        *uses.entry(&container.record.image_id).or_default() += 1;
    }
    for image in images {
        image.containers = uses.get(&image.id).copied().unwrap_or(0);
    }
    Ok(())
}

/// One summary per image id, in the order of the index.
pub(crate) fn summaries(images: &Images) -> Vec<ImageSummary> {
    let mut order: Vec<ImageSummary> = Vec::new();
    let mut position: BTreeMap<&Digest, usize> = BTreeMap::new();
    for entry in images.entries() {
        let index = *position.entry(&entry.id).or_insert_with(|| {
            order.push(ImageSummary {
                id: entry.id.clone(),
                tags: Vec::new(),
                digests: Vec::new(),
                created: entry.created.as_deref().and_then(|text| text.parse().ok()),
                size: entry.size,
                parent: entry.parent.clone(),
                containers: 0,
            });
            order.len() - 1
        });
        if let Some(summary) = order.get_mut(index) {
            summary.tags.extend(entry.name.clone());
            for digest in &entry.repo_digests {
                if !summary.digests.contains(digest) {
                    summary.digests.push(digest.clone());
                }
            }
        }
    }
    for summary in &mut order {
        summary.tags.sort();
        summary.digests.sort();
    }
    order
}

/// Keeps the references that a pattern fits; false when none does.
fn keep_matching(summary: &mut ImageSummary, patterns: &[&str]) -> Result<bool, Error> {
    let fits = |reference: &Reference| -> Result<bool, Error> {
        for pattern in patterns {
            if reference_fits(pattern, reference)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut error = None;
    for list in [&mut summary.tags, &mut summary.digests] {
        list.retain(|reference| {
            fits(reference).unwrap_or_else(|failed| {
                error = Some(failed);
                false
            })
        });
    }
    match error {
        Some(error) => Err(error),
        None => Ok(!(summary.tags.is_empty() && summary.digests.is_empty())),
    }
}

fn reference_fits(pattern: &str, reference: &Reference) -> Result<bool, Error> {
    let bad = |glob::BadPattern| {
        Error::new(
            ErrorKind::InvalidArgument,
            "syntax error in pattern".to_owned(),
        )
    };
    Ok(glob::matches(pattern, &reference.familiar()).map_err(bad)?
        || glob::matches(pattern, &reference.familiar_name()).map_err(bad)?)
}

/// The span of creation times that `before`, `since` and `until` leave.
struct Window {
    before: Option<jiff::Timestamp>,
    since: Option<jiff::Timestamp>,
}

impl Window {
    fn new(engine: &Engine, images: &Images, filters: &Filters) -> Result<Self, Error> {
        let created = |name: &str| -> Result<Vec<jiff::Timestamp>, Error> {
            let mut moments = Vec::new();
            for value in filters.values(name) {
                let id = lookup::image_id(images, value)?;
                let text = images.by_id(&id).and_then(|entry| entry.created.as_deref());
                moments.extend(text.and_then(|text| text.parse::<jiff::Timestamp>().ok()));
            }
            Ok(moments)
        };
        let mut before = created("before")?;
        for value in filters.values("until") {
            before.push(moment(engine, value)?);
        }
        // All of them hold: the narrowest window is what remains.
        Ok(Self {
            before: before.into_iter().min(),
            since: created("since")?.into_iter().max(),
        })
    }

    fn holds(&self, summary: &ImageSummary) -> bool {
        self.before
            .is_none_or(|limit| summary.created.is_some_and(|at| at < limit))
            && self
                .since
                .is_none_or(|limit| summary.created.is_some_and(|at| at > limit))
    }
}

/// Whether the labels of the image fit all `label` filters.
fn labels_fit(engine: &Engine, summary: &ImageSummary, filters: &Filters) -> Result<bool, Error> {
    let wanted = filters.values("label");
    if wanted.is_empty() {
        return Ok(true);
    }
    let (config, _raw) = engine.store()?.image_config(&summary.id)?;
    let labels = config
        .config
        .and_then(|config| config.labels)
        .unwrap_or_default();
    Ok(wanted.iter().all(|filter| label_fits(&labels, filter)))
}
