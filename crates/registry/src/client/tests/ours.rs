//! The client against the registry of this crate: what both have to keep together.

use super::*;
use crate::server::{Access, Bearer, Login, Server, ServerOptions};
use lapstrake_image::contract::{Endpoint, source_sink_contract};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Folders that go when dropped.
#[derive(Default)]
struct Folders(Mutex<Vec<PathBuf>>);

impl Folders {
    fn make(&self) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lapstrake-client-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        self.0.lock().unwrap().push(path.clone());
        path
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for path in self.0.lock().unwrap().iter() {
            std::fs::remove_dir_all(path).ok();
        }
    }
}

fn serve(folders: &Folders, access: Access) -> SocketAddr {
    let options = ServerOptions {
        durable: false,
        access,
        ..ServerOptions::default()
    };
    let server = Server::open(&folders.make(), options).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    address
}

/// A repository on a new registry.
fn endpoint(folders: &Folders, access: &Access, options: &Options) -> Endpoint {
    let address = serve(folders, access.clone());
    let name = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let client = Client::new(options.clone()).unwrap();
    Endpoint {
        source: client.source(&name),
        sink: client.sink(&name, BTreeMap::new()),
        name,
    }
}

async fn keep_the_contract(access: Access, options: Options) {
    let folders = Folders::default();
    let result = source_sink_contract(|| endpoint(&folders, &access, &options)).await;
    assert_eq!(result, Ok(()));
}

fn login() -> Login {
    Login {
        user: "testuser".to_owned(),
        password: "testpass".to_owned(),
    }
}

fn logged_in() -> Options {
    let credential = Credential::password("testuser", "testpass");
    Options {
        credentials: Arc::new(Always(credential)),
        ..options()
    }
}

#[tokio::test]
async fn open() {
    keep_the_contract(Access::Open, options()).await;
}

#[tokio::test]
async fn in_chunks() {
    keep_the_contract(
        Access::Open,
        Options {
            upload_chunk: Some(1000),
            ..options()
        },
    )
    .await;
}

#[tokio::test]
async fn with_a_password() {
    keep_the_contract(Access::Basic(login()), logged_in()).await;
}

#[tokio::test]
async fn with_tokens() {
    let bearer = Bearer {
        login: login(),
        anonymous_pull: true,
        lifetime: Duration::from_secs(300),
        external_url: None,
    };
    keep_the_contract(Access::Bearer(bearer), logged_in()).await;
}
