//! The flags of `build`: docker's two builders in one table, and our own.

use super::super::run_flags::{check_host, check_swap, check_ulimit};
use super::super::trust_flag;
use crate::args::{Flag, Kind};

/// A flag that may be repeated and whose value is not split.
const fn array(long: &'static str, help: &'static str) -> Flag {
    Flag::list(long, help).value_name("stringArray")
}

/// The flags, sorted by name.
pub(super) static FLAGS: &[Flag] = &[
    Flag::new(
        "add-host",
        Kind::Strings,
        "Add a custom host-to-IP mapping (format: \"host:ip\")",
    )
    .check(check_hosts),
    array(
        "allow",
        "Allow extra privileged entitlement (e.g., \"network.host\", \"security.insecure\", \"device\")",
    ),
    array("annotation", "Add annotation to the image"),
    array(
        "attest",
        "Attestation parameters (format: \"type=sbom,generator=image\")",
    ),
    array("build-arg", "Set build-time variables"),
    array(
        "build-context",
        "Additional build contexts (e.g., name=path)",
    ),
    Flag::text(
        "builder",
        "Override the configured builder instance (accepted and not used: there is one)",
    ),
    array(
        "cache-from",
        "External cache sources (e.g., \"user/app:cache\", \"type=local,src=path/to/dir\")",
    ),
    array(
        "cache-to",
        "Cache export destinations (e.g., \"user/app:cache\", \"type=local,dest=path/to/dir\")",
    ),
    Flag::text(
        "call",
        "Set method for evaluating build (\"check\", \"outline\", \"targets\")",
    )
    .default("build"),
    Flag::text(
        "cgroup-parent",
        "Set the parent cgroup for the \"RUN\" instructions during build",
    ),
    Flag::bool("check", "Shorthand for \"--call=check\""),
    Flag::bool("compress", "Compress the build context using gzip").hidden(),
    Flag::int(
        "cpu-period",
        "Limit the CPU CFS (Completely Fair Scheduler) period",
    ),
    Flag::int(
        "cpu-quota",
        "Limit the CPU CFS (Completely Fair Scheduler) quota",
    ),
    Flag::int("cpu-shares", "CPU shares (relative weight)").short('c'),
    Flag::text("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag::text("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag::bool("debug", "Show every warning in full").short('D'),
    trust_flag("Skip image verification").hidden(),
    Flag::bool("expect-cached", "Fail when a step is not in the cache"),
    Flag::bool("explain", "Tell for every step why it was not in the cache"),
    Flag::text("file", "Name of the Dockerfile (default: \"PATH/Dockerfile\")").short('f'),
    Flag::bool("force-rm", "Always remove intermediate containers").hidden(),
    Flag::text("iidfile", "Write the image ID to a file"),
    Flag::text("isolation", "Container isolation technology").hidden(),
    array("label", "Set metadata for an image"),
    Flag::bool("load", "Shorthand for \"--output=type=docker\""),
    Flag::new("memory", Kind::Bytes, "Memory limit").short('m'),
    Flag::text(
        "memory-swap",
        "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
    )
    .value_name("bytes")
    .check(check_swap),
    Flag::text("metadata-file", "Write build result metadata to a file"),
    Flag::text(
        "network",
        "Set the networking mode for the \"RUN\" instructions during build",
    )
    .default("default"),
    Flag::bool("no-cache", "Do not use cache when building the image"),
    array("no-cache-filter", "Do not cache specified stages"),
    Flag::text(
        "on-fail",
        "What to do with the file system of a failed step (\"report\", \"shell\", \"discard\")",
    )
    .default("report"),
    array("output", "Output destination (format: \"type=local,dest=path\")").short('o'),
    array("platform", "Set target platform for build"),
    Flag::text(
        "progress",
        "Set type of progress output (\"auto\", \"classic\", \"none\", \"plain\", \"quiet\", \"rawjson\", \"tty\"). Use plain to show container output",
    )
    .default("auto"),
    Flag::text("provenance", "Shorthand for \"--attest=type=provenance\""),
    Flag::bool("pull", "Always attempt to pull all referenced images"),
    Flag::bool("push", "Shorthand for \"--output=type=registry\""),
    Flag::bool("quiet", "Suppress the build output and print image ID on success").short('q'),
    Flag::bool(
        "rewrite-timestamps",
        "Set back files of new layers to SOURCE_DATE_EPOCH",
    ),
    Flag::bool(
        "rm",
        "Tell of removed intermediate containers (classic output); none is kept either way",
    )
    .default("true"),
    Flag::text("sbom", "Shorthand for \"--attest=type=sbom\""),
    array(
        "secret",
        "Secret to expose to the build (format: \"id=mysecret[,src=/local/secret]\")",
    ),
    Flag::new("security-opt", Kind::Strings, "Security options").hidden(),
    Flag::new("shm-size", Kind::Bytes, "Shared memory size for build containers"),
    Flag::bool("squash", "Squash newly built layers into a single new layer"),
    array(
        "ssh",
        "SSH agent socket or keys to expose to the build (format: \"default|<id>[=<socket>|<key>[,<key>]]\")",
    ),
    array("tag", "Name and optionally a tag (format: \"name:tag\")").short('t'),
    Flag::text("target", "Set the target build stage to build"),
    Flag::list("ulimit", "Ulimit options")
        .value_name("ulimit")
        .default("[]")
        .check(check_ulimit),
];

fn check_hosts(value: &str) -> Result<(), String> {
    value.split(',').try_for_each(check_host)
}
