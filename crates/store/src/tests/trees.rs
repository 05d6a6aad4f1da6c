//! Trees and the boots that trust them.

use super::fixture::{Folder, image, name, pull, two_layers};
use crate::{Error, OpenOptions};

fn boot(id: &str) -> OpenOptions {
    OpenOptions {
        boot_id: Some(id.to_owned()),
        ..OpenOptions::default()
    }
}

#[tokio::test]
async fn a_tree_of_another_boot_is_made_again_from_its_blob() {
    let folder = Folder::new();
    let wanted = name("a:1");
    let layers = two_layers(70);
    let (memory, _) = image(&wanted, &layers);
    let store = folder.try_store(&boot("one")).unwrap();
    let copied = pull(&store, &memory, &wanted).await.unwrap();
    let diff_id = &layers[0].diff_id;
    let blob = &copied.parsed.layers[0];

    let store = folder.try_store(&boot("two")).unwrap();
    let crate::LayerMount::Tree(tree) = {
        let old = folder.try_store(&boot("one")).unwrap();
        old.lowers(std::slice::from_ref(diff_id)).unwrap().remove(0)
    };
    std::fs::remove_file(tree.join("a")).unwrap();
    assert!(matches!(
        store.lowers(std::slice::from_ref(diff_id)),
        Err(Error::NoLayer { .. })
    ));
    assert_eq!(store.layer_size(diff_id).unwrap(), 300_000);
    assert!(store.check(false).unwrap().is_whole());
    store.ensure_layer(diff_id, blob).unwrap();
    store.ensure_layer(diff_id, blob).unwrap();
    assert!(tree.join("a").exists());

    // A pull that finds the blobs makes the other tree again, too.
    let served = memory.served();
    pull(&store, &memory, &wanted).await.unwrap();
    assert!(store.has_layer(&layers[1].diff_id).unwrap());
    assert!(memory.served() - served < 1000);
}

#[tokio::test]
async fn a_settled_tree_is_trusted_by_every_boot() {
    let folder = Folder::new();
    let wanted = name("a:1");
    let layers = two_layers(71);
    let (memory, _) = image(&wanted, &layers);
    let store = folder.try_store(&boot("one")).unwrap();
    pull(&store, &memory, &wanted).await.unwrap();
    store.settle().unwrap();
    let store = folder.try_store(&boot("two")).unwrap();
    assert!(store.has_layer(&layers[0].diff_id).unwrap());
    // A record that the crash has damaged is not trusted.
    let record = format!("layers/{}/layer.json", layers[0].diff_id.hex());
    std::fs::write(store.root().join(record), vec![0; 50]).unwrap();
    assert!(!store.has_layer(&layers[0].diff_id).unwrap());
}
