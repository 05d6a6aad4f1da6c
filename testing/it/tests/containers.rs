//! Containers of the built `lap`: what happens to them when somebody comes, goes or vanishes at an
//! awkward moment.
#![allow(
    clippy::disallowed_methods,
    reason = "a test of processes and time: it starts some and waits for them"
)]

use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lapstrake_testkit::{Cli, Directory};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

const APPLETS: &str = "sh cat chmod cmp cut echo env find grep head hostname id kill ln ls mkdir mv pwd \
                       rm sleep sort stat touch true wc yes";

/// A `lap` whose store has the image `box`; its containers go with it.
pub(crate) struct Engine(pub(crate) Cli);

impl Engine {
    pub(crate) fn new() -> Self {
        let folder = Directory::new();
        let bin = folder.join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
        for applet in APPLETS.split_whitespace() {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let tar = Command::new("tar")
            .arg("-C")
            .arg(folder.path())
            .args(["-c", "bin"])
            .output()
            .unwrap();
        let lap = Cli::built();
        let imported = lap.run_with(&["import", "-", "box"], &tar.stdout);
        assert_eq!(imported.code, Some(0), "{imported}");
        Self(lap)
    }

    /// Starts a container; its id.
    pub(crate) fn detached(&self, arguments: &[&str]) -> String {
        let id = self.0.ok(&[&["run", "-d"], arguments].concat());
        id.trim().to_owned()
    }

    /// The process that watches over a running container.
    pub(crate) fn monitor(&self, id: &str) -> Pid {
        let pid = self.0.ok(&["inspect", "-f", "{{.State.Pid}}", id]);
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        Pid::from_raw(parent.unwrap().trim().parse().unwrap()).unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let ids = self.0.run(&["ps", "-aq"]).stdout;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            self.0.run(&[&["rm", "-f"], ids.as_slice()].concat());
        }
    }
}

#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn proc_of(pid: Pid) -> PathBuf {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string())
}

#[test]
fn privileged_the_own_program_is_out_of_a_containers_reach() {
    let engine = Engine::new();
    let id = engine.detached(&["box", "sleep", "100"]);
    let program = std::fs::File::open(proc_of(engine.monitor(&id)).join("exe")).unwrap();
    let flags = rustix::fs::fstatvfs(&program).unwrap().f_flag;
    assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
}

#[test]
fn privileged_whoever_looks_at_the_end_sees_how_it_ended() {
    let engine = Engine::new();
    let id = engine.detached(&["box", "sh", "-c", "exit 7"]);
    assert_eq!(engine.0.ok(&["wait", &id]), "7\n");
    for _ in 0..20 {
        let commands = [["start", &id], ["wait", &id], ["stop", &id], ["wait", &id]];
        let children = commands.map(|words| {
            let mut command = engine.0.command(&words);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        });
        for (child, words) in children.into_iter().zip(commands) {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{words:?}: {output:?}");
            if words.first() == Some(&"wait") {
                assert_eq!(output.stdout, b"7\n");
            }
        }
        engine.0.ok(&["wait", &id]);
    }
}

#[test]
fn privileged_a_monitor_ends_when_it_is_told_to() {
    let engine = Engine::new();
    let script = "trap '' TERM; while :; do sleep 1; done";
    let id = engine.detached(&["--stop-timeout", "1", "box", "sh", "-c", script]);
    let monitor = engine.monitor(&id);
    kill_process(monitor, Signal::TERM).unwrap();
    assert_eq!(engine.0.ok(&["wait", &id]), "137\n");
    wait_until("the monitor's end", || !proc_of(monitor).exists());
}

#[test]
fn privileged_a_container_ends_when_its_folder_is_taken_away() {
    let engine = Engine::new();
    let id = engine.detached(&["box", "sleep", "1000"]);
    let monitor = engine.monitor(&id);
    std::fs::remove_dir_all(engine.0.root().join("containers").join(&id)).unwrap();
    wait_until("the monitor's end", || !proc_of(monitor).exists());
}

#[test]
fn privileged_signals_are_passed_on_while_nobody_reads_the_output() {
    let engine = Engine::new();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let script = "trap 'exit 8' TERM; yes & wait";
    let mut command = engine.0.command(&["run", "box", "sh", "-c", script]);
    let mut child = command.stdout(writer).stdin(Stdio::null()).spawn().unwrap();
    drop(command);
    wait_until("a full pipe", || {
        rustix::io::ioctl_fionread(&reader).unwrap() >= 60_000
    });
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    wait_until("the container's end", || {
        !engine
            .0
            .ok(&["ps", "-aq", "--filter", "exited=8"])
            .is_empty()
    });
    drop::<OwnedFd>(reader);
    child.wait().unwrap();
}

#[test]
fn privileged_processes_beside_the_container_outlive_it() {
    let engine = Engine::new();
    let groups = Path::new("/sys/fs/cgroup/memory");
    if !groups.join("tasks").exists() {
        return;
    }
    let name = format!("lapstrake-it-{}", std::process::id());
    let parent = groups.join(&name);
    std::fs::create_dir(&parent).unwrap();
    let mut beside = Command::new("sleep").arg("1000").spawn().unwrap();
    std::fs::write(parent.join("cgroup.procs"), beside.id().to_string()).unwrap();
    let limited = ["run", "--rm", "--cgroup-parent", &name, "-m", "64m"];
    let outcome = engine.0.run(&[&limited[..], &["box", "true"]].concat());
    let has_ended = beside.try_wait().unwrap();
    beside.kill().unwrap();
    beside.wait().unwrap();
    std::fs::remove_dir(&parent).unwrap();
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(has_ended, None);
}
