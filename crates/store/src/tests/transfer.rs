//! Pull and push: resumption, refusal, progress.

use super::fixture::{Folder, Log, endpoint, image, layer, name, noise, pull, two_layers, until};
use crate::{Store, Unpack};
use lapstrake_image::contract::{Endpoint, source_sink_contract};
use lapstrake_image::memory::{Fault, Memory, MemoryLayer, tiny_tar};
use lapstrake_image::{
    ContentSink, ContentSource, CopyOptions, Direction, ErrorKind, LayerState, RetryPolicy, copy,
    validate,
};
use lapstrake_spec::{Descriptor, Digest, Manifest, MediaType};
use std::sync::Arc;

async fn contract(unpack: Unpack) {
    let folder = Folder::new();
    let count = std::cell::Cell::new(0);
    source_sink_contract(|| {
        count.set(count.get() + 1);
        let store = Store::open(
            &folder.path().join(count.get().to_string()),
            &crate::OpenOptions::default(),
        );
        let end = Arc::new(
            store
                .unwrap()
                .endpoint(unpack)
                .with_retry(RetryPolicy::immediate()),
        );
        Endpoint {
            source: Arc::clone(&end) as Arc<dyn ContentSource>,
            sink: end,
            name: name("localhost:5000/some/image:1"),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn keeps_the_contract_of_endpoints() {
    contract(Unpack::Now).await;
}

#[tokio::test]
async fn keeps_the_contract_without_unpacking() {
    contract(Unpack::Later).await;
}

#[tokio::test]
async fn a_pull_unpacks_and_tells() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("ubuntu:18.04");
    let layers = two_layers(1);
    let (memory, desc) = image(&wanted, &layers);
    let log = Log::default();
    let options = CopyOptions {
        tag: Some(wanted.clone()),
        ..CopyOptions::pull()
    };
    let copied = copy(&memory, &endpoint(&store), &desc, &options, &log)
        .await
        .unwrap();
    assert_eq!(copied.stored, 2);
    let images = store.images().unwrap();
    let entry = images.by_name(&wanted).unwrap();
    assert_eq!(entry.id, copied.config);
    assert_eq!(entry.size, 390_000);
    for (file, layer) in ["a", "b"].iter().zip(&layers) {
        let crate::LayerMount::Tree(tree) = store
            .lowers(std::slice::from_ref(&layer.diff_id))
            .unwrap()
            .remove(0);
        assert!(tree.join(file).exists());
        let states = log.states(&Digest::sha256(&layer.bytes));
        assert_eq!(states.first(), Some(&LayerState::Queued));
        assert_eq!(states.last(), Some(&LayerState::PullComplete));
        let at = |wanted: &LayerState| states.iter().position(|state| state == wanted).unwrap();
        assert!(at(&LayerState::Verifying) < at(&LayerState::Downloaded));
        let total = layer.bytes.len() as u64;
        let extracted = LayerState::Extracting { done: total, total };
        assert!(at(&LayerState::Downloaded) < at(&extracted));
    }
    let log = Log::default();
    let copied = copy(&memory, &endpoint(&store), &desc, &options, &log)
        .await
        .unwrap();
    assert_eq!(copied.stored, 0);
    for layer in &layers {
        let states = log.states(&Digest::sha256(&layer.bytes));
        assert_eq!(states, [LayerState::AlreadyExists]);
    }
}

#[tokio::test]
async fn a_push_names_layers_by_diff_id_from_the_top() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let layers = two_layers(2);
    let (memory, desc) = image(&wanted, &layers);
    pull(&store, &memory, &wanted).await.unwrap();
    let (target, log) = (Memory::new(), Log::default());
    let options = CopyOptions {
        tag: Some(wanted.clone()),
        ..CopyOptions::push()
    };
    assert_eq!(options.direction, Direction::Push);
    copy(&endpoint(&store), &target, &desc, &options, &log)
        .await
        .unwrap();
    validate(&target, &desc).await.unwrap();
    let events = log.0.lock().unwrap();
    let queued: Vec<_> = events
        .iter()
        .filter(|e| e.state == LayerState::Queued)
        .map(|e| &e.digest)
        .collect();
    assert_eq!(queued, [&layers[1].diff_id, &layers[0].diff_id]);
    assert_eq!(
        events
            .iter()
            .filter(|e| e.state == LayerState::Pushed)
            .count(),
        2
    );
}

#[tokio::test]
async fn a_later_process_resumes_a_download() {
    let folder = Folder::new();
    let wanted = name("a:1");
    let layers = [layer("a", &noise(3, 3_000_000))];
    let (memory, _) = image(&wanted, &layers);
    let blob = Digest::sha256(&layers[0].bytes);
    memory.fault(&blob, [Fault::StallAfter(2_000_000)]);
    let partial = folder
        .path()
        .join(format!("store/ingest/sha256-{}.partial", blob.hex()));
    let store = folder.store();
    tokio::select! {
        ended = pull(&store, &memory, &wanted) => panic!("{ended:?}"),
        () = until(|| std::fs::metadata(&partial).is_ok_and(|found| found.len() >= 1_900_000)) => {}
    }
    let store = folder.store();
    store.reap_trash().unwrap();
    assert_eq!(store.check(false).unwrap().partials, 1);
    pull(&store, &memory, &wanted).await.unwrap();
    let size = layers[0].bytes.len() as u64;
    assert!(
        memory.served_of(&blob) <= size + 150_000,
        "{}",
        memory.served_of(&blob)
    );
    assert!(store.check(false).unwrap().is_whole());
    assert!(store.has_layer(&layers[0].diff_id).unwrap());
}

#[tokio::test]
async fn a_wrong_beginning_on_disk_is_fetched_again() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let layers = two_layers(4);
    let (memory, _) = image(&wanted, &layers);
    let blob = Digest::sha256(&layers[0].bytes);
    let partial = store
        .root()
        .join(format!("ingest/sha256-{}.partial", blob.hex()));
    std::fs::write(partial, vec![0; 100_000]).unwrap();
    pull(&store, &memory, &wanted).await.unwrap();
    assert!(store.check(false).unwrap().is_whole());
}

#[tokio::test]
async fn wrong_bytes_are_refused_in_dockers_words() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let layers = two_layers(5);
    let (memory, _) = image(&wanted, &layers);
    let blob = Digest::sha256(&layers[0].bytes);
    memory.fault(&blob, [Fault::Corrupt; 9]);
    let error = pull(&store, &memory, &wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
    assert_eq!(
        error.message(),
        format!("filesystem layer verification failed for digest {blob}")
    );
    assert!(store.images().unwrap().entries().is_empty());
    assert!(!store.has_blob(&blob).unwrap());
}

#[tokio::test]
async fn a_layer_that_is_not_the_configurations_is_refused() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let mut layers = two_layers(6);
    layers[1].diff_id = Digest::sha256(b"another");
    let (memory, _) = image(&wanted, &layers);
    let error = pull(&store, &memory, &wanted).await.unwrap_err();
    assert_eq!(
        error.message(),
        "layers from manifest don't match image configuration"
    );
    assert!(store.images().unwrap().entries().is_empty());
    assert!(!store.has_layer(&layers[1].diff_id).unwrap());
    assert!(store.check(false).unwrap().is_whole());
}

#[tokio::test]
async fn a_layer_that_is_no_archive_is_refused() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    for bytes in [gzip_of_nonsense(), truncated_gzip()] {
        let layer = MemoryLayer {
            media_type: MediaType::OCI_LAYER_GZIP,
            bytes: bytes.into(),
            diff_id: Digest::sha256(b"whatever"),
        };
        let (memory, _) = image(&wanted, &[layer]);
        let error = pull(&store, &memory, &wanted).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidContent, "{error}");
        assert!(
            error.message().starts_with("failed to register layer: "),
            "{error}"
        );
        assert!(store.images().unwrap().entries().is_empty());
    }
    store.collect(&[]).unwrap();
    store.reap_trash().unwrap();
    let report = store.check(false).unwrap();
    assert_eq!(report.garbage, Vec::<String>::new());
}

fn gzip_of_nonsense() -> Vec<u8> {
    super::fixture::gzip(&noise(7, 50_000))
}

fn truncated_gzip() -> Vec<u8> {
    let mut bytes = super::fixture::gzip(&tiny_tar("a", &noise(8, 50_000)));
    bytes.truncate(20_000);
    bytes
}

#[tokio::test]
async fn an_artifact_is_refused() {
    let folder = Folder::new();
    let store = folder.store();
    let memory = Memory::new();
    let config = memory.add_blob(MediaType::new("application/vnd.example.thing+json"), "{}");
    let manifest = Manifest::new(MediaType::OCI_MANIFEST, config, Vec::new());
    let desc = memory.add_manifest(MediaType::OCI_MANIFEST, manifest.to_bytes());
    let sink = endpoint(&store);
    let error = copy(&memory, &sink, &desc, &CopyOptions::pull(), &Log::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.message(),
        "unsupported media type application/vnd.example.thing+json"
    );
    // From one registry to another it may go.
    let other = Memory::new();
    copy(
        &memory,
        &other,
        &desc,
        &CopyOptions::push(),
        &Log::default(),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_blob_without_its_tree_is_unpacked_and_a_tree_without_its_blob_is_kept() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let layers = two_layers(9);
    let (memory, desc) = image(&wanted, &layers);
    let later = store.endpoint(Unpack::Later);
    let options = CopyOptions {
        tag: Some(wanted.clone()),
        ..CopyOptions::pull()
    };
    copy(&memory, &later, &desc, &options, &Log::default())
        .await
        .unwrap();
    assert!(!store.has_layer(&layers[0].diff_id).unwrap());
    let served = memory.served();
    pull(&store, &memory, &wanted).await.unwrap();
    assert!(store.has_layer(&layers[0].diff_id).unwrap());
    let blob = Descriptor::of(MediaType::OCI_LAYER_GZIP, &layers[0].bytes);
    let config = memory.served() - served;
    assert!(config < blob.size, "layers were fetched again");
    std::fs::remove_file(
        store
            .root()
            .join(format!("image/blobs/sha256/{}", blob.digest.hex())),
    )
    .unwrap();
    assert!(
        !store
            .endpoint(Unpack::Now)
            .has(&blob, Some(&layers[0].diff_id))
            .await
            .unwrap()
    );
    pull(&store, &memory, &wanted).await.unwrap();
    assert!(store.check(false).unwrap().is_whole());
}

#[tokio::test]
async fn an_image_of_an_index_keeps_the_index() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let (memory, mut desc) = image(&wanted, &two_layers(10));
    desc.platform = Some(lapstrake_spec::Platform::host());
    let mut other = Descriptor::of(MediaType::OCI_MANIFEST, b"elsewhere");
    other.platform = Some(lapstrake_spec::Platform::linux("s390x"));
    let index = memory.add_index(&wanted, vec![other, desc.clone()]);
    pull(&store, &memory, &wanted).await.unwrap();
    store.collect(&[]).unwrap();
    assert!(store.has_blob(&index.digest).unwrap());
    let digest = wanted.without_tag().with_digest(index.digest.clone());
    let images = store.images().unwrap();
    assert_eq!(
        images.entries()[0].repo_digests,
        std::slice::from_ref(&digest)
    );
    assert_eq!(images.entries()[0].manifest.digest, desc.digest);
    assert_eq!(
        endpoint(&store).resolve(&digest).await.unwrap().digest,
        index.digest
    );
}
