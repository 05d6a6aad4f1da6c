//! Servers that send too much, too little, too slowly, or something else.

use super::*;
use lapstrake_image::ContentSource;

fn impatient() -> Client {
    Client::new(Options {
        idle_timeout: Duration::from_millis(300),
        max_attempts: 1,
        ..options()
    })
    .unwrap()
}

async fn resolve_raw(reply: impl Into<Vec<u8>>) -> (ErrorKind, String, String) {
    let address = raw_server(reply).await;
    let name = Reference::parse(&format!("{address}/a/b:t")).unwrap();
    parts(impatient().source(&name).resolve(&name).await)
}

#[tokio::test]
async fn no_http() {
    for reply in [
        "",
        "garbage\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\u{0}\u{1}\u{2}",
    ] {
        let (kind, message, _) = resolve_raw(reply).await;
        assert_eq!(kind, ErrorKind::Unavailable, "{reply:?}: {message}");
        assert!(message.starts_with("Get \"http"), "{reply:?}: {message}");
    }
}

#[tokio::test]
async fn endless_headers() {
    let mut reply = b"HTTP/1.1 200 OK\r\n".to_vec();
    for index in 0..100_000 {
        reply.extend_from_slice(format!("x-{index}: {}\r\n", "y".repeat(100)).as_bytes());
    }
    assert_eq!(resolve_raw(reply).await.0, ErrorKind::Unavailable);
}

/// A server that answers the probe, and everything else with a body that does not end.
async fn dripping(first: &'static str, drip: &'static [u8], pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0u8; 4096];
                let length = stream.read(&mut head).await.unwrap();
                if head[..length].starts_with(b"GET /v2/ ") {
                    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    return stream.write_all(ok).await.unwrap();
                }
                stream.write_all(first.as_bytes()).await.ok();
                while stream.write_all(drip).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    address
}

static LARGE: [u8; 1 << 14] = [b' '; 1 << 14];

#[tokio::test]
async fn an_endless_manifest() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let address = dripping(head, &LARGE, Duration::ZERO).await;
    let name = Reference::parse(&format!("{address}/a/b:t")).unwrap();
    let (kind, ..) = parts(
        client()
            .source(&name)
            .manifest(&manifest_desc(MANIFEST))
            .await,
    );
    assert_eq!(kind, ErrorKind::TooLarge);
}

#[tokio::test]
async fn an_endless_error_and_an_endless_list() {
    let head = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n";
    let address = dripping(head, &LARGE, Duration::ZERO).await;
    let name = Reference::parse(&format!("{address}/a/b:t")).unwrap();
    let (kind, message, _) = parts(
        client()
            .source(&name)
            .manifest(&manifest_desc(MANIFEST))
            .await,
    );
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(message.len() < 2000, "{}", message.len());
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let address = dripping(head, &LARGE, Duration::ZERO).await;
    let name = Reference::parse(&format!("{address}/a/b")).unwrap();
    assert_eq!(parts(client().tags(&name).await).0, ErrorKind::TooLarge);
}

#[tokio::test]
async fn an_endless_blob_ends() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let address = dripping(head, &LARGE, Duration::ZERO).await;
    let name = Reference::parse(&format!("{address}/a/b:t")).unwrap();
    let stream = client()
        .source(&name)
        .blob(&layer(&[b' '; 100]), 0)
        .await
        .unwrap();
    assert_eq!(parts(read(stream).await).0, ErrorKind::InvalidContent);
}

#[tokio::test]
async fn silence_and_dripping_end() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let silent = dripping(head, b"", Duration::from_secs(60)).await;
    let drips = dripping(head, b"x", Duration::from_millis(20)).await;
    for address in [silent, drips] {
        let name = Reference::parse(&format!("{address}/a/b:t")).unwrap();
        let source = impatient().source(&name);
        let desc = layer(&vec![b'x'; 1 << 20]);
        let stream = source.blob(&desc, 0).await.unwrap();
        let (kind, message, _) = parts(read(stream).await);
        assert_eq!(kind, ErrorKind::Unavailable);
        assert_eq!(message, "net/http: timeout awaiting response");
        let (kind, ..) = parts(source.manifest(&manifest_desc(MANIFEST)).await);
        assert_eq!(kind, ErrorKind::Unavailable);
    }
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name = Reference::parse(&format!("{}/a/b:t", mute.local_addr().unwrap())).unwrap();
    assert_eq!(
        parts(impatient().source(&name).resolve(&name).await).0,
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn a_circle_of_redirects() {
    let fake = Fake::start(|seen| match seen.target.as_str() {
        "/v2/" => empty(200),
        target => answer(307)
            .header("location", target)
            .body(Body::empty())
            .unwrap(),
    })
    .await;
    let name = fake.name("a/b:t");
    let (_, message, _) = parts(client().source(&name).blob(&layer(b"x"), 0).await.map(drop));
    assert_eq!(message, "stopped after 10 redirects");
    assert_eq!(fake.lines().len(), 11);
    let fake = Fake::start(|seen| match seen.target.as_str() {
        "/v2/" => empty(200),
        _ => answer(307)
            .header("location", "file:///etc/passwd")
            .body(Body::empty())
            .unwrap(),
    })
    .await;
    let name = fake.name("a/b:t");
    assert!(client().source(&name).blob(&layer(b"x"), 0).await.is_err());
}

#[tokio::test]
async fn a_hostile_token_server() {
    for reply in [
        "[]",
        "{}",
        r#"{"token":7}"#,
        r#"{"token":"a\nb"}"#,
        "not json",
    ] {
        let fake = Fake::start(move |seen| match seen.target.as_str() {
            target if target.starts_with("/token") => json(200, reply),
            _ => answer(401)
                .header(
                    "www-authenticate",
                    format!("Bearer realm=\"http://{}/token\"", seen.header("host")),
                )
                .body(Body::empty())
                .unwrap(),
        })
        .await;
        let name = fake.name("a/b:t");
        let (kind, ..) = parts(client().source(&name).resolve(&name).await);
        assert_eq!(kind, ErrorKind::Unauthorized, "{reply}");
    }
    for realm in ["", "nowhere", "file:///etc/passwd", "http://user@h/"] {
        let challenge = format!("Bearer realm=\"{realm}\"");
        let fake = Fake::start(move |_| {
            answer(401)
                .header("www-authenticate", &challenge)
                .body(Body::empty())
                .unwrap()
        })
        .await;
        let name = fake.name("a/b:t");
        let (kind, message, _) = parts(client().source(&name).resolve(&name).await);
        assert_eq!(kind, ErrorKind::Unauthorized, "{realm}");
        assert!(message.contains("no valid realm"), "{message}");
    }
}
