//! What a prune chooses, on images without layers.

use super::*;
use crate::ops::{PruneImagesRequest, PruneSystemRequest};

fn filters(given: &[(&str, &str)]) -> Filters {
    let mut all = Filters::default();
    for (name, value) in given {
        let values = all.0.entry((*name).to_owned()).or_default();
        values.push((*value).to_owned());
    }
    all
}

/// Images `old:1`, `new:1` on an untagged parent, and one that nothing names.
fn filled(directory: &Directory) -> (Engine, [Digest; 4]) {
    let engine = engine(directory);
    let old = child(&engine, "old", None, Some("old:1"));
    let parent = child(&engine, "parent", None, None);
    let new = child(&engine, "new", Some(&parent), Some("new:1"));
    let bare = child(&engine, "bare", None, None);
    (engine, [old, parent, new, bare])
}

fn request(all: bool, given: &[(&str, &str)]) -> PruneImagesRequest {
    PruneImagesRequest {
        all,
        filters: filters(given),
        dry_run: true,
    }
}

#[test]
fn a_prune_chooses_by_name_age_and_label() {
    let directory = Directory::new();
    let (engine, [old, parent, new, bare]) = filled(&directory);
    type Case<'a> = (bool, &'a [(&'a str, &'a str)], Vec<&'a Digest>);
    let cases: [Case<'_>; 9] = [
        (false, &[], vec![&bare]),
        (true, &[], vec![&old, &new, &parent, &bare]),
        (true, &[("dangling", "true")], vec![&bare]),
        (
            false,
            &[("dangling", "0")],
            vec![&old, &new, &parent, &bare],
        ),
        // They were made at this very moment.
        (true, &[("until", "1s")], vec![]),
        (false, &[("until", "2026-01-02T12:00:00Z")], vec![&bare]),
        (true, &[("label", "x")], vec![]),
        (false, &[("label!", "x")], vec![&bare]),
        (false, &[("label", "x"), ("label!", "y")], vec![]),
    ];
    for (all, given, expected) in cases {
        let pruned = ops::prune_images(&engine, &request(all, given)).unwrap();
        let deleted: Vec<&Digest> = pruned
            .removed
            .iter()
            .filter_map(|line| match line {
                Removed::Deleted(id) => Some(id),
                Removed::Untagged(_) => None,
            })
            .collect();
        assert_eq!(deleted, expected, "{all} {given:?}");
        assert_eq!(pruned.bytes > 0, !expected.is_empty());
    }
    assert_eq!(engine.store().unwrap().images().unwrap().entries().len(), 4);
}

#[test]
fn a_dry_run_foresees_the_prune() {
    let directory = Directory::new();
    let (engine, _) = filled(&directory);
    let mut request = PruneSystemRequest {
        all: true,
        dry_run: true,
        ..PruneSystemRequest::default()
    };
    let thought = ops::prune_system(&engine, &request).unwrap();
    request.dry_run = false;
    assert_eq!(ops::prune_system(&engine, &request).unwrap(), thought);
    assert!(
        engine
            .store()
            .unwrap()
            .images()
            .unwrap()
            .entries()
            .is_empty()
    );
    let nothing = ops::prune_system(&engine, &request).unwrap();
    assert_eq!(nothing, ops::PrunedSystem::default());
}

#[test]
fn filters_that_make_no_sense_are_refused() {
    let directory = Directory::new();
    let (engine, _) = filled(&directory);
    for (given, words) in [
        (&[("nope", "1")][..], "invalid filter 'nope'"),
        (
            &[("until", "1h"), ("until", "2h")],
            "more than one until filter specified",
        ),
        (
            &[("until", "xyz")],
            "failed to parse value as time or duration: \"xyz\"",
        ),
        (
            &[("dangling", "true"), ("dangling", "false")],
            "invalid filter 'dangling=[true false]'",
        ),
    ] {
        let error = ops::prune_images(&engine, &request(false, given)).unwrap_err();
        assert_eq!(error.message(), words);
    }
}
