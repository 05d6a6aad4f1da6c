//! The bytes of a blob from an offset on, whatever the server makes of that.

use super::buffers;
use super::call::Call;
use super::failure::{Doing, Failure, LostKind};
use super::remote::Remote;
use super::reply::header;
use super::transport::{SLOWEST_BYTES, broken, silent};
use crate::auth::Scope;
use bytes::{Buf, Bytes};
use futures_util::stream;
use lapstrake_image::{BlobStream, Error, ErrorKind};
use lapstrake_spec::Descriptor;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A body longer than this would fill a connection's buffer.
const LARGE_BYTES: u64 = 1 << 20;

/// Opens a blob at an offset.
pub(super) async fn open(
    remote: &Remote,
    path: &str,
    desc: &Descriptor,
    offset: u64,
    attempts: Option<u32>,
) -> Result<BlobStream, Failure> {
    let mut call = Call::new(Method::GET, format!("/{path}/blobs/{}", desc.digest));
    call = call.scope(Scope::pull(path));
    call.attempts = attempts;
    open_call(remote, &call, desc, offset).await
}

/// Opens a blob at an address that its descriptor names. The registry's credentials stay at home.
pub(super) async fn open_url(
    remote: &Remote,
    url: Url,
    desc: &Descriptor,
    offset: u64,
) -> Result<BlobStream, Failure> {
    open_call(
        remote,
        &Call::url(Method::GET, url).attempts(1),
        desc,
        offset,
    )
    .await
}

async fn open_call(
    remote: &Remote,
    call: &Call,
    desc: &Descriptor,
    offset: u64,
) -> Result<BlobStream, Failure> {
    let idle = remote.shared().transport.idle_timeout();
    if offset > 0 {
        let ranged = call.clone().header(RANGE, &format!("bytes={offset}-"));
        match remote.send(&ranged).await {
            Ok(response) if response.status() == StatusCode::PARTIAL_CONTENT => {
                if starts_at(&response) == Some(offset) {
                    return Ok(body(response, desc, offset, 0, idle));
                }
                // Some other part than asked for: the whole is asked for below.
            }
            Ok(response) => return checked(response, desc, offset, idle),
            Err(failure) if failure.status() == Some(416) => {}
            Err(failure) => return Err(failure),
        }
    }
    checked(remote.send(call).await?, desc, offset, idle)
}

/// A whole blob, of which the part before the offset is thrown away.
fn checked(
    response: Response,
    desc: &Descriptor,
    offset: u64,
    idle: Duration,
) -> Result<BlobStream, Failure> {
    if let Some(length) = response
        .content_length()
        .filter(|length| *length != desc.size)
    {
        let text = format!(
            "blob {} has {length} bytes at the registry, and {} by its descriptor",
            desc.digest, desc.size
        );
        return Err(Error::new(ErrorKind::InvalidContent, text).into());
    }
    Ok(body(response, desc, offset, offset, idle))
}

/// Where a partial answer begins: `bytes 5-9/10`.
fn starts_at(response: &Response) -> Option<u64> {
    let range = header(response.headers(), CONTENT_RANGE.as_str())?;
    range
        .trim()
        .strip_prefix("bytes")?
        .trim_start()
        .split('-')
        .next()?
        .parse()
        .ok()
}

/// What is left of a body.
struct Body {
    response: Response,
    /// Bytes to throw away.
    skip: u64,
    /// Bytes to hand out.
    left: u64,
    idle: Duration,
    /// The time in which [`SLOWEST_BYTES`] must come, and how many came.
    since: Instant,
    came: u64,
}

fn body(
    response: Response,
    desc: &Descriptor,
    offset: u64,
    skip: u64,
    idle: Duration,
) -> BlobStream {
    let left = desc.size.saturating_sub(offset);
    if let Some(peer) = response.remote_addr().filter(|_peer| left > LARGE_BYTES) {
        buffers::bound(peer);
    }
    let since = Instant::now();
    let body = Body {
        response,
        skip,
        left,
        idle,
        since,
        came: 0,
    };
    Box::pin(stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match body.next().await {
            Ok(None) => None,
            Ok(Some(chunk)) => Some((Ok(chunk), Some(body))),
            Err(failure) => Some((Err(failure.into_error(Doing::Other)), None)),
        }
    }))
}

impl Body {
    /// The next bytes; None at the end, which is where the descriptor says.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let read = timeout(self.idle, self.response.chunk()).await;
            let chunk = read
                .map_err(|_elapsed| silent())?
                .map_err(|error| broken(&error))?;
            let Some(mut chunk) = chunk else {
                return if self.left == 0 {
                    Ok(None)
                } else {
                    Err(Failure::lost(LostKind::Broken, "unexpected EOF"))
                };
            };
            self.keep_pace(chunk.len() as u64)?;
            let length = chunk.len() as u64;
            if self.skip >= length {
                self.skip = self.skip.saturating_sub(length);
                continue;
            }
            chunk.advance(usize::try_from(self.skip).unwrap_or(0));
            self.skip = 0;
            let length = chunk.len() as u64;
            if length > self.left {
                let text = "blob is longer than its descriptor says";
                return Err(Error::new(ErrorKind::InvalidContent, text).into());
            }
            self.left = self.left.saturating_sub(length);
            return Ok(Some(chunk));
        }
    }

    /// Bytes that drip are as good as none.
    fn keep_pace(&mut self, length: u64) -> Result<(), Failure> {
        self.came = self.came.saturating_add(length);
        if self.came >= SLOWEST_BYTES {
            self.came = 0;
            self.since = Instant::now();
        } else if self.left > SLOWEST_BYTES && self.since.elapsed() > self.idle {
            return Err(silent());
        }
        Ok(())
    }
}
