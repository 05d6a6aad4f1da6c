//! With the git that is installed: a repository on disk, and `git upload-pack` at the other end.

use super::Temp;
use crate::context::git::{
    CheckoutOptions, Duplex, Error, ObjectId, Objects, Remote, Repository, checkout, fetch,
};
use lapstrake_sys::dir::Dir;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[expect(clippy::disallowed_methods, reason = "git makes what is to be read")]
fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{name}_NAME"), "n")
            .env(format!("GIT_{name}_EMAIL"), "e@x")
            .env(format!("GIT_{name}_DATE"), "1000000000 +0000");
    }
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(dir: &Path, arguments: &[&str]) -> String {
    let output = git(dir).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with two commits, a branch, a tag and a submodule's entry; none without git.
fn repository(name: &str) -> Option<Temp> {
    let temp = Temp::new(name);
    git(&temp.0).arg("--version").output().ok()?;
    run(&temp.0, &["init", "-q", "-b", "main", "."]);
    let lines: Vec<String> = (0..2000).map(|line| format!("line {line}")).collect();
    let text = lines.join("\n") + "\n";
    temp.write("Dockerfile", "FROM scratch\n");
    temp.write("sub/deep/file", &text);
    temp.write("run.sh", "#!/bin/sh\n");
    std::os::unix::fs::symlink("sub/deep", temp.0.join("link")).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(temp.0.join("run.sh"), executable).unwrap();
    run(&temp.0, &["add", "."]);
    run(&temp.0, &["commit", "-q", "-m", "one"]);
    run(&temp.0, &["tag", "-a", "v1", "-m", "tag"]);
    run(&temp.0, &["checkout", "-q", "-b", "other"]);
    temp.write("sub/deep/file", &format!("{text}more\n"));
    run(&temp.0, &["commit", "-q", "-a", "-m", "two"]);
    run(&temp.0, &["checkout", "-q", "main"]);
    Some(temp)
}

fn head(temp: &Temp, name: &str) -> String {
    run(&temp.0, &["rev-parse", &format!("{name}^{{commit}}")])
}

fn check_out(
    objects: &dyn Objects,
    id: &ObjectId,
    into: &Temp,
    options: &CheckoutOptions<'_>,
) -> String {
    let dir = Dir::open(&into.0).unwrap();
    checkout(objects, id, &dir, options)
        .unwrap()
        .commit
        .to_string()
}

fn lines(into: &Temp, path: &str) -> usize {
    fs::read_to_string(into.0.join(path))
        .unwrap()
        .lines()
        .count()
}

#[test]
fn a_repository_on_disk_is_checked_out() {
    use std::os::unix::fs::MetadataExt;
    let Some(temp) = repository("git-disk") else {
        return;
    };
    for packed in [false, true] {
        if packed {
            run(&temp.0, &["gc", "-q"]);
        }
        let repository = Repository::open(&temp.0).unwrap().unwrap();
        for (reference, commit, count) in [
            (None, "main", 2000),
            (Some("other"), "other", 2001),
            (Some("v1"), "v1", 2000),
            (Some("refs/heads/other"), "other", 2001),
        ] {
            let into = Temp::new("git-disk-out");
            let id = repository.resolve(reference).unwrap();
            let found = check_out(&repository, &id, &into, &CheckoutOptions::default());
            assert_eq!(found, head(&temp, commit));
            assert_eq!(lines(&into, "sub/deep/file"), count);
            assert_eq!(
                fs::read_link(into.0.join("link")).unwrap(),
                Path::new("sub/deep")
            );
            let stat = fs::metadata(into.0.join("run.sh")).unwrap();
            assert_eq!(stat.mode() & 0o7777, 0o755);
            // The time of the checkout, not of the commit.
            assert!(stat.mtime() > 1_000_000_000);
            assert!(!into.0.join(".git").exists());
        }
        let missing = repository.resolve(Some("nothing"));
        assert!(matches!(missing, Err(Error::NoReference(_))));
        assert!(matches!(
            repository.resolve(Some("../HEAD")),
            Err(Error::NoReference(_))
        ));
        let into = Temp::new("git-disk-sub");
        let options = CheckoutOptions {
            directory: "sub",
            ..CheckoutOptions::default()
        };
        let id = repository.resolve(None).unwrap();
        check_out(&repository, &id, &into, &options);
        assert_eq!(lines(&into, "deep/file"), 2000);
    }
    assert!(Repository::open(&temp.0.join("sub")).unwrap().is_none());
}

#[test]
fn a_kept_repository_is_one_for_git() {
    let Some(temp) = repository("git-keep") else {
        return;
    };
    let repository = Repository::open(&temp.0).unwrap().unwrap();
    let id = repository.resolve(Some("other")).unwrap();
    let into = Temp::new("git-keep-out");
    let options = CheckoutOptions {
        keep_git: true,
        origin: "https://host/x.git",
        ..CheckoutOptions::default()
    };
    let commit = check_out(&repository, &id, &into, &options);
    assert_eq!(run(&into.0, &["rev-parse", "HEAD"]), commit);
    assert_eq!(run(&into.0, &["status", "--porcelain"]), "");
    assert_eq!(run(&into.0, &["log", "--format=%s"]), "two");
    assert_eq!(
        run(&into.0, &["remote", "get-url", "origin"]),
        "https://host/x.git"
    );
}

/// The end of a pipe whose program is waited for.
struct Served(Child, std::process::ChildStdout);

impl Read for Served {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1.read(buffer)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn serve(dir: &Path) -> Duplex {
    let mut command = git(dir);
    command
        .args(["upload-pack", "."])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (output, input) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    Duplex {
        input: Box::new(Served(child, input)),
        output: Box::new(output),
    }
}

#[test]
fn a_server_sends_one_commit() {
    let Some(temp) = repository("git-serve") else {
        return;
    };
    run(&temp.0, &["gc", "-q"]);
    let connect = || Ok(serve(&temp.0));
    let remote = Remote::Stream(&connect);
    let old = head(&temp, "v1");
    for (reference, commit, count) in [
        (None, "main", 2000),
        (Some("other"), "other", 2001),
        (Some("v1"), "v1", 2000),
        (Some(old.as_str()), "v1", 2000),
    ] {
        let into = Temp::new("git-serve-out");
        let path = into.0.join("pack");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .unwrap();
        let fetched = fetch(&remote, reference, &file).unwrap();
        let out = Temp::new("git-serve-tree");
        let found = check_out(
            &fetched.pack,
            &fetched.id,
            &out,
            &CheckoutOptions::default(),
        );
        assert_eq!(found, head(&temp, commit), "{reference:?}");
        assert_eq!(lines(&out, "sub/deep/file"), count);
    }
    let file = File::create(temp.0.join("unused")).unwrap();
    let missing = fetch(&remote, Some("nothing"), &file);
    assert!(matches!(missing, Err(Error::NoReference(_))));
}

#[test]
fn names_of_trees_stay_below() {
    use crate::context::git::{Kind, Object};
    struct One(Vec<(ObjectId, Object)>);
    impl Objects for One {
        fn read(&self, id: &ObjectId) -> Result<Object, Error> {
            let found = self.0.iter().find(|(known, _)| known == id);
            found
                .map(|(_, object)| object.clone())
                .ok_or(Error::Missing(*id))
        }
    }
    for name in ["..", ".", ".git", ".GIT", "a/b", ""] {
        let blob = ObjectId::of(Kind::Blob, b"x");
        let digits = blob.to_string();
        let mut tree = format!("100644 {name}\0").into_bytes();
        tree.extend((0..20).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()));
        let id = ObjectId::of(Kind::Tree, &tree);
        let commit = format!("tree {id}\ncommitter n <e> 1 +0000\n\nm").into_bytes();
        let top = ObjectId::of(Kind::Commit, &commit);
        let objects = One(vec![
            (
                blob,
                Object {
                    kind: Kind::Blob,
                    content: b"x".to_vec(),
                },
            ),
            (
                id,
                Object {
                    kind: Kind::Tree,
                    content: tree,
                },
            ),
            (
                top,
                Object {
                    kind: Kind::Commit,
                    content: commit,
                },
            ),
        ]);
        let into = Temp::new("git-names");
        let dir = Dir::open(&into.0).unwrap();
        let result = checkout(&objects, &top, &dir, &CheckoutOptions::default());
        assert!(matches!(result, Err(Error::Invalid(_))), "{name:?}");
    }
}
