use super::*;

#[test]
fn durations() {
    for (text, nanoseconds) in [
        ("0", 0),
        ("1s", 1_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        (".5ms", 500_000),
        ("100us", 100_000),
        ("-2ns", -2),
        ("2.000000001s", 2_000_000_001),
    ] {
        assert_eq!(parse(text), Ok(nanoseconds), "{text}");
    }
    for (text, error) in [
        ("", "time: invalid duration \"\""),
        ("x", "time: invalid duration \"x\""),
        ("3", "time: missing unit in duration \"3\""),
        ("3x", "time: unknown unit \"x\" in duration \"3x\""),
        ("1..2s", "time: invalid duration \"1..2s\""),
        ("9999999999h", "time: invalid duration \"9999999999h\""),
    ] {
        assert_eq!(parse(text), Err(error.to_owned()), "{text}");
    }
    assert_eq!(
        interval("timeout", Some("1us".to_owned())),
        Err("Interval \"timeout\" cannot be less than 1ms".to_owned())
    );
}
