//! Changes as the bytes of a layer: a tar, compressed.

use std::io::Write;

use lapstrake_spec::MediaType;
use tar::{Builder, EntryType, Header};

use crate::tree::{Change, Changes, Kind, Node};

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// One gzip member.
    Gzip,
    /// Several gzip members behind each other.
    GzipMembers,
    /// Zstandard.
    Zstd,
    /// Bzip2, under the name of gzip as docker takes it.
    Bzip2,
    /// Xz, under the name of gzip as docker takes it.
    Xz,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::Gzip,
        Self::GzipMembers,
        Self::Zstd,
        Self::Bzip2,
        Self::Xz,
    ];

    /// The media type that a manifest gives such a layer.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::Plain => MediaType::OCI_LAYER_TAR,
            Self::Zstd => MediaType::OCI_LAYER_ZSTD,
            Self::Gzip | Self::GzipMembers | Self::Bzip2 | Self::Xz => MediaType::OCI_LAYER_GZIP,
        }
    }

    /// Compresses `tar`.
    pub fn compress(self, tar: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => tar.to_vec(),
            Self::Gzip => gzip(tar),
            Self::GzipMembers => tar.chunks(tar.len() / 3 + 1).flat_map(gzip).collect(),
            Self::Zstd => zstd::encode_all(tar, 3).unwrap(),
            Self::Bzip2 => {
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                out.write_all(tar).unwrap();
                out.finish().unwrap()
            }
            Self::Xz => {
                let mut out = liblzma::write::XzEncoder::new(Vec::new(), 1);
                out.write_all(tar).unwrap();
                out.finish().unwrap()
            }
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// The tar of a layer: parents first, whiteouts where they belong, further names of a file last.
pub fn tar_of(changes: &Changes) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, change) in changes {
        match change {
            Change::Put(node) => append(&mut tar, path, node, None),
            Change::Opaque(node) => {
                append(&mut tar, path, node, None);
                append(&mut tar, &format!("{path}/.wh..wh..opq"), &marker(), None);
            }
            Change::Whiteout => {
                let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
                let slash = if directory.is_empty() { "" } else { "/" };
                append(
                    &mut tar,
                    &format!("{directory}{slash}.wh.{name}"),
                    &marker(),
                    None,
                );
            }
            Change::Link(_) => {}
        }
    }
    for (path, change) in changes {
        if let Change::Link(target) = change
            && let Some(Change::Put(node)) = changes.get(target)
        {
            append(&mut tar, path, node, Some(target));
        }
    }
    tar.into_inner().unwrap()
}

fn marker() -> Node {
    Node {
        kind: Kind::File(Vec::new()),
        mode: 0o600,
        uid: 0,
        gid: 0,
        mtime: (0, 0),
        xattrs: std::collections::BTreeMap::new(),
        inode: 0,
    }
}

fn append(tar: &mut Builder<Vec<u8>>, path: &str, node: &Node, link: Option<&str>) {
    let mut records: Vec<(String, Vec<u8>)> = Vec::new();
    let mut header = Header::new_ustar();
    header.set_mode(node.mode);
    header.set_uid(u64::from(node.uid));
    header.set_gid(u64::from(node.gid));
    header.set_mtime(node.mtime.0);
    header.set_size(0);
    if node.mtime.1 != 0 {
        let text = format!("{}.{:09}", node.mtime.0, node.mtime.1);
        records.push(("mtime".to_owned(), text.into_bytes()));
    }
    if link.is_none() {
        for (name, value) in &node.xattrs {
            records.push((format!("SCHILY.xattr.{name}"), value.clone()));
        }
    }
    let mut data: &[u8] = &[];
    let (entry_type, target) = match &node.kind {
        _ if link.is_some() => (EntryType::Link, link),
        Kind::Directory => (EntryType::Directory, None),
        Kind::File(content) => {
            data = content;
            header.set_size(content.len() as u64);
            (EntryType::Regular, None)
        }
        Kind::Symlink(target) => (EntryType::Symlink, Some(target.as_str())),
        Kind::Fifo => (EntryType::Fifo, None),
        Kind::Device(major, minor) => {
            header.set_device_major(*major).unwrap();
            header.set_device_minor(*minor).unwrap();
            (EntryType::Char, None)
        }
    };
    header.set_entry_type(entry_type);
    let slash = if entry_type == EntryType::Directory {
        "/"
    } else {
        ""
    };
    set_text(
        &mut header.as_old_mut().name,
        "path",
        &format!("{path}{slash}"),
        &mut records,
    );
    if let Some(target) = target {
        set_text(
            &mut header.as_old_mut().linkname,
            "linkpath",
            target,
            &mut records,
        );
    }
    header.set_cksum();
    tar.append_pax_extensions(
        records
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice())),
    )
    .unwrap();
    tar.append(&header, data).unwrap();
}

/// Writes a name into its field, and into a record when it does not fit.
fn set_text(field: &mut [u8; 100], key: &str, text: &str, records: &mut Vec<(String, Vec<u8>)>) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
    if text.len() > field.len() {
        records.push((key.to_owned(), text.as_bytes().to_vec()));
    }
}
