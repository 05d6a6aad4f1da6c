use super::*;

#[test]
fn lines_are_cut_and_escaped() {
    let long = "x".repeat(201);
    let many = "\u{e9}".repeat(70_000);
    for (line, expected) in [
        ("RUN a\tb", "RUN a\tb".to_owned()),
        ("RUN \u{1b}[2J", "RUN \\u{1b}[2J".to_owned()),
        ("RUN a\rb\r", "RUN a\\rb".to_owned()),
        ("RUN \u{9b}1m", "RUN \\u{9b}1m".to_owned()),
        (&long[..200], "x".repeat(200)),
        (&long, format!("{}…", "x".repeat(200))),
        (&many, format!("{}…", "\u{e9}".repeat(200))),
    ] {
        let span = Span::lines(1, 1);
        let found = Excerpts::new("Dockerfile", line.as_bytes())
            .lines(&[span], None)
            .unwrap();
        let shown = found.lines().nth(2).unwrap();
        assert_eq!(shown.strip_prefix("   1 | >>> "), Some(expected.as_str()));
    }
}
