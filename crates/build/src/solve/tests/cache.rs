//! Hits, misses and their reasons.

use super::fixture::*;
use crate::cache::{Cache, PruneOptions};
use crate::error::SolveError;
use crate::graph::{CopySource, InlineFile, NodeId, Origin, Tree, Variable};
use crate::solve::SolveOptions;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn all_is_found_again() {
    let folder = Folder::new();
    folder.file("a", "1");
    folder.file("dir/b", "2");
    let mut writing = Writing::scratch();
    writing.copy(&["."], "/app/");
    writing.directory("/work");
    writing.run(&["write", "x", "1"]);
    writing.copy(&["a"], "/a");
    let graph = writing.done();
    let first = build(&folder, &graph);
    assert_eq!(first.cached(), (0, 4));
    READ.with(|read| read.set(0));
    let second = build(&folder, &graph);
    assert_eq!(second.cached(), (4, 4));
    assert_eq!(first.layers(), second.layers());
    let config = |built: &Built| built.result.as_ref().unwrap().targets[0].config.clone();
    assert_eq!(config(&first), config(&second));
    assert_eq!(
        READ.with(std::cell::Cell::get),
        0,
        "files are only looked at"
    );
    assert!(second.reasons().is_empty());
}

#[test]
fn reasons_are_named() {
    let folder = Folder::new();
    for name in ["a", "b", "c"] {
        folder.file(name, "1");
    }
    let graph = |words: &[&str], environment: &str, argument: &str| {
        let mut writing = Writing::scratch();
        writing.copy(&["."], "/app/");
        let run = writing.run(words);
        run.environment.push(Variable {
            name: "MODE".to_owned(),
            value: environment.to_owned(),
            origin: Origin::Image,
        });
        let arguments = vec![("REV".to_owned(), argument.to_owned())];
        run.environment.push(Variable {
            name: "REV".to_owned(),
            value: argument.to_owned(),
            origin: Origin::Argument,
        });
        let last = writing.last();
        writing.graph.nodes[last.0].step.arguments = arguments;
        writing.done()
    };
    let reasons = |graph| build(&folder, &graph).reasons();
    assert_eq!(
        reasons(graph(&["true"], "x", "1")),
        ["not built before", "after [1] COPY . /app/"]
    );
    assert_eq!(reasons(graph(&["true"], "x", "2")), ["ARG REV changed"]);
    assert_eq!(reasons(graph(&["true"], "y", "2")), ["ENV MODE changed"]);
    assert_eq!(
        reasons(graph(&["write", "a", "b"], "y", "2")),
        ["instruction changed, was: RUN true"]
    );
    folder.file("b", "2");
    assert_eq!(
        reasons(graph(&["write", "a", "b"], "y", "2")),
        ["1 of 4 files changed: b", "after [1] COPY . /app/"]
    );
}

#[test]
fn the_same_content_is_enough() {
    let folder = Folder::new();
    folder.file("a", "1");
    let mut writing = Writing::scratch();
    writing.copy(&["a"], "/a");
    writing.run(&["true"]);
    let graph = writing.done();
    build(&folder, &graph);
    // A step that runs again and makes the same layer hides nothing from those after it.
    let mut off = graph.clone();
    off.nodes[1].step.ignore_cache = true;
    let again = build(&folder, &off);
    assert_eq!(again.cached(), (1, 2));
    assert_eq!(again.reasons(), ["cache is switched off"]);
    // Another place, another time, the same content.
    folder.file("a", "2");
    folder.file("a", "1");
    assert_eq!(build(&folder, &graph).cached(), (2, 2));
}

#[test]
fn copies_from_stages_are_found_without_their_trees() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    let base = writing.last();
    writing.run(&["write", "out/program", "1"]);
    let stage = writing.last();
    writing.copy_from(&Tree::Node(stage), &["/out/program"], "/program", base);
    let graph = writing.done();
    let first = build(&folder, &graph);
    assert_eq!(first.tree().keys().collect::<Vec<_>>(), ["/program"]);
    drop(first);
    std::fs::rename(folder.0.join("store/layers"), folder.0.join("gone")).unwrap();
    std::fs::create_dir(folder.0.join("store/layers")).unwrap();
    let second = build(&folder, &graph);
    assert_eq!(second.cached(), (2, 2));
    assert_eq!(
        std::fs::read_dir(folder.0.join("store/layers"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn expectation_fails_the_build() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["true"]);
    let expecting = SolveOptions {
        expect_cached: true,
        ..options()
    };
    let strict = |graph| build_with(&folder, graph, &expecting, BTreeMap::new()).result;
    let graph = writing.done();
    assert!(matches!(strict(&graph), Err(SolveError::NotCached { .. })));
    build(&folder, &graph);
    assert!(strict(&graph).is_ok());
}

#[test]
fn records_are_roots_until_they_are_pruned() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["write", "a", "1"]);
    let graph = writing.done();
    drop(build(&folder, &graph));
    let store = folder.store();
    assert!(store.collect(&[]).unwrap().blobs.is_empty());
    let cache = Cache::of(&store);
    let images = BTreeSet::new();
    assert_eq!(cache.entries(&images).unwrap().len(), 1);
    let pruned = cache.prune(&PruneOptions::default(), &images).unwrap();
    assert_eq!(pruned.entries[0].description, "[1] RUN write a 1");
    assert_eq!(store.collect(&[]).unwrap().blobs.len(), 1);
    assert_eq!(build(&folder, &graph).cached(), (0, 1));
}

#[test]
fn a_record_without_its_blob_is_not_believed() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["write", "a", "1"]);
    let graph = writing.done();
    drop(build(&folder, &graph));
    std::fs::remove_dir_all(folder.0.join("store/image/blobs/sha256")).unwrap();
    std::fs::create_dir(folder.0.join("store/image/blobs/sha256")).unwrap();
    let built = build(&folder, &graph);
    assert_eq!(built.cached(), (0, 1));
    assert_eq!(built.reasons(), ["its layer is not in the store any more"]);
    // And one that is torn is not read.
    for entry in std::fs::read_dir(folder.0.join("store/build/records")).unwrap() {
        std::fs::write(entry.unwrap().path(), b"{\"version\":1").unwrap();
    }
    assert_eq!(build(&folder, &graph).cached(), (0, 1));
}

#[test]
fn the_same_inputs_give_the_same_layers() {
    let digests: BTreeSet<_> = (0..2)
        .map(|_| {
            let folder = Folder::new();
            folder.file("dir/a", "1");
            folder.file("dir/b/c", "2");
            let mut writing = Writing::scratch();
            writing.copy(&["dir"], "/app/");
            writing.run(&["write", "x", "1"]);
            let epoch = SolveOptions {
                source_date_epoch: Some(1_000_000_000),
                rewrite_timestamps: true,
                ..options()
            };
            let built = build_with(&folder, &writing.done(), &epoch, BTreeMap::new());
            let config = built.result.as_ref().unwrap().targets[0].config.to_bytes();
            (built.layers(), config)
        })
        .collect();
    assert_eq!(digests.len(), 1);
}

#[test]
fn the_epoch_is_part_of_what_takes_its_time() {
    let folder = Folder::new();
    folder.file("a", "1");
    let mut writing = Writing::scratch();
    writing.copy(&["a"], "/a");
    writing.copy(&[], "/inline").sources = vec![CopySource::Inline(InlineFile {
        path: "EOF".to_owned(),
        content: "text".to_owned(),
        mode: 0o644,
    })];
    writing.directory("/work");
    let graph = writing.done();
    let at = |epoch| {
        let epoch = SolveOptions {
            source_date_epoch: epoch,
            ..options()
        };
        build_with(&folder, &graph, &epoch, BTreeMap::new())
    };
    let first = at(Some(1));
    assert_eq!(first.cached(), (0, 3));
    assert_eq!(at(Some(1)).layers(), first.layers());
    let second = at(Some(2));
    assert_eq!(second.cached(), (1, 3));
    assert_eq!(
        second.reasons(),
        ["SOURCE_DATE_EPOCH changed", "SOURCE_DATE_EPOCH changed"]
    );
    assert_ne!(second.layers()[2], first.layers()[2]);
    assert_eq!(at(None).cached(), (1, 3));
    for (epoch, layers) in [(1, first.layers()), (2, second.layers())] {
        let again = at(Some(epoch));
        assert_eq!((again.cached(), again.layers()), ((3, 3), layers));
    }
}

#[test]
fn records_from_elsewhere_are_found_by_their_content() {
    let folder = Folder::new();
    folder.file("a", "1");
    let mut writing = Writing::scratch();
    let base = writing.last();
    writing.run(&["write", "out/program", "1"]);
    let stage = writing.last();
    writing.copy_from(&Tree::Node(stage), &["/out/program"], "/program", base);
    writing.copy(&["a"], "/a");
    let graph = writing.done();
    let solved = build(&folder, &graph).result.unwrap();
    let cache = Cache::of(&folder.store());
    let forget = || std::fs::remove_dir_all(folder.0.join("store/build/steps")).unwrap();
    forget();
    let expecting = SolveOptions {
        expect_cached: true,
        ..options()
    };
    let strict = build_with(&folder, &graph, &expecting, BTreeMap::new());
    assert_eq!(strict.cached(), (3, 3));
    forget();
    for key in &solved.records {
        cache.put(&cache.record(key).unwrap()).unwrap();
    }
    let built = build(&folder, &graph);
    assert_eq!(built.cached(), (3, 3));
    assert!(built.reasons().is_empty(), "{:?}", built.reasons());
}

#[test]
fn a_target_may_be_a_base() {
    let folder = Folder::new();
    let writing = Writing::scratch();
    let built = build(&folder, &writing.targets(&[NodeId(0)]));
    assert_eq!(built.cached(), (0, 0));
    assert!(built.layers().is_empty());
}
