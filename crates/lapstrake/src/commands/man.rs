//! `man`: the manual pages, for those who have the program alone.

use super::Cmd;
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::{Failure, io_text};
use crate::guide::{page, pages};
use std::path::{Path, PathBuf};

/// The section of commands; its pages lie in a folder of this name.
const SECTION: &str = "man1";

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] [COMMAND...]",
    about: "Write the manual pages",
    long: "Write the manual page of a command to the standard output, or all pages to a folder.",
    aliases: &[],
    flags: &[
        Flag::text(
            "as",
            "Name of the program in the pages; its own name if not given",
        )
        .value_name("name"),
        Flag::text("output", "Folder that gets all pages, in man1 below it")
            .short('o')
            .value_name("directory"),
    ],
    arity: Arity::AtLeast(0),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let program = matches.nonempty("as").unwrap_or(invocation.program);
    if program.contains(['/', ' ']) {
        return Err(Failure::new(format!(
            "invalid name of a program: {program}"
        )));
    }
    let Some(folder) = matches.nonempty("output") else {
        let page = page(program, &matches.args).ok_or_else(|| {
            Failure::new(format!("no manual page for {}", matches.args.join(" ")))
                .with_hint(format!("`{} help` lists the commands", invocation.program))
        })?;
        invocation.output.print(&page.text);
        return Ok(0);
    };
    if !matches.args.is_empty() {
        return Err(Failure::new("--output writes all pages: name no command"));
    }
    let folder = write(Path::new(folder), program)?;
    invocation.output.line(&folder.display().to_string());
    Ok(0)
}

fn write(folder: &Path, program: &str) -> Result<PathBuf, Failure> {
    let folder = if folder.ends_with(SECTION) {
        folder.to_owned()
    } else {
        folder.join(SECTION)
    };
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new(format!("open {}: {}", path.display(), io_text(error)))
    };
    std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    for page in pages(program) {
        let path = folder.join(format!("{}.1", page.name));
        std::fs::write(&path, page.text).map_err(|error| failed(&path, &error))?;
    }
    Ok(folder)
}
