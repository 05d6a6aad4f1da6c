//! A build that dies at any step of the store.

use super::fixture::*;
use std::collections::BTreeMap;

#[test]
fn after_any_crash_the_store_is_whole_and_the_next_build_goes_on() {
    let mut steps = 0;
    loop {
        let folder = Folder::new();
        folder.file("a", "1");
        drop(folder.store());
        let mut writing = Writing::scratch();
        writing.copy(&["a"], "/a");
        writing.run(&["write", "b", "2"]);
        writing.run(&["write", "c", "3"]);
        let graph = writing.done();
        let (store, plan) = folder.dying(steps);
        let finished = match &store {
            Ok(store) => {
                let built = build_in(store, &folder, (&graph, &options()), BTreeMap::new());
                built.result.is_ok()
            }
            Err(_) => false,
        };
        let exhausted = plan.taken() <= steps;
        drop(store);
        let store = folder.store();
        let report = store.check(false).unwrap();
        assert!(report.is_whole(), "after {steps} steps: {report:?}");
        let built = build(&folder, &graph);
        assert_eq!(built.layers().len(), 3, "after {steps} steps");
        let keys: Vec<String> = built.tree().into_keys().collect();
        assert_eq!(keys, ["/a", "/b", "/c"], "after {steps} steps");
        if exhausted {
            assert!(finished);
            assert_eq!(built.cached(), (3, 3));
            break;
        }
        steps += 1;
    }
    assert!(steps > 20);
}
