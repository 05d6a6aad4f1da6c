//! Files, compared with a record of what docker's daemon 28.5 says to them (`testing/it/docker-cli`).

use super::*;
use lapstrake_testkit::Directory;

/// Lines of the record that are answered otherwise, on purpose.
///
/// The daemon of the record was built with a Go newer than the one of docker's own packages: positions in lists
/// (`registry-mirrors.0`) and some words differ from what docker 20.10 to 28 say.
fn is_exception(text: &str, answer: &str) -> bool {
    const NEWER_GO: [&str; 9] = [
        "into Config.",
        " in string",
        "JSON value must be string type",
        "invalid escape sequence",
        "into Go struct field .enabled",
        "Config.features.",
        "Config.default-ulimits.",
        "in numeric literal",
        " into .0 of type",
    ];
    // Paths, users and certificates of the machine; the removed keys of other versions; addresses of networks.
    const NOT_CHECKED: [&str; 14] = [
        "invalid TLS configuration",
        "Error during uid lookup",
        "could not parse GenericResource",
        "is not a valid domain",
        "invalid bind address",
        "invalid fixed-cidr-v6",
        "invalid userland-proxy-path",
        "api-cors-header",
        "[]*ipamutils.NetworkToSplit",
        "[]netip.Addr",
        "[]net.IP",
        "Config.log-opts.",
        "conflict labels",
        "invalid size: \"",
    ];
    NEWER_GO
        .iter()
        .chain(&NOT_CHECKED)
        .any(|part| answer.contains(part))
        || (answer.contains("don't match any") && removed(text))
        || (removed(text) && text.ends_with(":{}}") && !answer.contains("of type"))
        || answer.ends_with(": nope, a")
        || text.contains("builder\":{\"gc\"")
        || text.contains("\"data-root\":\"x\"")
        || text.contains("\"https://\"")
        || text.contains("insecure-registries\":[\"http://x\"]")
        || text.contains("insecure-registries\":[\"\"]")
}

/// Keys that docker 20.10 knew, and those of later versions.
fn removed(text: &str) -> bool {
    let key = text.split('"').nth(1).unwrap_or_default();
    keys::find(key).is_some()
}

/// `\x01` and `\t` as the recorder wrote them to the file.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let escape = rest.strip_prefix('\\').map(|tail| tail.split_at(1));
        match escape {
            Some(("x", tail)) => {
                bytes.push(u8::from_str_radix(&tail[..2], 16).unwrap());
                rest = &tail[2..];
            }
            Some(("t", tail)) => {
                bytes.push(b'\t');
                rest = tail;
            }
            Some(("\\", tail)) => {
                bytes.push(b'\\');
                rest = tail;
            }
            _ => {
                bytes.extend_from_slice(c.to_string().as_bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    bytes
}

#[test]
fn files_are_answered_as_dockers_daemon_does() {
    let record = include_str!("../../../../testing/it/docker-cli/dockerd-28.txt");
    let lines: Vec<&str> = record.lines().skip(1).collect();
    let mut wrong = Vec::new();
    let (mut compared, mut exceptions) = (0, 0);
    for pair in lines.chunks(2) {
        let (text, answer) = (pair[0], pair[1].strip_prefix('=').unwrap().trim_start());
        let answer =
            answer.trim_start_matches("unable to configure the Docker daemon with file FILE: ");
        if is_exception(text, answer) {
            exceptions += 1;
            continue;
        }
        compared += 1;
        let ours = file::read(&unescaped(text)).refusal().unwrap_or_default();
        if ours != answer {
            wrong.push(format!("{text}\n  dockerd: {answer}\n  lap:     {ours}\n"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.concat()
    );
    assert!(
        compared > 700,
        "{compared} compared, {exceptions} exceptions"
    );
}

#[test]
fn every_flag_of_the_daemon_is_a_known_key() {
    let keys = include_str!("../../../../testing/it/docker-cli/keys.txt");
    for key in keys.lines().filter(|key| *key != "proxies") {
        assert!(keys::find(key).is_some(), "{key}");
    }
}

#[test]
fn mistakes_have_their_line_and_key() {
    let text = "{\n  \"debug\": \"yes\",\n  \"nope\": 1,\n  \"registry-mirror\": [],\n  \"dns\": [\n    \"1.1.1.1\",\n    3\n  ],\n  \"mtu\": -1\n}\n";
    let reading = file::read(text.as_bytes());
    let problems = reading.problems.iter();
    let problems: Vec<_> = problems
        .map(|problem| (problem.mistake, problem.line, problem.key.as_str()))
        .collect();
    assert_eq!(
        problems,
        [
            (Mistake::UnknownKey, 3, "nope"),
            (Mistake::Type, 2, "debug"),
            (Mistake::Type, 7, "dns"),
            (Mistake::Value, 9, "mtu"),
        ]
    );
    let unused: Vec<_> = reading.unused.iter().collect();
    assert_eq!(unused[0].key, "registry-mirror");
    assert_eq!(unused[0].meant.as_deref(), Some("registry-mirrors"));
    let cut = file::read(b"{\n\"debug\":\n\n  tru }");
    assert_eq!(
        (cut.problems[0].mistake, cut.problems[0].line),
        (Mistake::Syntax, 4)
    );
}

/// Settings with this file, and these changes to the inputs.
fn resolved(text: &str, change: impl FnOnce(&mut Inputs)) -> Result<Settings, String> {
    let folder = Directory::new();
    let mut inputs = Inputs {
        config_files: vec![
            folder.join("missing.json"),
            folder.write("daemon.json", text),
        ],
        is_root: true,
        home: Some(PathBuf::from("/home/u")),
        ..Inputs::default()
    };
    change(&mut inputs);
    let shown = folder.join("daemon.json").display().to_string();
    Settings::resolve(inputs).map_err(|error| error.message().replace(&shown, "FILE"))
}

#[test]
fn values_and_where_they_come_from() {
    let nothing = resolved("", |_| {}).unwrap();
    assert_eq!(nothing.max_concurrent_downloads, 3);
    assert_eq!(nothing.max_concurrent_uploads, 5);
    assert_eq!(nothing.max_download_attempts, 5);
    assert_eq!(nothing.root, Path::new("/var/lib/lapstrake"));
    assert!(!nothing.debug && nothing.sources.is_empty());

    let text = r#"{"registry-mirrors":["HTTP://a","https://b/c/"],"insecure-registries":["http://x:5000","10.0.0.0/8"],
        "max-concurrent-downloads":6,"max-concurrent-uploads":0,"max-download-attempts":2,"data-root":"/x",
        "debug":true,"proxies":{"http-proxy":"http://p"},"dns":["1.1.1.1"]}"#;
    let full = resolved(text, |_| {}).unwrap();
    assert_eq!(full.registry_mirrors, ["http://a/", "https://b/c/"]);
    assert_eq!(full.insecure_registries, ["x:5000", "10.0.0.0/8"]);
    assert_eq!(
        (full.max_concurrent_downloads, full.max_concurrent_uploads),
        (6, 5)
    );
    assert_eq!(full.max_download_attempts, 2);
    assert_eq!(full.root, Path::new("/x"));
    assert_eq!(full.proxy.http.as_deref(), Some("http://p"));
    assert_eq!(full.unused_keys, ["dns"]);
    assert!(full.debug);
    for key in [
        "registry-mirrors",
        "data-root",
        "debug",
        "http-proxy",
        "max-download-attempts",
    ] {
        assert_eq!(full.source(key), Source::File, "{key}");
    }
    assert_eq!(full.source("max-concurrent-uploads"), Source::Default);

    let flags = resolved(r#"{"debug":true,"data-root":"/x"}"#, |inputs| {
        inputs.debug = Some(false);
        inputs.root = Some(PathBuf::from("/y"));
        inputs.root_is_flag = true;
        inputs.registry_mirrors = vec!["http://m".to_owned()];
    });
    let flags = flags.unwrap();
    assert!(!flags.debug);
    assert_eq!(flags.root, Path::new("/y"));
    for key in ["registry-mirrors", "data-root", "debug"] {
        assert_eq!(flags.source(key), Source::Flag, "{key}");
    }
}

#[test]
fn flags_that_are_wrong_or_stand_in_the_file_too() {
    let file = r#"{"registry-mirrors":["http://q/"],"insecure-registries":["z","y"]}"#;
    let both = resolved(file, |inputs| {
        inputs.registry_mirrors = vec!["http://a".to_owned()];
    });
    let words = "unable to configure the Docker daemon with file FILE: the following directives are \
                 specified both as a flag and in the configuration file: ";
    assert_eq!(
        both.unwrap_err(),
        format!("{words}registry-mirrors: (from flag: [http://a/], from file: [http://q/])")
    );
    let both = resolved(file, |inputs| {
        inputs.insecure_registries = vec!["b".to_owned()];
    });
    assert_eq!(
        both.unwrap_err(),
        format!("{words}insecure-registries: (from flag: [b], from file: [z y])")
    );
    let bad = resolved("", |inputs| {
        inputs.registry_mirrors = vec!["ftp://x".to_owned()];
    });
    assert_eq!(
        bad.unwrap_err(),
        "invalid argument \"ftp://x\" for \"--registry-mirror\" flag: invalid mirror: unsupported scheme \
         \"ftp\" in \"ftp://x\": must use either 'https://' or 'http://'"
    );
}

#[test]
fn insecure_registries_that_docker_does_not_start_with() {
    for (entry, words) in [
        (
            "-x",
            "invalid index name (-x). Cannot begin or end with a hyphen",
        ),
        (
            "ftp://x",
            "insecure registry ftp://x should not contain '://'",
        ),
        (
            "x:99999",
            "insecure registry x:99999 is not valid: invalid port \"99999\"",
        ),
        (
            "x/y",
            "insecure registry x/y is not valid: invalid host \"x/y\"",
        ),
        (
            "10.0.0.0/99",
            "insecure registry 10.0.0.0/99 is not valid: invalid host \"10.0.0.0/99\"",
        ),
    ] {
        assert_eq!(
            registries::checked(entry),
            Err(format!("failed to start daemon: {words}"))
        );
    }
    for entry in [
        "x",
        "x.y:5000",
        "[::1]:5000",
        "::1",
        "127.0.0.0/8",
        "fe80::/10",
    ] {
        assert_eq!(registries::checked(entry).as_deref(), Ok(entry));
    }
}

#[test]
fn dockers_own_folder_is_left_alone() {
    let folder = Directory::new();
    folder.write("engine-id", "x");
    let text = format!(r#"{{"data-root":"{}"}}"#, folder.path().display());
    let settings = resolved(&text, |_| {}).unwrap();
    assert_eq!(settings.root, folder.join("lapstrake"));
}

#[test]
fn a_file_without_end_is_refused() {
    let text = " ".repeat(usize::try_from(file::SIZE_LIMIT).unwrap() + 1);
    let refused = resolved(&text, |_| {}).unwrap_err();
    assert!(
        refused.contains("the file is larger than 1048576 bytes"),
        "{refused}"
    );
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let refused = resolved(&deep, |_| {}).unwrap_err();
    assert!(refused.ends_with("exceeded max depth"), "{refused}");
}

#[test]
fn a_file_that_only_root_may_read_is_not_there_for_others() {
    let read = |path: &Path| match path.to_str() {
        Some("/closed") => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        Some("/broken") => Err(io::Error::from(io::ErrorKind::InvalidData)),
        Some("/absent") => Err(io::Error::from(io::ErrorKind::NotFound)),
        _ => Ok(br#"{"debug":true}"#.to_vec()),
    };
    let open: [&str; 0] = [];
    type Case<'a> = (
        &'a [&'a str],
        bool,
        Option<(Option<&'a str>, &'a [&'a str])>,
    );
    let cases: [Case<'_>; 6] = [
        (
            &["/closed", "/good"],
            false,
            Some((Some("/good"), &["/closed"])),
        ),
        (&["/closed", "/absent"], false, Some((None, &["/closed"]))),
        (&["/closed", "/good"], true, None),
        (&["/broken", "/good"], false, None),
        (&["/absent", "/good"], false, Some((Some("/good"), &open))),
        (&["/good", "/closed"], false, Some((Some("/good"), &open))),
    ];
    for (paths, is_root, expected) in cases {
        let candidates: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let found = read_file(&candidates, is_root, read).ok().map(|found| {
            let debug = found.path.as_ref().map(|_| true);
            assert_eq!(found.reading.file.debug, debug);
            (found.path, found.unreadable)
        });
        let expected = expected.map(|(path, unreadable)| {
            let unreadable = unreadable.iter().map(PathBuf::from).collect::<Vec<_>>();
            (path.map(PathBuf::from), unreadable)
        });
        assert_eq!(found, expected, "{paths:?} {is_root}");
    }
}

#[test]
fn passwords_of_proxies_are_not_shown() {
    let cases = [
        ("http://u:secret@p:3128/x", "http://xxxxx:xxxxx@p:3128/x"),
        ("u:secret@p:3128", "xxxxx:xxxxx@p:3128"),
        ("http://u:se/cret@p", "http://xxxxx:xxxxx@p"),
        ("http://u:se@cret@p", "http://xxxxx:xxxxx@p"),
        ("http://p:3128/x", "http://p:3128/x"),
        ("p:3128", "p:3128"),
    ];
    for (address, shown) in cases {
        assert_eq!(masked(address), shown);
        let settings = resolved("", |inputs| {
            inputs.proxy.http = Some(address.to_owned());
            inputs.proxy.https = Some(address.to_owned());
            assert!(!format!("{inputs:?}").contains("cret"));
        });
        let text = format!("{:?}", settings.unwrap());
        assert!(text.contains(shown) && !text.contains("cret"), "{text}");
    }
}
