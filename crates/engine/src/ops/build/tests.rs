//! Whole builds on a store of their own. RUN is done by a sandbox that writes a file.

mod attributes;
mod imports;
mod output;
mod sources;

use super::{BuildRequest, BuildResult, Call, Dialect, OnFail, Stdin, World, run};
use crate::settings::{Inputs, Settings};
use crate::{Engine, Error, Event, EventSink};
use lapstrake_build::cancel::CancelToken;
use lapstrake_build::event::{BuildEvent, Classic};
use lapstrake_build::sandbox::{ExitStatus, Output, RunRequest, Sandbox, SandboxError, Stream};
use lapstrake_spec::{ImageConfig, Reference};
use lapstrake_testkit::Directory;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Writes what it is told to run into a file; `exit N` fails, `cancel` waits for the end.
#[derive(Default)]
struct Fake {
    runs: AtomicUsize,
    /// The first program waits for it.
    gate: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}

impl Sandbox for Fake {
    fn run(
        &self,
        request: &RunRequest,
        output: &mut dyn Output,
    ) -> Result<ExitStatus, SandboxError> {
        let number = self.runs.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = self.gate.lock().unwrap().take() {
            gate.recv_timeout(std::time::Duration::from_secs(20))
                .expect("nobody opens the gate");
        }
        let command = request.arguments.last().cloned().unwrap_or_default();
        output.write(Stream::Stdout, format!("ran {command}\n").as_bytes());
        fs::write(request.upper.join("ran"), format!("{command} {number}")).unwrap();
        match command.strip_prefix("exit ") {
            Some(code) => Ok(ExitStatus::Code(code.parse().unwrap())),
            None => Ok(ExitStatus::Code(0)),
        }
    }
}

/// Keeps what was told.
#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl EventSink for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    /// What a classic build prints, a word for each event.
    fn classic(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let word = |event: &Event| match event {
            Event::BuildContext { bytes } => Some(format!("context {bytes}")),
            Event::Build(BuildEvent::Classic(classic)) => Some(match classic {
                Classic::Step {
                    number,
                    total,
                    text,
                } => format!("{number}/{total} {text}"),
                Classic::UsingCache => "cache".to_owned(),
                Classic::Running { .. } => "running".to_owned(),
                Classic::Removed { .. } => "removed".to_owned(),
                Classic::Image { .. } => "image".to_owned(),
                Classic::Output { .. } => "output".to_owned(),
                other => format!("{other:?}"),
            }),
            _ => None,
        };
        events.iter().filter_map(word).collect()
    }
}

/// A store, a context and a sandbox.
struct Yard {
    directory: Directory,
    engine: Engine,
    fake: Fake,
}

impl Yard {
    fn new(dockerfile: &str) -> Self {
        let directory = Directory::new();
        let inputs = Inputs {
            root: Some(directory.join("store")),
            config_dir: Some(directory.join("config")),
            config_files: vec![directory.join("no-such-file")],
            is_root: true,
            ..Inputs::default()
        };
        let clock = || "2026-01-02T12:00:00Z".parse().unwrap();
        let engine = Engine::open(Settings::resolve(inputs).unwrap(), clock);
        let yard = Self {
            directory,
            engine,
            fake: Fake::default(),
        };
        fs::create_dir_all(yard.directory.join("context")).unwrap();
        yard.write("Dockerfile", dockerfile);
        yard
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.directory.join("context").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn request(&self) -> BuildRequest {
        BuildRequest {
            context: self.directory.join("context").to_str().unwrap().to_owned(),
            working_directory: self.directory.join("."),
            tags: vec![Reference::parse("made:1").unwrap()],
            ..BuildRequest::default()
        }
    }

    fn build(&self, request: BuildRequest) -> (Result<BuildResult, Error>, Heard) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let heard = Heard::default();
        let world = World {
            engine: &self.engine,
            sandbox: &self.fake,
            handle: runtime.handle().clone(),
            cancel: &CancelToken::new().unwrap(),
        };
        let result = run(&world, request, &heard);
        (result, heard)
    }

    fn config(&self, result: &BuildResult) -> ImageConfig {
        let store = self.engine.store().unwrap();
        store.image_config(result.id().unwrap()).unwrap().0
    }

    fn runs(&self) -> usize {
        self.fake.runs.load(Ordering::SeqCst)
    }
}

const SMALL: &str = "FROM scratch\nCOPY a /a\nRUN one\nENV X=y\nCMD [\"c\"]\n";

#[test]
fn privileged_a_build_makes_an_image_and_the_next_one_finds_it() {
    let yard = Yard::new(SMALL);
    yard.write("a", "text");
    let (first, _) = yard.build(yard.request());
    let first = first.unwrap();
    assert_eq!(first.names, [Reference::parse("made:1").unwrap()]);
    let config = yard.config(&first);
    assert_eq!(config.rootfs.diff_ids.len(), 2);
    assert_eq!(config.config.unwrap().cmd.unwrap(), ["c"]);
    assert_eq!(first.cached, (0, 2));
    let (second, _) = yard.build(yard.request());
    let second = second.unwrap();
    assert_eq!((second.id(), yard.runs()), (first.id(), 1));
    assert_eq!(second.cached, (2, 2));
    yard.write("a", "other");
    let (third, _) = yard.build(yard.request());
    assert_ne!(third.unwrap().id(), first.id());
    assert_eq!(yard.runs(), 2);
}

#[test]
fn privileged_classic_builds_print_and_keep_each_step() {
    let yard = Yard::new(SMALL);
    yard.write("a", "text");
    let classic = || BuildRequest {
        dialect: Dialect::Classic,
        ..yard.request()
    };
    let (first, heard) = yard.build(classic());
    let first = first.unwrap();
    assert_eq!(
        heard.classic(),
        [
            "context 3072",
            "1/5 FROM scratch",
            "2/5 COPY a /a",
            "image",
            "3/5 RUN one",
            "running",
            "output",
            "removed",
            "image",
            "4/5 ENV X=y",
            "running",
            "removed",
            "image",
            "5/5 CMD [\"c\"]",
            "running",
            "removed",
            "image",
        ]
    );
    let images = yard.engine.store().unwrap().images().unwrap();
    assert_eq!(images.image_ids().len(), 4);
    let mut id = first.id().cloned();
    let mut depth = 0;
    while let Some(entry) = id.as_ref().and_then(|id| images.by_id(id)) {
        depth += 1;
        id = entry.parent.clone();
    }
    assert_eq!(depth, 4);
    let (second, heard) = yard.build(classic());
    assert_eq!(second.unwrap().id(), first.id());
    let cached = heard
        .classic()
        .iter()
        .filter(|word| *word == "cache")
        .count();
    assert_eq!((cached, yard.runs()), (4, 1));
}

/// docker names the step, and then pulls.
#[test]
fn classic_names_the_first_step_before_its_image_is_looked_for() {
    // Nobody listens there.
    let yard = Yard::new("ARG PORT=1\nFROM 127.0.0.1:$PORT/base:1\nRUN one\n");
    for call in [Call::Build, Call::Check] {
        let (result, heard) = yard.build(BuildRequest {
            dialect: Dialect::Classic,
            call,
            ..yard.request()
        });
        assert!(result.is_err());
        let lines: &[&str] = match call {
            Call::Build => &["1/3 ARG PORT=1", "2/3 FROM 127.0.0.1:$PORT/base:1"],
            _ => &[],
        };
        assert_eq!(heard.classic()[1..], *lines);
    }
}

#[test]
fn privileged_a_failed_step_has_its_status_and_can_be_entered() {
    for dialect in [Dialect::BuildKit, Dialect::Classic] {
        let yard = Yard::new("FROM scratch\nRUN exit 7\n");
        let (result, _) = yard.build(BuildRequest {
            dialect,
            ..yard.request()
        });
        let error = result.unwrap_err();
        let known = error.failed_build().unwrap();
        assert_eq!(known.status, Some(7));
        let text = match dialect {
            Dialect::BuildKit => {
                "failed to solve: process \"/bin/sh -c exit 7\" did not complete successfully: exit code: 7"
            }
            Dialect::Classic => "The command '/bin/sh -c exit 7' returned a non-zero code: 7",
        };
        assert_eq!(error.message(), text);
        let excerpt = known.excerpt.as_deref().unwrap_or_default();
        assert_eq!(
            excerpt.contains(">>> RUN exit 7"),
            dialect == Dialect::BuildKit
        );
        let store = yard.engine.store().unwrap();
        let (config, _) = store.image_config(known.image.as_ref().unwrap()).unwrap();
        assert_eq!(config.rootfs.diff_ids.len(), 1);
        let images = store.images().unwrap().image_ids().len();
        let (again, _) = yard.build(BuildRequest {
            dialect,
            on_fail: OnFail::Discard,
            ..yard.request()
        });
        assert_eq!(again.unwrap_err().failed_build().unwrap().image, None);
        assert_eq!(store.images().unwrap().image_ids().len(), images);
    }
}

#[test]
fn privileged_squashed_layers_are_one() {
    let yard = Yard::new("FROM scratch\nCOPY a /d/a\nCOPY b /d/b\nRUN one\n");
    yard.write("a", "a");
    yard.write("b", "b");
    let (result, _) = yard.build(BuildRequest {
        squash: true,
        ..yard.request()
    });
    let config = yard.config(&result.unwrap());
    assert_eq!(config.rootfs.diff_ids.len(), 1);
    let layers = config
        .history
        .iter()
        .filter(|entry| !entry.empty_layer)
        .count();
    assert_eq!((layers, config.history.len()), (1, 4));
}

#[test]
fn bad_contexts_are_refused_in_dockers_words() {
    let yard = Yard::new("");
    let here = yard.directory.join("context");
    let here = here.to_str().unwrap();
    let nowhere = format!("{here}/nowhere");
    let file = format!("{here}/Dockerfile");
    let rows: [(&str, Option<&str>, &str, String); 4] = [
        (
            &nowhere,
            None,
            "",
            format!("unable to prepare context: path {nowhere:?} not found"),
        ),
        (
            &file,
            None,
            "",
            format!("unable to prepare context: context must be a directory: {file}"),
        ),
        (
            here,
            Some("context/Nope"),
            "",
            format!(
                "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {here}/Nope: no such file or directory"
            ),
        ),
        (
            here,
            None,
            "",
            "the Dockerfile (Dockerfile) cannot be empty".to_owned(),
        ),
    ];
    for (context, dockerfile, _, expected) in rows {
        let (result, _) = yard.build(BuildRequest {
            context: context.to_owned(),
            dockerfile: dockerfile.map(str::to_owned),
            dialect: Dialect::Classic,
            ..yard.request()
        });
        assert_eq!(result.unwrap_err().message(), expected);
    }
}

#[test]
fn privileged_missing_files_are_named_in_dockers_words() {
    let rows = [
        (
            "COPY nofile /",
            "COPY failed: file not found in build context or excluded by .dockerignore: stat nofile: file does not exist",
        ),
        (
            "COPY ../b1 /",
            "COPY failed: forbidden path outside the build context: ../b1 ()",
        ),
    ];
    for (line, expected) in rows {
        let yard = Yard::new(&format!("FROM scratch\n{line}\n"));
        let (result, _) = yard.build(BuildRequest {
            dialect: Dialect::Classic,
            ..yard.request()
        });
        assert_eq!(result.unwrap_err().message(), expected);
    }
}

#[test]
fn privileged_standard_input_is_a_dockerfile_or_an_archive() {
    let yard = Yard::new("");
    let text = b"FROM scratch\nENV A=b\n".to_vec();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("Dockerfile", &b"FROM scratch\nCOPY x /\n"[..]),
        ("x", b"x"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    for (input, layers, sent) in [(text, 0, 2048), (tar, 1, 3072)] {
        let (result, heard) = yard.build(BuildRequest {
            context: "-".to_owned(),
            stdin: Some(Stdin(Box::new(std::io::Cursor::new(input)))),
            dialect: Dialect::Classic,
            ..yard.request()
        });
        assert_eq!(yard.config(&result.unwrap()).rootfs.diff_ids.len(), layers);
        assert_eq!(heard.classic()[0], format!("context {sent}"));
    }
    let left = fs::read_dir(yard.directory.join("store/ingest")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn privileged_named_contexts_and_stages_are_read() {
    let yard = Yard::new(
        "FROM scratch AS one\nCOPY --from=other f /f\nFROM scratch\nCOPY --from=one /f /g\n",
    );
    let other = yard.directory.join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("f"), "f").unwrap();
    let named = BTreeMap::from([("other".to_owned(), other.to_str().unwrap().to_owned())]);
    let (result, _) = yard.build(BuildRequest {
        named_contexts: named,
        ..yard.request()
    });
    assert_eq!(yard.config(&result.unwrap()).rootfs.diff_ids.len(), 1);
}

#[test]
fn steps_that_want_more_than_is_allowed_are_refused() {
    let insecure = "RUN --security=insecure one";
    let host = "RUN --network=host one";
    let rows: [(&str, &[&str], &str, &str); 6] = [
        (
            insecure,
            &[],
            "",
            "failed to solve: security.insecure is not allowed",
        ),
        (
            host,
            &[],
            "",
            "failed to solve: network.host is not allowed",
        ),
        (
            insecure,
            &["network.host"],
            "host",
            "failed to solve: security.insecure is not allowed",
        ),
        (
            host,
            &["security.insecure"],
            "none",
            "failed to solve: network.host is not allowed",
        ),
        (
            host,
            &["network.host", "device"],
            "",
            "unknown entitlement \"device\"",
        ),
        (host, &["network.host,"], "", "unknown entitlement \"\""),
    ];
    for (line, allow, network, expected) in rows {
        let yard = Yard::new(&format!("FROM scratch\n{line}\n"));
        let mut request = yard.request();
        request.allow = allow.iter().map(|word| (*word).to_owned()).collect();
        network.clone_into(&mut request.run.network);
        let (result, _) = yard.build(request);
        assert_eq!(result.unwrap_err().message(), expected, "{line} {allow:?}");
        assert_eq!(yard.runs(), 0);
    }
}

#[test]
fn privileged_steps_do_what_is_allowed() {
    let rows: [(&str, &[&str], &str, Dialect); 5] = [
        (
            "RUN --security=insecure one",
            &["security.insecure"],
            "",
            Dialect::BuildKit,
        ),
        (
            "RUN --network=host one",
            &["network.host"],
            "",
            Dialect::BuildKit,
        ),
        ("RUN --network=host one", &[], "host", Dialect::BuildKit),
        ("RUN one", &[], "host", Dialect::Classic),
        ("RUN --network=none one", &[], "", Dialect::BuildKit),
    ];
    for (line, allow, network, dialect) in rows {
        let yard = Yard::new(&format!("FROM scratch\n{line}\n"));
        let mut request = yard.request();
        request.allow = allow.iter().map(|word| (*word).to_owned()).collect();
        network.clone_into(&mut request.run.network);
        request.dialect = dialect;
        yard.build(request).0.unwrap();
        assert_eq!(yard.runs(), 1, "{line}");
    }
}

#[test]
fn privileged_only_the_newest_failure_of_a_dockerfile_is_kept() {
    for dialect in [Dialect::BuildKit, Dialect::Classic] {
        let yard = Yard::new("");
        let store = yard.engine.store().unwrap();
        let ids = || store.images().unwrap().image_ids().len();
        let request = || BuildRequest {
            dialect,
            ..yard.request()
        };
        let failed = |status: &str, request| {
            yard.write("Dockerfile", &format!("FROM scratch\nRUN exit {status}\n"));
            let error = yard.build(request).0.unwrap_err();
            error.failed_build().unwrap().image.clone().unwrap()
        };
        let first = failed("1", request());
        let second = failed("2", request());
        assert_ne!(first, second);
        assert!(store.images().unwrap().by_id(&first).is_none());
        assert!(store.images().unwrap().by_id(&second).is_some());
        // What has a name is somebody's.
        crate::ops::tag(&yard.engine, second.as_str(), "looked/into:1").unwrap();
        let third = failed("3", request());
        assert_eq!(ids(), 2);
        // Another Dockerfile's failure is another matter.
        yard.write("Other", "FROM scratch\nRUN exit 4\n");
        let other = BuildRequest {
            dockerfile: Some("context/Other".to_owned()),
            ..request()
        };
        yard.build(other).0.unwrap_err();
        assert_eq!(ids(), 3);
        yard.write("Dockerfile", "FROM scratch\nENV A=b\n");
        yard.build(request()).0.unwrap();
        let images = store.images().unwrap();
        assert!(images.by_id(&third).is_none());
        assert!(images.by_id(&second).is_some());
        assert_eq!(images.image_ids().len(), 3);
    }
}
