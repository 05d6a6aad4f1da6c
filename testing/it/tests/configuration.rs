//! Configuration files, flags before the command, and output that nobody reads.

use lapstrake_testkit::{Cli, RandomImage, Shape, TestRegistry};
use std::fs;
use std::process::Stdio;

/// Command lines, their exit status, and what their standard error holds; nothing when that is empty.
fn check(lap: &Cli, cases: &[(&[&str], i32, &str)]) {
    for (arguments, code, words) in cases {
        let outcome = lap.run(arguments);
        assert_eq!(outcome.code, Some(*code), "{outcome}");
        assert!(outcome.stderr.contains(words), "{outcome}");
        assert_eq!(outcome.stderr.is_empty(), words.is_empty(), "{outcome}");
    }
}

#[test]
fn wrong_flags_before_the_command() {
    let cases: [(&[&str], i32, &str); 4] = [
        (
            &["-Dx", "images"],
            125,
            "unknown shorthand flag: 'x' in -x\n",
        ),
        (
            &["--log-level"],
            125,
            "flag needs an argument: --log-level\n",
        ),
        (
            &["--registry-mirror=ftp://x", "images"],
            125,
            "invalid argument \"ftp://x\" for \"--registry-mirror\" flag: invalid mirror: unsupported scheme",
        ),
        (
            &["--insecure-registry=x:y", "images"],
            125,
            "insecure registry x:y is not valid: invalid port \"y\"",
        ),
    ];
    check(&Cli::built(), &cases);
}

#[test]
fn flags_before_the_command() {
    let lap = Cli::built();
    let missing = format!(
        "Failed to initialize: unable to resolve docker endpoint: context \"nope\": context not found: open {}/contexts/meta/",
        lap.config().display()
    );
    let remote = "is not used: there is no daemon, and the command works on this machine\n";
    let cases: [(&[&str], i32, &str); 18] = [
        (&["-c", "nope", "images"], 1, &missing),
        (&["--context=default", "images"], 0, ""),
        (&["--context", "", "images"], 0, ""),
        (&["-H", "unix:///nonexistent", "images"], 0, ""),
        (&["-H", "", "images"], 0, ""),
        (&["-H", "tcp://far:2375", "images"], 0, remote),
        (&["--host=ssh://far", "images"], 0, remote),
        (
            &["-H", "bogus://x", "images"],
            1,
            "invalid bind address format: bogus://x\n",
        ),
        (
            &["-H", "a", "-H", "b", "images"],
            1,
            "Specify only one -H\n",
        ),
        (
            &["-H", "a", "-c", "b", "images"],
            1,
            "conflicting options: cannot specify both --host and --context\n",
        ),
        (
            &["-l", "loud", "images"],
            1,
            "Unable to parse logging level: loud\n",
        ),
        (&["-l", "warn", "images"], 0, ""),
        (&["-l", "", "images"], 0, ""),
        (&["--tlsverify", "--tls", "images"], 0, ""),
        (
            &[
                "--tlscacert",
                "/nope",
                "--tlscert=/nope",
                "--tlskey",
                "/nope",
                "images",
            ],
            0,
            "",
        ),
        (&["-D", "images"], 0, "level=debug msg=\"store "),
        (&["-l", "debug", "images"], 0, "level=debug msg=\"store "),
        (&["--debug=false", "images"], 0, ""),
    ];
    check(&lap, &cases);
}

#[test]
fn variables_and_files_that_choose_a_daemon() {
    let lap = Cli::built().variable("DOCKER_CONTEXT", "nope");
    let outcome = lap.run(&["images"]);
    assert!(
        outcome
            .stderr
            .contains("context \"nope\": context not found"),
        "{outcome}"
    );
    assert_eq!(lap.run(&["--version"]).code, Some(0));
    // A flag is stronger, and so is the variable with the host.
    assert_eq!(lap.run(&["-c", "default", "images"]).code, Some(0));
    let lap = Cli::built()
        .variable("DOCKER_CONTEXT", "nope")
        .variable("DOCKER_HOST", "tcp://far:2375");
    let outcome = lap.run(&["images", "-q"]);
    assert!(
        outcome
            .stderr
            .starts_with("WARNING: tcp://far:2375 is not used"),
        "{outcome}"
    );
    assert_eq!(outcome.code, Some(0));

    let lap = Cli::built();
    fs::write(
        lap.config().join("config.json"),
        "{\"currentContext\":\"far\"}",
    )
    .unwrap();
    assert_eq!(lap.run(&["images"]).code, Some(1));
    // The name's digest is the name of the folder.
    let digest = lapstrake_spec::Digest::sha256(b"far");
    let folder = lap.config().join("contexts/meta").join(digest.hex());
    fs::create_dir_all(&folder).unwrap();
    let meta = r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://u@far"}}}"#;
    fs::write(folder.join("meta.json"), meta).unwrap();
    let outcome = lap.run(&["images", "-q"]);
    assert!(
        outcome
            .stderr
            .starts_with("WARNING: ssh://u@far is not used"),
        "{outcome}"
    );
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn debug_messages_tell_of_requests_and_keep_secrets() {
    let registry = TestRegistry::start();
    let image = RandomImage::with(5, &Shape::small());
    let name = registry.put("team/app:1", &image).to_string();
    let lap = Cli::built();
    let quiet = lap.run(&["pull", "-q", &name]);
    assert_eq!(quiet.stderr, "");
    lap.ok(&["rmi", &name]);
    let pulled = lap.run(&["--debug", "pull", "-q", &name]);
    assert_eq!(pulled.code, Some(0), "{pulled}");
    let request = format!(
        "http://{}/v2/team/app/manifests/1: 200 OK (",
        registry.address()
    );
    assert!(pulled.stderr.contains(&request), "{pulled}");
    assert!(
        pulled
            .stderr
            .lines()
            .all(|line| line.starts_with("time=\"")),
        "{pulled}"
    );
    let login = lap.run(&[
        "-D",
        "login",
        "-u",
        "ann",
        "-p",
        "s3cret",
        &registry.address(),
    ]);
    assert!(login.stderr.contains("level=debug"), "{login}");
    assert!(!login.stderr.contains("s3cret"), "{login}");
}

#[test]
fn formats_and_filters_of_config_json() {
    let registry = TestRegistry::start();
    let image = RandomImage::with(6, &Shape::small());
    let name = registry.put("team/app:1", &image).to_string();
    let lap = Cli::built();
    lap.ok(&["pull", "-q", &name]);
    let file = lap.config().join("config.json");
    fs::write(
        &file,
        r#"{"imagesFormat":"image {{.Tag}}","psFormat":"table {{.Names}}","pruneFilters":["label=keep","nothing","until="],
            "detachKeys":"ctrl-q"}"#,
    )
    .unwrap();
    assert_eq!(lap.ok(&["images"]), "image 1\n");
    assert_eq!(
        lap.ok(&["images", "--format", "{{.Repository}}"])
            .lines()
            .count(),
        1
    );
    assert!(!lap.ok(&["images", "-q"]).contains("image"));
    assert_eq!(lap.ok(&["ps"]), "NAMES\n");
    // The filter keeps the image, which has no such label.
    assert_eq!(
        lap.ok(&["image", "prune", "-af"]),
        "Total reclaimed space: 0B\n"
    );
    let asked = lap.run_with(&["system", "prune", "--filter", "label!=keep"], b"n\n");
    // The flag and its opposite in the file: the flag counts.
    assert!(asked.stdout.contains("  - label!=keep\n"), "{asked}");
    assert!(!asked.stdout.contains("  - label=keep\n"), "{asked}");
    let asked = lap.run_with(&["system", "prune"], b"n\n");
    assert!(
        asked
            .stdout
            .contains("will be filtered with:\n  - label=keep\n"),
        "{asked}"
    );
    fs::remove_file(&file).unwrap();
    assert!(
        lap.ok(&["image", "prune", "-af"])
            .starts_with("Deleted Images:")
    );
}

#[test]
fn usage_of_the_disk_as_a_document() {
    let registry = TestRegistry::start();
    let image = RandomImage::with(7, &Shape::small());
    let name = registry.put("team/app:1", &image).to_string();
    let lap = Cli::built();
    lap.ok(&["pull", "-q", &name]);
    let json = lap.ok(&["system", "df", "-v", "--format", "json"]);
    assert!(
        json.starts_with("{\"Images\":[{\"Containers\":\"0\","),
        "{json}"
    );
    let id = image.config_descriptor.digest.to_string();
    let shown = lap.ok(&[
        "system",
        "df",
        "-v",
        "--format",
        "{{range .Images}}{{.ID}} {{.Tag}}{{end}}",
    ]);
    assert_eq!(shown, format!("{id} 1"));
    let wrong = lap.run(&["system", "df", "-v", "--format", "{{.Nope}}"]);
    assert_eq!(
        wrong.stderr,
        "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.diskUsageContext\n"
    );
    assert_eq!(wrong.code, Some(1));
}

#[test]
fn a_container_whose_record_is_damaged_hides_no_other() {
    let lap = Cli::built();
    lap.ok(&["images"]);
    let id = "0123456789abcdef".repeat(4);
    let folder = lap.root().join("containers").join(&id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), "{\"nonsense\": truth}").unwrap();
    for arguments in [&["ps", "-a"] as &[&str], &["container", "ls"]] {
        let listed = lap.run(arguments);
        assert_eq!(listed.code, Some(0), "{listed}");
        assert!(listed.stdout.starts_with("CONTAINER ID"), "{listed}");
        assert!(
            listed
                .stderr
                .starts_with("WARNING: container 0123456789ab is not listed: "),
            "{listed}"
        );
    }
    assert_eq!(lap.run(&["info"]).code, Some(0));
    // Whoever removes must know all users.
    assert_eq!(lap.run(&["image", "prune", "-af"]).code, Some(1));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let registry = TestRegistry::start();
    let image = RandomImage::with(8, &Shape::small());
    let name = registry.put("team/app:1", &image).to_string();
    let lap = Cli::built();
    lap.ok(&["pull", "-q", &name]);
    let commands: [&[&str]; 17] = [
        &["images"],
        &["images", "-q"],
        &["images", "--tree"],
        &["images", "--format", "json"],
        &["image", "inspect", &name],
        &["inspect", &name],
        &["history", &name],
        &["ps", "-a"],
        &["system", "df"],
        &["system", "df", "-v"],
        &["builder", "du"],
        &["info"],
        &["version"],
        &["config", "show"],
        &["config", "check"],
        &["--help"],
        &["run", "--help"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = lap
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), stderr.as_ref()),
            (Some(141), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn quotes_and_dashes_of_a_word_processor_get_a_hint() {
    let lap = Cli::built();
    for (arguments, code) in [
        // `-m“Added json gem” -a“Kate Smith”`, as a shell parts it.
        (
            &[
                "commit",
                "-m“Added",
                "json",
                "gem”",
                "-a“Kate",
                "Smith”",
                "0b2616b0e5a8",
                "ouruser/sinatra:v2",
            ] as &[&str],
            1,
        ),
        (&["commit", "—m", "x", "y", "z"], 1),
        (&["images", "–a", "x"], 1),
        (&["run", "–it", "x"], 125),
    ] {
        let outcome = lap.run(arguments);
        assert_eq!(outcome.code, Some(code), "{outcome}");
        assert!(
            outcome
                .stderr
                .contains("hint: the command line holds the typographic character `"),
            "{outcome}"
        );
    }
}
