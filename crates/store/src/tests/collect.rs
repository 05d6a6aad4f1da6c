//! What a collection keeps and takes.

use super::fixture::{Folder, image, name, pull, two_layers};
use crate::Error;
use lapstrake_spec::Digest;

fn remove(store: &crate::Store, typed: &str) {
    store
        .update(|images| {
            let id = images.find(typed).unwrap().id;
            assert!(images.remove(&id));
            Ok::<_, Error>(())
        })
        .unwrap();
}

#[tokio::test]
async fn an_unused_image_goes_with_its_layers() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let layers = two_layers(40);
    let (memory, desc) = image(&wanted, &layers);
    pull(&store, &memory, &wanted).await.unwrap();
    assert_eq!(store.collect(&[]).unwrap(), crate::Reclaimed::default());
    assert_eq!(store.layer_chains().unwrap().len(), 1);
    remove(&store, "a:1");
    let reclaimed = store.collect(&[]).unwrap();
    assert_eq!(reclaimed.blobs.len(), 4);
    assert!(reclaimed.blobs.contains(&desc.digest));
    let mut gone: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    gone.sort();
    assert_eq!(reclaimed.layers, gone);
    assert!(reclaimed.bytes > 2 * 390_000);
    assert!(store.usage().unwrap().pending_bytes > 390_000);
    store.reap_trash().unwrap();
    let usage = store.usage().unwrap();
    assert_eq!((usage.blobs, usage.layers, usage.pending_bytes), (0, 0, 0));
}

#[tokio::test]
async fn a_shared_layer_stays() {
    let folder = Folder::new();
    let store = folder.store();
    let [base, first] = two_layers(41);
    let [_, second] = two_layers(51);
    let (memory, _) = image(&name("a:1"), &[base.clone(), first.clone()]);
    memory.add_image(&name("b:1"), &[base.clone(), second]);
    pull(&store, &memory, &name("a:1")).await.unwrap();
    pull(&store, &memory, &name("b:1")).await.unwrap();
    remove(&store, "a:1");
    assert_eq!(store.collect(&[]).unwrap().layers, [first.diff_id]);
    assert!(store.has_layer(&base.diff_id).unwrap());
    assert!(store.check(false).unwrap().is_whole());
}

#[tokio::test]
async fn containers_leases_and_extra_roots_keep_what_they_name() {
    let folder = Folder::new();
    let store = folder.store();
    let wanted = name("a:1");
    let layers = two_layers(42);
    let (memory, _) = image(&wanted, &layers);
    let copied = pull(&store, &memory, &wanted).await.unwrap();
    remove(&store, "a:1");
    let blobs: Vec<Digest> = layers
        .iter()
        .map(|layer| Digest::sha256(&layer.bytes))
        .collect();

    let container = store.root().join("containers/c1");
    std::fs::create_dir(&container).unwrap();
    let record = serde_json::json!({
        "ID": "c1",
        "ImageID": copied.config,
        "Layers": [layers[0].diff_id],
        "LayerBlobs": [{"mediaType": "x", "digest": blobs[0], "size": 1}],
    });
    std::fs::write(container.join("config.json"), record.to_string()).unwrap();
    let lease = store.lease().unwrap();
    lease
        .protect(&[blobs[1].clone(), layers[1].diff_id.clone()])
        .unwrap();
    let reclaimed = store
        .collect(std::slice::from_ref(&copied.manifest.digest))
        .unwrap();
    assert_eq!(reclaimed, crate::Reclaimed::default());

    drop(lease);
    let reclaimed = store.collect(&[]).unwrap();
    assert_eq!(reclaimed.layers, [layers[1].diff_id.clone()]);
    assert!(reclaimed.blobs.contains(&blobs[1]) && !reclaimed.blobs.contains(&blobs[0]));
    // A record that was never finished is no container.
    std::fs::write(container.join("config.json"), "{\"ID\":").unwrap();
    assert_eq!(
        store.collect(&[]).unwrap().layers,
        [layers[0].diff_id.clone()]
    );
}

#[tokio::test]
async fn the_cache_of_links_may_be_lost_or_damaged() {
    let folder = Folder::new();
    let store = folder.store();
    for i in 0..3 {
        let wanted = name(&format!("a{i}:1"));
        let (memory, _) = image(&wanted, &two_layers(60 + i * 2));
        pull(&store, &memory, &wanted).await.unwrap();
    }
    std::fs::write(
        store.root().join("image/.index.json.1-1.tmp"),
        "left by a crash",
    )
    .unwrap();
    assert_eq!(
        store.check(false).unwrap().garbage,
        ["image/.index.json.1-1.tmp"]
    );
    store.collect(&[]).unwrap();
    assert!(store.check(false).unwrap().garbage.is_empty());
    let path = store.root().join("links");
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.split(|byte| *byte == b'\n').count(), 5);
    for damage in [
        Vec::new(),
        b"\n".to_vec(),
        vec![0; whole.len()],
        whole[..whole.len() / 2].to_vec(),
    ] {
        std::fs::write(&path, damage).unwrap();
        assert_eq!(store.collect(&[]).unwrap(), crate::Reclaimed::default());
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(store.collect(&[]).unwrap(), crate::Reclaimed::default());
}
