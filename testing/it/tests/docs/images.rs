//! The images of the world: real names, small content. Every one has bash, busybox and what bash needs, so that
//! a page can do with them what a tutorial does with the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::OnceLock;

use bytes::Bytes;
use lapstrake_spec::{Descriptor, Digest, ImageConfig, Manifest, MediaType};
use lapstrake_testkit::{
    Change, Changes, Compression, Kind, Node, RandomImage, RandomLayer, Tree, tar_of,
};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const APPLETS: &str = "cat chmod chown cp cut date df du echo env expr false find grep gunzip gzip head hostname id \
                       install ln ls mkdir mktemp mv od printf ps pwd readlink rm rmdir sed seq sha256sum sleep sort \
                       stat tail tar tee test touch tr true uname uniq wc which whoami xargs yes";
/// Name, day it was made, what `/etc/os-release` says, what it runs.
const IMAGES: [(&str, &str, &str, &str); 10] = [
    (
        "library/ubuntu:18.04",
        "2023-05-30",
        "Ubuntu 18.04.6 LTS",
        r#"["bash"]"#,
    ),
    (
        "library/ubuntu:20.04",
        "2024-03-08",
        "Ubuntu 20.04.6 LTS",
        r#"["bash"]"#,
    ),
    (
        "library/ubuntu:latest",
        "2024-10-13",
        "Ubuntu 24.04.3 LTS",
        r#"["bash"]"#,
    ),
    (
        "library/centos:latest",
        "2021-09-15",
        "CentOS Linux 8",
        r#"["bash"]"#,
    ),
    (
        "library/debian:latest",
        "2024-11-12",
        "Debian GNU/Linux 13 (trixie)",
        r#"["bash"]"#,
    ),
    (
        "library/debian:bookworm",
        "2024-11-11",
        "Debian GNU/Linux 12 (bookworm)",
        r#"["bash"]"#,
    ),
    (
        "library/python:3",
        "2024-10-21",
        "Debian GNU/Linux 13 (trixie)",
        r#"["bash"]"#,
    ),
    (
        "library/busybox:latest",
        "2024-09-26",
        "BusyBox",
        r#"["sh"]"#,
    ),
    (
        "training/sinatra:latest",
        "2014-06-10",
        "Ubuntu 14.04 LTS",
        r#"["bash"]"#,
    ),
    (
        "library/hello-world:latest",
        "2023-05-02",
        "",
        r#"["/bin/busybox","echo","Hello from Docker!"]"#,
    ),
];

/// What the index finds: name, description, stars, whether it is official.
const INDEX: [(&str, &str, u32, bool); 8] = [
    (
        "ubuntu",
        "Ubuntu is a Debian-based Linux operating system based on free software.",
        17_000,
        true,
    ),
    ("nginx", "Official build of Nginx.", 20_000, true),
    (
        "nginx/nginx-ingress",
        "NGINX and NGINX Plus Ingress Controllers for Kubernetes",
        110,
        false,
    ),
    (
        "ubuntu/nginx",
        "Nginx, a high-performance reverse proxy & web server. Long-term tracks by Canonical.",
        130,
        false,
    ),
    (
        "linuxserver/nginx",
        "An Nginx container, brought to you by LinuxServer.io.",
        230,
        false,
    ),
    ("training/sinatra", "", 9, false),
    (
        "d1egoaz/docker-sinatra",
        "Docker image with Ruby Sinatra installed",
        2,
        false,
    ),
    (
        "hello-world",
        "Hello World! (an example of minimal Dockerization)",
        2_500,
        true,
    ),
];

/// The answer of the index for a term.
pub(crate) fn found(term: &str) -> String {
    let rows = INDEX.iter().filter(|(name, ..)| name.contains(term));
    let rows: Vec<String> = rows
        .map(|(name, description, stars, official)| {
            format!(
                r#"{{"name":"{name}","description":"{description}","star_count":{stars},"is_official":{official},"is_automated":false}}"#
            )
        })
        .collect();
    format!(
        r#"{{"num_results":{},"results":[{}]}}"#,
        rows.len(),
        rows.join(",")
    )
}

/// All images, made once.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static RandomImage)> {
    static MADE: OnceLock<Vec<RandomImage>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let userland = layer(userland());
        let minimal = layer(minimal());
        let image = |(_, day, system, command): &(&str, &str, &str, &str)| {
            if system.is_empty() {
                image(day, command, vec![minimal.clone()])
            } else {
                image(
                    day,
                    command,
                    vec![userland.clone(), layer(distribution(system))],
                )
            }
        };
        IMAGES.iter().map(image).collect()
    });
    IMAGES.iter().map(|(name, ..)| *name).zip(made)
}

fn image(day: &str, command: &str, layers: Vec<RandomLayer>) -> RandomImage {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("\"{}\"", layer.diff_id))
        .collect();
    let shell = command.replace('"', "\\\"");
    let additions: Vec<String> = layers
        .iter()
        .map(|layer| {
            let digest = layer.diff_id.hex();
            format!(r#"{{"created":"{day}T09:31:00Z","created_by":"/bin/sh -c #(nop) ADD file:{digest} in / "}},"#)
        })
        .collect();
    let text = format!(
        r#"{{"architecture":"{}","os":"linux","created":"{day}T09:31:01Z",
        "config":{{"Env":["{PATH}"],"Cmd":{command}}},
        "history":[{}{{"created":"{day}T09:31:01Z","created_by":"/bin/sh -c #(nop)  CMD {shell}","empty_layer":true}}],
        "rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        std::env::consts::ARCH
            .replace("x86_64", "amd64")
            .replace("aarch64", "arm64"),
        additions.concat(),
        diff_ids.join(",")
    );
    let config_raw = Bytes::from(text);
    let config_descriptor = Descriptor::of(MediaType::DOCKER_CONFIG, &config_raw);
    let descriptors = layers
        .iter()
        .map(|layer| layer.descriptor.clone())
        .collect();
    let manifest = Manifest::new(
        MediaType::DOCKER_MANIFEST,
        config_descriptor.clone(),
        descriptors,
    );
    let raw = Bytes::from(manifest.to_bytes());
    RandomImage {
        config: ImageConfig::parse(&config_raw).unwrap(),
        config_raw,
        config_descriptor,
        descriptor: Descriptor::of(MediaType::DOCKER_MANIFEST, &raw),
        raw,
        layers,
        tree: Tree::default(),
    }
}

fn layer(changes: Changes) -> RandomLayer {
    let tar = tar_of(&changes);
    let blob = Compression::Gzip.compress(&tar);
    RandomLayer {
        changes,
        diff_id: Digest::sha256(&tar),
        tar: tar.into(),
        descriptor: Descriptor::of(MediaType::DOCKER_LAYER_GZIP, &blob),
        blob: blob.into(),
    }
}

/// Bash with its libraries, and busybox for everything else.
fn userland() -> Changes {
    let mut changes = minimal();
    for folder in [
        "etc",
        "home",
        "opt",
        "proc",
        "srv",
        "sys",
        "usr/bin",
        "usr/local/bin",
        "var/log",
    ] {
        put(
            &mut changes,
            &format!("{folder}/.keep"),
            Kind::File(Vec::new()),
            0o644,
        );
        changes.remove(&format!("{folder}/.keep"));
    }
    for (folder, mode) in [("root", 0o700), ("tmp", 0o1777), ("var/tmp", 0o1777)] {
        put(&mut changes, folder, Kind::Directory, mode);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "which libraries bash needs, its loader knows"
    )]
    let listed = Command::new("ldd").arg("/bin/bash").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let libraries: BTreeSet<&str> = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .collect();
    for path in libraries.into_iter().chain(["/bin/bash"]) {
        let bytes = std::fs::read(path).unwrap();
        put(
            &mut changes,
            path.trim_start_matches('/'),
            Kind::File(bytes),
            0o755,
        );
    }
    for applet in APPLETS.split_whitespace() {
        put(
            &mut changes,
            &format!("bin/{applet}"),
            Kind::Symlink("busybox".to_owned()),
            0o777,
        );
    }
    put(
        &mut changes,
        "bin/sh",
        Kind::Symlink("busybox".to_owned()),
        0o777,
    );
    for (path, text) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        ),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        ("root/.bashrc", "PS1='\\u@\\h:\\w\\$ '\n"),
    ] {
        put(&mut changes, path, Kind::File(text.into()), 0o644);
    }
    changes
}

/// One program.
fn minimal() -> Changes {
    let busybox = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut changes = Changes::new();
    put(&mut changes, "bin/busybox", Kind::File(busybox), 0o755);
    changes
}

/// What tells one distribution from another.
fn distribution(system: &str) -> Changes {
    let mut changes = Changes::new();
    let name = system.split(' ').next().unwrap_or_default();
    let release = format!("PRETTY_NAME=\"{system}\"\nNAME=\"{name}\"\n");
    put(
        &mut changes,
        "etc/os-release",
        Kind::File(release.into()),
        0o644,
    );
    changes
}

/// Puts a file, and the folders above it, into a layer.
fn put(changes: &mut Changes, path: &str, kind: Kind, mode: u32) {
    if let Some((folder, _)) = path.rsplit_once('/')
        && !changes.contains_key(folder)
    {
        put(changes, folder, Kind::Directory, 0o755);
    }
    let node = Node {
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: (1_600_000_000, 0),
        xattrs: BTreeMap::new(),
        inode: changes.len() as u64 + 1,
    };
    changes.insert(path.to_owned(), Change::Put(node));
}
