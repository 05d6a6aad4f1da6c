//! Packs: many objects in one file.
//!
//! A pack that was fetched has no index, so one is made: a first pass over the file finds where each
//! entry begins and names those that stand for themselves; then deltas are resolved from their bases
//! on, each object once.

use super::object::{ID_BYTES, header};
use super::{
    DELTA_DEPTH_LIMIT, Error, Kind, OBJECT_LIMIT, OBJECTS_LIMIT, Object, ObjectId, Objects, delta,
};
use flate2::bufread::ZlibDecoder;
use sha1::{Digest as _, Sha1};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes read at a time while indexing, and while reading one object.
const SCAN_BYTES: usize = 1 << 20;
const READ_BYTES: usize = 16 << 10;

/// A pack file and where its objects are.
#[derive(Debug)]
pub struct Pack {
    file: File,
    index: BTreeMap<ObjectId, u64>,
}

/// What stands at a place of a pack.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Whole(Kind),
    /// A delta on the entry at this place.
    Offset(u64),
    /// A delta on this object.
    Reference(ObjectId),
}

impl Pack {
    /// Reads a whole pack file once and indexes it.
    pub fn index(file: File) -> Result<Self, Error> {
        let scanned = Scan::new(&file)?.run()?;
        let mut pack = Self {
            file,
            index: scanned.whole,
        };
        pack.resolve(scanned.deltas)?;
        Ok(pack)
    }

    /// A pack with an index that is known: names and places.
    pub(super) fn with_index(file: File, index: BTreeMap<ObjectId, u64>) -> Self {
        Self { file, index }
    }

    /// Whether an object is here.
    pub(super) fn has(&self, id: &ObjectId) -> bool {
        self.index.contains_key(id)
    }

    /// Names the objects that are deltas, from their bases on.
    fn resolve(&mut self, deltas: Vec<(u64, Entry)>) -> Result<(), Error> {
        let total = deltas.len();
        let mut by_offset: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut by_id: BTreeMap<ObjectId, Vec<u64>> = BTreeMap::new();
        for (at, entry) in deltas {
            match entry {
                Entry::Offset(base) => by_offset.entry(base).or_default().push(at),
                Entry::Reference(base) => by_id.entry(base).or_default().push(at),
                Entry::Whole(_) => {}
            }
        }
        let roots: Vec<(ObjectId, u64)> = self.index.iter().map(|(id, at)| (*id, *at)).collect();
        let mut resolved = 0_usize;
        for (id, at) in roots {
            if !by_offset.contains_key(&at) && !by_id.contains_key(&id) {
                continue;
            }
            let object = self.object_at(at)?;
            let (kind, content) = (object.kind, Arc::new(object.content));
            let mut waiting: Vec<(u64, Arc<Vec<u8>>)> = Vec::new();
            let mut children = by_offset.remove(&at).unwrap_or_default();
            children.extend(by_id.remove(&id).unwrap_or_default());
            waiting.extend(
                children
                    .into_iter()
                    .map(|child| (child, Arc::clone(&content))),
            );
            while let Some((child, base)) = waiting.pop() {
                let (_, patch) = self.raw(child)?;
                let made = Arc::new(delta::apply(&base, &patch)?);
                let id = ObjectId::of(kind, &made);
                self.index.insert(id, child);
                resolved = resolved.saturating_add(1);
                let mut children = by_offset.remove(&child).unwrap_or_default();
                children.extend(by_id.remove(&id).unwrap_or_default());
                waiting.extend(children.into_iter().map(|child| (child, Arc::clone(&made))));
            }
        }
        if resolved < total {
            return Err(Error::invalid("pack has deltas without their bases"));
        }
        Ok(())
    }

    /// What stands at a place, and its inflated bytes.
    fn raw(&self, at: u64) -> Result<(Entry, Vec<u8>), Error> {
        let mut reader = BufReader::with_capacity(
            READ_BYTES,
            At {
                file: &self.file,
                at,
            },
        );
        let (entry, size, _) = entry(&mut reader, at)?;
        Ok((entry, inflate(&mut reader, size)?.0))
    }

    fn object_at(&self, at: u64) -> Result<Object, Error> {
        let mut patches = Vec::new();
        let mut at = at;
        let (kind, mut content) = loop {
            let (entry, bytes) = self.raw(at)?;
            at = match entry {
                Entry::Whole(kind) => break (kind, bytes),
                Entry::Offset(base) => base,
                Entry::Reference(id) => *self.index.get(&id).ok_or(Error::Missing(id))?,
            };
            patches.push(bytes);
            if patches.len() > DELTA_DEPTH_LIMIT {
                return Err(Error::TooLarge("too many deltas on deltas"));
            }
        };
        while let Some(patch) = patches.pop() {
            content = delta::apply(&content, &patch)?;
        }
        Ok(Object { kind, content })
    }
}

impl Objects for Pack {
    fn read(&self, id: &ObjectId) -> Result<Object, Error> {
        let at = self.index.get(id).ok_or(Error::Missing(*id))?;
        self.object_at(*at)
    }
}

/// The first pass over a pack.
struct Scan<'a> {
    reader: BufReader<&'a File>,
    at: u64,
    count: u32,
}

#[derive(Default)]
struct Scanned {
    whole: BTreeMap<ObjectId, u64>,
    deltas: Vec<(u64, Entry)>,
}

impl<'a> Scan<'a> {
    fn new(file: &'a File) -> Result<Self, Error> {
        let mut seeking = file;
        io::Seek::rewind(&mut seeking).map_err(Error::io("read pack"))?;
        let mut reader = BufReader::with_capacity(SCAN_BYTES, file);
        let mut head = [0_u8; 12];
        reader
            .read_exact(&mut head)
            .map_err(Error::io("read pack"))?;
        let word = |range: std::ops::Range<usize>| {
            let bytes = head.get(range).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_be_bytes)
        };
        let (version, count) = (word(4..8), word(8..12));
        if !head.starts_with(b"PACK") || !(2..=3).contains(&version) {
            return Err(Error::invalid("not a pack"));
        }
        if count > OBJECTS_LIMIT {
            return Err(Error::TooLarge("too many objects in a pack"));
        }
        Ok(Self {
            reader,
            at: 12,
            count,
        })
    }

    fn run(mut self) -> Result<Scanned, Error> {
        let mut scanned = Scanned::default();
        for _ in 0..self.count {
            let at = self.at;
            let (entry, size, head) = entry(&mut self.reader, at)?;
            let mut hasher = Sha1::new();
            if let Entry::Whole(kind) = entry {
                let length = usize::try_from(size).unwrap_or(usize::MAX);
                hasher.update(header(kind, length).as_bytes());
            }
            let consumed = hash(&mut self.reader, size, &mut hasher)?;
            self.at = at.saturating_add(head).saturating_add(consumed);
            match entry {
                Entry::Whole(_) => {
                    let id = ObjectId(hasher.finalize().into());
                    scanned.whole.insert(id, at);
                }
                delta => scanned.deltas.push((at, delta)),
            }
        }
        Ok(scanned)
    }
}

/// The head of an entry: what it is, its inflated size, and how long the head is.
fn entry(reader: &mut impl Read, at: u64) -> Result<(Entry, u64, u64), Error> {
    let mut head = 0_u64;
    let mut next = || -> Result<u8, Error> {
        let mut byte = [0];
        reader
            .read_exact(&mut byte)
            .map_err(Error::io("read pack"))?;
        head = head.saturating_add(1);
        Ok(byte[0])
    };
    let mut byte = next()?;
    let kind = (byte >> 4) & 7;
    let mut size = u64::from(byte & 0x0f);
    let mut shift = 4_u32;
    while byte & 0x80 != 0 {
        byte = next()?;
        let bits = u64::from(byte & 0x7f);
        size |= bits
            .checked_shl(shift)
            .ok_or_else(|| Error::invalid("damaged pack"))?;
        shift = shift.saturating_add(7);
    }
    if size > OBJECT_LIMIT {
        return Err(Error::TooLarge("object larger than 1 GiB"));
    }
    let entry = match kind {
        1 => Entry::Whole(Kind::Commit),
        2 => Entry::Whole(Kind::Tree),
        3 => Entry::Whole(Kind::Blob),
        4 => Entry::Whole(Kind::Tag),
        6 => {
            let mut byte = next()?;
            let mut back = u64::from(byte & 0x7f);
            while byte & 0x80 != 0 {
                byte = next()?;
                back = back.saturating_add(1).saturating_mul(128) | u64::from(byte & 0x7f);
            }
            let base = at.checked_sub(back).filter(|_| back > 0);
            Entry::Offset(base.ok_or_else(|| Error::invalid("damaged pack"))?)
        }
        7 => {
            let mut id = [0; ID_BYTES];
            for byte in &mut id {
                *byte = next()?;
            }
            Entry::Reference(ObjectId(id))
        }
        _ => return Err(Error::invalid("damaged pack")),
    };
    Ok((entry, size, head))
}

/// Inflates the bytes of an entry, and says how many compressed ones they were.
fn inflate(reader: &mut impl BufRead, size: u64) -> Result<(Vec<u8>, u64), Error> {
    let mut bytes = Vec::new();
    let mut decoder = ZlibDecoder::new(reader);
    (&mut decoder)
        .take(size.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Error::io("read pack"))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) != size {
        return Err(Error::invalid("object of a wrong size in a pack"));
    }
    Ok((bytes, decoder.total_in()))
}

/// As [`inflate`], for bytes that are only hashed.
fn hash(reader: &mut impl BufRead, size: u64, hasher: &mut Sha1) -> Result<u64, Error> {
    let mut decoder = ZlibDecoder::new(reader);
    let mut buffer = [0; READ_BYTES];
    let mut total = 0_u64;
    loop {
        let count = decoder.read(&mut buffer).map_err(Error::io("read pack"))?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if total > size {
            break;
        }
    }
    if total != size {
        return Err(Error::invalid("object of a wrong size in a pack"));
    }
    Ok(decoder.total_in())
}

/// A file read from a place on, without moving the place that others read at.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at = self
            .at
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}
