use std::os::fd::AsFd;

use super::*;
use crate::external;

const RUNC: &str = "/usr/sbin/runc";

/// Starts a container through runc.
fn run(scratch: &Scratch, launch: &Launch) -> Result<Running, StartError> {
    let bundle = scratch.0.join("bundle");
    fs::create_dir_all(&bundle).expect("bundle");
    external::isolate_mounts().expect("a mount namespace");
    external::run(&bundle, launch, Path::new(RUNC), None)
}

#[test]
fn privileged_runc_runs_the_same_launch() {
    staged(
        "tests::outside::privileged_runc_runs_the_same_launch",
        || {
            if !Path::new(RUNC).exists() {
                return;
            }
            let scratch = Scratch::new("runc");
            let overlay = busybox(&scratch, 3);
            let spec = spec_of(&[
                "sh",
                "-c",
                "hostname; echo $$; id -u; ls / | grep -c layer; exit 6",
            ]);
            let launch = launch_of("runc", spec, &overlay);
            let outcome = finish(run(&scratch, &launch).expect("starts"));
            assert_eq!(outcome.out, "box\n1\n0\n3\n", "{outcome:?}");
            assert_eq!(outcome.exit.code, 6);
            external::delete(&scratch.0.join("bundle"), &launch.id, Path::new(RUNC))
                .expect("deleted");
            let mounts = fs::read_to_string("/proc/1/mounts").expect("mounts");
            assert!(!mounts.contains("lap-rt-runc"));
        },
    );
}

#[test]
fn privileged_runc_failures_have_the_same_words() {
    staged(
        "tests::outside::privileged_runc_failures_have_the_same_words",
        || {
            if !Path::new(RUNC).exists() {
                return;
            }
            let scratch = Scratch::new("runcfail");
            let overlay = busybox(&scratch, 1);
            let launch = launch_of("runcfail", spec_of(&["/no/such/bin"]), &overlay);
            let ours = start(&launch).expect_err("refused");
            let theirs = run(&scratch, &launch).expect_err("refused");
            assert_eq!(ours, theirs);
        },
    );
}

#[test]
fn privileged_runc_gives_a_terminal() {
    staged("tests::outside::privileged_runc_gives_a_terminal", || {
        if !Path::new(RUNC).exists() {
            return;
        }
        let scratch = Scratch::new("runctty");
        let overlay = busybox(&scratch, 1);
        let mut launch = launch_of(
            "runctty",
            spec_of(&["sh", "-c", "tty; stty size"]),
            &overlay,
        );
        launch.stdio = Stdio::Terminal {
            rows: 12,
            columns: 34,
        };
        let running = run(&scratch, &launch).expect("starts");
        let ChildStdio::Terminal(master) = &running.stdio else {
            panic!("a terminal was asked for");
        };
        let mut seen = Vec::new();
        let mut buffer = [0; 256];
        while let Ok(length) = rustix::io::read(master.as_fd(), &mut buffer) {
            seen.extend_from_slice(&buffer[..length]);
        }
        assert_eq!(String::from_utf8_lossy(&seen), "/dev/pts/0\r\n12 34\r\n");
        assert_eq!(running.wait().expect("ends").code, 0);
        external::delete(&scratch.0.join("bundle"), &launch.id, Path::new(RUNC)).expect("deleted");
    });
}
