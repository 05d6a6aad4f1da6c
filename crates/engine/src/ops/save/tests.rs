//! Archives between two stores of a test: what `save` and `load` do together.

use super::*;
use crate::ops::{self, ArchiveInput, LoadRequest, PullRequest};
use crate::settings::{Inputs, Settings};
use crate::{Event, EventSink, Ignore};
use lapstrake_spec::Digest;
use lapstrake_testkit::{Directory, RandomImage, Shape, TestRegistry};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub(in crate::ops) fn engine(directory: &Directory, store: &str) -> Engine {
    let inputs = Inputs {
        root: Some(directory.join(store)),
        config_dir: Some(directory.join("config")),
        config_files: vec![directory.join("no-such-file")],
        is_root: true,
        ..Inputs::default()
    };
    Engine::open(Settings::resolve(inputs).unwrap(), || {
        "2026-01-02T12:00:00Z".parse().unwrap()
    })
}

pub(in crate::ops) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Keeps what was told of images; layers are left out.
#[derive(Default)]
pub(in crate::ops) struct Told(Mutex<Vec<Event>>);

impl EventSink for Told {
    fn event(&self, event: Event) {
        if !matches!(event, Event::Layer(_) | Event::LoadStarted) {
            self.0.lock().unwrap().push(event);
        }
    }
}

impl Told {
    pub(in crate::ops) fn events(self) -> Vec<Event> {
        self.0.into_inner().unwrap()
    }
}

/// Pulls a random image and gives it these names alone.
pub(in crate::ops) fn image(engine: &Engine, seed: u64, docker: bool, names: &[&str]) -> Digest {
    let registry = TestRegistry::start();
    let shape = Shape {
        docker,
        layers: 2,
        ..Shape::default()
    };
    let made = RandomImage::with(seed, &shape);
    let reference = registry.put("made:1", &made).familiar();
    let request = PullRequest {
        reference: reference.clone(),
        all_tags: false,
        platform: None,
    };
    let id = block_on(ops::pull(engine, &request, &Ignore))
        .unwrap()
        .ids
        .remove(0);
    for name in names {
        ops::tag(engine, &reference, name).unwrap();
    }
    let old = Reference::parse(&reference).unwrap();
    let store = engine.store().unwrap();
    let untagged = store.update(|images| {
        images.untag(&id, &old);
        Ok::<_, Error>(())
    });
    untagged.unwrap();
    id
}

pub(in crate::ops) fn save_to(engine: &Engine, path: &Path, images: &[&str]) -> Result<(), Error> {
    let request = SaveRequest {
        images: images.iter().map(|&image| image.to_owned()).collect(),
        platform: None,
        target: ArchiveTarget::File(path.to_owned()),
    };
    block_on(save(engine, request))
}

pub(in crate::ops) fn load_from(
    engine: &Engine,
    path: &Path,
    platform: Option<Platform>,
) -> (Result<Vec<Digest>, Error>, Vec<Event>) {
    let told = Told::default();
    let request = LoadRequest {
        input: ArchiveInput::File(File::open(path).unwrap()),
        name: path.display().to_string(),
        platform,
    };
    let loaded = block_on(ops::load(engine, request, &told));
    (loaded, told.events())
}

pub(in crate::ops) fn loaded(name: &str) -> Event {
    Event::Loaded {
        reference: Reference::parse(name).unwrap().or_latest(),
    }
}

/// Names, ids and manifests, sorted.
fn listing(engine: &Engine) -> Vec<(Option<String>, Digest, Digest)> {
    let images = engine.store().unwrap().images().unwrap();
    let rows = images.entries().iter().map(|entry| {
        let name = entry.name.as_ref().map(Reference::familiar);
        (name, entry.id.clone(), entry.manifest.digest.clone())
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

#[test]
fn what_is_saved_is_loaded_with_every_digest_and_name() {
    let directory = Directory::new();
    let here = engine(&directory, "here");
    image(&here, 1, false, &["oci:1"]);
    image(&here, 2, true, &["team/docker:1", "team/docker:2"]);
    let nameless = image(&here, 3, true, &[]);
    let archive = directory.join("x.tar");
    let images = ["oci:1", "team/docker", nameless.as_ref()];
    save_to(&here, &archive, &images).unwrap();
    assert_eq!(
        archive.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );

    let there = engine(&directory, "there");
    let (ids, told) = load_from(&there, &archive, None);
    assert_eq!(ids.unwrap().len(), 3);
    assert_eq!(listing(&there), listing(&here));
    let expected = [
        loaded("oci:1"),
        loaded("team/docker:1"),
        loaded("team/docker:2"),
        Event::LoadedId {
            id: nameless.clone(),
        },
    ];
    assert_eq!(told, expected);

    // And out of the second store comes the same archive.
    let again = directory.join("again.tar");
    save_to(&there, &again, &images).unwrap();
    assert!(std::fs::read(archive).unwrap() == std::fs::read(again).unwrap());
}

#[test]
fn what_cannot_be_saved() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    image(&engine, 1, false, &["here:1"]);
    std::os::unix::fs::symlink("nowhere", directory.join("link")).unwrap();
    directory.write("file", "");
    let save = |path: &str, image: &str| {
        let error = save_to(&engine, &directory.join(path), &[image]).unwrap_err();
        let text = error
            .message()
            .replace(directory.path().to_str().unwrap(), "DIR");
        (error.origin(), text)
    };
    let cases = [
        ("x", "nosuch", Origin::Engine, "No such image: nosuch"),
        ("x", "here:2", Origin::Engine, "No such image: here:2"),
        (
            "x",
            "A",
            Origin::Engine,
            "invalid reference format: repository name (library/A) must be lowercase",
        ),
        (
            "no/x",
            "here:1",
            Origin::Client,
            "failed to save image: invalid output path: stat DIR/no: no such file or directory",
        ),
        (
            "file/x",
            "here:1",
            Origin::Client,
            "failed to save image: invalid output path: stat DIR/file: not a directory",
        ),
        (
            "",
            "here:1",
            Origin::Client,
            "failed to save image: cannot write to a directory",
        ),
        (
            "link",
            "here:1",
            Origin::Client,
            "failed to save image: cannot write to a symbolic link directly",
        ),
        (
            "/dev/full",
            "here:1",
            Origin::Client,
            "failed to save image: cannot write to a character device file",
        ),
    ];
    for (path, image, origin, text) in cases {
        assert_eq!(
            save(path, image),
            (origin, text.to_owned()),
            "{path} {image}"
        );
    }
    let left: Vec<PathBuf> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains(".tmp-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_full_device_is_named() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    image(&engine, 1, false, &["here:1"]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let request = SaveRequest {
        images: vec!["here:1".to_owned()],
        platform: None,
        target: ArchiveTarget::Descriptor(full, "/dev/stdout".to_owned()),
    };
    let error = block_on(save(&engine, request)).unwrap_err();
    assert_eq!(
        error.message(),
        "write /dev/stdout: no space left on device"
    );
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::NoSpace, Origin::Stream)
    );
}

#[test]
fn another_platform_is_not_saved() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    image(&engine, 1, false, &["here:1"]);
    let request = SaveRequest {
        images: vec!["here:1".to_owned()],
        platform: Some(Platform::linux("s390x")),
        target: ArchiveTarget::File(directory.join("x.tar")),
    };
    let error = block_on(save(&engine, request)).unwrap_err();
    let expected = "no suitable export target found for platform linux/s390x";
    assert_eq!(error.message(), expected);
    assert!(!directory.join("x.tar").exists());
}
