use std::io::Write as _;
use std::os::fd::AsFd;

use super::*;

#[test]
fn privileged_standard_input_reaches_the_command() {
    staged(
        "tests::streams::privileged_standard_input_reaches_the_command",
        || {
            let scratch = Scratch::new("stdin");
            let overlay = busybox(&scratch, 1);
            let mut launch = launch_of("stdin", spec_of(&["cat"]), &overlay);
            launch.stdio = Stdio::Pipes { stdin: true };
            let mut running = start(&launch).expect("starts");
            if let ChildStdio::Pipes { stdin, .. } = &mut running.stdio {
                let stdin = stdin.take().expect("asked for");
                fs::File::from(stdin)
                    .write_all(b"through\n")
                    .expect("written");
            }
            assert_eq!(finish(running).out, "through\n");
            // Without one it is empty.
            launch.stdio = Stdio::Pipes { stdin: false };
            assert_eq!(finish(start(&launch).expect("starts")).out, "");
        },
    );
}

#[test]
fn privileged_inherited_streams() {
    staged("tests::streams::privileged_inherited_streams", || {
        let scratch = Scratch::new("inherit");
        let overlay = busybox(&scratch, 1);
        let file = |name: &str| {
            let path = scratch.0.join(name);
            fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .expect("file")
        };
        let mut launch = launch_of(
            "inherit",
            spec_of(&["sh", "-c", "echo out; echo err >&2"]),
            &overlay,
        );
        launch.stdio = Stdio::Inherit {
            stdin: fs::File::open("/dev/null").expect("null").into(),
            stdout: file("out").into(),
            stderr: file("err").into(),
        };
        assert_eq!(
            start(&launch).expect("starts").wait().expect("ends").code,
            0
        );
        assert_eq!(
            fs::read_to_string(scratch.0.join("out")).expect("out"),
            "out\n"
        );
        assert_eq!(
            fs::read_to_string(scratch.0.join("err")).expect("err"),
            "err\n"
        );
    });
}

#[test]
fn privileged_terminal_is_the_containers_own() {
    staged(
        "tests::streams::privileged_terminal_is_the_containers_own",
        || {
            for init in [false, true] {
                let scratch = Scratch::new("tty");
                let overlay = busybox(&scratch, 1);
                let script = "tty; stty size; test -c /dev/console && echo console; \
                          echo x > /dev/tty; read line; echo got $line";
                let mut launch = launch_of("tty", spec_of(&["sh", "-c", script]), &overlay);
                launch.stdio = Stdio::Terminal {
                    rows: 33,
                    columns: 99,
                };
                launch.init = init;
                let process = launch.spec.process_mut().as_mut().expect("process");
                let mut user = process.user().clone();
                user.set_uid(1000);
                process.set_user(user);
                let running = start(&launch).expect("starts");
                let ChildStdio::Terminal(master) = &running.stdio else {
                    panic!("a terminal was asked for");
                };
                rustix::io::write(master, b"typed\n").expect("typed");
                let mut seen = Vec::new();
                let mut buffer = [0; 256];
                // The end of a terminal is an error.
                while let Ok(length) = rustix::io::read(master.as_fd(), &mut buffer) {
                    seen.extend_from_slice(&buffer[..length]);
                }
                let seen = String::from_utf8_lossy(&seen).replace("\r\n", "\n");
                // The echo of what is typed comes whenever it comes.
                let lines: Vec<&str> = seen.lines().filter(|line| *line != "typed").collect();
                assert_eq!(lines, ["/dev/pts/0", "33 99", "console", "x", "got typed"]);
                assert_eq!(running.wait().expect("ends").code, 0);
            }
        },
    );
}
