//! What cannot be planned: docker's words and the line.

use super::*;

fn error(text: &str, options: &PlanOptions) -> (String, Option<usize>) {
    let error = try_plan(text, options, &[]).expect_err("there is no plan");
    (error.to_string(), error.span.map(|span| span.start.line))
}

#[test]
fn of_from_and_stages() {
    for (text, line, message) in [
        ("FROM $NOPE\n", 1, "base name ($NOPE) should not be blank"),
        (
            "FROM --platform=$NOPE base:1\n",
            1,
            "empty platform value from expression $NOPE",
        ),
        (
            "FROM --platform=a/b/c/d base:1\n",
            1,
            "failed to parse platform a/b/c/d: \"a/b/c/d\": cannot parse platform specifier: invalid argument",
        ),
        (
            "FROM base:1 AS a\nCOPY --from=b /x /y\nFROM base:1 AS b\nCOPY --from=a /x /y\n",
            4,
            "circular dependency detected on stage: a",
        ),
        (
            "FROM base:1\nCOPY --from=0 f /y\n",
            2,
            "circular dependency detected on stage: stage-0",
        ),
        (
            "FROM base:1 AS a\nCOPY --from=b /x /y\nFROM base:1 AS b\nFROM a\n",
            2,
            "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"",
        ),
        (
            "FROM base:1 AS a\nRUN --mount=from=b,target=/x y\nFROM base:1 AS b\nFROM a\n",
            2,
            "cannot mount from stage \"b\" to \"/x\", stage needs to be defined before current command",
        ),
        (
            "FROM base:1\nCOPY --from=7 /x /y\n",
            2,
            "invalid stage index 7",
        ),
        (
            "FROM base:1\nCOPY --from=$X /x /y\n",
            2,
            "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        ),
        (
            "ARG X=${Y:?oops}\nFROM base:1\n",
            1,
            "failed to process \"${Y:?oops}\": Y: oops",
        ),
    ] {
        assert_eq!(
            error(text, &options()),
            (message.to_owned(), Some(line)),
            "{text}"
        );
    }
}

#[test]
fn of_instructions() {
    for (instruction, message) in [
        ("STOPSIGNAL SIGFOO", "invalid signal: SIGFOO"),
        (
            "VOLUME $NOPE",
            "VOLUME specified can not be an empty string",
        ),
        ("COPY http://x/y /z", "source can't be a URL for COPY"),
        (
            "COPY https://x/y.git /z",
            "source can't be a git ref for COPY",
        ),
        (
            "COPY --chmod=9x f /z",
            "invalid chmod parameter: '9x'. it should be octal string and between 0 and 07777",
        ),
        (
            "ADD --checksum=sha256:00 f /z",
            "checksum requires HTTP(S) or Git sources",
        ),
        (
            "ADD --checksum=x http://a/b http://a/c /z/",
            "checksum can't be specified for multiple sources",
        ),
        (
            "RUN --mount=type=cache,target=/ x",
            "invalid mount target \"/\"",
        ),
        (
            "RUN --mount=type=tmpfs,target=/dev/../proc/ x",
            "invalid mount target \"/proc\": it belongs to the system",
        ),
        (
            "RUN --mount=type=bind,target=/proc/x y",
            "invalid mount target \"/proc/x\": it belongs to the system",
        ),
        (
            "RUN --mount=type=secret,id=s,target=/sys x",
            "invalid mount target \"/sys\": it belongs to the system",
        ),
        (
            "RUN --mount=type=ssh,target=/dev x",
            "invalid mount target \"/dev\": it belongs to the system",
        ),
        (
            "ENV A=${B:?oops}",
            "failed to process \"${B:?oops}\": B: oops",
        ),
    ] {
        let text = format!("FROM base:1\n\n{instruction}\n");
        assert_eq!(
            error(&text, &options()),
            (message.to_owned(), Some(3)),
            "{text}"
        );
    }
}

#[test]
fn of_targets() {
    let options = PlanOptions {
        target: Some("bulder".to_owned()),
        ..options()
    };
    let expected = "target stage \"bulder\" could not be found (did you mean builder?)";
    assert_eq!(
        error("FROM base:1 AS builder\n", &options),
        (expected.to_owned(), None)
    );
    let options = PlanOptions {
        target: Some("1".to_owned()),
        ..options
    };
    let in_classic = PlanOptions {
        target: Some("0".to_owned()),
        ..classic()
    };
    let unreachable = "failed to reach build target 0 in Dockerfile";
    assert_eq!(
        error("FROM base:1 AS a\n", &in_classic),
        (unreachable.to_owned(), None)
    );
    // No number is a name.
    let expected = "target stage \"1\" could not be found";
    for text in ["FROM base:1\n", "FROM base:1\nFROM base:1\n"] {
        assert_eq!(error(text, &options), (expected.to_owned(), None));
    }
}

#[test]
fn of_classic() {
    let text = "FROM base:1 AS a\nFROM base:1 AS A\n";
    assert_eq!(
        error(text, &classic()),
        ("a stage name already used".to_owned(), Some(2))
    );
    assert!(try_plan(text, &options(), &[]).is_ok());
}

#[test]
fn of_triggers() {
    let config = ContainerConfig {
        on_build: Some(vec!["FROM x".to_owned()]),
        ..ContainerConfig::default()
    };
    let images = [("docker.io/library/onb:latest", image(config))];
    let error = try_plan("\nFROM onb\n", &options(), &images).unwrap_err();
    assert_eq!(error.span.map(|span| span.start.line), Some(2));
    assert!(matches!(error.kind, PlanErrorKind::Trigger(_)), "{error}");
}

#[test]
fn too_many_layers() {
    let runs = |count: usize| format!("FROM base:1\n{}", "RUN x\n".repeat(count));
    assert!(try_plan(&runs(LAYER_LIMIT - 1), &options(), &[]).is_ok());
    let expected = ("max depth exceeded".to_owned(), Some(LAYER_LIMIT + 1));
    assert_eq!(error(&runs(LAYER_LIMIT), &options()), expected);
    // Which layers are empty only classic's run shows.
    assert!(try_plan(&runs(LAYER_LIMIT), &classic(), &[]).is_ok());
}

#[test]
fn an_epoch_that_is_none() {
    let options = with_args(options(), &[("SOURCE_DATE_EPOCH", "yesterday")]);
    let expected = "invalid SOURCE_DATE_EPOCH: yesterday";
    assert_eq!(
        error("FROM base:1\n", &options),
        (expected.to_owned(), None)
    );
}

#[test]
fn copies_of_configurations_are_bounded() {
    let lines: Vec<String> = (0..1500).map(|number| format!("ENV V{number}=x")).collect();
    let text = format!("FROM base:1\n{}\n", lines.join("\n"));
    assert!(try_plan(&text, &options(), &[]).is_ok());
    let (message, _) = error(&text, &classic());
    assert_eq!(message, PlanErrorKind::TooLarge.to_string());
}

#[test]
fn long_chains_of_stages() {
    let mut text = "FROM base:1 AS s0\n".to_owned();
    for number in 1..1000 {
        text.push_str(&format!(
            "FROM s{} AS s{number}\nCOPY --from=s0 a /\n",
            number - 1
        ));
    }
    let (message, line) = error(&text, &options());
    assert_eq!(message, "max depth exceeded");
    assert!(line.is_some());
}

#[test]
fn cost_is_linear() {
    // The limits of the runner end this test when one of the walks is quadratic.
    let many = |line: &dyn Fn(usize) -> String| {
        let lines: Vec<String> = (0..5_000).map(line).collect();
        format!("FROM base:1\n{}\nRUN x\n", lines.join("\n"))
    };
    for text in [
        many(&|number| format!("ARG A{number}")),
        many(&|number| format!("ARG A{number}=$U{number}")),
        many(&|number| format!("ENV E{number}=$U{number}")),
        many(&|number| format!("LABEL l{number}=$U{number}")),
        many(&|number| format!("VOLUME /v{number}")),
        many(&|number| format!("FROM base:1 AS s{number}\nCOPY --from=base:{number} a b")),
    ] {
        assert!(try_plan(&text, &options(), &[]).is_ok());
    }
}
