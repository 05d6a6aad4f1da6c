//! Tests of the copy, between endpoints in memory.

use crate::contract::{Endpoint, source_sink_contract};
use crate::memory::{Fault, Memory, MemoryLayer, tiny_tar};
use crate::{
    BlobReader, ContentSource, CopyOptions, ErrorKind, LayerEvent, LayerState, Observer,
    RetryPolicy, Silent, choose, copy, validate,
};
use bytes::Bytes;
use lapstrake_spec::{Descriptor, Digest, ImageConfig, Manifest, MediaType, Platform, Reference};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn name() -> Reference {
    Reference::parse("example.com/a/b:1").unwrap()
}

fn layers(sizes: &[usize]) -> Vec<MemoryLayer> {
    sizes
        .iter()
        .enumerate()
        .map(|(i, size)| MemoryLayer::plain(tiny_tar(&i.to_string(), &vec![b'x'; *size])))
        .collect()
}

#[derive(Default)]
struct Log(Mutex<Vec<LayerEvent>>);

impl Observer for Log {
    fn layer(&self, event: LayerEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Log {
    /// The events that `copy` itself emits, layers by their place.
    fn told(&self, layers: &[MemoryLayer]) -> Vec<(usize, LayerState)> {
        let place = |digest: &Digest| layers.iter().position(|l| l.diff_id == *digest).unwrap();
        let events = self.0.lock().unwrap();
        events
            .iter()
            .map(|e| (place(&e.digest), e.state.clone()))
            .collect()
    }
}

#[tokio::test]
async fn memory_keeps_the_contract_of_endpoints() {
    source_sink_contract(|| {
        let end = Arc::new(Memory::new());
        let source = Arc::clone(&end) as Arc<dyn ContentSource>;
        Endpoint {
            source,
            sink: end,
            name: name(),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_pull_announces_in_order_and_starts_with_the_largest() {
    let source = Memory::new();
    let layers = layers(&[10, 9000, 2000, 5000]);
    let desc = source.add_image(&name(), &layers);
    let sink = Memory::new();
    sink.add_blob(MediaType::OCI_LAYER_TAR, layers[2].bytes.clone());
    let log = Log::default();
    let options = CopyOptions {
        concurrency: 1,
        ..CopyOptions::pull()
    };
    let copied = copy(&source, &sink, &desc, &options, &log).await.unwrap();
    assert_eq!(copied.stored, 3);
    use LayerState::{AlreadyExists, PullComplete, Queued, Waiting};
    assert_eq!(
        log.told(&layers),
        [
            (0, Queued),
            (1, Queued),
            (2, AlreadyExists),
            (3, Queued),
            (0, Waiting),
            (3, Waiting),
            (1, PullComplete),
            (3, PullComplete),
            (0, PullComplete),
        ]
    );
}

#[tokio::test]
async fn a_push_announces_from_the_top() {
    let source = Memory::new();
    let layers = layers(&[10, 9000]);
    let desc = source.add_image(&name(), &layers);
    let sink = Memory::new();
    sink.add_blob(MediaType::OCI_LAYER_TAR, layers[0].bytes.clone());
    let log = Log::default();
    let options = CopyOptions {
        concurrency: 1,
        ..CopyOptions::push()
    };
    copy(&source, &sink, &desc, &options, &log).await.unwrap();
    use LayerState::{AlreadyExists, Pushed, Queued, Waiting};
    assert_eq!(
        log.told(&layers),
        [
            (1, Queued),
            (0, Queued),
            (0, Waiting),
            (1, Pushed),
            (0, AlreadyExists)
        ]
    );
}

#[tokio::test]
async fn a_layer_that_is_there_twice_is_copied_once() {
    let source = Memory::new();
    let one = layers(&[100]).remove(0);
    let desc = source.add_image(&name(), &[one.clone(), one.clone()]);
    let sink = Memory::new();
    let copied = copy(&source, &sink, &desc, &CopyOptions::pull(), &Silent)
        .await
        .unwrap();
    assert_eq!(copied.stored, 1);
    assert_eq!(source.served_of(&one.diff_id), one.bytes.len() as u64);
}

fn on(mut desc: Descriptor, platform: &str) -> Descriptor {
    desc.platform = Some(Platform::parse(platform).unwrap());
    desc
}

#[tokio::test]
async fn the_platform_picks_an_image_out_of_an_index() {
    let source = Memory::new();
    let arm = on(source.add_image(&name(), &layers(&[1])), "linux/arm64");
    let intel = on(source.add_image(&name(), &layers(&[2])), "linux/amd64");
    let inner = on(
        source.add_index(&name(), vec![intel.clone()]),
        "linux/amd64",
    );
    let index = source.add_index(&name(), vec![arm.clone(), inner.clone()]);
    let sink = Memory::new();
    for (platform, wanted) in [("linux/arm64", &arm), ("linux/amd64", &intel)] {
        let platform = Some(Platform::parse(platform).unwrap());
        let options = CopyOptions {
            platform,
            tag: Some(name()),
            ..CopyOptions::pull()
        };
        let copied = copy(&source, &sink, &index, &options, &Silent)
            .await
            .unwrap();
        assert_eq!(copied.manifest.digest, wanted.digest);
        let (chosen, manifest) = choose(&source, &index, options.platform).await.unwrap();
        assert_eq!(
            (chosen.digest, manifest),
            (copied.manifest.digest, copied.parsed)
        );
        assert_eq!(copied.top.digest, index.digest);
        assert_eq!(sink.resolve(&name()).await.unwrap().digest, index.digest);
    }
    for document in [&index, &inner] {
        assert!(sink.manifest(document).await.is_ok());
    }
    validate(&sink, &index).await.unwrap();
    let platform = Some(Platform::parse("linux/s390x").unwrap());
    let options = CopyOptions {
        platform,
        ..CopyOptions::pull()
    };
    let error = copy(&source, &sink, &index, &options, &Silent)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.message(),
        "no matching manifest for linux/s390x in the manifest list entries"
    );
}

#[tokio::test]
async fn indexes_are_followed_only_so_deep() {
    let source = Memory::new();
    let mut desc = source.add_image(&name(), &layers(&[1]));
    for _ in 0..3 {
        desc = source.add_index(&name(), vec![desc]);
    }
    let sink = Memory::new();
    let error = copy(&source, &sink, &desc, &CopyOptions::pull(), &Silent)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidContent);
    assert!(sink.resolve(&name()).await.is_err());
}

#[tokio::test]
async fn a_configuration_with_wrong_diff_ids_is_refused() {
    let source = Memory::new();
    let config = ImageConfig {
        os: "linux".to_owned(),
        ..ImageConfig::default()
    };
    let desc = source.add_image_with(&name(), &layers(&[1]), &config);
    let sink = Memory::new();
    let error = copy(&source, &sink, &desc, &CopyOptions::pull(), &Silent)
        .await
        .unwrap_err();
    assert_eq!(
        error.message(),
        "layers from manifest don't match image configuration"
    );
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_in_dockers_words() {
    let source = Memory::new();
    let desc = source.add_image(&name(), &layers(&[1]));
    let raw = source.manifest(&desc).await.unwrap();
    let manifest: Manifest = match lapstrake_spec::Document::parse(None, &raw).unwrap() {
        lapstrake_spec::Document::Manifest(manifest) => manifest,
        lapstrake_spec::Document::Index(_) => panic!("not an index"),
    };
    source.fault(&manifest.config.digest, [Fault::Corrupt]);
    let error = copy(
        &source,
        &Memory::new(),
        &desc,
        &CopyOptions::pull(),
        &Silent,
    )
    .await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
    assert_eq!(
        error.message(),
        format!(
            "error pulling image configuration: image config verification failed for digest {}",
            manifest.config.digest
        )
    );
}

#[tokio::test]
async fn too_large_a_configuration_is_not_even_asked_for() {
    let source = Memory::new();
    let config = source.add_blob(MediaType::OCI_CONFIG, "{}");
    let huge = Descriptor {
        size: 1 << 40,
        ..config.clone()
    };
    let manifest = Manifest::new(MediaType::OCI_MANIFEST, huge, Vec::new());
    let desc = source.add_manifest(MediaType::OCI_MANIFEST, manifest.to_bytes());
    let error = copy(
        &source,
        &Memory::new(),
        &desc,
        &CopyOptions::pull(),
        &Silent,
    )
    .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(source.served_of(&config.digest), 0);
}

#[tokio::test]
async fn a_document_that_is_none_is_refused() {
    let source = Memory::new();
    for (raw, kind) in [
        ("not json", ErrorKind::InvalidContent),
        (
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            ErrorKind::Unsupported,
        ),
    ] {
        let desc = source.add_manifest(MediaType::OCI_MANIFEST, raw);
        let error = copy(
            &source,
            &Memory::new(),
            &desc,
            &CopyOptions::pull(),
            &Silent,
        )
        .await;
        assert_eq!(error.unwrap_err().kind(), kind, "{raw}");
    }
}

async fn read_all(source: &Memory, desc: &Descriptor, log: &Log) -> Result<Bytes, crate::Error> {
    let mut reader = BlobReader::new(source, desc, 0, RetryPolicy::immediate(), log);
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

#[tokio::test]
async fn a_blob_is_read_in_spite_of_broken_streams() {
    let source = Memory::new().with_chunk(100);
    let desc = source.add_blob(MediaType::OCTET_STREAM, vec![7; 5000]);
    let log = Log::default();
    let faults = [
        Fault::BreakAfter(250),
        Fault::Unavailable,
        Fault::EndAfter(0),
        Fault::BreakAfter(4000),
    ];
    source.fault(&desc.digest, faults);
    assert_eq!(read_all(&source, &desc, &log).await.unwrap().len(), 5000);
    assert_eq!(source.served(), 5000);
    assert_eq!(log.0.lock().unwrap().len(), 4);
    source.fault(&desc.digest, [Fault::Unavailable; 5]);
    let error = read_all(&source, &desc, &log).await.unwrap_err();
    assert_eq!(error.message(), "connection reset by peer");
    source.fault(&desc.digest, [Fault::EndAfter(10); 5]);
    let error = read_all(&source, &desc, &log).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_blob_that_is_longer_than_said_is_refused() {
    let source = Memory::new();
    let desc = source.add_blob(MediaType::OCTET_STREAM, vec![7; 5000]);
    let short = Descriptor { size: 4000, ..desc };
    let error = read_all(&source, &short, &Log::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidContent);
}

#[tokio::test]
async fn a_dropped_copy_leaves_no_name() {
    let source = Memory::new();
    let layers = layers(&[1000]);
    let desc = source.add_image(&name(), &layers);
    source.fault(&layers[0].diff_id, [Fault::StallAfter(10)]);
    let sink = Memory::new();
    let options = CopyOptions {
        tag: Some(name()),
        ..CopyOptions::pull()
    };
    let copying = copy(&source, &sink, &desc, &options, &Silent);
    assert!(
        tokio::time::timeout(Duration::from_millis(20), copying)
            .await
            .is_err()
    );
    assert!(sink.resolve(&name()).await.is_err());
}
