//! A crash before every step that changes the disk.

use super::fixture::{Folder, image, layer, name, noise, pull};
use crate::{Error, FaultPlan, OpenOptions, Store};
use lapstrake_image::memory::{Memory, MemoryLayer};
use lapstrake_spec::Reference;
use std::sync::Arc;

struct Scene {
    memory: Memory,
    first: Reference,
    second: Reference,
}

impl Scene {
    fn new() -> Self {
        let (first, second) = (name("first:1"), name("second:1"));
        let (memory, _) = image(&first, &small_layers(30));
        memory.add_image(&second, &small_layers(31));
        Self {
            memory,
            first,
            second,
        }
    }

    /// A life of the store, told step by step: what is committed is pushed to `committed`.
    fn run(
        &self,
        folder: &Folder,
        options: &OpenOptions,
        committed: &mut Vec<&'static str>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let store = folder.try_store(options)?;
        runtime.block_on(pull(&store, &self.memory, &self.first))?;
        committed.push("first");
        runtime.block_on(pull(&store, &self.memory, &self.second))?;
        committed.push("second");
        store.update(|images| {
            let id = images.find("first:1").map(|found| found.id);
            if let Ok(id) = id {
                images.tag(&id, &name("copy:1"), "2020-01-01T00:00:00Z");
            }
            Ok::<_, Error>(())
        })?;
        committed.push("copy");
        committed.retain(|name| *name != "second");
        store.update(|images| {
            if let Ok(found) = images.find("second:1") {
                images.remove(&found.id);
            }
            Ok::<_, Error>(())
        })?;
        store.collect(&[])?;
        let layer = store.layer_from_writer(|out| {
            out.write_all(&lapstrake_image::memory::tiny_tar("made", b"here"))
        })?;
        drop(layer);
        store.reap_trash()?;
        Ok(())
    }
}

fn assert_whole(store: &Store, committed: &[&str], at: u64) {
    for repair in [false, true, false] {
        let report = store.check(repair).unwrap();
        assert!(report.problems.is_empty(), "after {at} steps: {report:?}");
    }
    let report = store.check(false).unwrap();
    assert!(report.garbage.is_empty(), "after {at} steps: {report:?}");
    let images = store.images().unwrap();
    for wanted in committed {
        let found = images.find(&format!("{wanted}:1"));
        let found = found.unwrap_or_else(|_| panic!("after {at} steps {wanted} is lost"));
        let (config, _) = store.image_config(&found.id).unwrap();
        let manifest = store.manifest(&found.manifest).unwrap();
        for (diff_id, blob) in config.rootfs.diff_ids.iter().zip(&manifest.layers) {
            store.ensure_layer(diff_id, blob).unwrap();
        }
        store.lowers(&config.rootfs.diff_ids).unwrap();
    }
}

#[test]
fn nothing_committed_is_lost_wherever_the_crash_is() {
    let scene = Scene::new();
    let counter = Arc::new(FaultPlan::after(u64::MAX));
    let options = OpenOptions {
        faults: Some(Arc::<FaultPlan>::clone(&counter)),
        ..OpenOptions::default()
    };
    scene
        .run(&Folder::fast(), &options, &mut Vec::new())
        .unwrap();
    let steps = counter.taken();
    assert!(steps > 60, "{steps} steps");
    for at in 0..steps {
        let folder = Folder::fast();
        let plan = Arc::new(FaultPlan::after(at));
        let options = OpenOptions {
            faults: Some(plan),
            ..OpenOptions::default()
        };
        let mut committed = Vec::new();
        let result = scene.run(&folder, &options, &mut committed);
        drop(result);
        let store = folder.store();
        assert_whole(&store, &committed, at);
        // And life goes on.
        scene
            .run(&folder, &OpenOptions::default(), &mut Vec::new())
            .unwrap();
    }
}

fn small_layers(seed: u64) -> [MemoryLayer; 2] {
    [
        layer("a", &noise(seed, 20_000)),
        layer("b", &noise(seed + 9, 9_000)),
    ]
}
