//! The corpus of Dockerfiles: `lap build` makes what docker made when it was recorded.
//!
//! `cargo run -p lapstrake-testkit --bin build-compare` compares any two engines that are here, and records.

use std::fmt::Write as _;

use lapstrake_testkit::Cli;
use lapstrake_testkit::builds::{Builder, Case, Dialect, Difference, Session};

fn lap(dialect: Dialect) -> Builder {
    let cli = Box::new(Cli::built());
    Builder::Lap { cli, dialect }
}

/// Builds all cases that have something to be compared with, and fails with all differences at once.
fn compare(builder: &Builder, session: &Session, right: impl Fn(&Case) -> Vec<String>) {
    session.prepare(builder);
    let (mut wrong, mut compared) = (String::new(), 0);
    for case in Session::cases(&[]) {
        let right = right(&case);
        let Some(first) = right.first() else {
            continue;
        };
        compared += 1;
        match session.build(builder, &case) {
            Ok(text) if right.contains(&text) => {}
            Ok(text) => {
                let lines = Difference::between(first, &text).unwrap().lines;
                writeln!(wrong, "=== {}\n{}", case.name, lines.join("\n")).unwrap();
            }
            Err(said) => writeln!(wrong, "=== {} failed\n{said}", case.name).unwrap(),
        }
    }
    println!("{compared} cases compared");
    assert!(wrong.is_empty(), "{wrong}");
}

fn against_records(dialect: Dialect) {
    if std::env::consts::ARCH != "x86_64" {
        println!("skipped: what docker makes was recorded on x86_64");
        return;
    }
    compare(&lap(dialect), &Session::start(), |case| {
        let recorded = case.expected(dialect).into_iter();
        recorded.map(|(_, text)| text).collect()
    });
}

#[test]
fn privileged_builds_are_as_recorded() {
    against_records(Dialect::BuildKit);
}

#[test]
fn privileged_classic_builds_are_as_recorded() {
    against_records(Dialect::Classic);
}
