//! Layers whose compression is broken, and layers that try to write beside themselves.

use super::{DAMAGED, Layer, holds, image, refused, tar};
use lapstrake_spec::MediaType;
use lapstrake_testkit::{Cli, Compression, TestRegistry};
use std::fs;

const WORDS: &str = "failed to register layer: Error processing tar file(exit status 1): ";
const ALL: [Compression; 4] = [
    Compression::Gzip,
    Compression::Zstd,
    Compression::Bzip2,
    Compression::Xz,
];

/// Pulls an image of one layer that must be refused; returns the standard error after docker's words.
fn pull(lap: &Cli, layer: Layer) -> String {
    let registry = TestRegistry::start();
    let name = registry.put("a/b:1", &image(vec![layer])).to_string();
    let stderr = refused(lap, 1, &["pull", &name]);
    holds(lap, &[]);
    let message = stderr
        .strip_prefix(WORDS)
        .and_then(|text| text.strip_suffix(DAMAGED));
    message.unwrap_or(&stderr).to_owned()
}

#[test]
fn streams_that_break_off() {
    let lap = Cli::built();
    let content: Vec<u8> = (0..100_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let tar = tar(&[("file", b'0', "", &content)]);
    for compression in ALL {
        let whole = compression.compress(&tar);
        for length in [whole.len() / 2, whole.len() - 3] {
            let layer = Layer::raw(compression.media_type(), whole[..length].to_vec());
            assert_eq!(
                pull(&lap, layer),
                "unexpected EOF",
                "{compression:?} {length}"
            );
        }
        let empty = Layer::raw(compression.media_type(), whole[..6].to_vec());
        assert_eq!(pull(&lap, empty), "unexpected EOF", "{compression:?}");
    }
    let plain = Layer::raw(MediaType::OCI_LAYER_TAR, tar[..5000].to_vec());
    assert_eq!(pull(&lap, plain), "unexpected EOF");
}

#[test]
fn streams_that_are_damaged() {
    let lap = Cli::built();
    let content = b"text ".repeat(100_000);
    let tar = tar(&[("file", b'0', "", &content)]);
    let mut found = Vec::new();
    for compression in ALL {
        let mut bytes = compression.compress(&tar);
        let middle = bytes.len() / 2;
        for byte in &mut bytes[middle..middle + 8] {
            *byte ^= 0x55;
        }
        found.push(pull(&lap, Layer::raw(compression.media_type(), bytes)));
    }
    // The check at the end of a gzip stream, with everything before it in order.
    let mut bytes = Compression::Gzip.compress(&tar);
    let end = bytes.len() - 8;
    bytes[end] ^= 1;
    found.push(pull(&lap, Layer::raw(MediaType::OCI_LAYER_GZIP, bytes)));
    found.push(pull(
        &lap,
        Layer::raw(MediaType::OCI_LAYER_GZIP, b"no tar at all ".repeat(100)),
    ));
    let expected = [
        "flate: corrupt input before offset 5422",
        "zstd: data corruption detected",
        "bzip2: bzip2: invalid data",
        "xz: lzma data error",
        "gzip: invalid checksum",
        "archive/tar: invalid tar header: bad checksum",
    ];
    assert_eq!(found, expected);
}

/// A link called `through`.
fn link(target: &str) -> (&str, u8, &str, &[u8]) {
    ("through", b'2', target, b"")
}

/// A file that must not come to be where its name leads.
fn file(name: &str) -> (&str, u8, &str, &[u8]) {
    (name, b'0', "", b"evil")
}

/// The entries of a tar: name, kind, target of a link, content.
type Entries<'a> = [(&'a str, u8, &'a str, &'a [u8])];

#[test]
fn nothing_is_written_beside_the_layer() {
    let lap = Cli::built();
    let folder = lap.home().join("outside");
    let canary = folder.join("canary");
    fs::create_dir(&folder).unwrap();
    fs::write(&canary, "alive").unwrap();
    let (above, absolute) = (folder.to_str().unwrap(), canary.to_str().unwrap());
    let up = "../".repeat(20);
    let out = format!("{up}{}", &absolute[1..]);
    let out_folder = format!("{up}{}", &above[1..]);
    let outside = |name: &str| {
        let words = "invalid tar header: ";
        format!("{words}{name:?} is outside of the layer's root{DAMAGED}")
    };
    // What is told of a name ends where a field of the header does.
    let field = |name: &str| name[..name.len().min(100)].to_owned();
    let hard = format!("invalid hardlink \"hard\" -> {:?}{DAMAGED}", field(&out));
    let no_target = format!("link {absolute}: no such file or directory");
    let no_folder = "open /through: no such file or directory";
    let (above_out, above_a) = (outside(&field(&out)), outside("a/../../../x"));
    let dots = outside("..");
    let soft = ("soft", b'2', absolute, b"".as_slice());
    let cases: &[(&str, &Entries<'_>)] = &[
        (&above_out, &[file(&out)]),
        (&above_a, &[file("a/../../../x")]),
        (&dots, &[("..", b'5', "", b"")]),
        (&hard, &[("hard", b'1', &out, b"")]),
        (&no_target, &[("hard", b'1', absolute, b"")]),
        (
            "link /soft/x: no such file or directory",
            &[soft, ("hard", b'1', "soft/x", b"")],
        ),
        (no_folder, &[link(above), file("through/.wh.canary")]),
        (no_folder, &[link(above), file("through/.wh..wh..opq")]),
        (no_folder, &[link(&out_folder), file("through/canary")]),
        (no_folder, &[link(above), file("through/canary")]),
        (
            "open /loop: too many levels of symbolic links",
            &[("loop", b'2', "loop", b""), file("loop/x")],
        ),
        // These stay inside: the name, or the link itself, is replaced.
        ("", &[soft, file("soft")]),
        ("", &[soft, ("hard", b'1', "soft", b""), file("hard")]),
        ("", &[file(absolute)]),
    ];
    let registry = TestRegistry::start();
    for (index, (expected, entries)) in cases.iter().enumerate() {
        let layer = Layer::of(&tar(entries), Compression::Gzip);
        let name = registry
            .put(&format!("a/b:{index}"), &image(vec![layer]))
            .to_string();
        let outcome = lap.run(&["pull", "-q", &name]);
        let message = outcome.stderr.trim_end();
        assert_eq!(message.strip_prefix(WORDS).unwrap_or(message), *expected);
        if expected.is_empty() {
            assert_eq!(outcome.code, Some(0), "{outcome}");
            holds(&lap, &[&name]);
            lap.ok(&["rmi", &name]);
        } else {
            assert_eq!(outcome.code, Some(1), "{outcome}");
        }
        holds(&lap, &[]);
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive", "{outcome}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{outcome}");
        for place in [lap.root(), lap.home()] {
            assert!(!place.join("../x").exists() && !place.join("x").exists());
        }
    }
}
