//! The built binary: a row or two for each command, to prove the wiring.

use lapstrake_testkit::{Cli, RandomImage, Shape, TestRegistry};

#[test]
fn an_empty_store_lists_nothing() {
    let lap = Cli::built();
    let outcome = lap.run(&["images"]).levelled();
    assert_eq!(
        outcome.to_string(),
        "$ lap images\nREPOSITORY  TAG  IMAGE ID  CREATED  SIZE\n",
    );
}

#[test]
fn an_image_is_pulled_listed_and_removed() {
    let registry = TestRegistry::start();
    let image = RandomImage::with(11, &Shape::small());
    let name = registry.put("team/app:1", &image).to_string();
    let lap = Cli::built();
    let pulled = lap.ok(&["pull", "-q", &name]);
    assert_eq!(pulled, format!("{name}\n"));
    let id = lap.ok(&["images", "-q", "--no-trunc"]);
    assert_eq!(id.trim(), image.config_descriptor.digest.to_string());
    let removed = lap.ok(&["rmi", &name]);
    assert!(
        removed.starts_with(&format!("Untagged: {name}\n")),
        "{removed}"
    );
    assert_eq!(lap.ok(&["images", "-q"]), "");
}

#[test]
fn an_unknown_image_is_an_error() {
    let registry = TestRegistry::start();
    let lap = Cli::built();
    let outcome = lap
        .run(&["pull", &format!("{}/nosuch/repo", registry.address())])
        .levelled();
    assert_eq!(
        outcome.to_string(),
        "$ lap pull REG/nosuch/repo\n\
         Using default tag: latest\n\
         [stderr] Error response from daemon: manifest for REG/nosuch/repo:latest not found: \
         manifest unknown: manifest unknown\n\
         [exit 1]\n",
    );
}
