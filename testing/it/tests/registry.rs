//! The registry's client and server against each other, with everything between them that breaks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lapstrake_image::contract::{Endpoint, remote_contract};
use lapstrake_image::memory::Memory;
use lapstrake_image::{ContentSink, ContentSource};
use lapstrake_image::{Copied, CopyOptions, Error, ErrorKind, Silent, copy, validate};
use lapstrake_registry::client::{Client, Options};
use lapstrake_registry::credentials::{Credential, Credentials, CredentialsError};
use lapstrake_registry::server::{Access, Bearer, Login, ServerOptions};
use lapstrake_spec::{Digest, Reference};
use lapstrake_testkit::{Compression, Fault, RandomImage, Shape, TestRegistry, When};

/// A client that does not wait long.
fn options() -> Options {
    Options {
        retry_delay: Duration::from_millis(1),
        upload_retry_delay: Duration::from_millis(50),
        ..Options::default()
    }
}

fn client() -> Client {
    Client::new(options()).unwrap()
}

async fn push(client: &Client, image: &RandomImage, name: &Reference) -> Result<Copied, Error> {
    push_with(client, image, name, BTreeMap::new()).await
}

async fn push_with(
    client: &Client,
    image: &RandomImage,
    name: &Reference,
    mounts: BTreeMap<Digest, Vec<String>>,
) -> Result<Copied, Error> {
    let memory = image.in_memory(name);
    let sink = client.sink(name, mounts);
    let options = CopyOptions {
        tag: Some(name.clone()),
        ..CopyOptions::push()
    };
    copy(&memory, sink.as_ref(), &image.descriptor, &options, &Silent).await
}

async fn pull(client: &Client, name: &Reference) -> Result<Memory, Error> {
    let source = client.source(name);
    let descriptor = source.resolve(name).await?;
    let memory = Memory::new();
    let options = CopyOptions {
        tag: Some(name.clone()),
        ..CopyOptions::pull()
    };
    copy(source.as_ref(), &memory, &descriptor, &options, &Silent).await?;
    Ok(memory)
}

/// Pulls and checks that what came is what the image is.
async fn pull_whole(client: &Client, name: &Reference, image: &RandomImage) {
    let memory = pull(client, name).await.unwrap();
    let found = validate(&memory, &image.descriptor).await.unwrap();
    assert_eq!(found.blobs, 1 + image.layers.len());
}

/// One large layer, so that streams can break in its middle.
fn large(seed: u64) -> RandomImage {
    let compressions = vec![Compression::Plain];
    RandomImage::with(
        seed,
        &Shape {
            layers: 1,
            changes: 30,
            file_bytes: 400_000,
            compressions,
            ..Shape::default()
        },
    )
}

#[tokio::test]
async fn the_registry_keeps_the_contract_of_endpoints() {
    let registry = TestRegistry::start();
    let number = AtomicU32::new(0);
    let make = || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let name = registry.reference(&format!("contract/rule{number}:t"));
        let client = client();
        let source: Arc<dyn ContentSource> = client.source(&name);
        let sink: Arc<dyn ContentSink> = client.sink(&name, BTreeMap::new());
        Endpoint { source, sink, name }
    };
    remote_contract(make).await.unwrap();
}

#[tokio::test]
async fn random_images_come_back_as_they_went() {
    let registry = TestRegistry::start();
    let client = client();
    for seed in 0..8 {
        let shape = Shape {
            docker: seed % 2 == 1,
            ..Shape::default()
        };
        let image = RandomImage::with(seed, &shape);
        let name = registry.reference(&format!("random/s{seed}:t"));
        push(&client, &image, &name).await.unwrap();
        pull_whole(&client, &name, &image).await;
        let by_digest = name
            .without_tag()
            .with_digest(image.descriptor.digest.clone());
        pull_whole(&client, &by_digest, &image).await;
    }
}

#[tokio::test]
async fn what_is_there_is_not_sent() {
    let registry = TestRegistry::start();
    let image = RandomImage::new(21);
    let (first, other) = (registry.reference("a:1"), registry.reference("b:1"));
    push(&client(), &image, &first).await.unwrap();
    registry.faults().reset_counts();
    push(&client(), &image, &first).await.unwrap();
    assert_eq!(registry.faults().bytes_received(), image.raw.len() as u64);
    registry.faults().reset_counts();
    let mounts = image
        .blobs()
        .map(|(descriptor, _)| (descriptor.digest.clone(), vec!["a".to_owned()]))
        .collect();
    push_with(&client(), &image, &other, mounts).await.unwrap();
    let received = registry.faults().bytes_received();
    let most = (image.raw.len() + image.config_raw.len()) as u64;
    assert!(received <= most, "{received} bytes for a mount");
    pull_whole(&client(), &other, &image).await;
}

#[tokio::test]
async fn a_broken_download_goes_on() {
    let registry = TestRegistry::start();
    let image = large(5);
    let name = registry.put("r:t", &image);
    let layer = &image.layers[0].descriptor;
    registry.faults().add(
        When::path(layer.digest.hex()),
        Fault::CutAnswer(layer.size / 2),
        1,
    );
    registry
        .faults()
        .add(When::path(layer.digest.hex()), Fault::Disconnect, 1);
    pull_whole(&client(), &name, &image).await;
    // What waited in the sockets when the connection broke is lost with it.
    let sent = registry.faults().bytes_sent();
    let most = image.size() + image.size() / 4;
    assert!(sent <= most, "{sent} bytes sent of {most}");
    let resumed = registry.faults().seen().iter().any(|seen| {
        let range = seen.range.as_deref().unwrap_or_default();
        let start = range
            .strip_prefix("bytes=")
            .and_then(|rest| rest.strip_suffix('-'));
        let start = start.and_then(|start| start.parse::<u64>().ok());
        seen.status == 206 && start.is_some_and(|start| start > 0 && start <= layer.size / 2)
    });
    assert!(resumed, "{:#?}", registry.faults().seen());
}

#[tokio::test]
async fn a_broken_upload_goes_on() {
    let registry = TestRegistry::start();
    let image = large(6);
    let name = registry.reference("r:t");
    let layer = &image.layers[0].descriptor;
    assert!(
        layer.size > 1_000_000,
        "the layer has only {} bytes",
        layer.size
    );
    registry.faults().add(
        When::any().method("PATCH"),
        Fault::CutRequest(layer.size / 2),
        1,
    );
    push(&client(), &image, &name).await.unwrap();
    pull_whole(&client(), &name, &image).await;
    let received = registry.faults().bytes_received();
    let most = image.size() + image.raw.len() as u64 + layer.size / 10;
    assert!(received <= most, "{received} bytes received of {most}");
}

#[tokio::test]
async fn chunked_uploads() {
    let registry = TestRegistry::start();
    let image = large(7);
    let name = registry.reference("r:t");
    let chunked = Options {
        upload_chunk: Some(300_000),
        ..options()
    };
    push(&Client::new(chunked).unwrap(), &image, &name)
        .await
        .unwrap();
    assert!(registry.faults().count("PATCH", "/blobs/uploads/") > 2);
    pull_whole(&client(), &name, &image).await;
}

#[tokio::test]
async fn wrong_bytes_are_refused() {
    let registry = TestRegistry::start();
    let image = RandomImage::with(8, &Shape::small());
    let name = registry.put("r:t", &image);
    let layer = image.layers[0].descriptor.digest.hex();
    registry
        .faults()
        .add(When::path(layer), Fault::WrongBytes, 100);
    let error = pull(&client(), &name).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch, "{error}");
    registry.faults().clear();
    registry
        .faults()
        .add(When::path("/manifests/"), Fault::WrongBytes, 100);
    let error = pull(&client(), &name).await.err().unwrap();
    let kinds = [ErrorKind::DigestMismatch, ErrorKind::InvalidContent];
    assert!(kinds.contains(&error.kind()), "{error}");
}

#[tokio::test]
async fn busy_registries_are_asked_again() {
    let registry = TestRegistry::start();
    let image = RandomImage::with(9, &Shape::small());
    let name = registry.put("r:t", &image);
    registry
        .faults()
        .add(When::path("/manifests/"), Fault::Status(503, None), 1);
    registry
        .faults()
        .add(When::path("/blobs/"), Fault::Status(429, Some("0")), 1);
    registry.faults().add(
        When::path("/blobs/"),
        Fault::Delay(Duration::from_millis(20)),
        1,
    );
    pull_whole(&client(), &name, &image).await;
    registry
        .faults()
        .add(When::path("/manifests/"), Fault::Status(429, None), 100);
    let error = pull(&client(), &name).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
}

#[derive(Debug)]
struct User(&'static str);

impl Credentials for User {
    fn get(&self, _server: &str) -> Result<Option<Credential>, CredentialsError> {
        Ok(Some(Credential::password("user", self.0)))
    }
}

fn known(password: &'static str) -> Client {
    Client::new(Options {
        credentials: Arc::new(User(password)),
        ..options()
    })
    .unwrap()
}

fn login() -> Login {
    Login {
        user: "user".to_owned(),
        password: "secret".to_owned(),
    }
}

#[tokio::test]
async fn passwords() {
    let access = Access::Basic(login());
    let registry = TestRegistry::start_with(ServerOptions {
        access,
        ..ServerOptions::default()
    });
    let image = RandomImage::with(10, &Shape::small());
    let name = registry.reference("r:t");
    for stranger in [client(), known("wrong")] {
        let error = push(&stranger, &image, &name).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    }
    push(&known("secret"), &image, &name).await.unwrap();
    pull_whole(&known("secret"), &name, &image).await;
    let address = registry.address();
    known("secret")
        .login(&address, "user", "secret")
        .await
        .unwrap();
    let error = client()
        .login(&address, "user", "wrong")
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
}

#[tokio::test]
async fn tokens() {
    let lifetime = Duration::from_secs(60);
    let access = Access::Bearer(Bearer {
        login: login(),
        anonymous_pull: true,
        lifetime,
        external_url: None,
    });
    let registry = TestRegistry::start_with(ServerOptions {
        access,
        ..ServerOptions::default()
    });
    let image = RandomImage::with(12, &Shape::small());
    let name = registry.reference("r:t");
    let error = push(&client(), &image, &name).await.err().unwrap();
    assert!(
        matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Denied),
        "{error}"
    );
    push(&known("secret"), &image, &name).await.unwrap();
    pull_whole(&client(), &name, &image).await;
    let outcome = client()
        .login(&registry.address(), "user", "secret")
        .await
        .unwrap();
    let token = outcome
        .identity_token
        .expect("the registry gives refresh tokens");
    let credential = Credential::identity_token("user", &token);
    client()
        .login_with(&registry.address(), &credential)
        .await
        .unwrap();
}

#[tokio::test]
async fn tags_in_pages_and_restarts() {
    let registry = TestRegistry::start();
    let image = RandomImage::with(13, &Shape::small());
    for number in 0..30 {
        registry.put(&format!("r:t{number:02}"), &image);
    }
    let name = registry.reference("r");
    let tags = client().tags(&name).await.unwrap();
    assert_eq!(
        (tags.len(), tags[0].as_str(), tags[29].as_str()),
        (30, "t00", "t29")
    );
    let directory = registry.stop();
    let error = pull(&client(), &name.or_latest()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let registry = TestRegistry::start_at("127.0.0.1:0", directory, ServerOptions::default());
    pull_whole(&client(), &registry.reference("r:t07"), &image).await;
}
