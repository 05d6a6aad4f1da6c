//! Content trust: only images whose signature is verified.
//!
//! Off unless the face says so ([`Engine::with_content_trust`](crate::Engine::with_content_trust)).
//! Then a name becomes a digest, and the digest is what must be signed: by a key that the policy file
//! demands, or, without a policy file, by any key in the folders for keys. What is pulled afterwards is
//! that digest. An image of the store counts when its entry in the index says that it was verified by
//! a key that is still trusted, or when its signature can be verified now.
//!
//! Pure are [`policy`] (file to demands), [`signature`] (bytes to "made by this key, of this image")
//! and [`judge`] (both to an answer); [`fetch`] asks the registry, [`local`] the index. [`private`] makes and
//! opens keys of one's own, and [`sign`] puts their signatures beside what a push has brought.
//!
//! What is absent: certificates, the transparency log, and time: a signature is good for as long as its
//! key is trusted.

mod fetch;
mod identity;
mod json;
mod judge;
mod key;
pub(crate) mod local;
mod policy;
pub(crate) mod private;
pub(crate) mod sign;
mod signature;

#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind, Origin};
use crate::ops::TrustedSigner;
use fetch::Signatures;
pub(crate) use judge::Proof;
use judge::{Demand, judge, refusal};
use key::{KEYS_LIMIT, TrustedKey};
use lapstrake_image::ContentSource as _;
use lapstrake_registry::client::Client;
use lapstrake_spec::{Descriptor, Reference};
use policy::{KeySource, POLICY_LIMIT, Policy, Requirement};
use signature::Subject;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The policy of the whole machine.
pub const POLICY_FILE: &str = "/etc/lapstrake/policy.json";
/// The keys of the whole machine.
pub const KEYS_FOLDER: &str = "/etc/lapstrake/trust.d";

/// Where a policy and keys are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustFiles {
    /// The policy that was named; no other one is looked for.
    pub named_policy: Option<PathBuf>,
    /// Policies, the first that exists counts.
    pub policies: Vec<PathBuf>,
    /// Folders whose `*.pub` files count when there is no policy.
    pub key_folders: Vec<PathBuf>,
}

impl TrustFiles {
    /// The usual places of the machine, and of a user who has such a folder.
    pub fn usual(named_policy: Option<PathBuf>, home: Option<&Path>) -> Self {
        let own = home.map(|home| home.join(".config/lapstrake"));
        let own = own.as_deref();
        let places = |name: &str, machine: &str| {
            let own = own.map(|folder| folder.join(name));
            own.into_iter().chain([PathBuf::from(machine)]).collect()
        };
        Self {
            named_policy,
            policies: places("policy.json", POLICY_FILE),
            key_folders: places("trust.d", KEYS_FOLDER),
        }
    }
}

/// Who is trusted with what.
#[derive(Debug)]
pub(crate) struct Trust(Rules);

#[derive(Debug)]
enum Rules {
    /// As a file says.
    Policy {
        /// The file.
        file: PathBuf,
        /// What it says.
        policy: Policy,
    },
    /// Each of these keys with every image.
    Keys(Demand),
}

/// What an image needs.
#[derive(Debug)]
enum Needs {
    Nothing,
    Signatures(Vec<Demand>),
}

impl Trust {
    /// Reads the policy, else the keys. That there is neither is an error.
    pub(crate) fn load(files: &TrustFiles) -> Result<Self, Error> {
        let named = files.named_policy.iter();
        let usual = files.policies.iter();
        let candidates: Vec<&PathBuf> = match files.named_policy {
            Some(_) => named.collect(),
            None => usual.collect(),
        };
        for file in candidates {
            match read(file, POLICY_LIMIT) {
                Ok(raw) => return Self::policy(file, &raw),
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && files.named_policy.is_none() => {}
                Err(error) => {
                    let text = format!("cannot read the policy {}", file.display());
                    return Err(broken(format!("{text}: {}", words(&error))));
                }
            }
        }
        let keys = keys_in(&files.key_folders)?;
        if keys.is_empty() {
            return Err(nothing_configured(files));
        }
        Ok(Self(Rules::Keys(Demand {
            keys,
            identity: identity::Identity::SameRepository,
            place: folders(files),
        })))
    }

    fn policy(file: &Path, raw: &[u8]) -> Result<Self, Error> {
        let policy = Policy::parse(raw).map_err(|wrong| {
            broken(format!(
                "the policy {} cannot be used: {wrong}",
                file.display()
            ))
            .with_hint(
                "containers-policy.json(5) describes its form, docs/trust.md what counts of it",
            )
        })?;
        Ok(Self(Rules::Policy {
            file: file.to_owned(),
            policy,
        }))
    }

    /// What an image of this name needs; of one without a name, the policy's default.
    fn needs(&self, name: Option<&Reference>) -> Result<Needs, Error> {
        let (file, policy) = match &self.0 {
            Rules::Keys(demand) => return Ok(Needs::Signatures(vec![demand.clone()])),
            Rules::Policy { file, policy } => (file, policy),
        };
        let (requirements, place) = policy.requirements(name);
        let mut demands = Vec::new();
        for requirement in requirements {
            let says = |text: &str| {
                let name =
                    name.map_or_else(|| "an image without a name".to_owned(), Reference::familiar);
                refusal(format!(
                    "{name} is refused by the policy {}: {place}: {text}",
                    file.display()
                ))
            };
            match requirement {
                Requirement::Accept => {}
                Requirement::Reject => return Err(says("reject")),
                Requirement::Unsupported(text) => return Err(says(text)),
                Requirement::Signed { keys, identity } => demands.push(Demand {
                    keys: resolve(file, keys)?,
                    identity: identity.clone(),
                    place: format!("{}, {place}", file.display()),
                }),
            }
        }
        Ok(if demands.is_empty() {
            Needs::Nothing
        } else {
            Needs::Signatures(demands)
        })
    }

    /// The keys that may sign an image of this name.
    pub(crate) fn signers(&self, name: &Reference) -> Result<Vec<TrustedSigner>, Error> {
        let Needs::Signatures(demands) = self.needs(Some(name))? else {
            return Ok(Vec::new());
        };
        let keys = demands.into_iter().flat_map(|demand| demand.keys);
        Ok(keys
            .map(|key| TrustedSigner {
                name: key.name,
                id: key.id,
            })
            .collect())
    }

    /// The proofs that what a name stands for in its registry is what its publisher signed. None are
    /// needed where the policy accepts anything.
    pub(crate) async fn verify(
        &self,
        client: &Client,
        name: &Reference,
        top: &Descriptor,
    ) -> Result<Vec<Proof>, Error> {
        let Needs::Signatures(demands) = self.needs(Some(name))? else {
            return Ok(Vec::new());
        };
        let unreachable = |error: lapstrake_image::Error| {
            let hint =
                format!("content trust is on, and the signatures of {name} could not be fetched");
            Error::from(error)
                .with_origin(Origin::Client)
                .or_hint(&hint)
        };
        let manifest = client
            .source(name)
            .manifest(top)
            .await
            .map_err(unreachable)?;
        let subject = Subject {
            name,
            digest: &top.digest,
            manifest: &manifest,
        };
        let places = Signatures::new(client, name, &top.digest);
        let tagged = places.tagged().await;
        let (mut all, first_error) = parted(tagged);
        if let (Ok(proofs), None) = (judge(&demands, &all, subject), &first_error) {
            return Ok(proofs);
        }
        let (referring, second_error) = parted(places.referring().await);
        all.extend(referring);
        match (judge(&demands, &all, subject), first_error.or(second_error)) {
            (Ok(proofs), _) => Ok(proofs),
            // Perhaps the good one is where nobody could look.
            (Err(_), Some(error)) => Err(unreachable(error)),
            (Err(refused), None) => Err(refused),
        }
    }
}

/// Whether a tag is one of those that signers make of an image's digest: `sha256-HEX`, `sha256-HEX.sig`.
pub(crate) fn is_of_signature(tag: &str) -> bool {
    let digits = tag.strip_prefix("sha256-").unwrap_or_default();
    let digits = digits.split('.').next().unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn parted<T, E>(result: Result<Vec<T>, E>) -> (Vec<T>, Option<E>) {
    match result {
        Ok(list) => (list, None),
        Err(error) => (Vec::new(), Some(error)),
    }
}

/// Reads the keys of a requirement.
fn resolve(policy: &Path, sources: &[KeySource]) -> Result<Vec<TrustedKey>, Error> {
    let mut keys = Vec::new();
    for source in sources {
        match source {
            KeySource::File(path) => {
                let path = policy
                    .parent()
                    .map_or_else(|| path.clone(), |folder| folder.join(path));
                keys.extend(keys_of(&path)?);
            }
            KeySource::Data(data, place) => {
                let name = format!("{place} of {}", policy.display());
                let found = TrustedKey::parse_all(&name, data);
                keys.extend(found.map_err(|text| broken(format!("the key {name}: {text}")))?);
            }
        }
        bounded(&keys)?;
    }
    Ok(keys)
}

/// The keys in the `*.pub` files of folders, in the order of their names.
fn keys_in(folders: &[PathBuf]) -> Result<Vec<TrustedKey>, Error> {
    let mut keys = Vec::new();
    for folder in folders {
        let failed = |error: &io::Error| {
            broken(format!(
                "cannot read the folder {}: {}",
                folder.display(),
                words(error)
            ))
        };
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|error| failed(&error))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| failed(&error))?.path();
            if path.extension().is_some_and(|end| end == "pub") {
                files.push(path);
            }
        }
        files.sort();
        for file in files {
            keys.extend(keys_of(&file)?);
            bounded(&keys)?;
        }
    }
    Ok(keys)
}

fn keys_of(path: &Path) -> Result<Vec<TrustedKey>, Error> {
    let name = path.display().to_string();
    let wrong = |text: String| {
        broken(format!("the key {name} cannot be used: {text}"))
            .with_hint("it is a public key in PEM format, as `cosign generate-key-pair` writes it")
    };
    let raw = read(path, key::FILE_LIMIT).map_err(|error| wrong(words(&error)))?;
    TrustedKey::parse_all(&name, &raw).map_err(wrong)
}

fn bounded(keys: &[TrustedKey]) -> Result<(), Error> {
    if keys.len() <= KEYS_LIMIT {
        return Ok(());
    }
    Err(broken(format!(
        "more than {KEYS_LIMIT} keys are configured for one image"
    )))
}

/// The bytes of an ordinary file of limited size.
fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let other = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    // Asked before it is opened: opening a pipe waits for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(other("it is no file".to_owned()));
    }
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(other(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn words(error: &io::Error) -> String {
    lapstrake_image::ErrorKind::io_words(error).into_owned()
}

fn broken(text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
}

fn folders(files: &TrustFiles) -> String {
    let shown: Vec<String> = files
        .key_folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    shown.join(" or ")
}

fn nothing_configured(files: &TrustFiles) -> Error {
    let folder = files
        .key_folders
        .first()
        .map_or(Path::new(KEYS_FOLDER), PathBuf::as_path);
    let policy = files
        .policies
        .first()
        .map_or(Path::new(POLICY_FILE), PathBuf::as_path);
    refusal("no key is configured that could verify a signature".to_owned()).with_hint(format!(
        "put the publisher's public key into {}, or write a policy into {}; with \
         `--disable-content-trust`, or without DOCKER_CONTENT_TRUST, signatures are not needed",
        folder.join("NAME.pub").display(),
        policy.display()
    ))
}
