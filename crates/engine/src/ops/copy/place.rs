//! The places that an image can be copied between, as they are written on a command line.

use crate::error::{Error, ErrorKind, Origin};
use crate::lookup;
use lapstrake_spec::Reference;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where an image is, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `NAME[:TAG]`, `docker://NAME[:TAG]`: a repository of a registry.
    Registry(Reference),
    /// `store:NAME`: the image store. Without a name (`store:`) an image keeps those it has.
    Store(Option<String>),
    /// `oci:FOLDER[:TAG]`: an OCI layout.
    OciFolder {
        /// The folder.
        path: PathBuf,
        /// The tag, or a complete name.
        word: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]`: an OCI layout as a tar.
    OciArchive {
        /// The file.
        path: PathBuf,
        /// The tag, or a complete name.
        word: Option<String>,
    },
    /// `docker-archive:FILE[:NAME]`: what `docker save` writes.
    DockerArchive {
        /// The file.
        path: PathBuf,
        /// The name.
        word: Option<String>,
    },
}

impl Place {
    /// Reads one end of a copy. Words with an unknown transport are names in a registry.
    pub fn parse(typed: &str) -> Result<Self, Error> {
        let (transport, rest) = typed.split_once(':').unwrap_or(("", typed));
        Ok(match transport {
            "docker" if rest.starts_with("//") => {
                Self::Registry(lookup::parse(rest.trim_start_matches('/'))?)
            }
            "store" => Self::Store((!rest.is_empty()).then(|| rest.to_owned())),
            "oci" => {
                let (path, word) = path(typed, rest)?;
                Self::OciFolder { path, word }
            }
            "oci-archive" => {
                let (path, word) = path(typed, rest)?;
                Self::OciArchive { path, word }
            }
            "docker-archive" => {
                let (path, word) = path(typed, rest)?;
                Self::DockerArchive { path, word }
            }
            _ => Self::Registry(lookup::parse(typed)?),
        })
    }

    /// The file or folder; empty for other places.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::OciFolder { path, .. }
            | Self::OciArchive { path, .. }
            | Self::DockerArchive { path, .. } => path,
            Self::Registry(_) | Self::Store(_) => Path::new(""),
        }
    }
}

/// `PATH[:WORD]`. As other tools have it, the path ends at the first colon.
fn path(typed: &str, rest: &str) -> Result<(PathBuf, Option<String>), Error> {
    let (path, word) = match rest.split_once(':') {
        Some((path, word)) => (path, Some(word)),
        None => (rest, None),
    };
    if path.is_empty() {
        let text = format!("invalid place {typed:?}: no path");
        return Err(Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client));
    }
    let word = word.filter(|word| !word.is_empty());
    Ok((PathBuf::from(path), word.map(str::to_owned)))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, word) = match self {
            Self::Registry(name) => return write!(f, "{}", name.or_latest().familiar()),
            Self::Store(name) => return write!(f, "store:{}", name.as_deref().unwrap_or_default()),
            Self::OciFolder { path, word } => ("oci", path, word),
            Self::OciArchive { path, word } => ("oci-archive", path, word),
            Self::DockerArchive { path, word } => ("docker-archive", path, word),
        };
        write!(f, "{transport}:{}", path.display())?;
        match word {
            Some(word) => write!(f, ":{word}"),
            None => Ok(()),
        }
    }
}
