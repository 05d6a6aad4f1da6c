//! Images that are nowhere and references that are none.

use super::{holds, put_small, refuses};
use lapstrake_testkit::{Cli, TestRegistry};

const RUN_HELP: &str = "\n\nRun 'lap run --help' for more information";

#[test]
fn an_image_that_is_not_in_the_store() {
    let lap = Cli::built();
    let run = |text: &str| format!("lap: {text}{RUN_HELP}");
    let never = run("Error response from daemon: No such image: nosuch:latest");
    refuses(
        &lap,
        &[
            (&["inspect", "nosuch"], 1, "Error: No such object: nosuch"),
            (
                &["image", "inspect", "nosuch"],
                1,
                "Error response from daemon: No such image: nosuch:latest",
            ),
            (
                &["history", "nosuch"],
                1,
                "Error response from daemon: No such image: nosuch:latest",
            ),
            (
                &["rmi", "nosuch"],
                1,
                "Error response from daemon: No such image: nosuch:latest",
            ),
            (
                &["rmi", "nosuch", "nosuch2:1"],
                1,
                "Error response from daemon: No such image: nosuch:latest\n\
                 Error response from daemon: No such image: nosuch2:1",
            ),
            (
                &["rmi", "-f", "nosuch"],
                0,
                "Error response from daemon: No such image: nosuch:latest",
            ),
            (
                &["tag", "nosuch:1", "x:1"],
                1,
                "Error response from daemon: No such image: nosuch:1",
            ),
            (&["run", "--pull", "never", "nosuch", "true"], 125, &never),
            (
                &["push", "127.0.0.1:9/not/here"],
                1,
                "An image does not exist locally with the tag: 127.0.0.1:9/not/here",
            ),
            (
                &["push", "127.0.0.1:9/not/here:nope"],
                1,
                "An image does not exist locally with the tag: 127.0.0.1:9/not/here",
            ),
        ],
    );
    holds(&lap, &[]);
}

#[test]
fn an_image_that_is_not_in_the_registry() {
    let registry = TestRegistry::start();
    let name = put_small(&registry, "team/app:1").to_string();
    let (there, at) = (registry.address(), registry.address());
    let missing = format!("{there}/nosuch/repo");
    let tag = format!("{there}/team/app:nope");
    let digest = format!("{there}/team/app@sha256:{}", "a".repeat(64));
    let unknown = |name: &str| {
        format!(
            "Error response from daemon: manifest for {name} not found: manifest unknown: manifest \
             unknown"
        )
    };
    let latest = format!("{missing}:latest");
    let (no_repo, no_tag, no_digest) = (unknown(&latest), unknown(&tag), unknown(&digest));
    let run = format!("Unable to find image '{latest}' locally\nlap: {no_repo}{RUN_HELP}");
    let lap = Cli::built();
    lap.ok(&["pull", "-q", &name]);
    let absent = format!("tag does not exist: {at}/team/app:2");
    let other = format!("{at}/team/app:2");
    refuses(
        &lap,
        &[
            (&["pull", &missing], 1, &no_repo),
            (&["pull", &tag], 1, &no_tag),
            (&["pull", &digest], 1, &no_digest),
            (&["run", &missing, "true"], 125, &run),
            (&["push", &other], 1, &absent),
        ],
    );
    holds(&lap, &[&name]);
}

#[test]
fn references_that_are_none() {
    let lap = Cli::built();
    let registry = TestRegistry::start();
    let good = put_small(&registry, "a/b:1").to_string();
    lap.ok(&["pull", "-q", &good]);
    let upper = "invalid reference format: repository name (library/Bad) must be lowercase";
    let none = "invalid reference format";
    let too_long = "repository name must not be more than 255 characters";
    let long_name = "a/".repeat(130) + "b";
    let long_tag = format!("a:{}", "t".repeat(129));
    let many = "a".repeat(100_000);
    let id = "c".repeat(64);
    let by_id =
        format!("invalid repository name ({id}), cannot specify 64-byte hexadecimal strings");
    let answer = |text: &str| format!("Error response from daemon: {text}");
    let refused = answer(none);
    let daemon_upper =
        answer("invalid reference format: repository name (library/BAD) must be lowercase");
    let run = format!("lap: {none}{RUN_HELP}");
    let run_upper = format!("lap: {upper}{RUN_HELP}");
    let target = format!("x@sha256:{}", "a".repeat(64));
    refuses(
        &lap,
        &[
            (&["pull", "Bad::Ref"], 1, upper),
            (&["pull", "Bad"], 1, upper),
            (&["pull", ""], 1, none),
            (&["pull", " "], 1, none),
            (&["pull", "a b"], 1, none),
            (&["pull", "a:"], 1, none),
            (&["pull", ":1"], 1, none),
            (&["pull", "a//b"], 1, none),
            (&["pull", "/a"], 1, none),
            (&["pull", "a/"], 1, none),
            (&["pull", "../a"], 1, none),
            (&["pull", "a/../b"], 1, none),
            (&["pull", "-"], 1, none),
            (&["pull", "a@sha256:123"], 1, none),
            (&["pull", "a@sha256:"], 1, none),
            (&["pull", "http://host/a"], 1, none),
            (&["pull", "host:port/a"], 1, none),
            (&["pull", "[::1/a"], 1, none),
            (&["pull", "a\u{e9}"], 1, none),
            (&["pull", "a\nb"], 1, none),
            (&["pull", &long_tag], 1, none),
            (&["pull", &id], 1, &by_id),
            (&["pull", &long_name], 1, too_long),
            (&["pull", &many], 1, too_long),
            (&["run", "a::b"], 125, &run),
            (&["run", "Bad"], 125, &run_upper),
            (&["rmi", "BAD::x"], 1, &daemon_upper),
            // With a slash behind it, `BAD` would be a host.
            (&["tag", &good, "BAD"], 1, &daemon_upper),
            (&["tag", &good, "x::"], 1, &refused),
            (
                &["tag", &good, &target],
                1,
                "refusing to create a tag with a digest reference",
            ),
            (&["push", "a::b"], 1, none),
            (&["push", &target], 1, "cannot push a digest reference"),
            (&["import", "-", "a::b"], 1, none),
        ],
    );
    holds(&lap, &[&good]);
}
