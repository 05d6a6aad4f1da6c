//! `build`: a Dockerfile and a context become an image.
//!
//! The work is synchronous and runs on a thread of its own, because it waits for files and programs
//! far more than for the network; its events come back through a channel. When the future is dropped
//! (the user interrupts), the thread is told so, ends the running steps and leaves nothing behind.
//!
//! [`driver`] is the order of things: open the context, read the Dockerfile, plan (as often as images
//! turn up missing), solve, and hand the result to the outputs.
//!
//! # On disk
//!
//! ```text
//! <root>/build/failed/<hash>     the images of this Dockerfile's failed steps, an id a line, the newest first; the
//!                                hash is of the Dockerfile's place, see `kept`
//! ```
//!
//! Everything else in that folder is the cache's.

mod classic;
mod connect;
mod download;
mod driver;
mod entitlement;
mod failure;
mod finish;
mod forward;
mod images;
mod imports;
mod kept;
mod layout;
mod open;
mod options;
mod remote;
mod request;
mod result;
mod sources;
mod squash;
mod words;

#[cfg(test)]
mod tests;

pub use request::{
    BuildRequest, CacheLocation, CacheOptions, Call, Dialect, OnFail, RunOptions, SecretSource,
    SshSource, Stdin, Stdout,
};
pub use result::{Answer, BuildResult, BuiltImage, FailedBuild, Warning};
pub(in crate::ops) use words::cancelled;

use crate::Engine;
use crate::error::Error;
use crate::event::EventSink;
use crate::sandbox::EngineSandbox;
use driver::Build;
use forward::forward;
use lapstrake_build::cancel::CancelToken;
use lapstrake_build::sandbox::Sandbox;
use remote::Network;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Builds.
pub async fn build(
    engine: &Engine,
    request: BuildRequest,
    events: &dyn EventSink,
) -> Result<BuildResult, Error> {
    let cancel = CancelToken::new()
        .map_err(|error| lapstrake_image::Error::io("create an eventfd", error))?;
    let guard = Raise(cancel.clone());
    let (sender, receiver) = forward();
    let engine = engine.clone();
    let handle = Handle::current();
    let work = tokio::task::spawn_blocking(move || {
        let sandbox = EngineSandbox::new(&engine, request.dialect)?;
        let world = World {
            engine: &engine,
            sandbox: &sandbox,
            handle,
            cancel: &cancel,
        };
        run(&world, request, &sender)
    });
    receiver.pass_on(events).await;
    let result = work.await.map_err(Error::internal)?;
    drop(guard);
    result
}

/// Raises a token when it is dropped: with the future that nobody waits for any more.
struct Raise(CancelToken);

impl Drop for Raise {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What a build happens in.
struct World<'a> {
    engine: &'a Engine,
    sandbox: &'a dyn Sandbox,
    handle: Handle,
    cancel: &'a CancelToken,
}

fn run(
    world: &World<'_>,
    request: BuildRequest,
    events: &dyn EventSink,
) -> Result<BuildResult, Error> {
    let network = Network::new(world.engine, world.handle.clone(), world.cancel.clone())?;
    let store = world.engine.store()?;
    let build = Build {
        engine: world.engine,
        store,
        network: &Arc::new(network),
        events,
        cancel: world.cancel,
        dialect: request.dialect,
        lease: store.lease()?,
        sandbox: world.sandbox,
    };
    build.run(request)
}
