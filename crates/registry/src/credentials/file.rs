//! `config.json`: read as docker writes it, written back with everything that is not ours untouched.
//!
//! A change re-reads the file, replaces one entry and renames a complete new file over the old one, so
//! a reader sees the old or the new content and a crash loses neither. Two writers at the same instant:
//! the later one wins, as with docker. The file is created with mode 0600.

use super::{Credential, Credentials, CredentialsError, helper, same_server, server_key};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The longest `config.json` that is read, in bytes.
const FILE_LIMIT: u64 = 4 << 20;

/// Symbolic links that are followed from `config.json`.
const LINKS_LIMIT: usize = 8;

/// Base64 with or without its padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The user's `config.json`.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    path: PathBuf,
    content: Content,
}

/// Where credentials went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The file that now holds the secret in clear. None when a helper program keeps it.
    pub unencrypted_file: Option<PathBuf>,
}

/// The file's text by top-level key, and the keys that matter here understood.
#[derive(Debug, Clone, Default)]
struct Content {
    raw: IndexMap<String, Box<RawValue>>,
    auths: BTreeMap<String, Box<RawValue>>,
    store: String,
    helpers: BTreeMap<String, String>,
}

/// One entry of `auths`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identitytoken: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registrytoken: Option<String>,
    #[serde(skip_serializing)]
    username: Option<String>,
    #[serde(skip_serializing)]
    password: Option<String>,
}

impl DockerConfig {
    /// Reads `config.json` in a folder (`~/.docker`). No file is an empty one.
    pub fn load(folder: &Path) -> Result<Self, CredentialsError> {
        let path = folder.join("config.json");
        let content = Content::read(&path)?;
        Ok(Self { path, content })
    }

    /// The same, except that a file that cannot be understood counts as empty, as it does for docker.
    pub fn load_or_empty(folder: &Path) -> Self {
        Self::load(folder).unwrap_or_else(|_unreadable| Self {
            path: folder.join("config.json"),
            content: Content::default(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The servers that credentials are kept for, as the file spells them.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.content.auths.keys().map(String::as_str)
    }

    /// The helper program that keeps the credentials of a server, if one does.
    pub fn helper(&self, server: &str) -> Option<&str> {
        let key = server_key(server);
        let own = self
            .content
            .helpers
            .get(&key)
            .or_else(|| {
                let all = self.content.helpers.iter();
                all.filter(|(name, _)| same_server(name, &key))
                    .map(|(_, helper)| helper)
                    .next()
            })
            .map(String::as_str);
        own.or(Some(self.content.store.as_str()))
            .filter(|name| !name.is_empty())
    }

    /// Keeps credentials for a server, in the helper that is in charge or else in the file.
    pub fn store(&self, server: &str, credential: &Credential) -> Result<Kept, CredentialsError> {
        let key = server_key(server);
        if let Some(name) = self.helper(server) {
            helper::store(name, &key, credential)?;
            self.change(|auths| {
                auths.insert(&key, &Entry::default());
            })?;
            return Ok(Kept {
                unencrypted_file: None,
            });
        }
        self.change(|auths| {
            auths.insert(&key, &Entry::of(credential));
        })?;
        Ok(Kept {
            unencrypted_file: Some(self.path.clone()),
        })
    }

    /// Forgets the credentials for a server, under whatever spelling. Not being there is no error.
    pub fn erase(&self, server: &str) -> Result<(), CredentialsError> {
        let key = server_key(server);
        let erased = self
            .helper(server)
            .map_or(Ok(()), |name| helper::erase(name, &key));
        let is_known = self
            .content
            .auths
            .keys()
            .any(|name| same_server(name, &key));
        if is_known {
            self.change(|auths| auths.remove_server(&key))?;
        }
        erased
    }

    /// Reads the file again, changes its `auths` and writes it.
    fn change(&self, change: impl FnOnce(&mut Auths)) -> Result<(), CredentialsError> {
        let mut content = Content::read(&self.path)?;
        let mut auths = Auths(std::mem::take(&mut content.auths));
        change(&mut auths);
        content.auths = auths.0;
        let failed = |error: io::Error| CredentialsError::Write {
            path: self.path.clone(),
            error: error.to_string(),
        };
        let text = content.to_text().map_err(|error| failed(error.into()))?;
        write_private(&self.path, &text).map_err(failed)
    }
}

impl Credentials for DockerConfig {
    fn get(&self, server: &str) -> Result<Option<Credential>, CredentialsError> {
        let key = server_key(server);
        if let Some(name) = self.helper(server)
            && let Some(credential) = helper::get(name, &key)?
        {
            return Ok(Some(credential));
        }
        let exact = self.content.auths.get(&key);
        let entry = exact.or_else(|| {
            let all = self.content.auths.iter();
            all.filter(|(name, _)| same_server(name, &key))
                .map(|(_, entry)| entry)
                .next()
        });
        let Some(entry) = entry else { return Ok(None) };
        let entry: Entry =
            serde_json::from_str(entry.get()).map_err(|error| CredentialsError::Read {
                path: self.path.clone(),
                error: error.to_string(),
            })?;
        Ok(Some(entry.credential()).filter(|credential| !credential.is_empty()))
    }
}

/// The entries of `auths`, which docker writes sorted.
struct Auths(BTreeMap<String, Box<RawValue>>);

impl Auths {
    /// Replaces an entry; other spellings of the same server go.
    fn insert(&mut self, key: &str, entry: &Entry) {
        self.remove_server(key);
        if let Ok(value) = to_raw_value(entry) {
            self.0.insert(key.to_owned(), value);
        }
    }

    fn remove_server(&mut self, key: &str) {
        self.0.retain(|name, _| !same_server(name, key));
    }
}

impl Entry {
    fn of(credential: &Credential) -> Self {
        Self {
            auth: Some(credential.basic()),
            identitytoken: credential.as_identity_token().map(str::to_owned),
            registrytoken: credential.as_registry_token().map(str::to_owned),
            ..Self::default()
        }
    }

    fn credential(self) -> Credential {
        let decoded = self
            .auth
            .as_deref()
            .filter(|auth| !auth.is_empty())
            .and_then(decode);
        let (username, password) = decoded.unwrap_or_else(|| {
            (
                self.username.unwrap_or_default(),
                self.password.unwrap_or_default(),
            )
        });
        let token = |token: Option<String>| token.filter(|token| !token.is_empty());
        Credential {
            username,
            password,
            identity_token: token(self.identitytoken),
            registry_token: token(self.registrytoken),
        }
    }
}

/// `user:password` out of base64.
fn decode(auth: &str) -> Option<(String, String)> {
    let bytes = LENIENT.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((
        username.to_owned(),
        password.trim_end_matches('\0').to_owned(),
    ))
}

impl Content {
    fn read(path: &Path) -> Result<Self, CredentialsError> {
        let failed = |error: String| CredentialsError::Read {
            path: path.to_owned(),
            error,
        };
        let text = match File::open(path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(FILE_LIMIT)
                    .read_to_string(&mut text)
                    .map_err(|error| failed(error.to_string()))?;
                text
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error.to_string())),
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        Self::parse(&text).map_err(|error| failed(error.to_string()))
    }

    fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let raw: IndexMap<String, Box<RawValue>> = serde_json::from_str(text)?;
        let auths: Option<BTreeMap<String, Box<RawValue>>> = part(&raw, "auths")?;
        Ok(Self {
            auths: auths.unwrap_or_default(),
            store: part::<Option<String>>(&raw, "credsStore")?.unwrap_or_default(),
            helpers: part::<Option<BTreeMap<String, String>>>(&raw, "credHelpers")?
                .unwrap_or_default(),
            raw,
        })
    }

    /// The whole file, indented with tabs.
    fn to_text(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut order: Vec<&str> = self.raw.keys().map(String::as_str).collect();
        if !order.contains(&"auths") {
            order.insert(0, "auths");
        }
        let mut kept: IndexMap<&str, Ordered> = IndexMap::new();
        for key in order {
            let value = match (key, self.raw.get(key)) {
                ("auths", _) => {
                    let mut auths = IndexMap::new();
                    for (server, entry) in &self.auths {
                        auths.insert(server.clone(), ordered(entry)?);
                    }
                    Ordered::Object(auths)
                }
                (_, Some(raw)) => ordered(raw)?,
                (_, None) => continue,
            };
            kept.insert(key, value);
        }
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        kept.serialize(&mut serde_json::Serializer::with_formatter(
            &mut text, formatter,
        ))?;
        Ok(text)
    }
}

/// A top-level value, or the type's empty one.
fn part<T: serde::de::DeserializeOwned + Default>(
    raw: &IndexMap<String, Box<RawValue>>,
    key: &str,
) -> Result<T, serde_json::Error> {
    raw.get(key).map_or_else(
        || Ok(T::default()),
        |value| serde_json::from_str(value.get()),
    )
}

/// A JSON value whose objects keep their order.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
enum Ordered {
    Object(IndexMap<String, Self>),
    Array(Vec<Self>),
    Other(serde_json::Value),
}

fn ordered(raw: &RawValue) -> Result<Ordered, serde_json::Error> {
    serde_json::from_str(raw.get())
}

/// Writes a file whole, with mode 0600. A symbolic link stays one.
fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = follow(path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut random = [0u8; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let temporary = folder.join(format!(".config.json.{:016x}", u64::from_ne_bytes(random)));
    let written = write_and_rename(&temporary, &path, text);
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written
}

fn write_and_rename(temporary: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)?;
    if let Ok(old) = fs::metadata(path) {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            // Only root can; for others the file becomes their own.
            drop(std::os::unix::fs::chown(
                temporary,
                Some(old.uid()),
                Some(old.gid()),
            ));
        }
    }
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

/// The file that a path leads to, through links.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_LIMIT {
        match fs::read_link(&path) {
            Ok(target) => {
                let folder = path.parent().unwrap_or_else(|| Path::new("."));
                path = folder.join(target);
            }
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}
