//! What a stranger, a broken disk or a broken network can do to `lap`: every refusal has docker's words
//! or a hint, the right exit status, bounded time and memory, and leaves a store that is whole.

mod bombs;
mod builds;
mod configuration;
mod content;
mod disk;
mod files;
mod layers;
mod names;
pub(crate) mod network;
mod races;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use lapstrake_spec::{
    Descriptor, Digest, ImageConfig, Manifest, MediaType, Platform, Reference, RootFs,
};
use lapstrake_sys::process::{Namespaces, unshare};
use lapstrake_testkit::{
    Changes, Cli, Compression, Directory, Outcome, RandomImage, RandomLayer, Shape, TestRegistry,
    Tree, levelled,
};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// After so many looks, which is three minutes, a process counts as hung.
const MOST_LOOKS: u32 = 36_000;
/// What no command may need, in KiB.
const MEMORY_LIMIT_KIB: u64 = 100 << 10;

/// What stands below the message when a registry serves what no image can be.
const DAMAGED: &str = "\nhint: what the registry serves is damaged: try again, and if it stays so, the \
                       image has to be pushed anew";
/// What stands below the message when the disk is full.
const FULL: &str = "\nhint: make room on that disk: `lap system df` shows what the store holds, `lap rm` \
                    and `lap rmi` remove from it";
/// What stands below the message when the disk cannot be written.
const READ_ONLY: &str = "\nhint: let the disk be mounted so that it can be written, or name another store \
                         with `lap --root`";

/// One command that must fail, and how: arguments, exit status, standard error.
type Row<'a> = (&'a [&'a str], i32, &'a str);

/// Runs the rows, then tells of all that came out otherwise.
#[track_caller]
fn refuses(lap: &Cli, rows: &[Row<'_>]) {
    let mut wrong = String::new();
    for (arguments, code, stderr) in rows {
        let found = lap.run(arguments).levelled();
        if found.code != Some(*code) || found.stderr.trim_end() != levelled(stderr) {
            let text = format!("--- expected [exit {code}]\n{stderr}\n+++ found\n{found}\n");
            wrong.push_str(&text);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The standard error of one command that must fail.
#[track_caller]
fn refused(lap: &Cli, code: i32, arguments: &[&str]) -> String {
    let found = lap.run(arguments).levelled();
    assert_eq!(found.code, Some(code), "{found}");
    found.stderr.trim_end().to_owned()
}

/// The store is whole and has these names, and no container.
#[track_caller]
fn holds(lap: &Cli, names: &[&str]) {
    let found = lap.run(&["system", "check"]);
    let is_whole = found.code == Some(0) && found.stdout.contains("the store is whole");
    assert!(is_whole, "{found}");
    let listed = lap.ok(&["images", "-a", "--format", "{{.Repository}}:{{.Tag}}"]);
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, names);
    assert_eq!(lap.ok(&["ps", "-aq"]), "");
}

/// Runs a command; returns what it did and its peak of resident memory in KiB.
fn measured(lap: &Cli, arguments: &[&str]) -> (Outcome, u64) {
    let child = lap
        .command(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let waiting = std::thread::spawn(move || child.wait_with_output().unwrap());
    let (mut peak, mut looks) = (0, 0);
    while !waiting.is_finished() {
        peak = peak.max(high_water_kib(&status).unwrap_or(0));
        looks += 1;
        assert!(looks < MOST_LOOKS, "{arguments:?} does not end");
        std::thread::sleep(LOOK);
    }
    let output = waiting.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let outcome = Outcome {
        command: arguments.iter().map(|&word| word.to_owned()).collect(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        code: output.status.code(),
    };
    (outcome, peak)
}

fn high_water_kib(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// One layer of a hand-made image: what it is said to be, its bytes, the digest of its tar.
struct Layer {
    media_type: MediaType,
    blob: Bytes,
    diff_id: Digest,
}

impl Layer {
    /// The layer of a tar.
    fn of(tar: &[u8], compression: Compression) -> Self {
        Self {
            media_type: compression.media_type(),
            blob: compression.compress(tar).into(),
            diff_id: Digest::sha256(tar),
        }
    }

    /// Bytes that are no tar, or whose tar nobody will come to see.
    fn raw(media_type: MediaType, blob: impl Into<Bytes>) -> Self {
        Self {
            media_type,
            blob: blob.into(),
            diff_id: Digest::sha256(b"never seen"),
        }
    }
}

/// An image of these layers.
fn image(layers: Vec<Layer>) -> RandomImage {
    let config = ImageConfig {
        architecture: Platform::host().architecture,
        os: "linux".to_owned(),
        rootfs: RootFs::layers(layers.iter().map(|layer| layer.diff_id.clone()).collect()),
        ..ImageConfig::default()
    };
    let config_raw = Bytes::from(config.to_bytes());
    let layers = layers
        .into_iter()
        .map(|layer| RandomLayer {
            changes: Changes::new(),
            tar: Bytes::new(),
            diff_id: layer.diff_id,
            descriptor: Descriptor::of(layer.media_type, &layer.blob),
            blob: layer.blob,
        })
        .collect();
    with_config(
        RandomImage {
            layers,
            config,
            config_descriptor: Descriptor::of(MediaType::OCI_CONFIG, &config_raw),
            raw: Bytes::new(),
            descriptor: Descriptor::of(MediaType::OCI_MANIFEST, b""),
            tree: Tree::default(),
            config_raw: Bytes::new(),
        },
        config_raw,
    )
}

/// The same image with other bytes as its configuration, and the manifest that says so.
fn with_config(image: RandomImage, config_raw: impl Into<Bytes>) -> RandomImage {
    let config_raw = config_raw.into();
    let config_descriptor = Descriptor::of(MediaType::OCI_CONFIG, &config_raw);
    let layers = image.layers.iter().map(|layer| layer.descriptor.clone());
    let manifest = Manifest::new(
        MediaType::OCI_MANIFEST,
        config_descriptor.clone(),
        layers.collect(),
    );
    let changed = RandomImage {
        config_raw,
        config_descriptor,
        ..image
    };
    with_manifest(changed, MediaType::OCI_MANIFEST, manifest.to_bytes())
}

/// The same image with other bytes as its manifest.
fn with_manifest(image: RandomImage, media_type: MediaType, raw: impl Into<Bytes>) -> RandomImage {
    let raw = raw.into();
    RandomImage {
        descriptor: Descriptor::of(media_type, &raw),
        raw,
        ..image
    }
}

/// A small good image in a registry.
fn put_small(registry: &TestRegistry, name: &str) -> Reference {
    registry.put(name, &RandomImage::with(77, &Shape::small()))
}

/// One header of a tar.
fn entry(name: &str, kind: u8, link: &str, size: u64) -> [u8; 512] {
    let mut header = [0u8; 512];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size < 1 << 33 {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    seal(&mut header);
    header
}

/// Puts the checksum into a header.
fn seal(header: &mut [u8; 512]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A tar of these entries, files with content.
fn tar(entries: &[(&str, u8, &str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, link, content) in entries {
        out.extend(entry(name, *kind, link, content.len() as u64));
        out.extend(*content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// Mounts that only this thread and what it starts can see. They are gone with the thread, whatever
/// ends it; dropping them earlier lets the folders below be removed.
struct Mounts(Vec<PathBuf>);

impl Mounts {
    fn new() -> Self {
        unshare(Namespaces::NEWNS).expect("needs root");
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        Self(Vec::new())
    }

    /// A disk of this size.
    fn tmpfs(mut self, at: &Path, bytes: u64) -> Self {
        fs::create_dir_all(at).unwrap();
        let size = std::ffi::CString::new(format!("size={bytes}")).unwrap();
        rustix::mount::mount(
            "none",
            at,
            "tmpfs",
            MountFlags::empty(),
            Some(size.as_c_str()),
        )
        .unwrap();
        self.0.push(at.to_owned());
        self
    }

    /// Lets the disk at this place be written no longer, or again.
    fn read_only(at: &Path, is_read_only: bool) {
        let flags = if is_read_only {
            MountFlags::RDONLY
        } else {
            MountFlags::empty()
        };
        rustix::mount::mount_remount(at, flags, c"").unwrap();
    }

    /// Shows `what` at this place.
    fn bind(mut self, what: &Path, at: &Path) -> Self {
        rustix::mount::mount_bind(what, at).unwrap();
        self.0.push(at.to_owned());
        self
    }

    /// Shows a folder of our own as `/etc`, with these files in it.
    fn etc(self, files: &[(&str, &str)]) -> (Self, Directory) {
        let etc = Directory::new();
        for name in ["passwd", "group", "nsswitch.conf"] {
            if let Ok(text) = fs::read(Path::new("/etc").join(name)) {
                etc.write(name, text);
            }
        }
        for (name, text) in files {
            etc.write(name, text);
        }
        (self.bind(etc.path(), Path::new("/etc")), etc)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for at in self.0.iter().rev() {
            rustix::mount::unmount(at, UnmountFlags::DETACH).ok();
        }
    }
}
