use super::words::{build_argument, cache_locations, fields, named_context, secret, ssh};
use super::*;
use crate::args::{Matches, parse};
use lapstrake_engine::ops::{SecretSource, SshSource};
use std::path::PathBuf;

fn matches(line: &str) -> Matches {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    Matches::new(flags::FLAGS, parse(flags::FLAGS, &words, true).unwrap())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_decides_on_the_face() {
    let around = |progress, buildkit, is_terminal| Surroundings {
        progress,
        buildkit,
        is_terminal,
    };
    let nothing = around(None, None, false);
    let cases = [
        (".", nothing, Ok(Face::Modern(Style::Plain))),
        (
            ".",
            around(None, None, true),
            Ok(Face::Modern(Style::Terminal)),
        ),
        (
            ".",
            around(Some("plain"), None, true),
            Ok(Face::Modern(Style::Plain)),
        ),
        (".", around(None, Some("0"), true), Ok(Face::Classic)),
        (
            ".",
            around(None, Some("1"), false),
            Ok(Face::Modern(Style::Plain)),
        ),
        (
            ".",
            around(None, Some(""), false),
            Ok(Face::Modern(Style::Plain)),
        ),
        (
            ".",
            around(Some("rawjson"), Some("0"), false),
            Ok(Face::Classic),
        ),
        (
            "--progress=plain .",
            around(None, Some("0"), true),
            Ok(Face::Modern(Style::Plain)),
        ),
        (
            "--progress=auto .",
            around(None, Some("0"), true),
            Ok(Face::Classic),
        ),
        ("--progress classic .", nothing, Ok(Face::Classic)),
        ("--progress classic -q .", nothing, Ok(Face::Classic)),
        (
            "--progress rawjson .",
            nothing,
            Ok(Face::Modern(Style::Json)),
        ),
        (
            "--progress quiet .",
            nothing,
            Ok(Face::Modern(Style::Quiet)),
        ),
        (
            "--progress none .",
            nothing,
            Ok(Face::Modern(Style::Silent)),
        ),
        (
            "-q .",
            around(None, None, true),
            Ok(Face::Modern(Style::Quiet)),
        ),
        ("-q .", around(None, Some("0"), true), Ok(Face::Classic)),
        (
            "-q --progress=tty .",
            nothing,
            Err("progress=tty and quiet cannot be used together"),
        ),
        (
            "--progress=tty .",
            nothing,
            Err("failed to get console: provided file is not a console"),
        ),
        (
            "--progress=foo .",
            nothing,
            Err("invalid progress mode foo"),
        ),
        (
            ".",
            around(None, Some("x"), false),
            Err(
                "DOCKER_BUILDKIT environment variable expects boolean value: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
        ),
    ];
    for (line, around, expected) in cases {
        let found = face(&matches(line), around).map_err(|failure| failure.text);
        assert_eq!(found, expected.map_err(str::to_owned), "{line} {around:?}");
    }
}

#[test]
fn fields_of_a_record() {
    let cases = [
        ("a,b", Ok(vec!["a", "b"])),
        ("", Ok(vec![""])),
        ("a,", Ok(vec!["a", ""])),
        (
            "type=x,\"name=a,b\",c=\"d\"",
            Ok(vec!["type=x", "name=a,b", "c=\"d\""]),
        ),
        ("\"a\"\"b\"", Ok(vec!["a\"b"])),
        (
            "\"a",
            Err("parse error in \"\\\"a\": extraneous or missing \" in quoted-field"),
        ),
    ];
    for (record, expected) in cases {
        let expected = expected
            .map(|fields| fields.into_iter().map(str::to_owned).collect::<Vec<_>>())
            .map_err(str::to_owned);
        assert_eq!(fields(record), expected, "{record}");
    }
}

#[test]
fn secrets_come_from_files_and_variables() {
    let lookup = |name: &str| (name == "TOKEN").then(|| "t".to_owned());
    let file = |path: &str| SecretSource::File(PathBuf::from(path));
    let token = SecretSource::Value(b"t".to_vec());
    let cases = [
        ("id=a,src=/x", Ok(("a", file("/x")))),
        ("id=a,source=/x,type=file", Ok(("a", file("/x")))),
        ("id=a,env=TOKEN", Ok(("a", token.clone()))),
        ("id=a,type=env,src=TOKEN", Ok(("a", token.clone()))),
        (
            "id=a,env=NOPE",
            Ok(("a", SecretSource::Unset("NOPE".to_owned()))),
        ),
        ("id=TOKEN", Ok(("TOKEN", token.clone()))),
        ("type=file,id=TOKEN", Ok(("TOKEN", file("TOKEN")))),
        ("type=env,id=TOKEN", Ok(("TOKEN", token))),
        ("id=x", Ok(("x", file("x")))),
        ("x", Err("invalid field 'x' must be a key=value pair")),
        ("src=x", Err("invalid secret \"src=x\": id is required")),
        ("id=a,foo=b", Err("unexpected key 'foo' in 'foo=b'")),
        ("id=a,type=vault", Err("unsupported secret type \"vault\"")),
    ];
    for (value, expected) in cases {
        let expected = expected
            .map(|(id, source)| (id.to_owned(), source))
            .map_err(str::to_owned);
        assert_eq!(secret(value, &lookup), expected, "{value}");
    }
}

#[test]
fn keys_come_from_agents_and_files() {
    let with = |name: &str| (name == "SSH_AUTH_SOCK").then(|| "/run/agent".to_owned());
    let without = |_: &str| None;
    let agent = SshSource::Agent(PathBuf::from("/run/agent"));
    assert_eq!(ssh("default", &with), ("default".to_owned(), agent.clone()));
    assert_eq!(ssh("x=", &with), ("x".to_owned(), agent));
    assert_eq!(ssh("x", &without), ("x".to_owned(), SshSource::Unset));
    let keys = SshSource::Keys(vec![PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(ssh("x=/a,/b", &with), ("x".to_owned(), keys));
}

#[test]
fn caches_are_places() {
    let read = |value: &str| {
        let places = cache_locations(&[value.to_owned()])?;
        let places = places
            .iter()
            .map(|place| format!("{} {:?}", place.kind, place.attributes));
        Ok::<_, String>(places.collect::<Vec<_>>().join("; "))
    };
    assert_eq!(
        read("user/app:cache,b").unwrap(),
        "registry {\"ref\": \"user/app:cache\"}; registry {\"ref\": \"b\"}"
    );
    assert_eq!(
        read("type=local,dest=out,MODE=max").unwrap(),
        "local {\"dest\": \"out\", \"mode\": \"max\"}"
    );
    assert_eq!(read("type=inline").unwrap(), "inline {}");
    assert_eq!(read("ref=x").unwrap_err(), "type required form> \"ref=x\"");
    assert_eq!(
        read("type=gha").unwrap_err(),
        "cache type \"gha\" is not supported: known are registry, local and inline"
    );
    assert_eq!(
        read("type=local,x").unwrap_err(),
        "invalid field 'x' must be a key=value pair"
    );
}

#[test]
fn pairs_of_names_and_values() {
    let lookup = |name: &str| (name == "SET").then(|| "1".to_owned());
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(build_argument("A=b=c", &lookup), Some(pair("A", "b=c")));
    assert_eq!(build_argument("SET", &lookup), Some(pair("SET", "1")));
    assert_eq!(build_argument("UNSET", &lookup), None);
    assert_eq!(named_context("x=../y"), Ok(pair("x", "../y")));
    assert_eq!(
        named_context("x"),
        Err("invalid context value: x, expected key=value".to_owned())
    );
}
