use super::document::{self, Json};
use super::format::{Format, Listing, Row};
use super::template::Template;
use super::text::PushFormat;
use super::{table, text, units};

#[test]
fn sizes() {
    let cases = [
        (0, "0B", "0B"),
        (1, "1B", "1B"),
        (999, "999B", "999B"),
        (1000, "1kB", "1kB"),
        (13_256, "13.3kB", "13.26kB"),
        (1_112_000, "1.11MB", "1.112MB"),
        (1_982_000, "1.98MB", "1.982MB"),
        (164_024_401, "164MB", "164MB"),
        (999_600, "1e+03kB", "999.6kB"),
        (72_800_000, "72.8MB", "72.8MB"),
        (1_000_000_000, "1GB", "1GB"),
        (-1, "-1B", "-1B"),
        (36_450, "36.5kB", "36.45kB"),
        (1_064_000, "1.06MB", "1.064MB"),
    ];
    for (bytes, three, four) in cases {
        assert_eq!(
            (units::size(bytes).as_str(), units::size4(bytes).as_str()),
            (three, four)
        );
    }
    assert_eq!(units::binary_size(16_661_069_824), "15.52GiB");
}

#[test]
fn durations() {
    let cases: [(i128, &str); 15] = [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (45 * 60, "45 minutes"),
        (59 * 60 + 59, "59 minutes"),
        (60 * 60, "About an hour"),
        (90 * 60, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 24 * 3600, "2 weeks"),
        (60 * 24 * 3600, "2 months"),
        (3 * 365 * 24 * 3600, "3 years"),
    ];
    for (seconds, expected) in cases {
        assert_eq!(
            units::duration(seconds * 1_000_000_000),
            expected,
            "{seconds}"
        );
    }
    assert_eq!(units::duration(999_999_999), "Less than a second");
    assert_eq!(units::duration(-5_000_000_000), "Less than a second");
}

#[test]
fn moments() {
    let then: jiff::Timestamp = "2026-11-21T09:10:54.5Z".parse().unwrap();
    let utc = jiff::tz::TimeZone::UTC;
    assert_eq!(
        units::created_at(then, &utc),
        "2026-11-21 09:10:54 +0000 UTC"
    );
    assert_eq!(units::rfc3339(then, &utc), "2026-11-21T09:10:54Z");
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
    assert_eq!(units::rfc3339(then, &zone), "2026-11-21T11:10:54+02:00");
}

#[test]
fn cuts() {
    assert_eq!(text::ellipsis("short", 20), "short");
    assert_eq!(
        text::ellipsis("exactly twenty chars", 20),
        "exactly twenty chars"
    );
    assert_eq!(
        text::ellipsis("sh -c 'echo 12345 > /w; exec sleep 600'", 20),
        "sh -c 'echo 12345 >\u{2026}"
    );
    assert_eq!(
        text::ellipsis("\u{4e2d}\u{6587}\u{4e2d}\u{6587}", 6),
        "\u{4e2d}\u{6587}\u{2026}"
    );
    assert_eq!(text::short_id("sha256:0123456789abcdef"), "0123456789ab");
    assert_eq!(text::short_id("abc"), "abc");
}

#[test]
fn columns() {
    assert_eq!(
        table::align("REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\n"),
        "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"
    );
    assert_eq!(
        table::align("NAME\tDESCRIPTION\tOFFICIAL\nabc\td\t\nabcdefghijkl\t\t[OK]\n"),
        "NAME           DESCRIPTION   OFFICIAL\nabc            d             \nabcdefghijkl                 [OK]\n"
    );
    // A line without the column ends a block of equal widths.
    assert_eq!(
        table::align("aaaaaaaaaaaaaaaa\tb\nplain\nc\td\n"),
        "aaaaaaaaaaaaaaaa   b\nplain\nc         d\n"
    );
    assert_eq!(table::align_with("a\tb\n", 0, 1), "a b\n");
    assert_eq!(
        table::align("\u{4e2d}\u{6587}\u{4e2d}\u{6587}\tx\nabc\ty\n"),
        "\u{4e2d}\u{6587}\u{4e2d}\u{6587}   x\nabc        y\n"
    );
}

const LISTING: Listing = Listing {
    go_type: "*formatter.imageContext",
    columns: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
    ],
    table: "table {{.Repository}}\t{{.Tag}}\t{{.ID}}",
};

fn rows() -> Vec<Row> {
    vec![
        Row::default()
            .set("Repository", "ubuntu")
            .set("Tag", "18.04")
            .set("ID", "abcdef"),
        Row::default()
            .set("Repository", "<none>")
            .set("Tag", "<none>")
            .set("ID", "123456"),
    ]
}

fn list(format: &str) -> String {
    match Format::parse(format, LISTING.table).and_then(|format| format.render(&LISTING, rows())) {
        Ok(text) => text,
        Err(error) => format!("template parsing error: {error}"),
    }
}

#[test]
fn listings() {
    let cases = [
        (
            "",
            "REPOSITORY   TAG       IMAGE ID\nubuntu       18.04     abcdef\n<none>       <none>    123456\n",
        ),
        (
            "{{.ID}}: {{.Repository}}",
            "abcdef: ubuntu\n123456: <none>\n",
        ),
        (
            "table {{.ID}}\\t{{.Tag}}",
            "IMAGE ID   TAG\nabcdef     18.04\n123456     <none>\n",
        ),
        (
            "table {{.Repository}}:{{.Tag}}",
            "REPOSITORY:TAG\nubuntu:18.04\n<none>:<none>\n",
        ),
        (
            "table {{upper .Repository}}|{{pad .Tag 1 2}}",
            "REPOSITORY| TAG  \nUBUNTU| 18.04  \n<NONE>| <none>  \n",
        ),
        (
            "json",
            "{\"ID\":\"abcdef\",\"Repository\":\"ubuntu\",\"Tag\":\"18.04\"}\n{\"ID\":\"123456\",\"Repository\":\"\\u003cnone\\u003e\",\"Tag\":\"\\u003cnone\\u003e\"}\n",
        ),
        (
            "{{.Nope}}",
            "template parsing error: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.imageContext",
        ),
        (
            "{{",
            "template parsing error: template: :1: unclosed action",
        ),
    ];
    for (format, expected) in cases {
        assert_eq!(list(format), expected, "{format}");
    }
}

#[test]
fn documents_with_known_types() {
    let json: Json = serde_json::from_str(
        r#"{"ApiVersion":"1","Client":{"Os":"linux","Up":true},"Runtimes":{"a":{"path":"x"}}}"#,
    )
    .unwrap();
    let types = [
        ("", "system.info"),
        ("Client", "*system.client"),
        ("Runtimes", "map[string]system.Runtime"),
        ("Runtimes[]", "system.Runtime"),
    ];
    let nope = |at: &str, field: &str, name: &str, go_type: &str| {
        format!(
            "\nERROR template: v:1:{at}: executing \"v\" at <{field}>: can't evaluate field {name} in \
             type {go_type}"
        )
    };
    for (template, expected) in [
        ("{{.APIVersion}} {{.ApiVersion}}", "1 1\n".to_owned()),
        (
            "{{.Runtimes.a.path}} {{.Runtimes.b}}",
            "x <no value>\n".to_owned(),
        ),
        ("{{.Nope}}", nope("2", ".Nope", "Nope", "system.info")),
        (
            "{{.Client.Nope}}",
            nope("9", ".Client.Nope", "Nope", "*system.client"),
        ),
        ("{{.Client.Os.X}}", nope("9", ".Client.Os.X", "X", "string")),
        ("{{.Client.Up.X}}", nope("9", ".Client.Up.X", "X", "bool")),
        (
            "a{{.Domainname}}",
            format!("a{}", nope("3", ".Domainname", "Domainname", "system.info")),
        ),
        (
            "{{range .Runtimes}}{{.X}}{{end}}",
            nope("21", ".X", "X", "system.Runtime"),
        ),
    ] {
        let parsed = Template::parse(template).unwrap();
        let mut out = String::new();
        let result = document::render_known(&parsed, &json, &types, &mut out);
        out.push('\n');
        if let Err(error) = result {
            out.push_fmt(format_args!("ERROR {}", error.named("v")));
        }
        assert_eq!(out, expected, "{template}");
    }
}

fn inspect(template: &str) -> String {
    let json: Json = serde_json::from_str(
        r#"{"Id":"sha256:ab","RepoTags":["a:1"],"Size":164024401,"Config":{"Env":["A=b"],"Cmd":null,"Labels":{"k":"v<"}},"State":{"Running":true,"Pid":12},"RootFS":{"Type":"layers","Layers":["sha256:1"]}}"#,
    )
    .unwrap();
    let rendered = Template::parse(template)
        .and_then(|template| document::render_typed(&template, &json, &json));
    rendered.unwrap_or_else(|error| format!("ERROR {error}"))
}

#[test]
fn documents() {
    let cases = [
        ("{{.Id}} {{.ID}}", "sha256:ab sha256:ab"),
        ("{{.Size}}", "164024401"),
        (
            "{{json .RootFS}}",
            r#"{"Type":"layers","Layers":["sha256:1"]}"#,
        ),
        ("{{.Config.Cmd}} {{.RepoTags}}", "[] [a:1]"),
        ("{{json .Config.Labels}}", r#"{"k":"v<"}"#),
        (
            "{{.Config.Labels.k}}{{index .Config.Labels \"no\"}}",
            // A map of texts answers with the empty one.
            "v<",
        ),
        ("{{if .State.Health}}yes{{else}}no{{end}}", "no"),
        ("{{range .Config.Env}}{{println .}}{{end}}", "A=b\n"),
        (
            "{{.Nope}}",
            "ERROR template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"",
        ),
        (
            "{{.State.Health.Status}}",
            "ERROR template: :1:8: executing \"\" at <.State.Health.Status>: map has no entry for key \"Health\"",
        ),
    ];
    for (template, expected) in cases {
        assert_eq!(inspect(template), expected, "{template}");
    }
    let json: Json = serde_json::from_str(r#"{"b":[],"a":{},"c":[1,{"d":"<&>"}]}"#).unwrap();
    let mut out = String::new();
    json.write_indented(&mut out, 0);
    assert_eq!(
        out,
        "{\n    \"b\": [],\n    \"a\": {},\n    \"c\": [\n        1,\n        {\n            \"d\": \"<&>\"\n        }\n    ]\n}"
    );
}
