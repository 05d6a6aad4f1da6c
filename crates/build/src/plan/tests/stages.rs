//! Steps as classic counts them, missing images, arguments of the build itself.

use super::*;

/// `number/total text | kind`, one step a line.
fn steps(text: &str, options: &PlanOptions) -> Vec<String> {
    let graph = plan_with(text, options).graph;
    let stages = graph.stages.iter().flat_map(|stage| &stage.steps);
    let steps = graph.preamble.iter().chain(stages);
    let kind = |kind: &StepKind| match kind {
        StepKind::From { node, triggers } => format!("from {node} {triggers}"),
        StepKind::Filesystem(node) => format!("files {node}"),
        StepKind::Config { container } => format!("config {container}"),
        StepKind::Refused(error) => format!("refused {error}"),
    };
    steps
        .map(|step| {
            format!(
                "{}/{} {} | {}",
                step.number,
                step.total,
                step.text,
                kind(&step.kind)
            )
        })
        .collect()
}

#[test]
fn classic_counts() {
    let options = PlanOptions {
        labels: [("l".to_owned(), "v".to_owned())].into(),
        ..classic()
    };
    let text = "ARG V=1\nfrom   base:$V AS a\nONBUILD RUN t\nRUN x  y\nFROM a\nENV K=v\n";
    let expected = [
        "1/7 ARG V=1 | config false",
        "2/7 from   base:$V AS a | from #0 0",
        "3/7 ONBUILD RUN t | config true",
        "4/7 RUN x  y | files #1",
        "5/7 FROM a | from #1 1",
        "5/7 RUN t | files #2",
        "6/7 ENV K=v | config true",
        "7/7 LABEL l=v | config true",
    ];
    assert_eq!(steps(text, &options), expected);
}

#[test]
fn classic_goes_as_far_as_it_can() {
    let text = "FROM base:1\nRUN x\nCOPY --from=0 a /\nRUN y\n";
    let expected = [
        "1/4 FROM base:1 | from #0 0",
        "2/4 RUN x | files #1",
        "3/4 COPY --from=0 a / | refused invalid from flag value 0: refers to current build stage",
    ];
    assert_eq!(steps(text, &classic()), expected);
    assert!(plan_with(text, &classic()).graph.targets.is_empty());
}

#[test]
fn intermediate_images_of_classic() {
    let text = "FROM base:1\nMAINTAINER m\nENV A=1\nRUN x\nCMD [\"c\"]\n";
    let graph = plan_with(text, &classic()).graph;
    let stage = &graph.stages[0];
    let after = |step: usize| stage.config_after(&stage.steps[step]);
    assert_eq!(
        (after(0).author, after(0).history.len()),
        (String::new(), 1)
    );
    assert_eq!(
        (after(1).author, after(1).history.len()),
        ("m".to_owned(), 2)
    );
    assert_eq!(after(1).config.unwrap().env().len(), 1);
    assert_eq!(after(2).config.unwrap().env().len(), 2);
    let run = after(3);
    assert_eq!(run.config.unwrap().cmd(), ["sh"]);
    assert_eq!(run.container_config.unwrap().cmd(), ["/bin/sh", "-c", "x"]);
    let cmd = after(4);
    assert_eq!(cmd.config.as_ref().unwrap().cmd(), ["c"]);
    assert_eq!(
        cmd.container_config.unwrap().cmd().last().unwrap(),
        "CMD [\"c\"]"
    );
    assert_eq!(stage.config_after(&stage.steps[4]), stage.config);
}

#[test]
fn health_checks_that_are_overridden() {
    let text = "FROM base:1\nHEALTHCHECK CMD a b\nHEALTHCHECK NONE\n";
    let graph = plan_with(text, &classic()).graph;
    let notes: Vec<_> = graph.stages[0]
        .steps
        .iter()
        .map(|step| step.note.as_deref())
        .collect();
    let note = "Note: overriding previous HEALTHCHECK: [CMD-SHELL a b]";
    assert_eq!(notes, [None, None, Some(note)]);
}

#[test]
fn images_are_asked_for_together() {
    let dockerfile = dockerfile(
        "FROM a AS x\nFROM --platform=linux/arm64 b AS second\nCOPY --from=c / /\n\
         RUN --mount=from=x,target=/x --mount=from=d:1,target=/d y\nFROM unused AS z\nFROM 1\n",
    );
    let options = PlanOptions {
        target: Some("second".to_owned()),
        ..options()
    };
    let input = PlanInput {
        dockerfile: &dockerfile,
        options: &options,
        images: &BTreeMap::new(),
    };
    let Planning::Missing(missing) = plan(&input).unwrap() else {
        panic!("nothing is known yet");
    };
    let texts: Vec<String> = missing
        .iter()
        .map(|image| format!("{} {}", image.name, image.platform))
        .collect();
    let expected = [
        "docker.io/library/a:latest linux/amd64",
        "docker.io/library/b:latest linux/arm64",
        "docker.io/library/c:latest linux/amd64",
        "docker.io/library/d:1 linux/amd64",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn triggers_bring_images() {
    let config = ContainerConfig {
        on_build: Some(vec!["COPY --from=tools /t /t".to_owned()]),
        ..ContainerConfig::default()
    };
    let images = [("docker.io/library/onb:latest", image(config))];
    let plan = try_plan("FROM onb\n", &options(), &images).unwrap();
    let names: Vec<&str> = plan
        .graph
        .nodes
        .iter()
        .map(|node| node.step.name.as_str())
        .collect();
    let expected = [
        "[1/2] FROM docker.io/library/onb:latest",
        "FROM docker.io/library/tools:latest",
        "[2/2] ONBUILD COPY --from=tools /t /t",
    ];
    assert_eq!(names, expected);
}

#[test]
fn arguments_of_the_build_itself() {
    let options = with_args(
        options(),
        &[
            ("BUILDKIT_INLINE_CACHE", "1"),
            ("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "true"),
            ("BUILDKIT_SANDBOX_HOSTNAME", "box"),
            ("BUILDKIT_CACHE_MOUNT_NS", "space"),
            ("SOURCE_DATE_EPOCH", "12"),
        ],
    );
    let plan = plan_with(
        "FROM base:1\nRUN --mount=type=cache,target=/c x\n",
        &options,
    );
    assert!(plan.inline_cache && plan.keep_git_dir && !plan.multi_platform);
    assert_eq!(plan.source_date_epoch, Some(12));
    let Operation::Run(run) = &plan.graph.nodes[1].operation else {
        panic!("it is a RUN");
    };
    assert_eq!(run.hostname, "box");
    let MountKind::Cache(cache) = &run.mounts[0].kind else {
        panic!("it is a cache");
    };
    assert_eq!(cache.id, "space//c");
    let plan = plan_with("ARG SOURCE_DATE_EPOCH=7\nFROM base:1\n", &super::options());
    assert_eq!(plan.source_date_epoch, Some(7));
}

#[test]
fn arguments_that_nobody_declares() {
    let arguments = [
        ("GLOBAL", "1"),
        ("STAGE", "1"),
        ("NOPE", "1"),
        ("no_proxy", "1"),
        ("TARGETARCH", "x"),
    ];
    let text = "ARG GLOBAL\nFROM base:1\nARG STAGE\n";
    let unused = |options| plan_with(text, &with_args(options, &arguments)).unused_arguments;
    assert_eq!(unused(options()), ["NOPE"]);
    assert_eq!(unused(classic()), ["NOPE", "TARGETARCH"]);
}

#[test]
fn the_first_steps_are_known_before_any_image_is() {
    let opening = |text: &str, options: &PlanOptions| -> Vec<String> {
        let input = PlanInput {
            dockerfile: &dockerfile(text),
            options,
            images: &BTreeMap::new(),
        };
        let line = |step| match step {
            Classic::Step {
                number,
                total,
                text,
            } => format!("{number}/{total} {text}"),
            other => format!("{other:?}"),
        };
        super::opening(&input)
            .unwrap()
            .into_iter()
            .map(line)
            .collect()
    };
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let labelled = PlanOptions {
        labels,
        ..classic()
    };
    let text = "ARG A=1\nARG B\nFROM base:$A\nRUN x\nFROM other\nCOPY --from=0 / /\n";
    let first = ["1/6 ARG A=1", "2/6 ARG B", "3/6 FROM base:$A"];
    assert_eq!(opening(text, &classic()), first);
    let last = ["1/3 FROM other"];
    assert_eq!(opening("FROM base\nFROM other\nRUN x\n", &labelled), last);
    assert!(opening("FROM scratch\nCOPY --from=base / /\n", &classic()).is_empty());
    for text in [text, "FROM base\nFROM other\nRUN x\n"] {
        let graph = plan_with(text, &labelled).graph;
        let steps = graph.stages.iter().flat_map(|stage| &stage.steps);
        let lines: Vec<String> = graph
            .preamble
            .iter()
            .chain(steps)
            .map(|step| format!("{}/{} {}", step.number, step.total, step.text))
            .collect();
        assert!(lines.starts_with(&opening(text, &labelled)), "{lines:?}");
    }
}

#[test]
fn checks_of_the_plan() {
    let text = "FROM base:1\nARG A\nENV B=$A$FOO\nCOPY secret.txt /\n";
    let matcher = Matcher::parse(b"*.txt\n").unwrap();
    let options = PlanOptions {
        ignore: Some(Arc::new(matcher)),
        platforms: vec![Platform::linux("arm64")],
        ..options()
    };
    let warnings = plan_with(text, &options).warnings;
    let details: Vec<&str> = warnings
        .iter()
        .map(|warning| warning.detail.as_str())
        .collect();
    let expected = [
        "Base image base:1 was pulled with platform \"linux/amd64\", expected \"linux/arm64\" for current build",
        "Usage of undefined variable '$FOO'",
        "Attempting to Copy file \"secret.txt\" that is excluded by .dockerignore",
    ];
    assert_eq!(details, expected);
}

/// Only the first WORKDIR counts, as the variables make it; an image's own directory may change.
#[test]
fn relative_directories_are_found() {
    let told = |text: &str| -> Vec<String> {
        let warnings = plan_with(text, &options()).warnings;
        let told = warnings
            .iter()
            .filter(|warning| warning.rule == lint::Rule::WorkdirRelativePath);
        told.map(|warning| format!("{} {}", warning.span.start.line, warning.detail))
            .collect()
    };
    let words = |line: usize, path: &str| {
        format!(
            "{line} Relative workdir \"{path}\" can have unexpected results if the base image changes"
        )
    };
    for (text, expected) in [
        ("FROM base:1\nWORKDIR a\nWORKDIR b\n", vec![words(2, "a")]),
        ("FROM base:1\nWORKDIR /a\nWORKDIR b\n", vec![]),
        ("FROM base:1\nENV e=\nWORKDIR $e\n", vec![words(3, "")]),
        ("FROM base:1\nENV e=x\nWORKDIR $e\n", vec![words(3, "x")]),
        ("FROM base:1\nENV e=/x\nWORKDIR $e\n", vec![]),
        ("FROM base:1 AS a\nWORKDIR /a\nFROM a\nWORKDIR b\n", vec![]),
        (
            "FROM base:1 AS a\nWORKDIR /a\nFROM base:1\nWORKDIR b\n",
            vec![words(4, "b")],
        ),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn all_stages() {
    let options = PlanOptions {
        all_stages: true,
        ..options()
    };
    let plan = plan_with("FROM base:1\nRUN a\nFROM base:1\nRUN b\n", &options);
    assert_eq!((plan.graph.stages.len(), plan.graph.targets.len()), (2, 1));
}
