//! Resolving, manifests, blobs with ranges, mirrors, tags.

use super::*;
use lapstrake_image::ContentSource;
use lapstrake_spec::Digest;

/// A registry with one manifest under every name and one blob.
fn registry(seen: &Seen, content: &'static [u8]) -> Response<Body> {
    match seen.target.as_str() {
        "/v2/" => empty(200),
        target if target.contains("/manifests/") => manifest_answer(MANIFEST),
        target if target.contains("/blobs/") => bytes(content),
        _ => empty(404),
    }
}

#[tokio::test]
async fn a_head_is_enough_to_resolve() {
    let fake = Fake::start(|seen| registry(&seen, b"")).await;
    let name = fake.name("a/b:t");
    let desc = client().source(&name).resolve(&name).await.unwrap();
    assert_eq!(desc, manifest_desc(MANIFEST));
    assert_eq!(fake.lines(), ["HEAD /v2/a/b/manifests/t"]);
    let accept = fake.seen()[0].header("accept").to_owned();
    for kind in MediaType::MANIFESTS {
        assert!(accept.contains(kind.as_str()), "{accept}");
    }
}

#[tokio::test]
async fn a_get_helps_where_head_says_too_little() {
    let fake = Fake::start(|seen| match (seen.method.as_str(), seen.target.as_str()) {
        (_, "/v2/") => empty(200),
        ("HEAD", _) => empty(200),
        _ => bytes(br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#),
    })
    .await;
    let name = fake.name("a/b:t");
    let source = client().source(&name);
    let desc = source.resolve(&name).await.unwrap();
    assert_eq!(desc.media_type, MediaType::OCI_MANIFEST);
    assert_eq!(
        Digest::sha256(&source.manifest(&desc).await.unwrap()),
        desc.digest
    );
    assert_eq!(
        fake.lines(),
        ["HEAD /v2/a/b/manifests/t", "GET /v2/a/b/manifests/t"],
        "fetched once"
    );
}

#[tokio::test]
async fn a_manifest_is_verified() {
    let fake = Fake::start(|seen| registry(&seen, b"")).await;
    let name = fake.name("a/b:t");
    let other = manifest_desc(b"other");
    let (kind, message, _) = parts(client().source(&name).manifest(&other).await);
    let wanted = format!("manifest verification failed for digest {}", other.digest);
    assert_eq!((kind, message), (ErrorKind::DigestMismatch, wanted));
    let by_digest = fake.name("a/b").with_digest(other.digest);
    let (kind, ..) = parts(client().source(&by_digest).resolve(&by_digest).await);
    assert_eq!(kind, ErrorKind::DigestMismatch);
}

#[tokio::test]
async fn a_large_manifest_is_refused() {
    let fake = Fake::start(|seen| match seen.target.as_str() {
        "/v2/" => empty(200),
        _ => bytes(&vec![b' '; lapstrake_spec::MANIFEST_LIMIT + 1]),
    })
    .await;
    let name = fake.name("a/b:t");
    assert_eq!(
        parts(client().source(&name).resolve(&name).await).0,
        ErrorKind::TooLarge
    );
}

const CONTENT: &[u8] = b"0123456789";

/// Reads a blob from an offset at a registry that answers a ranged request so.
async fn ranged(
    offset: u64,
    answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
) -> (Result<Vec<u8>, Error>, Vec<String>) {
    let fake = Fake::start(move |seen| match seen.target.as_str() {
        "/v2/" => empty(200),
        _ => answer(&seen),
    })
    .await;
    let name = fake.name("a/b:t");
    let source = client().source(&name);
    let got = match source.blob(&layer(CONTENT), offset).await {
        Ok(stream) => read(stream).await,
        Err(error) => Err(error),
    };
    let ranges = fake
        .seen()
        .iter()
        .map(|seen| seen.header("range").to_owned())
        .collect();
    (got, ranges)
}

#[tokio::test]
async fn ranges() {
    let partial = |_: &Seen| {
        answer(206)
            .header("content-range", "bytes 4-9/10")
            .body(Body::from("456789"))
            .unwrap()
    };
    let (got, ranges) = ranged(4, partial).await;
    assert_eq!(
        (got.unwrap().as_slice(), ranges),
        (&CONTENT[4..], vec!["bytes=4-".to_owned()])
    );

    let (got, _) = ranged(4, |_| bytes(CONTENT)).await;
    assert_eq!(got.unwrap(), CONTENT[4..], "a whole answer is cut");

    let refuses = |seen: &Seen| match seen.header("range") {
        "" => bytes(CONTENT),
        _ => empty(416),
    };
    let (got, ranges) = ranged(4, refuses).await;
    assert_eq!((got.unwrap().as_slice(), ranges.len()), (&CONTENT[4..], 2));

    let wrong = |seen: &Seen| match seen.header("range") {
        "" => bytes(CONTENT),
        _ => answer(206)
            .header("content-range", "bytes 0-9/10")
            .body(Body::from("x"))
            .unwrap(),
    };
    assert_eq!(
        ranged(4, wrong).await.0.unwrap(),
        CONTENT[4..],
        "another part is not taken"
    );

    let (got, ranges) = ranged(10, |_| empty(500)).await;
    assert_eq!(
        (got.unwrap().len(), ranges.len()),
        (0, 0),
        "nothing is left to ask for"
    );
}

#[tokio::test]
async fn a_blob_of_another_size_is_refused() {
    let (got, _) = ranged(0, |_| bytes(b"012345678")).await;
    assert_eq!(parts(got).0, ErrorKind::InvalidContent);
    let (got, _) = ranged(0, |_| empty(404)).await;
    let (kind, message, _) = parts(got);
    assert_eq!(kind, ErrorKind::NotFound);
    assert_eq!(message, format!("unknown blob {}", layer(CONTENT).digest));
}

#[tokio::test]
async fn a_broken_body_goes_on_where_it_broke() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0u8; 4096];
            let length = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
            let reply = if head.starts_with("get /v2/ ") {
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            } else if head.contains("range: bytes=4-") {
                "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 4-9/10\r\ncontent-length: 6\r\n\r\n456789"
            } else {
                "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123"
            };
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    let name = Reference::parse(&format!("{address}/a/b:t")).unwrap();
    let source = client().source(&name);
    let broken = read(source.blob(&layer(CONTENT), 0).await.unwrap()).await;
    assert_eq!(parts(broken).0, ErrorKind::Unavailable);
    let whole = lapstrake_image::read_blob(
        source.as_ref(),
        &layer(CONTENT),
        1 << 20,
        lapstrake_image::RetryPolicy::immediate(),
        &lapstrake_image::Silent,
    )
    .await
    .unwrap();
    assert_eq!(whole.as_ref(), CONTENT);
}

/// A client whose docker.io is these mirrors and, at its end, a closed port.
fn mirrored(mirrors: &[SocketAddr]) -> (Client, Reference) {
    let mirrors = mirrors
        .iter()
        .map(|mirror| format!("http://{mirror}/"))
        .collect();
    let proxies = super::super::Proxy {
        https: Some("http://127.0.0.1:1".to_owned()),
        ..Default::default()
    };
    let client = Client::new(Options {
        mirrors,
        proxies,
        ..options()
    })
    .unwrap();
    (client, Reference::parse("ubuntu:18.04").unwrap())
}

#[tokio::test]
async fn mirrors_fall_back() {
    let down = closed_port().await;
    let missing = Fake::start(|_| api_error(404, "MANIFEST_UNKNOWN", "manifest unknown")).await;
    let limited = Fake::start(|_| empty(429)).await;
    let failing = Fake::start(|_| empty(502)).await;
    let lying = Fake::start(|seen| match seen.method.as_str() {
        "HEAD" => empty(404),
        _ => answer(200)
            .header(
                "docker-content-digest",
                manifest_desc(b"other").digest.as_str(),
            )
            .body(Body::from(MANIFEST))
            .unwrap(),
    })
    .await;
    let good = Fake::start(|seen| registry(&seen, CONTENT)).await;
    let (client, name) = mirrored(&[
        down,
        missing.address,
        limited.address,
        failing.address,
        lying.address,
        good.address,
    ]);
    let source = client.source(&name);
    let desc = source.resolve(&name).await.unwrap();
    assert_eq!(desc, manifest_desc(MANIFEST));
    assert_eq!(source.manifest(&desc).await.unwrap(), MANIFEST);
    assert_eq!(
        missing.lines()[0],
        "HEAD /v2/library/ubuntu/manifests/18.04"
    );
    assert_eq!(
        failing.lines().len(),
        3,
        "no retries while there are others"
    );
}

#[tokio::test]
async fn mirrors_that_serve_wrong_bytes_are_left() {
    let lying = Fake::start(|seen| registry(&seen, b"0123456780")).await;
    let good = Fake::start(|seen| registry(&seen, CONTENT)).await;
    let (client, name) = mirrored(&[lying.address, good.address]);
    let source = client.source(&name);
    let desc = layer(CONTENT);
    assert_ne!(
        read(source.blob(&desc, 0).await.unwrap()).await.unwrap(),
        CONTENT
    );
    assert!(source.reject_blob(&desc));
    assert_eq!(
        read(source.blob(&desc, 0).await.unwrap()).await.unwrap(),
        CONTENT
    );
    assert!(source.reject_blob(&desc), "the registry itself is left");
    assert!(source.blob(&desc, 0).await.is_err());
    assert!(!source.reject_blob(&desc), "nobody has served since");
}

#[tokio::test]
async fn when_all_mirrors_fail_the_registry_speaks() {
    let missing = Fake::start(|_| api_error(404, "MANIFEST_UNKNOWN", "manifest unknown")).await;
    let (client, name) = mirrored(&[missing.address]);
    let (_, message, hint) = parts(client.source(&name).resolve(&name).await);
    assert_eq!(
        message,
        "Get \"https://registry-1.docker.io/v2/\": proxyconnect tcp: dial tcp 127.0.0.1:1: \
         connect: connection refused"
    );
    assert!(hint.contains(&missing.address.to_string()), "{hint}");
}

#[tokio::test]
async fn tags_come_in_pages() {
    let fake = Fake::start(|seen| match seen.target.as_str() {
        "/v2/" => empty(200),
        "/v2/a/b/tags/list" => answer(200)
            .header("link", "</v2/a/b/tags/list?last=two>; rel=\"next\"")
            .body(Body::from(r#"{"name":"a/b","tags":["one","two"]}"#))
            .unwrap(),
        "/v2/a/b/tags/list?last=two" => json(200, r#"{"tags":["three"]}"#),
        "/v2/empty/tags/list" => json(200, r#"{"tags":null}"#),
        "/v2/loop/tags/list" => answer(200)
            .header("link", "</v2/loop/tags/list>; rel=\"next\"")
            .body(Body::from(r#"{"tags":["same"]}"#))
            .unwrap(),
        _ => api_error(404, "NAME_UNKNOWN", "repository name not known to registry"),
    })
    .await;
    assert_eq!(
        client().tags(&fake.name("a/b")).await.unwrap(),
        ["one", "two", "three"]
    );
    assert!(client().tags(&fake.name("empty")).await.unwrap().is_empty());
    assert_eq!(client().tags(&fake.name("loop")).await.unwrap(), ["same"]);
    assert_eq!(
        parts(client().tags(&fake.name("none")).await).0,
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn referrers_come_in_pages_and_a_lost_page_takes_no_other_with_it() {
    let page = |next: &str, manifest: &[u8]| {
        let desc = manifest_desc(manifest);
        let (media_type, digest) = (desc.media_type, desc.digest);
        let text = format!(
            r#"{{"manifests":[{{"mediaType":"{media_type}","digest":"{digest}","size":1}}]}}"#
        );
        let link = format!("</v2/{next}>; rel=\"next\"");
        let made = answer(200).header("link", link);
        made.body(Body::from(text)).unwrap()
    };
    let digest = Digest::sha256(b"subject");
    let list = format!("/referrers/{digest}");
    let fake = Fake::start(move |seen| match seen.target.strip_suffix(&list) {
        _ if seen.target == "/v2/" => empty(200),
        Some("/v2/a/b") => page("two", b"one"),
        Some("/v2/lost") => page("gone", b"one"),
        _ if seen.target == "/v2/two" => page("gone", b"two"),
        _ => api_error(404, "NOT_FOUND", "not found"),
    })
    .await;
    for (name, pages) in [("a/b", 2), ("lost", 1), ("none", 0)] {
        let found = client().referrers(&fake.name(name), &digest).await;
        assert_eq!(found.unwrap().len(), pages, "{name}");
    }
}

#[tokio::test]
async fn a_foreign_layer_comes_from_its_own_address() {
    let elsewhere = Fake::start(|_| bytes(CONTENT)).await;
    let fake = Fake::start(|_| empty(404)).await;
    let mut desc = layer(CONTENT);
    desc.media_type = MediaType::DOCKER_FOREIGN_LAYER;
    desc.urls = vec![
        "ftp://x/".to_owned(),
        format!("http://{}/layer", elsewhere.address),
    ];
    let name = fake.name("a/b:t");
    let stream = client().source(&name).blob(&desc, 0).await.unwrap();
    assert_eq!(read(stream).await.unwrap(), CONTENT);
    assert_eq!(elsewhere.lines(), ["GET /layer"]);
    assert!(fake.lines().is_empty());
}
