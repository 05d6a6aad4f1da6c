//! What the tests share.

use crate::{Error, OpenOptions, Store, StoreEndpoint, Unpack};
use lapstrake_image::memory::{Memory, MemoryLayer, tiny_tar};
use lapstrake_image::{
    ContentSource, Copied, CopyOptions, LayerEvent, LayerState, Observer, RetryPolicy, copy,
};
use lapstrake_layer::GzipWriter;
use lapstrake_spec::{Descriptor, Digest, MediaType, Reference};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A folder that goes with the value.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// In memory, where syncing costs nothing.
    pub(super) fn fast() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::within(memory)
        } else {
            Self::new()
        }
    }

    fn within(parent: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lapstrake-store-{}-{count}", std::process::id());
        let path = parent.join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn store(&self) -> Store {
        self.try_store(&OpenOptions::default()).unwrap()
    }

    pub(super) fn try_store(&self, options: &OpenOptions) -> Result<Store, Error> {
        Store::open(&self.0.join("store"), options)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(super) fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap().or_latest()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzipWriter::new(Vec::new(), 1);
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A gzip layer with one file.
pub(super) fn layer(file: &str, content: &[u8]) -> MemoryLayer {
    let tar = tiny_tar(file, content);
    MemoryLayer {
        media_type: MediaType::OCI_LAYER_GZIP,
        bytes: gzip(&tar).into(),
        diff_id: Digest::sha256(&tar),
    }
}

/// Bytes that do not compress.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..length)
        .map(|_| random.next().to_le_bytes()[0])
        .collect()
}

/// A small generator, the same everywhere.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(super) struct Log(pub(super) Mutex<Vec<LayerEvent>>);

impl Log {
    pub(super) fn states(&self, digest: &Digest) -> Vec<LayerState> {
        let events = self.0.lock().unwrap();
        events
            .iter()
            .filter(|e| e.digest == *digest)
            .map(|e| e.state.clone())
            .collect()
    }
}

impl Observer for Log {
    fn layer(&self, event: LayerEvent) {
        self.0.lock().unwrap().push(event);
    }
}

pub(super) fn endpoint(store: &Store) -> StoreEndpoint {
    store
        .endpoint(Unpack::Now)
        .with_retry(RetryPolicy::immediate())
}

/// Waits for something that happens on another thread or in another future.
pub(super) async fn until(happened: impl Fn() -> bool) {
    while !happened() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Pulls and names an image.
pub(super) async fn pull(
    store: &Store,
    from: &dyn ContentSource,
    wanted: &Reference,
) -> Result<Copied, lapstrake_image::Error> {
    pull_telling(store, from, wanted, &Log::default()).await
}

/// The same, with an observer.
pub(super) async fn pull_telling(
    store: &Store,
    from: &dyn ContentSource,
    wanted: &Reference,
    log: &Log,
) -> Result<Copied, lapstrake_image::Error> {
    let top = from.resolve(wanted).await?;
    let sink = endpoint(store);
    let options = CopyOptions {
        tag: Some(wanted.clone()),
        ..CopyOptions::pull()
    };
    copy(from, &sink, &top, &options, log).await
}

/// A memory source with one image of two layers.
pub(super) fn image(wanted: &Reference, layers: &[MemoryLayer]) -> (Memory, Descriptor) {
    let memory = Memory::new().with_chunk(10_000);
    let desc = memory.add_image(wanted, layers);
    (memory, desc)
}

pub(super) fn two_layers(seed: u64) -> [MemoryLayer; 2] {
    [
        layer("a", &noise(seed, 300_000)),
        layer("b", &noise(seed + 1, 90_000)),
    ]
}
