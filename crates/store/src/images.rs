//! The index: which images there are and what they are called.

use lapstrake_spec::{Descriptor, Digest, Platform, Reference, ReferenceError};
use std::collections::BTreeMap;

mod json;
mod notes;

pub(crate) use json::{parse, to_bytes};

/// One name of an image, or an image without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The manifest that the name stands for.
    pub manifest: Descriptor,
    /// The image id: the digest of the configuration.
    pub id: Digest,
    /// The name with its tag.
    pub name: Option<Reference>,
    /// Names with digests under which registries have it.
    pub repo_digests: Vec<Reference>,
    /// When it was made, RFC 3339 as the configuration has it.
    pub created: Option<String>,
    /// Bytes of the unpacked layers.
    pub size: u64,
    /// The image it was made from, where that is known here.
    pub parent: Option<Digest>,
    /// What it runs on.
    pub platform: Option<Platform>,
    /// When a name was last given to it, RFC 3339.
    pub tagged_at: Option<String>,
}

/// What words on a command line stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The image id.
    pub id: Digest,
    /// The manifest.
    pub manifest: Descriptor,
    /// The name that fits the words; none when an id did.
    pub name: Option<Reference>,
}

/// Why words on a command line stand for no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No image fits.
    #[error("no such image")]
    NotFound,
    /// Several ids begin so.
    #[error("ambiguous image id")]
    Ambiguous,
    /// Neither a name nor an id.
    #[error(transparent)]
    Invalid(ReferenceError),
}

/// The index, read at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Images {
    pub(crate) entries: Vec<Entry>,
    /// Descriptors that other tools put there and that are not images of one platform.
    pub(crate) others: Vec<Descriptor>,
    /// By the digest of a manifest in Docker's format, the manifest in OCI's that readers of the layout find.
    pub(crate) twins: BTreeMap<Digest, Descriptor>,
    /// The index's own annotations.
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Images {
    /// Every name, and every image without one.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The image ids, each once, in the order of the index.
    pub fn image_ids(&self) -> Vec<Digest> {
        let mut seen = std::collections::BTreeSet::new();
        self.entries
            .iter()
            .filter(|entry| seen.insert(&entry.id))
            .map(|entry| entry.id.clone())
            .collect()
    }

    /// The first entry of an image.
    pub fn by_id(&self, id: &Digest) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == *id)
    }

    /// The entry with this name.
    pub fn by_name(&self, name: &Reference) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.name.as_ref() == Some(name))
    }

    /// The names of an image.
    pub fn tags_of(&self, id: &Digest) -> Vec<Reference> {
        self.of(id).filter_map(|entry| entry.name.clone()).collect()
    }

    /// The names with digest of an image.
    pub fn digests_of(&self, id: &Digest) -> Vec<Reference> {
        let mut digests: Vec<Reference> = self
            .of(id)
            .flat_map(|entry| &entry.repo_digests)
            .cloned()
            .collect();
        digests.sort();
        digests.dedup();
        digests
    }

    fn of<'a>(&'a self, id: &'a Digest) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.id == *id)
    }

    /// What a name, a name with digest, an id or the beginning of one stands for. A name wins.
    pub fn find(&self, typed: &str) -> Result<Found, LookupError> {
        if let Some(id) = whole_id(typed) {
            let entry = self.by_id(&id).ok_or(LookupError::NotFound)?;
            return Ok(found(entry, None));
        }
        let parsed = Reference::parse(typed);
        if let Ok(reference) = &parsed
            && let Some(found) = self.named(reference)
        {
            return Ok(found);
        }
        match self.by_prefix(typed) {
            Err(LookupError::NotFound) => match parsed {
                Err(error) => Err(LookupError::Invalid(error)),
                Ok(_) => Err(LookupError::NotFound),
            },
            other => other,
        }
    }

    fn named(&self, reference: &Reference) -> Option<Found> {
        let Some(digest) = reference.digest() else {
            let name = reference.or_latest();
            return self.by_name(&name).map(|entry| found(entry, Some(name)));
        };
        let fits =
            |known: &Reference| known.digest() == Some(digest) && known.same_repository(reference);
        self.entries
            .iter()
            .find(|entry| entry.repo_digests.iter().any(fits))
            .map(|entry| found(entry, Some(reference.without_tag())))
    }

    fn by_prefix(&self, typed: &str) -> Result<Found, LookupError> {
        let digits = typed.strip_prefix("sha256:").unwrap_or(typed);
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(is_hex) {
            return Err(LookupError::NotFound);
        }
        let mut hits = self
            .entries
            .iter()
            .filter(|entry| entry.id.hex().starts_with(digits));
        let first = hits.next().ok_or(LookupError::NotFound)?;
        if hits.any(|entry| entry.id != first.id) {
            return Err(LookupError::Ambiguous);
        }
        Ok(found(first, None))
    }

    /// Enters an image. A name that stood for another image moves; an image that loses its last name
    /// so stays, without one. True when the name, or the image, is new here.
    pub fn insert(&mut self, mut entry: Entry) -> bool {
        // The rest of a descriptor concerns the index it was found in.
        entry.manifest = Descriptor::new(
            entry.manifest.media_type,
            entry.manifest.digest,
            entry.manifest.size,
        );
        for digest in std::mem::take(&mut entry.repo_digests) {
            let is_own = entry.name == Some(digest.without_digest());
            entry.add_repo_digest(digest.without_tag(), is_own);
        }
        match entry.name.clone() {
            Some(name) => self.insert_named(entry, &name),
            None => self.insert_nameless(entry),
        }
    }

    fn insert_named(&mut self, mut entry: Entry, name: &Reference) -> bool {
        let mut moved = true;
        if let Some(at) = self
            .entries
            .iter()
            .position(|old| old.name.as_ref() == Some(name))
        {
            moved = self.entries.get(at).is_none_or(|old| old.id != entry.id);
            if moved {
                self.unname(at);
            } else {
                let old = self.entries.remove(at);
                inherit(&mut entry, old);
            }
        }
        // An image with a name needs no entry without.
        while let Some(at) = self.nameless(&entry.id) {
            let old = self.entries.remove(at);
            inherit(&mut entry, old);
        }
        self.entries.push(entry);
        moved
    }

    fn insert_nameless(&mut self, entry: Entry) -> bool {
        let Some(known) = self.entries.iter_mut().find(|known| known.id == entry.id) else {
            self.entries.push(entry);
            return true;
        };
        let mut new = false;
        for digest in entry.repo_digests {
            new |= known.add_repo_digest(digest, false);
        }
        new
    }

    fn nameless(&self, id: &Digest) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.id == *id && entry.name.is_none())
    }

    /// Gives an image one more name. False when the image is not here.
    pub fn tag(&mut self, id: &Digest, name: &Reference, now: &str) -> bool {
        let Some(known) = self.by_id(id) else {
            return false;
        };
        let entry = Entry {
            name: Some(name.clone()),
            repo_digests: Vec::new(),
            tagged_at: Some(now.to_owned()),
            ..known.clone()
        };
        self.insert(entry);
        for entry in self.entries.iter_mut().filter(|entry| entry.id == *id) {
            entry.tagged_at = Some(now.to_owned());
        }
        true
    }

    /// Takes a name, or a name with digest, from an image; the image stays. False when it has no such name.
    pub fn untag(&mut self, id: &Digest, reference: &Reference) -> bool {
        if reference.digest().is_some() {
            let reference = reference.without_tag();
            let mut changed = false;
            for entry in self.entries.iter_mut().filter(|entry| entry.id == *id) {
                let before = entry.repo_digests.len();
                entry.repo_digests.retain(|known| *known != reference);
                changed |= entry.repo_digests.len() != before;
            }
            return changed;
        }
        let at = self
            .entries
            .iter()
            .position(|entry| entry.id == *id && entry.name.as_ref() == Some(reference));
        if let Some(at) = at {
            self.unname(at);
        }
        at.is_some()
    }

    /// Takes the name from an entry. Its digests stay with the image.
    fn unname(&mut self, at: usize) {
        let mut entry = self.entries.remove(at);
        entry.name = None;
        entry.manifest.annotations.remove(json::REF_NAME);
        match self.entries.iter_mut().find(|other| other.id == entry.id) {
            Some(other) => inherit(other, entry),
            None => self.entries.push(entry),
        }
    }

    /// Takes an image out, with all its names. False when it was not here.
    pub fn remove(&mut self, id: &Digest) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.id != *id);
        self.entries.len() != before
    }

    /// Records that a registry has an image under `digest` and under `name`; told of the entry that is
    /// called so, or of the image's first.
    pub fn add_digest(&mut self, id: &Digest, name: &Reference, digest: &Reference) {
        let digest = digest.without_tag();
        let is_known = self
            .of(id)
            .any(|entry| entry.repo_digests.contains(&digest));
        if let Some(entry) = self.called_or_first(id, name) {
            let is_own = entry.name.as_ref() == Some(name);
            if is_own || !is_known {
                entry.add_repo_digest(digest, is_own);
            }
        }
    }

    /// Records that the signature of an image was verified under `name`. The words are the caller's; a
    /// record that begins with the same word is replaced.
    pub fn set_verified(&mut self, id: &Digest, name: &Reference, record: &str) {
        if let Some(entry) = self.called_or_first(id, name) {
            entry.add_record(record);
        }
    }

    /// The entry of an image that has this name, else its first.
    fn called_or_first(&mut self, id: &Digest, name: &Reference) -> Option<&mut Entry> {
        let of_image = |entry: &Entry| entry.id == *id;
        let called = |entry: &Entry| of_image(entry) && entry.name.as_ref() == Some(name);
        let at = self.entries.iter().position(called);
        let at = at.or_else(|| self.entries.iter().position(of_image));
        at.and_then(|at| self.entries.get_mut(at))
    }

    /// Lets every entry with one manifest have another one of the same image.
    pub fn replace_manifest(&mut self, old: &Digest, new: &Descriptor) {
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.manifest.digest == *old)
        {
            let annotations = std::mem::take(&mut entry.manifest.annotations);
            entry.manifest = Descriptor::new(new.media_type.clone(), new.digest.clone(), new.size);
            entry.manifest.annotations = annotations;
        }
    }
}

/// Lets an entry have what is only known from an older one of the same image.
fn inherit(entry: &mut Entry, old: Entry) {
    for record in old.verified() {
        entry.add_record(record);
    }
    for digest in &old.repo_digests {
        if !entry.repo_digests.contains(digest) {
            let is_own = old.name == entry.name && old.is_own(digest);
            entry.add_repo_digest(digest.clone(), is_own);
        }
    }
    entry.parent = entry.parent.take().or(old.parent);
}

fn found(entry: &Entry, name: Option<Reference>) -> Found {
    Found {
        id: entry.id.clone(),
        manifest: entry.manifest.clone(),
        name,
    }
}

/// `sha256:` and 64 digits, or the digits alone.
fn whole_id(typed: &str) -> Option<Digest> {
    Digest::parse(typed)
        .or_else(|_| Digest::from_sha256_hex(typed))
        .ok()
}

#[cfg(test)]
mod tests;
