//! Crash safety of the built binary: it is killed at random instants, and nothing may be lost or
//! half there.
//!
//! - `LAPSTRAKE_CRASH_ROUNDS`: how often each operation is killed; 12 unless told.
//! - `LAPSTRAKE_CRASH_SEED`: the seed of the instants and images. It is printed, and new each time
//!   unless told. The same seed gives the same delays, not the same interleaving.
//! - `LAPSTRAKE_CRASH_BINARY`: the `lap` to test; the one beside the tests unless told.
//!
//! Stores lie in the folder for temporary files (`TMPDIR`).
#![allow(
    clippy::disallowed_methods,
    reason = "a test of time and processes: it reads clocks and its own settings"
)]

mod build;
mod files;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lapstrake_image::memory::Memory;
use lapstrake_image::{ContentSource, CopyOptions, Silent, copy, validate};
use lapstrake_registry::client::{Client, Options};
use lapstrake_spec::{Digest, Document, MediaType, Reference};
use lapstrake_testkit::{
    Cli, Compression, Fault, Outcome, RandomImage, Rng, Shape, TestRegistry, When,
};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Runs of an operation that tell how long it takes.
const MEASURED: u32 = 5;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
}

fn rounds() -> u32 {
    setting("LAPSTRAKE_CRASH_ROUNDS").map_or(12, |rounds| rounds.try_into().unwrap())
}

fn seed() -> u64 {
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::from(since.unwrap().subsec_nanos())
    };
    let seed = setting("LAPSTRAKE_CRASH_SEED").unwrap_or_else(now);
    println!("LAPSTRAKE_CRASH_SEED={seed}");
    seed
}

fn lap() -> Cli {
    std::env::var("LAPSTRAKE_CRASH_BINARY").map_or_else(|_| Cli::built(), Cli::of)
}

/// A command in a process group of its own, with what it says thrown away.
fn start(lap: &Cli, arguments: &[&str]) -> Child {
    lap.command(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Kills the whole group at once; tells whether the command was still running.
fn kill(mut child: Child, signal: Signal) -> bool {
    let running = child.try_wait().unwrap().is_none();
    let group = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    // The group is gone when its last process is.
    kill_process_group(group, signal).ok();
    child.wait().unwrap();
    running
}

/// One operation that is killed again and again.
struct Torture<'a> {
    name: &'a str,
    lap: &'a Cli,
    rng: Rng,
    signal: Signal,
}

impl<'a> Torture<'a> {
    fn new(name: &'a str, lap: &'a Cli, seed: u64) -> Self {
        Self {
            name,
            lap,
            rng: Rng::new(seed),
            signal: Signal::KILL,
        }
    }

    /// The same with another signal than the one that nobody can catch.
    fn by(mut self, signal: Signal) -> Self {
        self.signal = signal;
        self
    }

    /// `prepare` gives the operation something to do and returns its command line; `look` judges what
    /// a crash left; `finish` what the next run did.
    fn run(
        mut self,
        prepare: impl Fn(u32) -> Vec<String>,
        look: impl Fn(u32),
        finish: impl Fn(u32, &Outcome),
    ) {
        let mut times = Vec::new();
        for round in 0..MEASURED {
            let line = prepare(round);
            let began = Instant::now();
            let outcome = self.run_once(&line);
            times.push(began.elapsed());
            finish(round, &outcome);
        }
        times.sort_unstable();
        let time = times[times.len() / 2];
        let mut killed = 0;
        for round in MEASURED..MEASURED + rounds() {
            let line = prepare(round);
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            let after = self.instant(time);
            let child = start(self.lap, &words);
            std::thread::sleep(after);
            killed += u32::from(kill(child, self.signal));
            let context = format!("{} killed after {after:?} in round {round}", self.name);
            assert_whole(self.lap, &context);
            look(round);
            finish(round, &self.run_once(&line));
        }
        let (name, all) = (self.name, rounds());
        println!("{name}: {all} rounds, killed in {killed}, the operation takes {time:?}");
        assert_whole(self.lap, name);
    }

    /// An instant in the operation, or shortly after it.
    fn instant(&mut self, time: Duration) -> Duration {
        let micros = usize::try_from(time.as_micros()).unwrap();
        Duration::from_micros(self.rng.below(micros + micros / 20) as u64)
    }

    fn run_once(&self, line: &[String]) -> Outcome {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        self.lap.run(&words)
    }
}

fn line(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[track_caller]
fn succeeded(outcome: &Outcome) {
    assert!(outcome.code == Some(0), "{outcome}");
}

/// Nothing that is listed is broken: by the word of `system check`, and by looking for ourselves.
#[track_caller]
fn assert_whole(lap: &Cli, context: &str) {
    let outcome = lap.run(&["system", "check"]);
    let whole = outcome.code == Some(0) && outcome.stdout.contains(": the store is whole\n");
    assert!(whole, "{context}\n{outcome}");
    let image = lap.root().join("image");
    let raw = std::fs::read(image.join("index.json")).unwrap();
    let index = Document::parse(Some(&MediaType::OCI_INDEX), &raw).unwrap();
    let Document::Index(index) = index else {
        panic!("{context}: index.json is no index");
    };
    for descriptor in &index.manifests {
        let raw = blob(&image, &descriptor.digest, context);
        let document = Document::parse(Some(&descriptor.media_type), &raw).unwrap();
        let Document::Manifest(manifest) = document else {
            panic!("{context}: {} is no manifest", descriptor.digest);
        };
        for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
            let raw = blob(&image, &part.digest, context);
            assert!(raw.len() as u64 == part.size, "{context}: {}", part.digest);
        }
    }
    let ids = lap.ok(&["images", "-aq", "--no-trunc"]);
    let mut inspect = vec!["inspect"];
    inspect.extend(ids.lines());
    if inspect.len() > 1 {
        lap.ok(&inspect);
    }
}

/// The right bytes of a blob.
#[track_caller]
fn blob(image: &Path, digest: &Digest, context: &str) -> Vec<u8> {
    let path = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
    let raw = std::fs::read(image.join(&path)).unwrap_or_else(|e| panic!("{context}: {path}: {e}"));
    assert!(Digest::sha256(&raw) == *digest, "{context}: {path}");
    raw
}

/// The image that a name stands for; none when it stands for nothing.
fn id_of(lap: &Cli, name: &str) -> Option<String> {
    let ids = lap.ok(&["images", "-q", "--no-trunc", name]);
    ids.lines().next().map(str::to_owned)
}

/// A tag is there, for what it was meant to be, or it is not.
#[track_caller]
fn whole_or_absent(lap: &Cli, name: &str, wanted: &str) {
    if let Some(found) = id_of(lap, name) {
        assert_eq!(found, wanted, "{name}");
    }
}

/// Several layers of some hundred kilobytes.
fn image(seed: u64) -> RandomImage {
    let shape = Shape {
        layers: 4,
        changes: 40,
        file_bytes: 200_000,
        ..Shape::default()
    };
    RandomImage::with(seed, &shape)
}

#[test]
fn pull_is_killed() {
    let (seed, lap) = (seed(), lap());
    let registry = TestRegistry::start();
    let image = image(seed);
    let name = registry.put("crash/pull:1", &image).to_string();
    let id = image.config_descriptor.digest.to_string();
    Torture::new("pull", &lap, seed).run(
        |_round| {
            if id_of(&lap, &name).is_some() {
                lap.ok(&["rmi", &name]);
            }
            line(&["pull", "-q", &name])
        },
        |_round| whole_or_absent(&lap, &name, &id),
        |_round, outcome| {
            succeeded(outcome);
            assert_eq!(id_of(&lap, &name).as_deref(), Some(id.as_str()));
        },
    );
}

#[test]
fn rmi_is_killed() {
    let (seed, lap) = (seed(), lap());
    let registry = TestRegistry::start();
    let image = image(seed);
    let name = registry.put("crash/rmi:1", &image).to_string();
    let id = image.config_descriptor.digest.to_string();
    // Shares its lowest layers, and stays.
    let other = registry.put("crash/other:1", &RandomImage::with(seed, &Shape::small()));
    lap.ok(&["pull", "-q", &other.to_string()]);
    Torture::new("rmi", &lap, seed).run(
        |_round| {
            lap.ok(&["pull", "-q", &name]);
            line(&["rmi", &name])
        },
        |_round| whole_or_absent(&lap, &name, &id),
        |_round, outcome| {
            let gone = outcome.stderr.contains("No such image");
            assert!(outcome.code == Some(0) || gone, "{outcome}");
            assert_eq!(id_of(&lap, &name), None);
            assert!(id_of(&lap, &other.to_string()).is_some());
        },
    );
}

#[test]
fn tag_is_killed() {
    let (seed, lap) = (seed(), lap());
    let registry = TestRegistry::start();
    let image = RandomImage::with(seed, &Shape::small());
    let name = registry.put("crash/tag:1", &image).to_string();
    let id = image.config_descriptor.digest.to_string();
    lap.ok(&["pull", "-q", &name]);
    let tag = |round: u32| format!("crash:t{round}");
    Torture::new("tag", &lap, seed).run(
        |round| {
            if let Some(known) = round.checked_sub(5) {
                lap.ok(&["rmi", &tag(known)]);
            }
            line(&["tag", &name, &tag(round)])
        },
        |round| whole_or_absent(&lap, &tag(round), &id),
        |round, outcome| {
            succeeded(outcome);
            assert_eq!(id_of(&lap, &tag(round)).as_deref(), Some(id.as_str()));
            assert_eq!(id_of(&lap, &name).as_deref(), Some(id.as_str()));
        },
    );
}

#[test]
fn commit_is_killed() {
    let (seed, lap) = (seed(), lap());
    let registry = TestRegistry::start();
    let base = registry.put("crash/base:1", &image(seed)).to_string();
    lap.ok(&["pull", "-q", &base]);
    let container = lap.ok(&["create", &base, "/nothing"]);
    let container = container.trim();
    // As if its processes had written it.
    let upper = lap.root().join("containers").join(container).join("upper");
    std::fs::create_dir_all(&upper).unwrap();
    let name = "crash:commit";
    Torture::new("commit", &lap, seed).run(
        |round| {
            if id_of(&lap, name).is_some() {
                lap.ok(&["rmi", name]);
            }
            let bytes = Rng::new(seed + u64::from(round)).bytes(3_000_000);
            std::fs::write(upper.join("file"), bytes).unwrap();
            line(&["commit", "-p=false", container, name])
        },
        |_round| assert!(id_of(&lap, &base).is_some()),
        |_round, outcome| {
            succeeded(outcome);
            assert_eq!(id_of(&lap, name).as_deref(), Some(outcome.stdout.trim()));
        },
    );
}

#[test]
fn push_is_killed() {
    let (seed, lap) = (seed(), lap());
    let home = TestRegistry::start();
    let image = image(seed);
    let base = home.put("crash/push:1", &image).to_string();
    lap.ok(&["pull", "-q", &base]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // A registry that has nothing, each time anew.
    let registry = std::cell::RefCell::new(TestRegistry::start());
    let name = || registry.borrow().reference("crash/pushed:1");
    Torture::new("push", &lap, seed).run(
        |_round| {
            let old = name().to_string();
            if id_of(&lap, &old).is_some() {
                lap.ok(&["rmi", &old]);
            }
            registry.replace(TestRegistry::start());
            lap.ok(&["tag", &base, &name().to_string()]);
            line(&["push", "-q", &name().to_string()])
        },
        |_round| {
            let tags = runtime.block_on(client().tags(&name())).unwrap_or_default();
            if !tags.is_empty() {
                runtime.block_on(assert_pullable(&name(), &image));
            }
        },
        |_round, outcome| {
            succeeded(outcome);
            runtime.block_on(assert_pullable(&name(), &image));
        },
    );
}

fn client() -> Client {
    Client::new(Options::default()).unwrap()
}

/// What a registry lists has all its blobs, and they are right.
async fn assert_pullable(name: &Reference, image: &RandomImage) {
    let client = client();
    let source = client.source(name);
    let descriptor = source.resolve(name).await.unwrap();
    let memory = Memory::new();
    let options = CopyOptions::pull();
    copy(source.as_ref(), &memory, &descriptor, &options, &Silent)
        .await
        .unwrap();
    let found = validate(&memory, &descriptor).await.unwrap();
    assert_eq!(found.blobs, 1 + image.layers.len());
    // Plain layers are compressed on the way out: other blobs, the same image.
    let id = &image.config_descriptor.digest;
    let manifest = memory.manifest(&descriptor).await.unwrap();
    assert!(String::from_utf8_lossy(&manifest).contains(id.as_str()));
}

/// At least 40 megabytes in plain layers.
fn large(seed: u64) -> RandomImage {
    let shape = Shape {
        layers: 6,
        changes: 60,
        file_bytes: 1_000_000,
        compressions: vec![Compression::Plain],
        ..Shape::default()
    };
    let image = RandomImage::with(seed, &shape);
    assert!(image.size() > 40_000_000, "{} bytes", image.size());
    image
}

/// Bytes per second of each answer in the tests of downloads that go on. Slower than `lap`, so that
/// what the server has written is about what `lap` has read: what piles up in the sockets between
/// them, the server counts and `lap` never sees. On a busy machine `lap` is late at times; then the
/// small send buffers of the server keep that below 300 kB an answer.
const RATE: u64 = 6 << 20;

/// How often a download is broken off.
const BREAKS: u32 = 5;

#[test]
fn a_killed_pull_goes_on_where_it_was() {
    let (seed, lap) = (seed(), lap());
    let registry = TestRegistry::start();
    let image = large(1);
    let name = registry.put("crash/large:1", &image).to_string();
    registry
        .faults()
        .add(When::path("/blobs/"), Fault::Slow(RATE), usize::MAX);
    let mut rng = Rng::new(seed);
    let mut kills = 0;
    for _ in 0..BREAKS {
        let child = start(&lap, &["pull", "-q", &name]);
        std::thread::sleep(Duration::from_millis(100 + rng.below(300) as u64));
        kills += u32::from(kill(child, Signal::KILL));
        assert_whole(&lap, "pull killed");
    }
    lap.ok(&["pull", "-q", &name]);
    assert_whole(&lap, "pull after kills");
    assert_fetched_once(&registry, &image, kills);
}

/// An interrupt by hand is kinder: what has come is written out.
#[test]
fn an_interrupted_pull_goes_on_where_it_was() {
    let (seed, lap) = (seed(), lap());
    let registry = TestRegistry::start();
    let image = large(1);
    let name = registry.put("crash/large:1", &image).to_string();
    registry
        .faults()
        .add(When::path("/blobs/"), Fault::Slow(RATE), usize::MAX);
    let mut rng = Rng::new(seed);
    let mut interrupts = 0;
    for _ in 0..BREAKS {
        let child = start(&lap, &["pull", "-q", &name]);
        std::thread::sleep(Duration::from_millis(100 + rng.below(300) as u64));
        interrupts += u32::from(kill(child, Signal::INT));
        let ingest = std::fs::read_dir(lap.root().join("ingest")).unwrap();
        for entry in ingest {
            let left = entry.unwrap().file_name();
            let left = left.to_string_lossy();
            assert!(left.ends_with(".partial"), "{left} is left in ingest");
        }
        assert_whole(&lap, "pull interrupted");
    }
    lap.ok(&["pull", "-q", &name]);
    assert_whole(&lap, "pull after interrupts");
    assert_fetched_once(&registry, &image, interrupts);
}

#[track_caller]
fn assert_fetched_once(registry: &TestRegistry, image: &RandomImage, kills: u32) {
    let (sent, size) = (registry.faults().bytes_sent(), image.size());
    println!("{sent} bytes for an image of {size}, {kills} kills");
    assert!(kills > 0, "it was never in time");
    assert!(sent * 100 <= size * 105, "{sent} bytes, image of {size}");
    let ranges = registry.faults().seen();
    assert!(ranges.iter().any(|seen| seen.status == 206), "no range");
}

/// Three processes at a time pull, tag and remove one image.
#[test]
fn three_at_once() {
    let (seed, lap) = (seed(), lap());
    let registry = TestRegistry::start();
    let name = registry.put("crash/three:1", &image(seed)).to_string();
    let until = Instant::now() + Duration::from_millis(100) * rounds();
    std::thread::scope(|scope| {
        for user in 0..3 {
            let (lap, name) = (&lap, &name);
            scope.spawn(move || {
                let mut rng = Rng::new(seed + user);
                let tag = format!("crash:user{user}");
                while Instant::now() < until {
                    let words: Vec<&str> = match rng.below(6) {
                        0 | 1 => vec!["pull", "-q", name],
                        2 => vec!["tag", name, &tag],
                        3 => vec!["rmi", &tag],
                        4 => vec!["rmi", name],
                        _ => vec!["images", "--digests"],
                    };
                    let outcome = lap.run(&words);
                    let gone = outcome.stderr.contains("No such image");
                    assert!(outcome.code == Some(0) || gone, "{outcome}");
                }
            });
        }
    });
    assert_whole(&lap, "three at once");
    lap.ok(&["pull", "-q", &name]);
    assert_whole(&lap, "pull after three");
}

/// A `lap` with an image that has one program, busybox; none where there is no busybox.
fn lap_with_busybox() -> Option<Cli> {
    if !Path::new("/bin/busybox").exists() {
        eprintln!("skipped: this host has no busybox");
        return None;
    }
    let lap = lap();
    let archive = lap.home().join("busybox.tar");
    let packed = Command::new("tar")
        .args(["-C", "/bin", "-cf"])
        .arg(&archive)
        .arg("busybox")
        .status()
        .unwrap();
    assert!(packed.success());
    lap.ok(&["import", archive.to_str().unwrap(), "busybox"]);
    Some(lap)
}

const SLEEP: [&str; 3] = ["busybox", "/busybox", "sleep"];

/// What `/proc` lists as running with all these words in its command line.
fn processes(words: &[&str]) -> Vec<Pid> {
    let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name();
        name.to_str()?.parse::<i32>().ok()
    });
    numbers
        .filter(|number| {
            let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            words.iter().all(|word| line.contains(word))
        })
        .filter_map(Pid::from_raw)
        .collect()
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < until, "not in ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills the monitor of a container; the container dies with it.
fn kill_monitor(lap: &Cli, id: &str) {
    let process = lap.ok(&["inspect", "-f", "{{.State.Pid}}", id]);
    // One that has died and waits to be reaped has no program any more.
    let program = format!("/proc/{}/exe", process.trim());
    let lives = || std::fs::read_link(&program).is_ok();
    assert!(lives(), "{program}");
    for monitor in processes(&["__monitor", id]) {
        kill_process(monitor, Signal::KILL).unwrap();
    }
    eventually("the container dies with its monitor", || !lives());
}

/// The control groups that have a container's id for a name.
fn groups(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name() == id {
                found.push(entry.path());
            } else if depth < 3 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    found
}

#[test]
fn privileged_a_killed_monitor_leaves_nothing() {
    let Some(lap) = lap_with_busybox() else {
        return;
    };
    let [image, program, sleep] = SLEEP;
    let id = lap.ok(&["run", "-d", "--network=none", image, program, sleep, "9999"]);
    let id = id.trim();
    // Where a container can be paused, that takes a control group.
    lap.run(&["pause", id]);
    lap.run(&["unpause", id]);
    kill_monitor(&lap, id);
    let status = lap.ok(&["ps", "-a", "--format", "{{.Status}}"]);
    assert!(status.starts_with("Exited (137)"), "{status}");
    assert_eq!(lap.ok(&["wait", id]), "137\n");
    lap.ok(&["start", id]);
    assert_eq!(lap.ok(&["ps", "-q", "--no-trunc"]).trim(), id);
    lap.run(&["pause", id]);
    lap.run(&["unpause", id]);
    kill_monitor(&lap, id);
    lap.ok(&["rm", id]);
    assert_eq!(lap.ok(&["ps", "-aq"]), "");
    assert_eq!(groups(id), Vec::<PathBuf>::new());
    assert_eq!(processes(&[id]), []);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(lap.root().to_str().unwrap()), "{mounts}");
    assert_whole(&lap, "monitor killed");
}

#[test]
fn privileged_a_container_outlives_a_killed_command_line() {
    let Some(lap) = lap_with_busybox() else {
        return;
    };
    let [image, program, sleep] = SLEEP;
    let mut child = start(
        &lap,
        &["run", "--network=none", image, program, sleep, "9999"],
    );
    eventually("it runs", || !lap.ok(&["ps", "-q"]).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let status = lap.ok(&["ps", "--format", "{{.ID}} {{.Status}}"]);
    let (id, status) = status.split_once(' ').unwrap();
    assert!(status.starts_with("Up "), "{status}");
    lap.ok(&["rm", "-f", id]);
    assert_eq!(lap.ok(&["ps", "-aq"]), "");
    eventually("the monitor ends", || {
        processes(&["__monitor", id]).is_empty()
    });
    assert_whole(&lap, "command line killed");
}

#[test]
fn privileged_a_run_that_comes_to_nothing_leaves_no_monitor() {
    let Some(lap) = lap_with_busybox() else {
        return;
    };
    let [image, program, _] = SLEEP;
    let name = "--name=taken";
    lap.ok(&["create", name, image, program, "true"]);
    let stderr = lap.fails(
        125,
        &["run", name, "--network=none", image, program, "true"],
    );
    assert!(stderr.contains("is already in use"), "{stderr}");
    let root = lap.root();
    let root = root.to_str().unwrap();
    eventually("the monitor that waited is gone", || {
        processes(&["__monitor", root]).is_empty()
    });
    lap.ok(&["rm", "taken"]);
    assert_whole(&lap, "a name that is taken");
}

#[test]
fn privileged_a_killed_commit_lets_the_container_go_on() {
    let Some(lap) = lap_with_busybox() else {
        return;
    };
    let [image, program, _] = SLEEP;
    let fill = "dd if=/dev/zero of=/large bs=1M count=64 2>/dev/null; exec sleep 9999";
    let script = [
        "run",
        "-d",
        "--network=none",
        image,
        program,
        "sh",
        "-c",
        fill,
    ];
    let id = lap.ok(&script);
    let id = id.trim();
    let size = || lap.ok(&["ps", "-s", "--format", "{{.Size}}"]);
    eventually("the file is there", || size().starts_with("67.1MB"));
    let paused = || {
        lap.ok(&["ps", "--format", "{{.Status}}"])
            .contains("Paused")
    };
    let mut seen = false;
    for _ in 0..20 {
        let mut commit = start(&lap, &["commit", id]);
        let until = Instant::now() + Duration::from_secs(5);
        while !paused() && commit.try_wait().unwrap().is_none() && Instant::now() < until {}
        seen |= kill(commit, Signal::KILL);
        eventually("it goes on", || !paused());
        if seen {
            break;
        }
    }
    assert!(seen, "no commit was killed while the container stood still");
    lap.ok(&["rm", "-f", id]);
    assert_whole(&lap, "a killed commit");
}
