//! `run` as dockerd 20.10 and 28.5 do it with the same image: what the process finds, how it ends, what
//! is refused.
#![allow(
    clippy::disallowed_methods,
    reason = "a test of processes: it starts some and sends signals"
)]

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::containers::{Engine, wait_until};

/// Docker's default capabilities.
const CAPABILITIES: &str = "00000000a80425fb";

#[test]
fn privileged_the_process_is_what_docker_makes_it() {
    let engine = Engine::new();
    let status = |more: &[&str]| {
        let command = ["box", "grep", "-E", "^(Groups|CapEff|NoNewPrivs|Seccomp):"];
        let words = [
            &["run", "--rm", "-q"],
            more,
            &command,
            &["/proc/self/status"],
        ]
        .concat();
        engine.0.ok(&words).replace('\t', " ").replace(" \n", "\n")
    };
    let of_root = format!("Groups: 0\nCapEff: {CAPABILITIES}\nNoNewPrivs: 0\nSeccomp: 2\n");
    assert_eq!(status(&[]), of_root);
    // The user's own group is among the supplementary ones: it cannot be given up.
    let of_others = "Groups: 44 55\nCapEff: 0000000000000000\nNoNewPrivs: 0\nSeccomp: 2\n";
    assert_eq!(status(&["-u", "33:44", "--group-add", "55"]), of_others);
    let bare = "Groups: 0\nCapEff: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 0\n";
    let options = [
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        "--security-opt=seccomp=unconfined",
    ];
    assert_eq!(status(&options), bare);
}

#[test]
fn privileged_exit_codes_are_dockers() {
    let engine = Engine::new();
    let cases: [(&[&str], i32); 10] = [
        (&["box", "true"], 0),
        (&["box", "sh", "-c", "exit 7"], 7),
        (&["box", "sh", "-c", "kill -9 $$; exit 3"], 3),
        (&["--init", "box", "sh", "-c", "kill -9 $$"], 137),
        (&["--init", "box", "sh", "-c", "kill -TERM $$"], 143),
        (&["box", "nosuch"], 127),
        (&["box", "/bin"], 126),
        (&["-v", "/proc/self/status:/bin", "box", "true"], 125),
        (&["--nosuch", "box", "true"], 125),
        (&["--pull=never", "nosuch", "true"], 125),
    ];
    for (words, code) in cases {
        let outcome = engine.0.run(&[&["run", "--rm"], words].concat());
        assert_eq!(outcome.code, Some(code), "{outcome}");
    }
    assert_eq!(engine.0.ok(&["ps", "-aq"]), "");
}

#[test]
fn privileged_what_makes_no_sense_is_refused_in_dockers_words() {
    let engine = Engine::new();
    let cidfile = engine.0.home().join("cid");
    std::fs::write(&cidfile, "").unwrap();
    let cases: [(&[&str], &str); 7] = [
        (
            &["-w", "rel"],
            "lap: Error response from daemon: the working directory 'rel' is invalid, it needs to be an \
             absolute path",
        ),
        (
            &["--stop-signal", "FOO"],
            "lap: Error response from daemon: Invalid signal: FOO",
        ),
        (
            &["--add-host", "foo"],
            "invalid argument \"foo\" for \"--add-host\" flag: bad format for add-host: \"foo\"",
        ),
        (
            &["-v", ":/a"],
            "lap: invalid spec: :/a: empty section between colons",
        ),
        (
            &["-v", "/tmp:/a:odd"],
            "lap: Error response from daemon: invalid mode: odd",
        ),
        (
            &["--platform", "foo"],
            "lap: error parsing specified platform: \"foo\": unknown operating system or architecture: \
             invalid argument",
        ),
        (
            &["--cidfile", "cid"],
            "lap: container ID file found, make sure the other container isn't running or delete cid",
        ),
    ];
    for (words, text) in cases {
        let outcome = engine
            .0
            .run(&[&["run", "--rm"], words, &["box", "true"]].concat());
        assert_eq!(outcome.code, Some(125), "{outcome}");
        assert_eq!(outcome.stderr.lines().next(), Some(text));
    }
    assert_eq!(engine.0.ok(&["ps", "-aq"]), "");
}

#[test]
fn privileged_bytes_pass_through_unchanged() {
    let engine = Engine::new();
    let input: Vec<u8> = (0..3_000_000_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let path = engine.0.home().join("input");
    std::fs::write(&path, &input).unwrap();
    let mut command = engine.0.command(&["run", "--rm", "-i", "box", "cat"]);
    let output = command
        .stdin(std::fs::File::open(&path).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout == input, "{} bytes", output.stdout.len());
}

#[test]
fn privileged_a_killed_container_can_be_removed_at_once() {
    let engine = Engine::new();
    for _ in 0..10 {
        let id = engine.detached(&["box", "sleep", "100"]);
        engine.0.ok(&["kill", &id]);
        engine.0.ok(&["rm", &id]);
    }
}

#[test]
fn privileged_signals_reach_a_container_with_a_terminal() {
    let engine = Engine::new();
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut command = engine
        .0
        .command(&["run", "-t", "--name", "tty", "box", "sh", "-c", script]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the first line", || {
        engine.0.run(&["logs", "tty"]).stdout.starts_with("ready")
    });
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn privileged_inspect_leads_to_a_containers_files() {
    let engine = Engine::new();
    let script = "echo kept > /file; sleep 100";
    let id = engine.detached(&["--network=none", "box", "sh", "-c", script]);
    let folder = |role: &str| {
        let format = format!("{{{{.GraphDriver.Data.{role}}}}}");
        engine
            .0
            .ok(&["inspect", "-f", &format, &id])
            .trim()
            .to_owned()
    };
    let merged = folder("MergedDir");
    wait_until("the file", || {
        std::fs::read(format!("{merged}/file")).is_ok_and(|text| text == b"kept\n")
    });
    assert!(
        std::path::Path::new(&folder("UpperDir"))
            .join("file")
            .exists()
    );
    let lower = folder("LowerDir");
    assert!(
        std::path::Path::new(&lower).join("bin/busybox").exists(),
        "{lower}"
    );
    let addresses = "{{.NetworkSettings.IPAddress}}-{{range .NetworkSettings.Networks}}\
                     {{.Gateway}}{{.GlobalIPv6Address}}{{end}}";
    assert_eq!(engine.0.ok(&["inspect", "-f", addresses, &id]), "-\n");
}

#[test]
fn privileged_containers_meet_on_the_bridge() {
    let engine = Engine::new();
    let id = engine.detached(&[
        "box", "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "hello",
    ]);
    let inspect = |format: &str| {
        let text = engine.0.ok(&["inspect", "-f", format, &id]);
        text.trim().to_owned()
    };
    let address = inspect("{{.NetworkSettings.IPAddress}}");
    assert_eq!(
        inspect("{{.NetworkSettings.Networks.bridge.IPAddress}}"),
        address
    );
    assert_eq!(inspect("{{.HostConfig.NetworkMode}}"), "default");
    let listed = engine
        .0
        .ok(&["ps", "--filter=network=bridge", "--format={{.Networks}}"]);
    assert_eq!(listed, "bridge\n");
    let words = ["run", "--rm", "--hostname=me", "box"];
    wait_until("the answer", || {
        let words = [&words[..], &["busybox", "nc", "-w", "1", &address, "80"]].concat();
        engine.0.run(&words).stdout == "hello\n"
    });
    let hosts = engine.0.ok(&[&words[..], &["cat", "/etc/hosts"]].concat());
    assert!(hosts.ends_with("\tme\n"), "{hosts}");
    let none = engine.0.ok(&[
        "run",
        "--rm",
        "--network=none",
        "box",
        "busybox",
        "ls",
        "/sys/class/net",
    ]);
    assert!(!none.contains("eth0"), "{none}");

    // Its monitor killed, the container goes, and with it its address.
    let port = format!(
        "lap{:08x}",
        address.parse::<std::net::Ipv4Addr>().unwrap().to_bits()
    );
    let port = std::path::Path::new("/sys/class/net").join(port);
    assert!(port.exists());
    let monitor = engine.monitor(&id);
    kill_process(monitor, Signal::KILL).unwrap();
    wait_until("the address", || !port.exists());
    assert_eq!(inspect("{{.NetworkSettings.IPAddress}}"), "");
}
