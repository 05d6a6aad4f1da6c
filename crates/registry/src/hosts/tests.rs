#![expect(
    clippy::indexing_slicing,
    reason = "a test that reads past an end should fail there"
)]

use super::proxy::Proxy;
use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lapstrake-hosts-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn settings(&self) -> HostSettings {
        HostSettings {
            certs_dirs: vec![self.0.clone()],
            ..HostSettings::default()
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// `scheme[|scheme]://authority prefix`, for a list of hosts.
fn summary(hosts: &[Host]) -> Vec<String> {
    let one = |host: &Host| {
        let schemes: Vec<&str> = host.schemes.iter().map(|scheme| scheme.name()).collect();
        format!("{}://{} {}", schemes.join("|"), host.authority, host.prefix)
    };
    hosts.iter().map(one).collect()
}

#[test]
fn ports_are_split() {
    let rows = [
        ("a", ("a", None)),
        ("a:5000", ("a", Some(5000))),
        ("[::1]:5000", ("[::1]", Some(5000))),
        ("[::1]", ("[::1]", None)),
        ("::1", ("::1", None)),
        ("a:b", ("a:b", None)),
        ("a:99999", ("a:99999", None)),
    ];
    for (text, wanted) in rows {
        assert_eq!(split_port(text), wanted, "{text}");
    }
}

#[test]
fn insecure_registries_match() {
    let list = InsecureList::new(&[
        "plain.example",
        "port.example:5000",
        "http://scheme.example/",
        "10.1.0.0/16",
        "fd00::/8",
        "not/a/block",
        "1.2.3.4/99",
    ]);
    let rows = [
        ("plain.example", true),
        ("PLAIN.example", true),
        ("plain.example:5000", false),
        ("port.example:5000", true),
        ("port.example", false),
        ("scheme.example", true),
        ("10.1.2.3", true),
        ("10.1.2.3:5000", true),
        ("10.2.0.1", false),
        ("[fd12::1]:443", true),
        ("[fe80::1]:443", false),
        ("127.0.0.1:5000", true),
        ("127.8.9.10", true),
        ("[::1]:5000", true),
        ("localhost:5000", true),
        ("localhost.example", false),
        ("1.2.3.4", false),
        ("docker.io", false),
    ];
    for (authority, wanted) in rows {
        assert_eq!(list.contains(authority), wanted, "{authority}");
    }
    assert!(InsecureList::new(&["0.0.0.0/0"]).contains("8.8.8.8"));
}

#[test]
fn proxies_are_chosen() {
    let proxy = Proxy {
        http: Some("proxy.example:3128".to_owned()),
        https: Some("http://secure.example:3129".to_owned()),
        no_proxy: Some(
            "exact.example, .suffix.example,*.star.example,10.0.0.0/8,192.168.1.1,port.example:8080"
                .to_owned(),
        ),
    };
    let rows = [
        (false, "far.example", Some("http://proxy.example:3128")),
        (true, "far.example:5000", Some("http://secure.example:3129")),
        (true, "exact.example", None),
        (true, "sub.exact.example:5000", None),
        (true, "inexact.example", Some("http://secure.example:3129")),
        (true, "suffix.example", Some("http://secure.example:3129")),
        (true, "a.suffix.example", None),
        (true, "a.star.example", None),
        (true, "star.example", Some("http://secure.example:3129")),
        (true, "10.9.8.7:5000", None),
        (true, "11.9.8.7", Some("http://secure.example:3129")),
        (true, "192.168.1.1", None),
        (true, "192.168.1.2", Some("http://secure.example:3129")),
        (true, "port.example:8080", None),
        (true, "port.example", Some("http://secure.example:3129")),
        (false, "localhost:5000", None),
        (false, "127.0.0.1:5000", None),
        (true, "[::1]:5000", None),
    ];
    for (https, authority, wanted) in rows {
        assert_eq!(
            proxy.for_host(https, authority).as_deref(),
            wanted,
            "{https} {authority}"
        );
    }
    let none = Proxy {
        no_proxy: Some("*".to_owned()),
        ..proxy
    };
    assert_eq!(none.for_host(true, "far.example"), None);
    assert_eq!(Proxy::default().for_host(true, "far.example"), None);
}

#[test]
fn hosts_without_files() {
    let settings = HostSettings {
        mirrors: vec![
            "https://m.example/".to_owned(),
            "http://127.0.0.1:9/path/".to_owned(),
        ],
        insecure: InsecureList::new(&["lab.example:5000"]),
        certs_dirs: Vec::new(),
    };
    let hosts = settings.hosts("docker.io").unwrap();
    let wanted = [
        "https://m.example /v2",
        "http://127.0.0.1:9 /path/v2",
        "https://registry-1.docker.io /v2",
    ];
    assert_eq!(summary(&hosts), wanted);
    assert!(!hosts[0].capabilities.push && hosts[2].capabilities.push);
    assert_eq!(hosts[2].credentials_key, "docker.io");
    let rows = [
        ("quay.example", "https://quay.example /v2", false),
        (
            "lab.example:5000",
            "https|http://lab.example:5000 /v2",
            true,
        ),
        ("127.0.0.1:5000", "http|https://127.0.0.1:5000 /v2", true),
        ("localhost", "http|https://localhost /v2", true),
        ("127.0.0.1:443", "https|http://127.0.0.1:443 /v2", true),
    ];
    for (domain, wanted, skip_verify) in rows {
        let hosts = settings.hosts(domain).unwrap();
        assert_eq!(summary(&hosts), [wanted]);
        assert_eq!(hosts[0].skip_verify, skip_verify, "{domain}");
    }
}

const HOSTS_TOML: &str = r#"
server = "https://registry-1.docker.io"
unknown_key = 1

[host."https://z.example"]
  capabilities = ["pull", "resolve"]
  ca = "z.crt"
  client = [["z.cert", "z.key"], ["/abs/both.pem", ""]]
  [host."https://z.example".header]
    x-one = "1"
    x-two = ["2", "3"]

[host."http://a.example:5000/v2/proxy"]
  capabilities = ["pull"]
  override_path = true

[host."https://m.example/base"]
  skip_verify = true
"#;

#[test]
fn hosts_file_is_read_in_its_order() {
    let folder = Folder::new();
    folder.write("docker.io/hosts.toml", HOSTS_TOML);
    let hosts = folder.settings().hosts("docker.io").unwrap();
    let wanted = [
        "https://z.example /v2",
        "http://a.example:5000 /v2/proxy",
        "https://m.example /base/v2",
        "https://registry-1.docker.io /v2",
    ];
    assert_eq!(summary(&hosts), wanted);
    let [z, a, m, origin] = hosts.as_slice() else {
        panic!("{hosts:?}")
    };
    assert_eq!(z.capabilities, Capabilities::READ);
    assert_eq!(z.tls.authorities, [folder.0.join("docker.io/z.crt")]);
    let clients = [
        (
            folder.0.join("docker.io/z.cert"),
            Some(folder.0.join("docker.io/z.key")),
        ),
        (PathBuf::from("/abs/both.pem"), None),
    ];
    assert_eq!(z.tls.clients, clients);
    let headers: Vec<String> = z
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(headers, ["x-one=1", "x-two=2", "x-two=3"]);
    assert_eq!(z.namespace.as_deref(), Some("docker.io"));
    assert_eq!(
        a.capabilities,
        Capabilities {
            pull: true,
            resolve: false,
            push: false
        }
    );
    assert!(m.skip_verify && !origin.skip_verify);
    assert!(origin.is_origin && origin.namespace.is_none());
    assert_eq!(origin.credentials_key, "docker.io");
}

#[test]
fn hosts_folders_are_searched() {
    let folder = Folder::new();
    folder.write("_default/hosts.toml", "[host.\"https://all.example\"]\n");
    folder.write(
        "lab.example_5000_/hosts.toml",
        "[host.\"https://lab-mirror.example\"]\n",
    );
    let settings = folder.settings();
    let found = |domain: &str| summary(&settings.hosts(domain).unwrap());
    assert_eq!(
        found("quay.example"),
        ["https://all.example /v2", "https://quay.example /v2"]
    );
    assert_eq!(
        found("lab.example:5000"),
        [
            "https://lab-mirror.example /v2",
            "https://lab.example:5000 /v2"
        ]
    );
    folder.write("bad.example/hosts.toml", "[host\n");
    let error = settings.hosts("bad.example").unwrap_err().to_string();
    assert!(error.contains("bad.example/hosts.toml"), "{error}");
    folder.write("worse.example/hosts.toml", "capabilities = [\"fly\"]");
    let error = settings.hosts("worse.example").unwrap_err().to_string();
    assert!(error.contains("unknown capability \"fly\""), "{error}");
}

#[test]
fn certificates_are_found() {
    let folder = Folder::new();
    folder.write("127.0.0.1:5000/ca.crt", "");
    folder.write("127.0.0.1:5000/b.crt", "");
    folder.write("127.0.0.1:5000/client.cert", "");
    folder.write("127.0.0.1:5000/client.key", "");
    let host = folder.settings().hosts("127.0.0.1:5000").unwrap().remove(0);
    let base = folder.0.join("127.0.0.1:5000");
    assert_eq!(
        host.tls.authorities,
        [base.join("b.crt"), base.join("ca.crt")]
    );
    assert_eq!(
        host.tls.clients,
        [(base.join("client.cert"), Some(base.join("client.key")))]
    );
    assert_eq!(
        host.schemes,
        [Scheme::Https, Scheme::Http],
        "certificates speak of TLS"
    );
    assert!(!host.skip_verify, "an authority is there to be used");
}
