//! `import`: a file system archive becomes an image.

use super::{Cmd, platform};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::{Failure, io_text};
use lapstrake_engine::ops::{self, ImportRequest, ImportSource};
use std::fs::File;
use std::io::Read;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    about: "Import the contents from a tarball to create a filesystem image",
    long: "",
    aliases: &["image import", "import"],
    flags: &[
        Flag::list(
            "change",
            "Apply Dockerfile instruction to the created image",
        )
        .short('c'),
        Flag::text("message", "Set commit message for imported image").short('m'),
        Flag::text(
            "platform",
            "Set platform if server is multi-platform capable",
        ),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let request = ImportRequest {
        source: source(matches.required(0), invocation.program)?,
        reference: matches
            .arg(1)
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        changes: matches.list("change"),
        message: matches.owned("message").unwrap_or_default(),
        platform: platform(matches)?,
    };
    let id = ops::import(invocation.engine, request)?;
    invocation.output.line(id.as_ref());
    Ok(0)
}

/// A file's history says `-` for its name, as docker's does.
fn source(typed: &str, program: &str) -> Result<ImportSource, Failure> {
    if typed.starts_with("http://") || typed.starts_with("https://") {
        return Err(Failure::new(format!(
            "cannot import from {typed}: addresses are not supported"
        ))
        .with_hint(format!(
            "fetch it first: `curl -fL {typed} | {program} import -`"
        )));
    }
    let reader: Box<dyn Read + Send> = if typed == "-" {
        Box::new(std::io::stdin())
    } else {
        let file = File::open(typed)
            .map_err(|error| Failure::new(format!("open {typed}: {}", io_text(&error))))?;
        Box::new(file)
    };
    Ok(ImportSource::Stream {
        reader,
        name: "-".to_owned(),
    })
}
