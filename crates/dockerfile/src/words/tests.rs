use super::*;

fn env() -> BTreeMap<String, String> {
    [
        ("a", "one"),
        ("two", "x  y z"),
        ("empty", ""),
        ("path", "/usr/lib/libc.so.6"),
        ("star", "a*b*c"),
        ("lines", "one\ntwo"),
        ("acc", "ünïx"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn text(source: &str) -> Result<String, String> {
    expand(source, &env(), '\\')
        .map(|found| found.text)
        .map_err(|error| error.reason)
}

#[test]
fn texts() {
    for (source, result) in [
        ("$a", "one"),
        ("${a}x$a", "onexone"),
        ("$ab", ""),
        ("$1a $$ $@x", "a  x"),
        ("$ x$", "$ x$"),
        ("\\$a '$a' \"$a\"", "$a $a one"),
        ("\"\\$a \\x \\\" \\\\\"", "$a \\x \" \\"),
        ("a\\", "a"),
        ("${none:-d}${none-d}${empty:-d}${empty-d}", "ddd"),
        ("${a:+s}${none:+s}${empty:+s}${empty+s}", "ss"),
        ("${none:-${empty:-$a}}", "one"),
        ("${none:-\"q}\"}", "q}"),
        ("${a:?no}${empty?no}", "one"),
        ("${path#*/}", "usr/lib/libc.so.6"),
        ("${path##*/}", "libc.so.6"),
        ("${path%.*}", "/usr/lib/libc.so"),
        ("${path%%.*}", "/usr/lib/libc"),
        (
            "${path#nothing}${path%nothing}",
            "/usr/lib/libc.so.6/usr/lib/libc.so.6",
        ),
        ("${path%/*/*}", "/usr"),
        ("${a#?}${a%?}${a#????}", "neonone"),
        ("${path/lib/LIB}", "/usr/LIB/libc.so.6"),
        ("${path//lib/LIB}", "/usr/LIB/LIBc.so.6"),
        ("${path//\\//-}", "-usr-lib-libc.so.6"),
        ("${path/usr*lib/X}", "/Xc.so.6"),
        ("${star//\\*/+}", "a+b+c"),
        ("${star/\\*?/+}", "a+*c"),
        ("${two//  / }", "x y z"),
        ("${acc/ï/i}${acc%ïx}", "ünixün"),
        ("${lines#*}|${lines##*}", "one\ntwo|\ntwo"),
        ("${none/x/y}", ""),
        ("${a//?/$two}", "x  y zx  y zx  y z"),
        ("<<EOF < <  x", "<<EOF < <  x"),
        ("\u{feff}x", "x"),
    ] {
        assert_eq!(text(source).as_deref(), Ok(result), "{source}");
    }
}

#[test]
fn errors() {
    for (source, reason) in [
        (
            "'a",
            "unexpected end of statement while looking for matching single-quote",
        ),
        (
            "\"a\\\"",
            "unexpected end of statement while looking for matching double-quote",
        ),
        ("${", "syntax error: missing '}'"),
        ("${a:-b", "syntax error: missing '}'"),
        ("${a:", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${{a}", "syntax error: bad substitution"),
        ("${:a}", "syntax error: bad substitution"),
        ("${a/b", "syntax error: missing '/' in ${}"),
        ("${a/b/c", "syntax error: missing '}'"),
        ("${a&b}", "unsupported modifier (&) in substitution"),
        ("${a:z}", "unsupported modifier (:z) in substitution"),
        ("${a:#b}", "unsupported modifier (:#) in substitution"),
        ("${a", "unsupported modifier (\u{fffd}) in substitution"),
        ("${none?}", "none: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${empty:?say $a}", "empty: say one"),
        (
            "${a#\\x}",
            "invalid pattern (\\x) in substitution: invalid escape '\\x'",
        ),
    ] {
        assert_eq!(text(source), Err(reason.to_owned()), "{source}");
    }
    let error = expand("'\t", &env(), '\\').unwrap_err().to_string();
    assert!(
        error.starts_with("failed to process \"'\\t\": unexpected end"),
        "{error}"
    );
}

#[test]
fn words() {
    for (source, words) in [
        ("a  b", vec!["a", "b"]),
        ("$two", vec!["x", "y", "z"]),
        ("\"$two\" '' b", vec!["x  y z", "b"]),
        ("a$two", vec!["ax", "y", "z"]),
        ("a\\ b c'd e'", vec!["a b", "cd e"]),
        ("pre${none:-in ner}post", vec!["prein", "nerpost"]),
        ("<< EOF x", vec!["<< EOF", "x"]),
        ("", vec![]),
    ] {
        let found = expand_words(source, &env(), '\\').unwrap();
        assert_eq!(found.words, words, "{source}");
    }
}

#[test]
fn options_keep_what_they_say() {
    let none = BTreeMap::new();
    let keep = Options {
        raw_quotes: true,
        raw_escapes: true,
        keep_unset: true,
        ..Options::new('\\')
    };
    for source in ["a 'b' \"c\"", "$a ${b} ${c:-d} ${e/f/g}", "\\$x \\' \\\\ z"] {
        assert_eq!(expand_with(source, &none, keep).unwrap().text, source);
    }
    assert_eq!(
        expand_raw("'$a' \"it's\"", &env(), '\\').unwrap().text,
        "'one' \"it's\""
    );
    assert_eq!(expand("`$a \\$a", &env(), '`').unwrap().text, "$a \\one");
}

#[test]
fn names_are_reported() {
    let found = expand("$a ${none} ${gone:-$empty}", &env(), '\\').unwrap();
    assert_eq!(found.used, ["a", "empty"].map(str::to_owned).into());
    assert_eq!(found.undefined, ["gone", "none"].map(str::to_owned).into());
    let list = ["x=1".to_owned(), "x=2".to_owned(), "y".to_owned()];
    assert_eq!(
        ["x", "y", "z"].map(|name| Lookup::get(list.as_slice(), name)),
        [Some("2"), Some(""), None]
    );
}

#[test]
fn depth_size_and_work_are_bounded() {
    let nested = |depth: usize| format!("{}x{}", "${u:-".repeat(depth), "}".repeat(depth));
    assert_eq!(text(&nested(DEPTH_LIMIT)).as_deref(), Ok("x"));
    assert_eq!(
        text(&nested(100_000)).unwrap_err(),
        "substitutions nested deeper than 64"
    );
    let mut env = env();
    env.insert("big".to_owned(), "y".repeat(100_000));
    let error = expand(&"$big".repeat(2_000), &env, '\\').unwrap_err();
    assert_eq!(
        error.reason,
        format!("result longer than {RESULT_LIMIT} bytes")
    );
    let pattern = format!("${{big//*{}z/}}", "y*".repeat(30_000));
    let error = expand(&pattern, &env, '\\').unwrap_err();
    assert_eq!(error.reason, "pattern takes too long on this value");
    assert!(expand(&"${none:-x}".repeat(40_000), &env, '\\').is_ok());
}
