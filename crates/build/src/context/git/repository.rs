//! A repository on disk, read where it lies.

use super::object::ID_BYTES;
use super::{Error, Kind, OBJECT_LIMIT, Object, ObjectId, Objects, Pack};
use flate2::read::ZlibDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest small file: references, alternates.
const TEXT_LIMIT: u64 = 64 << 20;
/// The largest index of a pack.
const INDEX_LIMIT: u64 = 4 << 30;
/// References that lead to references.
const SYMBOLIC_DEPTH: usize = 8;
/// Repositories that lend objects, in all.
const ALTERNATES_LIMIT: usize = 64;

/// A repository: a work tree with `.git`, or a bare one.
#[derive(Debug)]
pub struct Repository {
    directory: PathBuf,
    objects: Vec<PathBuf>,
    packs: Vec<Pack>,
}

impl Repository {
    /// Opens the repository at `path`; nothing when there is none.
    pub fn open(path: &Path) -> Result<Option<Self>, Error> {
        let inner = path.join(".git");
        let directory = if inner.join("HEAD").is_file() {
            inner
        } else if path.join("HEAD").is_file() && path.join("objects").is_dir() {
            path.to_owned()
        } else {
            return Ok(None);
        };
        let mut objects = vec![directory.join("objects")];
        let mut at = 0;
        while let Some(folder) = objects.get(at) {
            let lenders = alternates(folder)?;
            objects.extend(lenders);
            at = at.saturating_add(1);
            if objects.len() > ALTERNATES_LIMIT {
                return Err(Error::TooLarge("too many alternates"));
            }
        }
        let mut packs = Vec::new();
        for folder in &objects {
            open_packs(&folder.join("pack"), &mut packs)?;
        }
        Ok(Some(Self {
            directory,
            objects,
            packs,
        }))
    }

    /// The object that a reference names.
    pub fn resolve(&self, reference: Option<&str>) -> Result<ObjectId, Error> {
        let Some(name) = reference else {
            return self
                .named("HEAD", 0)?
                .ok_or_else(|| Error::NoReference("HEAD".to_owned()));
        };
        for candidate in super::client::candidates(name) {
            if let Some(id) = self.named(&candidate, 0)? {
                return Ok(id);
            }
        }
        ObjectId::parse(name).ok_or_else(|| Error::NoReference(name.to_owned()))
    }

    fn named(&self, name: &str, depth: usize) -> Result<Option<ObjectId>, Error> {
        let dubious = name
            .split('/')
            .any(|part| part.is_empty() || part.starts_with('.'));
        if dubious || depth > SYMBOLIC_DEPTH {
            return Ok(None);
        }
        if let Some(text) = read_text(&self.directory.join(name))? {
            let text = text.trim();
            return match text.strip_prefix("ref:") {
                Some(target) => self.named(target.trim(), depth.saturating_add(1)),
                None => Ok(ObjectId::parse(text)),
            };
        }
        let packed = read_text(&self.directory.join("packed-refs"))?.unwrap_or_default();
        Ok(packed.lines().find_map(|line| {
            let (id, of) = line.split_once(' ')?;
            (of == name).then(|| ObjectId::parse(id)).flatten()
        }))
    }

    fn loose(&self, id: &ObjectId) -> Result<Option<Object>, Error> {
        let text = id.to_string();
        let (first, rest) = text.split_at(2);
        for folder in &self.objects {
            match File::open(folder.join(first).join(rest)) {
                Ok(file) => return inflate(file).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io(format!("open object {id}"))(error)),
            }
        }
        Ok(None)
    }
}

impl Objects for Repository {
    fn read(&self, id: &ObjectId) -> Result<Object, Error> {
        if let Some(pack) = self.packs.iter().find(|pack| pack.has(id)) {
            return pack.read(id);
        }
        self.loose(id)?.ok_or(Error::Missing(*id))
    }
}

/// A loose object: `KIND LENGTH`, a zero byte, and the content, deflated.
fn inflate(file: File) -> Result<Object, Error> {
    /// More than any head that is right.
    const HEAD_BYTES: u64 = 64;
    let mut bytes = Vec::new();
    ZlibDecoder::new(io::BufReader::new(file))
        .take(OBJECT_LIMIT.saturating_add(HEAD_BYTES))
        .read_to_end(&mut bytes)
        .map_err(Error::io("read object"))?;
    let wrong = || Error::invalid("damaged object");
    let end = bytes.iter().position(|&byte| byte == 0).ok_or_else(wrong)?;
    let content = bytes.split_off(end.saturating_add(1));
    let word = bytes.split(|&byte| byte == b' ').next().unwrap_or_default();
    let kind = Kind::parse(word).ok_or_else(wrong)?;
    Ok(Object { kind, content })
}

fn read_text(path: &Path) -> Result<Option<String>, Error> {
    let failed = || Error::io(format!("read {}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed()(error)),
    };
    if !file.metadata().map_err(failed())?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(TEXT_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(failed())?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn alternates(objects: &Path) -> Result<Vec<PathBuf>, Error> {
    let text = read_text(&objects.join("info/alternates"))?.unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|line| objects.join(line)).collect())
}

fn open_packs(folder: &Path, packs: &mut Vec<Pack>) -> Result<(), Error> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io(format!("read {}", folder.display())))?,
    };
    for entry in entries {
        let path = entry
            .map_err(Error::io(format!("read {}", folder.display())))?
            .path();
        if path.extension().is_none_or(|extension| extension != "idx") {
            continue;
        }
        let failed = || Error::io(format!("read {}", path.display()));
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(INDEX_LIMIT).read_to_end(&mut bytes))
            .map_err(failed())?;
        let file = File::open(path.with_extension("pack")).map_err(failed())?;
        packs.push(match index(&bytes) {
            Some(index) => Pack::with_index(file, index),
            // The old form of an index, or a damaged one: the pack itself tells.
            None => Pack::index(file)?,
        });
    }
    Ok(())
}

/// An index of version 2: names in order, then checksums, then places of 32 bits, of which those with
/// the highest bit are places in a list of 64-bit ones.
fn index(bytes: &[u8]) -> Option<BTreeMap<ObjectId, u64>> {
    const FANOUT: usize = 8 + 256 * 4;
    const LARGE: u32 = 1 << 31;
    if !bytes.starts_with(b"\xfftOc\0\0\0\x02") {
        return None;
    }
    let word = |at: usize| {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let count = usize::try_from(word(FANOUT - 4)?).ok()?;
    let checksums = FANOUT.checked_add(count.checked_mul(ID_BYTES)?)?;
    let places = checksums.checked_add(count.checked_mul(4)?)?;
    let large = places.checked_add(count.checked_mul(4)?)?;
    let mut index = BTreeMap::new();
    let names = bytes.get(FANOUT..checksums)?.chunks_exact(ID_BYTES);
    for (number, name) in names.enumerate() {
        let place = word(places.checked_add(number.checked_mul(4)?)?)?;
        let place = if place & LARGE == 0 {
            u64::from(place)
        } else {
            let at = usize::try_from(place & !LARGE).ok()?.checked_mul(8)?;
            let at = large.checked_add(at)?;
            u64::from(word(at)?) << 32 | u64::from(word(at.checked_add(4)?)?)
        };
        index.insert(ObjectId::from_bytes(name)?, place);
    }
    Some(index)
}
