//! Programs: what they see, what they leave.

use super::fixture::*;
use crate::cancel::CancelToken;
use crate::error::SolveError;
use crate::event::{BuildEvent, VertexEnd, VertexId};
use crate::graph::{Bind, Cache, Mount, MountKind, NodeId, Operation, Secret, Sharing, Tree};
use crate::sandbox::{ExitStatus, SandboxMount};
use crate::solve::{SolveOptions, SolveRequest, solve};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[test]
fn steps_see_what_steps_before_left() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["write", "a/b", "hello"]);
    writing.run(&["read", "a/b"]);
    let built = build(&folder, &writing.done());
    assert_eq!(built.output(), "hello");
    assert_eq!(built.layers().len(), 2, "an empty RUN makes a layer too");
    assert_eq!(built.cached(), (0, 2));
    let config = &built.result.as_ref().unwrap().targets[0].config;
    assert_eq!(config.rootfs.diff_ids, built.layers());
    assert!(config.history.iter().all(|entry| entry.created.is_some()));
}

#[test]
fn only_what_targets_need_runs_and_once() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    let base = writing.last();
    for _ in 0..3 {
        let run = program(&["write", "same", "1"]);
        writing.push(
            Operation::Run(Box::new(run)),
            Some(base),
            Vec::new(),
            "RUN same",
        );
    }
    let unused = program(&["fail", "1"]);
    writing.push(
        Operation::Run(Box::new(unused)),
        Some(base),
        Vec::new(),
        "RUN unused",
    );
    let graph = writing.targets(&[NodeId(1), NodeId(2), NodeId(3)]);
    let built = build(&folder, &graph);
    assert_eq!(built.requests.len(), 1);
    assert_eq!(built.result.unwrap().targets.len(), 3);
}

#[test]
fn failure_stops_the_build_and_keeps_what_was_done() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["write", "a", "1"]);
    writing.run(&["fail", "7"]);
    writing.run(&["true"]);
    let built = build(&folder, &writing.done());
    let error = built.result.as_ref().unwrap_err().to_string();
    assert_eq!(
        error,
        "process \"fail 7\" did not complete successfully: exit code: 7"
    );
    assert_eq!(built.failures(), 1);
    let again = build(&folder, &writing.done());
    assert_eq!(again.requests.len(), 1, "the first step is cached");
}

#[test]
fn nothing_is_left_in_the_way() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["write", "a", "1"]);
    writing.run(&["write", "b", "2"]);
    let built = build(&folder, &writing.done());
    drop(built);
    let store = folder.store();
    store.collect(&[]).unwrap();
    let names = std::fs::read_dir(folder.0.join("store/ingest")).unwrap();
    let left: BTreeSet<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(store.check(false).unwrap().is_whole());
}

#[test]
fn mounts_become_requests() {
    let folder = Folder::new();
    folder.file("src/main", "text");
    let mut writing = Writing::scratch();
    let run = writing.run(&["true"]);
    let bind = |writable| {
        MountKind::Bind(Bind {
            from: Tree::Context,
            source: "/src".to_owned(),
            writable,
        })
    };
    let secret = |id: &str| {
        MountKind::Secret(Secret {
            id: id.to_owned(),
            required: false,
            variable: Some("SECRET".to_owned()),
            uid: 1,
            gid: 2,
            mode: 0o400,
        })
    };
    for (target, kind) in [
        ("/bind", bind(false)),
        ("/write", bind(true)),
        ("/known", secret("known")),
        ("/unknown", secret("unknown")),
    ] {
        run.mounts.push(Mount {
            target: target.to_owned(),
            kind,
        });
    }
    let built = build(&folder, &writing.done());
    let request = &built.requests[0];
    let targets: Vec<_> = request.mounts.iter().map(SandboxMount::target).collect();
    assert_eq!(targets, ["/bind", "/write", "/known"]);
    assert!(request.environment.contains(&"SECRET=secret".to_owned()));
    let SandboxMount::Bind { source, .. } = &request.mounts[0] else {
        panic!("{request:?}");
    };
    assert!(source.ends_with("src"));
    assert!(matches!(
        &request.mounts[1],
        SandboxMount::Overlay { upper: Some(_), .. }
    ));
    assert!(!format!("{request:?}").contains("\"secret\""));
    // The mounted file is part of the key, the secret is not.
    assert_eq!(build(&folder, &writing.done()).cached(), (1, 1));
    folder.file("src/main", "other");
    let built = build(&folder, &writing.done());
    assert_eq!(built.reasons(), ["what is mounted at /bind changed"]);
}

#[test]
fn a_cancelled_build_does_nothing() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["true"]);
    let (graph, store, sandbox, heard) = (
        writing.done(),
        folder.store(),
        Fake::default(),
        Heard::default(),
    );
    let cancel = CancelToken::new().unwrap();
    cancel.cancel();
    let result = solve(&SolveRequest {
        imports: None,
        graph: &graph,
        store: &store,
        sandbox: &sandbox,
        sources: Arc::new(World {
            context: folder.context(),
            images: BTreeMap::new(),
            remote: None,
        }),
        progress: &heard,
        options: &options(),
        cancel,
    });
    assert!(matches!(result, Err(SolveError::Cancelled)));
    assert!(sandbox.requests.lock().unwrap().is_empty());
}

#[test]
fn what_a_failed_program_left_can_be_kept() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["write", "a", "1"]);
    writing.run(&["fail", "7"]);
    let keeping = SolveOptions {
        keep_failed: true,
        ..options()
    };
    let built = build_with(&folder, &writing.done(), &keeping, BTreeMap::new());
    let Err(SolveError::Step(failed)) = built.result else {
        panic!("no failed step");
    };
    assert_eq!(failed.layers.unwrap().len(), 2);
    assert_eq!(failed.error.exit_status(), Some(ExitStatus::Code(7)));
    assert_eq!(
        failed.error.classic_text(),
        "The command 'fail 7' returned a non-zero code: 7"
    );
}

#[test]
fn a_failed_step_stops_those_beside_it() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["true"]);
    let base = writing.last();
    for words in [&["wait"][..], &["fail", "7", "after", "3"]] {
        let run = Operation::Run(Box::new(program(words)));
        writing.push(run, Some(base), Vec::new(), &words.join(" "));
    }
    let built = build(&folder, &writing.targets(&[NodeId(2), NodeId(3)]));
    let Err(SolveError::Step(failed)) = &built.result else {
        panic!("no failed step");
    };
    assert_eq!(failed.node, NodeId(3));
    assert_eq!(built.failures(), 1);
    let stopped = built.events.iter().any(|event| {
        matches!(
            event,
            BuildEvent::Finished {
                vertex: VertexId(2),
                end: VertexEnd::Cancelled,
            }
        )
    });
    assert!(stopped, "{:?}", built.events);
}

fn cache_mount(id: &str, target: &str, sharing: Sharing) -> Mount {
    Mount {
        target: target.to_owned(),
        kind: MountKind::Cache(Cache {
            id: id.to_owned(),
            sharing,
            from: Tree::Scratch,
            source: "/".to_owned(),
            read_only: false,
            uid: 0,
            gid: 0,
            mode: 0o755,
        }),
    }
}

#[test]
fn mounts_of_one_id_share_their_directory() {
    for (first, second) in [
        (Sharing::Locked, Sharing::Locked),
        (Sharing::Shared, Sharing::Locked),
        (Sharing::Private, Sharing::Shared),
    ] {
        let folder = Folder::new();
        let mut writing = Writing::scratch();
        let run = writing.run(&["true"]);
        run.mounts.push(cache_mount("id", "/a", first));
        run.mounts.push(cache_mount("id", "/b", second));
        let built = build(&folder, &writing.done());
        let sources: BTreeSet<_> = built.requests[0]
            .mounts
            .iter()
            .map(|mount| match mount {
                SandboxMount::Bind { source, .. } => source.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sources.len(), 1, "{first:?} {second:?}");
    }
}

#[test]
fn locked_mounts_are_not_waited_for_in_a_circle() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["true"]);
    let base = writing.last();
    for number in 0..8 {
        let mut run = program(&["write", "a", &number.to_string()]);
        let ids = if number % 2 == 0 {
            ["p", "q"]
        } else {
            ["q", "p"]
        };
        for id in ids {
            run.mounts
                .push(cache_mount(id, &format!("/{id}"), Sharing::Locked));
        }
        let run = Operation::Run(Box::new(run));
        writing.push(run, Some(base), Vec::new(), &format!("RUN {number}"));
    }
    let targets: Vec<_> = (2..=9).map(NodeId).collect();
    assert_eq!(build(&folder, &writing.targets(&targets)).cached(), (0, 9));
}
