//! What an entry of the index knows for content trust: by which of its digests its own name was
//! fetched, and what was verified.

use super::Entry;
use lapstrake_spec::Reference;

/// The annotation with the records of verifications, one a line, the newest last.
const VERIFIED: &str = "io.lapstrake.verified";
/// Records of one entry; the newest stay.
const RECORDS_LIMIT: usize = 16;
/// The annotation with those of the names with digest that the image got by another name than the
/// entry's, separated by spaces. Usually there are none.
const INHERITED: &str = "io.lapstrake.inherited";

impl Entry {
    /// The records of the verifications of its signatures, see [`Images::set_verified`](super::Images::set_verified).
    pub fn verified(&self) -> impl Iterator<Item = &str> {
        let annotations = &self.manifest.annotations;
        let records = annotations.get(VERIFIED);
        records.into_iter().flat_map(|records| records.lines())
    }

    /// The names with digest under which the entry's own name was pulled or pushed.
    pub fn own_digests(&self) -> impl Iterator<Item = &Reference> {
        let own = |digest: &&Reference| self.name.is_some() && self.is_own(digest);
        self.repo_digests.iter().filter(own)
    }

    pub(super) fn is_own(&self, digest: &Reference) -> bool {
        let digest = digest.canonical();
        !self.inherited().any(|known| known == digest)
    }

    /// True when the digest is new here.
    pub(super) fn add_repo_digest(&mut self, digest: Reference, is_own: bool) -> bool {
        let text = digest.canonical();
        let is_new = !self.repo_digests.contains(&digest);
        if is_new {
            self.repo_digests.push(digest);
        }
        let others = self.inherited().filter(|known| *known != text);
        let mut inherited: Vec<String> = others.map(str::to_owned).collect();
        match (is_own, self.name.is_some() && is_new) {
            (true, _) => self.note(INHERITED, &inherited.join(" ")),
            (false, true) => {
                inherited.push(text);
                self.note(INHERITED, &inherited.join(" "));
            }
            (false, false) => {}
        }
        is_new
    }

    pub(super) fn add_record(&mut self, record: &str) {
        let about = |record: &str| record.split(' ').next().map(str::to_owned);
        let others = self
            .verified()
            .filter(|known| about(known) != about(record));
        let mut records: Vec<&str> = others.chain([record]).collect();
        let dropped = records.len().saturating_sub(RECORDS_LIMIT);
        let text = records.split_off(dropped).join("\n");
        self.note(VERIFIED, &text);
    }

    fn inherited(&self) -> impl Iterator<Item = &str> {
        let annotations = &self.manifest.annotations;
        let known = annotations.get(INHERITED);
        known.into_iter().flat_map(|known| known.split(' '))
    }

    fn note(&mut self, key: &str, text: &str) {
        let annotations = &mut self.manifest.annotations;
        if text.is_empty() {
            annotations.remove(key);
        } else {
            annotations.insert(key.to_owned(), text.to_owned());
        }
    }
}
