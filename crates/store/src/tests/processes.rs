//! Several users of one store at once. Each opens it for itself: to the kernel they are processes.

use super::fixture::{
    Folder, Log, Random, image, layer, name, noise, pull, pull_telling, two_layers, until,
};
use crate::Error;
use lapstrake_image::LayerState;
use lapstrake_image::memory::{Fault, Memory};
use lapstrake_spec::{Digest, Reference};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn two_pulls_of_one_image_fetch_each_blob_once() {
    let folder = Folder::new();
    let wanted = name("a:1");
    let layers = two_layers(20);
    let (memory, _) = image(&wanted, &layers);
    let (first, second) = (folder.store(), folder.store());
    let (one, two) = tokio::join!(
        pull(&first, &memory, &wanted),
        pull(&second, &memory, &wanted)
    );
    one.unwrap();
    two.unwrap();
    for layer in &layers {
        let served = memory.served_of(&Digest::sha256(&layer.bytes));
        assert_eq!(served, layer.bytes.len() as u64);
    }
    let report = folder.store().check(false).unwrap();
    assert!(report.is_whole() && report.garbage.is_empty(), "{report:?}");
}

#[tokio::test]
async fn who_waits_takes_over_when_the_other_gives_up() {
    let folder = Folder::new();
    let wanted = name("a:1");
    let layers = [layer("a", &noise(21, 500_000))];
    let (memory, _) = image(&wanted, &layers);
    let blob = Digest::sha256(&layers[0].bytes);
    memory.fault(&blob, [Fault::StallAfter(200_000)]);
    let (first, second) = (folder.store(), folder.store());
    let mut stalled = Box::pin(pull(&first, &memory, &wanted));
    tokio::select! {
        ended = &mut stalled => panic!("{ended:?}"),
        () = until(|| memory.served_of(&blob) > 0) => {}
    }
    let log = Log::default();
    let mut waiting = Box::pin(pull_telling(&second, &memory, &wanted, &log));
    tokio::select! {
        ended = &mut stalled => panic!("{ended:?}"),
        ended = &mut waiting => panic!("{ended:?}"),
        () = until(|| log.states(&blob).contains(&LayerState::Waiting)) => {}
    }
    drop(stalled);
    waiting.await.unwrap();
    assert!(folder.store().check(false).unwrap().is_whole());
}

/// Users pull, tag, remove and collect at random. What each knows to be committed must be there.
#[test]
fn random_users_lose_nothing() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let folder = Folder::new();
    let names: Vec<Reference> = (0..4).map(|i| name(&format!("image{i}:1"))).collect();
    let memory = Arc::new(Memory::new().with_chunk(5000));
    let shared = layer("base", &noise(1, 60_000));
    for (i, name) in names.iter().enumerate() {
        let own = layer("own", &noise(100 + i as u64, 40_000));
        memory.add_image(name, &[shared.clone(), own]);
    }
    folder.store();
    std::thread::scope(|scope| {
        for user in 0..4 {
            let (folder, names, memory) = (&folder, &names, Arc::clone(&memory));
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let mut random = Random(seed + user);
                for _ in 0..25 {
                    act(&runtime, folder, names, &memory, &mut random);
                }
            });
        }
    });
    let store = folder.store();
    let report = store.check(true).unwrap();
    assert!(report.problems.is_empty(), "seed {seed}: {report:?}");
    let report = store.check(false).unwrap();
    assert!(report.garbage.is_empty(), "seed {seed}: {report:?}");
}

fn act(
    runtime: &tokio::runtime::Runtime,
    folder: &Folder,
    names: &[Reference],
    memory: &Memory,
    random: &mut Random,
) {
    let store = folder.store();
    let wanted = &names[random.below(names.len())];
    match random.below(8) {
        0..=2 => {
            runtime.block_on(pull(&store, memory, wanted)).unwrap();
        }
        3 => {
            let slice = Duration::from_micros(random.next() % 4000);
            drop(runtime.block_on(async {
                tokio::time::timeout(slice, pull(&store, memory, wanted)).await
            }));
        }
        4 | 5 => {
            store
                .update(|images| {
                    if let Ok(found) = images.find(&wanted.familiar()) {
                        images.remove(&found.id);
                    }
                    Ok::<_, Error>(())
                })
                .unwrap();
            store.collect(&[]).unwrap();
        }
        6 => {
            let target = &names[random.below(names.len())];
            store
                .update(|images| {
                    if let Ok(found) = images.find(&wanted.familiar()) {
                        images.tag(&found.id, target, "2020-01-01T00:00:00Z");
                    }
                    Ok::<_, Error>(())
                })
                .unwrap();
        }
        _ => store.reap_trash().unwrap(),
    }
    // Every image in the index is whole at any moment, as long as nobody removes it meanwhile.
    let images = store.images().unwrap();
    for entry in images.entries() {
        let lease = store.lease().unwrap();
        lease.protect(std::slice::from_ref(&entry.id)).unwrap();
        let still = store.images().unwrap().by_id(&entry.id).is_some();
        if still {
            store.image_config(&entry.id).unwrap();
        }
    }
}
