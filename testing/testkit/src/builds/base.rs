//! The base images: one layer with busybox, several configurations.

use std::collections::BTreeMap;

use bytes::Bytes;
use lapstrake_spec::{Descriptor, Digest, ImageConfig, Manifest, MediaType};
use serde_json::{Value, json};

use crate::tree::{Change, Changes, Kind, Node, Tree};
use crate::{Compression, RandomImage, RandomLayer, tar_of};

/// 2019-01-01.
const SECONDS: u64 = 1_546_300_800;
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const APPLETS: &str = "[ adduser ash base64 basename cat chgrp chmod chown cp cut date dd diff dirname du echo env expr \
     false find grep gunzip gzip head hostname id install ip ln ls md5sum mkdir mkfifo mknod mktemp mv nc od \
     printf ps pwd readlink realpath rm rmdir sed seq sh sha256sum sleep sort stat su sync tac tail tar tee test \
     touch tr true tty umask uname uniq wc wget which whoami xargs yes";

/// Names and configurations of the base images.
pub(super) fn configurations() -> Vec<(&'static str, Value)> {
    let env = json!([PATH]);
    let rich = json!({
        "Env": [PATH, "BASE=of base", "SHARED=base"],
        "Cmd": ["base-command"], "Entrypoint": ["/bin/sh", "-c"], "User": "1000:1000", "WorkingDir": "/base/dir",
        "Labels": {"base": "1", "shared": "base"}, "Volumes": {"/base-volume": {}}, "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000_u64}, "StopSignal": "SIGINT",
        "Shell": ["/bin/ash", "-c"],
    });
    let triggers = json!({
        "Env": env, "Cmd": ["sh"],
        "OnBuild": ["ENV TRIGGERED=yes", "RUN echo \"run by a trigger\" > /trigger", "COPY onbuild.txt /onbuild/"],
    });
    vec![
        ("box:1", json!({"Env": env, "Cmd": ["sh"]})),
        ("box:rich", rich),
        ("box:triggers", triggers),
    ]
}

/// The tree of the base images.
pub(super) fn tree() -> Tree {
    let mut tree = Tree::default();
    tree.apply(&changes());
    tree
}

/// An image with this configuration.
pub(super) fn image(config: &Value) -> RandomImage {
    let changes = changes();
    let tar = tar_of(&changes);
    let blob = Compression::Gzip.compress(&tar);
    let layer = RandomLayer {
        changes,
        diff_id: Digest::sha256(&tar),
        tar: tar.into(),
        descriptor: Descriptor::of(MediaType::DOCKER_LAYER_GZIP, &blob),
        blob: blob.into(),
    };
    let raw = json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux", "created": "2019-01-01T00:00:00Z", "config": config,
        "history": [{"created": "2019-01-01T00:00:00Z", "created_by": "base"}],
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id.to_string()]},
    });
    let config_raw = Bytes::from(raw.to_string());
    let config_descriptor = Descriptor::of(MediaType::DOCKER_CONFIG, &config_raw);
    let manifest = Manifest::new(
        MediaType::DOCKER_MANIFEST,
        config_descriptor.clone(),
        vec![layer.descriptor.clone()],
    );
    let raw = Bytes::from(manifest.to_bytes());
    RandomImage {
        config: ImageConfig::parse(&config_raw).unwrap(),
        config_raw,
        config_descriptor,
        descriptor: Descriptor::of(MediaType::DOCKER_MANIFEST, &raw),
        raw,
        layers: vec![layer],
        tree: tree(),
    }
}

fn node(kind: Kind, mode: u32) -> Node {
    Node {
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: (SECONDS, 0),
        xattrs: BTreeMap::new(),
        inode: 0,
    }
}

fn changes() -> Changes {
    let mut nodes: Vec<(String, Node)> = Vec::new();
    let folders = "base base/dir base-volume bin dev etc home home/user lib proc root sbin sys usr usr/bin usr/lib usr/sbin \
                   var var/log var/tmp";
    for folder in folders.split_whitespace() {
        nodes.push((folder.to_owned(), node(Kind::Directory, 0o755)));
    }
    for (folder, mode) in [("tmp", 0o1777), ("private", 0o750), ("setgid", 0o2775)] {
        nodes.push((folder.to_owned(), node(Kind::Directory, mode)));
    }
    let busybox = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut files = vec![
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\nwww:x:33:34::/:/bin/sh\n",
        ),
        (
            "etc/group",
            "root:x:0:\nuser:x:1000:\nstaff:x:50:user\nwww:x:34:\n",
        ),
        ("etc/hosts", ""),
        ("etc/resolv.conf", ""),
        ("etc/issue", "a small box\n"),
        ("var/log/old", "old\n"),
        ("base/dir/kept", "kept\n"),
        ("base/dir/gone", "gone\n"),
    ];
    files.sort_unstable();
    for (path, text) in files {
        nodes.push((path.to_owned(), node(Kind::File(text.into()), 0o644)));
    }
    nodes.push(("bin/busybox".to_owned(), node(Kind::File(busybox), 0o755)));
    for applet in APPLETS.split_whitespace() {
        let link = Kind::Symlink("busybox".to_owned());
        nodes.push((format!("bin/{applet}"), node(link, 0o777)));
    }
    nodes.push((
        "home/user/alias".to_owned(),
        node(Kind::Symlink("/etc/issue".to_owned()), 0o777),
    ));
    nodes.push((
        "var/link-to-tmp".to_owned(),
        node(Kind::Symlink("/tmp".to_owned()), 0o777),
    ));
    let mut inode = 0;
    let number = |(path, node): (String, Node)| {
        inode += 1;
        (path, Change::Put(Node { inode, ..node }))
    };
    nodes.into_iter().map(number).collect()
}
