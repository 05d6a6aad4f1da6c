//! Engines that build: docker in both its forms, and `lap`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lapstrake_spec::{Descriptor, Digest, Document, MediaType};
use serde_json::Value;

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
                format!(
                    "docker {}, {kind}",
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

    pub(super) fn command(&self, words: &[&str]) -> Command {
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
        run(self.command(words), &[]).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Pulls an image and names it.
    pub(super) fn pull(&self, reference: &str, name: &str) {
        self.ok(&["pull", "-q", reference]);
        self.ok(&["tag", reference, name]);
    }

    /// Builds with these arguments; the image, or what was said on failure.
    pub(super) fn build(&self, build: &Build<'_>) -> Result<Image, String> {
        let mut words = vec!["build", "--network=none", "-t", build.name];
        if !build.arguments.contains(&"--no-cache-filter") {
            words.push("--no-cache");
        }
        words.extend(build.arguments);
        let mut command = self.command(&words);
        command.envs(build.variables.iter().map(|(name, value)| (name, value)));
        run(command, build.input)?;
        let image = match self {
            Self::Docker { .. } => saved(&run(self.command(&["save", build.name]), &[])?),
            Self::Lap { cli, .. } => {
                let id = cli.ok(&["inspect", "--format", "{{.Id}}", build.name]);
                laid_out(&cli.root().join("image"), id.trim())
            }
        };
        self.ok(&["rmi", "-f", build.name]);
        Ok(image)
    }
}

/// One build.
pub(super) struct Build<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a [&'a str],
    pub(super) variables: &'a [(String, String)],
    pub(super) input: &'a [u8],
}

/// Runs a command; its standard output, or all that it said.
fn run(mut command: Command, input: &[u8]) -> Result<Vec<u8>, String> {
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
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(format!(
        "{}{}{}",
        text(&output.stdout),
        text(&output.stderr),
        output.status
    ))
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
fn plain(blob: Vec<u8>) -> Vec<u8> {
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
