use super::*;
use crate::{Dockerfile, Excerpts, parse};

/// The place of a parse error as shown: file, line and column, then the marked line and its caret.
fn shown(source: &[u8]) -> (String, Option<String>) {
    let read = parse(source).and_then(|syntax| Dockerfile::interpret(&syntax));
    let error = read.expect_err(&String::from_utf8_lossy(source));
    let excerpt = error.excerpt("f", source).expect("lines");
    head_and_target(&excerpt)
}

/// What the caret points at: from its column on, by cells that are one column wide.
fn head_and_target(excerpt: &str) -> (String, Option<String>) {
    let lines: Vec<&str> = excerpt.lines().collect();
    let caret = lines
        .iter()
        .position(|line| line.trim_end().ends_with("|     ^"));
    let caret = caret.or_else(|| {
        let is_caret = |line: &&str| {
            line.split_once("|     ")
                .is_some_and(|(_, rest)| rest.trim_start() == "^")
        };
        lines.iter().position(is_caret)
    });
    let target = caret.map(|at| {
        let column = lines[at].chars().position(|c| c == '^').expect("a caret");
        lines[at - 1].chars().skip(column).collect()
    });
    (lines[0].to_owned(), target)
}

#[test]
fn parse_errors_have_columns() {
    for (source, head, target) in [
        // instructions
        ("FROM a\nFOO x\n", "f:2:1", "FOO x"),
        ("FROM a\n  FOO x\n", "f:2:3", "FOO x"),
        ("FROM a\n\tFOO x\n", "f:2:2", "FOO x"),
        ("FROM a\r\nRUN x\r\nFOO x\r\n", "f:3:1", "FOO x"),
        ("\u{feff}FOO x\n", "f:1:1", "FOO x"),
        ("\u{feff}FROM a\nCOPY --frm=x a b\n", "f:2:6", "--frm=x a b"),
        ("RUN x\n", "f:1:1", "RUN x"),
        // flags
        ("FROM --plat=x a\n", "f:1:6", "--plat=x a"),
        (
            "FROM a\nCOPY \\\n  --bad=1 \\\n  y z\n",
            "f:3:3",
            "--bad=1 \\",
        ),
        (
            "FROM a\nCOPY --link \\\r\n # c\r\n\t--bad y z\r\n",
            "f:4:2",
            "--bad y z",
        ),
        (
            "FROM a\nCOPY --chown=\u{e9}\u{e9} --bad y z\n",
            "f:2:17",
            "--bad y z",
        ),
        ("FROM a\nRUN --network=x y\n", "f:2:5", "--network=x y"),
        (
            "FROM a\nRUN --mount=type=tmpfs,target=/a --mount=from=$q y\n",
            "f:2:34",
            "--mount=from=$q y",
        ),
        (
            "FROM a\nHEALTHCHECK --interval=1s --retries=x CMD y\n",
            "f:2:27",
            "--retries=x CMD y",
        ),
        // arguments
        (
            "FROM a\nHEALTHCHECK --interval=1s FOO y\n",
            "f:2:27",
            "FOO y",
        ),
        ("FROM a AS 1x\n", "f:1:11", "1x"),
        ("FROM a\nENV a=b c\n", "f:2:9", "c"),
        ("FROM a\nENV a=b \\\n  c\n", "f:3:3", "c"),
        ("FROM a\nLABEL x\n", "f:2:7", "x"),
        ("FROM a\nRUN [1, 2]\n", "f:2:5", "[1, 2]"),
        ("FROM a\nONBUILD FROM b\n", "f:2:9", "FROM b"),
        ("FROM a\nCOPY a <<E\nE\n", "f:2:8", "<<E"),
        // here-documents
        ("FROM a\nRUN x <<-\"E\"\nFOO\n", "f:2:7", "<<-\"E\""),
        ("FROM a\nCOPY <<A <<B /\nA\nFOO\n", "f:2:10", "<<B /"),
        ("FROM a\nRUN <<E\nFOO\nE\nFOO x\n", "f:5:1", "FOO x"),
        ("FROM a\nRUN <<E\nx\0y\nE\n", "f:3:1", "x\\u{0}y"),
        ("FROM a\nRUN a \0\n", "f:2:7", "\\u{0}"),
        // directives
        ("# escape=x\nFROM a\n", "f:1:1", "# escape=x"),
        ("# escape=`\n# escape=`\nFROM a\n", "f:2:1", "# escape=`"),
    ] {
        let expected = (head.to_owned(), Some(target.to_owned()));
        assert_eq!(shown(source.as_bytes()), expected, "{source:?}");
    }
    // Bytes that are no text count as one character each, as they are shown.
    let source = b"FROM a\nCOPY --chown=\xff\xff --bad y z\n";
    let expected = ("f:2:17".to_owned(), Some("--bad y z".to_owned()));
    assert_eq!(shown(source), expected);
}

#[test]
fn carets_stand_below_wide_characters() {
    let source = "FROM a\nCOPY --chown=\u{65e5}\u{672c} --bad y z\n";
    let error = Dockerfile::interpret(&parse(source.as_bytes()).unwrap()).unwrap_err();
    let excerpt = error.excerpt("f", source.as_bytes()).unwrap();
    // 13 columns, two wide characters, a blank.
    let caret = format!("     |     {}^", " ".repeat(13 + 4 + 1));
    assert!(excerpt.lines().any(|line| line == caret), "{excerpt}");
}

#[test]
fn words_are_found() {
    let word = |text: &str| Point::Word(text.to_owned());
    let last = |text: &str| Point::LastWord(text.to_owned());
    let flag = |text: &str| Point::Flag(text.to_owned());
    let variable = |text: &str| Point::Variable(text.to_owned());
    for (source, point, expected) in [
        ("RUN a", Point::Start, Some((1, 1))),
        ("  RUN a", Point::Start, Some((1, 3))),
        ("RUN RUN", word("RUN"), Some((1, 5))),
        ("COPY ab a b", word("a"), Some((1, 9))),
        ("COPY [\"ab\", \"a\"]", word("a"), Some((1, 14))),
        ("FROM base AS Base", last("base"), Some((1, 14))),
        ("COPY x--from --from=a b c", flag("from"), Some((1, 14))),
        ("COPY --fromage=a --from=a b c", flag("from"), Some((1, 18))),
        ("RUN a", flag("from"), None),
        ("RUN a", word("b"), None),
        ("RUN a", word(""), None),
        ("ENV a=$xy b=$x", variable("x"), Some((1, 13))),
        ("ENV a=${x:-$y}", variable("y"), Some((1, 12))),
        ("ENV a=\\$x b=${x}", variable("x"), Some((1, 13))),
        ("ENV a=C:\\$x", variable("x"), Some((1, 10))),
        ("ENV a=b \\\n\n# $x\n  b=$x", variable("x"), Some((4, 5))),
        ("WORKDIR lo\\\nng", word("long"), Some((1, 9))),
    ] {
        let nodes = parse(source.as_bytes()).unwrap().nodes;
        let found = nodes[0].find(&point).map(|at| (at.line, at.column));
        assert_eq!(found, expected, "{source:?} {point:?}");
    }
}

#[test]
fn findings_point_at_words() {
    let source = "\
ARG V=1
FROM --platform=linux/amd64 a as Base
from $U:$V AS base
WORKDIR a/b
ENV PATH=/x \\
  SECRET_KEY=a
CMD x
MAINTAINER m
";
    let file = Dockerfile::interpret(&parse(source.as_bytes()).unwrap()).unwrap();
    let mut found = file.warnings.clone();
    found.extend(crate::lint::check(&file));
    found.extend(crate::lint::check_stages(&file, &|_| true));
    let points = Points::of(source.as_bytes());
    let excerpts = Excerpts::new("f", source.as_bytes());
    let told: Vec<String> = found
        .iter()
        .map(|one| {
            let at = points.find(one.span, &one.point);
            let excerpt = excerpts.lines(&[one.span], at).unwrap();
            let (head, target) = head_and_target(&excerpt);
            format!("{head} {} {}", one.rule.name(), target.unwrap_or_default())
        })
        .collect();
    let expected = [
        "f:2:34 StageNameCasing Base",
        "f:2:31 FromAsCasing as Base",
        "f:3:12 FromAsCasing AS base",
        "f:8:1 MaintainerDeprecated MAINTAINER m",
        "f:3:15 DuplicateStageName base",
        "f:3:1 ConsistentInstructionCasing from $U:$V AS base",
        "f:2:6 FromPlatformFlagConstDisallowed --platform=linux/amd64 a as Base",
        "f:3:6 InvalidDefaultArgInFrom $U:$V AS base",
        "f:3:6 UndefinedArgInFrom $U:$V AS base",
        "f:6:3 SecretsUsedInArgOrEnv SECRET_KEY=a",
        "f:7:1 JSONArgsRecommended CMD x",
    ];
    assert_eq!(told, expected);
}
