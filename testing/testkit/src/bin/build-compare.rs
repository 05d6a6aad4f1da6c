//! Builds the corpus of Dockerfiles with two engines and compares what they made.
//!
//! ```text
//! build-compare ONE OTHER [CASE…]      compares two engines
//! build-compare --record ENGINE [CASE…]   writes what docker made into the corpus
//! build-compare --show ENGINE CASE     prints what an engine makes
//! ```
//!
//! An engine is `docker:SOCKET` (BuildKit), `classic:SOCKET`, `lap`, `lap-classic` (`lap:PROGRAM` for
//! another than the one in the target folder), or `expected`, `expected-classic` for what was recorded.
//! `DOCKER` names another docker client than the first in the path, `FRONTEND` an image of BuildKit's frontend with
//! the labs channel, which docker has (`cmd/dockerfile-frontend` of BuildKit with the tags of `release/labs`).
//!
//! Docker forgets its build cache before each case: it should be a daemon of its own, and one that allows
//! `network-host` and `security-insecure`. It is seen with `--network=none` unless a case says otherwise, and its
//! registry is on the loopback here: run both in one network namespace.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks, and fails on the spot"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use lapstrake_testkit::Cli;
use lapstrake_testkit::builds::{Builder, Case, Dialect, Difference, Session};

/// Where results come from.
enum Side {
    Builder(Builder),
    Expected(Dialect),
}

impl Side {
    fn parse(word: &str) -> Self {
        let (kind, rest) = word.split_once(':').unwrap_or((word, ""));
        let dialect = match kind {
            "classic" | "lap-classic" | "expected-classic" => Dialect::Classic,
            _ => Dialect::BuildKit,
        };
        match kind {
            "docker" | "classic" => {
                let client = std::env::var_os("DOCKER").unwrap_or_else(|| "docker".into());
                let host = format!("unix://{rest}");
                Self::Builder(Builder::Docker {
                    client: client.into(),
                    host,
                    dialect,
                })
            }
            "lap" | "lap-classic" => {
                let beside = || std::env::current_exe().unwrap().with_file_name("lap");
                let program = if rest.is_empty() {
                    beside()
                } else {
                    PathBuf::from(rest)
                };
                Self::Builder(Builder::Lap {
                    cli: Box::new(Cli::of(program)),
                    dialect,
                })
            }
            "expected" | "expected-classic" => Self::Expected(dialect),
            other => panic!("{other} is no engine"),
        }
    }

    fn can(&self, case: &Case) -> bool {
        match self {
            Self::Builder(builder) => Session::can(builder, case),
            Self::Expected(dialect) => !case.expected(*dialect).is_empty(),
        }
    }

    /// All that counts as right, or what was said.
    fn results(&self, session: &Session, case: &Case) -> Result<Vec<String>, String> {
        match self {
            Self::Builder(builder) => session.build(builder, case).map(|text| vec![text]),
            Self::Expected(dialect) => Ok(case
                .expected(*dialect)
                .into_iter()
                .map(|(_, text)| text)
                .collect()),
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (option, words) = match words.split_first() {
        Some((first, rest)) if first.starts_with("--") => (Some(first.as_str()), rest),
        _ => (None, words.as_slice()),
    };
    let engines = if option.is_some() { 1 } else { 2 };
    if words.len() < engines {
        eprintln!(
            "build-compare [--record | --show] ENGINE [CASE…], build-compare ENGINE ENGINE [CASE…]"
        );
        return ExitCode::from(2);
    }
    let (engines, prefixes) = words.split_at(engines);
    let sides: Vec<Side> = engines.iter().map(|word| Side::parse(word)).collect();
    let session = Session::start();
    for side in &sides {
        if let Side::Builder(builder) = side {
            println!("# {}", builder.version());
            session.prepare(builder);
        }
    }
    let cases = Session::cases(prefixes);
    let mut tally = Tally::default();
    for case in &cases {
        match option {
            None => tally.compare(&session, &sides, case),
            Some(option) => tally.make(&session, &sides[0], case, option == "--record"),
        }
    }
    let Tally {
        same,
        different,
        failed,
        skipped,
    } = tally;
    println!(
        "{same} good, {different} different, {failed} failed, {skipped} skipped, of {} cases",
        cases.len()
    );
    if different + failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Default)]
struct Tally {
    same: u32,
    different: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    fn make(&mut self, session: &Session, side: &Side, case: &Case, is_record: bool) {
        if !side.can(case) {
            self.skipped += 1;
            return;
        }
        match (side.results(session, case), side) {
            (Err(said), _) => {
                println!("=== {} failed\n{said}", case.name);
                self.failed += 1;
            }
            (Ok(texts), Side::Builder(builder)) if is_record => {
                case.record(builder, &texts[0]);
                self.same += 1;
            }
            (Ok(texts), _) => {
                println!("=== {}\n{}", case.name, texts.join("---\n"));
                self.same += 1;
            }
        }
    }

    fn compare(&mut self, session: &Session, sides: &[Side], case: &Case) {
        if !sides.iter().all(|side| side.can(case)) {
            self.skipped += 1;
            return;
        }
        let mut found = Vec::new();
        for side in sides {
            match side.results(session, case) {
                Ok(texts) => found.push(texts),
                Err(said) => {
                    println!("=== {} failed\n{said}", case.name);
                    self.failed += 1;
                    return;
                }
            }
        }
        if found[0].iter().any(|text| found[1].contains(text)) {
            self.same += 1;
            return;
        }
        self.different += 1;
        let difference = Difference::between(&found[0][0], &found[1][0]);
        let lines = difference
            .map(|difference| difference.lines)
            .unwrap_or_default();
        println!("=== {} differs\n{}", case.name, lines.join("\n"));
    }
}
