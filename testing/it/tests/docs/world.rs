//! The world that a page's commands run in: a machine of its own, as far as namespaces make one, with an
//! Internet on its loopback.
//!
//! | name | what answers |
//! |---|---|
//! | `registry-1.docker.io`, `index.docker.io` | a Docker Hub: images of busybox and bash under well-known names, a search index, the account `kate` |
//! | `registry.example.com` | an empty registry that wants a login, the same account |
//! | `mirror.example.com:5000` | a mirror of the Hub without TLS |

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use lapstrake_registry::server::{Access, Bearer, Login, ServerOptions};
use lapstrake_sys::{net::loopback_up, process::unshare};
use lapstrake_testkit::{Cli, Directory, TestRegistry};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::thread::UnshareFlags;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::images;
use crate::bad_input::network::name_server;

/// The account at every registry, and what is typed behind `Password: `.
pub(crate) const USER: &str = "kate";
pub(crate) const PASSWORD: &str = "correct horse";

const NAMES: &str = "127.0.0.1 localhost\n\
    127.0.0.2 registry-1.docker.io index.docker.io\n\
    127.0.0.3 registry.example.com\n\
    127.0.0.4 mirror.example.com\n";

/// Everything lives as long as this, and as the thread that made it.
pub(crate) struct World {
    /// Has a `lap` in it.
    pub(crate) bin: Directory,
    _etc: Directory,
    _registries: Vec<TestRegistry>,
}

impl World {
    /// Moves this thread, and what it starts from now on, into a world of its own.
    pub(crate) fn enter() -> Self {
        unshare(UnshareFlags::NEWNS | UnshareFlags::NEWNET).expect("needs root");
        loopback_up().unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        let (authority, acceptor) = certificates();
        let etc = etc(&authority);
        let server = name_server().ip();
        etc.write("resolv.conf", format!("nameserver {server}\n"));
        mount_bind(etc.path(), "/etc").unwrap();
        for folder in ["/root", "/run", "/srv", "/var/lib"] {
            mount("none", folder, "tmpfs", MountFlags::empty(), None).unwrap();
        }
        let bin = Directory::new();
        std::os::unix::fs::symlink(Cli::program(), bin.join("lap")).unwrap();
        let registries = registries();
        for (address, behind) in [("127.0.0.2", &registries[0]), ("127.0.0.3", &registries[1])] {
            front(&format!("{address}:443"), behind, acceptor.clone());
        }
        Self {
            bin,
            _etc: etc,
            _registries: registries,
        }
    }
}

/// The Hub, the registry, the mirror.
fn registries() -> Vec<TestRegistry> {
    let login = || Login {
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
    };
    let bearer = Bearer {
        login: login(),
        anonymous_pull: true,
        lifetime: Duration::from_secs(300),
        external_url: Some("https://registry-1.docker.io".to_owned()),
    };
    let start = |address, access| {
        let options = ServerOptions {
            access,
            ..ServerOptions::default()
        };
        TestRegistry::start_at(address, Directory::new(), options)
    };
    let registries = vec![
        start("127.0.0.2:5000", Access::Bearer(bearer)),
        start("127.0.0.3:5000", Access::Basic(login())),
        start("127.0.0.4:5000", Access::Open),
    ];
    for (name, image) in images::all() {
        registries[0].put(name, image);
        if name.starts_with("library/") {
            registries[2].put(name, image);
        }
    }
    registries
}

/// A folder to be `/etc`.
fn etc(authority: &str) -> Directory {
    let etc = Directory::new();
    for name in ["passwd", "group", "nsswitch.conf"] {
        if let Ok(text) = std::fs::read(format!("/etc/{name}")) {
            etc.write(name, text);
        }
    }
    etc.write("hosts", NAMES);
    etc.write("ssl/certs/ca-certificates.crt", authority);
    etc
}

/// An authority, and its certificate for the names of this world: the authority's PEM, the server's side.
fn certificates() -> (String, TlsAcceptor) {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = parameters.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(parameters, key);
    let names = NAMES
        .split_whitespace()
        .filter(|name| name.contains(".com") || name.contains(".io"));
    let names: Vec<String> = names.map(str::to_owned).collect();
    let own = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(names).unwrap();
    let certificate = parameters.signed_by(&own, &issuer).unwrap().pem();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (authority, TlsAcceptor::from(Arc::new(config)))
}

/// An address at which a registry answers over TLS, and a search index beside it. Its thread ends with the
/// test's process.
fn front(address: &str, registry: &TestRegistry, acceptor: TlsAcceptor) {
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let behind = registry.address();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move { answer(acceptor.accept(stream).await?, &behind).await });
            }
        });
    });
}

async fn answer(mut outer: TlsStream<TcpStream>, behind: &str) -> std::io::Result<()> {
    let mut head = vec![0; 8192];
    let length = outer.read(&mut head).await?;
    let head = &head[..length];
    let text = String::from_utf8_lossy(head);
    if let Some((_, query)) = text.split_once("GET /v1/search?q=") {
        let term = query.split(['&', ' ']).next().unwrap_or_default();
        let body = images::found(term);
        let start = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        outer.write_all(start.as_bytes()).await?;
        outer.write_all(body.as_bytes()).await?;
        return outer.shutdown().await;
    }
    let mut inner = TcpStream::connect(behind).await?;
    inner.write_all(head).await?;
    let (mut from_client, mut to_client) = tokio::io::split(outer);
    let (mut from_registry, mut to_registry) = inner.split();
    let requests = tokio::io::copy(&mut from_client, &mut to_registry);
    let answers = async {
        tokio::io::copy(&mut from_registry, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::select! {
        ended = requests => ended.map(|_bytes| ()),
        ended = answers => ended,
    }
}
