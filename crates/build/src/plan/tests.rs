#![expect(
    clippy::needless_raw_string_hashes,
    clippy::needless_pass_by_value,
    clippy::format_push_string,
    reason = "expect-test writes its strings so and is handed over; tests may be slow"
)]

use lapstrake_dockerfile::parse;
use lapstrake_spec::{ContainerConfig, History};

use super::*;
use crate::graph::{MountKind, NodeId, Operation, StepKind};

mod configuration;
mod errors;
mod graphs;
mod stages;

/// A base image with a command, `PATH`, one layer.
fn base() -> BaseImage {
    let config = ContainerConfig {
        env: Some(vec!["PATH=/bin:/usr/bin".to_owned()]),
        cmd: Some(vec!["sh".to_owned()]),
        ..ContainerConfig::default()
    };
    image(config)
}

fn image(config: ContainerConfig) -> BaseImage {
    let mut image = ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        config: Some(config),
        ..ImageConfig::default()
    };
    image.rootfs.diff_ids.push(Digest::sha256(b"layer"));
    image.history.push(History {
        created_by: "base".to_owned(),
        ..History::default()
    });
    BaseImage {
        digest: None,
        config: image,
    }
}

fn options() -> PlanOptions {
    PlanOptions {
        build_platform: Platform::linux("amd64"),
        ..PlanOptions::default()
    }
}

fn classic() -> PlanOptions {
    PlanOptions {
        dialect: Dialect::Classic,
        ..options()
    }
}

fn with_args(options: PlanOptions, arguments: &[(&str, &str)]) -> PlanOptions {
    let arguments = arguments.iter();
    PlanOptions {
        build_args: arguments
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        ..options
    }
}

fn dockerfile(text: &str) -> Dockerfile {
    let syntax = parse(text.as_bytes()).expect("the text is a Dockerfile");
    Dockerfile::interpret(&syntax).expect("the instructions are good")
}

/// Plans with these images; every other name is [`base`].
fn try_plan(
    text: &str,
    options: &PlanOptions,
    images: &[(&str, BaseImage)],
) -> Result<Plan, PlanError> {
    let dockerfile = dockerfile(text);
    let mut known = BTreeMap::new();
    loop {
        let input = PlanInput {
            dockerfile: &dockerfile,
            options,
            images: &known,
        };
        match plan(&input)? {
            Planning::Ready(plan) => return Ok(*plan),
            Planning::Missing(missing) => {
                assert!(!missing.is_empty());
                for wanted in missing {
                    let image = images.iter().find(|(name, _)| *name == wanted.name);
                    let image = image.map_or_else(base, |(_, image)| image.clone());
                    assert!(known.insert(wanted, image).is_none(), "asked twice");
                }
            }
        }
    }
}

fn plan_with(text: &str, options: &PlanOptions) -> Plan {
    try_plan(text, options, &[]).expect("there is a plan")
}

/// The result's configuration and new history entries, as text.
fn result(text: &str, options: &PlanOptions) -> String {
    let plan = plan_with(text, options);
    let target = plan.graph.targets.first().expect("there is a target");
    let config = target
        .config
        .config
        .as_ref()
        .expect("there is a configuration");
    let mut printed = format!(
        "{}\n",
        serde_json::to_string(&config.image_run_config()).unwrap()
    );
    if !target.config.author.is_empty() {
        printed.push_str(&format!("author {}\n", target.config.author));
    }
    for entry in target.config.history.iter().skip(target.inherited_history) {
        let layer = if entry.empty_layer { ' ' } else { '+' };
        let author = if entry.author.is_empty() { "" } else { " by " };
        let created_by = entry
            .created_by
            .replace(crate::graph::SOURCE_MARK, "{files}");
        printed.push_str(&format!("{layer} {created_by}{author}{}\n", entry.author));
    }
    printed
}

fn graph(text: &str, options: &PlanOptions) -> String {
    plan_with(text, options).graph.to_string()
}
