//! `import`: a file system archive becomes an image of one layer.

use super::export::{PAGE_BYTES, told_of_page};
use crate::error::{Error, ErrorKind, Origin};
use crate::event::{Event, EventSink};
use crate::{Engine, lookup, transfer};
use bytes::Bytes;
use lapstrake_registry::client::{FetchRequest, Fetched};
use lapstrake_spec::{ContainerConfig, History, ImageConfig, Platform, RootFs, change};
use lapstrake_store::{Error as StoreError, NewLayer, Store};
use std::io::{self, Read};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// The largest archive that is downloaded.
const DOWNLOAD_LIMIT: u64 = 1 << 40;
/// Pieces of a download that wait for being written.
const QUEUE: usize = 16;

/// Where the archive comes from.
pub enum ImportSource {
    /// A stream that is read to its end: a file, or standard input.
    Stream {
        /// The bytes, in any compression.
        reader: Box<dyn Read + Send>,
        /// What the history says of it: `Imported from NAME`.
        name: String,
    },
}

impl std::fmt::Debug for ImportSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Stream { name, .. } = self;
        f.debug_struct("Stream")
            .field("name", name)
            .finish_non_exhaustive()
    }
}

/// What `import` asks for.
#[derive(Debug)]
pub struct ImportRequest {
    /// The archive.
    pub source: ImportSource,
    /// The name of the new image.
    pub reference: Option<String>,
    /// Dockerfile instructions on its configuration.
    pub changes: Vec<String>,
    /// The commit message; empty: docker's own.
    pub message: String,
    /// The platform to record, else this host's.
    pub platform: Option<Platform>,
}

/// Imports; the result is the image id.
pub fn import(engine: &Engine, request: ImportRequest) -> Result<lapstrake_spec::Digest, Error> {
    let store = engine.store()?;
    let reference = request
        .reference
        .as_deref()
        .map(lookup::parse)
        .transpose()?;
    let mut config = ContainerConfig::default();
    change::apply_changes(&mut config, request.changes.iter().map(String::as_str))
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
    let ImportSource::Stream { reader, name } = request.source;
    let lease = store.lease()?;
    let layer = layer(store, reader)?;
    lease.protect(std::slice::from_ref(&layer.descriptor.digest))?;
    let message = if request.message.is_empty() {
        format!("Imported from {name}")
    } else {
        request.message
    };
    let now = engine.now().to_string();
    let platform = request.platform.unwrap_or_else(Platform::host);
    let image = ImageConfig {
        created: Some(now.clone()),
        comment: message.clone(),
        architecture: platform.architecture,
        variant: platform.variant.unwrap_or_default(),
        os: platform.os,
        config: Some(config),
        rootfs: RootFs::layers(vec![layer.diff_id.clone()]),
        history: vec![History {
            created: Some(now),
            comment: message,
            ..History::default()
        }],
        ..ImageConfig::default()
    };
    let media = transfer::Family::of(&layer.descriptor.media_type);
    let new = transfer::NewImage {
        config: image,
        layers: vec![layer.descriptor],
        family: media,
        size: layer.size,
        parent: None,
        name: reference.map(|name| name.or_latest()),
    };
    let id = transfer::record(engine, new, &lease)?;
    Ok(id)
}

/// Makes the layer, and says what a web page is.
fn layer(store: &Store, mut reader: impl Read + Send) -> Result<NewLayer, Error> {
    let mut start = Vec::with_capacity(PAGE_BYTES);
    (&mut reader)
        .take(PAGE_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(|error| Error::from(StoreError::Content(error)))?;
    let whole = io::Cursor::new(start.clone()).chain(reader);
    let made = store.layer_from_tar(whole, true);
    made.map_err(|error| told_of_page(error.into(), &start))
}

/// Imports what a web server has; the request's own source is not read. Only the bytes that came are kept
/// in memory, a few at a time. The result is the image id.
pub async fn import_url(
    engine: &Engine,
    url: &str,
    request: ImportRequest,
    events: &dyn EventSink,
) -> Result<lapstrake_spec::Digest, Error> {
    if let Some(reference) = &request.reference {
        lookup::parse(reference)?;
    }
    let shown = without_password(url);
    let fetched = fetch(engine, url, &shown).await?;
    events.event(Event::FetchStarted { url: shown.clone() });
    let (sender, receiver) = mpsc::channel(QUEUE);
    let request = ImportRequest {
        source: ImportSource::Stream {
            reader: Box::new(Download {
                receiver,
                chunk: Bytes::new(),
                ended: false,
            }),
            name: shown,
        },
        ..request
    };
    let engine = engine.clone();
    let importing = spawn_blocking(move || import(&engine, request));
    let received = receive(fetched, sender, events).await;
    let imported = importing.await.map_err(Error::internal)?;
    // The reader only knows that the stream broke, and a broken import that nobody reads to the end any more.
    match (imported, received) {
        (Err(_), Err(lost)) => Err(lost.with_origin(Origin::Stream)),
        (imported, _) => imported,
    }
}

/// An address as it may be shown and written down.
fn without_password(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let authority = rest.split(['/', '?', '#']).next()?;
        let (secret, _host) = authority.rsplit_once('@')?;
        let (user, _password) = secret.split_once(':')?;
        let rest = rest.get(secret.len()..)?;
        Some(format!("{scheme}://{user}:xxxxx{rest}"))
    });
    parts.unwrap_or_else(|| url.to_owned())
}

async fn fetch(engine: &Engine, url: &str, shown: &str) -> Result<Fetched, Error> {
    let asked = FetchRequest {
        url: url.to_owned(),
        limit: DOWNLOAD_LIMIT,
        ..FetchRequest::default()
    };
    let answer = transfer::client(engine)?.ask(&asked).await?;
    answer.map_err(|refusal| {
        let status = format!("{} {}", refusal.status, refusal.reason);
        let (status, body) = (status.trim(), &refusal.body);
        let text = format!("failed to GET {shown} with status {status}: {body}");
        lapstrake_image::Error::new(refusal.kind(), text).into()
    })
}

/// Passes a download on to the thread that imports. Dropped in the middle, the thread finds a broken stream.
async fn receive(
    mut fetched: Fetched,
    sender: mpsc::Sender<Bytes>,
    events: &dyn EventSink,
) -> Result<(), Error> {
    let total = fetched.length.unwrap_or_default();
    let mut done = 0u64;
    while let Some(chunk) = fetched.chunk().await? {
        if chunk.is_empty() {
            continue;
        }
        done = done.saturating_add(chunk.len() as u64);
        if sender.send(chunk).await.is_err() {
            // The importing thread has said why.
            return Ok(());
        }
        events.event(Event::Fetching { done, total });
    }
    // An empty piece is the end.
    sender.send(Bytes::new()).await.ok();
    Ok(())
}

/// The reading end of a download.
struct Download {
    receiver: mpsc::Receiver<Bytes>,
    chunk: Bytes,
    ended: bool,
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !self.ended {
            self.chunk = self.receiver.blocking_recv().ok_or_else(|| {
                io::Error::new(io::ErrorKind::ConnectionAborted, "download was cut off")
            })?;
            self.ended = self.chunk.is_empty();
        }
        let count = self.chunk.len().min(buffer.len());
        let taken = self.chunk.split_to(count);
        buffer
            .get_mut(..count)
            .unwrap_or_default()
            .copy_from_slice(&taken);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
