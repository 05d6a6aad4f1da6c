use super::*;

#[test]
fn spellings_are_normalised() {
    for (text, printed) in [
        ("linux/amd64", "linux/amd64"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/i386", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/arm64/8", "linux/arm64/v8"),
        ("linux/arm", "linux/arm"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/armhf", "linux/arm"),
        ("linux/armel", "linux/arm/v6"),
        ("macos/arm64", "darwin/arm64"),
        ("windows/amd64", "windows/amd64"),
        ("arm64", "linux/arm64"),
        ("s390x", "linux/s390x"),
        ("linux/riscv64", "linux/riscv64"),
        ("linux/nope", "linux/nope"),
    ] {
        assert_eq!(
            Platform::parse(text).unwrap().to_string(),
            printed,
            "{text}"
        );
    }
    assert_eq!(Platform::parse("linux").unwrap(), Platform::host());
}

#[test]
fn bad_platforms_are_refused_in_dockers_words() {
    for (text, message) in [
        (
            "nope",
            r#""nope": unknown operating system or architecture: invalid argument"#,
        ),
        (
            "*/amd64",
            r#""*/amd64": wildcards not yet supported: invalid argument"#,
        ),
        (
            "a/b/c/d",
            r#""a/b/c/d": cannot parse platform specifier: invalid argument"#,
        ),
        (
            "linux/a b",
            r#""a b" is an invalid component of "linux/a b": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument"#,
        ),
        (
            "",
            r#""" is an invalid component of "": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument"#,
        ),
    ] {
        assert_eq!(Platform::parse(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn preferences_are_dockers() {
    let prefers = |wanted: &str, offered: &str| {
        Platform::parse(wanted)
            .unwrap()
            .preference(&Platform::parse(offered).unwrap())
    };
    assert_eq!(prefers("linux/arm64", "linux/arm64/v8"), Some(0));
    assert_eq!(prefers("linux/arm64/v8", "linux/arm64"), Some(0));
    assert_eq!(prefers("linux/arm/v7", "linux/arm"), Some(0));
    assert_eq!(prefers("linux/arm/v7", "linux/arm/v6"), Some(1));
    assert_eq!(prefers("linux/arm/v6", "linux/arm/v7"), None);
    assert_eq!(prefers("linux/amd64", "linux/amd64/v2"), None);
    assert_eq!(prefers("linux/amd64/v3", "linux/amd64"), Some(2));
    assert_eq!(prefers("linux/amd64", "windows/amd64"), None);
    assert_eq!(prefers("linux/amd64", "linux/386"), None);
    let wanted = Platform::parse("linux/amd64").unwrap();
    assert!(wanted.matches(&Platform::linux("amd64")));
    assert!(!wanted.matches(&Platform::linux("arm64")));
}

#[test]
fn json_uses_ocis_names() {
    let platform = Platform::parse("linux/arm/v6").unwrap();
    let json = serde_json::to_string(&platform).unwrap();
    assert_eq!(
        json,
        r#"{"architecture":"arm","os":"linux","variant":"v6"}"#
    );
    assert_eq!(serde_json::from_str::<Platform>(&json).unwrap(), platform);
}
