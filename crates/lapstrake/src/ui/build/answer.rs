//! Answers about a Dockerfile: `--check`, `--call=outline`, `--call=targets`.

use super::warnings;
use crate::ui::table::align_with;
use lapstrake_engine::ops::{Answer, BuildResult, Call};

/// The text of an answer.
pub(crate) fn answer(answer: &Answer, result: &BuildResult) -> String {
    match answer.call {
        Call::Build => String::new(),
        Call::Check => warnings::check(&result.warnings),
        Call::Outline => outline(answer),
        Call::Targets => targets(answer),
    }
}

fn outline(answer: &Answer) -> String {
    let rows: Vec<String> = answer
        .arguments
        .iter()
        .map(|(name, value, text)| {
            format!("{name}\t{}\t{text}", value.as_deref().unwrap_or_default())
        })
        .collect();
    table("BUILD ARG\tVALUE\tDESCRIPTION", &rows)
}

/// The target that is built without `--target` is marked, and needs no name.
fn targets(answer: &Answer) -> String {
    let rows: Vec<String> = answer
        .targets
        .iter()
        .map(|(name, is_default, text)| {
            let label = match (name.as_str(), is_default) {
                ("", _) => "(default)".to_owned(),
                (name, true) => format!("{name} (default)"),
                (name, false) => name.to_owned(),
            };
            format!("{label}\t{text}")
        })
        .collect();
    table("TARGET\tDESCRIPTION", &rows)
}

fn table(titles: &str, rows: &[String]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    align_with(&format!("{titles}\n{}\n", rows.join("\n")), 1, 1)
}
