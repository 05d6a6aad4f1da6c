//! Documents and blobs that are not what their digest, their type or their neighbours say.

use super::{
    DAMAGED, Layer, MEMORY_LIMIT_KIB, holds, image, measured, refused, tar, with_config,
    with_manifest,
};
use bytes::Bytes;
use lapstrake_spec::{Descriptor, Digest, MediaType};
use lapstrake_testkit::{Cli, Compression, RandomImage, TestRegistry};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

/// Pulls an image that must be refused as damaged; returns the message.
fn pull(image: &RandomImage) -> String {
    let registry = TestRegistry::start();
    let name = registry.put("a/b:1", image).to_string();
    let lap = Cli::built();
    let stderr = refused(&lap, 1, &["pull", &name]);
    holds(&lap, &[]);
    message(&stderr)
}

/// The message above the hint, which must be there.
#[track_caller]
fn message(stderr: &str) -> String {
    let message = stderr.strip_suffix(DAMAGED);
    message
        .unwrap_or_else(|| panic!("no hint: {stderr}"))
        .to_owned()
}

fn good() -> RandomImage {
    let content = vec![7u8; 100_000];
    image(vec![Layer::of(
        &tar(&[("file", b'0', "", &content)]),
        Compression::Gzip,
    )])
}

fn flipped(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes.into()
}

#[test]
fn bytes_of_another_digest() {
    let mut layer = good();
    layer.layers[0].blob = flipped(&layer.layers[0].blob);
    assert_eq!(
        pull(&layer),
        "filesystem layer verification failed for digest sha256:H64"
    );

    let mut config = good();
    config.config_raw = flipped(&config.config_raw);
    assert_eq!(
        pull(&config),
        "error pulling image configuration: image config verification failed for digest sha256:H64",
    );

    let mut manifest = good();
    manifest.raw = flipped(&manifest.raw);
    assert_eq!(
        pull(&manifest),
        "Error response from daemon: manifest verification failed for digest sha256:H64",
    );
}

#[test]
fn bytes_of_another_length() {
    let mut layer = good();
    let size = layer.layers[0].blob.len();
    layer.layers[0].blob = layer.layers[0].blob.slice(..50);
    let words = |found: usize| {
        format!("blob sha256:H64 has {found} bytes at the registry, and {size} by its descriptor")
    };
    assert_eq!(pull(&layer), words(50));
    let mut layer = good();
    let longer = [&layer.layers[0].blob[..], b"more"].concat();
    layer.layers[0].blob = longer.into();
    assert_eq!(pull(&layer), words(size + 4));
}

#[test]
fn configurations_that_do_not_fit() {
    let other = image(vec![Layer {
        diff_id: Digest::sha256(b"another tar"),
        ..Layer::of(&tar(&[("file", b'0', "", b"x")]), Compression::Gzip)
    }]);
    let mismatch = "layers from manifest don't match image configuration";
    assert_eq!(pull(&other), mismatch);

    let mut more = good();
    more.config
        .rootfs
        .diff_ids
        .push(Digest::sha256(b"no layer"));
    let raw = more.config.to_bytes();
    assert_eq!(pull(&with_config(more, raw)), mismatch);

    let deep = "[".repeat(100_000);
    for text in ["no JSON", "[1, 2]", "null", "{\"rootfs\": 3}", &deep] {
        let raw = Bytes::copy_from_slice(text.as_bytes());
        assert_eq!(
            pull(&with_config(good(), raw)),
            "image configuration is not valid"
        );
    }
    let no_layers = "invalid image JSON, no RootFS key";
    assert_eq!(pull(&with_config(good(), &b"{}"[..])), no_layers);
}

#[test]
fn manifests_that_are_none() {
    let registry = TestRegistry::start();
    let lap = Cli::built();
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    let schema1 = r#"{"schemaVersion":1,"name":"a/b","tag":"1","fsLayers":[],"history":[]}"#;
    let schema1_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let invalid = format!("Error response from daemon: manifest is not valid{DAMAGED}");
    let mismatch = format!(
        "Error response from daemon: media type mismatch: expected \
         application/vnd.oci.image.manifest.v1+json but found index{DAMAGED}"
    );
    let architecture = lapstrake_spec::Platform::host().architecture;
    let empty =
        format!("no matching manifest for linux/{architecture} in the manifest list entries");
    let old = "Error response from daemon: [DEPRECATION NOTICE] Docker Image Format v1 and Docker Image \
               manifest version 2, schema 1 support is disabled by default and will be removed in an \
               upcoming release. Suggest the author of REG/a/b:1 to upgrade the image to the OCI Format \
               or Docker Image manifest v2, schema 2. More information at \
               https://docs.docker.com/go/deprecated-image-specs/";
    for (media_type, raw, expected) in [
        (MediaType::OCI_MANIFEST, "no JSON", invalid.as_str()),
        (MediaType::OCI_MANIFEST, "{}", &invalid),
        (MediaType::OCI_MANIFEST, "", &invalid),
        (MediaType::OCI_MANIFEST, index, &mismatch),
        (MediaType::OCI_INDEX, index, &empty),
        (MediaType::from(schema1_type), schema1, old),
    ] {
        let bad = with_manifest(good(), media_type, raw.as_bytes().to_vec());
        let name = registry.put("a/b:1", &bad).to_string();
        assert_eq!(refused(&lap, 1, &["pull", &name]), expected);
        holds(&lap, &[]);
    }
}

/// Answers everything with a manifest of so many bytes. Its thread ends with the test's process.
fn endless_manifest(length: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ndocker-content-digest: {}\r\ncontent-length: \
         {length}\r\nconnection: close\r\n\r\n",
        MediaType::OCI_MANIFEST.as_str(),
        Digest::sha256(b"large"),
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let mut answer = head.clone().into_bytes();
            if request[..count].starts_with(b"GET") {
                answer.resize(answer.len() + length, b' ');
            }
            // Whoever has had enough hangs up.
            stream.write_all(&answer).ok();
        }
    });
    address
}

#[test]
fn manifests_that_are_too_large() {
    let lap = Cli::built();
    for length in [(4 << 20) + 1, 200 << 20] {
        let name = format!("{}/a/b:1", endless_manifest(length));
        let (outcome, peak) = measured(&lap, &["pull", &name]);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        let expected = format!(
            "Error response from daemon: manifest of {length} bytes is larger than the limit of \
             4194304{DAMAGED}"
        );
        assert_eq!(outcome.stderr.trim_end(), expected);
        assert!(peak < MEMORY_LIMIT_KIB, "{peak} KiB");
    }
    holds(&lap, &[]);
}

#[test]
fn indexes_in_each_other() {
    let registry = TestRegistry::start();
    let name = registry.put("a/b:image", &good());
    let index = |inner: &Descriptor| {
        let platform = r#"{"architecture":"amd64","os":"linux"}"#;
        let platform = platform.replace("amd64", &lapstrake_spec::Platform::host().architecture);
        let (media_type, digest, size) = (inner.media_type.as_str(), &inner.digest, inner.size);
        let raw = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{media_type}","digest":"{digest}","size":{size},"platform":{platform}}}]}}"#,
            MediaType::OCI_INDEX.as_str(),
        );
        with_manifest(good(), MediaType::OCI_INDEX, raw)
    };
    let mut inner = good().descriptor;
    for depth in 1..=3 {
        let nested = index(&inner);
        registry.put(&format!("a/b:deep{depth}"), &nested);
        inner = nested.descriptor;
    }
    // No index can hold its own digest; one that says so is served under that digest.
    let mut circle = index(&Descriptor {
        digest: Digest::sha256(b"circle"),
        ..inner
    });
    circle.descriptor.digest = Digest::sha256(b"circle");
    registry.put("a/b:circle", &circle);

    let lap = Cli::built();
    let tag = |tag: &str| name.with_tag(tag).unwrap().to_string();
    let deep = refused(&lap, 1, &["pull", &tag("deep3")]);
    assert_eq!(
        message(&deep),
        "index sha256:H64 is nested more than 2 deep"
    );
    let circle = refused(&lap, 1, &["pull", &tag("circle")]);
    assert_eq!(
        message(&circle),
        "Error response from daemon: manifest verification failed for digest sha256:H64",
    );
    holds(&lap, &[]);
    lap.ok(&["pull", "-q", &tag("deep2")]);
    holds(&lap, &[&tag("deep2")]);
}
