//! Operations on a store of their own, against a registry of the test kit.

mod prune;
mod push;
mod trust;

use crate::ops::{self, Filters, ListImages, PullRequest, PushRequest, Removed, RmiRequest};
use crate::settings::{Inputs, Settings};
use crate::transfer::{Family, NewImage, record};
use crate::{Engine, ErrorKind, Event, EventSink, Ignore, Origin};
use lapstrake_spec::{Digest, ImageConfig, Platform, Reference, RootFs};
use lapstrake_testkit::{Directory, RandomImage, TestRegistry};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// An engine on a folder of its own, at noon of one day.
fn engine(directory: &Directory) -> Engine {
    let inputs = Inputs {
        root: Some(directory.join("store")),
        config_dir: Some(directory.join("config")),
        config_files: vec![directory.join("no-such-file")],
        is_root: true,
        ..Inputs::default()
    };
    Engine::open(Settings::resolve(inputs).unwrap(), || {
        "2026-01-02T12:00:00Z".parse().unwrap()
    })
}

/// Keeps what was told.
#[derive(Default)]
struct Told(Mutex<Vec<Event>>);

impl EventSink for Told {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn pull(engine: &Engine, name: &Reference) -> Digest {
    let request = PullRequest {
        reference: name.familiar(),
        all_tags: false,
        platform: Some(Platform::linux("amd64")),
    };
    block_on(ops::pull(engine, &request, &Ignore))
        .unwrap()
        .ids
        .remove(0)
}

fn rmi(engine: &Engine, image: &str, force: bool) -> Result<Vec<Removed>, crate::Error> {
    ops::rmi(
        engine,
        &RmiRequest {
            image: image.to_owned(),
            force,
            prune: true,
            dry_run: false,
            platforms: Vec::new(),
        },
    )
}

/// An image without layers, on a parent, under a name.
fn child(engine: &Engine, marker: &str, parent: Option<&Digest>, name: Option<&str>) -> Digest {
    let config = ImageConfig {
        author: marker.to_owned(),
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        created: Some("2026-01-02T12:00:00Z".to_owned()),
        rootfs: RootFs::layers(Vec::new()),
        ..ImageConfig::default()
    };
    let new = NewImage {
        config,
        layers: Vec::new(),
        family: Family::Docker,
        size: 0,
        parent: parent.cloned(),
        name: name.map(|name| Reference::parse(name).unwrap()),
    };
    let lease = engine.store().unwrap().lease().unwrap();
    record(engine, new, &lease).unwrap()
}

fn count(removed: &[Removed]) -> (usize, usize) {
    let untagged = removed
        .iter()
        .filter(|one| matches!(one, Removed::Untagged(_)))
        .count();
    (untagged, removed.len() - untagged)
}

#[test]
fn a_pulled_image_goes_with_its_digest_and_layers() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let registry = TestRegistry::start();
    let image = RandomImage::new(7);
    let name = registry.put("some/image:1", &image);
    let id = pull(&engine, &name);
    let list = ops::images(&engine, &ListImages::default()).unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].id, id);
    assert_eq!(list[0].tags, std::slice::from_ref(&name));
    assert_eq!(list[0].digests.len(), 1);
    let removed = rmi(&engine, &name.familiar(), false).unwrap();
    assert_eq!(removed[0], Removed::Untagged(name.clone()));
    assert_eq!(removed[2], Removed::Deleted(id));
    assert!(
        ops::images(&engine, &ListImages::default())
            .unwrap()
            .is_empty()
    );
    let error = rmi(&engine, &name.familiar(), false).unwrap_err();
    assert_eq!(error.message(), format!("No such image: {name}"));
    assert!(engine.store().unwrap().check(false).unwrap().is_whole());
}

#[test]
fn a_pull_tells_its_steps_and_the_second_one_is_up_to_date() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let registry = TestRegistry::start();
    let name = registry.put("some/image:latest", &RandomImage::new(8));
    let bare = name.familiar_name();
    let request = PullRequest {
        reference: bare.clone(),
        all_tags: false,
        platform: Some(Platform::linux("amd64")),
    };
    for newer in [true, false] {
        let told = Told::default();
        block_on(ops::pull(&engine, &request, &told)).unwrap();
        let told = told.0.into_inner().unwrap();
        assert_eq!(
            told[0],
            Event::DefaultTag {
                tag: "latest".to_owned()
            }
        );
        let started = Event::PullStarted {
            tag: "latest".to_owned(),
            path: "some/image".to_owned(),
        };
        assert_eq!(told[1], started);
        let finished = Event::PullFinished {
            reference: name.clone(),
            newer,
            all_tags: false,
        };
        assert_eq!(*told.last().unwrap(), finished);
    }
}

#[test]
fn an_image_that_was_made_here_is_compressed_once_and_pulled_back_with_its_id() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let registry = TestRegistry::start();
    let name = registry.reference("made/here:1");
    let tar = lapstrake_testkit::tar_of(&lapstrake_testkit::Changes::default());
    let request = ops::ImportRequest {
        source: ops::ImportSource::Stream {
            reader: Box::new(std::io::Cursor::new(tar)),
            name: "-".to_owned(),
        },
        reference: Some(name.familiar()),
        changes: vec!["CMD [\"x\"]".to_owned()],
        message: String::new(),
        platform: Some(Platform::linux("amd64")),
    };
    let id = ops::import(&engine, request).unwrap();
    let push = PushRequest {
        reference: name.familiar(),
        all_tags: false,
        platform: None,
    };
    let digests: Vec<Event> = (0..2)
        .map(|_| {
            let told = Told::default();
            block_on(ops::push(&engine, &push, &told)).unwrap();
            told.0.into_inner().unwrap().pop().unwrap()
        })
        .collect();
    assert_eq!(digests[0], digests[1]);
    rmi(&engine, &name.familiar(), false).unwrap();
    assert_eq!(pull(&engine, &name), id);
    assert!(engine.store().unwrap().check(true).unwrap().is_whole());
}

#[test]
fn a_parent_is_kept_by_its_child_and_goes_with_the_last_one() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let parent = child(&engine, "parent", None, None);
    let middle = child(&engine, "middle", Some(&parent), None);
    let top = child(&engine, "top", Some(&middle), Some("top:1"));
    let shown = ops::images(&engine, &ListImages::default()).unwrap();
    assert_eq!(shown.len(), 1, "parents without a name are hidden");
    let all = ListImages {
        all: true,
        ..ListImages::default()
    };
    assert_eq!(ops::images(&engine, &all).unwrap().len(), 3);
    let error = rmi(&engine, parent.short(), true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = format!(
        "conflict: unable to delete {} (cannot be forced) - image has dependent child images",
        parent.short()
    );
    assert_eq!(error.message(), text);
    let removed = rmi(&engine, "top:1", false).unwrap();
    let deleted = [top, middle, parent].map(Removed::Deleted);
    assert_eq!(removed[1..], deleted);
}

#[test]
fn an_id_with_names_in_two_repositories_needs_force() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let id = child(&engine, "one", None, Some("a:1"));
    ops::tag(&engine, "a:1", "b").unwrap();
    let error = rmi(&engine, id.short(), false).unwrap_err();
    assert!(
        error
            .message()
            .ends_with("image is referenced in multiple repositories"),
        "{error}"
    );
    assert_eq!(count(&rmi(&engine, "b", false).unwrap()), (1, 0));
    ops::tag(&engine, "a:1", "b:2").unwrap();
    assert_eq!(count(&rmi(&engine, id.short(), true).unwrap()), (2, 1));
}

#[test]
fn a_name_that_moves_leaves_a_dangling_image() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let old = child(&engine, "old", None, Some("a:1"));
    let new = child(&engine, "new", None, Some("a:1"));
    let filters = Filters(BTreeMap::from([(
        "dangling".to_owned(),
        vec!["true".to_owned()],
    )]));
    let dangling = ops::images(
        &engine,
        &ListImages {
            filters,
            ..ListImages::default()
        },
    )
    .unwrap();
    assert_eq!(
        dangling.iter().map(|one| &one.id).collect::<Vec<_>>(),
        [&old]
    );
    let by_name = ListImages {
        reference: Some("a".to_owned()),
        ..ListImages::default()
    };
    assert_eq!(ops::images(&engine, &by_name).unwrap()[0].id, new);
}

#[test]
fn what_the_client_refuses_never_reaches_a_registry() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let digest = format!("a@sha256:{}", "0".repeat(64));
    for (reference, all_tags, text) in [
        ("a:1", true, "tag can't be used with --all-tags/-a"),
        (digest.as_str(), false, "cannot push a digest reference"),
        ("Bad::Ref", false, "invalid reference format"),
    ] {
        let request = PushRequest {
            reference: reference.to_owned(),
            all_tags,
            platform: None,
        };
        let error = block_on(ops::push(&engine, &request, &Ignore)).unwrap_err();
        assert!(error.message().starts_with(text), "{error}");
        assert_eq!(error.origin(), Origin::Client);
    }
    let request = PushRequest {
        reference: "not/here".to_owned(),
        all_tags: false,
        platform: None,
    };
    let error = block_on(ops::push(&engine, &request, &Ignore)).unwrap_err();
    assert_eq!(
        error.message(),
        "An image does not exist locally with the tag: not/here"
    );
    assert_eq!(error.origin(), Origin::Stream);
}

#[test]
fn every_kind_has_an_http_status() {
    for kind in ErrorKind::ALL {
        assert!((400..=501).contains(&kind.http_status()), "{kind:?}");
    }
}

#[test]
fn a_container_that_cannot_be_read_breaks_no_listing() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let id = child(&engine, "one", None, Some("one:1"));
    let folder = format!("store/containers/{}", "a".repeat(64));
    std::fs::create_dir_all(directory.join(&folder)).unwrap();
    directory.write(&format!("{folder}/config.json"), "{\"ID\": nonsense}");
    let volume = engine.store().unwrap().root().join("volumes/kept");
    std::fs::create_dir_all(volume.join("_data")).unwrap();
    let request = ListImages {
        containers: true,
        ..ListImages::default()
    };
    let images = ops::images(&engine, &request).unwrap();
    assert_eq!((images[0].id.clone(), images[0].containers), (id, 0));
    let usage = ops::disk_usage(&engine).unwrap();
    let rows: Vec<(usize, usize)> = usage
        .rows
        .iter()
        .map(|row| (row.total, row.active))
        .collect();
    // It is not known what it mounts.
    assert_eq!(rows, [(1, 0), (0, 0), (1, 1), (0, 0)]);
    let prune = ops::PruneImagesRequest {
        all: true,
        filters: Filters::default(),
        dry_run: true,
    };
    ops::prune_images(&engine, &prune).unwrap_err();
}
