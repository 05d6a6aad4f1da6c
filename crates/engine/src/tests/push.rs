//! What a push sends, and what stays in the store.

use super::{Told, block_on, engine, pull};
use crate::ops::{self, PushRequest};
use crate::transfer::{Family, NewImage, record};
use crate::{Engine, Event};
use lapstrake_spec::{Descriptor, Digest, ImageConfig, MediaType, Platform, Reference, RootFs};
use lapstrake_testkit::{Changes, Compression, Directory, RandomImage, Shape, TestRegistry};

fn import(engine: &Engine, name: &Reference) -> Digest {
    let tar = lapstrake_testkit::tar_of(&Changes::default());
    let request = ops::ImportRequest {
        source: ops::ImportSource::Stream {
            reader: Box::new(std::io::Cursor::new(tar)),
            name: "-".to_owned(),
        },
        reference: Some(name.familiar()),
        changes: Vec::new(),
        message: String::new(),
        platform: Some(Platform::linux("amd64")),
    };
    ops::import(engine, request).unwrap()
}

/// Pushes; the digests that were told at the end of each tag.
fn push(engine: &Engine, reference: &str, all_tags: bool) -> Vec<Digest> {
    let request = PushRequest {
        reference: reference.to_owned(),
        all_tags,
        platform: None,
    };
    let told = Told::default();
    block_on(ops::push(engine, &request, &told)).unwrap();
    let told = told.0.into_inner().unwrap().into_iter();
    told.filter_map(|event| match event {
        Event::PushFinished { digest, .. } => Some(digest),
        _ => None,
    })
    .collect()
}

#[test]
fn all_tags_of_an_image_that_was_made_here_are_pushed_as_one_manifest() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let registry = TestRegistry::start();
    let one = registry.reference("made/here:1");
    import(&engine, &one);
    for tag in ["2", "3"] {
        let other = one.with_tag(tag).unwrap();
        ops::tag(&engine, &one.familiar(), &other.familiar()).unwrap();
    }
    let digests = push(&engine, &one.familiar_name(), true);
    assert_eq!(digests.len(), 3);
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

#[test]
fn a_manifest_that_was_fetched_is_pushed_as_it_came() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let registry = TestRegistry::start();
    let shape = Shape {
        compressions: vec![Compression::Plain],
        ..Shape::small()
    };
    let image = RandomImage::with(21, &shape);
    let name = registry.put("some/image:1", &image);
    pull(&engine, &name);
    let other = registry.reference("other/image:1");
    ops::tag(&engine, &name.familiar(), &other.familiar()).unwrap();
    let digests = push(&engine, &other.familiar(), false);
    assert_eq!(digests, [image.descriptor.digest]);
}

#[test]
fn an_image_whose_layers_are_gone_gets_no_name() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let layer = Descriptor::of(MediaType::DOCKER_LAYER_TAR, b"gone");
    let new = NewImage {
        config: ImageConfig {
            rootfs: RootFs::layers(vec![layer.digest.clone()]),
            ..ImageConfig::default()
        },
        layers: vec![layer],
        family: Family::Docker,
        size: 0,
        parent: None,
        name: Some(Reference::parse("made/here:1").unwrap()),
    };
    let store = engine.store().unwrap();
    record(&engine, new, &store.lease().unwrap()).unwrap_err();
    assert!(store.images().unwrap().entries().is_empty());
}

#[test]
fn every_name_that_is_pushed_must_be_of_the_platform_that_is_wanted() {
    let directory = Directory::new();
    let engine = engine(&directory);
    let registry = TestRegistry::start();
    let one = registry.reference("made/here:1");
    import(&engine, &one);
    // No tag `latest`, which a bare name would stand for.
    for (platform, all_tags, typed, is_good) in [
        ("linux/amd64", true, one.familiar_name(), true),
        ("linux/arm64", true, one.familiar_name(), false),
        ("linux/amd64", false, one.familiar(), true),
        ("linux/arm64", false, one.familiar(), false),
    ] {
        let request = PushRequest {
            reference: typed,
            all_tags,
            platform: Some(Platform::parse(platform).unwrap()),
        };
        let told = Told::default();
        match block_on(ops::push(&engine, &request, &told)) {
            Ok(_) => assert!(is_good, "{platform} {all_tags}"),
            Err(error) => {
                let text = format!(
                    "image with reference {} was found but its platform (linux/amd64) does not match the \
                     specified platform ({platform})",
                    one.familiar()
                );
                assert_eq!((error.message(), is_good), (text.as_str(), false));
                assert!(told.0.into_inner().unwrap().is_empty());
            }
        }
    }
}
