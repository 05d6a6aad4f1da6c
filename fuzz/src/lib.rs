//! What the targets do with their bytes.

use std::collections::BTreeMap;

use lapstrake_dockerfile::ignore::{MatchInfo, Matcher};
use lapstrake_dockerfile::instruction::expose;
use lapstrake_dockerfile::words::{self, Options, RESULT_LIMIT};
use lapstrake_dockerfile::{Dockerfile, Instruction, ParseError, lint, parse, parse_trigger};

/// Bytes as a Dockerfile, through everything that needs no values. Positions must lie in the file,
/// and an `ONBUILD` must be readable again.
pub fn dockerfile_parser(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    let failed = |error: &ParseError| {
        assert!(!error.to_string().is_empty() && !error.classic().is_empty());
        assert!(error.position().is_none_or(|place| place.line <= lines));
        let _ = error.excerpt("Dockerfile", data);
    };
    let syntax = match parse(data) {
        Ok(syntax) => syntax,
        Err(error) => return failed(&error),
    };
    assert!(!syntax.nodes.is_empty());
    let mut last = 0;
    for node in &syntax.nodes {
        assert!(node.span.start.line > last && node.span.end.line >= node.span.start.line);
        last = node.span.end.line;
        assert!(last <= lines);
        assert!(node.position(node.text.len()).line <= lines);
    }
    let _ = syntax.dump();
    let file = match Dockerfile::interpret(&syntax) {
        Ok(file) => file,
        Err(error) => return failed(&error),
    };
    let _ = lint::check(&file);
    let _ = lint::check_stages(&file, &|_| true);
    for command in file.stages.iter().flat_map(|stage| &stage.commands) {
        match &command.instruction {
            Instruction::Expose(ports) => {
                let _ = expose(ports, command.span);
            }
            Instruction::Run(run) => {
                for mount in &run.mounts {
                    let _ = mount.resolve(&mut |text| Ok(text.to_owned()));
                }
            }
            Instruction::Onbuild(text) => {
                let _ = parse_trigger(text);
            }
            _ => {}
        }
    }
}

/// Bytes as a text with variables. Results are bounded, quoted text stays what it is.
pub fn dockerfile_words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let env: BTreeMap<String, String> = [
        ("a", "value"),
        ("b", "a b  c"),
        ("e", ""),
        ("p", "one/two/one.tar.gz"),
        ("n", "x\ny$a\"'"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for escape in ['\\', '`'] {
        let limit = 65 * text.len() + RESULT_LIMIT;
        if let Ok(found) = words::expand(&text, &env, escape) {
            assert!(found.text.len() <= limit);
            assert!(found.used.iter().all(|name| env.contains_key(name)));
            assert!(found.undefined.iter().all(|name| !env.contains_key(name)));
        }
        if let Ok(found) = words::expand_words(&text, &env, escape) {
            assert!(found.words.iter().all(|word| !word.is_empty()));
        }
        let _ = words::expand_raw(&text, &env, escape);
        let kept = Options { raw_quotes: true, raw_escapes: true, keep_unset: true, ..Options::new(escape) };
        if let Ok(found) = words::expand_with(&text, &BTreeMap::new(), kept) {
            // In double quotes docker writes an escape character twice that escapes nothing.
            assert!(text.contains('$') || found.text.len() <= 2 * text.len());
        }
    }
    if !text.contains(['\'', '\u{feff}']) {
        let quoted = format!("'{text}'");
        let found = words::expand(&quoted, &env, '\\').expect("single quotes hold everything");
        assert_eq!(found.text, text);
    }
}

/// The first line as a path, the others as an ignore file. Without exceptions a walk from the root
/// agrees with a single question, and a directory that may be skipped hides the path beneath it.
pub fn dockerfile_ignore(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (path, file) = text.split_once('\n').unwrap_or(("a/b/c", &text));
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let path = parts.join("/");
    let Ok(matcher) = Matcher::parse(file.as_bytes()) else {
        return;
    };
    let mut info = MatchInfo::default();
    let mut skipped = false;
    for depth in 1..=parts.len() {
        let here = parts[..depth].join("/");
        let (ignored, next) = matcher.matches_below(&here, &info);
        // With exceptions docker's walk forgets what could change nothing at the time.
        if !matcher.has_exclusions() {
            assert_eq!(ignored, matcher.matches(&here), "{here:?} of {path:?} by {file:?}");
        }
        assert!(!skipped || ignored, "{here:?} lies below a skipped directory by {file:?}");
        skipped |= ignored && matcher.may_skip_dir(&here);
        info = next;
    }
    if !matcher.has_exclusions() && matcher.is_empty() {
        assert!(!matcher.matches(&path));
    }
}
