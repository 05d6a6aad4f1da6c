//! Archives that are cut off, damaged or made to harm: `load` and `import` say what is wrong, and nothing of
//! them stays.
#![allow(
    clippy::disallowed_methods,
    reason = "a test of other programs' archives: it runs the packers"
)]

use super::{FULL, MEMORY_LIMIT_KIB, Mounts, entry, holds, image, measured, seal, tar};
use lapstrake_spec::{Descriptor, Digest, ImageConfig, MediaType, Platform, RootFs};
use lapstrake_testkit::{Cli, Compression, RandomImage, Shape, TestRegistry};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

const MIB: u64 = 1 << 20;
/// What stands below the message when a download brought something else.
const PAGE: &str = "\nhint: this is a web page and no archive: look at where it came from\n";

/// The configuration of an image of these layers.
fn config(layers: &[&[u8]]) -> Vec<u8> {
    let config = ImageConfig {
        architecture: Platform::host().architecture,
        os: "linux".to_owned(),
        rootfs: RootFs::layers(layers.iter().map(|layer| Digest::sha256(layer)).collect()),
        ..ImageConfig::default()
    };
    config.to_bytes()
}

/// A layer of one file.
fn layer(content: &[u8]) -> Vec<u8> {
    tar(&[("file", b'0', "", content)])
}

/// One row of `manifest.json`.
fn row(config: &str, tag: &str, layers: &[&str]) -> String {
    let layers: Vec<String> = layers.iter().map(|layer| format!("{layer:?}")).collect();
    let layers = layers.join(",");
    format!(r#"{{"Config":"{config}","RepoTags":["{tag}"],"Layers":[{layers}]}}"#)
}

/// Loads bytes that must be refused; what was said.
#[track_caller]
fn refused(lap: &Cli, archive: &[u8]) -> String {
    let path = lap.home().join("x.tar");
    fs::write(&path, archive).unwrap();
    let stderr = lap.fails(1, &["load", "-i", "x.tar"]);
    fs::remove_file(path).unwrap();
    stderr.lines().next().unwrap_or_default().to_owned()
}

/// Nothing is in the store, listed or not.
#[track_caller]
fn is_empty(lap: &Cli) {
    holds(lap, &[]);
    for folder in ["image/blobs/sha256", "layers"] {
        let found = fs::read_dir(lap.root().join(folder)).into_iter().flatten();
        let found: Vec<_> = found.flatten().map(|entry| entry.file_name()).collect();
        assert!(found.is_empty(), "{folder}: {found:?}");
    }
}

/// An image of two layers, as `save` writes it, and its id.
fn saved() -> (Vec<u8>, String) {
    let shape = Shape {
        layers: 2,
        changes: 3,
        file_bytes: 3000,
        compressions: vec![Compression::Gzip, Compression::Plain],
        ..Shape::default()
    };
    let image = RandomImage::with(71, &shape);
    let registry = TestRegistry::start();
    let name = registry.put("app:1", &image).to_string();
    let lap = Cli::built();
    lap.ok(&["copy", "-q", &name, "store:app:1"]);
    lap.ok(&["save", "-o", "x.tar", "app:1"]);
    let bytes = fs::read(lap.home().join("x.tar")).unwrap();
    (bytes, image.config_descriptor.digest.to_string())
}

/// Where the headers of a tar are.
fn headers(tar: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (0, Vec::new());
    while tar[at] != 0 {
        found.push(at);
        let digits = std::str::from_utf8(&tar[at + 124..at + 135]).unwrap();
        let size = usize::from_str_radix(digits, 8).unwrap();
        at += 512 + size.next_multiple_of(512);
    }
    found.push(at);
    found
}

#[test]
fn archives_that_were_cut_off() {
    let (bytes, id) = saved();
    let lap = Cli::built();
    let headers = headers(&bytes);
    let cuts = headers.windows(2).flat_map(|pair| {
        let (start, end) = (pair[0], pair[1]);
        let middle = (start + 512 + end) / 2;
        [start, start + 1, start + 511, start + 512, middle, end - 1]
    });
    let mut cuts: Vec<usize> = cuts.collect();
    cuts.extend(headers.last());
    cuts.sort_unstable();
    cuts.dedup();
    assert!(cuts.len() > 30, "{cuts:?}");
    for cut in cuts {
        let expected = if cut == 0 {
            "unrecognized image format: neither manifest.json nor index.json in x.tar"
        } else {
            "unexpected EOF"
        };
        assert_eq!(refused(&lap, &bytes[..cut]), expected, "{cut}");
        let piped = lap.run_with(&["load", "-q"], &bytes[..cut]);
        assert_eq!(
            (piped.code, piped.stdout),
            (Some(1), String::new()),
            "{cut}"
        );
    }
    is_empty(&lap);
    for packer in ["gzip", "bzip2", "xz", "zstd"] {
        let packed = packed(packer, &bytes);
        for part in 1..20 {
            let cut = packed.len() * part / 20;
            let said = refused(&lap, &packed[..cut]);
            assert!(said.contains("unexpected EOF"), "{packer} {cut}: {said}");
        }
    }
    is_empty(&lap);
    // The whole of it is loaded.
    let whole = lap.run_with(&["load", "-q"], &packed("xz", &bytes));
    assert_eq!(whole.stdout, "Loaded image: app:1\n", "{whole}");
    assert_eq!(lap.ok(&["images", "-q", "--no-trunc"]).trim(), id);
}

/// Bytes packed by a program.
fn packed(packer: &str, bytes: &[u8]) -> Vec<u8> {
    let folder = lapstrake_testkit::Directory::new();
    let path = folder.write("plain", bytes);
    let packed = Command::new(packer).arg("-c").arg(path).output();
    packed.unwrap().stdout
}

#[test]
fn archives_with_one_wrong_bit() {
    let (bytes, id) = saved();
    let lap = Cli::built();
    for number in 0..60 {
        let mut damaged = bytes.clone();
        let at = number * bytes.len() / 60;
        damaged[at] ^= 1 << (number % 8);
        let loaded = lap.run_with(&["load", "-q"], &damaged);
        // In padding, or in a name that is not needed, it does no harm.
        if loaded.code == Some(0) {
            let listed = lap.ok(&["images", "-aq", "--no-trunc"]);
            assert_eq!(listed.trim(), id, "{at}: {loaded}");
            lap.ok(&["rmi", "-f", &id]);
        } else {
            assert_eq!(loaded.code, Some(1), "{at}: {loaded}");
            assert_ne!(loaded.stderr, "", "{at}");
        }
    }
    holds(&lap, &[]);
}

#[test]
fn archives_that_name_something_twice() {
    let lap = Cli::built();
    let (one, two) = (layer(b"one"), layer(b"two"));
    let (double, single) = (config(&[&one, &one, &two]), config(&[&one]));
    let table = format!(
        "[{},{}]",
        row("double", "app:1", &["one", "one", "two"]),
        row("single", "app:1", &["one"])
    );
    let archive = tar(&[
        ("one", b'0', "", &one),
        ("two", b'0', "", &two),
        ("double", b'0', "", &double),
        ("single", b'0', "", &single),
        ("manifest.json", b'0', "", table.as_bytes()),
    ]);
    let loaded = lap.run_with(&["load", "-q"], &archive);
    let old = Digest::sha256(&double);
    // The later image takes the name, as in docker.
    let expected = format!(
        "Loaded image: app:1\nThe image app:1 already exists, renaming the old one with ID {old} to empty \
         string\nLoaded image: app:1\n"
    );
    assert_eq!(loaded.stdout, expected, "{loaded}");
    holds(&lap, &["<none>:<none>", "app:1"]);
    let layers = lap.ok(&["inspect", "-f", "{{len .RootFS.Layers}}", old.as_ref()]);
    assert_eq!(layers.trim(), "3");
    lap.ok(&["rmi", "-f", old.as_ref(), "app:1"]);
    let table = format!("[{}]", row("single", "app:1", &["one"]));
    let twice = tar(&[
        ("one", b'0', "", &one),
        ("one", b'0', "", &two),
        ("single", b'0', "", &single),
        ("manifest.json", b'0', "", table.as_bytes()),
    ]);
    assert_eq!(refused(&lap, &twice), "one: is in the archive twice");
    holds(&lap, &[]);
}

#[test]
fn archives_with_paths_that_lead_elsewhere() {
    let lap = Cli::built();
    fs::write(lap.home().join("secret"), layer(b"secret")).unwrap();
    let (one, secret) = (layer(b"one"), lap.home().join("secret"));
    let config = config(&[&one]);
    let secret = secret.to_str().unwrap();
    let link = |kind: u8, target: &str, path: &str| {
        let table = format!("[{}]", row("c", "app:1", &[path]));
        tar(&[
            ("a/one", b'0', "", &one),
            ("b/two", kind, target, b""),
            ("c", b'0', "", &config),
            ("manifest.json", b'0', "", table.as_bytes()),
        ])
    };
    let outside = "b/two: link leads out of the archive";
    for (kind, target, path, expected) in [
        (b'2', secret, "b/two", outside),
        (b'2', "../../../../etc/passwd", "b/two", outside),
        (b'1', "/etc/passwd", "b/two", outside),
        (b'1', "../secret", "b/two", outside),
        (
            b'2',
            "two",
            "b/two",
            "b/two: too many levels of symbolic links",
        ),
        (
            b'2',
            "../a/none",
            "b/two",
            "b/two: no such file in the archive",
        ),
        (b'2', "../a", "b/two", "b/two: no such file in the archive"),
        (b'3', "", "b/two", "b/two: is not a regular file"),
        (b'6', "", "b/two", "b/two: is not a regular file"),
        (b'5', "", "b/two", "b/two: is a directory"),
        (b'2', "../a/one", secret, "path leads out of the archive"),
        (
            b'2',
            "../a/one",
            "../secret",
            "path leads out of the archive",
        ),
        (b'2', "../a/one", "", "path leads out of the archive"),
    ] {
        let said = refused(&lap, &link(kind, target, path));
        assert!(said.ends_with(expected), "{kind} {target} {path}: {said}");
    }
    is_empty(&lap);
    // Docker before 25 links equal layers.
    for (kind, target) in [(b'2', "../a/one"), (b'1', "a/one")] {
        let loaded = lap.run_with(&["load", "-q"], &link(kind, target, "b/two"));
        assert_eq!(loaded.stdout, "Loaded image: app:1\n", "{loaded}");
        lap.ok(&["rmi", "app:1"]);
    }
    // What nobody asks for may be called as it likes.
    let table = format!("[{}]", row("c", "app:1", &["one"]));
    let harmless = tar(&[
        ("/etc/passwd", b'0', "", b"x"),
        ("../../x", b'0', "", b"x"),
        ("one", b'0', "", &one),
        ("c", b'0', "", &config),
        ("manifest.json", b'0', "", table.as_bytes()),
    ]);
    let loaded = lap.run_with(&["load", "-q"], &harmless);
    assert_eq!(loaded.code, Some(0), "{loaded}");
}

#[test]
fn archives_with_digests_that_do_not_fit() {
    let lap = Cli::built();
    let (one, other) = (layer(b"one"), layer(b"other"));
    let right = config(&[&one]);
    let archive = |name: &str, config: &[u8], path: &str, layer: &[u8]| {
        let table = format!("[{}]", row(name, "app:1", &[path]));
        tar(&[
            (path, b'0', "", layer),
            (name, b'0', "", config),
            ("manifest.json", b'0', "", table.as_bytes()),
        ])
    };
    let packed = Compression::Gzip.compress(&other);
    let wrong_name = format!("{}.json", "0".repeat(64));
    let wrong_blob = format!("blobs/sha256/{}", "1".repeat(64));
    let id = Digest::sha256(&one);
    let unlike = "layers from manifest don't match image configuration";
    let different = "filesystem layer verification failed for digest ";
    let cases: [(Vec<u8>, &[&str]); 6] = [
        (
            archive(&wrong_name, &right, "l", &one),
            &["image configuration has the digest"],
        ),
        (
            archive(&wrong_blob, &right, "l", &one),
            &["image configuration has the digest"],
        ),
        (archive("c", &right, "l", &other), &[different, id.hex()]),
        (archive("c", &right, "l", &packed), &[unlike]),
        (archive("c", &right, &wrong_blob, &packed), &["1111"]),
        (
            archive("c", b"{}", "l", &one),
            &["invalid image JSON, no RootFS key"],
        ),
    ];
    for (archive, words) in cases {
        let said = refused(&lap, &archive);
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
        is_empty(&lap);
    }
}

#[test]
fn layouts_with_digests_that_do_not_fit() {
    let lap = Cli::built();
    let (one, other) = (layer(b"one"), layer(b"other"));
    let id = Digest::sha256(&one);
    let image = image(vec![super::Layer::of(&one, Compression::Plain)]);
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let layout = |layer: &[u8]| {
        let desc = lapstrake_spec::go_json::to_string(&image.descriptor).unwrap();
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{desc}]}}"#);
        let config = &image.config_descriptor.digest;
        tar(&[
            ("index.json", b'0', "", index.as_bytes()),
            (&path(&image.descriptor.digest), b'0', "", &image.raw),
            (&path(config), b'0', "", &image.config_raw),
            (&path(&id), b'0', "", layer),
        ])
    };
    let different = format!("filesystem layer verification failed for digest {id}");
    assert_eq!(refused(&lap, &layout(&other)), different);
    is_empty(&lap);
    let short = format!("{}: has 512 bytes instead of {}", path(&id), one.len());
    assert_eq!(refused(&lap, &layout(&one[..512])), short);
    is_empty(&lap);
    let loaded = lap.run_with(&["load", "-q"], &layout(&one));
    assert_eq!(loaded.code, Some(0), "{loaded}");
}

/// Loads an archive that must be refused without much memory; what was said.
fn refused_cheaply(lap: &Cli, path: &Path) -> String {
    let (outcome, peak) = measured(lap, &["load", "-i", path.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(peak < MEMORY_LIMIT_KIB, "{peak} KiB");
    outcome.stderr.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn archives_with_too_much() {
    let lap = Cli::built();
    let path = lap.home().join("large.tar");
    let write = |pieces: &[(&[u8], usize)]| {
        let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
        for (piece, times) in pieces {
            for _ in 0..*times {
                file.write_all(piece).unwrap();
            }
        }
    };
    let end = [0; 1024];
    for (name, limit) in [("manifest.json", 8 << 20), ("index.json", 4 << 20)] {
        write(&[
            (&entry(name, b'0', "", 100 * MIB), 1),
            (&vec![b' '; 1 << 20], 100),
            (&end, 1),
        ]);
        let expected = format!("{name}: {} bytes are more than {limit}", 100 * MIB);
        assert_eq!(refused_cheaply(&lap, &path), expected);
    }
    write(&[
        (&entry("manifest.json", b'0', "", 8 * MIB), 1),
        (b"[{\"x\":", 1),
        (&vec![b'['; (8 << 20) - 6], 1),
        (&end, 1),
    ]);
    let said = refused_cheaply(&lap, &path);
    assert!(said.starts_with("manifest.json is not valid: "), "{said}");
    let tiny = [&entry("tiny", b'0', "", 1)[..], &[0; 512]].concat();
    write(&[(&tiny, 100_001), (&end, 1)]);
    let limit = "archive has more than 100000 entries";
    assert_eq!(refused_cheaply(&lap, &path), limit);
    // Packed, a million of them are some kilobytes.
    let packed = Compression::Gzip.compress(&tiny.repeat(10_000));
    fs::write(&path, packed.repeat(12)).unwrap();
    assert_eq!(refused_cheaply(&lap, &path), limit);
    is_empty(&lap);
}

#[test]
fn archives_whose_indexes_are_in_each_other() {
    let lap = Cli::built();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut inner = format!(
        r#"{{"mediaType":"{}","digest":"sha256:{}","size":2}}"#,
        MediaType::OCI_MANIFEST,
        "0".repeat(64)
    );
    let index = |inner: &str| format!(r#"{{"schemaVersion":2,"manifests":[{inner}]}}"#);
    for _ in 0..30 {
        let raw = index(&inner).into_bytes();
        let desc = Descriptor::of(MediaType::OCI_INDEX, &raw);
        files.push((format!("blobs/sha256/{}", desc.digest.hex()), raw));
        inner = lapstrake_spec::go_json::to_string(&desc).unwrap();
    }
    files.push(("index.json".to_owned(), index(&inner).into_bytes()));
    let entries: Vec<_> = files
        .iter()
        .map(|(name, raw)| (name.as_str(), b'0', "", raw.as_slice()))
        .collect();
    let said = refused(&lap, &tar(&entries));
    assert!(said.contains("index"), "{said}");
    is_empty(&lap);
}

/// A header of this size field.
fn sized(name: &str, kind: u8, field: &[u8]) -> Vec<u8> {
    let mut header = entry(name, kind, "", 0);
    header[124..124 + field.len()].copy_from_slice(field);
    seal(&mut header);
    header.to_vec()
}

#[test]
fn archives_with_sizes_that_lie() {
    let lap = Cli::built();
    let pax = |record: &str| {
        let length = record.len() + 3 + 1;
        let record = format!("{length} {record}\n");
        tar(&[("pax", b'x', "", record.as_bytes())])[..1024].to_vec()
    };
    let real = tar(&[("manifest.json", b'0', "", b"[]")]);
    let cases: [(Vec<u8>, &str); 9] = [
        (
            sized("manifest.json", b'0', b"77777777777\0"),
            "unexpected EOF",
        ),
        (
            sized(
                "x",
                b'0',
                &[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255],
            ),
            "unexpected EOF",
        ),
        (
            sized("x", b'0', &[0xff; 12]),
            "archive/tar: invalid tar header: size out of range",
        ),
        (
            sized("x", b'0', b"-0000000001\0"),
            "archive/tar: invalid tar header: size is not a number",
        ),
        (
            sized("x", b'x', b"00777777777\0"),
            "archive has more than 65536 bytes in an extended header",
        ),
        (
            sized("x", b'L', b"77777777777\0"),
            "archive has more than 65536 bytes in an extended header",
        ),
        (pax("size=99999999999"), "unexpected EOF"),
        (
            pax("size=-1"),
            "archive/tar: invalid tar header: size is not a number",
        ),
        (
            pax("GNU.sparse.major=1"),
            "manifest.json: sparse file in an image archive",
        ),
    ];
    for (start, expected) in cases {
        let archive = [start.as_slice(), &real].concat();
        assert_eq!(refused(&lap, &archive), expected);
    }
    let sparse = [
        sized("manifest.json", b'S', b"00000000000\0"),
        vec![0; 1024],
    ]
    .concat();
    let expected = "manifest.json: sparse file in an image archive";
    assert_eq!(refused(&lap, &sparse), expected);
    is_empty(&lap);
}

#[test]
fn imports_of_what_is_no_archive() {
    let lap = Cli::built();
    let page = format!("<!DOCTYPE html>\n{}", "<p>nothing here\n".repeat(100));
    let good = tar(&[("file", b'0', "", &vec![7; 90_000])]);
    let gzip = Compression::Gzip.compress(&good);
    let deep = "d/".repeat(2000);
    let record = |name: &str| {
        let length = name.len() + 11;
        let record = format!("{length} path={name}\n");
        tar(&[
            ("pax", b'x', "", record.as_bytes()),
            ("short", b'5', "", b""),
        ])
    };
    let answer = "Error response from daemon: Error processing tar file(exit status 1): ";
    for (bytes, expected) in [
        (page.as_bytes(), "archive/tar: invalid tar header"),
        (&page.as_bytes()[..100], "unexpected EOF"),
        (b"x", "unexpected EOF"),
        (&good[..50_000], "unexpected EOF"),
        (&gzip[..gzip.len() / 2], "unexpected EOF"),
        (&gzip[..15], "unexpected EOF"),
        (
            &record(&deep),
            "layer exceeds the limit of 1024 components in a path",
        ),
    ] {
        let imported = lap.run_with(&["import", "-", "x:1"], bytes);
        assert_eq!(imported.code, Some(1), "{imported}");
        let said = imported.stderr.lines().next().unwrap_or_default();
        assert!(
            said.starts_with(answer) && said.contains(expected),
            "{expected}: {said}"
        );
        assert_eq!(imported.stdout, "");
        let is_page = bytes.starts_with(b"<!DOCTYPE html>");
        assert_eq!(imported.stderr.ends_with(PAGE), is_page, "{imported}");
    }
    for length in [50, 600] {
        let loaded = lap.run_with(&["load"], &page.as_bytes()[..length]);
        assert!(loaded.stderr.ends_with(PAGE), "{loaded}");
        assert_eq!(loaded.code, Some(1), "{loaded}");
    }
    is_empty(&lap);
    // As in docker, nothing at all is an image without files.
    let empty = lap.run_with(&["import", "-", "empty:1"], b"");
    assert_eq!(empty.code, Some(0), "{empty}");
    holds(&lap, &["empty:1"]);
}

#[test]
fn privileged_archives_on_a_disk_that_fills_up() {
    let one = layer(&vec![4; 4 << 20]);
    let config = config(&[&one]);
    let table = format!("[{}]", row("c", "app:1", &["one"]));
    let archive = tar(&[
        ("one", b'0', "", &one),
        ("c", b'0', "", &config),
        ("manifest.json", b'0', "", table.as_bytes()),
    ]);
    let lap = Cli::built();
    let path = lap.home().join("x.tar");
    fs::write(&path, &archive).unwrap();
    let mounts = Mounts::new().tmpfs(&lap.root(), 3 * MIB);
    let packed = Compression::Gzip.compress(&archive);
    for loaded in [
        lap.run(&["load", "-i", "x.tar"]),
        lap.run_with(&["load"], &archive),
        // Nothing that is packed can be read where it is.
        lap.run_with(&["load"], &packed),
    ] {
        assert_eq!(loaded.code, Some(1), "{loaded}");
        assert!(
            loaded.stderr.contains("no space left on device"),
            "{loaded}"
        );
        assert!(loaded.stderr.ends_with(&format!("{FULL}\n")), "{loaded}");
        is_empty(&lap);
    }
    drop(mounts);

    let lap = Cli::built();
    assert_eq!(lap.run_with(&["load"], &archive).code, Some(0));
    let target = lap.home().join("small");
    let _mounts = Mounts::new().tmpfs(&target, MIB);
    fs::write(target.join("old.tar"), "old").unwrap();
    for file in ["small/new.tar", "small/old.tar"] {
        let stderr = lap.fails(1, &["save", "-o", file, "app:1"]);
        let expected = format!(
            "write {file}: no space left on device\nhint: make room where the archive is written to\n"
        );
        assert_eq!(stderr, expected);
    }
    let left: Vec<_> = fs::read_dir(&target).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read(target.join("old.tar")).unwrap(), b"old");
}
