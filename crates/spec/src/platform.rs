//! Platforms: `linux/amd64`, `linux/arm/v7`, …, with Docker's spellings and preferences.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::lenient::null_default;

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Processor, in Go's words: `amd64`, `arm64`, …
    #[serde(default, deserialize_with = "null_default")]
    pub architecture: String,
    /// Operating system: `linux`.
    #[serde(default, deserialize_with = "null_default")]
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features of the operating system that the image needs (Windows).
    #[serde(
        default,
        rename = "os.features",
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// Variant of the processor: `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// `*` somewhere.
    #[error("{0:?}: wildcards not yet supported: invalid argument")]
    Wildcard(String),
    /// A part with letters that it may not have.
    #[error(
        "{part:?} is an invalid component of {text:?}: platform specifier component must match \
         \"^[A-Za-z0-9_.-]+$\": invalid argument"
    )]
    Component {
        /// The part.
        part: String,
        /// The whole text.
        text: String,
    },
    /// One word that is neither a system nor a processor.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
    /// Too many parts.
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    Parts(String),
}

const KNOWN_OS: [&str; 16] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
];

const KNOWN_ARCHITECTURES: [&str; 22] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390x",
    "sparc64",
    "wasm",
];

impl Platform {
    /// Linux on this processor, in Go's words.
    pub fn linux(architecture: &str) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            ..Self::default()
        }
    }

    /// What this program was built for.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7")),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            "powerpc64" => ("ppc64", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        let mut host = Self::linux(architecture);
        host.variant = variant.map(str::to_owned);
        host
    }

    /// Reads `os/arch[/variant]`, `os` or `arch`, in any of the spellings that docker knows.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        if text.contains('*') {
            return Err(PlatformError::Wildcard(text.to_owned()));
        }
        let parts: Vec<&str> = text.split('/').collect();
        if let Some(part) = parts.iter().find(|part| !is_component(part)) {
            return Err(PlatformError::Component {
                part: (*part).to_owned(),
                text: text.to_owned(),
            });
        }
        match *parts.as_slice() {
            [one] => Self::parse_single(one),
            [os, architecture] => {
                let (architecture, variant) = normalize_architecture(architecture, "");
                let variant = if architecture == "arm" && variant == "v7" {
                    ""
                } else {
                    variant.as_str()
                };
                Ok(Self::with(normalize_os(os), architecture, variant))
            }
            [os, architecture, variant] => {
                let (architecture, variant) = normalize_architecture(architecture, variant);
                let variant = if architecture == "arm64" && variant.is_empty() {
                    "v8"
                } else {
                    variant.as_str()
                };
                Ok(Self::with(normalize_os(os), architecture, variant))
            }
            _ => Err(PlatformError::Parts(text.to_owned())),
        }
    }

    /// The same platform in the one spelling that comparisons use.
    pub fn normalized(&self) -> Self {
        let given = self.variant.as_deref().unwrap_or_default();
        let (architecture, variant) = normalize_architecture(&self.architecture, given);
        Self {
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            ..Self::with(normalize_os(&self.os), architecture, &variant)
        }
    }

    /// Whether an image made for `other` is exactly what is asked for here.
    pub fn matches(&self, other: &Self) -> bool {
        self.preference(other) == Some(0)
    }

    /// How well an image made for `candidate` runs here: 0 is exact, larger is worse, `None` not at all.
    ///
    /// An older variant of the same processor family will do, as for docker: arm v7 runs v6.
    pub fn preference(&self, candidate: &Self) -> Option<u32> {
        let wanted = self.normalized();
        let offered = candidate.normalized();
        if wanted.os != offered.os {
            return None;
        }
        let level = |platform: &Self, base: u32| {
            platform.variant.as_deref().map_or(Some(base), |text| {
                text.strip_prefix('v')
                    .and_then(|digits| digits.parse::<u32>().ok())
            })
        };
        match (wanted.architecture.as_str(), offered.architecture.as_str()) {
            (a, b) if a == b && wanted.variant == offered.variant => Some(0),
            ("arm", "arm") => level(&wanted, 7)?.checked_sub(level(&offered, 7)?),
            ("arm64", "arm64") => level(&wanted, 8)?.checked_sub(level(&offered, 8)?),
            ("amd64", "amd64") => level(&wanted, 1)?.checked_sub(level(&offered, 1)?),
            // A missing variant on either side is no reason to refuse any other processor.
            (a, b) if a == b && (wanted.variant.is_none() || offered.variant.is_none()) => Some(1),
            _ => None,
        }
    }

    fn parse_single(text: &str) -> Result<Self, PlatformError> {
        let host = Self::host();
        let os = normalize_os(text);
        if KNOWN_OS.contains(&os.as_str()) {
            return Ok(Self { os, ..host });
        }
        let (architecture, variant) = normalize_architecture(text, "");
        if KNOWN_ARCHITECTURES.contains(&architecture.as_str()) {
            let variant = if architecture == "arm" && variant == "v7" {
                ""
            } else {
                variant.as_str()
            };
            return Ok(Self::with(host.os, architecture, variant));
        }
        Err(PlatformError::Unknown(text.to_owned()))
    }

    fn with(os: String, architecture: String, variant: &str) -> Self {
        Self {
            architecture,
            os,
            variant: (!variant.is_empty()).then(|| variant.to_owned()),
            ..Self::default()
        }
    }
}

fn is_component(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn normalize_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "" => "linux".to_owned(),
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

fn normalize_architecture(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.to_owned(), variant.to_owned())
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
