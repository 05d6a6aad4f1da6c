//! Connections: accepting, limits, and an end that lets requests finish.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at a time; further ones wait to be accepted.
const CONNECTIONS_LIMIT: usize = 512;
/// How long a connection may take to send a request's head, idle time before it included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// How long running requests get once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Rest after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers HTTP/1.1 requests on `listener` with `router` until `shutdown` completes, then lets
/// those that run finish within a few seconds.
pub async fn serve_router(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut shutdown = pin!(shutdown);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_LIMIT));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, slot)) => {
                connections.spawn(connection(stream, router.clone(), stopped.clone(), slot));
            }
            Err(error) => {
                tracing::warn!(%error, "accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((listener, stop, stopped));
    let finished = timeout(GRACE, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    if finished.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<()>,
    _slot: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay");
    }
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let result = tokio::select! {
        result = &mut serving => result,
        // The sender is never used, so this completes when it is dropped.
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection");
    }
}
