//! Random images, the same for the same seed, together with the tree that they must give.

use std::collections::BTreeMap;

use bytes::Bytes;
use lapstrake_image::memory::Memory;
use lapstrake_spec::{
    ContainerConfig, Descriptor, Digest, History, ImageConfig, Manifest, MediaType, Platform,
    Reference, RootFs,
};

use crate::pack::{Compression, tar_of};
use crate::rng::Rng;
use crate::tree::{Change, Changes, Kind, Node, Tree, parent};

/// What a random image is like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many layers.
    pub layers: usize,
    /// Changes per layer, directories above them not counted.
    pub changes: usize,
    /// Largest file, in bytes.
    pub file_bytes: usize,
    /// What layers are compressed with, in turn.
    pub compressions: Vec<Compression>,
    /// Other owners than root, devices, trusted attributes: what only root can unpack.
    pub privileged: bool,
    /// Docker's media types instead of OCI's.
    pub docker: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            layers: 3,
            changes: 12,
            file_bytes: 40_000,
            compressions: Compression::ALL.to_vec(),
            privileged: false,
            docker: false,
        }
    }
}

impl Shape {
    /// One layer with a little in it, compressed with gzip.
    pub fn small() -> Self {
        Self {
            layers: 1,
            changes: 3,
            file_bytes: 2000,
            compressions: vec![Compression::Gzip],
            ..Self::default()
        }
    }
}

/// One layer of a [`RandomImage`].
#[derive(Clone, Debug)]
pub struct RandomLayer {
    /// What it changes.
    pub changes: Changes,
    /// The uncompressed tar.
    pub tar: Bytes,
    /// The digest of the tar.
    pub diff_id: Digest,
    /// The compressed tar.
    pub blob: Bytes,
    /// Describes the compressed tar.
    pub descriptor: Descriptor,
}

/// An image made from a seed.
#[derive(Clone, Debug)]
pub struct RandomImage {
    /// Its layers, the lowest first.
    pub layers: Vec<RandomLayer>,
    /// Its configuration.
    pub config: ImageConfig,
    /// The bytes of the configuration.
    pub config_raw: Bytes,
    /// Describes the configuration.
    pub config_descriptor: Descriptor,
    /// The bytes of its manifest.
    pub raw: Bytes,
    /// Describes the manifest.
    pub descriptor: Descriptor,
    /// The files that a container of it sees.
    pub tree: Tree,
}

impl RandomImage {
    /// An image of the default shape.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, &Shape::default())
    }

    /// An image of this shape.
    pub fn with(seed: u64, shape: &Shape) -> Self {
        let mut maker = Maker {
            rng: Rng::new(seed),
            shape,
            inode: 0,
        };
        let mut tree = Tree::default();
        let layers: Vec<_> = (0..shape.layers)
            .map(|index| {
                let changes = maker.changes(&tree);
                tree.apply(&changes);
                layer(changes, shape, index)
            })
            .collect();
        Self::assemble(seed, layers, tree, shape.docker)
    }

    fn assemble(seed: u64, layers: Vec<RandomLayer>, tree: Tree, docker: bool) -> Self {
        let (manifest_type, config_type) = if docker {
            (MediaType::DOCKER_MANIFEST, MediaType::DOCKER_CONFIG)
        } else {
            (MediaType::OCI_MANIFEST, MediaType::OCI_CONFIG)
        };
        let config = config(seed, &layers);
        let config_raw = Bytes::from(config.to_bytes());
        let config_descriptor = Descriptor::of(config_type, &config_raw);
        let descriptors = layers
            .iter()
            .map(|layer| layer.descriptor.clone())
            .collect();
        let manifest = Manifest::new(
            manifest_type.clone(),
            config_descriptor.clone(),
            descriptors,
        );
        let raw = Bytes::from(manifest.to_bytes());
        let descriptor = Descriptor::of(manifest_type, &raw);
        Self {
            layers,
            config,
            config_raw,
            config_descriptor,
            raw,
            descriptor,
            tree,
        }
    }

    /// Puts the image into a memory endpoint under a name.
    pub fn add_to(&self, memory: &Memory, name: &Reference) -> Descriptor {
        memory.add_blob(
            self.config_descriptor.media_type.clone(),
            self.config_raw.clone(),
        );
        for layer in &self.layers {
            memory.add_blob(layer.descriptor.media_type.clone(), layer.blob.clone());
        }
        let media_type = self.descriptor.media_type.clone();
        let descriptor = memory.add_manifest(media_type, self.raw.clone());
        memory.name(name, &descriptor);
        descriptor
    }

    /// A memory endpoint with nothing but this image.
    pub fn in_memory(&self, name: &Reference) -> Memory {
        let memory = Memory::new();
        self.add_to(&memory, name);
        memory
    }

    /// All blobs with their bytes: the configuration and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = (&Descriptor, &Bytes)> {
        let layers = self
            .layers
            .iter()
            .map(|layer| (&layer.descriptor, &layer.blob));
        std::iter::once((&self.config_descriptor, &self.config_raw)).chain(layers)
    }

    /// Bytes of all blobs.
    pub fn size(&self) -> u64 {
        self.blobs().map(|(descriptor, _)| descriptor.size).sum()
    }
}

fn layer(changes: Changes, shape: &Shape, index: usize) -> RandomLayer {
    let compression = shape.compressions[index % shape.compressions.len()];
    let tar = tar_of(&changes);
    let blob = Bytes::from(compression.compress(&tar));
    let media_type = match (shape.docker, compression) {
        (false, _) => compression.media_type(),
        (true, Compression::Plain) => MediaType::DOCKER_LAYER_TAR,
        (true, Compression::Zstd) => MediaType::DOCKER_LAYER_ZSTD,
        (true, _) => MediaType::DOCKER_LAYER_GZIP,
    };
    let descriptor = Descriptor::of(media_type, &blob);
    RandomLayer {
        diff_id: Digest::sha256(&tar),
        changes,
        tar: tar.into(),
        blob,
        descriptor,
    }
}

fn config(seed: u64, layers: &[RandomLayer]) -> ImageConfig {
    let created = "2024-02-03T04:05:06Z".to_owned();
    let platform = Platform::host();
    ImageConfig {
        architecture: platform.architecture,
        os: "linux".to_owned(),
        created: Some(created.clone()),
        config: Some(ContainerConfig {
            labels: Some(BTreeMap::from([("seed".to_owned(), seed.to_string())])),
            ..ContainerConfig::default()
        }),
        rootfs: RootFs::layers(layers.iter().map(|layer| layer.diff_id.clone()).collect()),
        history: layers
            .iter()
            .enumerate()
            .map(|(index, _)| History {
                created: Some(created.clone()),
                created_by: format!("step {index}"),
                ..History::default()
            })
            .collect(),
        ..ImageConfig::default()
    }
}

/// Makes the changes of one layer after another.
struct Maker<'a> {
    rng: Rng,
    shape: &'a Shape,
    inode: u64,
}

impl Maker<'_> {
    fn changes(&mut self, below: &Tree) -> Changes {
        let mut changes = Changes::new();
        for _ in 0..self.shape.changes {
            match self.rng.below(10) {
                0 if !below.nodes.is_empty() => self.whiteout(below, &mut changes),
                1 if !below.nodes.is_empty() => self.opaque(below, &mut changes),
                2 => self.link(below, &mut changes),
                3 if !below.nodes.is_empty() => self.replace(below, &mut changes),
                _ => self.create(below, &mut changes),
            }
        }
        changes
    }

    fn create(&mut self, below: &Tree, changes: &mut Changes) {
        let Some(path) = self.new_path(below, changes) else {
            return;
        };
        let kind = self.kind();
        let node = self.node(kind);
        changes.insert(path, Change::Put(node));
    }

    fn replace(&mut self, below: &Tree, changes: &mut Changes) {
        let path = self.existing(below);
        if add_parents(&path, below, changes) && is_untouched(&path, changes) {
            let kind = self.kind();
            let node = self.node(kind);
            changes.insert(path, Change::Put(node));
        }
    }

    fn whiteout(&mut self, below: &Tree, changes: &mut Changes) {
        let path = self.existing(below);
        if add_parents(&path, below, changes) && is_untouched(&path, changes) {
            changes.insert(path, Change::Whiteout);
        }
    }

    fn opaque(&mut self, below: &Tree, changes: &mut Changes) {
        let path = self.existing(below);
        let is_directory = below.nodes[&path].kind == Kind::Directory;
        if is_directory && add_parents(&path, below, changes) && is_untouched(&path, changes) {
            let node = self.node(Kind::Directory);
            changes.insert(path, Change::Opaque(node));
        }
    }

    fn link(&mut self, below: &Tree, changes: &mut Changes) {
        let files: Vec<_> = changes
            .iter()
            .filter(|(_, change)| {
                matches!(
                    change,
                    Change::Put(Node {
                        kind: Kind::File(_),
                        ..
                    })
                )
            })
            .map(|(path, _)| path.clone())
            .collect();
        if files.is_empty() {
            return;
        }
        let target = self.rng.pick(&files).clone();
        if let Some(path) = self.new_path(below, changes) {
            changes.insert(path, Change::Link(target));
        }
    }

    fn existing(&mut self, below: &Tree) -> String {
        let paths: Vec<_> = below.nodes.keys().collect();
        (*self.rng.pick(&paths)).clone()
    }

    /// A path that nothing has yet, in a directory of this layer or of one below.
    fn new_path(&mut self, below: &Tree, changes: &mut Changes) -> Option<String> {
        let mut directories = vec![String::new()];
        directories.extend(
            below
                .nodes
                .iter()
                .filter(|(path, node)| node.kind == Kind::Directory && !is_hidden(path, changes))
                .map(|(path, _)| path.clone()),
        );
        directories.extend(changes.iter().filter_map(|(path, change)| match change {
            Change::Put(node) | Change::Opaque(node) if node.kind == Kind::Directory => {
                Some(path.clone())
            }
            _ => None,
        }));
        let directory = self.rng.pick(&directories).clone();
        let name = self.name();
        let path = if directory.is_empty() {
            name
        } else {
            format!("{directory}/{name}")
        };
        let free = !below.nodes.contains_key(&path) && !changes.contains_key(&path);
        (free && add_parents(&path, below, changes)).then_some(path)
    }

    fn name(&mut self) -> String {
        let number = self.rng.number() % 100_000;
        match self.rng.below(12) {
            0 => format!("{number}-{}", "long".repeat(30)),
            1 => format!("with space {number}"),
            2 => format!("\u{fc}mlaut-{number}"),
            3 => format!(".hidden-{number}"),
            _ => format!("f{number}"),
        }
    }

    fn kind(&mut self) -> Kind {
        match self.rng.below(10) {
            0..=2 => Kind::Directory,
            3 => Kind::Symlink(self.symlink()),
            4 if self.rng.chance(2) => Kind::Fifo,
            5 if self.shape.privileged => Kind::Device(1, 3),
            6 => Kind::File(Vec::new()),
            _ => {
                let length = self.rng.below(self.shape.file_bytes);
                Kind::File(self.rng.bytes(length))
            }
        }
    }

    fn symlink(&mut self) -> String {
        match self.rng.below(4) {
            0 => "/absolute/target".to_owned(),
            1 => "../up".to_owned(),
            2 => "long/".repeat(30),
            _ => "beside".to_owned(),
        }
    }

    fn node(&mut self, kind: Kind) -> Node {
        self.inode += 1;
        let modes: &[u32] = match kind {
            Kind::Directory => &[0o755, 0o700, 0o1777, 0o2755],
            Kind::Symlink(_) => &[0o777],
            _ => &[0o644, 0o600, 0o755, 0o4755, 0o400],
        };
        let owners: &[u32] = if self.shape.privileged {
            &[0, 1, 1000, 4_000_000]
        } else {
            &[0]
        };
        let nanoseconds = if self.rng.chance(2) {
            0
        } else {
            self.rng.below(1_000_000_000)
        };
        let mut xattrs = BTreeMap::new();
        if self.rng.chance(4) && matches!(kind, Kind::Directory | Kind::File(_)) {
            xattrs.insert("user.note".to_owned(), self.rng.bytes(20));
        }
        Node {
            mode: *self.rng.pick(modes),
            uid: *self.rng.pick(owners),
            gid: *self.rng.pick(owners),
            mtime: (
                1_000_000_000 + self.rng.number() % 700_000_000,
                nanoseconds as u32,
            ),
            xattrs,
            inode: self.inode,
            kind,
        }
    }
}

/// Puts the directories above `path` into the layer. False when one of them goes in it.
fn add_parents(path: &str, below: &Tree, changes: &mut Changes) -> bool {
    let directory = parent(path);
    if directory.is_empty() {
        return true;
    }
    match changes.get(directory) {
        Some(Change::Put(node) | Change::Opaque(node)) => node.kind == Kind::Directory,
        Some(Change::Whiteout | Change::Link(_)) => false,
        None => {
            if !add_parents(directory, below, changes) {
                return false;
            }
            let Some(node) = below
                .nodes
                .get(directory)
                .filter(|_| !is_hidden(directory, changes))
            else {
                return false;
            };
            changes.insert(directory.to_owned(), Change::Put(node.clone()));
            true
        }
    }
}

/// Whether the layer says nothing of a path or of what is below it.
fn is_untouched(path: &str, changes: &Changes) -> bool {
    let below = format!("{path}/");
    !changes.contains_key(path) && !changes.keys().any(|other| other.starts_with(&below))
}

/// Whether the layer takes away what lower layers have at a path.
fn is_hidden(path: &str, changes: &Changes) -> bool {
    let mut above = path;
    while !above.is_empty() {
        match changes.get(above) {
            Some(Change::Whiteout | Change::Link(_)) => return true,
            Some(Change::Opaque(_)) if above != path => return true,
            Some(Change::Put(node)) if node.kind != Kind::Directory => return true,
            _ => above = parent(above),
        }
    }
    false
}
