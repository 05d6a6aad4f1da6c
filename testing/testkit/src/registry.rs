//! The embedded registry on a free port, in a thread of its own, with faults on demand.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use lapstrake_registry::server::{Server, ServerOptions, serve_router};
use lapstrake_spec::{Digest, Reference};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::directory::Directory;
use crate::faults::{Faults, front};
use crate::random::RandomImage;

/// A registry for a test; it ends when dropped.
#[derive(Debug)]
pub struct TestRegistry {
    address: SocketAddr,
    directory: Directory,
    faults: Arc<Faults>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TestRegistry {
    /// A registry where everyone may do everything.
    pub fn start() -> Self {
        Self::start_with(ServerOptions::default())
    }

    /// A registry with these options, except that it never waits for the disk.
    pub fn start_with(options: ServerOptions) -> Self {
        Self::start_at("127.0.0.1:0", Directory::new(), options)
    }

    /// A registry at this address over this directory.
    pub fn start_at(address: &str, directory: Directory, options: ServerOptions) -> Self {
        let options = ServerOptions {
            durable: false,
            ..options
        };
        let faults = Arc::new(Faults::default());
        let server = Server::open(directory.path(), options).unwrap();
        let layer = axum::middleware::from_fn_with_state(Arc::clone(&faults), front);
        let router = server.router().layer(layer);
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, start) = mpsc::channel();
        let address = address.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = listen(address.parse().unwrap()).unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                let stopped = async {
                    stopped.await.ok();
                };
                serve_router(listener, router, stopped).await.unwrap();
            });
        });
        let address = start.recv().expect("the registry did not start");
        Self {
            address,
            directory,
            faults,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// A reference into this registry: `name` without a host.
    pub fn reference(&self, name: &str) -> Reference {
        Reference::parse(&format!("{}/{name}", self.address)).unwrap()
    }

    /// What goes wrong, and what went through.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Where its files are.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Puts an image into the registry's files, past all faults and counts.
    pub fn put(&self, name: &str, image: &RandomImage) -> Reference {
        let reference = self.reference(name).or_latest();
        let repository = reference.path();
        for (descriptor, bytes) in image.blobs() {
            self.write_content(&descriptor.digest, bytes);
            let link = format!(
                "repositories/{repository}/_blobs/{}",
                place(&descriptor.digest)
            );
            self.directory.write(&link, "");
        }
        self.write_content(&image.descriptor.digest, &image.raw);
        let place = place(&image.descriptor.digest);
        let media_type = image.descriptor.media_type.as_str();
        self.directory.write(
            &format!("repositories/{repository}/_manifests/{place}"),
            media_type,
        );
        let tag = reference.tag().unwrap_or("latest");
        let digest = image.descriptor.digest.to_string();
        self.directory
            .write(&format!("repositories/{repository}/_tags/{tag}"), digest);
        reference
    }

    /// Puts a manifest that is no image, with its blobs, into the registry's files: under a tag, and
    /// among the referrers of its subject.
    pub fn put_artifact(
        &self,
        repository: &str,
        tag: Option<&str>,
        manifest: &serde_json::Value,
        blobs: &[Vec<u8>],
    ) -> Digest {
        for bytes in blobs {
            let digest = Digest::sha256(bytes);
            self.write_content(&digest, bytes);
            let link = format!("repositories/{repository}/_blobs/{}", place(&digest));
            self.directory.write(&link, "");
        }
        let raw = serde_json::to_vec(manifest).unwrap();
        let digest = Digest::sha256(&raw);
        self.write_content(&digest, &raw);
        let text = |key: &str| manifest[key].as_str().unwrap_or_default();
        let media_type = text("mediaType");
        let path = format!("repositories/{repository}/_manifests/{}", place(&digest));
        self.directory.write(&path, media_type);
        if let Some(tag) = tag {
            let path = format!("repositories/{repository}/_tags/{tag}");
            self.directory.write(&path, digest.to_string());
        }
        if let Some(subject) = manifest["subject"]["digest"].as_str() {
            let subject = Digest::parse(subject).unwrap();
            let descriptor = serde_json::json!({
                "mediaType": media_type,
                "digest": digest.as_str(),
                "size": raw.len(),
                "artifactType": text("artifactType"),
                "annotations": manifest["annotations"],
            });
            let path = format!(
                "repositories/{repository}/_referrers/{}/{}-{}",
                place(&subject),
                digest.algorithm(),
                digest.hex()
            );
            self.directory.write(&path, descriptor.to_string());
        }
        digest
    }

    fn write_content(&self, digest: &Digest, bytes: &[u8]) {
        let (algorithm, hex) = (digest.algorithm(), digest.hex());
        self.directory
            .write(&format!("blobs/{algorithm}/{}/{hex}", &hex[..2]), bytes);
    }

    /// Ends the registry but keeps its files, for another to go on with.
    pub fn stop(mut self) -> Directory {
        self.end();
        std::mem::take(&mut self.directory)
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the registry's thread panicked");
        }
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.end();
    }
}

/// Bytes that wait in a socket of the registry. Few, so that what is counted as sent is about what the
/// client has read: the kernel would let the registry be megabytes ahead of it.
const SEND_BUFFER_BYTES: u32 = 32 << 10;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    // The connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(128)
}

fn place(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm(), digest.hex())
}
