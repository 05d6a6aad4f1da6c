//! What is mounted for a program, and what it may leave.

use super::fixture::*;
use crate::cancel::CancelToken;
use crate::graph::{Bind, Graph, Mount, MountKind, Tree};
use crate::sandbox::{ExitStatus, Output, RunRequest, Sandbox, SandboxError, SandboxMount};
use crate::solve::{SolveRequest, Solved, solve};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Notes what is mounted, and then writes a file of the host.
struct Looking {
    file: PathBuf,
    /// Of each program: paths and what is there.
    seen: Mutex<Vec<BTreeMap<String, String>>>,
    sources: Mutex<Vec<PathBuf>>,
}

impl Sandbox for Looking {
    fn run(
        &self,
        request: &RunRequest,
        _output: &mut dyn Output,
    ) -> Result<ExitStatus, SandboxError> {
        fs::write(&self.file, "after").unwrap();
        let mut all = BTreeMap::new();
        for mount in &request.mounts {
            let SandboxMount::Bind { source, target, .. } = mount else {
                panic!("{mount:?}");
            };
            gather(source, target, &mut all);
            self.sources.lock().unwrap().push(source.clone());
        }
        self.seen.lock().unwrap().push(all);
        Ok(ExitStatus::Code(0))
    }
}

fn look(folder: &Folder, graph: &Graph, sandbox: &Looking) -> Solved {
    let request = SolveRequest {
        imports: None,
        graph,
        store: &folder.store(),
        sandbox,
        sources: Arc::new(World {
            context: folder.context(),
            images: BTreeMap::new(),
            remote: None,
        }),
        progress: &Heard::default(),
        options: &options(),
        cancel: CancelToken::new().unwrap(),
    };
    solve(&request).unwrap()
}

#[test]
fn programs_see_the_files_that_their_key_is_about() {
    let folder = Folder::new();
    folder.file("src/file", "before");
    let file = folder.context().join("src/file");
    let mode = |path: &str, mode| {
        let path = folder.context().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("src", 0o711);
    mode("src/file", 0o640);
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if uid.is_root() {
        std::os::unix::fs::chown(&file, Some(7), Some(8)).unwrap();
    }
    let owner = (uid.as_raw(), gid.as_raw());
    let socket = std::os::unix::net::UnixListener::bind(folder.context().join("socket")).unwrap();
    let mut writing = Writing::scratch();
    for (name, source) in [("one", "/"), ("two", "/"), ("three", "/src")] {
        let run = writing.run(&["look"]);
        run.hostname = name.to_owned();
        run.mounts.push(Mount {
            target: "/m".to_owned(),
            kind: MountKind::Bind(Bind {
                from: Tree::Context,
                source: source.to_owned(),
                writable: false,
            }),
        });
    }
    let sandbox = Looking {
        file,
        seen: Mutex::default(),
        sources: Mutex::default(),
    };
    let graph = writing.done();
    drop(look(&folder, &graph, &sandbox));
    let whole = BTreeMap::from([
        ("/m/src".to_owned(), format!("711 {owner:?} dir")),
        ("/m/src/file".to_owned(), format!("640 {owner:?} before")),
    ]);
    // Another part of the context is another copy, of the files as they are by then.
    let part = BTreeMap::from([("/m/file".to_owned(), format!("640 {owner:?} after"))]);
    assert_eq!(*sandbox.seen.lock().unwrap(), [whole.clone(), whole, part]);
    let sources = sandbox.sources.lock().unwrap();
    assert!(sources.iter().all(|source| !source.exists()));
    drop(sources);
    // What a program does to the directory makes another key.
    // The last step may be looked for: if the digest below it is there in time.
    let (found, all) = look(&folder, &graph, &sandbox).cached;
    assert!(found <= 1 && all == 3, "{found} of {all}");
    folder.file("src/file", "before");
    assert_eq!(look(&folder, &graph, &sandbox).cached, (2, 3));
    drop(socket);
}

#[test]
fn volumes_are_copies_that_are_thrown_away() {
    let folder = Folder::new();
    folder.file("data/file", "text");
    let mut writing = Writing::scratch();
    writing.copy(&["data"], "/data/");
    let run = writing.run(&["look"]);
    run.volumes = vec!["/data".to_owned(), "/new/deep".to_owned()];
    let sandbox = Looking {
        file: folder.0.join("unused"),
        seen: Mutex::default(),
        sources: Mutex::default(),
    };
    let solved = look(&folder, &writing.done(), &sandbox);
    let seen: Vec<_> = sandbox.seen.lock().unwrap()[0].keys().cloned().collect();
    assert_eq!(seen, ["/data/file"]);
    let sources = sandbox.sources.lock().unwrap();
    assert!(sources.len() == 2 && sources.iter().all(|source| !source.exists()));
    let trees = solved.targets[0].trees().unwrap();
    let mut all = BTreeMap::new();
    gather(&trees.paths[0], "", &mut all);
    let left: Vec<_> = all.into_keys().collect();
    assert_eq!(left, ["/new", "/new/deep"]);
    for (volume, message) in [
        ("/", "invalid volume specification: '/'"),
        (
            "/data/file",
            "cannot mount volume over existing file, file exists /data/file",
        ),
    ] {
        let mut writing = Writing::scratch();
        writing.copy(&["data"], "/data/");
        writing.run(&["true"]).volumes = vec![volume.to_owned()];
        let error = build(&folder, &writing.done()).result.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn names_of_whiteouts_are_refused() {
    let folder = Folder::new();
    folder.file("dir/.wh.gone", "text");
    let mut copied = Writing::scratch();
    copied.copy(&["dir"], "/to/");
    let mut left = Writing::scratch();
    left.run(&["write", "a/.wh.gone", "text"]);
    for (writing, path) in [(copied, "/to/.wh.gone"), (left, "a/.wh.gone")] {
        let error = build(&folder, &writing.done()).result.unwrap_err();
        let expected = format!(
            "{path}: a name that begins with .wh. marks a removed file and cannot be kept in a layer"
        );
        assert_eq!(error.to_string(), expected);
    }
}
