//! A build is killed: the store stays whole, nothing of the build is left behind, and what was finished
//! is not done again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use lapstrake_testkit::{Cli, Directory, Outcome, Rng};
use rustix::process::Signal;

use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;

use super::{
    MEASURED, Torture, assert_whole, eventually, id_of, kill, lap_with_busybox, line, processes,
    rounds, seed, succeeded,
};

/// Two stages beside each other, files copied, files made, files removed, and what depends on the round.
const DOCKERFILE: &str = r#"
FROM busybox AS base
COPY busybox /bin/
SHELL ["/bin/busybox", "sh", "-ec"]
RUN /bin/busybox --install /bin

FROM base AS left
ARG ROUND
RUN echo $ROUND > /round; mkdir -p /left/deep; for i in $(seq 200); do echo $ROUND $i > /left/deep/$i; done

FROM base AS right
COPY files /right
ARG ROUND
RUN dd if=/dev/zero of=/large bs=1M count=3; rm -r /right/gone; echo $ROUND >> /right/kept

FROM base
COPY --from=left /left /left
COPY --from=right /right /right
ARG ROUND
RUN mv /left /moved; ln /right/kept /second; echo $ROUND > /last
"#;
const NAME: &str = "crash:build";

fn context(seed: u64) -> Directory {
    let context = Directory::new();
    context.write("Dockerfile", DOCKERFILE);
    fs::copy("/bin/busybox", context.join("busybox")).unwrap();
    let mut rng = Rng::new(seed);
    for number in 0..300 {
        context.write(&format!("files/gone/{number}"), rng.bytes(2000));
    }
    context.write("files/kept", "kept\n");
    context
}

fn words(context: &Directory, round: u32) -> Vec<String> {
    let argument = format!("ROUND={round}");
    let folder = context.path().to_str().unwrap();
    line(&[
        "build",
        "--network=none",
        "--progress=plain",
        "--build-arg",
        &argument,
        "-t",
        NAME,
        folder,
    ])
}

/// The steps that plain progress says have ended so: `#7 [left 2/3] RUN …`, then `#7 DONE 0.1s`.
fn steps(log: &str, endings: &[&str]) -> BTreeSet<String> {
    let named = |number: &str| {
        let start = format!("{number} [");
        let found = log.lines().find(|line| line.starts_with(&start));
        found.map(|line| line[start.len() - 1..].to_owned())
    };
    log.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (number, ending) = (words.next()?, words.next()?);
            let has_ended = number.starts_with('#') && endings.contains(&ending);
            has_ended.then(|| named(number)).flatten()
        })
        .filter(|name| !name.starts_with("[internal]") && !name.contains("] FROM "))
        .collect()
}

fn start_logged(lap: &Cli, line: &[String], log: &Path) -> Child {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let file = File::create(log).unwrap();
    lap.command(&words)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .process_group(0)
        .spawn()
        .unwrap()
}

/// No mount, container or process of the build is there any more.
#[track_caller]
fn nothing_is_left(lap: &Cli) {
    let root = lap.root();
    let root = root.to_str().unwrap();
    assert_eq!(lap.ok(&["ps", "-aq"]), "");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(root), "{mounts}");
    eventually("the processes of the build end", || {
        processes(&[root]).is_empty()
    });
}

#[track_caller]
fn is_right(lap: &Cli, round: u32, outcome: &Outcome) {
    succeeded(outcome);
    assert!(id_of(lap, NAME).is_some());
    let script = "cat /last; ls /moved/deep | wc -l; ls /right; cat /second";
    let run = ["run", "--rm", "--network=none", NAME];
    let shell = ["/bin/busybox", "sh", "-c", script];
    let said = lap.ok(&[&run[..], &shell].concat());
    assert_eq!(said, format!("{round}\n200\nkept\nkept\n{round}\n"));
}

#[test]
fn privileged_build_is_killed() {
    let Some(lap) = lap_with_busybox() else {
        return;
    };
    let seed = seed();
    let context = context(seed);
    let mut torture = Torture::new("build", &lap, seed);
    let mut times = Vec::new();
    for round in 0..MEASURED {
        let began = Instant::now();
        let outcome = torture.run_once(&words(&context, round));
        times.push(began.elapsed());
        is_right(&lap, round, &outcome);
    }
    times.sort_unstable();
    let time = times[times.len() / 2];
    let log = lap.home().join("log");
    let (mut killed, mut finished) = (0, 0);
    for round in MEASURED..MEASURED + rounds() {
        let line = words(&context, round);
        let after = torture.instant(time);
        let child = start_logged(&lap, &line, &log);
        std::thread::sleep(after);
        killed += u32::from(kill(child, Signal::KILL));
        assert_whole(
            &lap,
            &format!("build killed after {after:?} in round {round}"),
        );
        nothing_is_left(&lap);
        let before = steps(&fs::read_to_string(&log).unwrap(), &["DONE", "CACHED"]);
        finished += before.len();
        let outcome = torture.run_once(&line);
        is_right(&lap, round, &outcome);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        let cached = steps(&said, &["CACHED"]);
        let again: Vec<_> = before.difference(&cached).collect();
        assert!(
            again.is_empty(),
            "killed after {after:?}, done again: {again:?}\n{outcome}"
        );
        let mut all = line.clone();
        all.insert(1, "--expect-cached".to_owned());
        succeeded(&torture.run_once(&all));
    }
    let all = rounds();
    println!(
        "build: {all} rounds, killed in {killed}, {finished} steps finished, it takes {time:?}"
    );
    assert_whole(&lap, "build");
    nothing_is_left(&lap);
}

#[test]
fn privileged_build_is_interrupted() {
    let Some(lap) = lap_with_busybox() else {
        return;
    };
    let context = Directory::new();
    context.write(
        "Dockerfile",
        "FROM busybox\nRUN [\"/busybox\", \"sleep\", \"31337\"]\n",
    );
    let arguments = ["build", "--network=none", "-t", "never:1"];
    let mut command = lap.command(&arguments);
    let mut child = command
        .arg(context.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let root = lap.root().display().to_string();
    let runs = || {
        processes(&["__steward", &root]).len() == 1 && !processes(&["sleep", "31337"]).is_empty()
    };
    eventually("the step runs", runs);
    let build = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(build, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    eventually("nothing runs", || processes(&[&root]).is_empty());
    assert_eq!(lap.ok(&["ps", "-aq"]), "");
    assert!(!lap.ok(&["images"]).contains("never"));
    let ingest = || fs::read_dir(lap.root().join("ingest")).unwrap().count();
    let trash = || {
        let entries = fs::read_dir(lap.root().join("trash")).unwrap().flatten();
        entries.filter(|entry| entry.file_name() != ".lock").count()
    };
    eventually("nothing is left", || ingest() + trash() == 0);
    assert_whole(&lap, "build interrupted");
}

/// A step's socket has its mount's owner and mode; a kill takes it away with the next sweep.
#[test]
fn privileged_build_with_an_agent_is_killed() {
    let Some(lap) = lap_with_busybox() else {
        return;
    };
    let context = Directory::new();
    let agent = context.join("agent");
    let _listening = UnixListener::bind(&agent).unwrap();
    let flag = format!("default={}", agent.display());
    let build = |script: &str| {
        let mount = "--mount=type=ssh,uid=1000,gid=2000,mode=0660";
        let step = format!("[\"/busybox\", \"sh\", \"-c\", \"{script}\"]");
        context.write("Dockerfile", format!("FROM busybox\nRUN {mount} {step}\n"));
        let folder = context.path().to_str().unwrap();
        let words = [
            "build",
            "--network=none",
            "--progress=plain",
            "--ssh",
            &flag,
        ];
        line(&[&words[..], &[folder]].concat())
    };
    let log = lap.home().join("log");
    let looking = build("/busybox stat -c '%u %g %a %F' $SSH_AUTH_SOCK");
    let status = start_logged(&lap, &looking, &log).wait().unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(status.success(), "{said}");
    assert!(said.contains(" 1000 2000 660 socket"), "{said}");
    let ingest = || fs::read_dir(lap.root().join("ingest")).unwrap().count();
    eventually("the socket is gone", || ingest() == 0);

    let child = start_logged(&lap, &build("exec /busybox sleep 31338"), &log);
    eventually("the step runs", || {
        !processes(&["sleep", "31338"]).is_empty()
    });
    assert!(kill(child, Signal::KILL));
    nothing_is_left(&lap);
    lap.ok(&["system", "prune", "-f"]);
    eventually("the socket is gone", || ingest() == 0);
    assert_whole(&lap, "build with an agent killed");
}
