//! Registries that refuse, are down, cannot be found, or do not prove who they are.

use super::{Mounts, holds, put_small, refused, refuses};
use lapstrake_registry::server::{Access, Bearer, Login, ServerOptions};
use lapstrake_spec::Reference;
use lapstrake_testkit::{Cli, Directory, Fault, TestRegistry, When, levelled};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

fn protected(access: Access) -> TestRegistry {
    TestRegistry::start_with(ServerOptions {
        access,
        ..ServerOptions::default()
    })
}

fn login() -> Login {
    Login {
        user: "user".to_owned(),
        password: "secret".to_owned(),
    }
}

/// `config.json` with a password for a registry.
fn know(lap: &Cli, registry: &TestRegistry, user_and_password_base64: &str) {
    let text = format!(
        r#"{{"auths": {{"{}": {{"auth": "{user_and_password_base64}"}}}}}}"#,
        registry.address()
    );
    fs::write(lap.config().join("config.json"), text).unwrap();
}

/// `user:wrong` and `user:secret`.
const WRONG: &str = "dXNlcjp3cm9uZw==";
const RIGHT: &str = "dXNlcjpzZWNyZXQ=";

/// Pulls, logs in and pushes with no password and with a wrong one.
fn unauthorized(access: Access, expected: [&str; 4]) {
    let lap = Cli::built();
    let registry = protected(access);
    let name = put_small(&registry, "a/b:1").to_string();
    let stranger = refused(&lap, 1, &["pull", &name]);
    know(&lap, &registry, WRONG);
    let wrong = refused(&lap, 1, &["pull", &name]);
    let address = registry.address();
    let login = ["login", "-u", "user", "-p", "wrong", &address];
    let login = refused(&lap, 1, &login);
    holds(&lap, &[]);
    know(&lap, &registry, RIGHT);
    lap.ok(&["pull", "-q", &name]);
    know(&lap, &registry, WRONG);
    let push = refused(&lap, 1, &["push", &name]);
    holds(&lap, &[&name]);
    let login = login.strip_prefix(PASSWORD_WARNING).unwrap_or(&login);
    assert_eq!([&stranger, &wrong, login, &push], expected);
}

const PASSWORD_WARNING: &str =
    "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n";

#[test]
fn a_registry_that_wants_a_password() {
    unauthorized(
        Access::Basic(login()),
        [
            "Error response from daemon: Head \"http://REG/v2/a/b/manifests/1\": no basic auth \
             credentials\nhint: check the name, or log in with `lap login REG`",
            "Error response from daemon: unauthorized\n\
             hint: check the name, or log in with `lap login REG`",
            "Error response from daemon: login attempt to http://REG/v2/ failed with status: 401 \
             Unauthorized",
            "unauthorized: authentication required\n\
             hint: check the name, or log in with `lap login REG`",
        ],
    );
}

#[test]
fn a_registry_that_wants_a_token() {
    let wrong = "Error response from daemon: Head \"http://REG/v2/a/b/manifests/1\": unauthorized: \
                 incorrect username or password\nhint: check the name, or log in with `lap login REG`";
    unauthorized(
        Access::Bearer(Bearer {
            login: login(),
            anonymous_pull: false,
            lifetime: Duration::from_secs(60),
            external_url: None,
        }),
        [
            wrong,
            wrong,
            "Error response from daemon: Get \"http://REG/v2/\": unauthorized: incorrect username or \
             password",
            "unauthorized: incorrect username or password\n\
             hint: check the name, or log in with `lap login REG`",
        ],
    );
}

#[test]
fn privileged_a_registry_that_fails() {
    // One attempt: waiting between several is tested elsewhere.
    let one = r#"{"max-download-attempts": 1}"#;
    let (_mounts, _etc) = Mounts::new().etc(&[("docker/daemon.json", one)]);
    let registry = TestRegistry::start();
    let name = put_small(&registry, "a/b:1").to_string();
    let lap = Cli::built();
    for (path, fault, expected) in [
        (
            "/manifests/",
            Fault::Status(500, None),
            "Error response from daemon: received unexpected HTTP status: 500 Internal Server Error",
        ),
        (
            "/manifests/",
            Fault::Status(403, None),
            "Error response from daemon: unknown\n\
             hint: check the name, or log in with `lap login REG`",
        ),
        (
            "/manifests/",
            Fault::Status(429, None),
            "Error response from daemon: toomanyrequests: You have reached your pull rate limit.\n\
             hint: limit 100;w=21600, remaining 0;w=21600; log in for a higher limit, or set a mirror \
             (`registry-mirrors`)",
        ),
        (
            "/manifests/",
            Fault::Disconnect,
            "Error response from daemon: Head \"http://REG/v2/a/b/manifests/1\": EOF",
        ),
        (
            "/blobs/",
            Fault::Status(404, None),
            "error pulling image configuration: unknown blob sha256:H64",
        ),
    ] {
        registry.faults().add(When::path(path), fault, 1000);
        assert_eq!(refused(&lap, 1, &["pull", "-q", &name]), expected);
        registry.faults().clear();
        holds(&lap, &[]);
    }
}

#[test]
fn a_registry_that_is_down() {
    let registry = TestRegistry::start();
    let name = put_small(&registry, "a/b:1").to_string();
    let lap = Cli::built();
    lap.ok(&["pull", "-q", &name]);
    drop(registry);
    let down = "Get \"http://REG/v2/\": dial tcp REG: connect: connection refused";
    let answer = format!("Error response from daemon: {down}");
    let (host, _) = name.split_once('/').unwrap();
    let other = format!("{host}/other:1");
    let run = format!(
        "Unable to find image 'REG/other:1' locally\nlap: {answer}\n\nRun 'lap run --help' for more \
         information"
    );
    refuses(
        &lap,
        &[
            (&["pull", &name], 1, &answer),
            (&["push", &name], 1, down),
            (&["run", &other, "true"], 125, &run),
            (
                &["login", "-u", "a", "-p", "b", host],
                1,
                &format!(
                    "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n{answer}"
                ),
            ),
        ],
    );
    holds(&lap, &[&name]);
}

/// A name server on the loopback that knows no name. Its thread ends with the test's process.
pub(crate) fn name_server() -> SocketAddr {
    // Port 53 of an address of its own: the resolver's file has no place for a port.
    let socket = (2..250)
        .find_map(|last| {
            UdpSocket::bind((
                "127.53.53.1".replace(".1", &format!(".{last}")).as_str(),
                53,
            ))
            .ok()
        })
        .unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0u8; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            // An answer that there is no such name, to the same question.
            packet[2..4].copy_from_slice(&[0x81, 0x83]);
            packet[6..12].fill(0);
            let question_end = 12
                + packet[12..length]
                    .iter()
                    .position(|&byte| byte == 0)
                    .unwrap_or(0)
                + 5;
            if socket
                .send_to(&packet[..question_end.min(length)], from)
                .is_err()
            {
                return;
            }
        }
    });
    address
}

#[test]
fn privileged_a_name_that_nobody_knows() {
    let server = name_server();
    let resolv = format!("nameserver {}\noptions timeout:1 attempts:1\n", server.ip());
    let lap = Cli::built();
    let (_mounts, _etc) =
        Mounts::new().etc(&[("resolv.conf", &resolv), ("hosts", "127.0.0.1 localhost\n")]);
    let answer = "Error response from daemon: Get \"https://registry.invalid/v2/\": dial tcp: lookup \
                  registry.invalid: no such host";
    let hub = "Error response from daemon: Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup \
               registry-1.docker.io: no such host";
    refuses(
        &lap,
        &[
            (&["pull", "registry.invalid/a:1"], 1, answer),
            (&["pull", "nosuchimage-zz"], 1, hub),
        ],
    );
    holds(&lap, &[]);
}

/// An authority, and its certificate for `registry.test`: the authority's PEM, the server's side.
fn certificates() -> (String, TlsAcceptor) {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = parameters.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(parameters, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["registry.test".to_owned()]).unwrap();
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

/// TLS in front of a registry; the port. Its thread ends with the test's process.
fn tls_before(registry: &TestRegistry, acceptor: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
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
                tokio::spawn(async move {
                    let mut outer = acceptor.accept(stream).await.ok()?;
                    let mut inner = tokio::net::TcpStream::connect(behind).await.ok()?;
                    tokio::io::copy_bidirectional(&mut outer, &mut inner)
                        .await
                        .ok()
                });
            }
        });
    });
    port
}

#[test]
fn privileged_a_certificate_that_nobody_vouches_for() {
    let registry = TestRegistry::start();
    put_small(&registry, "a/b:1");
    let (authority, acceptor) = certificates();
    let port = tls_before(&registry, acceptor);
    let host = format!("registry.test:{port}");
    let name = Reference::parse(&format!("{host}/a/b:1"))
        .unwrap()
        .to_string();
    let plain = format!(
        "plain.test:{}",
        registry.address().rsplit_once(':').unwrap().1
    );
    let other = format!("other.test:{port}");
    let lap = Cli::built();
    let hosts = "127.0.0.1 localhost registry.test plain.test other.test\n";
    let (_mounts, etc) =
        Mounts::new().etc(&[("hosts", hosts), ("resolv.conf", "nameserver 127.0.0.1\n")]);
    let unknown = format!(
        "Error response from daemon: Get \"https://{host}/v2/\": tls: failed to verify certificate: \
         x509: certificate signed by unknown authority\n\
         hint: put the registry's certificate authority into `/etc/lapstrake/certs.d/{host}/ca.crt`, \
         or list the registry under `insecure-registries`"
    );
    let no_tls = format!(
        "Error response from daemon: Get \"https://{plain}/v2/\": http: server gave HTTP response to \
         HTTPS client\nhint: if `{plain}` speaks plain HTTP, list it under `insecure-registries`"
    );
    refuses(
        &lap,
        &[
            (&["pull", &name], 1, &unknown),
            (&["pull", &format!("{plain}/a/b:1")], 1, &no_tls),
        ],
    );
    for folder in ["lapstrake", "docker"] {
        let path = etc.write(&format!("{folder}/certs.d/{host}/ca.crt"), &authority);
        lap.ok(&["pull", "-q", &name]);
        lap.ok(&["rmi", &name]);
        fs::remove_file(path).unwrap();
    }
    etc.write(&format!("docker/certs.d/{other}/ca.crt"), &authority);
    let wrong_name = format!(
        "Error response from daemon: Get \"https://{other}/v2/\": tls: failed to verify certificate: \
         x509: certificate is valid for registry.test, not other.test"
    );
    refuses(
        &lap,
        &[(&["pull", &format!("{other}/a/b:1")], 1, &wrong_name)],
    );
    etc.write(&format!("docker/certs.d/{host}/ca.crt"), "no certificate");
    let no_certificate = refused(&lap, 1, &["pull", &name]);
    etc.write(
        "docker/daemon.json",
        format!(r#"{{"insecure-registries": ["{host}", "{plain}"]}}"#),
    );
    fs::remove_file(etc.join(format!("docker/certs.d/{host}/ca.crt"))).unwrap();
    holds(&lap, &[]);
    lap.ok(&["pull", "-q", &name]);
    lap.ok(&["pull", "-q", &format!("{plain}/a/b:1")]);
    assert_eq!(no_certificate, levelled(&unknown));
}

/// A registry `origin.test` with an image, and mirrors before it. No name server answers: what
/// `/etc/hosts` says has to do.
struct Mirrored {
    lap: Cli,
    origin: TestRegistry,
    host: String,
    name: String,
    etc: Directory,
    _mounts: Mounts,
}

impl Mirrored {
    fn new() -> Self {
        let origin = TestRegistry::start();
        put_small(&origin, "library/app:1");
        let host = origin.address().replace("127.0.0.1", "origin.test");
        let daemon = format!(r#"{{"insecure-registries": ["{host}"]}}"#);
        let (mounts, etc) = Mounts::new().etc(&[
            ("hosts", "127.0.0.1 localhost origin.test\n"),
            ("resolv.conf", "nameserver 127.0.0.1\n"),
            ("docker/daemon.json", &daemon),
        ]);
        Self {
            lap: Cli::built(),
            name: format!("{host}/library/app:1"),
            origin,
            host,
            etc,
            _mounts: mounts,
        }
    }

    fn hosts_toml(&self, text: &str) {
        let path = format!("docker/certs.d/{}/hosts.toml", self.host);
        self.etc.write(&path, text);
    }

    /// Sets the mirrors, in order.
    fn mirrors(&self, addresses: &[&str]) {
        let entry = |address: &&str| {
            format!("[host.\"http://{address}\"]\ncapabilities = [\"pull\", \"resolve\"]\n")
        };
        let entries: String = addresses.iter().map(entry).collect();
        self.hosts_toml(&format!("server = \"http://{}\"\n{entries}", self.host));
    }
}

/// An address where nobody listens.
fn down() -> String {
    TestRegistry::start().address()
}

#[test]
fn privileged_mirrors_that_fail_are_passed_over() {
    let mirrored = Mirrored::new();
    let (bad, good) = (TestRegistry::start(), TestRegistry::start());
    put_small(&bad, "library/app:1");
    put_small(&good, "library/app:1");
    mirrored.mirrors(&[&down(), &bad.address(), &good.address()]);
    for (path, fault) in [
        ("/v2/", Fault::Status(404, None)),
        ("/v2/", Fault::Status(429, None)),
        ("/v2/", Fault::Status(500, None)),
        ("/v2/", Fault::Status(401, None)),
        ("/v2/", Fault::Disconnect),
        ("/manifests/", Fault::WrongBytes),
        ("/blobs/", Fault::WrongBytes),
    ] {
        bad.faults().add(When::path(path), fault.clone(), 1000);
        good.faults().reset_counts();
        let pulled = mirrored.lap.run(&["pull", "-q", &mirrored.name]);
        assert_eq!(pulled.code, Some(0), "{fault:?} {pulled}");
        let is_asked = good.faults().count("GET", "/v2/") > 0;
        assert!(is_asked, "{fault:?}: the next mirror was not asked");
        mirrored.lap.ok(&["rmi", &mirrored.name]);
        bad.faults().clear();
    }
    assert_eq!(mirrored.origin.faults().seen(), []);
    holds(&mirrored.lap, &[]);
}

#[test]
fn privileged_behind_the_last_mirror_is_the_registry() {
    let mirrored = Mirrored::new();
    let (lap, name, host) = (&mirrored.lap, &mirrored.name, mirrored.host.clone());
    mirrored.mirrors(&[&down()]);
    lap.ok(&["pull", "-q", name]);
    lap.ok(&["rmi", name]);
    mirrored.hosts_toml("no [ toml");
    let stderr = refused(lap, 1, &["pull", name]);
    let words = "Error response from daemon: failed to load mirrors from `/etc/docker/certs.d/";
    let is_told =
        stderr.starts_with(words) && stderr.ends_with("hint: correct the file, or remove it");
    assert!(is_told, "{stderr}");
    mirrored.mirrors(&[&down()]);
    let Mirrored {
        lap,
        name,
        origin,
        etc: _etc,
        _mounts,
        ..
    } = mirrored;
    drop(origin);
    let words = format!(
        "Error response from daemon: Get \"http://{host}/v2/\": dial tcp {host}: connect: connection \
         refused\nhint: mirrors were tried first: REG: dial tcp REG: connect: connection refused"
    );
    assert_eq!(refused(&lap, 1, &["pull", &name]), words);
    holds(&lap, &[]);
}
