//! What a server said of a file that was downloaded once.

use super::{Cache, CacheError, Key, read, remove, touch, write};
use crate::source::Time;
use lapstrake_spec::Digest;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A file as it was when it was downloaded. The bytes are not kept: the layer of the step that
/// brought them is, and with it nobody asks for them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteRecord {
    /// `ETag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `Last-Modified`, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// The file's name.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// What [`super::ContentHasher`] makes of its bytes.
    pub content: Key,
    /// How many there are.
    pub size: u64,
}

impl RemoteRecord {
    /// Whether an answer with this `ETag` has the same bytes: servers that ignore conditions send them
    /// again. Weak ones count too, as in BuildKit.
    pub fn has_etag(&self, etag: Option<&str>) -> bool {
        let strong = |etag: &'_ str| etag.strip_prefix("W/").unwrap_or(etag).to_owned();
        let own = self.etag.as_deref().filter(|own| !own.is_empty());
        own.is_some_and(|own| etag.map(strong) == Some(strong(own)))
    }

    /// The headers that ask for the file only if it is another one: by its `ETag`, as in BuildKit. Dates do not
    /// tell: a file that is replaced by an older one has not been modified since.
    pub fn conditions(&self) -> Vec<(String, String)> {
        let own = self.etag.as_deref().filter(|own| !own.is_empty());
        let header = |etag: &str| ("if-none-match".to_owned(), etag.to_owned());
        own.map(header).into_iter().collect()
    }
}

impl Cache {
    /// What is known of the file at an address. The address itself is not kept: it may have a password.
    pub fn remote(&self, url: &str) -> Option<RemoteRecord> {
        serde_json::from_slice(&read(&self.remote_path(url))?).ok()
    }

    /// Remembers a file.
    pub fn put_remote(&self, url: &str, record: &RemoteRecord) -> Result<(), CacheError> {
        let path = self.remote_path(url);
        let raw = serde_json::to_vec(record)
            .map_err(|error| CacheError::at("encode", &path)(error.into()))?;
        write(&path, &raw)
    }

    /// Notes that what is known was of use.
    pub fn touch_remote(&self, url: &str, now: Time) {
        // A record that is gone is written anew.
        touch(&self.remote_path(url), now).ok();
    }

    /// Forgets a file.
    pub fn remove_remote(&self, url: &str) -> Result<(), CacheError> {
        remove(&self.remote_path(url))
    }

    fn remote_path(&self, url: &str) -> PathBuf {
        let name = Key::of(url.as_bytes()).to_string();
        self.folder.join("remote").join(name)
    }
}
