//! Which images share which layers: `images --tree`, and the shared and unique sizes of `system df -v`.

use super::images::{ImageSummary, ListImages, images, summaries};
use crate::Engine;
use crate::error::Error;
use lapstrake_spec::{Digest, ImageConfig};
use std::collections::{BTreeMap, BTreeSet};

/// One line of the tree, top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeRow {
    /// For each level above and for its own, whether something follows there below this line. Empty at
    /// the top.
    pub follows: Vec<bool>,
    /// Whether the line only goes on with the layers that the line before began.
    pub continues: bool,
    /// What the line is about.
    pub item: TreeItem,
}

/// What a line of the tree is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeItem {
    /// A layer, on top of those of the lines above it.
    Layer {
        /// The diff id.
        diff_id: Digest,
        /// Bytes of its files.
        size: u64,
        /// How many of the listed images have it here.
        images: usize,
        /// What made it, as the history of the first of them says.
        created_by: String,
    },
    /// An image that ends with the layer it stands under.
    Image {
        /// The image.
        image: ImageSummary,
        /// How its bytes divide.
        sizes: SharedSizes,
    },
}

/// The bytes of an image: those that other images have too, and those that would go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SharedSizes {
    /// Bytes of layers that other images have as well.
    pub shared: u64,
    /// Bytes of layers that only this image has.
    pub unique: u64,
}

/// Lists images below their layers.
pub fn image_tree(engine: &Engine, request: &ListImages) -> Result<Vec<TreeRow>, Error> {
    let listed = images(engine, request)?;
    let shares = Shares::new(engine)?;
    let mut grown: Vec<Grown> = Vec::new();
    for image in listed {
        // An image whose configuration cannot be read stands without layers.
        let config = engine.store()?.image_config(&image.id).ok();
        let config = config.map(|(config, _raw)| config).unwrap_or_default();
        grown.push(Grown {
            layers: config.rootfs.diff_ids.clone(),
            words: created_by(&config),
            sizes: shares.of(&image.id),
            image,
        });
    }
    grown.sort_by(|a, b| (&a.layers, a.image.tags.first()).cmp(&(&b.layers, b.image.tags.first())));
    let mut tree = Tree {
        sizes: &shares.sizes,
        rows: Vec::new(),
    };
    tree.grow(&grown, 0, &[]);
    Ok(tree.rows)
}

/// An image with what the tree needs of its configuration.
struct Grown {
    layers: Vec<Digest>,
    words: Vec<String>,
    sizes: SharedSizes,
    image: ImageSummary,
}

/// What made each layer.
fn created_by(config: &ImageConfig) -> Vec<String> {
    let entries = config.history.iter();
    entries
        .filter(|entry| !entry.empty_layer)
        .map(|entry| entry.created_by.clone())
        .collect()
}

struct Tree<'a> {
    sizes: &'a BTreeMap<Digest, u64>,
    rows: Vec<TreeRow>,
}

impl Tree<'_> {
    /// Adds what stands on the first `from` layers, which all of these images, sorted, have in common.
    fn grow(&mut self, images: &[Grown], from: usize, above: &[bool]) {
        let ends = images.partition_point(|one| one.layers.len() <= from);
        let (here, on) = images.split_at(ends);
        let groups: Vec<&[Grown]> = on
            .chunk_by(|a, b| a.layers.get(from) == b.layers.get(from))
            .collect();
        let mut left = here.len() + groups.len();
        let mut branch = |is_top: bool| {
            left -= 1;
            let mut follows = above.to_vec();
            if !is_top {
                follows.push(left > 0);
            }
            follows
        };
        for one in here {
            self.rows.push(TreeRow {
                follows: branch(from == 0),
                continues: false,
                item: TreeItem::Image {
                    image: one.image.clone(),
                    sizes: one.sizes,
                },
            });
        }
        for group in groups {
            let follows = branch(from == 0);
            let until = common(group);
            self.layers(group, from..until, &follows);
            self.grow(group, until, &follows);
        }
    }

    fn layers(&mut self, group: &[Grown], span: std::ops::Range<usize>, follows: &[bool]) {
        let Some(first) = group.first() else {
            return;
        };
        for index in span.clone() {
            let Some(diff_id) = first.layers.get(index) else {
                return;
            };
            self.rows.push(TreeRow {
                follows: follows.to_vec(),
                continues: index > span.start,
                item: TreeItem::Layer {
                    diff_id: diff_id.clone(),
                    size: self.sizes.get(diff_id).copied().unwrap_or_default(),
                    images: group.len(),
                    created_by: first.words.get(index).cloned().unwrap_or_default(),
                },
            });
        }
    }
}

/// How many layers all of these images, sorted, begin with.
fn common(group: &[Grown]) -> usize {
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return 0;
    };
    let pairs = first.layers.iter().zip(&last.layers);
    pairs.take_while(|(a, b)| a == b).count()
}

/// Which layers belong to one image alone.
pub(super) struct Shares {
    sizes: BTreeMap<Digest, u64>,
    layers: BTreeMap<Digest, BTreeSet<Digest>>,
    users: BTreeMap<Digest, usize>,
}

impl Shares {
    pub(super) fn new(engine: &Engine) -> Result<Self, Error> {
        let store = engine.store()?;
        let mut shares = Self {
            sizes: BTreeMap::new(),
            layers: BTreeMap::new(),
            users: BTreeMap::new(),
        };
        for image in summaries(&store.images()?) {
            let config = store.image_config(&image.id).ok();
            let diff_ids = config.map(|(config, _raw)| config.rootfs.diff_ids);
            let diff_ids: BTreeSet<Digest> = diff_ids.into_iter().flatten().collect();
            for diff_id in &diff_ids {
                *shares.users.entry(diff_id.clone()).or_default() += 1;
                if !shares.sizes.contains_key(diff_id) {
                    let size = store.layer_size(diff_id)?;
                    shares.sizes.insert(diff_id.clone(), size);
                }
            }
            shares.layers.insert(image.id, diff_ids);
        }
        Ok(shares)
    }

    pub(super) fn of(&self, image: &Digest) -> SharedSizes {
        let mut sizes = SharedSizes::default();
        for diff_id in self.layers.get(image).into_iter().flatten() {
            let size = self.sizes.get(diff_id).copied().unwrap_or_default();
            if self.users.get(diff_id).is_some_and(|users| *users > 1) {
                sizes.shared = sizes.shared.saturating_add(size);
            } else {
                sizes.unique = sizes.unique.saturating_add(size);
            }
        }
        sizes
    }
}

#[cfg(test)]
mod tests;
