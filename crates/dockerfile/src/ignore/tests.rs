use super::*;

fn matcher(file: &str) -> Matcher {
    Matcher::parse(file.as_bytes()).unwrap()
}

#[test]
fn one_pattern() {
    for (pattern, path, ignored) in [
        ("a", "a", true),
        ("a", "a/b/c", true),
        ("a", "b/a", false),
        ("/a/", "a", true),
        ("./a//b/../c", "a/c", true),
        ("*", "x", true),
        ("*.o", "x.o", true),
        ("*.o", "d/x.o", false),
        ("*/*.o", "d/x.o", true),
        ("?.o", "x.o", true),
        ("?.o", "/.o", false),
        ("**", "a/b", true),
        ("**/x", "x", true),
        ("**/x", "a/b/x", true),
        ("**/x", "a/yx", false),
        ("**x", "a/yx", true),
        ("a/**", "a", false),
        ("a/**", "a/b", true),
        ("a**", "ab/c", true),
        ("a/**/z", "a/z", true),
        ("a/**/z", "a/b/c/z", true),
        ("a/**/z", "a/bz", false),
        ("[a-c]x", "bx", true),
        ("[^a-c]x", "bx", false),
        ("a\\*", "a*", true),
        ("a\\*", "ab", false),
        ("a.b", "axb", false),
        ("a+(b)|{c}$", "a+(b)|{c}$", true),
        ("é?", "éü", true),
        ("#a", "#a", false),
        (" #a", "#a", true),
        (".", "a", false),
        ("..", "a", false),
        // What only Go's regular expressions explain.
        ("[[:digit:]]x", "7x", true),
        ("\\dx", "7x", true),
        ("^ab*", "abc", true),
        ("\\ba", "a", true),
        ("a\\bb", "ab", false),
        ("a\\b-", "a-", true),
        ("a\\Bb", "ab", true),
        ("*\\bb", "a-b", true),
        ("*\\bb", "a/b", false),
        ("\\b-", "-", false),
        ("\\Aa\\z", "a", true),
        ("a\\zb", "ab", false),
        ("\\Qab\\Ec*", "abcd", true),
        ("\\Qa", "a", false),
        ("a*\\", "ab", false),
        ("a*\\", "ab$c", true),
        ("a*/b\\", "ax/b$", true),
        ("\\Qa", "a$b", true),
        // The dot has got its own backslash by then.
        ("\\Qa.b\\E", "a.b", false),
        ("\\Qa.b\\E", "a\\.b", true),
        ("\\x61\\142", "ab", true),
        ("/!a", "!a", false),
        ("!a", "!a", false),
        ("/!a", "a", false),
        ("b\n/!b", "b", false),
        ("  **/f/!/", "f/!", true),
        ("  **/f/!/", "a/f/!/y", true),
        ("  **/f/!/", "a/f", false),
    ] {
        assert_eq!(
            matcher(pattern).matches(path),
            ignored,
            "{pattern} against {path}"
        );
    }
}

#[test]
fn the_last_pattern_decides() {
    for (file, path, ignored) in [
        ("*\n!a", "a", false),
        ("!a\n*", "a", true),
        ("d\n!d/keep", "d/keep", false),
        ("d\n!d/keep", "d/lose", true),
        ("*\n!d/**", "d/x/y", false),
        ("*.md\n!README*.md\nREADME-secret.md", "README.md", false),
        (
            "*.md\n!README*.md\nREADME-secret.md",
            "README-secret.md",
            true,
        ),
        ("**\n! a/b", "a/b/c", false),
    ] {
        assert_eq!(matcher(file).matches(path), ignored, "{path} by {file:?}");
    }
    assert!(!matcher("**").matches("."));
    assert!(!matcher("**").matches(""));
}

#[test]
fn the_file() {
    let file = matcher("\u{feff}a\r\n# b\n\n  c  \n!/d\n");
    let texts: Vec<_> = file
        .patterns
        .iter()
        .map(|one| (one.exception, one.text.as_str()))
        .collect();
    assert_eq!(texts, [(false, "a"), (false, "c"), (true, "d")]);
    assert!(file.has_exclusions() && !file.is_empty());
    assert!(matcher("# only\n\n").is_empty());
}

#[test]
fn a_walk_hands_results_down() {
    let file = matcher("a\n!a/b\na/b/c");
    let (ignored, below) = file.matches_below("a", &MatchInfo::default());
    assert!(ignored && !file.may_skip_dir("a"));
    let (ignored, below) = file.matches_below("a/b", &below);
    assert!(!ignored);
    assert!(file.matches_below("a/b/c", &below).0);
    assert!(!file.matches_below("a/b/d", &below).0);
}

#[test]
fn directories_that_may_be_skipped() {
    for (file, path, skip) in [
        ("a", "a", true),
        ("*\n!b", "a", true),
        ("*\n!a/b", "a", false),
        ("*\n!a/b/*.c", "a", false),
        ("*\n!a/b/*.c", "a/b", false),
        ("*\n!a/b/*.c", "a/x", true),
        ("*\n!**/x", "a", false),
        ("*\n!b/**", "a", true),
        ("*\n!a/**", "a", false),
        ("*\n!ab", "a", true),
    ] {
        assert_eq!(matcher(file).may_skip_dir(path), skip, "{path} by {file:?}");
    }
}

#[test]
fn wrong_patterns() {
    for pattern in [
        ".*\\", "?*\\", "*a\\", "**\\", "a*[", "[", "[]", "[]a]", "a[", "[^", "[-a]", "[a-]",
        "a\\", "\\y", "[z-a]",
    ] {
        let error = Matcher::new([pattern]).unwrap_err();
        assert_eq!(error.to_string(), "syntax error in pattern", "{pattern}");
    }
    assert_eq!(
        Matcher::parse(b"!\n").unwrap_err(),
        PatternError::BareExclusion
    );
    assert_eq!(
        Matcher::new(["x".repeat(PATTERN_LIMIT + 1)]).unwrap_err(),
        PatternError::TooLong
    );
}

#[test]
fn hostile_patterns_take_no_exponential_time() {
    let pattern = "**a*/".repeat(PATTERN_LIMIT / 5);
    let path = "aaaa/".repeat(10) + "b";
    assert!(!matcher(&pattern).matches(&path));
}
