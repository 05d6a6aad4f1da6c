//! Files of web servers: fetched once, and after that only when they are others.

use super::remote::{Network, failed};
use super::words::to_source;
use crate::error::{Error, ErrorKind};
use lapstrake_build::cache::{Cache, ContentHasher, RemoteRecord};
use lapstrake_build::context::Scratch;
use lapstrake_build::source::{HttpRequest, RemoteContent, RemoteFile, SourceError, Time};
use lapstrake_spec::{Digest, Hasher};
use lapstrake_store::Store;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes written at a time.
const BUFFER_BYTES: usize = 128 << 10;
/// Bytes of a file's name.
const NAME_LIMIT: usize = 255;

/// Where files come from and go to.
#[derive(Debug, Clone)]
pub(super) struct Downloads {
    pub(super) network: Arc<Network>,
    pub(super) store: Store,
    pub(super) now: Time,
}

/// A file that was downloaded, in a folder that goes with it.
#[derive(Debug, Clone)]
struct Here {
    path: PathBuf,
    _scratch: Arc<Scratch>,
}

impl RemoteContent for Here {
    fn open(&self) -> Result<Box<dyn Read + Send>, SourceError> {
        self.path.open()
    }
}

/// A file that the server says is still what it was: it is fetched when a step wants its bytes, whose
/// layer is gone or was never made.
#[derive(Debug)]
struct There {
    downloads: Downloads,
    url: String,
    digest: Digest,
    here: Mutex<Option<Here>>,
}

impl RemoteContent for There {
    fn open(&self) -> Result<Box<dyn Read + Send>, SourceError> {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = here.as_ref() {
            return here.open();
        }
        let (found, record) = self.fetch().map_err(to_source)?;
        if record.digest != self.digest {
            // The next build asks without conditions.
            Cache::of(&self.downloads.store)
                .remove_remote(&self.url)
                .ok();
            let text = format!("{} has changed while the build ran", self.url);
            return Err(SourceError::other(text));
        }
        here.insert(found).open()
    }
}

impl There {
    fn fetch(&self) -> Result<(Here, RemoteRecord), Error> {
        let body = self.downloads.network.get(&self.url)?;
        self.downloads.write(&self.url, body)
    }
}

impl Downloads {
    /// The file at an address. Nobody is asked when its content is known already, and when it is not, the server
    /// is asked whether it has changed.
    pub(super) fn file(&self, request: &HttpRequest) -> Result<RemoteFile, Error> {
        let url = &request.url;
        let cache = Cache::of(&self.store);
        let known = cache.remote(url);
        let wanted = request.checksum.as_ref();
        if let Some(known) = known.as_ref().filter(|known| wanted == Some(&known.digest)) {
            return Ok(self.known(url, known));
        }
        let conditions = known.as_ref().map(RemoteRecord::conditions);
        let answer = self
            .network
            .get_changed(url, conditions.unwrap_or_default())?;
        let is_same = |body: &super::remote::Body| {
            let etag = body.fetched.etag.as_deref();
            known.as_ref().is_some_and(|known| known.has_etag(etag))
        };
        let (file, digest) = match (answer.filter(|body| !is_same(body)), &known) {
            (None, Some(known)) => (self.known(url, known), known.digest.clone()),
            (None, None) => {
                let text = format!("{url} was not sent");
                return Err(Error::new(ErrorKind::Unavailable, text));
            }
            (Some(body), _) => {
                let (here, record) = self.write(url, body)?;
                // Without it the next build downloads again.
                cache.put_remote(url, &record).ok();
                let digest = record.digest.clone();
                (file_of(&record, Arc::new(here)), digest)
            }
        };
        match wanted {
            Some(wanted) if *wanted != digest => {
                let text = format!("digest mismatch {digest}: {wanted}");
                Err(Error::new(ErrorKind::Corrupt, text))
            }
            _ => Ok(file),
        }
    }

    fn known(&self, url: &str, record: &RemoteRecord) -> RemoteFile {
        Cache::of(&self.store).touch_remote(url, self.now);
        let content = There {
            downloads: self.clone(),
            url: url.to_owned(),
            digest: record.digest.clone(),
            here: Mutex::default(),
        };
        file_of(record, Arc::new(content))
    }

    fn write(
        &self,
        url: &str,
        mut body: super::remote::Body,
    ) -> Result<(Here, RemoteRecord), Error> {
        let scratch =
            Scratch::create(&self.store).map_err(|error| failed("make a folder", error))?;
        let path = scratch.path().join("file");
        let wrong = |error| failed(&format!("download {url}"), error);
        let mut file = std::fs::File::create_new(&path).map_err(wrong)?;
        let (mut hasher, mut content) = (Hasher::sha256(), ContentHasher::default());
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut size = 0_u64;
        loop {
            let count = body.read(&mut buffer).map_err(wrong)?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            hasher.update(bytes);
            content.update(bytes);
            file.write_all(bytes).map_err(wrong)?;
            size = size.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        let head = &body.fetched;
        let record = RemoteRecord {
            etag: head.etag.clone(),
            last_modified: head.last_modified.clone(),
            name: file_name(head.disposition.as_deref(), url),
            digest: hasher.finish(),
            content: content.finish(),
            size,
        };
        let here = Here {
            path,
            _scratch: Arc::new(scratch),
        };
        Ok((here, record))
    }
}

fn file_of(record: &RemoteRecord, content: Arc<dyn RemoteContent>) -> RemoteFile {
    RemoteFile {
        content,
        size: record.size,
        key: Some(record.content),
        name: record.name.clone(),
        digest: record.digest.clone(),
        modified: record.last_modified.as_deref().and_then(http_date),
    }
}

/// The name that a downloaded file gets in a directory: the server's, else the last part of the
/// address.
pub(super) fn file_name(disposition: Option<&str>, url: &str) -> String {
    let given = disposition.and_then(|text| {
        let fields = text.split(';').map(str::trim);
        let value = fields.filter_map(|field| field.split_once('='));
        let mut named = value.filter(|(key, _)| key.eq_ignore_ascii_case("filename"));
        named
            .next()
            .map(|(_, name)| name.trim_matches('"').to_owned())
    });
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let last = match path.split_once('/') {
        Some((_, path)) => path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default(),
        None => "",
    };
    let is_name = |name: &str| {
        !name.is_empty()
            && name != "."
            && name != ".."
            && name.len() <= NAME_LIMIT
            && !name.contains(['/', '\0'])
    };
    let given = given.filter(|name| is_name(name));
    given.unwrap_or_else(|| {
        let name = if is_name(last) { last } else { "download" };
        name.to_owned()
    })
}

/// `Wed, 21 Oct 2015 07:28:00 GMT`
fn http_date(text: &str) -> Option<Time> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Time {
        seconds: zoned.timestamp().as_second(),
        nanoseconds: 0,
    })
}

/// A moment as files have it.
pub(super) fn moment(time: jiff::Timestamp) -> Time {
    Time {
        seconds: time.as_second(),
        nanoseconds: time.subsec_nanosecond().try_into().unwrap_or(0),
    }
}
