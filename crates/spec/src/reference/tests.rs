use proptest::prelude::*;

use super::*;

const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn parse(text: &str) -> Reference {
    Reference::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn error(text: &str) -> String {
    match Reference::parse(text) {
        Ok(reference) => panic!("{text:?} was read as {reference:?}"),
        Err(error) => error.to_string(),
    }
}

/// Rows: as typed, registry, path, familiar name.
const NAMES: &str = "\
ubuntu                           docker.io           library/ubuntu             ubuntu
library/ubuntu                   docker.io           library/ubuntu             ubuntu
docker.io/ubuntu                 docker.io           library/ubuntu             ubuntu
docker.io/library/ubuntu         docker.io           library/ubuntu             ubuntu
index.docker.io/ubuntu           docker.io           library/ubuntu             ubuntu
index.docker.io/library/ubuntu   docker.io           library/ubuntu             ubuntu
index.docker.io/sea/boat         docker.io           sea/boat                   sea/boat
sea/boat                         docker.io           sea/boat                   sea/boat
sea/library                      docker.io           sea/library                sea/library
library/sea/boat                 docker.io           library/sea/boat           library/sea/boat
sea_land/boat                    docker.io           sea_land/boat              sea_land/boat
foo/bar_baz.com                  docker.io           foo/bar_baz.com            foo/bar_baz.com
ubuntu-12.04-base                docker.io           library/ubuntu-12.04-base  ubuntu-12.04-base
192.168.1.1                      docker.io           library/192.168.1.1        192.168.1.1
localhost                        docker.io           library/localhost          localhost
localhost/boat                   localhost           boat                       localhost/boat
localhost:5000/boat              localhost:5000      boat                       localhost:5000/boat
harbour:5000/boat                harbour:5000        boat                       harbour:5000/boat
example.com/boat                 example.com         boat                       example.com/boat
example.com/sea/boat             example.com         sea/boat                   example.com/sea/boat
example-x.com:8080/boat          example-x.com:8080  boat                       example-x.com:8080/boat
sub-1.example.com/a/b/c          sub-1.example.com   a/b/c                      sub-1.example.com/a/b/c
xn--n3h.com:18080/boat           xn--n3h.com:18080   boat                       xn--n3h.com:18080/boat
127.0.0.1:8000/sea/boat          127.0.0.1:8000      sea/boat                   127.0.0.1:8000/sea/boat
[::1]:5000/boat                  [::1]:5000          boat                       [::1]:5000/boat
[2001:db8::1]/boat               [2001:db8::1]       boat                       [2001:db8::1]/boat
[2001:DB8::]:5000/sea/boat       [2001:DB8::]:5000   sea/boat                   [2001:DB8::]:5000/sea/boat
BAD/x                            BAD                 x                          BAD/x
Sea/boat                         Sea                 boat                       Sea/boat
b.example.io/test.example.com/x  b.example.io        test.example.com/x         b.example.io/test.example.com/x
d/t                              docker.io           d/t                        d/t
a---b/c__d.e-f                   docker.io           a---b/c__d.e-f             a---b/c__d.e-f
";

#[test]
fn names_are_completed() {
    for row in NAMES.lines() {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let [text, domain, path, familiar] = columns[..] else {
            panic!("not four columns: {row}")
        };
        let reference = parse(text);
        assert_eq!(reference.domain(), domain, "{text}");
        assert_eq!(reference.path(), path, "{text}");
        assert_eq!(reference.familiar_name(), familiar, "{text}");
        assert_eq!(reference.repository(), format!("{domain}/{path}"), "{text}");
        assert!(reference.is_name_only(), "{text}");
    }
}

/// Rows: as typed, familiar, tag.
#[test]
fn tags_and_ports_are_told_apart() {
    for (text, familiar, tag) in [
        ("ubuntu:18.04", "ubuntu:18.04", "18.04"),
        ("example.com:5000", "example.com:5000", "5000"),
        ("192.168.1.1:80", "192.168.1.1:80", "80"),
        ("foo_bar.com:8080", "foo_bar.com:8080", "8080"),
        ("foo/foo_bar.com:8080", "foo/foo_bar.com:8080", "8080"),
        (
            "harbour:5000/boat:Tag_1.x-2",
            "harbour:5000/boat:Tag_1.x-2",
            "Tag_1.x-2",
        ),
        (
            "192.168.1.1:5000/boat:5050",
            "192.168.1.1:5000/boat:5050",
            "5050",
        ),
        ("[::1]:5000/boat:1", "[::1]:5000/boat:1", "1"),
        ("docker.io/library/boat:_", "boat:_", "_"),
    ] {
        let reference = parse(text);
        assert_eq!(reference.tag(), Some(tag), "{text}");
        assert_eq!(reference.to_string(), familiar, "{text}");
    }
}

#[test]
fn a_tag_and_a_digest_together() {
    let reference = parse(&format!("boat:1@sha256:{HEX}"));
    assert_eq!(reference.tag(), Some("1"));
    assert_eq!(reference.digest().map(Digest::hex), Some(HEX));
    assert_eq!(reference.familiar(), format!("boat:1@sha256:{HEX}"));
    assert_eq!(
        reference.canonical(),
        format!("docker.io/library/boat:1@sha256:{HEX}")
    );
    assert_eq!(reference.without_digest().familiar(), "boat:1");
    assert_eq!(
        reference.without_tag().familiar(),
        format!("boat@sha256:{HEX}")
    );
    assert_eq!(reference.without_tag_and_digest().familiar(), "boat");
    assert_eq!(reference.with_tag("2").unwrap().tag(), Some("2"));
    assert_eq!(reference.or_latest(), reference);

    let long = format!("harbour:5000/boat@sha512:{HEX}{HEX}");
    assert_eq!(parse(&long).familiar(), long);
}

#[test]
fn latest_is_for_bare_names_only() {
    assert_eq!(parse("boat").or_latest().familiar(), "boat:latest");
    assert_eq!(parse("boat:1").or_latest().familiar(), "boat:1");
    let by_digest = format!("boat@sha256:{HEX}");
    assert_eq!(parse(&by_digest).or_latest().familiar(), by_digest);
    assert_eq!(parse("boat").with_tag("-x"), Err(ReferenceError::Tag));
    assert_eq!(
        parse("boat").with_tag(&"x".repeat(129)),
        Err(ReferenceError::Tag)
    );
}

const FORMAT_ERRORS: &[&str] = &[
    "",
    ":tag",
    "@sha256:1",
    "boat@",
    "boat:",
    "boat@sha256:123",
    "boat::1",
    "ubuntu::14.04",
    "a b",
    "harbour:5000/a b",
    "harbour:5000/",
    "boat/",
    "/boat",
    "-boat",
    "-sea/boat",
    "sea-/boat",
    "_sea/_boat",
    "____/____",
    "sea..x/boat",
    "sea/a..b",
    "sea/a_.b",
    "sea/a-.b",
    "sea/a___b",
    "sea///boat",
    "aa/as$$^/aa",
    "https://example.com/sea/boat",
    "[::1]",
    "[::1]:5000",
    "[::1]:tag",
    "[fe80::1%eth0]:5000/boat",
    "[2001:db8::192.0.2.33]:5000/boat",
    "fc00::1:5000/boat",
    "harbour:x/boat",
    "-harbour.io/boat",
    "foo_bar.com/boat",
    "boat:-1",
];

#[test]
fn the_grammar_is_kept() {
    for text in FORMAT_ERRORS {
        assert_eq!(error(text), "invalid reference format", "{text:?}");
    }
}

#[test]
fn bad_references_are_refused_in_dockers_words() {
    let format = "invalid reference format";
    let short = format!("boat@sha256:{}", "f".repeat(34));
    let unknown = format!("boat@sha255:{HEX}");
    let not_hex = format!("boat@sha256:{}", "g".repeat(64));
    let upper_hex = format!("boat@sha256:{}", "A".repeat(64));
    let long_tag = format!("boat:{}", "a".repeat(129));
    for (text, message) in [
        (not_hex.as_str(), format),
        (&long_tag, format),
        (&short, "invalid checksum digest length"),
        (&unknown, "unsupported digest algorithm"),
        (&upper_hex, "invalid checksum digest format"),
        (
            "Bad::Ref",
            "invalid reference format: repository name (library/Bad) must be lowercase",
        ),
        (
            "BAD:::x",
            "invalid reference format: repository name (library/BAD) must be lowercase",
        ),
        (
            "BAD:ref",
            "invalid reference format: repository name (library/BAD) must be lowercase",
        ),
        (
            "ns/BAD",
            "invalid reference format: repository name (ns/BAD) must be lowercase",
        ),
        (
            "127.0.0.1:5000/UPPER",
            "invalid reference format: repository name (UPPER) must be lowercase",
        ),
        (
            HEX,
            "invalid repository name (9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08), \
             cannot specify 64-byte hexadecimal strings",
        ),
    ] {
        assert_eq!(error(text), message, "{text:?}");
    }
}

#[test]
fn hexadecimal_names_are_fine_when_they_are_no_id() {
    assert_eq!(
        parse(&format!("docker.io/{HEX}")).path(),
        format!("library/{HEX}")
    );
    assert_eq!(parse(&HEX[..63]).path(), format!("library/{}", &HEX[..63]));
    assert_eq!(parse("deadbeef").familiar(), "deadbeef");
}

#[test]
fn the_path_has_a_limit_and_the_registry_does_not_count() {
    let longest = format!("{}a", "a/".repeat(127));
    assert_eq!(longest.len(), PATH_LIMIT);
    assert_eq!(parse(&format!("example.com/{longest}:tag")).path(), longest);
    assert_eq!(
        error(&format!("example.com/{longest}b")),
        "repository name must not be more than 255 characters"
    );
}

#[test]
fn json_keeps_the_whole_name() {
    let reference = parse("boat:1");
    let json = serde_json::to_string(&reference).unwrap();
    assert_eq!(json, r#""docker.io/library/boat:1""#);
    assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(text in ".{0,80}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&reference.canonical()), Ok(reference));
        }
    }

    #[test]
    fn what_is_printed_is_read_back(
        host in "([a-z]{1,5}\\.[a-z]{2,3}(:[0-9]{1,5})?/|localhost/|\\[::1\\](:5000)?/)?",
        path in "[a-z0-9]{1,6}((_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z]{1,5}([._][a-z]){0,2}){0,3}",
        tag in "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,10})?",
        digest in "(@sha256:[a-f0-9]{64})?",
    ) {
        let reference = Reference::parse(&format!("{host}{path}{tag}{digest}")).unwrap();
        prop_assert_eq!(&Reference::parse(&reference.canonical()).unwrap(), &reference);
        prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
    }
}
