use super::*;
use std::collections::BTreeMap;
use std::rc::Rc;

fn row() -> Value {
    Value::Struct(Rc::new(Struct {
        go_type: "*formatter.imageContext",
        fields: vec![
            ("ID".into(), "abc".into()),
            ("Repository".into(), "<none>".into()),
            ("Size".into(), "1.98MB".into()),
        ],
        labels: Some(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
        escapes_html: true,
        ..Struct::default()
    }))
}

fn document() -> Value {
    let map = |pairs: &[(&str, Value)]| {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        Value::Map(Some(Rc::new(pairs.collect())))
    };
    map(&[
        ("Os", "linux".into()),
        ("Size", Value::Number("164024401".into())),
        ("Cmd", vec![Value::from("a"), Value::from("b c")].into()),
        ("Nothing", Value::Any(Rc::new(Value::Nil))),
        ("Labels", map(&[("x", "1".into()), ("y", "2".into())])),
        ("Typed", Value::List(None)),
    ])
}

fn render(text: &str, data: &Value) -> String {
    match Template::parse(text).and_then(|t| t.render(data, MissingKey::NoValue)) {
        Ok(out) => out,
        Err(error) => format!("ERROR {error}"),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn rows() {
    let cases = [
        ("{{.ID}}: {{.Repository}}", "abc: <none>"),
        (
            "{{json .}}",
            r#"{"ID":"abc","Repository":"\u003cnone\u003e","Size":"1.98MB"}"#,
        ),
        ("{{json .Repository}}", r#""<none>""#),
        ("{{.Label \"k\"}}|{{.Label \"no\"}}", "v|"),
        (
            "{{.Nope}}",
            "ERROR template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.imageContext",
        ),
        (
            "{{.ID}}\n {{.ID.Foo}}",
            "ERROR template: :2:6: executing \"\" at <.ID.Foo>: can't evaluate field Foo in type string",
        ),
        ("{{", "ERROR template: :1: unclosed action"),
        ("{{.", "ERROR template: :1: illegal number syntax: \".\""),
        ("{{.Nope", "ERROR template: :1: unclosed action"),
        (
            "{{nope .}}",
            "ERROR template: :1: function \"nope\" not defined",
        ),
        ("{{.ID", "ERROR template: :1: unclosed action"),
        ("{{}}", "ERROR template: :1: missing value for command"),
        ("{{if .ID}}", "ERROR template: :1: unexpected EOF"),
        ("{{end}}", "ERROR template: :1: unexpected {{end}}"),
        ("{{.ID}", "ERROR template: :1: bad character U+007D '}'"),
        ("{{\"x}}", "ERROR template: :1: unterminated quoted string"),
        (
            "{{len 3}}",
            "ERROR template: :1:2: executing \"\" at <len 3>: error calling len: len of type int",
        ),
        (
            "{{join .ID \",\"}}",
            "ERROR template: :1:7: executing \"\" at <.ID>: wrong type for value; expected []string; got string",
        ),
        (
            "{{.ID .ID}}",
            "ERROR template: :1:2: executing \"\" at <.ID>: wrong number of args for ID: want 0 got 1",
        ),
        (
            "{{1 2}}",
            "ERROR template: :1:2: executing \"\" at <1>: can't give argument to non-function 1",
        ),
        (
            "{{upper}}",
            "ERROR template: :1:2: executing \"\" at <upper>: wrong number of args for upper: want 1 got 0",
        ),
        (
            "{{eq .ID 1}}",
            "ERROR template: :1:2: executing \"\" at <eq .ID 1>: error calling eq: incompatible types for comparison",
        ),
        (
            "{{index .ID 99}}",
            "ERROR template: :1:2: executing \"\" at <index .ID 99>: error calling index: index out of range: 99",
        ),
        ("{{else}}", "ERROR template: :1: unexpected {{else}}"),
        ("{{@}}", "ERROR template: :1: unexpected \"@\" in command"),
        (
            "{{.ID}}{{template \"x\"}}",
            "ERROR template: :1:18: executing \"\" at <{{template \"x\"}}>: template \"x\" not defined",
        ),
        (
            "{{nil}}",
            "ERROR template: :1:2: executing \"\" at <nil>: nil is not a command",
        ),
        (
            "{{range .ID}}x{{end}}",
            "ERROR template: :1:8: executing \"\" at <.ID>: range can't iterate over abc",
        ),
        ("{{(.ID}}", "ERROR template: :1: unclosed left paren"),
        ("{{.ID)}}", "ERROR template: :1: unexpected right paren"),
        (
            "{{true.X}}",
            "ERROR template: :1: unexpected . after term \"true\"",
        ),
        (
            "{{break}}",
            "ERROR template: :1: {{break}} outside {{range}}",
        ),
        ("{{define \"x\"}}", "ERROR template: :1: unexpected EOF"),
        (
            "{{$x := 1}}{{$x, $y := 2}}",
            "ERROR template: :1: too many declarations in command",
        ),
        (
            "{{.ID\n",
            "ERROR template: :2: unclosed action started at :1",
        ),
        (
            "{{foo:bar}}",
            "ERROR template: :1: function \"foo\" not defined",
        ),
        (
            "{{12abc}}",
            "ERROR template: :1: bad number syntax: \"12a\"",
        ),
        (
            "{{1 | 2}}",
            "ERROR template: :1: non executable command in pipeline stage 2",
        ),
        (
            "{{\"a\".X}}",
            "ERROR template: :1: unexpected . after term \"\\\"a\\\"\"",
        ),
        ("{{.ID | }}", "abc"),
        ("{{$x}}", "ERROR template: :1: undefined variable \"$x\""),
    ];
    for (text, expected) in cases {
        assert_eq!(render(text, &row()), expected, "{text}");
    }
}

#[test]
fn language() {
    let cases = [
        ("{{range .Cmd}}[{{.}}]{{end}}", "[a][b c]"),
        (
            "{{range $i, $c := .Cmd}}{{$i}}={{$c}};{{end}}",
            "0=a;1=b c;",
        ),
        ("{{range $k, $v := .Labels}}{{$k}}{{$v}} {{end}}", "x1 y2 "),
        ("{{range .Typed}}x{{else}}none{{end}}", "none"),
        ("{{if .Nope}}a{{else if .Os}}b{{else}}c{{end}}", "b"),
        ("{{with .Os}}{{.}}{{$.Size}}{{end}}", "linux164024401"),
        ("a {{- .Os -}} b", "alinuxb"),
        ("{{/* comment */}}x", "x"),
        ("{{- /* comment */ -}} x", "x"),
        ("{{.Cmd}}", "[a b c]"),
        ("{{.Labels}}", "map[x:1 y:2]"),
        ("{{.Typed}}{{.Nothing}}{{.Nope}}", "[]<no value><no value>"),
        ("{{index .Cmd 1}}{{index .Labels \"y\"}}", "b c2"),
        ("{{len .Cmd}}{{len .Os}}", "25"),
        (
            "{{join .Cmd \",\"}}|{{upper .Os}}|{{title .Os}}|{{truncate .Os 3}}",
            "a,b c|LINUX|Linux|lin",
        ),
        ("{{pad .Os 1 2}}|", " linux  |"),
        ("{{range split .Os \"n\"}}<{{.}}>{{end}}", "<li><ux>"),
        (
            "{{json .}}",
            r#"{"Cmd":["a","b c"],"Labels":{"x":"1","y":"2"},"Nothing":null,"Os":"linux","Size":164024401,"Typed":null}"#,
        ),
        ("{{println .Os 1}}", "linux 1\n"),
        (
            "{{printf \"%-8s|%5d|%.2f|%q|%v|%x\" .Os 42 1.5 \"q\" true 255}}",
            "linux   |   42|1.50|\"q\"|true|ff",
        ),
        ("{{print 1 2 \"a\" 3}}", "1 2a3"),
        (
            "{{eq .Os \"linux\"}} {{ne 1 2}} {{lt 1 2}} {{and 1 0}} {{or 0 \"x\"}} {{not 0}}",
            "true true true 0 x true",
        ),
        ("{{.Os | upper | printf \"%s!\"}}", "LINUX!"),
        (
            "{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Os}}",
            "<linux>",
        ),
        (
            "{{range .Cmd}}{{if eq . \"a\"}}{{continue}}{{end}}{{.}}{{break}}{{end}}",
            "b c",
        ),
        ("{{$x := 1}}{{range .Cmd}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{slice .Os 1 3}}", "in"),
        ("{{html \"<a>\"}}{{urlquery \"a b\"}}", "&lt;a&gt;a+b"),
        (
            "{{printf \"%s\" 1}}{{printf \"%d\"}}",
            "%!s(int=1)%!d(MISSING)",
        ),
        ("{{range 3}}{{.}}{{end}}", "012"),
        (
            "{{0x1f}} {{-5}} {{1.5}} {{1e3}} {{1_000}} {{'a'}} {{+2}}",
            "31 -5 1.5 1000 1000 97 2",
        ),
        ("{{(index .Cmd 0)}}", "a"),
    ];
    for (text, expected) in cases {
        assert_eq!(render(text, &document()), expected, "{text}");
    }
}

#[test]
fn missing_keys_can_be_errors() {
    let cases = [
        (
            "{{.Nope}}",
            ":1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"",
        ),
        (
            "{{.Labels.Nope}}",
            ":1:9: executing \"\" at <.Labels.Nope>: map has no entry for key \"Nope\"",
        ),
        (
            "{{.Nothing.X}}",
            ":1:10: executing \"\" at <.Nothing.X>: nil pointer evaluating interface {}.X",
        ),
    ];
    for (text, expected) in cases {
        let error = Template::parse(text)
            .unwrap()
            .render(&document(), MissingKey::Error)
            .unwrap_err();
        assert_eq!(error.0, expected, "{text}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Template::parse(&text).is_err());
    let recursive = "{{define \"a\"}}{{template \"a\" .}}{{end}}{{template \"a\" .}}";
    assert!(render(recursive, &document()).contains("exceeded maximum template depth"));
}

#[test]
fn large_numbers_do_no_harm() {
    let long = "{{range 9223372036854775807}}{{.}}{{break}}{{end}}";
    assert_eq!(render(long, &document()), "0");
    let wide = render("{{printf \"%.70000f\" 0.5}}", &document());
    assert_eq!(wide.len(), "0.".len() + usize::from(u16::MAX));
}

#[test]
fn blocks_of_templates_that_call_themselves_are_bounded() {
    let text = format!(
        "{{{{define \"a\"}}}}{}{{{{template \"a\"}}}}{}{{{{end}}}}{{{{template \"a\"}}}}",
        "{{if true}}".repeat(190),
        "{{end}}".repeat(190)
    );
    assert!(render(&text, &document()).contains("exceeded maximum nesting of blocks"));
}
