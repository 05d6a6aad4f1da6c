use super::*;
use crate::Dockerfile;

fn parsed(source: &str) -> Syntax {
    parse(source.as_bytes()).unwrap()
}

fn error(source: &str) -> String {
    parse(source.as_bytes()).unwrap_err().to_string()
}

#[test]
fn instructions_as_lists() {
    for (source, dump) in [
        ("FROM a", r#"(from "a")"#),
        ("from  a  As b", r#"(from "a" "As" "b")"#),
        ("RUN a  && b", r#"(run "a  && b")"#),
        (r#"RUN ["a", "b c"]"#, r#"(run "a" "b c")"#),
        (r#"RUN ["a", b]"#, r#"(run "[\"a\", b]")"#),
        (
            "COPY --from=x --chown='a b' s /d",
            r#"(copy ["--from=x" "--chown=a b"] "s" "/d")"#,
        ),
        ("COPY -- --s /d", r#"(copy "--s" "/d")"#),
        (
            "ENV a=b c='d e' f=g\\ h",
            r#"(env "a" "b" "=" "c" "'d e'" "=" "f" "g\\ h" "=")"#,
        ),
        ("ENV a  b=c d", r#"(env "a" "b=c d" "")"#),
        ("LABEL \"a b\"=c", r#"(label "\"a b\"" "c" "=")"#),
        ("ARG a b=c", r#"(arg "a" "b=c")"#),
        (
            "HEALTHCHECK --retries=1 CMD  x y",
            r#"(healthcheck ["--retries=1"] "CMD" "x y")"#,
        ),
        ("HEALTHCHECK CMD [\"x\"]", r#"(healthcheck "CMD" "x")"#),
        (
            "ONBUILD RUN --network=none x",
            r#"(onbuild (run ["--network=none"] "x"))"#,
        ),
        ("UNKNOWN a b", "(unknown)"),
        ("MAINTAINER a <b>", r#"(maintainer "a <b>")"#),
        ("EXPOSE 1\t2/udp", r#"(expose "1" "2/udp")"#),
        ("VOLUME []", "(volume)"),
        ("RUN echo é\u{1}", "(run \"echo é\\x01\")"),
    ] {
        assert_eq!(parsed(source).dump(), dump, "{source}");
    }
}

#[test]
fn logical_lines() {
    for (source, text) in [
        ("RUN a \\\n  b", "RUN a   b"),
        ("RUN a \\  \n b", "RUN a  b"),
        ("RUN a \\\\\nRUN b", "RUN a \\\\"),
        ("RUN a \\\n# gone\n  # too\n b", "RUN a  b"),
        ("\\\nRUN a", "RUN a"),
        ("  RUN a\r\n", "RUN a"),
        ("RUN a \\", "RUN a "),
        ("# escape=`\nRUN a\\ `\n b", "RUN a\\  b"),
        ("\u{feff}RUN a", "RUN a"),
    ] {
        assert_eq!(parsed(source).nodes[0].text, text, "{source:?}");
    }
}

#[test]
fn empty_lines_in_continuations_are_found() {
    let syntax = parsed("FROM a\nRUN b \\\n\n  c\nRUN d \\\n # e\n f\n");
    assert_eq!(syntax.warnings.len(), 1);
    assert_eq!(syntax.warnings[0].rule, Rule::NoEmptyContinuation);
    assert_eq!(syntax.warnings[0].span, Span::lines(4, 4));
}

#[test]
fn directives() {
    let directives = |source: &str| parsed(source).directives;
    let found = directives("#Syntax = docker/dockerfile:1 x\n# ESCAPE=`\n# check=skip=all\nFROM a");
    assert_eq!(found.syntax.as_deref(), Some("docker/dockerfile:1 x"));
    assert_eq!(
        (found.escape, found.check.as_deref()),
        ('`', Some("skip=all"))
    );
    // A comment, an empty line or an unknown directive ends the head.
    for head in ["# just words\n", "\n", "# unknown=x\n", "FROM a\n"] {
        assert_eq!(
            directives(&format!("{head}# escape=`\nFROM a")).escape,
            '\\',
            "{head:?}"
        );
    }
    // The form for other languages, and the one behind `#!`.
    assert_eq!(directives("// syntax=a\nx").syntax.as_deref(), Some("a"));
    assert_eq!(
        directives("{\"syntax\": \"b\"}").syntax.as_deref(),
        Some("b")
    );
    assert_eq!(
        directives("#!/x\n# check=error=true\nx").check.as_deref(),
        Some("error=true")
    );
    assert_eq!(
        error("# escape=x\nFROM a"),
        "invalid escape token 'x' does not match ` or \\"
    );
    assert_eq!(
        error("# escape=`\n# escape=`\n"),
        "only one escape parser directive can be used"
    );
}

#[test]
fn comments_stay_with_the_instruction_below() {
    let syntax = parsed("# syntax=x\n# one\n# two\nFROM a\n# old\n#\n# new\nRUN b\n");
    assert_eq!(syntax.nodes[0].comments, ["one", "two"]);
    assert_eq!(syntax.nodes[1].comments, ["new"]);
}

#[test]
fn heredocs() {
    let source = "RUN <<A cat <<-\"B C\" 3<<'D'\nx $y\nA\n\tt\n\tB C\nD\nRUN z";
    let syntax = parsed(source);
    assert_eq!(syntax.nodes.len(), 2);
    let names: Vec<_> = syntax.nodes[0]
        .heredocs
        .iter()
        .map(|one| {
            (
                one.name.as_str(),
                one.descriptor,
                one.expand,
                one.chomp,
                one.chomped(),
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            ("A", 0, true, false, "x $y\n".to_owned()),
            ("B C", 0, false, true, "t\n".to_owned()),
            ("D", 3, false, false, String::new()),
        ]
    );
    assert_eq!(syntax.nodes[0].span.end.line, 6);
    assert_eq!(syntax.nodes[1].span.start, Position { line: 7, column: 1 });
}

#[test]
fn what_is_no_heredoc() {
    for source in [
        "RUN a <<<b",
        "RUN [\"<<A\"]",
        "CMD <<A",
        "RUN $((1<<2",
        "RUN \"<<A\"",
        "RUN a<<b",
        "RUN <<\"A",
        "ONBUILD CMD <<A",
    ] {
        assert!(parsed(source).nodes[0].heredocs.is_empty(), "{source}");
    }
    assert_eq!(
        parsed("ONBUILD COPY << A /b\nx\r\nA\r\n").nodes[0].heredocs[0].content,
        "x\r\n"
    );
    assert_eq!(error("RUN <<A\nb"), "unterminated heredoc");
    assert_eq!(error("RUN <<A\n A"), "unterminated heredoc");
}

#[test]
fn errors_name_their_lines() {
    for (source, text, first, last) in [
        ("", "file with no instructions", 0, 0),
        ("# a\n\n", "file with no instructions", 2, 2),
        ("FROM a\nENV b", "ENV must have two arguments", 2, 2),
        ("LABEL \\\n b", "LABEL must have two arguments", 1, 2),
        (
            "ENV a=b c",
            "Syntax error - can't find = in \"c\". Must be of the form: name=value",
            1,
            1,
        ),
        (
            "CMD [1, \"a\"]",
            "when using JSON array syntax, arrays must be comprised of strings only",
            1,
            1,
        ),
    ] {
        let error = parse(source.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), text);
        let span = error.spans()[0];
        assert_eq!(
            (span.start.line, span.end.line),
            (first, last),
            "{source:?}"
        );
    }
}

#[test]
fn positions_follow_continuations() {
    let syntax = parsed("FROM a\n  COPY --chown=1 \\\n  --bad=2 \\\n  x y");
    let node = &syntax.nodes[1];
    let places: Vec<_> = node
        .flags
        .iter()
        .map(|flag| node.position(flag.offset))
        .collect();
    assert_eq!(
        places,
        [
            Position { line: 2, column: 8 },
            Position { line: 3, column: 3 }
        ]
    );
}

#[test]
fn lengths_are_bounded() {
    let line = |length: usize| format!("FROM a\nRUN {}\n", "x".repeat(length));
    assert!(parse(line(LINE_LIMIT - 4).as_bytes()).is_ok());
    let error = parse(line(LINE_LIMIT - 3).as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "dockerfile line greater than max allowed size of 65535"
    );
    assert_eq!(error.spans(), [Span::lines(2, 2)]);
    let error = parse(&vec![b'\n'; SOURCE_LIMIT + 1]).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::TooLarge);
}

#[test]
fn binary_is_text() {
    let syntax = parse(b"FROM a\nRUN \xff\xfe \x80\n").unwrap();
    assert_eq!(syntax.nodes[1].arguments, ["\u{fffd}\u{fffd} \u{fffd}"]);
}

#[test]
fn nul_bytes_are_refused_with_their_line() {
    for (source, line) in [
        ("FROM a\0b\n", 1),
        ("FROM a\nRUN a \\\n b \\\n c\0\n", 4),
        ("FROM a\nRUN [\"a\\u0000\"]\n", 2),
        ("FROM a\nONBUILD RUN [\"a\\u0000\"]\n", 2),
        ("FROM a\nRUN <<E\nb\nc\0\nE\n", 4),
    ] {
        let expected =
            format!("dockerfile parse error on line {line}: instruction contains a NUL byte");
        let found = parse(source.as_bytes()).and_then(|syntax| Dockerfile::interpret(&syntax));
        assert_eq!(found.unwrap_err().to_string(), expected, "{source:?}");
    }
    // The syntax has escaped ones, as docker's parser has.
    let dump = parsed("CMD [\"a\\u0000\"]").dump();
    assert_eq!(dump, r#"(cmd "a\x00")"#);
    for source in ["FROM a\n# b\0\n", "FROM a\nCOPY <<E /b\n\0\nE\n"] {
        assert!(parse(source.as_bytes()).is_ok(), "{source:?}");
    }
}

/// Large inputs of every kind take a moment, not minutes: each of them is quadratic or overflows
/// the stack when done naively.
#[test]
fn large_inputs_are_linear() {
    let many = |piece: &str| piece.repeat(400_000 / piece.len());
    for source in [
        format!("FROM a\n{}", many("RUN x\n")),
        format!("FROM a\nRUN x {}y", many("\\\nz ")),
        format!("FROM a\nRUN <<A\n{}A\n", many("some text\n")),
        format!("FROM a\nRUN x \\\n{}y", many("\n")),
        format!("FROM a\n{}RUN x", many("# c\n")),
        format!("ONBUILD {}x", many("ONBUILD \\\n")),
        format!("FROM a\nENV {}b=c", many("a=b \\\n")),
        format!("FROM a\nCOPY {}/x", many("--exclude=a \\\n")),
        format!("FROM a\nRUN {}", many("'\" \\\n")),
        many("FROM a AS b\n"),
    ] {
        let syntax = parsed(&source);
        if let Ok(file) = crate::Dockerfile::interpret(&syntax) {
            crate::lint::check(&file);
            crate::lint::check_stages(&file, &|_| true);
        }
    }
}
