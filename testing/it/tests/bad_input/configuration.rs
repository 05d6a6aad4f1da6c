//! Configuration files that cannot be understood.

use super::{Mounts, holds, put_small, refused};
use lapstrake_testkit::{Cli, TestRegistry};
use std::fs;

#[test]
fn privileged_a_daemon_json_that_cannot_be_used() {
    let lap = Cli::built();
    let (_mounts, etc) = Mounts::new().etc(&[]);
    let words = "unable to configure the Docker daemon with file /etc/docker/daemon.json: ";
    let hint =
        "\nhint: `lap config check` says where; correct `/etc/docker/daemon.json`, or remove it";
    for (text, expected) in [
        (
            "no JSON",
            "invalid JSON: invalid character 'o' in literal null (expecting 'u')",
        ),
        (
            "[]",
            "invalid JSON: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            "{\"debug\": true",
            "invalid JSON: unexpected end of JSON input",
        ),
        (
            r#"{"registry-mirrors": "http://mirror"}"#,
            "invalid JSON: json: cannot unmarshal string into Go struct field Config.registry-mirrors of type []string",
        ),
        (
            r#"{"nope": 1, "debug": true, "icc": false, "naught": 2}"#,
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
            "unsupported scheme \"ftp\" in \"ftp://mirror\": must use either 'https://' or 'http://'",
        ),
        (
            "mirror:5000",
            "no scheme specified for \"mirror:5000\": must use either 'https://' or 'http://'",
        ),
        ("http://", "no host specified for \"http://\""),
    ] {
        let text = format!(r#"{{"registry-mirrors": ["{mirror}"]}}"#);
        etc.write("docker/daemon.json", text);
        let merged = "merged configuration validation from file and command line flags failed: ";
        let expected = format!("{words}{merged}invalid mirror: {expected}{hint}");
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
fn privileged_a_runtime_that_nobody_knows() {
    let lap = Cli::built();
    let registry = TestRegistry::start();
    let image = put_small(&registry, "small:1").familiar();
    let (_mounts, etc) = Mounts::new().etc(&[]);
    let unknown = "Error response from daemon: unknown or invalid runtime name: other\n";
    let told = refused(&lap, 1, &["create", "--runtime", "other", &image, "x"]);
    assert!(told.contains(unknown), "{told}");
    etc.write("docker/daemon.json", r#"{"default-runtime": "other"}"#);
    let told = refused(&lap, 125, &["run", &image, "x"]);
    assert!(told.contains(unknown), "{told}");
    holds(&lap, &[&image]);
    let runtimes = r#"{"default-runtime": "other", "runtimes": {"other": {"path": "/opt/other"}}}"#;
    etc.write("docker/daemon.json", runtimes);
    for (flags, expected) in [(&[][..], "/opt/other"), (&["--runtime", "runc"], "runc")] {
        let id = lap.ok(&[&["create"], flags, &[&image, "x"]].concat());
        let found = lap.ok(&["inspect", "-f", "{{.HostConfig.Runtime}}", id.trim()]);
        assert_eq!(found.trim(), expected);
    }
}

#[test]
fn privileged_what_is_in_force_and_what_is_wrong() {
    let lap = Cli::built();
    let (_mounts, etc) = Mounts::new().etc(&[]);
    let text =
        r#"{"registry-mirrors":["http://m:5000"],"max-concurrent-downloads":7,"dns":["1.1.1.1"]}"#;
    etc.write("docker/daemon.json", text);
    let shown = lap.ok(&["info"]);
    for line in [
        " Registry Mirrors:\n  http://m:5000/\n",
        " Configuration File: /etc/docker/daemon.json\n Configuration Keys Without Effect:\n  dns\n",
        "  registry-mirrors: http://m:5000/ (file)\n",
        "  max-concurrent-downloads: 7 (file)\n",
        "  max-concurrent-uploads: 5 (default)\n",
        " (environment)\n",
    ] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let mirrors = lap.ok(&["info", "-f", "{{json .RegistryConfig.IndexConfigs}}"]);
    let hub = r#"{"docker.io":{"Mirrors":["http://m:5000/"],"Name":"docker.io","Official":true,"Secure":true}}"#;
    assert_eq!(mirrors, format!("{hub}\n"));
    let both = refused(&lap, 1, &["--registry-mirror", "http://x", "images"]);
    assert!(
        both.contains("registry-mirrors: (from flag: [http://x/], from file: [http://m:5000/])"),
        "{both}"
    );
    assert_eq!(
        lap.ok(&["config", "check"]),
        "/etc/docker/daemon.json:1: note: dns: accepted and not used\nchecked 1 file, 0 with errors\n"
    );
    etc.write(
        "docker/daemon.json",
        "{\n \"debug\": 1,\n \"naught\": 2\n}\n",
    );
    fs::write(lap.config().join("config.json"), "{\"psFormat\":\n 3}").unwrap();
    etc.write(
        "docker/certs.d/r:5000/hosts.toml",
        "[host.\"http://x\"]\n  capabilities = 3\n",
    );
    etc.write("docker/certs.d/r:5000/c.key", "x");
    etc.write("lapstrake/daemon.json", "{}");
    let checked = lap.run(&["config", "check"]);
    let config = lap.config().join("config.json").display().to_string();
    assert_eq!(
        checked.stdout.replace(&config, "CONFIG"),
        "/etc/lapstrake/daemon.json: good\n\
         /etc/docker/daemon.json:3: error: naught: no configuration option has this name\n\
         /etc/docker/daemon.json:2: error: debug: json: cannot unmarshal number into Go struct field Config.debug of \
         type bool\n\
         /etc/docker/daemon.json: note: not read, because /etc/lapstrake/daemon.json is there\n\
         CONFIG:2: error: psFormat: json: cannot unmarshal number into Go struct field ConfigFile.psFormat of type \
         string\n\
         /etc/docker/certs.d/r:5000/hosts.toml:2: error: invalid type: integer `3`, expected a sequence\n\
         /etc/docker/certs.d/r:5000/c.key: error: there is no PEM block with a private key in it\n\
         /etc/docker/certs.d/r:5000/c.key: error: missing client certificate c.cert for key c.key\n\
         checked 5 files, 4 with errors\n",
        "{checked}"
    );
    assert_eq!(checked.code, Some(1));
    let json = lap.run(&[
        "config",
        "check",
        "--format",
        "json",
        "/etc/docker/daemon.json",
    ]);
    assert!(
        json.stdout.starts_with(
            r#"[{"Path":"/etc/docker/daemon.json","Problems":[{"Line":3,"Key":"naught","#
        ),
        "{json}"
    );
}

#[test]
fn a_config_json_that_cannot_be_read_is_passed_over() {
    let registry = TestRegistry::start();
    let name = put_small(&registry, "a/b:1").to_string();
    let lap = Cli::built();
    let file = lap.config().join("config.json");
    let warning = format!("WARNING: Error parsing config file ({}): ", file.display());
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
