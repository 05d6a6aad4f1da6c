//! Uploads: whole, in chunks, resumed, mounted, refused.

use super::*;
use async_trait::async_trait;
use futures_util::stream;
use lapstrake_image::{
    BlobStream, ContentSink, ContentSource, LayerEvent, LayerState, Observer, Put, Silent,
};
use lapstrake_spec::Digest;
use std::collections::BTreeMap;

/// A source of one blob.
struct Blob(Vec<u8>);

#[async_trait]
impl ContentSource for Blob {
    async fn resolve(&self, _name: &Reference) -> Result<Descriptor, Error> {
        Err(Error::new(ErrorKind::NotFound, "no names here"))
    }

    async fn manifest(&self, desc: &Descriptor) -> Result<Bytes, Error> {
        Err(Error::blob_not_found(&desc.digest))
    }

    async fn blob(&self, _desc: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        let rest = self.0[usize::try_from(offset).unwrap()..].to_vec();
        let chunks: Vec<_> = rest
            .chunks(100_000)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        Ok(Box::pin(stream::iter(chunks)))
    }
}

/// Collects what is told.
#[derive(Default)]
struct Told(Mutex<Vec<LayerState>>);

impl Observer for Told {
    fn layer(&self, event: LayerEvent) {
        self.0.lock().unwrap().push(event.state);
    }
}

/// What a fake registry holds of one upload.
#[derive(Default)]
struct Upload {
    bytes: Vec<u8>,
    is_done: bool,
    faults: u32,
}

fn location(id: u32) -> axum::http::response::Builder {
    answer(202).header("location", format!("/v2/a/b/blobs/uploads/{id}?state=x"))
}

/// A registry with one upload at a time; `fault` may answer a request in its place.
async fn registry(
    fault: impl Fn(&Seen, &mut Upload) -> Option<Response<Body>> + Send + Sync + 'static,
) -> (Fake, Arc<Mutex<Upload>>) {
    let state: Arc<Mutex<Upload>> = Arc::default();
    let shared = Arc::clone(&state);
    let fake = Fake::start(move |seen| {
        let mut upload = shared.lock().unwrap();
        if seen.target == "/v2/" {
            return empty(200);
        }
        if let Some(reply) = fault(&seen, &mut upload) {
            return reply;
        }
        let range = format!("0-{}", upload.bytes.len().saturating_sub(1));
        match seen.method.as_str() {
            "HEAD" if upload.is_done => empty(200),
            "HEAD" => empty(404),
            "POST" => {
                upload.bytes.clear();
                location(1).body(Body::empty()).unwrap()
            }
            "PATCH" => {
                upload.bytes.extend_from_slice(&seen.body);
                let range = format!("0-{}", upload.bytes.len() - 1);
                location(2)
                    .header("range", range)
                    .body(Body::empty())
                    .unwrap()
            }
            "GET" => answer(204)
                .header("location", "/v2/a/b/blobs/uploads/3?state=y")
                .header("range", range)
                .body(Body::empty())
                .unwrap(),
            "PUT" => {
                upload.bytes.extend_from_slice(&seen.body);
                let digest = Digest::sha256(&upload.bytes);
                upload.is_done = true;
                answer(201)
                    .header("docker-content-digest", digest.as_str())
                    .body(Body::empty())
                    .unwrap()
            }
            _ => empty(204),
        }
    })
    .await;
    (fake, state)
}

fn content(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| u8::try_from(index % 251).unwrap())
        .collect()
}

async fn put(fake: &Fake, client: &Client, content: &[u8]) -> Result<Put, Error> {
    let sink = client.sink(&fake.name("a/b:t"), BTreeMap::new());
    sink.put_blob(&layer(content), None, &Blob(content.to_vec()), &Silent)
        .await
}

fn methods(fake: &Fake) -> Vec<String> {
    fake.seen()
        .iter()
        .map(|seen| seen.method.to_string())
        .collect()
}

#[tokio::test]
async fn a_small_blob_is_one_put() {
    let (fake, state) = registry(|_, _| None).await;
    let content = content(1000);
    assert_eq!(put(&fake, &client(), &content).await.unwrap(), Put::Stored);
    assert_eq!(methods(&fake), ["HEAD", "POST", "PUT"]);
    let digest = layer(&content).digest.to_string().replace(':', "%3A");
    assert_eq!(
        fake.lines()[2],
        format!("PUT /v2/a/b/blobs/uploads/1?state=x&digest={digest}")
    );
    assert_eq!(fake.seen()[2].header("content-length"), "1000");
    assert_eq!(state.lock().unwrap().bytes, content);
    assert_eq!(
        put(&fake, &client(), &content).await.unwrap(),
        Put::AlreadyExists
    );
}

#[tokio::test]
async fn a_large_blob_is_one_patch() {
    let (fake, state) = registry(|_, _| None).await;
    let content = content(1_000_000);
    let told = Told::default();
    let sink = client().sink(&fake.name("a/b:t"), BTreeMap::new());
    let put = sink
        .put_blob(&layer(&content), None, &Blob(content.clone()), &told)
        .await
        .unwrap();
    assert_eq!(put, Put::Stored);
    assert_eq!(methods(&fake), ["HEAD", "POST", "PATCH", "PUT"]);
    assert_eq!(fake.seen()[2].header("content-length"), "1000000");
    assert_eq!(fake.seen()[2].header("content-range"), "");
    assert_eq!(state.lock().unwrap().bytes, content);
    let last = told.0.lock().unwrap().last().cloned();
    assert_eq!(
        last,
        Some(LayerState::Pushing {
            done: 1_000_000,
            total: 1_000_000
        })
    );
}

#[tokio::test]
async fn chunks_when_asked_for_and_when_needed() {
    let (fake, state) = registry(|_, _| None).await;
    let content = content(1_000_000);
    let client = Client::new(Options {
        upload_chunk: Some(400_000),
        ..options()
    })
    .unwrap();
    put(&fake, &client, &content).await.unwrap();
    let ranges: Vec<String> = fake
        .seen()
        .iter()
        .map(|seen| seen.header("content-range").to_owned())
        .collect();
    assert_eq!(
        ranges,
        ["", "", "0-399999", "400000-799999", "800000-999999", ""]
    );
    assert_eq!(state.lock().unwrap().bytes, content);

    let too_much = |seen: &Seen, _: &mut Upload| (seen.body.len() > 9_000_000).then(|| empty(413));
    let (fake, state) = registry(too_much).await;
    let content = self::content(20_000_000);
    put(&fake, &super::client(), &content).await.unwrap();
    assert_eq!(state.lock().unwrap().bytes, content);
    let wanted = [
        "HEAD", "POST", "PATCH", "DELETE", "POST", "PATCH", "PATCH", "PATCH", "PUT",
    ];
    assert_eq!(methods(&fake), wanted);
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke() {
    let breaks = |seen: &Seen, upload: &mut Upload| {
        if seen.method != Method::PATCH || upload.faults > 0 {
            return None;
        }
        upload.faults += 1;
        upload.bytes.extend_from_slice(&seen.body[..600_000]);
        Some(empty(502))
    };
    let (fake, state) = registry(breaks).await;
    let content = content(1_000_000);
    let told = Told::default();
    let sink = client().sink(&fake.name("a/b:t"), BTreeMap::new());
    sink.put_blob(&layer(&content), None, &Blob(content.clone()), &told)
        .await
        .unwrap();
    assert_eq!(state.lock().unwrap().bytes, content);
    assert_eq!(
        methods(&fake),
        ["HEAD", "POST", "PATCH", "HEAD", "GET", "PATCH", "PUT"]
    );
    let rest = &fake.seen()[5];
    assert_eq!(rest.header("content-range"), "600000-999999");
    assert_eq!(rest.body.len(), 400_000);
    assert_eq!(rest.target, "/v2/a/b/blobs/uploads/3?state=y");
    let retrying = told
        .0
        .lock()
        .unwrap()
        .contains(&LayerState::Retrying { after_s: 1 });
    assert!(retrying);
}

#[tokio::test]
async fn a_forgotten_upload_begins_anew() {
    let forgets = |seen: &Seen, upload: &mut Upload| {
        let is_first = upload.faults == 0;
        match seen.method.as_str() {
            "PATCH" if is_first => {
                upload.faults += 1;
                Some(empty(500))
            }
            "GET" => Some(api_error(
                404,
                "BLOB_UPLOAD_UNKNOWN",
                "blob upload unknown to registry",
            )),
            _ => None,
        }
    };
    let (fake, state) = registry(forgets).await;
    let content = content(1_000_000);
    put(&fake, &client(), &content).await.unwrap();
    assert_eq!(state.lock().unwrap().bytes, content);
    assert_eq!(
        methods(&fake),
        [
            "HEAD", "POST", "PATCH", "HEAD", "GET", "POST", "PATCH", "PUT"
        ]
    );
}

#[tokio::test]
async fn refusals_of_uploads() {
    let bare =
        r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let (fake, _) =
        registry(move |seen, _| (seen.method == Method::POST).then(|| json(403, bare))).await;
    let (kind, message, hint) = parts(put(&fake, &client(), b"x").await);
    assert_eq!((kind, message.as_str()), (ErrorKind::Denied, "denied"));
    let wanted = format!(
        "check the name, or log in with `lap login {}`",
        fake.address
    );
    assert_eq!(hint, wanted);
    let posts = methods(&fake)
        .iter()
        .filter(|method| *method == "POST")
        .count();
    assert_eq!(posts, 5, "a bare 403 is tried again");

    let denied = |seen: &Seen, _: &mut Upload| {
        (seen.method == Method::POST)
            .then(|| api_error(403, "DENIED", "requested access to the resource is denied"))
    };
    let (fake, _) = registry(denied).await;
    let (_, message, hint) = parts(put(&fake, &client(), b"x").await);
    assert_eq!(
        message,
        "denied: requested access to the resource is denied"
    );
    assert!(hint.contains("lap login"), "{hint}");
    assert_eq!(methods(&fake), ["HEAD", "POST"]);

    let digest = |seen: &Seen, _: &mut Upload| {
        (seen.method == Method::PUT).then(|| {
            api_error(
                400,
                "DIGEST_INVALID",
                "provided digest did not match uploaded content",
            )
        })
    };
    let (fake, _) = registry(digest).await;
    assert_eq!(
        parts(put(&fake, &client(), b"x").await).0,
        ErrorKind::DigestMismatch
    );
}

#[tokio::test]
async fn no_login_no_push() {
    let fake = Fake::start(|_| {
        answer(401)
            .header("www-authenticate", "Basic realm=\"x\"")
            .body(Body::empty())
            .unwrap()
    })
    .await;
    let (kind, message, _) = parts(put(&fake, &client(), b"x").await);
    assert_eq!(
        (kind, message.as_str()),
        (ErrorKind::Unauthorized, "no basic auth credentials")
    );
    let closed = closed_port().await;
    let name = Reference::parse(&format!("{closed}/a/b:t")).unwrap();
    let sink = client().sink(&name, BTreeMap::new());
    let put = sink
        .put_blob(&layer(b"x"), None, &Blob(b"x".to_vec()), &Silent)
        .await;
    let wanted =
        format!("Get \"http://{closed}/v2/\": dial tcp {closed}: connect: connection refused");
    assert_eq!(parts(put).1, wanted);
}

#[tokio::test]
async fn mounts() {
    let content = content(1000);
    let digest = layer(&content).digest;
    let mounts = |repositories: &[&str]| {
        let names = repositories.iter().map(|name| (*name).to_owned()).collect();
        BTreeMap::from([(digest.clone(), names)])
    };
    let mountable = |seen: &Seen, _: &mut Upload| {
        seen.target
            .contains("from=public/ubuntu")
            .then(|| empty(201))
    };
    let (fake, _) = registry(mountable).await;
    let sink = client().sink(
        &fake.name("a/b:t"),
        mounts(&["a/b", "other/x", "public/ubuntu"]),
    );
    let put = sink
        .put_blob(&layer(&content), None, &Blob(content.clone()), &Silent)
        .await
        .unwrap();
    assert_eq!(
        put,
        Put::Mounted {
            from: "public/ubuntu".to_owned()
        }
    );
    let escaped = digest.to_string().replace(':', "%3A");
    let wanted = [
        format!("HEAD /v2/a/b/blobs/{digest}"),
        format!("POST /v2/a/b/blobs/uploads/?mount={escaped}&from=other/x"),
        "DELETE /v2/a/b/blobs/uploads/1?state=x".to_owned(),
        format!("POST /v2/a/b/blobs/uploads/?mount={escaped}&from=public/ubuntu"),
    ];
    assert_eq!(fake.lines(), wanted);

    let (fake, _) = registry(|_, _| None).await;
    let sink = client().sink(&fake.name("a/b:t"), mounts(&["other/x"]));
    let put = sink
        .put_blob(&layer(&content), None, &Blob(content.clone()), &Silent)
        .await
        .unwrap();
    assert_eq!(put, Put::Stored);
    assert_eq!(
        methods(&fake),
        ["HEAD", "POST", "PUT"],
        "the upload begun instead is used"
    );
}

#[tokio::test]
async fn manifests_are_put_and_checked() {
    let fake = Fake::start(|seen| match seen.method.as_str() {
        "PUT" if seen.target.ends_with("/t") => answer(201)
            .header("docker-content-digest", Digest::sha256(b"other").as_str())
            .body(Body::empty())
            .unwrap(),
        _ => empty(201),
    })
    .await;
    let name = fake.name("a/b:t");
    let sink = client().sink(&name, BTreeMap::new());
    let desc = manifest_desc(MANIFEST);
    sink.put_manifest(&desc, Bytes::from_static(MANIFEST))
        .await
        .unwrap();
    let put = fake.seen().remove(0);
    assert_eq!(put.target, format!("/v2/a/b/manifests/{}", desc.digest));
    assert_eq!(put.header("content-type"), MediaType::OCI_MANIFEST.as_str());
    assert_eq!(put.body, MANIFEST);
    assert_eq!(
        parts(sink.tag(&name, &desc).await).0,
        ErrorKind::DigestMismatch
    );
    let other = manifest_desc(b"never put");
    assert_eq!(parts(sink.tag(&name, &other).await).0, ErrorKind::NotFound);
}
