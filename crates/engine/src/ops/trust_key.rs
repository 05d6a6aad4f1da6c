//! `trust key generate` and `trust sign`: keys of one's own.

use crate::error::{Error, ErrorKind, Origin};
use crate::trust::private::SigningKey;
use crate::trust::sign;
use crate::{Engine, Secret, lookup, transfer};
use lapstrake_image::ContentSource as _;
use lapstrake_spec::{Digest, Reference};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What `trust key generate` asks for.
#[derive(Debug, Clone)]
pub struct GenerateKey {
    /// What the key is called.
    pub name: String,
    /// Where the public key is written.
    pub folder: PathBuf,
    /// Where private keys are kept.
    pub private_folder: PathBuf,
    /// What opens the private key.
    pub passphrase: Secret,
}

impl GenerateKey {
    /// The file of the public key.
    pub fn public_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pub", self.name))
    }

    /// The file of the private key.
    pub fn private_file(&self) -> PathBuf {
        self.private_folder.join(format!("{}.key", self.name))
    }

    /// Refuses names that are none, and keys that are there.
    pub fn check(&self) -> Result<(), Error> {
        let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = self.name.as_bytes();
        let is_name = bytes.first().is_some_and(|byte| is_first(*byte))
            && bytes
                .iter()
                .all(|byte| is_first(*byte) || matches!(byte, b'-' | b'_'));
        if !is_name {
            return Err(refused(format!(
                "key name \"{}\" must start with lowercase alphanumeric characters and can include \"-\" or \
                 \"_\" after the first character",
                self.name
            )));
        }
        for (what, path) in [
            ("public", self.public_file()),
            ("private", self.private_file()),
        ] {
            if std::fs::symlink_metadata(&path).is_ok() {
                let path = path.display();
                return Err(refused(format!(
                    "{what} key file already exists: \"{path}\""
                )));
            }
        }
        Ok(())
    }
}

/// Makes a key pair; the result is the digest of the public key.
pub fn generate_key(request: &GenerateKey) -> Result<Digest, Error> {
    request.check()?;
    write_pair(request)
}

fn write_pair(request: &GenerateKey) -> Result<Digest, Error> {
    let (key, sealed) = SigningKey::generate(request.passphrase.reveal())?;
    let private = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&request.private_folder);
    private.map_err(|error| io_error("mkdir", &request.private_folder, &error))?;
    let private = NewFile::write(request.private_file(), sealed.as_bytes(), 0o600)?;
    let public = NewFile::write(request.public_file(), key.public_pem().as_bytes(), 0o644)?;
    for file in [public, private] {
        file.keep()?;
    }
    Ok(key.id())
}

/// A file that this process has made. It goes with the value unless it is kept: half a key pair is none.
struct NewFile {
    path: PathBuf,
    is_kept: bool,
}

impl NewFile {
    /// Writes a file that must not be there, durably.
    fn write(path: PathBuf, bytes: &[u8], mode: u32) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(&path);
        let mut file = file.map_err(|error| io_error("write", &path, &error))?;
        let new = Self {
            path,
            is_kept: false,
        };
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|error| io_error("write", &new.path, &error))?;
        Ok(new)
    }

    /// Makes its name durable, and leaves it there.
    fn keep(mut self) -> Result<(), Error> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| io_error("fsync", folder, &error))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // The error that matters is on its way.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

fn io_error(action: &str, path: &Path, error: &io::Error) -> Error {
    let words = lapstrake_image::ErrorKind::io_words(error);
    refused(format!("{action} {}: {words}", path.display()))
}

fn refused(text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
}

/// Signs what a tag stands for in its registry; the result is its digest.
pub async fn sign_image(
    engine: &Engine,
    typed: &str,
    key: &SigningKey,
) -> Result<(Reference, Digest), Error> {
    let reference = lookup::parse(typed)?;
    if reference.tag().is_none() || reference.digest().is_some() {
        return Err(refused(format!("tag missing from image name: {typed}"))
            .with_hint("a signature names the tag that it is for: NAME:TAG"));
    }
    let client = transfer::client(engine)?;
    let top = client.source(&reference).resolve(&reference).await?;
    sign::publish(&client, &reference, &top.digest, key).await?;
    Ok((reference, top.digest))
}

#[cfg(test)]
mod tests;
