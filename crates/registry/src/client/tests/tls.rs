//! Certificates: unknown, known through `certs.d`, of a client, none at all.

use super::*;
use lapstrake_image::ContentSource;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_rustls::TlsAcceptor;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lapstrake-tls-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// An authority and what it signed, as PEM.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: rcgen::Issuer::new(parameters, key),
        }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn sign(&self, name: &str) -> (String, String) {
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A registry over TLS that answers everything with a manifest. With `clients`, only to those that
/// this authority signed.
async fn registry(authority: &Authority, name: &str, clients: Option<&Authority>) -> SocketAddr {
    let (certificate, key) = authority.sign(name);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(clients.certificate.der().clone()).unwrap();
            let roots = Arc::new(roots);
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let desc = manifest_desc(MANIFEST);
                let reply = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ndocker-content-digest: {}\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    desc.media_type.as_str(),
                    desc.digest,
                    desc.size
                );
                let mut head = [0u8; 4096];
                if stream.read(&mut head).await.is_err() {
                    return;
                }
                stream.write_all(reply.as_bytes()).await.ok();
                if head.starts_with(b"GET") {
                    stream.write_all(MANIFEST).await.ok();
                }
                stream.shutdown().await.ok();
            });
        }
    });
    address
}

fn client_with(folder: &Folder) -> Client {
    Client::new(Options {
        certs_dirs: vec![folder.0.clone()],
        ..options()
    })
    .unwrap()
}

async fn resolve(client: &Client, address: SocketAddr) -> Result<Descriptor, Error> {
    let name = Reference::parse(&format!("{address}/a/b:t")).unwrap();
    client.source(&name).resolve(&name).await
}

#[tokio::test]
async fn loopback_may_speak_tls_without_proof() {
    let address = registry(&Authority::new(), "localhost", None).await;
    assert_eq!(
        resolve(&client(), address).await.unwrap(),
        manifest_desc(MANIFEST)
    );
}

#[tokio::test]
async fn an_authority_of_certs_d_is_enough_and_is_used() {
    let authority = Authority::new();
    let address = registry(&authority, "127.0.0.1", None).await;
    let folder = Folder::new();
    folder.write(&format!("{address}/ca.crt"), &authority.pem());
    assert_eq!(
        resolve(&client_with(&folder), address).await.unwrap(),
        manifest_desc(MANIFEST)
    );
    folder.write(&format!("{address}/ca.crt"), &Authority::new().pem());
    let (kind, message, hint) = parts(resolve(&client_with(&folder), address).await);
    assert_eq!(kind, ErrorKind::Unavailable);
    let wanted = format!(
        "Get \"https://{address}/v2/\": tls: failed to verify certificate: x509: certificate \
         signed by unknown authority"
    );
    assert_eq!(message, wanted);
    assert!(
        hint.contains(&format!("certs.d/{address}/ca.crt")),
        "{hint}"
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let address = registry(&authority, "other.example", None).await;
    let folder = Folder::new();
    folder.write(&format!("{address}/ca.crt"), &authority.pem());
    let (_, message, _) = parts(resolve(&client_with(&folder), address).await);
    assert!(
        message.contains("x509: certificate is valid for"),
        "{message}"
    );
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let address = registry(&authority, "127.0.0.1", Some(&clients)).await;
    let folder = Folder::new();
    folder.write(&format!("{address}/ca.crt"), &authority.pem());
    assert!(resolve(&client_with(&folder), address).await.is_err());
    let (certificate, key) = clients.sign("me");
    folder.write(&format!("{address}/client.cert"), &certificate);
    folder.write(&format!("{address}/client.key"), &key);
    assert_eq!(
        resolve(&client_with(&folder), address).await.unwrap(),
        manifest_desc(MANIFEST)
    );
    folder.write(&format!("{address}/client.key"), "no key");
    let (_, message, _) = parts(resolve(&client_with(&folder), address).await);
    assert!(message.contains("client.key"), "{message}");
}

#[tokio::test]
async fn plain_http_where_tls_is_wanted() {
    let fake = Fake::start(|_| manifest_answer(MANIFEST)).await;
    let folder = Folder::new();
    folder.write(
        &format!("{}/hosts.toml", fake.address),
        &format!("server = \"https://{}\"\n", fake.address),
    );
    let (_, message, hint) = parts(resolve(&client_with(&folder), fake.address).await);
    let wanted = format!(
        "Get \"https://{}/v2/\": http: server gave HTTP response to HTTPS client",
        fake.address
    );
    assert_eq!(message, wanted);
    assert!(hint.contains("insecure-registries"), "{hint}");
}
