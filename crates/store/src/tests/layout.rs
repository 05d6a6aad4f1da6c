//! The layout on disk, and other tools in it.

use super::fixture::{Folder, image, name, pull, two_layers};
use crate::{Error, OpenOptions, Store};
use lapstrake_image::ErrorKind;
use lapstrake_image::memory::Memory;
use lapstrake_spec::{Descriptor, ImageConfig, Manifest, MediaType};

#[test]
fn opening_makes_a_store_only_where_nothing_else_is() {
    let folder = Folder::new();
    let path = folder.path().join("new/deep");
    let missing = Store::open_existing(&path, &OpenOptions::default()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    Store::open(&path, &OpenOptions::default()).unwrap();
    Store::open_existing(&path, &OpenOptions::default()).unwrap();
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    Store::open(&other, &OpenOptions::default()).unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir_all(home.join("documents")).unwrap();
    let error = Store::open(&home, &OpenOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "{error}");
}

#[test]
fn a_later_version_is_refused() {
    let folder = Folder::new();
    let store = folder.store();
    std::fs::write(store.root().join("VERSION"), "2\n").unwrap();
    let error = folder.try_store(&OpenOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "store version 2 is newer than this lap understands"
    );
}

#[tokio::test]
async fn an_image_of_another_tool_is_read_and_survives() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let (memory, desc) = image(&wanted, &two_layers(90));
    pull(&store, &memory, &wanted).await.unwrap();
    // As another tool writes it: no annotations but the name, in its own spelling, and one of its own.
    let index = serde_json::json!({
        "schemaVersion": 2,
        "annotations": {"org.example.index": "kept"},
        "manifests": [
            {"mediaType": desc.media_type, "digest": desc.digest, "size": desc.size,
             "annotations": {"org.opencontainers.image.ref.name": "theirs", "org.example": "x"}},
            {"mediaType": "application/vnd.example+json", "digest": desc.digest, "size": 7,
             "artifactType": "application/vnd.example", "annotations": null},
        ],
    });
    std::fs::write(store.root().join("image/index.json"), index.to_string()).unwrap();
    let images = store.images().unwrap();
    let entry = images.by_name(&name("theirs")).unwrap();
    assert_eq!(entry.size, 390_000);
    assert_eq!(images.find("theirs").unwrap().id, entry.id);
    store
        .update(|images| {
            let id = images.find("theirs").unwrap().id;
            assert!(images.tag(&id, &wanted, "2020-01-01T00:00:00Z"));
            Ok::<_, Error>(())
        })
        .unwrap();
    store.collect(&[]).unwrap();
    let raw = std::fs::read(store.root().join("image/index.json")).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!(written["annotations"]["org.example.index"], "kept");
    let manifests = written["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 3);
    assert_eq!(
        manifests[0]["annotations"]["org.opencontainers.image.ref.name"],
        "theirs"
    );
    assert_eq!(manifests[0]["annotations"]["org.example"], "x");
    assert_eq!(
        manifests[1]["annotations"]["org.opencontainers.image.ref.name"],
        "docker.io/library/a:1"
    );
    assert_eq!(manifests[2]["artifactType"], "application/vnd.example");
    assert_eq!(store.images().unwrap().entries().len(), 2);
    assert!(store.check(false).unwrap().is_whole());
}

#[tokio::test]
async fn an_image_in_dockers_format_has_a_twin_that_other_tools_read() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let memory = Memory::new();
    let layers = two_layers(91);
    let config = ImageConfig {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        rootfs: lapstrake_spec::RootFs {
            diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect(),
            ..lapstrake_spec::RootFs::default()
        },
        ..ImageConfig::default()
    };
    let config = memory.add_blob(MediaType::DOCKER_CONFIG, config.to_bytes());
    let blobs = layers
        .map(|layer| memory.add_blob(MediaType::DOCKER_LAYER_GZIP, layer.bytes))
        .to_vec();
    let manifest = Manifest::new(MediaType::DOCKER_MANIFEST, config.clone(), blobs);
    let desc = memory.add_manifest(MediaType::DOCKER_MANIFEST, manifest.to_bytes());
    memory.name(&wanted, &desc);
    pull(&store, &memory, &wanted).await.unwrap();
    store.collect(&[]).unwrap();

    let images = store.images().unwrap();
    assert_eq!(images.entries()[0].manifest, desc);
    let raw = std::fs::read(store.root().join("image/index.json")).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!(
        written["manifests"][0]["mediaType"],
        MediaType::OCI_MANIFEST.as_str()
    );
    let twin: Descriptor = serde_json::from_value(written["manifests"][0].clone()).unwrap();
    let twin = store.manifest(&twin).unwrap();
    assert_eq!(twin.config.digest, config.digest);
    assert_eq!(twin.layers[0].media_type, MediaType::OCI_LAYER_GZIP);
    assert!(store.check(false).unwrap().is_whole());
}

#[tokio::test]
async fn a_check_finds_what_is_damaged_and_repair_lets_it_be_fetched_again() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let layers = two_layers(92);
    let (memory, _) = image(&wanted, &layers);
    let copied = pull(&store, &memory, &wanted).await.unwrap();
    let path = |digest: &lapstrake_spec::Digest| {
        store
            .root()
            .join(format!("image/blobs/sha256/{}", digest.hex()))
    };
    let blob = &copied.parsed.layers[0];
    std::fs::write(path(&blob.digest), "damage").unwrap();
    let report = store.check(false).unwrap();
    assert!(!report.is_whole());
    assert_eq!(report.problems.len(), 2, "{report:?}");
    store.check(true).unwrap();
    pull(&store, &memory, &wanted).await.unwrap();
    assert!(store.check(false).unwrap().problems.is_empty());

    std::fs::remove_file(path(&copied.config)).unwrap();
    assert!(!store.check(true).unwrap().is_whole());
    assert!(store.images().unwrap().entries().is_empty());
    let report = store.check(false).unwrap();
    assert!(
        report.problems.is_empty() && report.garbage.is_empty(),
        "{report:?}"
    );
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let folder = Folder::new();
    let mount = folder.path().join("small");
    std::fs::create_dir(&mount).unwrap();
    let options = c"size=1m";
    if rustix::mount::mount(
        "none",
        &mount,
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        options,
    )
    .is_err()
    {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let wanted = name("a:1");
    // The blob fits and the tree does not; the blob does not fit.
    for (count, words) in [(700_000, "write /"), (2_000_000, "write ")] {
        let store = Store::open(&mount.join("store"), &OpenOptions::default()).unwrap();
        let layers = [super::fixture::layer(
            "some/file",
            &super::fixture::noise(93, count),
        )];
        let (memory, _) = image(&wanted, &layers);
        let error = runtime
            .block_on(pull(&store, &memory, &wanted))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert!(error.message().contains(words), "{error}");
        assert!(
            error.message().ends_with(": no space left on device"),
            "{error}"
        );
        let report = store.check(false).unwrap();
        assert!(report.is_whole() && report.garbage.is_empty(), "{report:?}");
        let usage = store.usage().unwrap();
        assert_eq!((usage.blobs, usage.layers, usage.pending_bytes), (0, 0, 0));
    }
    rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::empty()).unwrap();
}
