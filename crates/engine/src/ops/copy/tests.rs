//! Copies between every pair of places.

use super::*;
use crate::Ignore;
use crate::ops::save::tests::{block_on, engine, image};
use lapstrake_testkit::{Directory, TestRegistry};

fn copy_between(engine: &Engine, from: &str, to: &str) -> Result<Copied, Error> {
    let request = CopyRequest {
        from: Place::parse(from)?,
        to: Place::parse(to)?,
        platform: None,
    };
    block_on(copy(engine, &request, &Ignore))
}

#[test]
fn an_image_goes_round_with_its_digest() {
    for docker in [false, true] {
        let directory = Directory::new();
        let registry = TestRegistry::start();
        let engine = engine(&directory, "store");
        let id = image(&engine, 1, docker, &["start:1"]);
        let at = |name: &str| directory.join(name).display().to_string();
        let places = [
            "store:start:1".to_owned(),
            registry.reference("one/app:1").familiar(),
            registry.reference("two/app:2").familiar(),
            format!("docker://{}", registry.reference("three/app:2").familiar()),
            format!("oci:{}:v1", at("layout")),
            format!("docker-archive:{}:team/app:3", at("docker.tar")),
            format!("oci-archive:{}:v4", at("oci.tar")),
            format!("oci:{}:team/app:5", at("layout")),
            "store:end:1".to_owned(),
        ];
        let mut digests: Vec<Digest> = Vec::new();
        for pair in places.windows(2) {
            let [from, to] = pair else { unreachable!() };
            let copied = copy_between(&engine, from, to)
                .unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
            assert_eq!(copied.id, id);
            digests.push(copied.digest);
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "{docker}: {digests:?}");
    }
}

#[test]
fn names_travel_when_no_other_is_given() {
    let directory = Directory::new();
    let here = engine(&directory, "here");
    image(&here, 1, false, &["team/app:1"]);
    let path = directory.join("x.tar").display().to_string();
    copy_between(&here, "store:team/app:1", &format!("docker-archive:{path}")).unwrap();
    let there = engine(&directory, "there");
    copy_between(&there, &format!("docker-archive:{path}"), "store:").unwrap();
    let images = there.store().unwrap().images().unwrap();
    assert_eq!(
        images.tags_of(&images.entries()[0].id)[0].familiar(),
        "team/app:1"
    );
}

#[test]
fn what_cannot_be_copied() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    image(&engine, 1, false, &["one:1"]);
    image(&engine, 2, false, &["two:1"]);
    let layout = format!("oci:{}", directory.join("layout").display());
    for name in ["one:1", "two:1"] {
        copy_between(
            &engine,
            &format!("store:{name}"),
            &format!("{layout}:{}", &name[..3]),
        )
        .unwrap();
    }
    let cases = [
        (
            layout.clone(),
            "2 images in DIR/layout, and none is named",
            "it has one, two",
        ),
        (
            format!("{layout}:six"),
            "no image six in DIR/layout",
            "it has one, two",
        ),
        ("store:six".to_owned(), "No such image: six", ""),
        ("oci:".to_owned(), "invalid place \"oci:\": no path", ""),
        (
            "oci:/no/where".to_owned(),
            "open /no/where: no such file or directory",
            "",
        ),
        (
            "docker-archive:/no/x".to_owned(),
            "open /no/x: no such file or directory",
            "",
        ),
        ("A:b:c".to_owned(), "invalid reference format", ""),
    ];
    for (from, text, hint) in cases {
        let error = copy_between(&engine, &from, "store:").unwrap_err();
        let message = error
            .message()
            .replace(directory.path().to_str().unwrap(), "DIR");
        assert!(message.starts_with(text), "{message}");
        assert_eq!(error.hint().unwrap_or_default(), hint, "{message}");
    }
}

#[test]
fn places_are_written_as_they_are_read() {
    for place in [
        "store:",
        "store:a:1",
        "oci:dir",
        "oci:dir:v1",
        "oci-archive:x.tar:team/app:1",
        "docker-archive:/x/y.tar",
        "localhost:5000/a/b:1",
        "ubuntu:18.04",
    ] {
        assert_eq!(Place::parse(place).unwrap().to_string(), place);
    }
    assert_eq!(
        Place::parse("docker://ubuntu").unwrap().to_string(),
        "ubuntu:latest"
    );
}
