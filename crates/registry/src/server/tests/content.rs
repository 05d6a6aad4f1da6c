use std::time::Duration;

use lapstrake_spec::{Digest, Hasher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Answer, Directory, Fixture};
use crate::server::{OpenError, Server, ServerOptions};

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at * 7 % 251).unwrap())
        .collect()
}

async fn start_upload(registry: &Fixture) -> String {
    let answer = registry.send("POST", "/v2/r/blobs/uploads/").await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("range"), "0-0");
    assert!(!answer.header("docker-upload-uuid").is_empty());
    answer.header("location").to_owned()
}

async fn patch(registry: &Fixture, location: &str, range: Option<&str>, body: &[u8]) -> Answer {
    let mut request = registry.request("PATCH", location).body(body.to_vec());
    if let Some(range) = range {
        request = request.header("content-range", range);
    }
    Answer::of(request).await
}

/// Waits until an upload has so many bytes.
async fn wait_for(registry: &Fixture, location: &str, range: &str) {
    let arrived = async {
        while registry.send("GET", location).await.header("range") != range {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), arrived).await.unwrap();
}

#[tokio::test]
async fn ping_and_unknown_paths() {
    let registry = Fixture::start().await;
    let answer = registry.send("GET", "/v2/").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert_eq!(
        answer.header("docker-distribution-api-version"),
        "registry/2.0"
    );
    registry
        .send("GET", "/elsewhere")
        .await
        .refused(404, "UNSUPPORTED");
    registry
        .send("POST", "/v2/")
        .await
        .refused(405, "UNSUPPORTED");
    registry
        .send("GET", "/v2/UP/tags/list")
        .await
        .refused(400, "NAME_INVALID");
    registry
        .send("GET", "/v2/r/blobs/sha256:zz")
        .await
        .refused(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_blob_comes_back_whole_and_in_parts() {
    let registry = Fixture::start().await;
    let bytes = pattern(2_000_003);
    let digest = registry.push_blob("r/s", &bytes).await;
    let path = format!("/v2/r/s/blobs/{digest}");
    let whole = registry.send("GET", &path).await;
    assert_eq!((whole.status, whole.body == bytes), (200, true));
    assert_eq!(whole.header("docker-content-digest"), digest.to_string());
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let head = registry.send("HEAD", &path).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, "2000003")
    );
    let part = Answer::of(
        registry
            .request("GET", &path)
            .header("range", "bytes=1000000-"),
    )
    .await;
    assert_eq!((part.status, part.body == bytes[1_000_000..]), (206, true));
    assert_eq!(
        part.header("content-range"),
        "bytes 1000000-2000002/2000003"
    );
    let past = Answer::of(
        registry
            .request("GET", &path)
            .header("range", "bytes=2000003-"),
    )
    .await;
    past.refused(416, "RANGE_INVALID");
    assert_eq!(past.header("content-range"), "bytes */2000003");
    let stale = registry
        .request("GET", &path)
        .header("range", "bytes=1-")
        .header("if-range", "\"x\"");
    assert_eq!(Answer::of(stale).await.status, 200);
    let same = registry
        .request("GET", &path)
        .header("if-none-match", format!("\"{digest}\""));
    assert_eq!(Answer::of(same).await.status, 304);
    registry
        .send("GET", &format!("/v2/other/blobs/{digest}"))
        .await
        .refused(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn an_empty_blob() {
    let registry = Fixture::start().await;
    let digest = registry.push_blob("r", b"").await;
    let answer = registry.send("GET", &format!("/v2/r/blobs/{digest}")).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

#[tokio::test]
async fn a_blob_is_taken_away_from_one_repository() {
    let registry = Fixture::start().await;
    let digest = registry.push_blob("a", b"x").await;
    registry.push_blob("b", b"x").await;
    let path = format!("/v2/a/blobs/{digest}");
    assert_eq!(registry.send("DELETE", &path).await.status, 202);
    registry
        .send("DELETE", &path)
        .await
        .refused(404, "BLOB_UNKNOWN");
    registry
        .send("GET", &path)
        .await
        .refused(404, "BLOB_UNKNOWN");
    assert_eq!(
        registry
            .send("GET", &format!("/v2/b/blobs/{digest}"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn chunks_must_follow_each_other() {
    let registry = Fixture::start().await;
    let bytes = pattern(30);
    let digest = Digest::sha256(&bytes);
    let location = start_upload(&registry).await;
    let first = patch(&registry, &location, Some("0-9"), &bytes[..10]).await;
    assert_eq!((first.status, first.header("range")), (202, "0-9"));
    let gap = patch(&registry, &location, Some("20-29"), &bytes[20..]).await;
    gap.refused(416, "RANGE_INVALID");
    assert_eq!(
        (gap.header("range"), gap.header("location")),
        ("0-9", location.as_str())
    );
    patch(&registry, &location, Some("0-9"), &bytes[..10])
        .await
        .refused(416, "RANGE_INVALID");
    patch(&registry, &location, Some("10-12"), &bytes[10..20])
        .await
        .refused(400, "SIZE_INVALID");
    let second = patch(&registry, &location, None, &bytes[10..20]).await;
    assert_eq!((second.status, second.header("range")), (202, "0-19"));
    let status = registry.send("GET", &location).await;
    assert_eq!((status.status, status.header("range")), (204, "0-19"));
    let last = registry.request("PUT", &format!("{location}?digest={digest}"));
    let last = Answer::of(
        last.header("content-range", "20-29")
            .body(bytes[20..].to_vec()),
    )
    .await;
    assert_eq!(last.status, 201, "{}", last.text());
    assert_eq!(last.header("location"), format!("/v2/r/blobs/{digest}"));
    assert_eq!(last.header("docker-content-digest"), digest.to_string());
    let read = registry.send("GET", last.header("location")).await;
    assert_eq!(read.body, bytes);
    registry
        .send("GET", &location)
        .await
        .refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn other_hash_functions() {
    let registry = Fixture::start().await;
    let bytes = pattern(1_000_000);
    let zero = Digest::parse(&format!("sha512:{}", "0".repeat(128))).unwrap();
    let mut hasher = Hasher::for_digest(&zero);
    hasher.update(&bytes);
    let digest = hasher.finish();
    let location = start_upload(&registry).await;
    let put = registry
        .request("PUT", &format!("{location}?digest={digest}"))
        .body(bytes.clone());
    assert_eq!(Answer::of(put).await.status, 201);
    let read = registry.send("GET", &format!("/v2/r/blobs/{digest}")).await;
    assert!(read.body == bytes);
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing() {
    let registry = Fixture::start().await;
    let wrong = Digest::sha256(b"other");
    let location = start_upload(&registry).await;
    let put = registry
        .request("PUT", &format!("{location}?digest={wrong}"))
        .body("text");
    Answer::of(put).await.refused(400, "DIGEST_INVALID");
    registry
        .send("GET", &location)
        .await
        .refused(404, "BLOB_UPLOAD_UNKNOWN");
    let post = registry.request("POST", &format!("/v2/r/blobs/uploads/?digest={wrong}"));
    Answer::of(post.body("text"))
        .await
        .refused(400, "DIGEST_INVALID");
    registry.send("HEAD", &format!("/v2/r/blobs/{wrong}")).await;
    assert_eq!(
        std::fs::read_dir(registry.root().join("uploads"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(
        std::fs::read_dir(registry.root().join("blobs"))
            .unwrap()
            .count(),
        0
    );
    let location = start_upload(&registry).await;
    registry
        .send("PUT", &location)
        .await
        .refused(400, "DIGEST_INVALID");
    assert_eq!(registry.send("DELETE", &location).await.status, 204);
    registry
        .send("DELETE", &location)
        .await
        .refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository() {
    let registry = Fixture::start().await;
    let digest = registry.push_blob("from", b"shared").await;
    let mount = format!("/v2/to/blobs/uploads/?mount={digest}&from=from");
    let answer = registry.send("POST", &mount).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (201, format!("/v2/to/blobs/{digest}").as_str())
    );
    assert_eq!(
        registry
            .send("GET", &format!("/v2/to/blobs/{digest}"))
            .await
            .body,
        b"shared"
    );
    let missing = format!(
        "/v2/to/blobs/uploads/?mount={}&from=from",
        Digest::sha256(b"?")
    );
    assert_eq!(registry.send("POST", &missing).await.status, 202);
    let escape = format!("/v2/to/blobs/uploads/?mount={digest}&from=../from");
    registry
        .send("POST", &escape)
        .await
        .refused(400, "NAME_INVALID");
}

/// Sends the head of a request and part of its body.
async fn send_half(registry: &Fixture, location: &str, half: &[u8], total: usize) -> TcpStream {
    let mut stream = TcpStream::connect(&registry.address).await.unwrap();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {total}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(half).await.unwrap();
    stream
}

#[tokio::test]
async fn a_cut_upload_goes_on_also_in_another_process() {
    let registry = Fixture::start().await;
    let bytes = pattern(3_000_000);
    let location = start_upload(&registry).await;
    let stream = send_half(&registry, &location, &bytes[..1_500_000], bytes.len()).await;
    drop(stream);
    wait_for(&registry, &location, "0-1499999").await;
    let registry = registry.restart().await;
    wait_for(&registry, &location, "0-1499999").await;
    let digest = Digest::sha256(&bytes);
    let rest = registry.request("PUT", &format!("{location}?digest={digest}"));
    let rest = rest
        .header("content-range", "1500000-2999999")
        .body(bytes[1_500_000..].to_vec());
    assert_eq!(Answer::of(rest).await.status, 201);
    let read = registry.send("GET", &format!("/v2/r/blobs/{digest}")).await;
    assert!(read.body == bytes);
}

fn length_of(answer: &Answer) -> usize {
    match answer
        .header("range")
        .strip_prefix("0-")
        .unwrap()
        .parse()
        .unwrap()
    {
        0 => 0,
        last => last + 1,
    }
}

async fn patch_from(registry: &Fixture, location: &str, bytes: &[u8], start: usize) -> Answer {
    let range = format!("{start}-{}", bytes.len() - 1);
    patch(registry, location, Some(&range), &bytes[start..]).await
}

#[tokio::test]
async fn a_second_request_takes_an_upload_over() {
    let registry = Fixture::start().await;
    let bytes = pattern(2 * 1024 * 1024);
    let location = start_upload(&registry).await;
    // One batch is written, the rest is not; the sender is silent but still connected.
    let mut silent = send_half(&registry, &location, &bytes[..900_000], bytes.len()).await;
    let mut length = 0;
    let written = async {
        while length == 0 {
            sleep(Duration::from_millis(2)).await;
            length = length_of(&registry.send("GET", &location).await);
        }
    };
    timeout(Duration::from_secs(10), written).await.unwrap();
    // The length may have been read in the middle of a write: a refusal tells the right one.
    let mut rest = patch_from(&registry, &location, &bytes, length).await;
    if rest.status == 416 {
        rest = patch_from(&registry, &location, &bytes, length_of(&rest)).await;
    }
    assert_eq!(rest.status, 202, "{}", rest.text());
    let digest = Digest::sha256(&bytes);
    assert_eq!(
        registry
            .send("PUT", &format!("{location}?digest={digest}"))
            .await
            .status,
        201
    );
    let mut refusal = String::new();
    timeout(Duration::from_secs(10), silent.read_to_string(&mut refusal))
        .await
        .unwrap()
        .unwrap();
    assert!(
        refusal.contains("another request continues this upload"),
        "{refusal}"
    );
}

#[tokio::test]
async fn one_process_per_directory_and_old_uploads_go() {
    let registry = Fixture::start().await;
    let location = start_upload(&registry).await;
    let second = Server::open(registry.root(), ServerOptions::default());
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
    std::fs::write(registry.root().join("tmp/left"), "x").unwrap();
    let registry = registry.restart().await;
    assert!(!registry.root().join("tmp/left").exists());
    assert_eq!(registry.send("GET", &location).await.status, 204);

    let directory = Directory::new();
    std::fs::create_dir(directory.0.join("uploads")).unwrap();
    let old = directory.0.join("uploads/old");
    std::fs::write(&old, "x").unwrap();
    let modified = std::fs::metadata(&old).unwrap().modified().unwrap();
    let stale_before = Some(modified + Duration::from_secs(1));
    Server::open(
        &directory.0,
        ServerOptions {
            stale_before,
            ..ServerOptions::default()
        },
    )
    .unwrap();
    assert!(!old.exists());
}
