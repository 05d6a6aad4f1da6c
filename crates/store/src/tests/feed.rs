//! The way of a layer's bytes from the writer to the unpacker.

use super::fixture::{Folder, Random, image, layer, name, noise, pull};
use crate::feed::{Feed, FeedReader, channel};
use crate::{LayerMount, layout};
use bytes::Bytes;
use lapstrake_spec::Digest;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

fn file(folder: &Folder, bytes: &[u8]) -> Arc<File> {
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    Arc::new(File::open(path).unwrap())
}

#[test]
fn chunks_and_places_are_read_in_order() {
    let folder = Folder::new();
    let file = file(&folder, b"0123456789");
    let (feeder, received) = channel();
    assert!(feeder.offer(Feed::Data(Bytes::from_static(b"01"))));
    assert!(feeder.offer(Feed::Stored(Arc::clone(&file), 2..2)));
    assert!(feeder.offer(Feed::Stored(Arc::clone(&file), 2..7)));
    assert!(feeder.offer(Feed::Data(Bytes::from_static(b"78"))));
    feeder.end(Some(Feed::Stored(file, 9..10)));
    let mut done = Vec::new();
    let mut text = String::new();
    let mut reader = FeedReader::new(received, |bytes| done.push(bytes));
    reader.read_to_string(&mut text).unwrap();
    drop(reader);
    assert_eq!(text, "0123456789");
    assert_eq!(done.last(), Some(&10));
}

#[test]
fn who_is_cancelled_reads_no_further() {
    let folder = Folder::new();
    let file = file(&folder, &[7; 1000]);
    let (feeder, received) = channel();
    assert!(feeder.offer(Feed::Stored(Arc::clone(&file), 0..1000)));
    let mut reader = FeedReader::new(received, |_done| {});
    let mut buffer = [0; 10];
    assert_eq!(reader.read(&mut buffer).unwrap(), 10);
    drop(feeder);
    assert!(reader.read(&mut buffer).is_err());
}

#[test]
fn a_file_that_is_too_short_is_an_error() {
    let folder = Folder::new();
    let file = file(&folder, &[7; 10]);
    let (feeder, received) = channel();
    feeder.end(Some(Feed::Stored(file, 0..11)));
    let mut reader = FeedReader::new(received, |_done| {});
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
}

/// A source in memory is much faster than unpacking: the unpacker falls behind.
#[tokio::test]
async fn a_layer_larger_than_all_queues() {
    let mut random = Random(5);
    for part in [0, 1, 2] {
        let folder = Folder::fast();
        let store = folder.store();
        let wanted = name("large:1");
        let content = noise(part, 12_000_000 + random.below(100_000));
        let layers = [layer("file", &content)];
        let (memory, _) = image(&wanted, &layers);
        if part > 0 {
            let there = layers[0].bytes.len() * random.below(100) / 100;
            let digest = Digest::sha256(&layers[0].bytes);
            let partial = store.root().join(layout::partial(&digest));
            std::fs::write(partial, &layers[0].bytes[..there]).unwrap();
        }
        pull(&store, &memory, &wanted).await.unwrap();
        let diff_ids = [layers[0].diff_id.clone()];
        let LayerMount::Tree(tree) = store.lowers(&diff_ids).unwrap().remove(0);
        assert!(std::fs::read(tree.join("file")).unwrap() == content);
        assert!(store.check(false).unwrap().is_whole());
    }
}
