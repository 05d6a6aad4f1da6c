use std::collections::BTreeMap;

use super::*;

#[test]
fn strings_are_escaped_as_go_does() {
    let text = "<a&b> \u{2028}\u{2029} \"\\ \n\t\r\u{8}\u{c}\u{1}\u{7f} \u{e9}";
    assert_eq!(
        to_string(text).unwrap(),
        "\"\\u003ca\\u0026b\\u003e \\u2028\\u2029 \\\"\\\\ \\n\\t\\r\\b\\f\\u0001\u{7f} \u{e9}\""
    );
    assert_eq!(
        to_string_plain("<a&b>\u{2028}").unwrap(),
        "\"<a&b>\\u2028\""
    );
    assert_eq!(to_string("&&").unwrap(), "\"\\u0026\\u0026\"");
}

#[test]
fn keys_are_escaped_and_sorted() {
    let map = BTreeMap::from([("b>", 1), ("a", 2)]);
    assert_eq!(to_string(&map).unwrap(), r#"{"a":2,"b\u003e":1}"#);
}

#[test]
fn indentation_is_four_blanks_and_nothing_inside_empty_ones() {
    let value = serde_json::json!({"a": [1, {"b": []}], "c": {}, "d": null});
    assert_eq!(
        to_string_indent_plain(&value).unwrap(),
        "{\n    \"a\": [\n        1,\n        {\n            \"b\": []\n        }\n    ],\n    \"c\": {},\n    \"d\": null\n}"
    );
    assert_eq!(to_string_indent(&["<"]).unwrap(), "[\n    \"\\u003c\"\n]");
}

#[test]
fn numbers_are_written_as_go_does() {
    for (value, text) in [
        (0.0, "0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
    ] {
        assert_eq!(to_string(&value).unwrap(), text);
    }
}
