//! Engines that build: docker in both its forms, and `lap`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use lapstrake_spec::{Descriptor, Digest, Document, MediaType};
use serde_json::Value;

use super::case::Case;
use super::listing::Image;
use crate::Cli;

/// Which of docker's two builders is meant, or followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// BuildKit.
    BuildKit,
    /// The builder before it.
    Classic,
}

/// An engine that builds.
#[derive(Debug)]
pub enum Builder {
    /// A docker client and the daemon that it talks to.
    Docker {
        /// The client.
        client: PathBuf,
        /// `unix:///…`
        host: String,
        /// Which builder.
        dialect: Dialect,
    },
    /// A `lap` with a store of its own.
    Lap {
        /// The program and its folders.
        cli: Box<Cli>,
        /// Which builder it follows.
        dialect: Dialect,
    },
}

impl Builder {
    /// Which builder it is or follows.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Docker { dialect, .. } | Self::Lap { dialect, .. } => *dialect,
        }
    }

    /// A name with version, for people.
    pub fn version(&self) -> String {
        let kind = match self.dialect() {
            Dialect::BuildKit => "BuildKit",
            Dialect::Classic => "classic builder",
        };
        match self {
            Self::Docker { .. } => {
                let version = self.ok(&["version", "--format", "{{.Server.Version}}"]);
                let store = if self.has_containerd() {
                    ", containerd image store"
                } else {
                    ""
                };
                format!(
                    "docker {}, {kind}{store}",
                    String::from_utf8_lossy(&version).trim()
                )
            }
            Self::Lap { .. } => format!("lap, {kind}"),
        }
    }

    /// The first number of docker's version; none for `lap`, which can do all.
    pub fn major(&self) -> Option<u32> {
        let Self::Docker { .. } = self else {
            return None;
        };
        let version = self.ok(&["version", "--format", "{{.Server.Version}}"]);
        let version = String::from_utf8(version).unwrap();
        Some(version.split('.').next().unwrap().parse().unwrap())
    }

    fn command(&self, words: &[&str]) -> Command {
        match self {
            Self::Docker {
                client,
                host,
                dialect,
            } => {
                let mut command = Command::new(client);
                let buildkit = if *dialect == Dialect::BuildKit {
                    "1"
                } else {
                    "0"
                };
                command
                    .args(words)
                    .env("DOCKER_HOST", host)
                    .env("DOCKER_BUILDKIT", buildkit)
                    .env("BUILDKIT_PROGRESS", "plain")
                    // Attestations are more images in the image, and nothing that a Dockerfile says.
                    .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
                    .env("BUILDX_METADATA_PROVENANCE", "disabled")
                    .env_remove("SOURCE_DATE_EPOCH");
                command
            }
            Self::Lap { cli, dialect } => {
                let mut command = cli.command(words);
                if *dialect == Dialect::Classic {
                    command.env("DOCKER_BUILDKIT", "0");
                }
                command
            }
        }
    }

    fn ok(&self, words: &[&str]) -> Vec<u8> {
        let ran = run(self.command(words), &[]);
        ran.good()
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn lines(&self, words: &[&str]) -> Vec<String> {
        let text = String::from_utf8(self.ok(words)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Pulls an image and names it.
    pub(super) fn pull(&self, reference: &str, name: &str) {
        self.ok(&["pull", "-q", reference]);
        self.ok(&["tag", reference, name]);
    }

    /// Whether it keeps images in containerd's store, where the id of an image is that of its manifest.
    pub(super) fn has_containerd(&self) -> bool {
        let status = || {
            self.lines(&["info", "--format", "{{.DriverStatus}}"])
                .concat()
        };
        matches!(self, Self::Docker { .. }) && status().contains("containerd")
    }

    /// Whether it can do what a case asks of docker.
    pub(super) fn can(&self, case: &Case) -> bool {
        let is_classic = self.dialect() == Dialect::Classic;
        if is_classic && !case.classic {
            return false;
        }
        let Some(major) = self.major() else {
            return true;
        };
        let is_experimental =
            || self.lines(&["info", "--format", "{{.ExperimentalBuild}}"])[0] == "true";
        major >= case.docker
            && (!case.labs || frontend().is_some())
            && (!case.containerd || self.has_containerd())
            && (!case.experimental || is_experimental())
    }

    /// Builds with these arguments.
    pub(super) fn build(&self, build: &Build<'_>) -> Ran {
        let mut words = vec!["build", "--network=none"];
        let syntax = frontend().filter(|_| build.labs && self.major().is_some());
        let syntax = syntax.map(|image| format!("--build-arg=BUILDKIT_SYNTAX={image}"));
        words.extend(syntax.as_deref());
        words.extend(build.arguments);
        let mut command = self.command(&words);
        command.envs(build.variables.iter().map(|(name, value)| (name, value)));
        run(command, build.input)
    }

    /// An image in the store.
    pub(super) fn image(&self, name: &str) -> Result<Image, String> {
        Ok(match self {
            Self::Docker { .. } => saved(&run(self.command(&["save", name]), &[]).good()?),
            Self::Lap { cli, .. } => {
                let id = cli.ok(&["inspect", "--format", "{{.Id}}", name]);
                laid_out(&cli.root().join("image"), id.trim())
            }
        })
    }

    /// The names that builds of this program gave.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.lines(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        names.retain(|name| name.contains("corpus/"));
        names.sort_unstable();
        names
    }

    /// Takes back all names that builds of this program gave.
    pub(super) fn clear(&self) {
        for name in self.names() {
            self.ok(&["rmi", "-f", &name]);
        }
    }

    /// BuildKit keeps what it got from a folder, times too, and asks only for what has changed when it sees
    /// another: folders around a changed file then have the time of that. So it has to forget.
    pub(super) fn forget_contexts(&self) {
        if matches!(self, Self::Docker { .. }) && self.dialect() == Dialect::BuildKit {
            self.ok(&["builder", "prune", "-a", "-f"]);
        }
    }

    /// Forgets all builds.
    pub(super) fn forget(&self) {
        self.clear();
        self.ok(&["image", "prune", "-f"]);
        self.ok(&["builder", "prune", "-a", "-f"]);
    }
}

/// The image of a frontend that can do all that is in the labs channel, for docker.
fn frontend() -> Option<String> {
    std::env::var("FRONTEND").ok()
}

/// One build.
pub(super) struct Build<'a> {
    pub(super) arguments: &'a [&'a str],
    pub(super) variables: &'a [(String, String)],
    pub(super) input: &'a [u8],
    /// Whether docker needs another frontend.
    pub(super) labs: bool,
}

/// What a command did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: ExitStatus,
}

impl Ran {
    /// The exit status, as people read it.
    pub(super) fn status(&self) -> String {
        self.status.to_string()
    }

    /// Standard output, or all that it said when it failed.
    pub(super) fn good(self) -> Result<Vec<u8>, String> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&self.stdout), text(&self.stderr));
        Err(format!("{stdout}{stderr}{}", self.status))
    }
}

/// Runs a command.
fn run(mut command: Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Who does not read it closes the pipe early, which is no failure.
    let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        stdout: output.stdout,
        stderr: output.stderr,
        status: output.status,
    }
}

/// The image in what `docker save` wrote.
fn saved(archive: &[u8]) -> Image {
    let mut files = std::collections::BTreeMap::new();
    let mut links = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        if let Some(target) = entry.link_name().unwrap() {
            // The same layer twice: `../ID/layer.tar`.
            links.push((
                path,
                target
                    .to_str()
                    .unwrap()
                    .trim_start_matches("../")
                    .to_owned(),
            ));
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, bytes);
    }
    for (path, target) in links {
        let bytes = files[&target].clone();
        files.insert(path, bytes);
    }
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let config = manifest[0]["Config"].as_str().unwrap();
    let layers = manifest[0]["Layers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    Image {
        config: files[config].clone(),
        layers: layers
            .iter()
            .map(|layer| plain(files[layer.as_str().unwrap()].clone()))
            .collect(),
    }
}

/// The image in an OCI layout whose configuration has this digest.
fn laid_out(layout: &Path, id: &str) -> Image {
    let blob = |digest: &Digest| {
        let path = layout.join(format!("blobs/{}/{}", digest.algorithm(), digest.hex()));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let manifest = |descriptor: &Descriptor| {
        let document = Document::parse(Some(&descriptor.media_type), &blob(&descriptor.digest));
        match document.unwrap() {
            Document::Manifest(manifest) => Some(manifest),
            Document::Index(_) => None,
        }
    };
    let raw = std::fs::read(layout.join("index.json")).unwrap();
    let Document::Index(index) = Document::parse(Some(&MediaType::OCI_INDEX), &raw).unwrap() else {
        panic!("index.json is no index");
    };
    let manifests = index.manifests.iter().filter_map(manifest);
    let found = manifests
        .into_iter()
        .find(|manifest| manifest.config.digest.to_string() == id);
    let found = found.unwrap_or_else(|| panic!("{id} is in no manifest"));
    Image {
        config: blob(&found.config.digest),
        layers: found
            .layers
            .iter()
            .map(|layer| plain(blob(&layer.digest)))
            .collect(),
    }
}

/// The tar of a layer.
pub(super) fn plain(blob: Vec<u8>) -> Vec<u8> {
    let mut tar = Vec::new();
    if blob.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(blob.as_slice())
            .read_to_end(&mut tar)
            .unwrap();
    } else if blob.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        tar = zstd::decode_all(blob.as_slice()).unwrap();
    } else {
        tar = blob;
    }
    tar
}
