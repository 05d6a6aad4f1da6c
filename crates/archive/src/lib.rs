//! Images in files: OCI layouts as folder and tar, and what `docker save` writes.
//!
//! - [`Archive`] reads all of them and is a [`ContentSource`](lapstrake_image::ContentSource).
//! - [`LayoutSink`] writes an OCI layout into a folder, beside the images that are there already.
//! - [`TarSink`] writes one as a tar, to a file or a stream; with [`TarFormat::Docker`] the tar also has
//!   docker's own tables, so that every `docker load` takes it.
//!
//! # What is in an archive
//!
//! ```text
//! oci-layout                {"imageLayoutVersion":"1.0.0"}
//! index.json                OCI index; names are annotations, see below
//! blobs/<alg>/<hex>         manifests, configurations, layers, each under its digest
//! manifest.json             docker only: [{"Config":PATH,"RepoTags":[…],"Layers":[PATH,…]}]
//! repositories              docker only: {"ubuntu":{"18.04":"<hex of the top layer>"}}
//! ```
//!
//! Docker before 25 writes `<id>.json` and `<id>/layer.tar` instead of blobs, a layer that an earlier
//! image of the same archive has as a symbolic link to that one. There the layers are plain tars, whose
//! digest is the diff id that the configuration names, so a manifest is made from the two without
//! reading a layer. Where both tables are there, `manifest.json` says which images there are (it is what
//! docker reads), and the index gives the manifest of each when it has one of that configuration.
//!
//! A name is kept as `io.containerd.image.name` (complete) and `org.opencontainers.image.ref.name` (the
//! tag), as docker writes it. An image in Docker's manifest format is listed by an OCI manifest of the
//! same blobs, because other tools refuse the former in a layout; the annotation `io.lapstrake.manifest`
//! (`MEDIATYPE DIGEST SIZE`) leads back to the original, which is there as well.
//!
//! # Bounds
//!
//! Archives come from strangers. Nothing in them is extracted: a tar is scanned once for the places of
//! its files ([`limits`] bounds them), and paths are looked up in that table. Links are followed within
//! the archive only. A folder is read through `openat2` without following any link. The end of a tar has
//! to be there, so that one that was cut off is refused at once.
//!
//! # What a crash leaves
//!
//! In a folder, blobs get their names when they are whole and `index.json` is replaced by renaming; files
//! named `.new-*` are left over. A tar is whole when [`TarSink::finish`] has returned.
//!
//! What is absent: compression and its undoing (the caller hands in a plain tar), the network, clocks.
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::cast_possible_truncation,
        clippy::arithmetic_side_effects
    )
)]

mod error;
mod files;
mod index;
pub mod limits;
mod path;
mod sink;
mod source;
mod tar;

pub use error::ArchiveError;
pub use sink::{LayoutSink, TarFormat, TarSink};
pub use source::{Archive, ArchivedImage, Format};
pub use tar::TarOutput;

#[cfg(test)]
mod tests;
