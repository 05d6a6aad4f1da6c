//! The corpus of Dockerfiles: `lap build` makes what docker made when it was recorded.
//!
//! `cargo run -p lapstrake-testkit --bin build-compare` compares any two engines that are here, and records.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lapstrake_testkit::Cli;
use lapstrake_testkit::builds::{Builder, Case, Dialect, Difference, Session};

fn lap(dialect: Dialect) -> Builder {
    let cli = Box::new(Cli::built());
    Builder::Lap { cli, dialect }
}

/// How many builders there are, each with a store of its own: a build waits more than it works.
const BUILDERS: usize = 4;

/// How many cases have a record at the least.
fn least(dialect: Dialect) -> usize {
    match dialect {
        Dialect::BuildKit => 250,
        Dialect::Classic => 70,
    }
}

/// Builds all cases that have something to be compared with, and fails with all differences at once.
fn compare(dialect: Dialect, session: &Session, right: impl Fn(&Case) -> Vec<String> + Sync) {
    let cases = Mutex::new(Session::cases(&[]).into_iter());
    let (wrong, compared) = (Mutex::new(String::new()), AtomicUsize::new(0));
    let work = || {
        let builder = lap(dialect);
        session.prepare(&builder);
        loop {
            let Some(case) = cases.lock().unwrap().next() else {
                break;
            };
            let right = right(&case);
            if let Some(first) = right.first() {
                compared.fetch_add(1, Ordering::Relaxed);
                let found = difference(&builder, session, &case, (first, &right));
                wrong.lock().unwrap().push_str(&found);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..BUILDERS {
            scope.spawn(work);
        }
    });
    let compared = compared.into_inner();
    println!("{compared} cases compared");
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong}");
    let least = least(dialect);
    assert!(compared >= least, "{compared} cases compared, not {least}");
}

/// Builds a case; what is wrong with it, or nothing.
fn difference(
    builder: &Builder,
    session: &Session,
    case: &Case,
    (first, right): (&str, &[String]),
) -> String {
    match session.build(builder, case) {
        Ok(text) if right.contains(&text) => String::new(),
        Ok(text) => {
            let lines = Difference::between(first, &text).unwrap().lines;
            format!("=== {}\n{}\n", case.name, lines.join("\n"))
        }
        Err(said) => format!("=== {} failed\n{said}\n", case.name),
    }
}

fn against_records(dialect: Dialect) {
    if std::env::consts::ARCH != "x86_64" {
        println!("skipped: what docker makes was recorded on x86_64");
        return;
    }
    compare(dialect, &Session::start(), |case| {
        let recorded = case.expected(dialect).into_iter();
        recorded.map(|(_, text)| text).collect()
    });
}

#[test]
fn every_case_has_a_record() {
    let cases = Session::cases(&[]);
    let dialects = [Dialect::BuildKit, Dialect::Classic];
    let has = |case: &Case, dialect| !case.expected(dialect).is_empty();
    for case in &cases {
        assert!(
            dialects.iter().any(|&dialect| has(case, dialect)),
            "{}",
            case.name
        );
    }
    for dialect in dialects {
        let count = cases.iter().filter(|case| has(case, dialect)).count();
        assert!(count >= least(dialect), "{count} {dialect:?}");
    }
}

#[test]
fn privileged_builds_are_as_recorded() {
    against_records(Dialect::BuildKit);
}

#[test]
fn privileged_classic_builds_are_as_recorded() {
    against_records(Dialect::Classic);
}
