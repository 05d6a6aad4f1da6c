//! `import`: a file system archive becomes an image.

use super::{Cmd, block_on, platform};
use crate::args::{Arity, Flag};
use crate::cli::{Invocation, now};
use crate::failure::{Failure, io_text};
use crate::ui::output::Stream;
use crate::ui::progress::Progress;
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
    let typed = matches.required(0);
    let request = |source| -> Result<_, Failure> {
        Ok(ImportRequest {
            source,
            reference: matches
                .arg(1)
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            changes: matches.list("change"),
            message: matches.owned("message").unwrap_or_default(),
            platform: platform(matches)?,
        })
    };
    let id = if typed.starts_with("http://") || typed.starts_with("https://") {
        let progress = Progress::new(invocation.output, Stream::Out, false, now);
        let request = request(stream(std::io::empty()))?;
        block_on(ops::import_url(
            invocation.engine,
            typed,
            request,
            &progress,
        ))?
    } else {
        ops::import(invocation.engine, request(source(typed)?)?)?
    };
    invocation.output.line(id.as_ref());
    Ok(0)
}

fn source(typed: &str) -> Result<ImportSource, Failure> {
    if typed == "-" {
        return Ok(stream(std::io::stdin()));
    }
    let file = File::open(typed)
        .map_err(|error| Failure::new(format!("open {typed}: {}", io_text(&error))))?;
    Ok(stream(file))
}

/// A file's history says `-` for its name, as docker's does.
fn stream(reader: impl Read + Send + 'static) -> ImportSource {
    ImportSource::Stream {
        reader: Box::new(reader),
        name: "-".to_owned(),
    }
}
