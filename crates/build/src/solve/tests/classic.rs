//! One step after the other, with an image for each.

use super::fixture::*;
use crate::cancel::CancelToken;
use crate::event::{BuildEvent, Classic};
use crate::graph::{
    CopyKind, CopySource, Graph, Http, ImageWanted, NodeId, SOURCE_MARK, StageId, Step, StepKind,
};
use crate::plan::Dialect;
use crate::solve::{SolveOptions, SolveRequest, StepImage, StepImages, solve_classic};
use crate::source::SourceError;
use lapstrake_spec::{Digest, ImageConfig};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Images(Mutex<BTreeMap<Digest, ImageConfig>>);

impl StepImages for Images {
    fn base(&self, _image: &ImageWanted) -> Result<Digest, SourceError> {
        Err(SourceError::other("no images"))
    }

    fn known(&self, id: &Digest) -> Result<Option<ImageConfig>, SourceError> {
        Ok(self.0.lock().unwrap().get(id).cloned())
    }

    fn make(&self, image: &StepImage<'_>) -> Result<Digest, SourceError> {
        assert_eq!(image.layers.len(), image.config.rootfs.diff_ids.len());
        let id = Digest::sha256(&image.config.to_bytes());
        self.0
            .lock()
            .unwrap()
            .insert(id.clone(), image.config.clone());
        Ok(id)
    }
}

fn step(number: usize, total: usize, text: &str, kind: StepKind, history: usize) -> Step {
    Step {
        number,
        total,
        text: text.to_owned(),
        kind,
        span: None,
        note: None,
        history,
        run_config: None,
        commit_config: None,
    }
}

fn from_scratch() -> StepKind {
    StepKind::From {
        node: NodeId(0),
        triggers: 0,
    }
}

fn graph() -> Graph {
    let mut writing = Writing::scratch();
    writing.run(&["write", "a", "1"]);
    writing.copy(&["file"], "/file");
    let mut graph = writing.done();
    graph.stages[0].config.history.insert(
        1,
        lapstrake_spec::History {
            created_by: "CMD".to_owned(),
            empty_layer: true,
            ..lapstrake_spec::History::default()
        },
    );
    graph.stages[0].steps = vec![
        step(1, 4, "FROM scratch", from_scratch(), 0),
        step(2, 4, "RUN write", StepKind::Filesystem(NodeId(1)), 1),
        step(3, 4, "CMD x", StepKind::Config { container: true }, 2),
        step(4, 4, "COPY file /file", StepKind::Filesystem(NodeId(2)), 3),
    ];
    graph
}

fn run(
    folder: &Folder,
    graph: &Graph,
    images: &Images,
) -> (Vec<String>, Result<Vec<Digest>, String>) {
    let (sandbox, heard, store) = (Fake::default(), Heard::default(), folder.store());
    let options = SolveOptions {
        dialect: Dialect::Classic,
        ..options()
    };
    let request = SolveRequest {
        imports: None,
        graph,
        store: &store,
        sandbox: &sandbox,
        sources: Arc::new(World {
            context: folder.context(),
            images: BTreeMap::new(),
            remote: Some(folder.0.join("remote")),
        }),
        progress: &heard,
        options: &options,
        cancel: CancelToken::new().unwrap(),
    };
    let result = solve_classic(&request, images);
    let lines = heard
        .0
        .into_inner()
        .unwrap()
        .into_iter()
        .filter_map(|event| match event {
            BuildEvent::Classic(Classic::Step { text, .. }) => Some(text),
            BuildEvent::Classic(Classic::Running { .. }) => Some("running".to_owned()),
            BuildEvent::Classic(Classic::Removed { .. }) => Some("removed".to_owned()),
            BuildEvent::Classic(Classic::UsingCache) => Some("cache".to_owned()),
            BuildEvent::Classic(Classic::Image { .. }) => Some("image".to_owned()),
            _ => None,
        });
    let ids = result
        .map(|(_, ids)| ids)
        .map_err(|error| error.to_string());
    (lines.collect(), ids)
}

#[test]
fn steps_are_told_in_order() {
    let folder = Folder::new();
    folder.file("file", "1");
    let (graph, images) = (graph(), Images::default());
    let (lines, first) = run(&folder, &graph, &images);
    assert_eq!(
        lines.join(" "),
        "FROM scratch RUN write running removed image CMD x running removed image COPY file /file image"
    );
    let (lines, second) = run(&folder, &graph, &images);
    assert_eq!(
        lines.join(" "),
        "FROM scratch RUN write cache image CMD x cache image COPY file /file cache image"
    );
    assert_eq!(first, second);
    assert_eq!(images.0.lock().unwrap().len(), 3);
    // A changed file ends the use of the cache there.
    folder.file("file", "2");
    let (lines, third) = run(&folder, &graph, &images);
    assert_eq!(
        lines.join(" "),
        "FROM scratch RUN write cache image CMD x cache image COPY file /file image"
    );
    assert_ne!(first, third);
}

#[test]
fn the_failing_step_is_the_last() {
    let folder = Folder::new();
    let mut graph = graph();
    graph.nodes[1].operation = crate::graph::Operation::Run(Box::new(program(&["fail", "3"])));
    let (lines, result) = run(&folder, &graph, &Images::default());
    assert_eq!(lines.join(" "), "FROM scratch RUN write running");
    assert!(result.unwrap_err().contains("exit code: 3"));
}

/// A stage of nothing but steps with files, whose history has the mark of what is copied.
fn steps_of(writing: &Writing) -> Graph {
    let count = writing.last().0;
    let entry = |number: usize| lapstrake_spec::History {
        created_by: format!("{number} {SOURCE_MARK}"),
        ..lapstrake_spec::History::default()
    };
    let mut graph = writing.done();
    let stage = &mut graph.stages[0];
    stage.config.history = (1..=count).map(entry).collect();
    stage.steps = vec![step(1, count + 1, "FROM scratch", from_scratch(), 0)];
    for number in 1..=count {
        let kind = StepKind::Filesystem(NodeId(number));
        let text = format!("STEP {number}");
        stage
            .steps
            .push(step(number + 1, count + 1, &text, kind, number));
    }
    graph
}

#[test]
fn steps_that_change_nothing_have_no_layer() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    for words in [
        &["true"][..],
        &["write", "a", "1"],
        &["true"],
        &["read", "a"],
    ] {
        writing.run(words);
    }
    // More than an image may have layers.
    for _ in 0..crate::plan::LAYER_LIMIT {
        writing.run(&["true"]);
    }
    let (graph, images) = (steps_of(&writing), Images::default());
    for _ in 0..2 {
        let (_, ids) = run(&folder, &graph, &images);
        let image = images.known(&ids.unwrap()[0]).unwrap().unwrap();
        let with_layers = image.history.iter().enumerate();
        let with_layers: Vec<usize> = with_layers
            .filter(|(_, entry)| !entry.empty_layer)
            .map(|(place, _)| place)
            .collect();
        assert_eq!(with_layers, [1]);
        assert_eq!(image.rootfs.diff_ids.len(), 1);
    }
}

#[test]
fn a_stage_on_a_stage_is_its_image() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    writing.run(&["write", "a", "1"]);
    writing.run(&["true"]);
    let mut graph = steps_of(&writing);
    let mut second = graph.stages[0].clone();
    second.id = StageId(1);
    second.base_stage = Some(StageId(0));
    second.steps = vec![step(4, 4, "FROM a", from_scratch(), 2)];
    graph.stages.push(second);
    graph.targets[0].stage = StageId(1);
    let (sandbox, heard, store) = (Fake::default(), Heard::default(), folder.store());
    let images = Images::default();
    let options = SolveOptions {
        dialect: Dialect::Classic,
        ..options()
    };
    let request = SolveRequest {
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
        options: &options,
        cancel: CancelToken::new().unwrap(),
    };
    let (solved, ids) = solve_classic(&request, &images).unwrap();
    let image = images.known(&ids[0]).unwrap().unwrap();
    assert_eq!(solved.targets[0].config, image);
    assert_eq!(solved.targets[0].layers.len(), 1);
}

/// The sum is docker's for a file of these bytes with this name.
#[test]
fn downloads_are_named_by_a_sum_alone() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("remote"), "served\n").unwrap();
    folder.file("file", "1");
    let mut writing = Writing::scratch();
    let copy = writing.copy(&[], "/x/");
    copy.kind = CopyKind::Add;
    copy.sources = vec![CopySource::Http(Http {
        url: "http://127.0.0.1/file.txt".to_owned(),
        file_name: "file.txt".to_owned(),
        checksum: None,
    })];
    writing.copy(&["file"], "/file");
    let (graph, images) = (steps_of(&writing), Images::default());
    let (_, ids) = run(&folder, &graph, &images);
    let image = images.known(&ids.unwrap()[0]).unwrap().unwrap();
    assert_eq!(
        image.history[0].created_by,
        "1 2aeceb14da24418832bd7d7d87bc2e0dc784ef3bfda77f56034064babb69e446"
    );
    assert!(image.history[1].created_by.starts_with("2 file:"));
}
