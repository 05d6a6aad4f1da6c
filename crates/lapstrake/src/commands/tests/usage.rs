//! Every kind of wrong command line, compared with a record of what docker's client 28 says to it.
//!
//! The record is `testing/it/docker-cli/usage-28.txt`; its README says how it is made.

use super::run_in;
use crate::ui::text::PushFormat;
use lapstrake_testkit::Directory;

/// Lines that are answered otherwise, on purpose, and why; a star stands for the rest of the line.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "build a",
        "the record is of the legacy builder, this is `buildx build`",
    ),
    ("build --memory=9*", "the same"),
    ("build --memory-swap=9*", "the same"),
    ("build --shm-size=9*", "the same"),
    ("image build a", "the same"),
    ("builder build a", "the same"),
    ("run --mount type=x y", "the type is looked at first"),
    ("rm --link*", "there are no links"),
    ("rm -l*", "the same"),
    ("start --checkpoint*", "there are no checkpoints"),
    (
        "run --network= a",
        "docker asks the daemon for the network's name",
    ),
    ("create --network= a", "the same"),
    ("run --dns x y", "the address is checked later"),
    (
        "run --device x:y:z:w i",
        "docker asks for the daemon's system",
    ),
    ("run -p*", "ports are not published yet"),
    ("create -p*", "the same"),
    ("run -P*", "the same"),
    ("create -P*", "the same"),
];

/// Flags of `run` and `create` that are unknown here.
const UNKNOWN_OF_RUN: &str = "\
    annotation blkio-weight-device cpu-count cpu-percent cpu-rt-period cpu-rt-runtime \
    device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops gpus \
    \
    io-maxbandwidth io-maxiops ip ip6 isolation kernel-memory link link-local-ip log-opt mac-address \
    memory-swappiness network-alias publish publish-all storage-opt use-api-socket volume-driver volumes-from";

struct Case<'a> {
    line: &'a str,
    stdout: String,
    stderr: String,
    status: u8,
}

/// Reads the record: `$ docker LINE`, then `1 ` and `2 ` before each line of the two streams, then `= STATUS`.
fn cases(record: &str) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for block in record.split("\n$ docker").skip(1) {
        let (line, answer) = block.split_once('\n').unwrap();
        let mut case = Case {
            line: line.trim_start(),
            stdout: String::new(),
            stderr: String::new(),
            status: 0,
        };
        for text in answer.lines() {
            match text.split_at(2) {
                ("1 ", text) => case.stdout.push_fmt(format_args!("{text}\n")),
                ("2 ", text) => case.stderr.push_fmt(format_args!("{text}\n")),
                ("= ", status) => case.status = status.parse().unwrap(),
                _ => panic!("{block}"),
            }
        }
        cases.push(case);
    }
    cases
}

/// Whether a line is about a flag of `run` that is unknown here.
fn is_unknown_of_run(line: &str) -> bool {
    let rest = line
        .strip_prefix("run --")
        .or_else(|| line.strip_prefix("create --"));
    let flag = rest.and_then(|rest| rest.split([' ', '=']).next());
    flag.is_some_and(|flag| UNKNOWN_OF_RUN.split(' ').any(|known| known == flag))
}

fn is_among(line: &str, lines: &str) -> bool {
    match lines.strip_suffix('*') {
        Some(start) => line.starts_with(start),
        None => line == lines,
    }
}

/// Hints are ours.
fn without_hints(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("hint: "));
    let mut kept = String::new();
    for line in lines {
        kept.push_fmt(format_args!("{line}\n"));
    }
    kept
}

#[test]
fn wrong_command_lines_are_answered_as_docker_does() {
    let record = include_str!("../../../../../testing/it/docker-cli/usage-28.txt");
    let cases = cases(record);
    assert!(cases.len() > 1_500, "{} lines", cases.len());
    let folder = Directory::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let (status, stdout, stderr) = run_in(folder.path(), case.line);
        let stderr = without_hints(&stderr);
        let same = (status, &stdout, &stderr) == (case.status, &case.stdout, &case.stderr);
        let is_exception = is_unknown_of_run(case.line)
            || DIFFERENT
                .iter()
                .any(|(lines, _)| is_among(case.line, lines));
        if same == is_exception {
            wrong.push(format!(
                "$ docker {}\n--- docker ({})\n{}{}--- lap ({status})\n{stdout}{stderr}",
                case.line, case.status, case.stdout, case.stderr
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} lines differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
