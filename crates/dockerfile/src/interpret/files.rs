//! `ADD` and `COPY`.

use std::collections::BTreeMap;

use crate::Point;
use crate::instruction::{Add, Copy, InlineFile, Source};
use crate::parse::{Heredoc, Node, SOURCE_LIMIT, heredoc_word};

use super::flags::Flags;
use super::{Fault, fault};

pub(super) fn add(node: &Node) -> Result<Add, Fault> {
    at_least_two(node, "ADD")?;
    let mut flags = Flags::new(node);
    flags.text("chown");
    flags.text("chmod");
    flags.switch("link");
    flags.switch("keep-git-dir");
    flags.text("checksum");
    flags.switch("unpack");
    flags.texts("exclude");
    flags.parse()?;
    let (sources, destination) = sources(node, "ADD")?;
    Ok(Add {
        sources,
        destination,
        chown: flags.take_text("chown"),
        chmod: flags.take_text("chmod"),
        checksum: flags.take_text("checksum"),
        link: flags.take_switch("link").unwrap_or_default(),
        keep_git_dir: flags.take_switch("keep-git-dir"),
        unpack: flags.take_switch("unpack"),
        exclude: flags.take_texts("exclude"),
    })
}

pub(super) fn copy(node: &Node) -> Result<Copy, Fault> {
    at_least_two(node, "COPY")?;
    let mut flags = Flags::new(node);
    flags.text("chown");
    flags.text("from");
    flags.text("chmod");
    flags.switch("link");
    flags.texts("exclude");
    flags.switch("parents");
    flags.parse()?;
    let (sources, destination) = sources(node, "COPY")?;
    Ok(Copy {
        from: flags.take_text("from"),
        sources,
        destination,
        chown: flags.take_text("chown"),
        chmod: flags.take_text("chmod"),
        link: flags.take_switch("link").unwrap_or_default(),
        parents: flags.take_switch("parents").unwrap_or_default(),
        exclude: flags.take_texts("exclude"),
    })
}

fn at_least_two(node: &Node, name: &str) -> Result<(), Fault> {
    if node.arguments.len() < 2 {
        return Err(fault(format!(
            "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        )));
    }
    Ok(())
}

/// Paths first, then here-documents: docker copies in this order.
fn sources(node: &Node, name: &str) -> Result<(Vec<Source>, String), Fault> {
    let Some((destination, arguments)) = node.arguments.split_last() else {
        return Ok((Vec::new(), String::new()));
    };
    // A word that cannot be read as a here-document is a path.
    let heredoc = |word: &str| heredoc_word(word).ok().flatten();
    if heredoc(destination).is_some() {
        return Err(
            fault(format!("{name} cannot accept a heredoc as a destination"))
                .about(Point::LastWord(destination.clone())),
        );
    }
    let contents: BTreeMap<&str, &Heredoc> = node
        .heredocs
        .iter()
        .map(|document| (document.name.as_str(), document))
        .collect();
    let mut paths = Vec::new();
    let mut files = Vec::new();
    let mut bytes = 0_usize;
    for argument in arguments {
        let Some(word) = heredoc(argument) else {
            paths.push(Source::Path(argument.clone()));
            continue;
        };
        let document = contents.get(word.name.as_str()).copied();
        let content = document.map_or_else(String::new, |document| {
            if word.chomp {
                document.chomped()
            } else {
                document.content.clone()
            }
        });
        // A name may stand many times in a line, and each time means the last content.
        bytes = bytes.saturating_add(content.len());
        if bytes > SOURCE_LIMIT {
            return Err(fault(format!(
                "{name} heredocs greater than max allowed size of {SOURCE_LIMIT}"
            )));
        }
        files.push(Source::Heredoc(InlineFile {
            name: word.name,
            content,
            expand: word.expand,
        }));
    }
    paths.append(&mut files);
    Ok((paths, destination.clone()))
}
