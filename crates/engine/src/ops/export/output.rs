//! `-o`: where the result of a build goes, as it is written on the command line.
//!
//! The form is docker's: fields of a CSV record, `type=local,dest=out`. A value without `=` is a
//! directory to write to; `-` is a tar on standard output.

use super::annotation::{self, Annotation};
use crate::error::{Error, ErrorKind, Origin};
use lapstrake_spec::MediaType;
use std::collections::BTreeMap;
use std::path::PathBuf;

mod csv;

pub use csv::csv_fields;

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
    /// Plain tars become zstd.
    Zstd,
}

impl LayerCompression {
    /// The type of a layer that has it, in OCI's words.
    pub(super) fn media_type(self) -> MediaType {
        match self {
            Self::AsStored => MediaType::OCI_LAYER_TAR,
            Self::Gzip => MediaType::OCI_LAYER_GZIP,
            Self::Zstd => MediaType::OCI_LAYER_ZSTD,
        }
    }
}

/// How an image is worded and packed: the fields of `-o` that the outputs of images share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageForm {
    /// How layers are compressed; none: as is usual where it goes.
    pub compression: Option<LayerCompression>,
    /// Layers that are compressed in another way are compressed anew, those of the base image too.
    pub force_compression: bool,
    /// OCI's media types (`oci-mediatypes=true`) or docker's; none: as is usual where it goes.
    pub oci_types: Option<bool>,
    /// What annotations it has, besides those of the command line.
    pub annotations: Vec<Annotation>,
    /// `rewrite-timestamp=true`: like `--rewrite-timestamps`.
    pub rewrites_timestamps: bool,
}

/// One output of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The image store (`type=image`, and what a build without `-o` does).
    Image {
        /// Names where there is no `-t`.
        names: Vec<String>,
        /// Whether the names are pushed as well.
        push: bool,
        /// Whether the image is kept in the store. A push needs it there while it runs.
        store: bool,
        /// How it looks.
        form: ImageForm,
    },
    /// The merged tree in a folder.
    Local {
        /// The folder; made when missing.
        dest: PathBuf,
        /// Each platform into a folder of its own; none: when there are several.
        split: Option<bool>,
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
        /// Names where there is no `-t`.
        names: Vec<String>,
        /// How it looks.
        form: ImageForm,
    },
    /// What `docker load` reads; without a destination the image store.
    Docker {
        /// Where to; none: the image store.
        dest: Option<Destination>,
        /// A tar, else a folder.
        tar: bool,
        /// Names where there is no `-t`.
        names: Vec<String>,
        /// How it looks.
        form: ImageForm,
    },
    /// A registry (`type=registry`: an image that is pushed).
    Registry {
        /// Names where there is no `-t`.
        names: Vec<String>,
        /// How it looks.
        form: ImageForm,
    },
    /// Nothing: the steps are in the cache then (`type=cacheonly`).
    Nothing,
}

impl Output {
    /// What a build without `-o` does.
    pub fn image() -> Self {
        Self::Image {
            names: Vec::new(),
            push: false,
            store: true,
            form: ImageForm::default(),
        }
    }

    /// Whether it writes to standard output.
    pub fn uses_stdout(&self) -> bool {
        match self {
            Self::Tar { dest } | Self::Oci { dest, .. } => *dest == Destination::Stdout,
            Self::Docker { dest, .. } => *dest == Some(Destination::Stdout),
            Self::Image { .. } | Self::Local { .. } | Self::Registry { .. } | Self::Nothing => {
                false
            }
        }
    }

    /// Whether something goes to a registry.
    pub fn is_pushed(&self) -> bool {
        matches!(self, Self::Registry { .. } | Self::Image { push: true, .. })
    }

    /// Whether an image is made, so that there is an image id.
    pub fn makes_image(&self) -> bool {
        self.form().is_some()
    }

    /// How its image looks; none when it makes none.
    pub fn form(&self) -> Option<&ImageForm> {
        match self {
            Self::Image { form, .. }
            | Self::Oci { form, .. }
            | Self::Docker { form, .. }
            | Self::Registry { form, .. } => Some(form),
            Self::Local { .. } | Self::Tar { .. } | Self::Nothing => None,
        }
    }

    /// The names that it gives where there is no `-t`.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Image { names, .. }
            | Self::Oci { names, .. }
            | Self::Docker { names, .. }
            | Self::Registry { names, .. } => names,
            Self::Local { .. } | Self::Tar { .. } | Self::Nothing => &[],
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
            form: ImageForm::default(),
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
            | Output::Nothing
            | Output::Docker { .. } => {}
        }
    }
    if !found {
        outputs.push(Output::Registry {
            names: Vec::new(),
            form: ImageForm::default(),
        });
    }
}

fn is_load(output: &Output) -> bool {
    matches!(output, Output::Docker { dest: None, .. })
        || matches!(output, Output::Image { store: true, .. })
}

pub(super) fn refuse(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
}

/// Reads one value of `-o`.
pub fn parse_output(value: &str) -> Result<Output, Error> {
    let fields = csv_fields(value).map_err(refuse)?;
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
                split: None,
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
                Some(Destination::Path(dest)) => Output::Local {
                    dest,
                    split: self.choice("platform-split")?,
                },
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
                form: self.form()?,
            },
            "registry" => {
                self.flag("push", true)?;
                Output::Registry {
                    names: self.names(),
                    form: self.form()?,
                }
            }
            "cacheonly" => Output::Nothing,
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
            form: self.form()?,
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
            form: self.form()?,
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
        Ok(self.choice(key)?.unwrap_or(absent))
    }

    fn choice(&mut self, key: &str) -> Result<Option<bool>, Error> {
        let Some(text) = self.take(key) else {
            return Ok(None);
        };
        let value = parse_bool(&text).ok_or_else(|| {
            refuse(format!(
                "non-bool value specified for {key}: strconv.ParseBool: parsing {text:?}: invalid syntax"
            ))
        })?;
        Ok(Some(value))
    }

    fn form(&mut self) -> Result<ImageForm, Error> {
        Ok(ImageForm {
            compression: self.compression()?,
            force_compression: self.flag("force-compression", false)?,
            oci_types: self.choice("oci-mediatypes")?,
            annotations: self.annotations()?,
            rewrites_timestamps: self.flag("rewrite-timestamp", false)?,
        })
    }

    fn compression(&mut self) -> Result<Option<LayerCompression>, Error> {
        self.take("compression-level");
        match self.take("compression").as_deref() {
            None => Ok(None),
            Some("uncompressed") => Ok(Some(LayerCompression::AsStored)),
            Some("gzip") => Ok(Some(LayerCompression::Gzip)),
            Some("zstd") => Ok(Some(LayerCompression::Zstd)),
            Some("estargz") => Err(refuse("compression estargz is not supported for outputs")
                .with_hint("use compression=gzip, compression=zstd or compression=uncompressed")),
            Some(other) => Err(refuse(format!("unsupported compression type {other}"))),
        }
    }

    fn annotations(&mut self) -> Result<Vec<Annotation>, Error> {
        let mut found = Vec::new();
        for (key, value) in &self.0 {
            found.extend(annotation::of_field(key, value)?);
        }
        self.0
            .retain(|key, _| !(key.starts_with("annotation") && key.contains('.')));
        Ok(found)
    }

    /// Takes the fields that change nothing here, and refuses those that nobody knows.
    fn finish(mut self, kind: &str) -> Result<(), Error> {
        const WITHOUT_EFFECT: [&str; 10] = [
            "oci-artifact",
            "unpack",
            "dangling-name-prefix",
            "name-canonical",
            "push-by-digest",
            "registry.insecure",
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
