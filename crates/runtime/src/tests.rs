//! Real containers. The stage of each test runs in a new process of this test program with nothing
//! but its own test in it, so that forking is as harmless as in the single-threaded monitor.

mod filter;
mod limits;
mod outside;
mod start;
mod streams;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::launch::{ChildStdio, Exit, Launch, OverlaySpec, RootFs, Running, Stdio};
use crate::{StartError, defaults, spawn};

/// Tells a test program that it is the stage of one test.
const STAGE: &str = "LAPSTRAKE_TEST_STAGE";

/// Runs `body` in a process of its own.
fn staged(test: &str, body: impl FnOnce()) {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is how the stage knows its part"
    )]
    let stage = std::env::var_os(STAGE);
    if stage.is_some_and(|stage| stage == test) {
        return body();
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the stage is this program once more"
    )]
    let mut command = std::process::Command::new("/proc/self/exe");
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(STAGE, test);
    let output = command.output().expect("the test program starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A directory that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lap-rt-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).expect("scratch directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A root file system of busybox alone, in `layers` layers.
fn busybox(scratch: &Scratch, layers: usize) -> OverlaySpec {
    let mut lowers = Vec::new();
    for index in 0..layers {
        let lower = scratch.0.join(format!("l{index}"));
        fs::create_dir(&lower).expect("layer");
        fs::write(lower.join(format!("layer{index}")), "x").expect("file");
        lowers.insert(0, lower);
    }
    let bottom = lowers.last().expect("a layer").clone();
    for directory in ["bin", "etc", "tmp", "root"] {
        fs::create_dir(bottom.join(directory)).expect("directory");
    }
    fs::set_permissions(bottom.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("mode");
    fs::copy("/bin/busybox", bottom.join("bin/busybox")).expect("busybox-static is installed");
    for applet in APPLETS.split_whitespace() {
        symlink("busybox", bottom.join("bin").join(applet)).expect("link");
    }
    fs::write(
        bottom.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
    )
    .expect("passwd");
    let make = |name: &str| {
        let path = scratch.0.join(name);
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .expect("directory");
        path
    };
    OverlaySpec {
        lowers,
        upper: make("upper"),
        work: make("work"),
        volatile: false,
    }
}

const APPLETS: &str = "sh cat echo ls id hostname true false sleep mount umount stat env pwd tty \
    stty touch mknod chroot dd kill ps readlink dmesg unshare printf test grep sed ip ulimit \
    setsid mkdir rm chmod chown wc head tail sysctl nproc";

/// A specification with a network namespace and docker's filter, running `args`.
fn spec_of(args: &[&str]) -> Spec {
    let mut spec = defaults::default_spec();
    let process = spec.process_mut().as_mut().expect("process");
    process.set_args(Some(args.iter().map(|&arg| arg.to_owned()).collect()));
    process.set_env(Some(vec!["PATH=/usr/bin:/bin".to_owned()]));
    let seccomp = defaults::seccomp_for(defaults::DEFAULT_CAPABILITIES);
    spec.linux_mut()
        .as_mut()
        .expect("linux")
        .set_seccomp(Some(seccomp));
    spec.set_hostname(Some("box".to_owned()));
    spec
}

/// Leaves out a namespace.
fn without_namespace(spec: &mut Spec, kind: LinuxNamespaceType) {
    let linux = spec.linux_mut().as_mut().expect("linux");
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    namespaces.retain(|namespace| namespace.typ() != kind);
    linux.set_namespaces(Some(namespaces));
    if kind == LinuxNamespaceType::Network {
        linux.set_sysctl(None);
    }
}

fn launch_of(name: &str, spec: Spec, overlay: &OverlaySpec) -> Launch {
    Launch {
        id: format!("test-{name}-{}", std::process::id()),
        spec,
        rootfs: RootFs::Overlay(overlay.clone()),
        stdio: Stdio::Pipes { stdin: false },
        init: false,
    }
}

/// Starts, without looking at the number of threads: the test harness waits idly in one.
fn start(launch: &Launch) -> Result<Running, StartError> {
    spawn::start(launch)
}

/// What a container left behind.
#[derive(Debug)]
struct Outcome {
    exit: Exit,
    out: String,
    err: String,
}

fn finish(running: Running) -> Outcome {
    let (mut out, mut err) = (String::new(), String::new());
    let mut running = running;
    match std::mem::replace(&mut running.stdio, ChildStdio::None) {
        ChildStdio::Pipes {
            stdout,
            stderr,
            stdin,
        } => {
            drop(stdin);
            fs::File::from(stdout)
                .read_to_string(&mut out)
                .expect("output");
            fs::File::from(stderr)
                .read_to_string(&mut err)
                .expect("errors");
        }
        ChildStdio::Terminal(_) | ChildStdio::None => {}
    }
    let exit = running.wait().expect("an exit");
    running.delete().expect("nothing left");
    Outcome { exit, out, err }
}

/// Runs a shell script in a container of one layer.
fn shell(name: &str, script: &str, change: impl FnOnce(&mut Launch, &Path)) -> Outcome {
    let scratch = Scratch::new(name);
    let overlay = busybox(&scratch, 1);
    let mut launch = launch_of(name, spec_of(&["/bin/sh", "-c", script]), &overlay);
    change(&mut launch, &scratch.0);
    finish(start(&launch).expect("it starts"))
}

/// The same, expecting success and nothing on standard error.
fn shell_ok(name: &str, script: &str) -> String {
    let outcome = shell(name, script, |_, _| ());
    assert_eq!(
        (outcome.exit.code, outcome.err.as_str()),
        (0, ""),
        "{outcome:?}"
    );
    outcome.out
}
