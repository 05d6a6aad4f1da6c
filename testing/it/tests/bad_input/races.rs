//! Several processes at the same image.

use super::holds;
use lapstrake_testkit::{Cli, Outcome, RandomImage, Rng, Shape, TestRegistry};

/// Runs these commands all at once.
fn at_once(lap: &Cli, commands: &[Vec<&str>]) -> Vec<Outcome> {
    std::thread::scope(|scope| {
        let running: Vec<_> = commands
            .iter()
            .map(|command| scope.spawn(move || lap.run(command)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn two_pulls_of_one_image_fetch_it_once() {
    let registry = TestRegistry::start();
    let image = RandomImage::new(31);
    let name = registry.put("a/b:1", &image).to_string();
    let lap = Cli::built();
    for outcome in at_once(&lap, &vec![vec!["pull", "-q", name.as_str()]; 4]) {
        assert_eq!(outcome.code, Some(0), "{outcome}");
    }
    for layer in &image.layers {
        let path = layer.descriptor.digest.to_string();
        assert_eq!(registry.faults().count("GET", &path), 1, "{path}");
    }
    holds(&lap, &[&name]);
}

#[test]
fn pulls_tags_and_removals_of_one_image() {
    let registry = TestRegistry::start();
    let name = registry
        .put("a/b:1", &RandomImage::with(32, &Shape::default()))
        .to_string();
    let sibling = registry
        .put(
            "a/b:2",
            &RandomImage::with(
                32,
                &Shape {
                    layers: 2,
                    ..Shape::default()
                },
            ),
        )
        .to_string();
    let lap = Cli::built();
    let all: [Vec<&str>; 6] = [
        vec!["pull", "-q", &name],
        vec!["pull", "-q", &sibling],
        vec!["tag", &name, "other:1"],
        vec!["rmi", &name],
        vec!["rmi", "-f", "other:1"],
        vec!["push", "-q", &name],
    ];
    let mut rng = Rng::new(33);
    for _ in 0..6 {
        let round: Vec<_> = (0..8).map(|_| rng.pick(&all).clone()).collect();
        for outcome in at_once(&lap, &round) {
            // Who comes too late finds nothing, which is no failure of the store.
            let is_absent = ["No such image", "does not exist"]
                .iter()
                .any(|words| outcome.stderr.contains(words));
            assert!(outcome.code == Some(0) || is_absent, "{outcome}");
        }
        let checked = lap.run(&["system", "check"]);
        assert!(checked.stdout.contains("the store is whole"), "{checked}");
    }
    for name in [&name, &sibling, "other:1"] {
        lap.run(&["rmi", "-f", name]);
    }
    holds(&lap, &[]);
    lap.ok(&["pull", "-q", &name]);
    holds(&lap, &[&name]);
}
