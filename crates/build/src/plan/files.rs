//! COPY and ADD.

use lapstrake_dockerfile::instruction::{Add, Copy as CopyInstruction, Source};
use lapstrake_dockerfile::{Instruction, Span, lint};
use lapstrake_spec::Digest;

use super::assemble::{Assembly, Current, NewNode};
use super::dispatch::join;
use super::history::Entry;
use super::stages::{Base, Planned};
use super::{Dialect, PlanErrorKind};
use crate::graph::{
    Copy, CopyKind, CopySource, Git, Http, InlineFile, NodeId, Operation, SOURCE_MARK, Tree,
};

const INLINE_MODE: u32 = 0o644;
const CHMOD_LIMIT: u32 = 0o7777;
/// What a file is called whose address has no name in its path.
const UNNAMED: &str = "__unnamed__";

/// A COPY or ADD whose variables are replaced.
pub(super) struct Files<'x, 'a> {
    pub(super) planned: &'x Planned<'a>,
    pub(super) instruction: &'x Instruction,
    pub(super) arguments: Vec<(String, String)>,
    pub(super) trigger: bool,
}

impl<'a> Assembly<'a, '_> {
    pub(super) fn files(
        &mut self,
        current: &mut Current<'_, 'a>,
        files: Files<'_, 'a>,
    ) -> Result<NodeId, PlanErrorKind> {
        let (copy, inputs) = match files.instruction {
            Instruction::Add(add) => (add_files(current, add)?, Vec::new()),
            Instruction::Copy(copy) => {
                let from = copy.from.as_deref();
                let from = from.map(|from| self.tree(current, files.planned, from));
                let (tree, inputs) = from.transpose()?.unwrap_or((Tree::Context, Vec::new()));
                (copy_files(current, copy, tree)?, inputs)
            }
            _ => return Err(PlanErrorKind::Instruction("not a copy".to_owned())),
        };
        self.hidden_sources(&copy, files.planned.command.span);
        let text = entry(current.state.dialect, &copy, written(files.instruction));
        let new = NewNode {
            operation: Operation::Copy(Box::new(copy)),
            inputs,
            text: None,
            arguments: files.arguments,
        };
        let command = files.planned.command.as_ref();
        let node = self.push_node(current, command, files.trigger, new)?;
        current.state.commit(&Entry::Files(text));
        Ok(node)
    }

    /// Sources that .dockerignore hides.
    fn hidden_sources(&mut self, copy: &Copy, span: Span) {
        let Some(matcher) = &self.context.input.options.ignore else {
            return;
        };
        if copy.from != Tree::Context {
            return;
        }
        let is_add = copy.kind == CopyKind::Add;
        for source in &copy.sources {
            if let CopySource::Path(path) = source {
                let found = lint::copy_ignored(matcher, path, is_add, span);
                self.shared.lints.report(found);
            }
        }
    }

    /// What `--from` of COPY means.
    fn tree(
        &mut self,
        current: &Current<'_, 'a>,
        planned: &Planned<'a>,
        from: &str,
    ) -> Result<(Tree, Vec<NodeId>), PlanErrorKind> {
        self.tree_of(current, planned.source(from)?)
            .ok_or_else(|| PlanErrorKind::CopyFromLater {
                from: from.to_owned(),
                stage: current.draft.label.clone(),
            })
    }

    /// The files of a base; nothing for a stage that comes later.
    pub(super) fn tree_of(
        &mut self,
        current: &Current<'_, 'a>,
        base: &Base,
    ) -> Option<(Tree, Vec<NodeId>)> {
        match base {
            Base::Stage(stage) if *stage >= current.index => None,
            Base::Tree(name) => Some((Tree::Named(name.clone()), Vec::new())),
            base => {
                let node = self.base(base, None);
                Some((Tree::Node(node), vec![node]))
            }
        }
    }
}

fn copy_files(
    current: &Current<'_, '_>,
    copy: &CopyInstruction,
    from: Tree,
) -> Result<Copy, PlanErrorKind> {
    let refused = |path: &str, what| PlanErrorKind::CopySource {
        path: path.to_owned(),
        what,
    };
    let mut sources = Vec::with_capacity(copy.sources.len());
    for source in &copy.sources {
        sources.push(match source {
            Source::Heredoc(file) => inline(&file.name, &file.content),
            Source::Path(path) if is_git(path) => return Err(refused(path, "git ref")),
            Source::Path(path) if is_http(path) => return Err(refused(path, "URL")),
            Source::Path(path) => CopySource::Path(path.clone()),
        });
    }
    Ok(Copy {
        kind: CopyKind::Copy,
        from,
        sources,
        destination: destination(&current.state.run.working_dir, &copy.destination),
        chown: present(copy.chown.as_deref()),
        chmod: mode(copy.chmod.as_deref())?,
        link: copy.link,
        parents: copy.parents,
        excludes: copy.exclude.clone(),
        unpack: None,
    })
}

fn add_files(current: &Current<'_, '_>, add: &Add) -> Result<Copy, PlanErrorKind> {
    let checksum = add.checksum.as_deref().filter(|text| !text.is_empty());
    if checksum.is_some() {
        match add.sources.as_slice() {
            [Source::Path(path)] if is_git(path) || is_http(path) => {}
            [_] => return Err(PlanErrorKind::ChecksumSource),
            _ => return Err(PlanErrorKind::ChecksumCount),
        }
    }
    let mut sources = Vec::with_capacity(add.sources.len());
    for source in &add.sources {
        sources.push(match source {
            Source::Heredoc(file) => inline(&file.name, &file.content),
            Source::Path(path) if is_git(path) => CopySource::Git(Git {
                url: path.clone(),
                keep_git_dir: add.keep_git_dir.unwrap_or_default(),
                checksum: checksum.map(str::to_owned),
            }),
            Source::Path(path) if is_http(path) => {
                if let Some(Err(error)) = checksum.map(Digest::parse) {
                    return Err(PlanErrorKind::Checksum(error.to_string()));
                }
                CopySource::Http(Http {
                    url: path.clone(),
                    file_name: file_name(path),
                    checksum: checksum.map(str::to_owned),
                })
            }
            Source::Path(path) => CopySource::Path(path.clone()),
        });
    }
    Ok(Copy {
        kind: CopyKind::Add,
        from: Tree::Context,
        sources,
        destination: destination(&current.state.run.working_dir, &add.destination),
        chown: present(add.chown.as_deref()),
        chmod: mode(add.chmod.as_deref())?,
        link: add.link,
        parents: false,
        excludes: add.exclude.clone(),
        unpack: add.unpack,
    })
}

fn inline(name: &str, content: &str) -> CopySource {
    CopySource::Inline(InlineFile {
        path: name.to_owned(),
        content: content.to_owned(),
        mode: INLINE_MODE,
    })
}

fn present(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The destination as the instruction has it.
fn written(instruction: &Instruction) -> &str {
    match instruction {
        Instruction::Add(add) => &add.destination,
        Instruction::Copy(copy) => &copy.destination,
        _ => "",
    }
}

/// The history's text. BuildKit writes three of the flags, then paths and addresses, then the names of
/// heredocs; classic writes the owner, and nothing between it and the hash of the files.
fn entry(dialect: Dialect, copy: &Copy, destination: &str) -> String {
    let name = match copy.kind {
        CopyKind::Copy => "COPY",
        CopyKind::Add => "ADD",
    };
    if dialect == Dialect::Classic {
        let owner = copy.chown.as_ref().map(|owner| format!("--chown={owner}"));
        let owner = owner.unwrap_or_default();
        return format!("{name} {owner}{SOURCE_MARK} in {destination} ");
    }
    let mut words = vec![name.to_owned()];
    if copy.parents {
        words.push("--parents".to_owned());
    }
    let flags = [("--chown", &copy.chown), ("--chmod", &copy.chmod)];
    let flags = flags.into_iter().filter_map(|(flag, value)| {
        let value = value.as_ref()?;
        Some(format!("{flag}={value}"))
    });
    words.extend(flags);
    let mut heredocs = Vec::new();
    for source in &copy.sources {
        match source {
            CopySource::Path(path) => words.push(path.clone()),
            CopySource::Http(http) => words.push(http.url.clone()),
            CopySource::Git(git) => words.push(git.url.clone()),
            CopySource::Inline(file) => heredocs.push(format!("<<{}", file.path)),
        }
    }
    words.append(&mut heredocs);
    words.push(destination.to_owned());
    words.join(" ")
}

/// Absolute, clean, with a slash at its end when it says that it is a directory.
fn destination(directory: &str, path: &str) -> String {
    let mut whole = join(directory, path);
    let last = path.rsplit('/').next().unwrap_or_default();
    if matches!(last, "" | "." | "..") && whole != "/" {
        whole.push('/');
    }
    whole
}

fn mode(text: Option<&str>) -> Result<Option<String>, PlanErrorKind> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let is_octal = u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= CHMOD_LIMIT);
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    let octal = is_octal && !text.starts_with('+');
    if octal || (!is_number && text.split(',').all(is_symbolic)) {
        return Ok(Some(text.to_owned()));
    }
    Err(PlanErrorKind::Chmod(text.to_owned()))
}

/// One clause of chmod(1): `u+rwX`, `go=`.
fn is_symbolic(clause: &str) -> bool {
    let rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    let mut actions = rest.split_inclusive(['+', '-', '=']);
    if actions
        .next()
        .is_none_or(|first| !matches!(first, "+" | "-" | "="))
    {
        return false;
    }
    let is_permission = |c: char| "rwxXstugo".contains(c);
    rest.chars().all(|c| is_permission(c) || "+-=".contains(c))
}

fn is_http(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Addresses of repositories that cannot be meant as paths. `github.com/a/b` can, so it is a path.
pub(super) fn is_git(source: &str) -> bool {
    if source.starts_with("git://") || source.starts_with("ssh://") {
        return true;
    }
    if is_http(source) {
        let address = source.split(['#', '?']).next().unwrap_or_default();
        return address.strip_suffix(".git").is_some();
    }
    // user@host:path
    let Some((user, rest)) = source.split_once('@') else {
        return false;
    };
    let Some((host, _)) = rest.split_once(':') else {
        return false;
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !user.is_empty()
        && user.chars().all(is_word)
        && !host.is_empty()
        && host.chars().all(|c| is_word(c) || c == '.')
}

/// The last part of an address's path, its escapes undone.
fn file_name(url: &str) -> String {
    let address = url.split(['#', '?']).next().unwrap_or_default();
    let after_scheme = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = after_scheme.split_once('/').map_or("", |(_, path)| path);
    let last = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let decoded = decode(last);
    match decoded.as_str() {
        "" | "." | ".." => UNNAMED.to_owned(),
        // An escaped slash begins a new part.
        name => name.rsplit('/').next().unwrap_or(name).to_owned(),
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) if first == b'%' => {
                bytes.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests;
