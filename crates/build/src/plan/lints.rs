//! Docker's build checks: those of the text, and those that need what only a plan knows.

use std::collections::BTreeSet;

use lapstrake_dockerfile::lint::{self, Warning};
use lapstrake_dockerfile::{Dockerfile, Span};
use lapstrake_spec::Platform;

use super::scope::Environment;

/// How many findings there are before undefined variables are no longer looked for: each is compared
/// with many names.
const FINDINGS_LIMIT: usize = 1000;

/// Collects what the plan finds. Stages are planned for every platform, but found is found.
#[derive(Debug, Default)]
pub(super) struct Lints {
    known: BTreeSet<Warning>,
    found: Vec<Warning>,
}

impl Lints {
    pub(super) fn report(&mut self, warnings: impl IntoIterator<Item = Warning>) {
        for warning in warnings {
            if self.known.insert(warning.clone()) {
                self.found.push(warning);
            }
        }
    }

    pub(super) fn undefined_variables(
        &mut self,
        undefined: &BTreeSet<String>,
        environment: &Environment,
        span: Span,
    ) {
        if !undefined.is_empty() && self.found.len() < FINDINGS_LIMIT {
            self.report(lint::undefined_variables(
                undefined,
                &environment.names(),
                span,
            ));
        }
    }

    pub(super) fn base_platform(
        &mut self,
        name: &str,
        wanted: &Platform,
        actual: &Platform,
        span: Span,
    ) {
        if wanted.os != actual.os || wanted.architecture != actual.architecture {
            let wanted = wanted.normalized().to_string();
            let actual = actual.normalized().to_string();
            self.report(lint::base_image_platform(name, &wanted, &actual, span));
        }
    }

    /// Everything that is worth a remark, the parser's findings first.
    pub(super) fn all(self, dockerfile: &Dockerfile, needed: &BTreeSet<usize>) -> Vec<Warning> {
        let mut warnings = dockerfile.warnings.clone();
        warnings.extend(lint::check(dockerfile));
        warnings.extend(lint::check_stages(dockerfile, &|index| {
            needed.contains(&index)
        }));
        warnings.extend(lint::filtered(dockerfile, self.found));
        warnings
    }
}
