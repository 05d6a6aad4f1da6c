//! What `--cache-from` fetches, from a registry on this machine.

use super::{Heard, Yard};
use crate::ops::build::{BuildRequest, BuildResult, CacheLocation, CacheOptions};
use crate::ops::{PushRequest, parse_annotation, push};
use crate::{Event, Ignore};
use lapstrake_build::event::BuildEvent;
use lapstrake_testkit::{Fault, TestRegistry, When};
use std::fs;

const DOCKERFILE: &str = "FROM scratch\nCOPY a /a\nRUN one\nCOPY b /b\nCOPY c /c\n";
/// Bytes of a file, of which nothing can be saved by compression.
const SIZE: u64 = 200_000;

fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..SIZE).map(|_| next()).collect()
}

/// A store of its own with a context whose files are made from these numbers.
fn yard(seeds: [u64; 3]) -> Yard {
    let yard = Yard::new(DOCKERFILE);
    for (name, seed) in ["a", "b", "c"].into_iter().zip(seeds) {
        let path = yard.directory.join("context").join(name);
        fs::write(path, noise(seed)).unwrap();
    }
    yard
}

fn location(registry: &TestRegistry) -> CacheLocation {
    let name = registry.reference("some/cache:1").familiar();
    let attributes = [("ref", name.as_str()), ("mode", "max")];
    CacheLocation {
        kind: "registry".to_owned(),
        attributes: attributes
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    }
}

fn build_from(yard: &Yard, registry: &TestRegistry) -> (BuildResult, Heard) {
    let (result, heard) = yard.build(BuildRequest {
        cache: CacheOptions {
            from: vec![location(registry)],
            ..CacheOptions::default()
        },
        ..yard.request()
    });
    (result.unwrap(), heard)
}

#[test]
fn privileged_only_layers_of_steps_that_are_found_are_fetched() {
    let registry = TestRegistry::start();
    let first = yard([1, 2, 3]);
    let (made, _) = first.build(BuildRequest {
        cache: CacheOptions {
            to: vec![location(&registry)],
            ..CacheOptions::default()
        },
        ..first.request()
    });
    made.unwrap();
    // Before, each of these fetched three files.
    for (seeds, found, files) in [
        ([1, 2, 3], 4, 3),
        ([1, 2, 4], 3, 2),
        ([1, 4, 3], 2, 1),
        ([4, 2, 3], 0, 0),
    ] {
        registry.faults().reset_counts();
        let yard = yard(seeds);
        let (result, _) = build_from(&yard, &registry);
        assert_eq!(result.cached, (found, 4), "{seeds:?}");
        let sent = registry.faults().bytes_sent();
        let least = files * SIZE;
        // Manifest, records, and the layer of RUN are small.
        assert!(
            (least..least + SIZE / 10).contains(&sent),
            "{seeds:?} {sent}"
        );
    }
}

#[test]
fn privileged_a_layer_that_cannot_be_fetched_is_made() {
    let registry = TestRegistry::start();
    let first = yard([1, 2, 3]);
    let (made, _) = first.build(BuildRequest {
        cache: CacheOptions {
            to: vec![location(&registry)],
            ..CacheOptions::default()
        },
        ..first.request()
    });
    made.unwrap();
    build_from(&yard([1, 2, 3]), &registry);
    let seen = registry.faults().seen();
    let layer = seen.iter().rfind(|seen| seen.path.contains("/blobs/"));
    let path = layer.unwrap().path.clone();
    registry
        .faults()
        .add(When::path(path), Fault::Status(404, None), 9);
    let (result, heard) = build_from(&yard([1, 2, 3]), &registry);
    assert_eq!(result.cached, (3, 4));
    let events = heard.0.lock().unwrap();
    let warned = events.iter().any(|event| match event {
        Event::Build(BuildEvent::Warning { text, .. }) => {
            text.starts_with("failed to import cache from ")
        }
        _ => false,
    });
    assert!(warned, "{events:?}");
}

#[test]
fn privileged_a_push_later_on_keeps_annotations_and_cache() {
    let registry = TestRegistry::start();
    let name = registry.reference("some/app:1");
    let first = yard([1, 2, 3]);
    let (made, _) = first.build(BuildRequest {
        tags: vec![name.clone()],
        annotations: parse_annotation("a=b").unwrap(),
        build_args: vec![("BUILDKIT_INLINE_CACHE".to_owned(), "1".to_owned())],
        ..first.request()
    });
    made.unwrap();
    let manifest = || {
        let store = first.engine.store().unwrap();
        let images = store.images().unwrap();
        store
            .manifest(&images.by_name(&name).unwrap().manifest)
            .unwrap()
    };
    let built = manifest();
    assert_eq!(built.annotations.len(), 2, "{built:?}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let request = PushRequest {
        reference: name.familiar(),
        all_tags: false,
        platform: None,
    };
    runtime
        .block_on(push(&first.engine, &request, &Ignore))
        .unwrap();
    let pushed = manifest();
    assert_ne!(pushed.layers, built.layers);
    assert_eq!(pushed.annotations, built.annotations);
    // Another host finds all steps with it.
    let second = yard([1, 2, 3]);
    let from = CacheLocation {
        kind: "registry".to_owned(),
        attributes: [("ref".to_owned(), name.familiar())].into(),
    };
    let (result, _) = second.build(BuildRequest {
        cache: CacheOptions {
            from: vec![from],
            ..CacheOptions::default()
        },
        ..second.request()
    });
    assert_eq!(result.unwrap().cached, (4, 4));
}
