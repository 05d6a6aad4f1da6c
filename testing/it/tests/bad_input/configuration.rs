//! Configuration files that cannot be understood.

use super::{Mounts, holds, put_small, refused};
use lapstrake_testkit::{Cli, TestRegistry};
use std::fs;

#[test]
fn privileged_a_daemon_json_that_cannot_be_used() {
    let lap = Cli::built();
    let (_mounts, etc) = Mounts::new().etc(&[]);
    let words = "unable to configure the Docker daemon with file /etc/docker/daemon.json: ";
    let hint = "\nhint: correct `/etc/docker/daemon.json`, or remove it";
    for (text, expected) in [
        ("no JSON", "expected ident at line 1 column 2"),
        (
            "[]",
            "invalid type: sequence, expected an object at line 1 column 0",
        ),
        (
            "{\"debug\": true",
            "EOF while parsing an object at line 1 column 14",
        ),
        (
            r#"{"registry-mirrors": "http://mirror"}"#,
            "invalid type: string \"http://mirror\", expected a sequence at line 1 column 36",
        ),
        (
            r#"{"nope": 1, "debug": true, "icc": false, "naught": {}}"#,
            "the following directives don't match any configuration option: naught, nope",
        ),
    ] {
        etc.write("docker/daemon.json", text);
        let stderr = refused(&lap, 1, &["images"]);
        assert_eq!(stderr, format!("{words}{expected}{hint}"));
    }
    for (mirror, expected) in [
        (
            "ftp://mirror",
            "unsupported scheme \"ftp\" in \"ftp://mirror\"",
        ),
        (
            "mirror:5000",
            "no scheme specified for \"mirror:5000\": must use either 'https://' or 'http://'",
        ),
        ("http://", "\"http://\" is not a valid address"),
    ] {
        let text = format!(r#"{{"registry-mirrors": ["{mirror}"]}}"#);
        etc.write("docker/daemon.json", text);
        let expected = format!("failed to start daemon: invalid mirror: {expected}");
        assert_eq!(refused(&lap, 1, &["images"]), expected);
    }
    for text in [
        "",
        "{}",
        r#"{"runtimes": {}, "log-driver": "json-file", "dns": ["1.1.1.1"]}"#,
    ] {
        etc.write("docker/daemon.json", text);
        holds(&lap, &[]);
    }
}

#[test]
fn a_config_json_that_cannot_be_read_is_passed_over() {
    let registry = TestRegistry::start();
    let name = put_small(&registry, "a/b:1").to_string();
    let lap = Cli::built();
    let file = lap.config().join("config.json");
    let warning = format!("WARNING: Error loading config file: {}: ", file.display());
    for text in ["no JSON", "[]", "{\"auths\": 3}", "{\"auths\": {"] {
        fs::write(&file, text).unwrap();
        let listed = lap.run(&["images", "-q"]);
        let is_warned = listed.code == Some(0) && listed.stderr.starts_with(&warning);
        assert!(is_warned, "{listed}");
        let pulled = lap.run(&["pull", "-q", &name]);
        let is_warned = pulled.code == Some(0) && pulled.stderr.starts_with(&warning);
        assert!(is_warned, "{pulled}");
        // What is there may be of worth: it is not written over.
        let login = lap.run(&["login", "-u", "a", "-p", "b", &registry.address()]);
        assert_eq!(login.code, Some(1), "{login}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    fs::remove_file(&file).unwrap();
    holds(&lap, &[&name]);
}
