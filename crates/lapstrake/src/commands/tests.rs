use super::*;
use crate::args::{HelpStyle, help};
use crate::ui::Output;
use crate::ui::output::Stream;
use crate::ui::text::PushFormat;
use expect_test::expect_file;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// A stream whose bytes a test can read.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

mod usage;

/// Runs a command line that needs no store: status, standard output, failure's text and hints.
fn run(line: &str) -> (u8, String, String) {
    run_with(&Environment::default(), line)
}

/// Runs a command line with everything in this folder.
fn run_in(folder: &std::path::Path, line: &str) -> (u8, String, String) {
    run_with(&Environment::within(folder), line)
}

fn run_with(environment: &Environment, line: &str) -> (u8, String, String) {
    let (out, err) = (Captured::default(), Captured::default());
    let output = Output::to(Box::new(out.clone()), Box::new(err.clone()));
    let args: Vec<String> = line
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let result = crate::cli::run("docker", &args, environment, &output);
    output.flush();
    let (status, text) = match result {
        Ok(status) => (status, String::new()),
        Err(failure) => {
            let mut text = failure.text;
            for hint in &failure.hints {
                text.push_fmt(format_args!("\nhint: {hint}"));
            }
            (failure.status, format!("{text}\n"))
        }
    };
    (status, out.text(), err.text() + &text)
}

fn visit(path: &str, group: &'static Group<Run>, all: &mut Vec<(String, Node<Run>)>) {
    for entry in group.entries {
        let path = format!("{path} {}", entry.name);
        all.push((path.clone(), entry.node));
        if let Node::Group(group) = entry.node {
            visit(&path, group, all);
        }
    }
}

fn tree() -> Vec<(String, Node<Run>)> {
    let mut all = Vec::new();
    visit("docker", &ROOT, &mut all);
    all
}

#[test]
fn help_of_every_command() {
    let mut text = String::new();
    for (path, node) in tree() {
        let shown = help("docker", &path, node, HelpStyle::default());
        text.push_fmt(format_args!("$ {path} --help\n{shown}\n"));
    }
    expect_file!["help.golden.txt"].assert_eq(&text);
}

#[test]
fn tables_are_sound() {
    for (path, node) in tree() {
        match node {
            Node::Group(group) => {
                let names: Vec<&str> = group.entries.iter().map(|entry| entry.name).collect();
                assert!(names.is_sorted(), "{path}: {names:?}");
            }
            Node::Leaf(command) => {
                let names: Vec<&str> = command.flags.iter().map(|flag| flag.long).collect();
                assert!(names.is_sorted_by(|a, b| a < b), "{path}: {names:?}");
                let mut letters: Vec<char> =
                    command.flags.iter().filter_map(|flag| flag.short).collect();
                let count = letters.len();
                letters.sort_unstable();
                letters.dedup();
                assert_eq!(letters.len(), count, "{path}");
                // Docker has left it out there.
                let has_options = !command.flags.is_empty();
                let is_shown = command.usage.contains("[OPTIONS]");
                let is_odd = path.contains("build") || path.contains(" trust ");
                assert!(is_shown == has_options || is_odd, "{path}");
            }
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn usage_errors() {
    let usage = |text: &str, usage: &str, path: &str| {
        format!("{text}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information\n")
    };
    let pull = "docker pull [OPTIONS] NAME[:TAG|@DIGEST]";
    let cases = [
        ("pull", 1, usage("docker: 'docker pull' requires 1 argument", pull, "docker pull")),
        ("pull a b", 1, usage("docker: 'docker pull' requires 1 argument", pull, "docker pull")),
        ("pull --nope x", 125, usage("unknown flag: --nope", pull, "docker pull")),
        (
            "image pull -z",
            125,
            usage(
                "unknown shorthand flag: 'z' in -z",
                "docker image pull [OPTIONS] NAME[:TAG|@DIGEST]",
                "docker image pull",
            ),
        ),
        (
            "images a b",
            1,
            "docker: 'docker images' requires at most 1 argument\n\nUsage:  docker images [OPTIONS] \
             [REPOSITORY[:TAG]]\n\nSRun 'docker images --help' for more information\n"
                .to_owned(),
        ),
        (
            "rmi",
            1,
            "docker: 'docker rmi' requires at least 1 argument\n\nUsage:  docker rmi [OPTIONS] IMAGE \
             [IMAGE...]\n\nSee 'docker rmi --help' for more information\n"
                .to_owned(),
        ),
        (
            "commit",
            1,
            usage(
                "docker: 'docker commit' requires at least 1 and at most 2 arguments",
                "docker commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
                "docker commit",
            ),
        ),
        (
            "tag x",
            1,
            usage(
                "docker: 'docker tag' requires 2 arguments",
                "docker tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
                "docker tag",
            ),
        ),
        (
            "version x",
            1,
            usage(
                "docker: 'docker version' accepts no arguments",
                "docker version [OPTIONS]",
                "docker version",
            ),
        ),
        (
            "nonsense",
            1,
            "docker: unknown command: docker nonsense\n\nRun 'docker --help' for more information\n"
                .to_owned(),
        ),
        (
            "container import - x",
            1,
            usage(
                "docker: unknown command: docker container import",
                "docker container",
                "docker container",
            ) + "hint: did you mean `docker import`?\n",
        ),
        (
            "--nope",
            125,
            usage("unknown flag: --nope", "docker [OPTIONS] COMMAND [ARG...]", "docker"),
        ),
        (
            "run -itp 80:80 x",
            125,
            usage(
                "--publish is not supported: ports are not published",
                "docker run [OPTIONS] IMAGE [COMMAND] [ARG...]",
                "docker run",
            ) + "hint: `--network host` shares the network of this machine\n",
        ),
        (
            "run -p8080:80 x",
            125,
            usage(
                "--publish is not supported: ports are not published",
                "docker run [OPTIONS] IMAGE [COMMAND] [ARG...]",
                "docker run",
            ) + "hint: `--network host` shares the network of this machine\n",
        ),
        (
            "run -itdp 80:80 x",
            125,
            usage(
                "--publish is not supported: ports are not published",
                "docker run [OPTIONS] IMAGE [COMMAND] [ARG...]",
                "docker run",
            ) + "hint: `--network host` shares the network of this machine\n",
        ),
        (
            "run -publish 80:80 x",
            125,
            usage(
                "--publish is not supported: ports are not published",
                "docker run [OPTIONS] IMAGE [COMMAND] [ARG...]",
                "docker run",
            ) + "hint: `--network host` shares the network of this machine\n",
        ),
        (
            "container rm --link x",
            125,
            usage(
                "--link is not supported: containers have no links",
                "docker container rm [OPTIONS] CONTAINER [CONTAINER...]",
                "docker container rm",
            ),
        ),
        (
            "exec x ls",
            1,
            "docker: unknown command: docker exec\n\nRun 'docker --help' for more information\n\
             hint: docker has this command, Lapstrake has not: see `docker help coming-from-docker`\n"
                .to_owned(),
        ),
        (
            "run --health-retries -1 x",
            125,
            "docker: --health-retries cannot be negative\n\nRun 'docker run --help' for more \
             information\n"
                .to_owned(),
        ),
        (
            "rmi -force x",
            125,
            usage(
                "unknown shorthand flag: 'o' in -orce",
                "docker rmi [OPTIONS] IMAGE [IMAGE...]",
                "docker rmi",
            ) + "hint: did you mean `--force`?\n",
        ),
        ("--log-level nope images", 1, "Unable to parse logging level: nope\n".to_owned()),
        (
            "help nonsense",
            1,
            "unknown help topic: nonsense\nhint: `docker help` lists commands and topics\n".to_owned(),
        ),
        ("help image nope x", 1, "unknown help topic: nope x\n".to_owned()),
        (
            "help layerz",
            1,
            "unknown help topic: layerz\nhint: did you mean `docker help layers`?\n".to_owned(),
        ),
        (
            "run --pull nope a",
            125,
            "docker: invalid pull option: 'nope': must be one of \"always\", \"missing\" or \
             \"never\"\n\nRun 'docker run --help' for more information\n"
                .to_owned(),
        ),
        (
            "run --env-file /no/such/file a",
            125,
            "docker: open /no/such/file: no such file or directory\n\nRun 'docker run --help' for \
             more information\n"
                .to_owned(),
        ),
        (
            "import /no/such/file x",
            1,
            "open /no/such/file: no such file or directory\n".to_owned(),
        ),
        (
            "login -u a -p b --password-stdin r",
            1,
            "conflicting options: cannot specify both --password and --password-stdin\n".to_owned(),
        ),
        (
            "login --password-stdin r",
            1,
            "the --password-stdin option requires --username to be set\n".to_owned(),
        ),
        (
            "start -a x y",
            1,
            "you cannot start and attach multiple containers at once\n".to_owned(),
        ),
        ("inspect -f {{.Nope x", 64, "template parsing error: template: :1: unclosed action\n".to_owned()),
        (
            "inspect --type foo x",
            1,
            "unknown type: \"foo\": must be one of \"config\", \"container\", \"image\", \"network\", \
             \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"\n"
                .to_owned(),
        ),
    ];
    for (line, status, text) in cases {
        assert_eq!(run(line), (status, String::new(), text), "{line}");
    }
}

#[test]
fn hints_follow_the_text() {
    let (_, _, text) = run("imagess");
    assert!(
        text.ends_with("\nhint: did you mean `docker images`?\n"),
        "{text}"
    );
    let (_, _, text) = run("pull --quite x");
    assert!(
        text.ends_with("\nhint: did you mean `--quiet`?\n"),
        "{text}"
    );
    for (line, hint) in [
        ("rmi -force x", "did you mean `--force`?"),
        ("images --degist", "did you mean `--digests`?"),
    ] {
        let (_, _, text) = run(line);
        assert!(text.ends_with(&format!("\nhint: {hint}\n")), "{text}");
    }
    for line in ["rmi -qqq x", "images --nope"] {
        let (_, _, text) = run(line);
        assert!(!text.contains("hint:"), "{text}");
    }
    let (_, _, text) = run("nope \u{2014}all");
    assert!(
        text.contains("\nhint: the command line holds the typographic character"),
        "{text}"
    );
}

#[test]
fn help_goes_where_docker_puts_it() {
    let (status, out, err) = run("image");
    assert_eq!((status, out.as_str()), (0, ""));
    assert!(err.starts_with("Usage:  docker image COMMAND\n"), "{err}");
    let (status, out, err) = run("image --help");
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.starts_with("Usage:  docker image COMMAND\n"), "{out}");
    let (status, out, err) = run("pull -h");
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(
        out.starts_with("Flag shorthand -h has been deprecated, use --help\nUsage:  docker pull")
    );
    let (status, out, _) = run("help image ls");
    assert_eq!(status, 0);
    assert!(out.starts_with("Usage:  docker image ls"), "{out}");
    let (_, _, err) = run("");
    assert!(
        err.starts_with("Usage:  docker [OPTIONS] COMMAND\n"),
        "{err}"
    );
    let (_, out, _) = run("run --help");
    assert!(
        out.starts_with("Usage:  docker run [OPTIONS] IMAGE"),
        "{out}"
    );
}

#[test]
fn a_closed_pipe_is_remembered() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let output = Output::to(Box::new(Closed), Box::new(io::sink()));
    output.write(Stream::Out, b"x\n");
    output.flush();
    assert!(output.is_closed());
    assert_eq!(
        output.finish().unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[test]
fn statuses_of_containers() {
    use lapstrake_engine::container::{State, Status};
    let now = "2026-01-01T00:10:00Z".parse().unwrap();
    let state = |status| State {
        status,
        exit_code: 3,
        started_at: "2026-01-01T00:09:55Z".to_owned(),
        finished_at: "2026-01-01T00:08:00Z".to_owned(),
        ..State::default()
    };
    let cases = [
        (Status::Running, "Up 5 seconds"),
        (Status::Paused, "Up 5 seconds (Paused)"),
        (Status::Exited, "Exited (3) 2 minutes ago"),
        (Status::Created, "Created"),
        (Status::Dead, "Dead"),
    ];
    for (status, expected) in cases {
        assert_eq!(ps::status(&state(status), now), expected);
    }
}
