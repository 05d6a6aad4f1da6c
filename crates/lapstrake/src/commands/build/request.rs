//! From the flags of `build` to a request.

use super::super::run_flags::{extra_host, ulimit};
use super::face::Face;
use super::words::{build_argument, cache_locations, label, named_context, secret, ssh};
use crate::args::{Matches, go_quote, parse_bytes};
use crate::cli::Invocation;
use crate::env::Environment;
use crate::failure::Failure;
use lapstrake_engine::container::Ulimit;
use lapstrake_engine::ops::{
    self, Annotation, BuildRequest, CacheOptions, Call, Dialect, OnFail, RunOptions, Stdin, Stdout,
};
use lapstrake_engine::spec::{Platform, Reference};
use std::path::{Path, PathBuf};

/// The request. An error's text has no prefix yet.
pub(super) fn request(invocation: &Invocation<'_>, face: Face) -> Result<BuildRequest, Failure> {
    let matches = invocation.matches;
    let lookup = &Environment::variable;
    let each = |name: &str| matches.list(name).into_iter();
    let context = matches.required(0).to_owned();
    let dockerfile = matches.owned("file");
    let reads_stdin = context == "-" || dockerfile.as_deref() == Some("-");
    Ok(BuildRequest {
        stdin: reads_stdin.then(|| Stdin(Box::new(std::io::stdin()))),
        context,
        dockerfile,
        working_directory: Environment::absolute(Path::new(".")),
        named_contexts: collect(each("build-context").map(|value| named_context(&value)))?,
        tags: tags(matches, face)?,
        target: matches.owned("target"),
        build_args: each("build-arg")
            .filter_map(|value| build_argument(&value, lookup))
            .collect(),
        labels: each("label").map(|value| label(&value)).collect(),
        annotations: annotations(matches)?,
        platforms: platforms(matches)?,
        cache: cache(matches)?,
        pull: matches.is("pull"),
        run: run_options(matches)?,
        secrets: collect(each("secret").map(|value| secret(&value, lookup)))?,
        ssh: each("ssh").map(|value| ssh(&value, lookup)).collect(),
        outputs: ops::parse_outputs(
            &matches.list("output"),
            matches.is("push"),
            matches.is("load"),
        )?,
        stdout: Some(Stdout(Box::new(std::io::stdout()))),
        squash: matches.is("squash"),
        dialect: match face {
            Face::Classic => Dialect::Classic,
            Face::Modern(_) => Dialect::BuildKit,
        },
        call: call(matches)?,
        source_date_epoch: epoch(lookup("SOURCE_DATE_EPOCH").as_deref())?,
        rewrite_timestamps: matches.is("rewrite-timestamps"),
        on_fail: on_fail(matches.text("on-fail").unwrap_or_default())?,
        keep_containers: !matches.is("rm"),
        force_rm: matches.is("force-rm"),
        quiet: matches.is("quiet"),
        iidfile: matches.owned("iidfile").map(PathBuf::from),
        metadata_file: matches.owned("metadata-file").map(PathBuf::from),
        allow: matches.list("allow"),
    })
}

fn collect<T, C: FromIterator<T>>(
    values: impl Iterator<Item = Result<T, String>>,
) -> Result<C, Failure> {
    values.collect::<Result<C, String>>().map_err(Failure::new)
}

fn annotations(matches: &Matches) -> Result<Vec<Annotation>, Failure> {
    let mut found = Vec::new();
    for value in matches.list("annotation") {
        found.extend(ops::parse_annotation(&value)?);
    }
    Ok(found)
}

/// The names; the two builders refuse a bad one in different words.
fn tags(matches: &Matches, face: Face) -> Result<Vec<Reference>, Failure> {
    let tags = matches.list("tag").into_iter().map(|name| {
        Reference::parse(&name)
            .map(|reference| reference.or_latest())
            .map_err(|error| match face {
                Face::Classic => Failure::new(format!(
                    "invalid argument {} for \"-t, --tag\" flag: {error}",
                    go_quote(&name)
                ))
                .with_status(125),
                Face::Modern(_) => {
                    Failure::new(format!("invalid tag {}: {error}", go_quote(&name)))
                }
            })
    });
    tags.collect()
}

/// `--platform` may be repeated, and commas part several.
fn platforms(matches: &Matches) -> Result<Vec<Platform>, Failure> {
    let all = matches.list("platform");
    let words = all.iter().flat_map(|value| value.split(','));
    let words = words.map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| match word {
            "local" => Ok(Platform::host()),
            _ => Platform::parse(word)
                .map(|platform| platform.normalized())
                .map_err(|error| Failure::new(error.to_string())),
        })
        .collect()
}

fn cache(matches: &Matches) -> Result<CacheOptions, Failure> {
    let locations = |name: &str| cache_locations(&matches.list(name)).map_err(Failure::new);
    let stages = matches.list("no-cache-filter");
    let stages = stages.iter().flat_map(|value| value.split(','));
    Ok(CacheOptions {
        disabled: matches.is("no-cache"),
        disabled_stages: stages
            .filter(|stage| !stage.is_empty())
            .map(str::to_owned)
            .collect(),
        from: locations("cache-from")?,
        to: locations("cache-to")?,
        expected: matches.is("expect-cached"),
        explain: matches.is("explain"),
    })
}

/// What RUN steps get.
fn run_options(matches: &Matches) -> Result<RunOptions, Failure> {
    let text = |name: &str| matches.owned(name).unwrap_or_default();
    let number = |name: &str| matches.int(name).unwrap_or_default();
    let hosts = matches.list("add-host").into_iter().map(|value| {
        let host = extra_host(&value)?;
        let (name, address) = host.split_once(':').unwrap_or((&host, ""));
        Ok((name.to_owned(), address.to_owned()))
    });
    let ulimits = matches.list("ulimit").into_iter().map(|value| {
        let (name, soft, hard) = ulimit(&value)?;
        Ok(Ulimit { name, hard, soft })
    });
    Ok(RunOptions {
        network: network(&text("network"))?,
        extra_hosts: collect(hosts)?,
        shm_size: matches
            .bytes("shm-size")
            .and_then(|size| u64::try_from(size).ok())
            .filter(|size| *size > 0),
        ulimits: collect(ulimits)?,
        memory: matches.bytes("memory").unwrap_or_default(),
        memory_swap: swap(matches.text("memory-swap")),
        cpu_shares: number("cpu-shares"),
        cpu_period: number("cpu-period"),
        cpu_quota: number("cpu-quota"),
        cpuset_cpus: text("cpuset-cpus"),
        cpuset_mems: text("cpuset-mems"),
        cgroup_parent: text("cgroup-parent"),
    })
}

fn swap(text: Option<&str>) -> i64 {
    match text {
        Some("-1") => -1,
        Some(text) => parse_bytes(text).unwrap_or_default(),
        None => 0,
    }
}

fn network(mode: &str) -> Result<String, Failure> {
    match mode {
        "" | "default" | "bridge" => Ok(String::new()),
        "none" | "host" => Ok(mode.to_owned()),
        _ => Err(
            Failure::new(format!("network mode {} not supported", go_quote(mode)))
                .with_hint("builds know the networks `default`, `none` and `host`"),
        ),
    }
}

fn call(matches: &Matches) -> Result<Call, Failure> {
    let word = matches.nonempty("call").unwrap_or("build");
    if matches.is("check") {
        return match word {
            "build" | "check" | "lint" => Ok(Call::Check),
            _ => Err(Failure::new(
                "check and call may not be set together at the moment",
            )),
        };
    }
    // Docker lets a format follow the name: `outline,format=json`.
    match word.split(',').next().unwrap_or_default() {
        "build" => Ok(Call::Build),
        "check" | "lint" => Ok(Call::Check),
        "outline" => Ok(Call::Outline),
        "targets" => Ok(Call::Targets),
        other => Err(Failure::new(format!(
            "unsupported call {}: known are build, check, outline and targets",
            go_quote(other)
        ))),
    }
}

fn on_fail(word: &str) -> Result<OnFail, Failure> {
    match word {
        "" | "report" => Ok(OnFail::Report),
        "shell" => Ok(OnFail::Shell),
        "discard" => Ok(OnFail::Discard),
        _ => Err(Failure::new(format!(
            "invalid value for on-fail: {}: must be one of \"report\", \"shell\" or \"discard\"",
            go_quote(word)
        ))),
    }
}

fn epoch(text: Option<&str>) -> Result<Option<i64>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_error| {
        Failure::new(format!(
            "invalid SOURCE_DATE_EPOCH: {} is no number of seconds",
            go_quote(text)
        ))
    })
}
