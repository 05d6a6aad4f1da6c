use proptest::prelude::*;

use super::*;

fn changed(lines: &[&str]) -> ContainerConfig {
    let mut config = ContainerConfig {
        env: Some(vec!["PATH=/bin".to_owned()]),
        cmd: Some(vec!["old".to_owned()]),
        working_dir: "/srv".to_owned(),
        ..ContainerConfig::default()
    };
    apply_changes(&mut config, lines.iter().copied()).unwrap_or_else(|e| panic!("{lines:?}: {e}"));
    config
}

fn error(line: &str) -> String {
    let mut config = ContainerConfig::default();
    let error = apply_change(&mut config, line).unwrap_err().to_string();
    assert_eq!(
        config,
        ContainerConfig::default(),
        "a failed change changes nothing"
    );
    error
}

#[test]
fn the_tutorials_changes() {
    let config = changed(&[
        r#"CMD ["/bin/echo","changed"]"#,
        "ENV A=b",
        "EXPOSE 80",
        "LABEL version=1.0",
        "WORKDIR /tmp",
        "USER nobody",
        "VOLUME /v",
        r#"ENTRYPOINT ["/usr/bin/env"]"#,
        "ONBUILD RUN true",
    ]);
    assert_eq!(
        serde_json::to_string(&config.image_run_config()).unwrap(),
        r#"{"User":"nobody","ExposedPorts":{"80/tcp":{}},"Env":["PATH=/bin","A=b"],"Entrypoint":["/usr/bin/env"],"Cmd":["/bin/echo","changed"],"Volumes":{"/v":{}},"WorkingDir":"/tmp","Labels":{"version":"1.0"},"OnBuild":["RUN true"]}"#
    );
}

#[test]
fn commands_in_both_forms() {
    assert_eq!(
        changed(&["cmd echo  a | cat"]).cmd(),
        ["/bin/sh", "-c", "echo  a | cat"]
    );
    assert_eq!(changed(&[r#"CMD [ "a b", "$X" ]"#]).cmd(), ["a b", "$X"]);
    assert_eq!(
        changed(&["CMD [not json"]).cmd(),
        ["/bin/sh", "-c", "[not json"]
    );
    assert_eq!(changed(&["CMD []"]).cmd, Some(Vec::new()));
    let entry = changed(&["ENTRYPOINT top -b"]);
    assert_eq!(entry.entrypoint(), ["/bin/sh", "-c", "top -b"]);
    assert_eq!(entry.cmd, None, "an inherited command is cleared");
    assert_eq!(changed(&["ENTRYPOINT []"]).entrypoint, None);
    let mut config = ContainerConfig {
        shell: Some(vec!["/bin/bash".to_owned()]),
        ..ContainerConfig::default()
    };
    apply_change(&mut config, "CMD x").unwrap();
    assert_eq!(config.cmd(), ["/bin/bash", "x"]);
}

#[test]
fn environment_and_labels() {
    for (line, env) in [
        ("ENV A=b C=d", vec!["A=b", "C=d"]),
        ("ENV A b c", vec!["A=b c"]),
        ("ENV A   \"b  c\" d", vec!["A=b  c d"]),
        ("ENV A=\"b c\" D='e $PATH'", vec!["A=b c", "D=e $PATH"]),
        ("ENV A=b\\ c", vec!["A=b c"]),
        ("ENV A=\"x\\\"y\\z\"", vec!["A=x\"y\\z"]),
        ("ENV A=$PATH:/x B=${PATH}y", vec!["A=/bin:/x", "B=/biny"]),
        (
            "ENV A=${NO:-d} B=${PATH:+s} C=${NO-e}",
            vec!["A=d", "B=s", "C=e"],
        ),
        (
            "ENV A=${NO:-${PATH}} B=$NO C=a$",
            vec!["A=/bin", "B=", "C=a$"],
        ),
        ("ENV A=1 B=$A", vec!["A=1", "B="]),
        ("ENV A=", vec!["A="]),
        ("ENV A=1 \\\n  # comment\n  B=2", vec!["A=1", "B=2"]),
    ] {
        let config = changed(&[line]);
        assert_eq!(&config.env()[1..], env, "{line}");
    }
    assert_eq!(changed(&["ENV PATH=/usr/bin"]).env(), ["PATH=/usr/bin"]);
    let labels = changed(&["LABEL a.b=\"c d\" 'e f'=g", "LABEL old form"])
        .labels
        .unwrap();
    let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["a.b=c d", "e f=g", "old=form"]);
}

#[test]
fn ports_volumes_and_directories() {
    let ports = changed(&["EXPOSE 80 53/UDP 8000-8002 8080:90"]).exposed_ports;
    let ports: Vec<_> = ports.into_iter().collect();
    assert_eq!(
        ports,
        [
            "53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp", "90/tcp"
        ]
    );
    let volumes = changed(&["VOLUME /a /b", r#"VOLUME ["/c d"]"#])
        .volumes
        .unwrap();
    assert_eq!(
        volumes.into_iter().collect::<Vec<_>>(),
        ["/a", "/b", "/c d"]
    );
    assert_eq!(
        changed(&["WORKDIR a/../b", "WORKDIR c"]).working_dir,
        "/srv/b/c"
    );
    assert_eq!(
        changed(&["STOPSIGNAL SIGRTMIN+3"]).stop_signal,
        "SIGRTMIN+3"
    );
    assert_eq!(changed(&["STOPSIGNAL 9"]).stop_signal, "9");
}

#[test]
fn health_checks() {
    let check = changed(&[
        "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=500ms --retries=3 CMD curl x",
    ])
    .healthcheck
    .unwrap();
    assert_eq!(check.test, ["CMD-SHELL", "curl x"]);
    assert_eq!(
        (check.interval, check.timeout),
        (90_000_000_000, 1_500_000_000)
    );
    assert_eq!((check.start_period, check.retries), (500_000_000, 3));
    let test = |line| changed(&[line]).healthcheck.unwrap().test;
    assert_eq!(test(r#"HEALTHCHECK CMD ["a", "b"]"#), ["CMD", "a", "b"]);
    assert_eq!(test("healthcheck none"), ["NONE"]);
}

#[test]
fn wrong_changes_are_refused_in_dockers_words() {
    for (line, message) in [
        ("RUN true", "RUN is not a valid change command"),
        ("NOPE x", "NOPE is not a valid change command"),
        ("SHELL [\"sh\"]", "SHELL is not a valid change command"),
        ("ENV A=b\nFROM x", "FROM is not a valid change command"),
        ("# nothing", "file with no instructions"),
        ("", "file with no instructions"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        (
            "ENV A=1 B",
            "Syntax error - can't find = in \"B\". Must be of the form: name=value",
        ),
        ("ENV =x", "ENV names can not be blank"),
        (
            "ENV A='x",
            "unexpected end of statement while looking for matching single-quote",
        ),
        (
            "ENV A=\"x",
            "unexpected end of statement while looking for matching double-quote",
        ),
        ("ENV A=${X:=y}", "unsupported modifier (:=) in substitution"),
        ("LABEL", "LABEL requires at least one argument"),
        (
            "CMD [1]",
            "when using JSON array syntax, arrays must be comprised of strings only",
        ),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("EXPOSE abc", "invalid containerPort: abc"),
        ("EXPOSE 99999", "invalid containerPort: 99999"),
        ("EXPOSE 9-8", "invalid containerPort: 9-8"),
        ("EXPOSE 80/xyz", "invalid proto: xyz"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        (
            "VOLUME [\" \"]",
            "VOLUME specified can not be an empty string",
        ),
        ("STOPSIGNAL NOPE", "invalid signal: NOPE"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        (
            "ONBUILD ONBUILD RUN x",
            "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        (
            "HEALTHCHECK FOO",
            "unknown type \"FOO\" in HEALTHCHECK (try CMD)",
        ),
        ("HEALTHCHECK CMD", "missing command after HEALTHCHECK CMD"),
        (
            "HEALTHCHECK --interval=x CMD a",
            "time: invalid duration \"x\"",
        ),
        (
            "HEALTHCHECK --interval=1us CMD a",
            "Interval \"interval\" cannot be less than 1ms",
        ),
        ("HEALTHCHECK --nope=1 CMD a", "unknown flag: nope"),
    ] {
        assert_eq!(error(line), message, "{line}");
    }
}

#[test]
fn several_changes_are_all_or_nothing() {
    let mut config = ContainerConfig::default();
    let result = apply_changes(&mut config, ["USER a", "EXPOSE x"]);
    assert!(result.is_err());
    assert_eq!(config, ContainerConfig::default());
    assert_eq!(apply_changes(&mut config, []), Ok(()));
}

#[test]
fn durations_are_gos() {
    for (text, nanoseconds) in [
        ("0", Some(0)),
        ("1s", Some(1_000_000_000)),
        ("-1.5h", Some(-5_400_000_000_000)),
        ("1h2m3s4ms5us6ns", Some(3_723_004_005_006)),
        (".5s", Some(500_000_000)),
        ("1µs", Some(1_000)),
        ("", None),
        ("1", None),
        ("s", None),
        ("1x", None),
        ("1.2.3s", None),
        ("99999999999h", None),
    ] {
        assert_eq!(duration::parse(text), nanoseconds, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(
        name in "(CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|ONBUILD|STOPSIGNAL|USER|VOLUME|WORKDIR) ",
        text in "[ a-z0-9=\"'\\\\${}:/.\\[\\],-]{0,40}",
    ) {
        let mut config = ContainerConfig::default();
        let _outcome = apply_change(&mut config, &format!("{name}{text}"));
    }
}
