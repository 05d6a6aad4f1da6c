//! Images in files: `save`, `load`, `export`, `import` of an address, `copy`.
#![allow(
    clippy::disallowed_methods,
    reason = "a test of other programs: it runs those that are installed"
)]

use lapstrake_testkit::{Cli, Compression, RandomImage, Shape, TestRegistry, levelled};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// A store with one image, under these names and no other; its id.
fn store(seed: u64, names: &[&str]) -> (Cli, String) {
    let registry = TestRegistry::start();
    let image = RandomImage::with(seed, &Shape::small());
    let pulled = registry.put("team/app:1", &image).to_string();
    let lap = Cli::built();
    lap.ok(&["pull", "-q", &pulled]);
    for name in names {
        lap.ok(&["tag", &pulled, name]);
    }
    lap.ok(&["rmi", &pulled]);
    (lap, image.config_descriptor.digest.to_string())
}

/// A tar of one file.
fn tar(name: &str, content: &str) -> Vec<u8> {
    let folder = lapstrake_testkit::Directory::new();
    folder.write(name, content);
    let path = folder.path().to_str().unwrap();
    let packed = Command::new("tar").args(["-C", path, "-c", name]).output();
    packed.unwrap().stdout
}

/// Runs a command on a terminal of its own.
fn on_a_terminal(lap: &Cli, arguments: &str) -> (String, Option<i32>) {
    let program = lap.command(&[]).get_program().to_str().unwrap().to_owned();
    let mut script = Command::new("script");
    script.args(["-qec", &format!("{program} {arguments}"), "/dev/null"]);
    let root = lap.root();
    script.env("LAPSTRAKE_ROOT", root).current_dir(lap.home());
    let outcome = script.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout).replace('\r', "");
    (text, outcome.status.code())
}

#[test]
fn saved_images_are_loaded_elsewhere() {
    let (here, id) = store(21, &["team/app:1", "team/app:2"]);
    assert_eq!(here.ok(&["save", "-o", "x.tar", "team/app"]), "");
    let archive = here.home().join("x.tar");
    let archive = archive.to_str().unwrap();
    let there = Cli::built();
    let expected = "Loaded image: team/app:1\nLoaded image: team/app:2\n";
    assert_eq!(there.ok(&["load", "-i", archive]), expected);
    assert_eq!(
        there.ok(&["images", "-q", "--no-trunc"]),
        format!("{id}\n{id}\n")
    );
    // Through a pipe, and quietly.
    let bytes = std::fs::read(archive).unwrap();
    let loaded = there.run_with(&["image", "load", "-q"], &bytes);
    assert_eq!(
        loaded.to_string(),
        format!("$ lap image load -q\n{expected}")
    );
    // Standard output gets the same bytes.
    let mut save = here.command(&["image", "save", "team/app"]);
    assert!(save.output().unwrap().stdout == bytes);
    // By its id it has no name.
    here.ok(&["save", "-o", "id.tar", &id]);
    let nameless = here.home().join("id.tar");
    let loaded = there.ok(&["load", "--input", nameless.to_str().unwrap()]);
    assert_eq!(loaded, format!("Loaded image ID: {id}\n"));
}

#[test]
fn a_compressed_archive_moves_a_name() {
    let (here, _) = store(22, &["app:1"]);
    here.ok(&["save", "-o", "x.tar", "app:1"]);
    let (there, old) = store(23, &["app:1"]);
    for packer in ["gzip", "bzip2", "xz", "zstd"] {
        let packed = Command::new(packer)
            .args(["-c", "x.tar"])
            .current_dir(here.home())
            .output();
        // What is not installed has its own tests.
        let Ok(packed) = packed else { continue };
        let loaded = there.run_with(&["load"], &packed.stdout);
        assert_eq!(loaded.code, Some(0), "{packer}: {loaded}");
        if packer == "gzip" {
            let expected = format!(
                "The image app:1 already exists, renaming the old one with ID {old} to empty \
                 string\nLoaded image: app:1\n"
            );
            assert_eq!(loaded.stdout, expected);
        }
    }
}

#[test]
fn what_save_and_load_refuse() {
    let (lap, _) = store(24, &["app:1"]);
    let cases: [(&[&str], &str); 8] = [
        (
            &["save", "-o", "x.tar", "nosuch"],
            "Error response from daemon: No such image: nosuch",
        ),
        (
            &["save", "-o", "no/x.tar", "app:1"],
            "failed to save image: invalid output path: stat no: no such file or directory",
        ),
        (
            &["save", "-o", "/dev/full", "app:1"],
            "failed to save image: cannot write to a character device file",
        ),
        (
            &["save", "--platform", "linux/s390x", "app:1"],
            "Error response from daemon: no suitable export target found for platform linux/s390x",
        ),
        (
            &["load", "-i", "nofile.tar"],
            "open nofile.tar: no such file or directory",
        ),
        (
            &["load", "-i", "."],
            "read .: is a directory\nhint: `lap copy oci:. store:` takes an image layout in",
        ),
        (
            &["load"],
            "unrecognized image format: neither manifest.json nor index.json in /dev/stdin",
        ),
        (
            &["export", "nosuch"],
            "Error response from daemon: No such container: nosuch",
        ),
    ];
    for (arguments, expected) in cases {
        let stderr = lap.fails(1, arguments);
        assert_eq!(stderr, format!("{expected}\n"), "{arguments:?}");
    }
    assert!(!lap.home().join("x.tar").exists());
    let usage = lap.fails(1, &["load", "x"]);
    assert!(
        usage.starts_with("lap: 'lap load' accepts no arguments\n"),
        "{usage}"
    );
    let usage = lap.fails(1, &["save"]);
    assert!(
        usage.starts_with("lap: 'lap save' requires at least 1 argument\n"),
        "{usage}"
    );
}

#[test]
fn a_full_device_and_a_closed_pipe() {
    let (lap, _) = store(25, &["app:1"]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let saved = lap
        .command(&["save", "app:1"])
        .stdout(full)
        .output()
        .unwrap();
    let stderr = String::from_utf8(saved.stderr).unwrap();
    assert!(
        stderr.starts_with("write /dev/stdout: no space left on device\n"),
        "{stderr}"
    );
    assert_eq!(saved.status.code(), Some(1));
    let mut child = lap
        .command(&["save", "app:1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let saved = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&saved.stderr), "");
    assert_eq!(saved.status.code(), Some(141));
}

#[test]
fn terminals_are_told() {
    let (lap, _) = store(26, &["app:1"]);
    let refused = "cowardly refusing to save to a terminal. Use the -o flag or redirect\n";
    assert_eq!(
        on_a_terminal(&lap, "save app:1"),
        (refused.to_owned(), Some(1))
    );
    assert_eq!(
        on_a_terminal(&lap, "export x"),
        (refused.to_owned(), Some(1))
    );
    lap.ok(&["save", "-o", "x.tar", "app:1"]);
    lap.ok(&["rmi", "app:1"]);
    let (text, status) = on_a_terminal(&lap, "load -i x.tar");
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains(": Loading layer "), "{text:?}");
    assert!(text.ends_with("Loaded image: app:1\n"), "{text:?}");
}

/// Answers requests for `/root.tar` with a tar, and others with 404.
fn serve(tar: Vec<u8>, requests: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for _ in 0..requests {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let (status, body) = if head.starts_with(b"GET /root.tar ") {
                ("200 OK", &*tar)
            } else {
                ("404 Not Found", &b"<p>\nnothing here\n"[..])
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    format!("http://{address}")
}

#[test]
fn an_archive_is_imported_from_an_address() {
    let url = serve(tar("hello", "there"), 2);
    let lap = Cli::built();
    let imported = lap.run(&["import", &format!("{url}/root.tar"), "web:1"]);
    let expected = "$ lap import http://REG/root.tar web:1\n\
                    Downloading from http://REG/root.tar\n\
                    sha256:H64\n";
    assert_eq!(imported.levelled().to_string(), expected);
    let stderr = lap.fails(1, &["import", &format!("{url}/nope.tgz"), "web:2"]);
    let expected = "Error response from daemon: failed to GET http://REG/nope.tgz with status 404 Not \
                    Found: <p>\nnothing here\n";
    assert_eq!(levelled(&stderr), expected);
    assert_eq!(lap.ok(&["images", "-q"]).lines().count(), 1);
}

#[test]
fn privileged_a_container_is_exported() {
    let lap = Cli::built();
    let imported = lap.run_with(
        &["import", "-c", "CMD [\"/x\"]", "-", "box"],
        &tar("hello", "there"),
    );
    assert_eq!(imported.code, Some(0), "{imported}");
    lap.ok(&["create", "--name", "ex", "box"]);
    assert_eq!(lap.ok(&["container", "export", "-o", "x.tar", "ex"]), "");
    let listed = Command::new("tar")
        .args(["-tf", "x.tar"])
        .current_dir(lap.home())
        .output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let names: Vec<&str> = listed.lines().collect();
    assert_eq!(names.first(), Some(&".dockerenv"), "{listed}");
    for name in ["hello", "etc/hosts", "proc/", "dev/console"] {
        assert!(names.contains(&name), "{name}: {listed}");
    }
    // What is exported can be imported.
    let exported = std::fs::read(lap.home().join("x.tar")).unwrap();
    let again = lap.run_with(&["import", "-", "again"], &exported);
    assert_eq!(again.code, Some(0), "{again}");
}

#[test]
fn an_image_is_copied_between_places() {
    let (lap, _) = store(27, &["app:1"]);
    let registry = TestRegistry::start();
    let remote = registry.reference("other/app:2").to_string();
    let quiet = |from: &str, to: &str| lap.ok(&["copy", "-q", from, to]);
    let digest = quiet("store:app:1", &remote);
    assert_eq!(quiet(&remote, "oci:layout:v1"), digest);
    assert_eq!(quiet("oci:layout:v1", "docker-archive:x.tar:end:1"), digest);
    assert_eq!(lap.ok(&["load", "-i", "x.tar"]), "Loaded image: end:1\n");
    assert!(Path::new(&lap.home()).join("layout/index.json").exists());
    let copied = lap
        .run(&["copy", "store:end:1", "oci:layout:v2"])
        .levelled();
    assert!(
        copied
            .stdout
            .starts_with("Copying store:end:1 to oci:layout:v2\n"),
        "{copied}"
    );
    assert!(copied.stdout.ends_with("Digest: sha256:H64\n"), "{copied}");
    assert_eq!(
        lap.fails(1, &["copy", "store:no", "oci:layout"]),
        "No such image: no\n"
    );
}

/// Images that share layers, each with those of the one before and one more, under `app:1`, `app:2`, …
/// Layers that are not packed by gzip are packed anew by others.
fn sharing(count: usize) -> (Cli, Vec<RandomImage>) {
    let registry = TestRegistry::start();
    let lap = Cli::built();
    let images = (1..=count).map(|layers| {
        let shape = Shape {
            layers,
            compressions: vec![Compression::Gzip],
            ..Shape::default()
        };
        let image = RandomImage::with(28, &shape);
        let name = registry.put("team/app:1", &image).to_string();
        let digest = lap.ok(&["copy", "-q", &name, &format!("store:app:{layers}")]);
        assert_eq!(digest.trim(), image.descriptor.digest.to_string());
        image
    });
    let images = images.collect();
    (lap, images)
}

/// Another program, in the folder of `lap`'s commands.
#[track_caller]
fn succeeds(lap: &Cli, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let done = command.args(arguments).current_dir(lap.home()).output();
    let done = done.unwrap_or_else(|error| panic!("{program}, which `.ci/run` installs: {error}"));
    assert!(done.status.success(), "{program} {arguments:?}: {done:?}");
}

/// What another program keeps of an image.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Keeps {
    /// The tars: it writes configurations anew.
    DiffIds,
    /// The configuration: it unpacks layers.
    Configuration,
    Everything,
}

/// Takes images in, each from its place, and compares.
#[track_caller]
fn arrive(from: &Cli, places: &[String], images: &[RandomImage], keeps: Keeps) {
    let there = Cli::built();
    for (number, (place, image)) in places.iter().zip(images).enumerate() {
        let to = format!("store:app:{}", number + 1);
        let copy = there
            .command(&["copy", "-q", place, &to])
            .current_dir(from.home())
            .output();
        let copied = copy.unwrap();
        assert!(copied.status.success(), "{place}: {copied:?}");
        let digest = String::from_utf8(copied.stdout).unwrap();
        let same = digest.trim() == image.descriptor.digest.to_string();
        assert!(same || keeps < Keeps::Everything, "{place}: {digest}");
        let name = &to["store:".len()..];
        let found = there.ok(&["inspect", "-f", "{{json .RootFS.Layers}}", name]);
        let diff_ids = image.config.rootfs.diff_ids.iter();
        let diff_ids: Vec<String> = diff_ids.map(|id| format!("\"{id}\"")).collect();
        assert_eq!(found.trim(), format!("[{}]", diff_ids.join(",")), "{place}");
        let id = there.ok(&["images", "-q", "--no-trunc", name]);
        if keeps == Keeps::DiffIds {
            continue;
        }
        assert_eq!(
            id.trim(),
            image.config_descriptor.digest.to_string(),
            "{place}"
        );
    }
    let layers = std::fs::read_dir(there.root().join("layers")).unwrap();
    assert_eq!(layers.count(), images.last().unwrap().layers.len());
    let check = there.ok(&["system", "check"]);
    assert!(check.contains("the store is whole"), "{check}");
}

fn skopeo_keeps_digests(count: usize) {
    let (lap, images) = sharing(count);
    lap.ok(&["save", "-o", "docker.tar", "app"]);
    for tag in 1..=count {
        let from = format!("store:app:{tag}");
        lap.ok(&[
            "copy",
            "-q",
            &from,
            &format!("oci-archive:{tag}.tar:team/app:{tag}"),
        ]);
        lap.ok(&["copy", "-q", &from, &format!("oci:layout:v{tag}")]);
    }
    let sources: [fn(usize) -> String; 3] = [
        |tag| format!("docker-archive:docker.tar:app:{tag}"),
        |tag| format!("oci-archive:{tag}.tar:team/app:{tag}"),
        |tag| format!("oci:layout:v{tag}"),
    ];
    let targets: [fn(usize) -> String; 3] = [
        |tag| format!("docker-archive:back-{tag}.tar:back:{tag}"),
        |tag| format!("oci-archive:back-{tag}.tar:back:{tag}"),
        |tag| format!("oci:back:back:{tag}"),
    ];
    for (from, to) in sources.iter().flat_map(|from| targets.map(|to| (from, to))) {
        let places: Vec<String> = (1..=count).map(to).collect();
        for (tag, place) in (1..=count).zip(&places) {
            let arguments = ["--insecure-policy", "copy", "-q", &from(tag), place];
            succeeds(&lap, "skopeo", &arguments);
        }
        let is_docker = |place: &str| place.starts_with("docker-");
        let keeps = match (is_docker(&from(1)), is_docker(&to(1))) {
            (false, false) => Keeps::Everything,
            (_, true) => Keeps::Configuration,
            (true, false) => Keeps::DiffIds,
        };
        arrive(&lap, &places, &images, keeps);
        std::fs::remove_dir_all(lap.home().join("back")).ok();
        for tag in 1..=count {
            std::fs::remove_file(lap.home().join(format!("back-{tag}.tar"))).ok();
        }
    }
}

#[test]
fn skopeo_keeps_the_digests_of_an_image() {
    skopeo_keeps_digests(1);
}

#[test]
fn skopeo_keeps_the_digests_of_images_that_share_layers() {
    skopeo_keeps_digests(5);
}

#[test]
fn umoci_keeps_the_digests_of_images_that_share_layers() {
    for count in [1, 5] {
        let (lap, images) = sharing(count);
        for tag in 1..=count {
            let (from, to) = (format!("store:app:{tag}"), format!("oci:layout:{tag}"));
            lap.ok(&["copy", "-q", &from, &to]);
            let image = format!("layout:{tag}");
            succeeds(
                &lap,
                "umoci",
                &["tag", "--image", &image, &format!("again-{tag}")],
            );
        }
        succeeds(&lap, "umoci", &["gc", "--layout", "layout"]);
        let places: Vec<String> = (1..=count)
            .map(|tag| format!("oci:layout:again-{tag}"))
            .collect();
        arrive(&lap, &places, &images, Keeps::Everything);
    }
}
