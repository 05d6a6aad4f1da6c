//! Extended headers: records of `length key=value` that replace or add to the next entry's fields.

use super::Time;
use super::number::{decimal, owner, time};
use super::sparse::PaxSparse;
use crate::error::{Error, Limited};
use crate::limits::Limits;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";
const SPARSE_PREFIX: &[u8] = b"GNU.sparse.";

const INVALID: Error = Error::InvalidHeader {
    reason: "bad extended header",
};

/// What the extended header before an entry says. An empty text is none.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Vec<u8>,
    pub(super) linkpath: Vec<u8>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    /// Sorted by name.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

impl Pax {
    pub(super) fn clear(&mut self) {
        self.path.clear();
        self.linkpath.clear();
        (self.size, self.uid, self.gid, self.mtime) = (None, None, None, None);
        self.xattrs.clear();
        self.sparse.clear();
    }

    /// Takes the records of one extended header; those of an earlier one are forgotten.
    pub(super) fn parse(&mut self, mut bytes: &[u8], limits: &Limits) -> Result<(), Error> {
        self.clear();
        while !bytes.is_empty() {
            let (key, value, rest) = split_record(bytes)?;
            self.record(key, value)?;
            bytes = rest;
        }
        self.sort_xattrs();
        let lengths = self
            .xattrs
            .iter()
            .map(|(name, value)| name.len().saturating_add(value.len()));
        if lengths.fold(0, usize::saturating_add) > limits.xattr_bytes {
            return Err(Error::limit(Limited::XattrBytes, limits.xattr_bytes));
        }
        self.sparse.check_pairs()
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let present = (!value.is_empty()).then_some(value);
        match key {
            b"path" => set_text(&mut self.path, value)?,
            b"linkpath" => set_text(&mut self.linkpath, value)?,
            b"size" => self.size = present.map(size).transpose()?,
            b"uid" => self.uid = present.map(decimal_owner).transpose()?,
            b"gid" => self.gid = present.map(decimal_owner).transpose()?,
            b"mtime" => self.mtime = present.map(time).transpose()?,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                } else if let Some(name) = key.strip_prefix(SPARSE_PREFIX) {
                    self.sparse.record(name, value)?;
                }
            }
        }
        Ok(())
    }

    /// Of those with the same name the last one counts.
    fn sort_xattrs(&mut self) {
        self.xattrs.reverse();
        self.xattrs.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.xattrs.dedup_by(|(a, _), (b, _)| a == b);
    }
}

/// A key, its value, and the records after it.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn split_record(bytes: &[u8]) -> Result<Record<'_>, Error> {
    let space = bytes.iter().position(|&byte| byte == b' ').ok_or(INVALID)?;
    let length = decimal(bytes.get(..space).unwrap_or_default())?;
    let length = usize::try_from(length).ok().ok_or(INVALID)?;
    let (record, rest) = bytes.split_at_checked(length).ok_or(INVALID)?;
    let record = record
        .get(space..)
        .and_then(|record| record.strip_prefix(b" "))
        .ok_or(INVALID)?;
    let record = record.strip_suffix(b"\n").ok_or(INVALID)?;
    let equals = record
        .iter()
        .position(|&byte| byte == b'=')
        .ok_or(INVALID)?;
    let (key, value) = record.split_at(equals);
    if key.is_empty() || key.contains(&0) {
        return Err(INVALID);
    }
    Ok((key, value.get(1..).unwrap_or_default(), rest))
}

fn set_text(target: &mut Vec<u8>, value: &[u8]) -> Result<(), Error> {
    if value.contains(&0) {
        return Err(INVALID);
    }
    super::replace(target, value);
    Ok(())
}

fn size(value: &[u8]) -> Result<u64, Error> {
    decimal(value).and_then(|size| {
        if i64::try_from(size).is_ok() {
            Ok(size)
        } else {
            Err(INVALID)
        }
    })
}

fn decimal_owner(value: &[u8]) -> Result<u32, Error> {
    owner(i64::try_from(decimal(value)?).unwrap_or(i64::MAX))
}
