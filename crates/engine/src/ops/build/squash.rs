//! `--squash`: the layers that a build adds become one.
//!
//! The trees of the new layers are merged by hard links into a tree of the same form, which hides of the base what they
//! hid; its tar is the new layer.

use super::driver::Build;
use super::finish::step_error;
use super::images::ResolvedImages;
use super::remote::failed;
use crate::error::Error;
use crate::ops::export::Product;
use lapstrake_build::context::Scratch;
use lapstrake_build::solve::SolvedTarget;
use lapstrake_layer::DiffOptions;
use lapstrake_snapshot::Layer;
use lapstrake_spec::{Digest, History, MediaType, RootFs};
use lapstrake_sys::dir::{Dir, Kind};
use lapstrake_sys::xattr;
use rustix::fs::{AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// The mark of a directory that hides what is below it.
const OPAQUE: &str = "trusted.overlay.opaque";
/// Directories in directories.
const DEPTH_LIMIT: usize = 1024;

/// Makes one layer of a product's new ones.
pub(super) fn squash(
    build: &Build<'_>,
    target: &SolvedTarget,
    images: &ResolvedImages,
    product: &mut Product,
) -> Result<(), Error> {
    let new = target.layers.len().saturating_sub(target.inherited);
    if new < 2 {
        return Ok(());
    }
    let comment = comment(target, images, product);
    let trees = target.trees().map_err(step_error)?;
    let scratch = Scratch::create(build.store).map_err(|error| failed("make a folder", error))?;
    let wrong = |error| failed("squash layers", error);
    let into = Dir::open(scratch.path()).map_err(wrong)?;
    let sources: Vec<Dir> = trees
        .paths
        .iter()
        .take(new)
        .map(Dir::open)
        .collect::<io::Result<_>>()
        .map_err(wrong)?;
    merge(&sources, &into, 0).map_err(wrong)?;
    let mut blob = build.store.new_blob()?;
    let stats = lapstrake_layer::diff(into.as_fd(), &mut blob, &DiffOptions::default())
        .map_err(Error::internal)?;
    let blob = blob.finish(MediaType::OCI_LAYER_TAR, &build.lease)?;
    let kept = product.layers.get(..target.inherited).unwrap_or_default();
    let mut layers = kept.to_vec();
    layers.push(Layer {
        diff_id: blob.digest.clone(),
        blob,
    });
    let base = target.layers.get(..target.inherited).unwrap_or_default();
    product.size = super::failure::size(build, base)?.saturating_add(stats.bytes);
    let diff_ids = layers.iter().map(|layer| layer.diff_id.clone());
    product.config.rootfs = RootFs::layers(diff_ids.collect());
    product.layers = layers;
    history(build, product, target.inherited, comment);
    Ok(())
}

/// Docker's words: which image was squashed, and onto which.
fn comment(target: &SolvedTarget, images: &ResolvedImages, product: &Product) -> String {
    let id = Digest::sha256(&product.config.to_bytes());
    let base = target.layers.get(..target.inherited).unwrap_or_default();
    let base: Vec<_> = base.iter().map(|layer| layer.diff_id.clone()).collect();
    match images.id_with(&base).filter(|_| !base.is_empty()) {
        Some(base) => format!("merge {id} to {base}"),
        None => format!("create new from {id}"),
    }
}

/// Steps keep their entries and lose their layers; one more has the layer, as in docker.
fn history(build: &Build<'_>, product: &mut Product, inherited: usize, comment: String) {
    let mut seen = 0_usize;
    for entry in &mut product.config.history {
        if !entry.empty_layer {
            seen = seen.saturating_add(1);
            entry.empty_layer = seen > inherited;
        }
    }
    let now = product
        .config
        .created
        .clone()
        .unwrap_or_else(|| build.engine.now().to_string());
    product.config.history.push(History {
        created: Some(now),
        comment,
        ..History::default()
    });
}

/// Merges directories, the top one first, into an empty one.
fn merge(sources: &[Dir], into: &Dir, depth: usize) -> io::Result<()> {
    if depth > DEPTH_LIMIT {
        return Err(io::Error::other("directories too deep"));
    }
    let mut names: BTreeMap<OsString, Vec<(usize, Kind)>> = BTreeMap::new();
    for (number, source) in sources.iter().enumerate() {
        for entry in source.entries()? {
            let found = names.entry(entry.name).or_default();
            found.push((number, entry.kind));
        }
    }
    for (name, found) in &names {
        let Some((number, kind)) = found.first() else {
            continue;
        };
        let Some(top) = sources.get(*number) else {
            continue;
        };
        let bytes = name.as_bytes();
        if *kind != Kind::Directory {
            rustix::fs::linkat(top, bytes, into, bytes, AtFlags::empty())?;
            continue;
        }
        let (below, opaque) = visible(sources, name, found)?;
        into.create_dir(name, 0o700)?;
        let made = into.child(name)?;
        merge(&below, &made, depth.saturating_add(1))?;
        if let Some(first) = below.first() {
            copy_metadata(first, &made, into, name)?;
        }
        if opaque {
            xattr::set(&made, OPAQUE, b"y")?;
        }
    }
    Ok(())
}

/// The directories of a name that show through, the top one first, and whether they hide what is below all of them.
fn visible(
    sources: &[Dir],
    name: &OsString,
    found: &[(usize, Kind)],
) -> io::Result<(Vec<Dir>, bool)> {
    let mut below = Vec::new();
    for (number, kind) in found {
        let Some(source) = sources.get(*number) else {
            continue;
        };
        // A file or a whiteout under a directory hides everything further down.
        if *kind != Kind::Directory {
            return Ok((below, true));
        }
        let dir = source.child(name)?;
        let opaque = xattr::get(&dir, OPAQUE)?.as_deref() == Some(b"y");
        below.push(dir);
        if opaque {
            return Ok((below, true));
        }
    }
    Ok((below, false))
}

/// Owner, mode, attributes and times of a directory. Times last: everything else changes them.
fn copy_metadata(from: &Dir, to: &Dir, parent: &Dir, name: &OsString) -> io::Result<()> {
    let stat = rustix::fs::fstat(from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    rustix::fs::fchown(
        to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for attribute in xattr::list(from)? {
        if !attribute.starts_with(b"trusted.overlay.")
            && let Some(value) = xattr::get(from, attribute.as_slice())?
        {
            xattr::set(to, attribute.as_slice(), &value)?;
        }
    }
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime,
            tv_nsec: i64::try_from(stat.st_atime_nsec).unwrap_or(0),
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
        },
    };
    Ok(rustix::fs::utimensat(
        parent,
        name.as_bytes(),
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}
