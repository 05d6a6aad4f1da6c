//! The merged tree of a product, in a folder or as a tar.
//!
//! Nothing is mounted: the layers' trees are read as an overlay would show them. Modes, times, hard links and
//! extended attributes are kept, and in a tar owners; what lies in a folder belongs to whoever built it. Whatever the
//! folder's file system does not take is left out. `SOURCE_DATE_EPOCH` is the time of everything.

use super::archive::TarFile;
use super::{Destination, ExportRequest, Product, failed};
use crate::Engine;
use crate::error::{Error, ErrorKind};
use lapstrake_snapshot::{Directory, Item, Place, View};
use lapstrake_spec::Platform;
use lapstrake_store::{LayerMount, Store};
use rustix::fs::Stat;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

mod attributes;
mod folder;
mod tar;

/// Folders nested deeper than this are refused.
const DEPTH_LIMIT: usize = 1024;

/// Extended attributes, sorted by name.
type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// Where a tree goes. Paths have no slash at their start.
trait Target {
    /// A folder begins; what is in it follows.
    fn enter(&mut self, path: &[u8], stat: &Stat, attributes: Attributes) -> io::Result<()>;
    /// The folder that was entered last ends.
    fn leave(&mut self) -> io::Result<()>;
    /// Another name of a file that came before.
    fn link(&mut self, path: &[u8], first: &[u8], stat: &Stat) -> io::Result<()>;
    /// A regular file.
    fn file(
        &mut self,
        path: &[u8],
        stat: &Stat,
        content: File,
        attributes: Attributes,
    ) -> io::Result<()>;
    /// A symbolic link.
    fn symlink(&mut self, path: &[u8], stat: &Stat, target: &[u8]) -> io::Result<()>;
    /// A device or a fifo.
    fn special(&mut self, path: &[u8], stat: &Stat) -> io::Result<()>;
}

/// Writes each product into a folder; of several, or with `split`, each into one of its own: `linux_amd64`.
pub(super) async fn to_folder(
    engine: &Engine,
    request: &ExportRequest<'_>,
    dest: &Path,
    split: Option<bool>,
) -> Result<(), Error> {
    let store = engine.store()?;
    let several = request.products.len() > 1;
    if several && split == Some(false) {
        let text = "several platforms in one folder are not supported";
        return Err(Error::new(ErrorKind::Unsupported, text)
            .with_hint("without `platform-split=false` each gets a folder of its own"));
    }
    let is_split = split.unwrap_or(several);
    let epoch = request.epoch;
    (request.notes)("copying files");
    for product in request.products {
        let place = if is_split {
            dest.join(folder_name(&product.platform))
        } else {
            dest.to_owned()
        };
        std::fs::create_dir_all(&place).map_err(failed(format!("mkdir {}", place.display())))?;
        let trees = trees(store, product)?;
        let work = tokio::task::spawn_blocking(move || {
            let mut folder = folder::Folder::open(&place)
                .map_err(failed(format!("open {}", place.display())))?;
            Walk::of(&trees, Vec::new(), (&mut folder, epoch))?;
            // A folder that no image has is as old as can be.
            if is_split {
                let seconds = epoch.unwrap_or_default();
                folder.set_time(seconds).map_err(failed("utimens"))?;
            }
            Ok::<_, Error>(())
        });
        work.await.map_err(Error::internal)??;
    }
    Ok(())
}

/// Writes the products into one tar; of several, each into a folder of its own.
pub(super) async fn to_tar(
    engine: &Engine,
    request: &mut ExportRequest<'_>,
    dest: &Destination,
) -> Result<(), Error> {
    let store = engine.store()?;
    (request.notes)("sending tarball");
    let several = request.products.len() > 1;
    let epoch = request.epoch;
    let mut parts = Vec::with_capacity(request.products.len());
    for product in request.products {
        let folder = several.then(|| folder_name(&product.platform));
        parts.push((
            folder.unwrap_or_default().into_bytes(),
            trees(store, product)?,
        ));
    }
    match dest {
        Destination::Stdout => {
            let out = request.take_stdout()?;
            let work = tokio::task::spawn_blocking(move || write_tar(&parts, out, epoch));
            work.await.map_err(Error::internal)?
        }
        Destination::Path(path) => {
            let file = TarFile::create(&request.path(path))?;
            let out = file.file.try_clone().map_err(failed("dup"))?;
            let work = tokio::task::spawn_blocking(move || write_tar(&parts, out, epoch));
            work.await.map_err(Error::internal)??;
            file.keep()
        }
    }
}

/// Writes one merged tree, the top one of its trees first, as a tar.
pub(in crate::ops) fn merged_tar(trees: Vec<PathBuf>, out: impl Write) -> Result<(), Error> {
    write_tar(&[(Vec::new(), trees)], out, None)
}

fn write_tar(
    parts: &[(Vec<u8>, Vec<PathBuf>)],
    out: impl Write,
    epoch: Option<i64>,
) -> Result<(), Error> {
    let mut tar = tar::Tar::new(out);
    for (folder, trees) in parts {
        if !folder.is_empty() {
            tar.folder(folder, epoch.unwrap_or_default())
                .map_err(failed("write tar"))?;
        }
        Walk::of(trees, folder.clone(), (&mut tar, epoch))?;
    }
    tar.finish().map_err(failed("write tar"))
}

fn folder_name(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}

/// The trees of a product's layers, the top one first.
fn trees(store: &Store, product: &Product) -> Result<Vec<PathBuf>, Error> {
    for layer in &product.layers {
        store.ensure_layer(&layer.diff_id, &layer.blob)?;
    }
    let diff_ids: Vec<_> = product
        .layers
        .iter()
        .map(|layer| layer.diff_id.clone())
        .collect();
    let mounts = store.lowers(&diff_ids)?.into_iter().rev();
    mounts
        .map(|mount| match mount {
            LayerMount::Tree(path) => Ok(path),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                "a layer is not unpacked as a tree",
            )),
        })
        .collect()
}

/// One way through a merged tree.
struct Walk<'a, T> {
    target: &'a mut T,
    /// The time of everything.
    epoch: Option<i64>,
    path: Vec<u8>,
    depth: usize,
    /// First paths of files that have several, by device and inode.
    links: BTreeMap<(u64, u64), Vec<u8>>,
}

impl<'a, T: Target> Walk<'a, T> {
    /// Takes a tree to a target, below `prefix`.
    fn of(
        trees: &[PathBuf],
        prefix: Vec<u8>,
        (target, epoch): (&'a mut T, Option<i64>),
    ) -> Result<(), Error> {
        let mut walk = Self {
            target,
            epoch,
            path: prefix,
            depth: 0,
            links: BTreeMap::new(),
        };
        let view = View::of(trees).map_err(Error::internal)?;
        walk.content(&view.root()).map_err(|error| {
            let path = String::from_utf8_lossy(&walk.path).into_owned();
            failed(format!("export {path}"))(error)
        })
    }

    fn content(&mut self, directory: &Directory) -> io::Result<()> {
        if self.depth >= DEPTH_LIMIT {
            return Err(rustix::io::Errno::NAMETOOLONG.into());
        }
        self.depth += 1;
        for name in directory.names()? {
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            if let Some(item) = directory.look_up(&name)? {
                self.item(item)?;
            }
            // Kept on an error, which it explains.
            self.path.truncate(length);
        }
        self.depth -= 1;
        Ok(())
    }

    fn item(&mut self, item: Item) -> io::Result<()> {
        match item {
            Item::Directory(directory, mut stat) => {
                self.set_time(&mut stat);
                let attributes = attributes::read(directory.top()?)?;
                self.target.enter(&self.path, &stat, attributes)?;
                self.content(&directory)?;
                self.target.leave()
            }
            Item::Other(place) => self.other(&place),
        }
    }

    fn set_time(&self, stat: &mut Stat) {
        if let Some(epoch) = self.epoch {
            stat.st_mtime = epoch;
            stat.st_mtime_nsec = 0;
        }
    }

    fn other(&mut self, place: &Place) -> io::Result<()> {
        use rustix::fs::FileType;
        let mut stat = place.stat;
        self.set_time(&mut stat);
        let stat = &stat;
        let kind = FileType::from_raw_mode(stat.st_mode);
        // A socket without its program is nothing.
        if kind == FileType::Socket {
            return Ok(());
        }
        let identity = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&identity) {
                return self.target.link(&self.path, first, stat);
            }
            self.links.insert(identity, self.path.clone());
        }
        match kind {
            FileType::RegularFile => {
                let file = place.open()?;
                let attributes = attributes::read(std::os::fd::AsFd::as_fd(&file))?;
                self.target.file(&self.path, stat, file, attributes)
            }
            FileType::Symlink => {
                let target = place.read_link()?;
                self.target.symlink(&self.path, stat, &target)
            }
            _ => self.target.special(&self.path, stat),
        }
    }
}
