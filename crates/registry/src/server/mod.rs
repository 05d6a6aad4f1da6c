//! The embedded registry: the distribution protocol (version 2) over a directory.
//!
//! # On disk
//! ```text
//! <root>/
//!   lock                                   held by the one process that serves this root
//!   blobs/<alg>/<first two>/<hex>          content of every repository, manifests among it
//!   repositories/<name>/
//!     _blobs/<alg>/<hex>                   empty file: this repository has the blob
//!     _manifests/<alg>/<hex>               this repository has the manifest; holds its content type
//!     _tags/<tag>                          holds the digest of a manifest
//!     _referrers/<alg>/<hex>/<alg>-<hex>   descriptor of a manifest whose subject is the directory's digest
//!   uploads/<uuid>                         an upload that is not finished; its length is its offset
//!   tmp/                                   small files about to be renamed; emptied at start
//! ```
//! A repository's own entries start with `_`, which no component of a name can.
//!
//! # What a crash leaves
//! Every file but an upload is written under `tmp/`, synced and renamed. A manifest becomes visible
//! after all that it refers to, a tag after its manifest; they go away in the opposite order. So
//! after kill -9 a tag is whole or absent. An upload that was cut keeps its bytes: a later request,
//! also one to a later process, goes on behind them.
//!
//! # Locks
//! The root is locked for the life of the [`Server`]. Within it, changes of references take one
//! mutex for the few renames they need; content streams without any lock but its upload's own.
//!
//! # What is absent
//! No TLS, no collection of unreferenced blobs, no rewriting of manifests: bytes and content type
//! leave as they came.

mod access;
mod blobs;
mod error;
mod handle;
mod listen;
mod listing;
mod manifests;
mod name;
mod query;
mod range;
mod route;
mod storage;
mod tokens;
mod upload;
mod uploads;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::TcpListener;

pub use access::{Access, Bearer, Login};
pub use listen::serve_router;
pub use storage::OpenError;

use access::Authority;
use storage::Storage;
use upload::Uploads;

/// Largest manifest that is accepted, in bytes.
pub const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;

/// How a [`Server`] behaves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Who may do what.
    pub access: Access,
    /// Sync files and directories before a request is acknowledged. Only tests turn it off.
    pub durable: bool,
    /// Uploads last written before this moment are removed when the root is opened.
    pub stale_before: Option<SystemTime>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            access: Access::Open,
            durable: true,
            stale_before: None,
        }
    }
}

/// A registry over one directory. Clones share it.
#[derive(Clone, Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What every request sees.
#[derive(Debug)]
struct Shared {
    storage: Arc<Storage>,
    uploads: Uploads,
    authority: Authority,
}

impl Server {
    /// Opens the directory `root`, which is made when absent, and locks it.
    pub fn open(root: &Path, options: ServerOptions) -> Result<Self, OpenError> {
        let storage = Arc::new(Storage::open(root, options.durable, options.stale_before)?);
        let uploads = Uploads::new(Arc::clone(&storage));
        let authority = Authority::new(options.access);
        Ok(Self {
            shared: Arc::new(Shared {
                storage,
                uploads,
                authority,
            }),
        })
    }

    /// The protocol as a service, for a caller that has its own front.
    pub fn router(&self) -> axum::Router {
        handle::router(Arc::clone(&self.shared))
    }

    /// Answers requests on `listener` until `shutdown` completes, then lets those that run finish
    /// within a few seconds.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> std::io::Result<()> {
        serve_router(listener, self.router(), shutdown).await
    }
}
