//! Certificates beside a registry's name: `certs.d/HOST[:PORT]/{*.crt, NAME.cert + NAME.key}`.

use std::path::{Path, PathBuf};

/// Files of one folder that are looked at.
const FILES_LIMIT: usize = 1024;

/// What TLS needs to know for one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsFiles {
    /// PEM files with authorities to trust beside the system's.
    pub authorities: Vec<PathBuf>,
    /// PEM files with a client certificate, each with the file of its key. Without one the key is in
    /// the certificate's file.
    pub clients: Vec<(PathBuf, Option<PathBuf>)>,
}

impl TlsFiles {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.clients.is_empty()
    }

    /// The certificates in a folder; none when there is no folder. In the order of their names.
    pub fn read_folder(folder: &Path) -> Self {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Self::default();
        };
        let mut paths: Vec<PathBuf> = entries
            .take(FILES_LIMIT)
            .flatten()
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        let mut files = Self::default();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => files.authorities.push(path),
                Some("cert") => {
                    let key = path.with_extension("key");
                    files.clients.push((path, Some(key)));
                }
                _ => {}
            }
        }
        files
    }
}
