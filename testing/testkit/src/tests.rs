use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpStream;
use std::{io::Write, time::Duration};

use crate::tree::{Change, Kind};
use crate::{Compression, Directory, Fault, RandomImage, Shape, TestRegistry, When, levelled};

#[test]
fn a_seed_gives_one_image() {
    let (left, right) = (RandomImage::new(7), RandomImage::new(7));
    assert_eq!(left.descriptor, right.descriptor);
    assert_eq!(left.tree, right.tree);
    assert_ne!(RandomImage::new(8).descriptor, left.descriptor);
    assert_eq!(
        left.size(),
        left.blobs()
            .map(|(_, bytes)| bytes.len() as u64)
            .sum::<u64>()
    );
}

#[test]
fn many_seeds_cover_every_sort_of_change() {
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        let image = RandomImage::with(
            seed,
            &Shape {
                privileged: true,
                ..Shape::default()
            },
        );
        for change in image.layers.iter().flat_map(|layer| layer.changes.values()) {
            seen.insert(match change {
                Change::Link(_) => "link",
                Change::Whiteout => "whiteout",
                Change::Opaque(_) => "opaque",
                Change::Put(node) => match node.kind {
                    Kind::Directory => "directory",
                    Kind::File(_) => "file",
                    Kind::Symlink(_) => "symlink",
                    Kind::Fifo => "fifo",
                    Kind::Device(..) => "device",
                },
            });
        }
        for (path, node) in &image.tree.nodes {
            let parent = crate::tree::parent(path);
            let inside = parent.is_empty() || image.tree.nodes[parent].kind == Kind::Directory;
            assert!(inside, "seed {seed}: {path} {node:?} is in no directory");
        }
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn layers_are_tars_that_others_read() {
    for seed in 0..20 {
        for layer in RandomImage::new(seed).layers {
            let mut archive = tar::Archive::new(layer.tar.as_ref());
            let entries = archive.entries().unwrap().map(Result::unwrap).count();
            let opaque = |change: &&Change| matches!(change, Change::Opaque(_));
            let markers = layer.changes.values().filter(opaque).count();
            assert_eq!(entries, layer.changes.len() + markers);
        }
    }
}

#[test]
fn compressions_give_the_tar_back() {
    let tar = RandomImage::new(1).layers.swap_remove(0).tar;
    let read = |mut reader: Box<dyn Read>| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    };
    for compression in Compression::ALL {
        let blob = std::io::Cursor::new(compression.compress(&tar));
        let back = match compression {
            Compression::Plain => read(Box::new(blob)),
            Compression::Gzip | Compression::GzipMembers => {
                read(Box::new(flate2::read::MultiGzDecoder::new(blob)))
            }
            Compression::Zstd => zstd::decode_all(blob).unwrap(),
            Compression::Bzip2 => read(Box::new(bzip2::read::BzDecoder::new(blob))),
            Compression::Xz => read(Box::new(liblzma::read::XzDecoder::new(blob))),
        };
        assert!(back == tar, "{compression:?}");
    }
}

/// A request over a fresh connection, answered whole or until the connection breaks.
fn request(registry: &TestRegistry, head: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let head = format!(
        "{head} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        registry.address(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    answer
}

fn body_length(answer: &[u8]) -> usize {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    answer.len() - end - 4
}

#[test]
fn faults_break_answers_and_counts_count() {
    let registry = TestRegistry::start();
    let image = RandomImage::with(3, &Shape::small());
    let name = registry.put("a/b:t", &image);
    let manifest = format!("GET /v2/{}/manifests/{}", name.path(), name.tag().unwrap());
    let whole = request(&registry, &manifest, b"");
    assert!(
        whole.ends_with(&image.raw),
        "{}",
        String::from_utf8_lossy(&whole)
    );

    let (descriptor, bytes) = image.blobs().last().unwrap();
    let blob = format!("GET /v2/a/b/blobs/{}", descriptor.digest);
    let when = || When::path("/blobs/").method("GET");
    registry.faults().reset_counts();
    registry.faults().add(when(), Fault::CutAnswer(100), 1);
    assert_eq!(body_length(&request(&registry, &blob, b"")), 100);
    registry.faults().add(when(), Fault::WrongBytes, 1);
    let wrong = request(&registry, &blob, b"");
    assert_eq!(body_length(&wrong), bytes.len());
    assert!(!wrong.ends_with(bytes));
    registry.faults().add(when(), Fault::Disconnect, 1);
    assert_eq!(request(&registry, &blob, b""), b"");
    registry
        .faults()
        .add(when(), Fault::Status(429, Some("1")), 1);
    let refusal = String::from_utf8(request(&registry, &blob, b"")).unwrap();
    assert!(
        refusal.starts_with("HTTP/1.1 429") && refusal.contains("retry-after: 1"),
        "{refusal}"
    );
    assert!(request(&registry, &blob, b"").ends_with(bytes));
    assert_eq!(registry.faults().count("GET", "/blobs/"), 5);
    let refused = (refusal.len() - refusal.find("\r\n\r\n").unwrap() - 4) as u64;
    let expected = 100 + 2 * bytes.len() as u64 + refused;
    assert_eq!(registry.faults().bytes_sent(), expected);
}

#[test]
fn a_request_is_cut_and_its_bytes_are_kept() {
    let registry = TestRegistry::start();
    let start = String::from_utf8(request(&registry, "POST /v2/r/blobs/uploads/", b"")).unwrap();
    let location = start
        .lines()
        .find_map(|line| line.strip_prefix("location: "))
        .unwrap();
    registry
        .faults()
        .add(When::any().method("PATCH"), Fault::CutRequest(1000), 1);
    assert_eq!(
        request(&registry, &format!("PATCH {location}"), &vec![b'x'; 50_000]),
        b""
    );
    let mut kept = String::new();
    for _ in 0..200 {
        kept = String::from_utf8(request(&registry, &format!("GET {location}"), b"")).unwrap();
        if kept.contains("range: 0-999") {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(kept.contains("range: 0-999\r\n"), "{kept}");
    let directory = registry.stop();
    assert!(directory.join("uploads").exists());
}

#[test]
fn directories_go() {
    let directory = Directory::new();
    let file = directory.write("a/b/c", "text");
    assert!(file.exists());
    let path = directory.path().to_owned();
    drop(directory);
    assert!(!path.exists());
}

#[test]
fn what_differs_is_levelled() {
    let hex = "0123456789abcdef".repeat(4);
    for (text, expected) in [
        (format!("sha256:{hex}"), "sha256:H64"),
        (
            "REPOSITORY   TAG\nx            1    \n".to_owned(),
            "REPOSITORY  TAG\nx  1\n",
        ),
        (
            "0123456789ab   2 minutes ago   12MB".to_owned(),
            "H12  AGO  12MB",
        ),
        ("a   Less than a second ago".to_owned(), "a  AGO"),
        (
            "{\"a\":\"Less than a second ago\"}".to_owned(),
            "{\"a\":\"AGO\"}",
        ),
        (
            "a   About an hour ago   b   3 days ago".to_owned(),
            "a  AGO  b  AGO",
        ),
        (
            "push 127.0.0.1:45321/a/b:1 now".to_owned(),
            "push REG/a/b:1 now",
        ),
        ("no long ago".to_owned(), "no long ago"),
    ] {
        assert_eq!(levelled(&text), expected);
    }
}
