//! Refusals in docker's words, with kinds and hints.

use super::*;
use lapstrake_image::ContentSource;

/// Resolves a name at a registry that answers every request so.
async fn refused(
    answer: impl Fn() -> Response<Body> + Send + Sync + 'static,
) -> (ErrorKind, String, String, usize) {
    let fake = Fake::start(move |seen| match seen.target.as_str() {
        "/v2/" => empty(200),
        _ => answer(),
    })
    .await;
    let name = fake.name("a/b:t");
    let (kind, message, hint) = parts(client().source(&name).resolve(&name).await);
    let message = message.replace(&fake.address.to_string(), "REG");
    (kind, message, hint, fake.lines().len())
}

#[tokio::test]
async fn missing() {
    let (kind, message, ..) =
        refused(|| api_error(404, "MANIFEST_UNKNOWN", "manifest unknown")).await;
    let wanted = "manifest for REG/a/b:t not found: manifest unknown: manifest unknown";
    assert_eq!((kind, message.as_str()), (ErrorKind::NotFound, wanted));
    let (kind, message, ..) =
        refused(|| api_error(404, "NAME_UNKNOWN", "repository name not known to registry")).await;
    let wanted =
        "repository REG/a/b not found: name unknown: repository name not known to registry";
    assert_eq!((kind, message.as_str()), (ErrorKind::NotFound, wanted));
    let (kind, message, ..) = refused(|| empty(404)).await;
    let wanted = "manifest for REG/a/b:t not found: received unexpected HTTP status: 404 Not Found";
    assert_eq!((kind, message.as_str()), (ErrorKind::NotFound, wanted));
}

#[tokio::test]
async fn denied() {
    let bare = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied","detail":null}]}"#;
    let (kind, message, hint, _) = refused(move || json(403, bare)).await;
    assert_eq!((kind, message.as_str()), (ErrorKind::Denied, "denied"));
    assert!(hint.contains("lap login"), "{hint}");
    let (kind, message, ..) =
        refused(|| api_error(403, "DENIED", "requested access to the resource is denied")).await;
    let wanted = "pull access denied for REG/a/b, repository does not exist or may require \
                  'docker login': denied: requested access to the resource is denied";
    assert_eq!((kind, message.as_str()), (ErrorKind::Denied, wanted));
}

#[tokio::test]
async fn rate_limited() {
    let limited = || {
        let mut reply = api_error(
            429,
            "TOOMANYREQUESTS",
            "You have reached your pull rate limit.",
        );
        let headers = reply.headers_mut();
        headers.insert("ratelimit-limit", "100;w=21600".parse().unwrap());
        headers.insert("ratelimit-remaining", "0;w=21600".parse().unwrap());
        headers.insert("docker-ratelimit-source", "192.0.2.7".parse().unwrap());
        headers.insert("retry-after", "3600".parse().unwrap());
        reply
    };
    let (kind, message, hint, requests) = refused(limited).await;
    let wanted = "toomanyrequests: You have reached your pull rate limit.";
    assert_eq!((kind, message.as_str()), (ErrorKind::RateLimited, wanted));
    assert_eq!(
        hint,
        "limit 100;w=21600, remaining 0;w=21600, retry after 3600 s, counted for 192.0.2.7; \
         log in for a higher limit, or set a mirror (`registry-mirrors`)"
    );
    assert_eq!(requests, 2, "an hour is not waited for");
}

#[tokio::test]
async fn server_error() {
    let (kind, message, _, requests) = refused(|| api_error(500, "UNKNOWN", "unknown error")).await;
    let wanted = "received unexpected HTTP status: 500 Internal Server Error";
    assert_eq!((kind, message.as_str()), (ErrorKind::Unavailable, wanted));
    assert_eq!(requests, 4, "one HEAD, three GETs");
    let (_, message, _, requests) = refused(|| empty(503)).await;
    assert_eq!(
        message,
        "received unexpected HTTP status: 503 Service Unavailable"
    );
    assert_eq!(requests, 6, "one HEAD, five GETs");
}

#[tokio::test]
async fn odd_documents() {
    let (_, message, ..) =
        refused(|| json(401, r#"{"details":"incorrect username or password"}"#)).await;
    assert_eq!(message, "unauthorized: incorrect username or password");
    let (_, message, ..) = refused(|| json(400, r#"{"errors":[{"code":17},{}]}"#)).await;
    assert_eq!(message, "errors:\nunknown\nunknown\n");
    let page = "<html><body>\u{1b}[31mblocked</body></html>";
    let (_, message, ..) = refused(move || {
        answer(403)
            .header("content-type", "text/html")
            .body(Body::from(page))
            .unwrap()
    })
    .await;
    assert!(
        message.contains("denied: requested access to the resource is denied"),
        "{message}"
    );
    let (_, message, ..) = refused(|| {
        answer(418)
            .body(Body::from("short \u{1b}[31m\nand stout"))
            .unwrap()
    })
    .await;
    assert_eq!(message, "unknown: short  [31m and stout");
}

#[tokio::test]
async fn nobody_there() {
    let closed = closed_port().await;
    let name = Reference::parse(&format!("{closed}/a/b:t")).unwrap();
    let (kind, message, _) = parts(client().source(&name).resolve(&name).await);
    let wanted =
        format!("Get \"http://{closed}/v2/\": dial tcp {closed}: connect: connection refused");
    assert_eq!((kind, message), (ErrorKind::Unavailable, wanted));
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let count = std::sync::atomic::AtomicU32::new(0);
    let fake = Fake::start(move |seen| {
        if seen.target == "/v2/" {
            return empty(200);
        }
        if seen.method == Method::HEAD {
            return empty(405);
        }
        match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => answer(429)
                .header("retry-after", "1")
                .body(Body::empty())
                .unwrap(),
            _ => manifest_answer(MANIFEST),
        }
    })
    .await;
    let name = fake.name("a/b:t");
    let before = tokio::time::Instant::now();
    client().source(&name).resolve(&name).await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
}

#[test]
fn statuses_have_kinds() {
    let rows = [
        (400, ErrorKind::InvalidContent),
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Denied),
        (404, ErrorKind::NotFound),
        (405, ErrorKind::Unsupported),
        (408, ErrorKind::Unavailable),
        (413, ErrorKind::TooLarge),
        (429, ErrorKind::RateLimited),
        (502, ErrorKind::Unavailable),
    ];
    for (code, kind) in rows {
        let reply = crate::client::reply::Reply::new(status(code), &HeaderMap::new(), b"");
        assert_eq!(reply.kind(), kind, "{code}");
    }
}
