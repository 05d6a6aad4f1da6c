//! `images --tree`: images below the layers that they share.

use crate::args::Matches;
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::table;
use crate::ui::text::{PushFormat, ellipsis, short_id};
use crate::ui::units::{signed, size};
use lapstrake_engine::ops::ImageSummary;
use lapstrake_engine::ops::{self, ListImages, SharedSizes, TreeItem, TreeRow};
use lapstrake_engine::spec::Reference;

/// The columns of what made a layer.
const CREATED_BY_COLUMNS: usize = 45;
/// Levels that are drawn; what is deeper is drawn at the last one.
const LEVELS_LIMIT: usize = 40;

/// Prints the tree of the images that the request chooses.
pub(super) fn run(invocation: &Invocation<'_>, request: &ListImages) -> Result<u8, Failure> {
    let matches = invocation.matches;
    refuse(matches)?;
    let rows = ops::image_tree(invocation.engine, request)?;
    let whole = matches.is("no-trunc");
    let mut text = "LAYER / IMAGE\tSIZE\tUNIQUE\tIMAGES\tCREATED BY\n".to_owned();
    for row in &rows {
        text.push_str(&line(row, whole));
    }
    invocation.output.print(&table::align(&text));
    Ok(0)
}

fn refuse(matches: &Matches) -> Result<(), Failure> {
    for name in ["quiet", "digests", "format"] {
        if matches.is(name) || matches.nonempty(name).is_some() {
            // Docker names this one flag otherwise.
            let shown = if name == "digests" {
                "show-digest"
            } else {
                name
            };
            return Err(Failure::new(format!(
                "--{shown} is not yet supported with --tree"
            )));
        }
    }
    Ok(())
}

fn line(row: &TreeRow, whole: bool) -> String {
    let branch = branch(row);
    match &row.item {
        TreeItem::Layer {
            diff_id,
            size: bytes,
            images,
            created_by,
        } => {
            let id = diff_id.to_string();
            let id = if whole { &id } else { short_id(&id) };
            let words = words(created_by, whole);
            let bytes = size(signed(*bytes));
            format!("{branch}{id}\t{bytes}\t\t{images}\t{words}\n")
        }
        TreeItem::Image { image, sizes } => image_line(&branch, image, *sizes, whole),
    }
}

fn image_line(branch: &str, image: &ImageSummary, sizes: SharedSizes, whole: bool) -> String {
    let id = image.id.to_string();
    let id = if whole { &id } else { short_id(&id) };
    let names: Vec<String> = image.tags.iter().map(Reference::familiar).collect();
    let names = if names.is_empty() {
        "<none>".to_owned()
    } else {
        names.join(", ")
    };
    let (all, unique) = (size(signed(image.size)), size(signed(sizes.unique)));
    format!("{branch}{names} ({id})\t{all}\t{unique}\t\t\n")
}

/// The lines before a row: one that goes on with the layers of the row before has no branch of its own.
fn branch(row: &TreeRow) -> String {
    let skipped = row.follows.len().saturating_sub(LEVELS_LIMIT);
    let follows = row.follows.get(skipped..).unwrap_or_default();
    let mut out = String::new();
    for (level, follows_here) in follows.iter().enumerate() {
        let is_own = level + 1 == follows.len() && !row.continues;
        out.push_fmt(format_args!(
            "{} ",
            match (is_own, follows_here) {
                (true, true) => "├─",
                (true, false) => "└─",
                (false, true) => "│ ",
                (false, false) => "  ",
            }
        ));
    }
    out
}

/// What made a layer, on one line.
fn words(created_by: &str, whole: bool) -> String {
    let line = created_by.replace(|c: char| c.is_control(), " ");
    if whole {
        line
    } else {
        ellipsis(&line, CREATED_BY_COLUMNS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches() {
        let row = |follows: &[bool], continues| TreeRow {
            follows: follows.to_vec(),
            continues,
            item: TreeItem::Layer {
                diff_id: lapstrake_engine::spec::Digest::sha256(b""),
                size: 0,
                images: 1,
                created_by: String::new(),
            },
        };
        for (follows, continues, expected) in [
            (&[][..], false, ""),
            (&[], true, ""),
            (&[true], false, "├─ "),
            (&[false], false, "└─ "),
            (&[true], true, "│  "),
            (&[false], true, "   "),
            (&[true, false], false, "│  └─ "),
            (&[false, true], true, "   │  "),
        ] {
            assert_eq!(branch(&row(follows, continues)), expected, "{follows:?}");
        }
        assert_eq!(branch(&row(&[true; 500], false)).chars().count(), 120);
    }
}
