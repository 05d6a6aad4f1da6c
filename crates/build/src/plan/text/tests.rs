use super::*;

#[test]
fn quoted_as_go_does() {
    for (text, expected) in [
        ("a b", r#""a b""#),
        ("a\"b\\", r#""a\"b\\""#),
        ("tab\there\n", r#""tab\there\n""#),
        ("\u{1}\u{7f}", r#""\x01\x7f""#),
        ("\u{e9}\u{4e2d}", "\"\u{e9}\u{4e2d}\""),
        ("\u{a0}\u{200b}", r#""\u00a0\u200b""#),
        ("\u{feff}", r#""\ufeff""#),
    ] {
        assert_eq!(go_quote(text), expected);
    }
    assert_eq!(go_quote_list(&[]), "[]");
    let words = ["a".to_owned(), "b c".to_owned()];
    assert_eq!(go_quote_list(&words), r#"["a" "b c"]"#);
    assert_eq!(go_list(&words), "[a b c]");
}

#[test]
fn numbers_as_quoted_characters() {
    for (number, expected) in [
        (0, r"'\x00'"),
        (3, r"'\x03'"),
        (7, r"'\a'"),
        (10, r"'\n'"),
        (34, "'\"'"),
        (39, r"'\''"),
        (65, "'A'"),
        (92, r"'\\'"),
    ] {
        assert_eq!(go_quote_number(number), expected);
    }
}

#[test]
fn durations_as_go_prints_them() {
    for (nanoseconds, expected) in [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5\u{b5}s"),
        (1_500_000, "1.5ms"),
        (30_000_000_000, "30s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (5_430_250_000_000, "1h30m30.25s"),
        (-2_000_000_000, "-2s"),
    ] {
        assert_eq!(go_duration(nanoseconds), expected);
    }
}
