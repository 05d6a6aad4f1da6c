use std::collections::BTreeSet;

use super::arrows::Package;
use super::files::File;
use super::*;

const MAP: &str = "\
| crate | what it holds | may use |
|---|---|---|
| `spec` | words | – |
| `image` | the seam | spec |
| `store` | files | image, spec |
| `registry` | network | image, spec |
| `engine` | operations | all above |
| `testing/testkit`, `testing/it` | tests | any, dev only |
";

fn package(folder: &str, uses: &[&str], third_party: &[&str]) -> Package {
    let set = |list: &[&str]| {
        list.iter()
            .map(|item| (*item).to_owned())
            .collect::<BTreeSet<_>>()
    };
    Package {
        folder: folder.to_owned(),
        uses: set(uses),
        third_party: set(third_party),
    }
}

fn workspace(changed: Package) -> Vec<Package> {
    let folders = ["spec", "image", "store", "registry", "engine"].map(|n| format!("crates/{n}"));
    let testing = ["testing/testkit".to_owned(), "testing/it".to_owned()];
    let mut packages: Vec<Package> = folders
        .into_iter()
        .chain(testing)
        .filter(|folder| *folder != changed.folder)
        .map(|folder| Package {
            folder,
            ..Package::default()
        })
        .collect();
    packages.push(changed);
    packages
}

fn arrow_errors(changed: Package) -> Vec<String> {
    let mut report = Report::default();
    arrows::check(&arrows::map(MAP), &workspace(changed), &mut report);
    report.errors
}

fn file_report(path: &str, text: &str) -> Report {
    let mut report = Report::default();
    files::check(
        &File {
            path: path.to_owned(),
            text: text.to_owned(),
        },
        &mut report,
    );
    report
}

#[test]
fn the_workspace_is_tidy() {
    let root = crate::workspace_root();
    let metadata = crate::ci::metadata(&root).unwrap();
    let report = check(&root, &metadata).unwrap();
    assert!(report.errors.is_empty(), "{}", report.errors.join("\n"));
}

#[test]
fn the_map_is_read() {
    let map = arrows::map(MAP);
    assert_eq!(map.len(), 7);
    let allowed = |folder: &str| map[folder].as_ref().map(BTreeSet::len);
    assert_eq!(allowed("crates/spec"), Some(0));
    assert_eq!(allowed("crates/store"), Some(2));
    assert_eq!(allowed("crates/engine"), Some(4));
    assert_eq!(allowed("testing/it"), None);
}

#[test]
fn allowed_arrows_pass() {
    for package in [
        package("crates/store", &["crates/image", "crates/spec"], &["tokio"]),
        package("crates/engine", &["crates/store", "crates/registry"], &[]),
        package(
            "testing/it",
            &["crates/store", "testing/testkit"],
            &["reqwest", "anyhow"],
        ),
    ] {
        assert_eq!(arrow_errors(package), Vec::<String>::new());
    }
}

#[test]
fn other_arrows_fail() {
    for (package, expected) in [
        (
            package("crates/spec", &["crates/image"], &[]),
            "crates/spec may not use crates/image",
        ),
        (
            package("crates/store", &["crates/registry"], &[]),
            "crates/store may never use registry",
        ),
        (
            package("crates/engine", &["testing/testkit"], &[]),
            "which is for tests",
        ),
        (
            package("crates/store", &[], &["reqwest"]),
            "may not use reqwest: it belongs to registry",
        ),
        (
            package("crates/util", &[], &[]),
            "crates/util is missing in the map",
        ),
    ] {
        let errors = arrow_errors(package).join("\n");
        assert!(errors.contains(expected), "{errors}");
    }
    let mut report = Report::default();
    arrows::check(&arrows::map(MAP), &[], &mut report);
    assert_eq!(report.errors.len(), 7, "each listed crate must exist");
}

#[test]
fn metadata_is_read_without_development_dependencies() {
    let metadata = r#"{"packages": [{
        "manifest_path": "/r/crates/store/Cargo.toml",
        "dependencies": [
            {"name": "lapstrake-spec", "kind": null, "path": "/r/crates/spec"},
            {"name": "lapstrake-testkit", "kind": "dev", "path": "/r/testing/testkit"},
            {"name": "tokio", "kind": null}
        ]
    }]}"#;
    let packages = arrows::packages(Path::new("/r"), metadata).unwrap();
    assert_eq!(
        packages,
        [package("crates/store", &["crates/spec"], &["tokio"])]
    );
}

#[test]
fn long_files_are_named() {
    let lines = |count: usize| "x\n".repeat(count);
    assert!(
        file_report("crates/a/src/b.rs", &lines(600))
            .warnings
            .is_empty()
    );
    assert_eq!(
        file_report("crates/a/src/b.rs", &lines(601)).warnings.len(),
        1
    );
    assert!(
        file_report("crates/a/src/b.rs", &lines(1_000))
            .errors
            .is_empty()
    );
    assert_eq!(
        file_report("crates/a/src/b.rs", &lines(1_001)).errors.len(),
        1
    );
    assert!(
        file_report("crates/a/src/b/tests.rs", &lines(2_000))
            .errors
            .is_empty()
    );
}

#[test]
fn roots_places_and_manifests_are_checked() {
    assert_eq!(
        file_report("crates/a/src/lib.rs", "pub mod b;\n")
            .errors
            .len(),
        1
    );
    assert!(
        file_report("crates/a/src/lib.rs", "//! A.\n")
            .errors
            .is_empty()
    );
    let lifted = format!("#![expect({}_code, reason = \"x\")]\n", "unsafe");
    assert_eq!(file_report("crates/a/src/b.rs", &lifted).errors.len(), 1);
    assert!(
        file_report("crates/sys/src/b.rs", &lifted)
            .errors
            .is_empty()
    );
    assert_eq!(file_report("crates/a/tests/b.rs", "").errors.len(), 1);
    assert!(file_report("testing/it/tests/b.rs", "").errors.is_empty());

    let good = "[dependencies]\na.workspace = true\nb = { workspace = true }\n\n[lints]\nworkspace = true\n";
    assert!(file_report("crates/a/Cargo.toml", good).errors.is_empty());
    let own_version = good.replace("a.workspace = true", "a = \"1\"");
    assert_eq!(
        file_report("crates/a/Cargo.toml", &own_version)
            .errors
            .len(),
        1
    );
    let no_lints = good.replace("[lints]", "");
    assert_eq!(
        file_report("crates/a/Cargo.toml", &no_lints).errors.len(),
        1
    );
}

#[test]
fn words_are_checked() {
    let mark = concat!("TO", "DO");
    for (line, errors) in [
        (format!("// {mark}: later"), 1),
        (format!("// {mark}(#12): later"), 0),
        (format!("// {mark} #12"), 0),
        (format!("see {}x", concat!("/wo", "rk/")), 1),
        ("see lower/upper/work".to_owned(), 0),
    ] {
        assert_eq!(
            file_report("README.md", &line).errors.len(),
            errors,
            "{line}"
        );
    }
}
