//! From the request to what the planner wants to know.

use super::driver::Build;
use super::open::Opened;
use super::request::{BuildRequest, Dialect, RunOptions};
use crate::error::{Error, ErrorKind, Origin};
use lapstrake_build::graph::Network;
use lapstrake_build::plan::{self, NamedContext, PlanOptions};
use lapstrake_build::sandbox::{Resources, Ulimit};
use lapstrake_spec::{Platform, Reference};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The dialect as the planner and the solver call it.
pub(super) fn dialect(dialect: Dialect) -> plan::Dialect {
    match dialect {
        Dialect::BuildKit => plan::Dialect::BuildKit,
        Dialect::Classic => plan::Dialect::Classic,
    }
}

/// All that the command line says of a plan.
pub(super) fn plan_options(
    build: &Build<'_>,
    request: &BuildRequest,
    opened: &Opened,
) -> Result<PlanOptions, Error> {
    let run = &request.run;
    let mut platforms = request.platforms.clone();
    if platforms.is_empty() {
        platforms.extend(build.engine.settings().default_platform.clone());
    }
    Ok(PlanOptions {
        dialect: dialect(request.dialect),
        target: request.target.clone(),
        all_stages: request.call != super::Call::Build && request.target.is_none(),
        build_args: build_args(request),
        labels: request.labels.clone(),
        platforms,
        build_platform: Platform::host(),
        named_contexts: named_contexts(request)?,
        no_cache: request.cache.disabled,
        no_cache_filter: request.cache.disabled_stages.iter().cloned().collect(),
        network: network(&run.network)?,
        extra_hosts: run.extra_hosts.clone(),
        shm_size: run.shm_size,
        ulimits: ulimits(run),
        ignore: opened.tree.ignore().map(Arc::clone),
        resources: resources(run),
        ..PlanOptions::default()
    })
}

/// The arguments; the epoch of the environment is one too, unless it is given.
fn build_args(request: &BuildRequest) -> BTreeMap<String, String> {
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    let mut arguments: BTreeMap<String, String> = request.build_args.iter().cloned().collect();
    if let Some(epoch) = request.source_date_epoch {
        arguments
            .entry(EPOCH.to_owned())
            .or_insert_with(|| epoch.to_string());
    }
    arguments
}

/// An image in an OCI layout: `oci-layout://PATH[:TAG][@DIGEST]`.
pub(super) const LAYOUT: &str = "oci-layout://";

fn named_contexts(request: &BuildRequest) -> Result<BTreeMap<String, NamedContext>, Error> {
    let mut contexts = BTreeMap::new();
    for (name, source) in &request.named_contexts {
        let context = if let Some(image) = source.strip_prefix("docker-image://") {
            let reference = Reference::parse(image).map_err(|error| {
                let text = format!("invalid build context {name}: {error}");
                Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
            })?;
            NamedContext::Image(reference.or_latest().canonical())
        } else if let Some(layout) = source.strip_prefix(LAYOUT) {
            let path = super::remote::absolute(&request.working_directory, layout);
            NamedContext::Image(format!("{LAYOUT}{}", path.display()))
        } else if source == "scratch" {
            NamedContext::Scratch
        } else if let Some(target) = source.strip_prefix("target:") {
            let text = format!("failed to find target {target} for context {name}");
            return Err(Error::new(ErrorKind::Unsupported, text)
                .with_origin(Origin::Client)
                .with_hint("targets are those of bake; stages of a Dockerfile have their names"));
        } else {
            NamedContext::Tree
        };
        contexts.insert(name.clone(), context);
    }
    Ok(contexts)
}

fn network(word: &str) -> Result<Network, Error> {
    match word {
        "" | "default" | "bridge" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        other => {
            let text = format!("network mode {other:?} not supported by builds");
            Err(Error::new(ErrorKind::InvalidArgument, text)
                .with_origin(Origin::Client)
                .with_hint("known are default, none and host"))
        }
    }
}

fn ulimits(run: &RunOptions) -> Vec<Ulimit> {
    let ulimit = |limit: &lapstrake_container::Ulimit| Ulimit {
        name: limit.name.clone(),
        soft: limit.soft,
        hard: limit.hard,
    };
    run.ulimits.iter().map(ulimit).collect()
}

fn resources(run: &RunOptions) -> Resources {
    let positive = |number: i64| u64::try_from(number).ok().filter(|&number| number > 0);
    let set = |number: i64| (number != 0).then_some(number);
    Resources {
        memory_bytes: positive(run.memory),
        memory_swap_bytes: set(run.memory_swap),
        cpu_shares: positive(run.cpu_shares),
        cpu_period: positive(run.cpu_period),
        cpu_quota: set(run.cpu_quota),
        cpuset_cpus: run.cpuset_cpus.clone(),
        cpuset_mems: run.cpuset_mems.clone(),
        cgroup_parent: run.cgroup_parent.clone(),
    }
}
