//! How a build is shown: which flag, variable or terminal decides.

use crate::args::{Matches, parse_bool};
use crate::failure::Failure;
use crate::ui::build::Style;

/// Whose words a build speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// docker's classic builder.
    Classic,
    /// BuildKit, in this form.
    Modern(Style),
}

/// What the environment says about builds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Surroundings<'a> {
    /// `BUILDKIT_PROGRESS`.
    pub(super) progress: Option<&'a str>,
    /// `DOCKER_BUILDKIT`.
    pub(super) buildkit: Option<&'a str>,
    /// Whether the progress goes to a terminal.
    pub(super) is_terminal: bool,
}

/// Decides. A mode that is named wins over `DOCKER_BUILDKIT=0`.
pub(super) fn face(matches: &Matches, around: Surroundings<'_>) -> Result<Face, Failure> {
    let named = |word: Option<&str>| {
        word.filter(|word| !word.is_empty() && *word != "auto")
            .map(str::to_owned)
    };
    let flag = named(matches.text("progress"));
    let quiet = matches.is("quiet");
    if quiet
        && let Some(word) = flag
            .as_deref()
            .filter(|word| !matches!(*word, "quiet" | "classic"))
    {
        return Err(Failure::new(format!(
            "progress={word} and quiet cannot be used together"
        )));
    }
    if flag.is_none() && is_classic(around.buildkit)? {
        return Ok(Face::Classic);
    }
    let word = flag.or_else(|| named(around.progress));
    let style = match word.as_deref() {
        Some("classic") => return Ok(Face::Classic),
        _ if quiet => Style::Quiet,
        None if around.is_terminal => Style::Terminal,
        None | Some("plain") => Style::Plain,
        Some("tty") if around.is_terminal => Style::Terminal,
        Some("tty") => {
            return Err(Failure::new(
                "failed to get console: provided file is not a console",
            ));
        }
        Some("rawjson") => Style::Json,
        Some("quiet") => Style::Quiet,
        Some("none") => Style::Silent,
        Some(other) => return Err(Failure::new(format!("invalid progress mode {other}"))),
    };
    Ok(Face::Modern(style))
}

fn is_classic(buildkit: Option<&str>) -> Result<bool, Failure> {
    let Some(text) = buildkit.filter(|text| !text.is_empty()) else {
        return Ok(false);
    };
    let wanted = parse_bool(text).map_err(|error| {
        Failure::new(format!(
            "DOCKER_BUILDKIT environment variable expects boolean value: {error}"
        ))
    })?;
    Ok(!wanted)
}
