//! `-o`: where the result of a build goes, as it is written on the command line.
//!
//! The form is docker's: fields of a CSV record, `type=local,dest=out`. A value without `=` is a
//! directory to write to; `-` is a tar on standard output.

use crate::error::{Error, ErrorKind, Origin};
use std::collections::BTreeMap;
use std::path::PathBuf;

mod csv;

pub(crate) use csv::fields;

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output, which the caller provides. It must not be a terminal.
    Stdout,
    /// A file or folder.
    Path(PathBuf),
}

/// How the layers of an exported image are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerCompression {
    /// As they are stored: nothing is compressed that is not compressed already.
    #[default]
    AsStored,
    /// Plain tars become gzip.
    Gzip,
}

/// One output of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The image store (`type=image`, and what a build without `-o` does).
    Image {
        /// Names instead of those of `-t`.
        names: Vec<String>,
        /// Whether the names are pushed as well.
        push: bool,
        /// Whether the image is kept in the store. A push needs it there while it runs.
        store: bool,
    },
    /// The merged tree in a folder.
    Local {
        /// The folder; made when missing.
        dest: PathBuf,
    },
    /// The merged tree as a tar.
    Tar {
        /// Where to.
        dest: Destination,
    },
    /// An OCI image layout.
    Oci {
        /// Where to.
        dest: Destination,
        /// A tar of the layout, else a folder.
        tar: bool,
        /// Names instead of those of `-t`.
        names: Vec<String>,
        /// How layers are compressed.
        compression: LayerCompression,
    },
    /// What `docker load` reads; without a destination the image store.
    Docker {
        /// Where to; none: the image store.
        dest: Option<Destination>,
        /// A tar, else a folder.
        tar: bool,
        /// Names instead of those of `-t`.
        names: Vec<String>,
        /// How layers are compressed.
        compression: LayerCompression,
    },
    /// A registry (`type=registry`: an image that is pushed).
    Registry {
        /// Names instead of those of `-t`.
        names: Vec<String>,
    },
}

impl Output {
    /// What a build without `-o` does.
    pub fn image() -> Self {
        Self::Image {
            names: Vec::new(),
            push: false,
            store: true,
        }
    }

    /// Whether it writes to standard output.
    pub fn uses_stdout(&self) -> bool {
        match self {
            Self::Tar { dest } | Self::Oci { dest, .. } => *dest == Destination::Stdout,
            Self::Docker { dest, .. } => *dest == Some(Destination::Stdout),
            Self::Image { .. } | Self::Local { .. } | Self::Registry { .. } => false,
        }
    }

    /// Whether an image is made, so that there is an image id.
    pub fn makes_image(&self) -> bool {
        !matches!(self, Self::Local { .. } | Self::Tar { .. })
    }

    /// The names that it gives instead of those of `-t`.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Image { names, .. }
            | Self::Oci { names, .. }
            | Self::Docker { names, .. }
            | Self::Registry { names } => names,
            Self::Local { .. } | Self::Tar { .. } => &[],
        }
    }
}

/// Reads the values of `-o`, `--push` and `--load` together, as docker does. No value and no flag is
/// an empty answer: the image store is meant.
pub fn parse_outputs(values: &[String], push: bool, load: bool) -> Result<Vec<Output>, Error> {
    let mut outputs = Vec::with_capacity(values.len());
    for value in values {
        outputs.push(parse_output(value)?);
    }
    if push && load {
        return Err(refuse(
            "push and load may not be set together at the moment",
        ));
    }
    if push {
        add_push(&mut outputs);
    }
    if load && !outputs.iter().any(is_load) {
        outputs.push(Output::Docker {
            dest: None,
            tar: true,
            names: Vec::new(),
            compression: LayerCompression::AsStored,
        });
    }
    let stdout = outputs.iter().filter(|output| output.uses_stdout()).count();
    if stdout > 1 {
        return Err(refuse("only one output can be written to standard output"));
    }
    Ok(outputs)
}

/// `--push` turns outputs to the store or a registry into pushed ones, and else adds one.
fn add_push(outputs: &mut Vec<Output>) {
    let mut found = false;
    for output in &mut *outputs {
        match output {
            Output::Image { push, .. } => {
                *push = true;
                found = true;
            }
            Output::Registry { .. } => found = true,
            Output::Local { .. }
            | Output::Tar { .. }
            | Output::Oci { .. }
            | Output::Docker { .. } => {}
        }
    }
    if !found {
        outputs.push(Output::Registry { names: Vec::new() });
    }
}

fn is_load(output: &Output) -> bool {
    matches!(output, Output::Docker { dest: None, .. })
        || matches!(output, Output::Image { store: true, .. })
}

fn refuse(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
}

/// Reads one value of `-o`.
pub fn parse_output(value: &str) -> Result<Output, Error> {
    let fields = fields(value).map_err(refuse)?;
    if let [only] = fields.as_slice()
        && only == value
        && !value.starts_with("type=")
    {
        if value.is_empty() {
            return Err(refuse(format!("invalid empty output: {value:?}")));
        }
        return Ok(match value {
            "-" => Output::Tar {
                dest: Destination::Stdout,
            },
            path => Output::Local {
                dest: PathBuf::from(path),
            },
        });
    }
    let mut kind = None;
    let mut attributes = BTreeMap::new();
    for field in &fields {
        let (key, text) = field
            .split_once('=')
            .ok_or_else(|| refuse(format!("invalid value {field}")))?;
        match key.to_lowercase().as_str() {
            "type" => kind = Some(text.to_owned()),
            key => {
                attributes.insert(key.to_owned(), text.to_owned());
            }
        }
    }
    let kind = kind.ok_or_else(|| refuse("type is required for output"))?;
    Attributes(attributes).output(&kind)
}

/// The fields of a value besides its type. What is left at the end is not known.
struct Attributes(BTreeMap<String, String>);

impl Attributes {
    fn output(mut self, kind: &str) -> Result<Output, Error> {
        let output = match kind {
            "local" => match self.destination() {
                Some(Destination::Path(dest)) => Output::Local { dest },
                Some(Destination::Stdout) => {
                    return Err(refuse("dest cannot be stdout for local exporter"));
                }
                None => return Err(refuse("dest is required for local output")),
            },
            "tar" => Output::Tar {
                dest: self.destination().unwrap_or(Destination::Stdout),
            },
            "oci" => self.oci()?,
            "docker" => self.docker()?,
            "image" => Output::Image {
                names: self.names(),
                push: self.flag("push", false)?,
                store: self.flag("store", true)?,
            },
            "registry" => {
                self.flag("push", true)?;
                Output::Registry {
                    names: self.names(),
                }
            }
            other => {
                return Err(refuse(format!("exporter {other:?} could not be found"))
                    .with_hint("known are local, tar, oci, docker, image and registry"));
            }
        };
        self.finish(kind)?;
        Ok(output)
    }

    fn oci(&mut self) -> Result<Output, Error> {
        let tar = self.flag("tar", true)?;
        let dest = match self.destination() {
            Some(Destination::Stdout) if !tar => {
                return Err(refuse("dest cannot be stdout for oci exporter"));
            }
            None if !tar => return Err(refuse("dest is required for oci exporter")),
            found => found.unwrap_or(Destination::Stdout),
        };
        Ok(Output::Oci {
            dest,
            tar,
            names: self.names(),
            compression: self.compression()?,
        })
    }

    fn docker(&mut self) -> Result<Output, Error> {
        let tar = self.flag("tar", true)?;
        let dest = self.destination();
        if !tar && !matches!(dest, Some(Destination::Path(_))) {
            return Err(refuse("dest is required for docker exporter"));
        }
        Ok(Output::Docker {
            dest,
            tar,
            names: self.names(),
            compression: self.compression()?,
        })
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    fn destination(&mut self) -> Option<Destination> {
        Some(match self.take("dest")?.as_str() {
            "-" => Destination::Stdout,
            path => Destination::Path(PathBuf::from(path)),
        })
    }

    /// `"name=a,b"` gives several.
    fn names(&mut self) -> Vec<String> {
        let names = self.take("name").unwrap_or_default();
        let names = names.split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    }

    fn flag(&mut self, key: &str, absent: bool) -> Result<bool, Error> {
        let Some(text) = self.take(key) else {
            return Ok(absent);
        };
        parse_bool(&text).ok_or_else(|| {
            refuse(format!(
                "non-bool value specified for {key}: strconv.ParseBool: parsing {text:?}: invalid syntax"
            ))
        })
    }

    fn compression(&mut self) -> Result<LayerCompression, Error> {
        self.flag("force-compression", false)?;
        self.take("compression-level");
        match self.take("compression").as_deref() {
            None | Some("uncompressed") => Ok(LayerCompression::AsStored),
            Some("gzip") => Ok(LayerCompression::Gzip),
            Some(other @ ("zstd" | "estargz")) => Err(refuse(format!(
                "compression {other} is not supported for outputs"
            ))
            .with_hint("use compression=gzip or compression=uncompressed")),
            Some(other) => Err(refuse(format!("unsupported compression type {other}"))),
        }
    }

    /// Takes the fields that change nothing here, and refuses those that nobody knows.
    fn finish(mut self, kind: &str) -> Result<(), Error> {
        const WITHOUT_EFFECT: [&str; 12] = [
            "oci-mediatypes",
            "oci-artifact",
            "unpack",
            "dangling-name-prefix",
            "name-canonical",
            "push-by-digest",
            "registry.insecure",
            "rewrite-timestamp",
            "platform-split",
            "attestation-prefix",
            "context",
            "buildinfo",
        ];
        for known in WITHOUT_EFFECT {
            self.take(known);
        }
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) if key.starts_with("annotation") => Ok(()),
            Some(key) => Err(refuse(format!(
                "unknown attribute {key:?} of output {kind}"
            ))),
        }
    }
}

/// What Go's `strconv.ParseBool` takes.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
