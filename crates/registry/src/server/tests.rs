//! The server alone: its parsers as tables, and the protocol over real connections.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that reads past an end should fail there"
)]

mod access;
mod content;
mod parse;
mod references;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use lapstrake_spec::Digest;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Server, ServerOptions};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A directory that goes when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lapstrake-server-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A server on a free port and a client for it.
struct Fixture {
    directory: Directory,
    address: String,
    client: Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Fixture {
    async fn start() -> Self {
        Self::start_with(ServerOptions {
            durable: false,
            ..ServerOptions::default()
        })
        .await
    }

    async fn start_with(options: ServerOptions) -> Self {
        Self::start_in(Directory::new(), options).await
    }

    async fn start_in(directory: Directory, options: ServerOptions) -> Self {
        let server = Server::open(&directory.0, options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async {
                stopped.await.ok();
            };
            server.serve(listener, stopped).await.unwrap();
        });
        let client = Client::builder().no_proxy().build().unwrap();
        Self {
            directory,
            address,
            client,
            stop,
            task,
        }
    }

    /// Ends the server and starts another over the same directory.
    async fn restart(self) -> Self {
        let Self {
            directory,
            client,
            stop,
            task,
            ..
        } = self;
        drop((client, stop));
        task.await.unwrap();
        let options = ServerOptions {
            durable: false,
            ..ServerOptions::default()
        };
        Self::start_in(directory, options).await
    }

    fn root(&self) -> &Path {
        &self.directory.0
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("http://{}{path}", self.address)
        };
        self.client.request(method, url)
    }

    async fn send(&self, method: &str, path: &str) -> Answer {
        Answer::of(self.request(method, path)).await
    }

    async fn get_json(&self, path: &str) -> Value {
        let answer = self.send("GET", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Pushes a blob in one request.
    async fn push_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let answer = Answer::of(self.request("POST", &path).body(bytes.to_vec())).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        digest
    }

    async fn put_manifest(&self, name: &str, reference: &str, raw: &str) -> Answer {
        let path = format!("/v2/{name}/manifests/{reference}");
        let request = self.request("PUT", &path).header("content-type", MANIFEST);
        Answer::of(request.body(raw.to_owned())).await
    }

    /// Pushes a small image; returns its manifest's digest and bytes.
    async fn push_image(&self, name: &str, tag: &str, content: &str) -> (Digest, String) {
        let config = self
            .push_blob(name, format!("{{\"c\":\"{content}\"}}").as_bytes())
            .await;
        let layer = self.push_blob(name, content.as_bytes()).await;
        let raw = manifest(&config, &layer, None);
        let answer = self.put_manifest(name, tag, &raw).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        (Digest::sha256(raw.as_bytes()), raw)
    }
}

fn manifest(config: &Digest, layer: &Digest, subject: Option<&Digest>) -> String {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/x.config", "digest": config, "size": 1 },
        "layers": [{ "mediaType": "application/x.layer", "digest": layer, "size": 1 }],
        "annotations": { "note": "n" },
    });
    if let Some(subject) = subject {
        manifest["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 1 });
    }
    manifest.to_string()
}

/// An answer, read whole.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self {
            status,
            headers,
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The first error's code.
    fn code(&self) -> String {
        self.json()["errors"][0]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{}",
            self.text()
        );
    }
}
