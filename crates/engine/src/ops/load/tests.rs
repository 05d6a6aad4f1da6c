//! Loading what is not as it should be, or is here already.

use super::*;
use crate::ops::save::tests::{engine, image, load_from, loaded, save_to};
use lapstrake_testkit::Directory;
use std::path::Path;

/// An archive of one image under one name.
fn archive(directory: &Directory, seed: u64, name: &str) -> (std::path::PathBuf, Digest) {
    let here = engine(directory, "here");
    let id = image(&here, seed, true, &[name]);
    let path = directory.join(format!("{seed}.tar"));
    save_to(&here, &path, &[name]).unwrap();
    (path, id)
}

fn fails(engine: &Engine, path: &Path) -> Error {
    let (result, told) = load_from(engine, path, None);
    let error = result.unwrap_err();
    assert_eq!(error.origin(), Origin::Stream, "{error}");
    assert_eq!(told, [], "{error}");
    error
}

#[test]
fn a_name_that_moves_is_told_of() {
    let directory = Directory::new();
    let (path, id) = archive(&directory, 1, "team/app:1");
    let there = engine(&directory, "there");
    let old = image(&there, 2, false, &["team/app:1"]);
    let (ids, told) = load_from(&there, &path, None);
    assert_eq!(ids.unwrap(), std::slice::from_ref(&id));
    let name = Reference::parse("team/app:1").unwrap();
    let renamed = Event::Renamed {
        reference: name.clone(),
        id: old.clone(),
    };
    assert_eq!(told, [renamed, loaded("team/app:1")]);
    let images = there.store().unwrap().images().unwrap();
    assert_eq!(images.by_name(&name).unwrap().id, id);
    assert_eq!(images.tags_of(&old), []);
    // The same once more moves nothing.
    let (_, told) = load_from(&there, &path, None);
    assert_eq!(told, [loaded("team/app:1")]);
}

#[test]
fn an_image_that_is_here_keeps_its_manifest() {
    let directory = Directory::new();
    let (path, id) = archive(&directory, 1, "team/app:1");
    let there = engine(&directory, "there");
    load_from(&there, &path, None).0.unwrap();
    let store = there.store().unwrap();
    let before = store.images().unwrap().by_id(&id).unwrap().manifest.clone();
    let untagged = store.update(|images| {
        images.untag(&id, &Reference::parse("team/app:1").unwrap());
        Ok::<_, Error>(())
    });
    untagged.unwrap();
    load_from(&there, &path, None).0.unwrap();
    let images = store.images().unwrap();
    let name = Reference::parse("team/app:1").unwrap();
    assert_eq!(images.by_name(&name).unwrap().manifest, before);
    assert_eq!(images.entries().len(), 1);
}

#[test]
fn only_the_platform_that_is_wanted() {
    let directory = Directory::new();
    let (path, id) = archive(&directory, 1, "team/app:1");
    let there = engine(&directory, "there");
    let (result, _) = load_from(&there, &path, Some(Platform::linux("ppc64le")));
    let text = "requested platform (linux/ppc64le) not found";
    assert_eq!(result.unwrap_err().message(), text);
    let host = Platform::host();
    assert_eq!(load_from(&there, &path, Some(host)).0.unwrap(), [id]);
}

#[test]
fn an_archive_that_was_cut_off_leaves_nothing() {
    let directory = Directory::new();
    let (path, _) = archive(&directory, 1, "team/app:1");
    let whole = std::fs::read(path).unwrap();
    let there = engine(&directory, "there");
    let ends = (1777..whole.len() - 1024)
        .step_by(1777)
        .chain([1, 511, 513]);
    for length in ends {
        let cut = directory.write("cut.tar", &whole[..length]);
        let error = fails(&there, &cut);
        let text = error.message().to_owned();
        assert!(text.starts_with("unexpected EOF"), "{length}: {text}");
    }
    assert_eq!(there.store().unwrap().images().unwrap().entries(), []);
}

#[test]
fn what_is_no_archive_of_images() {
    let directory = Directory::new();
    let there = engine(&directory, "there");
    let mut html = b"<html>".repeat(100);
    html.resize(600, b' ');
    let cases: [(&[u8], &str); 4] = [
        (b"", "unrecognized image format"),
        (b"x", "unexpected EOF"),
        (&[0; 1024], "unrecognized image format"),
        (&html, "archive/tar: invalid tar header"),
    ];
    for (bytes, text) in cases {
        let error = fails(&there, &directory.write("x.tar", bytes));
        assert!(error.message().starts_with(text), "{text}: {error}");
    }
}

#[test]
fn a_layer_with_another_content_is_refused() {
    let directory = Directory::new();
    let (path, _) = archive(&directory, 1, "team/app:1");
    let mut bytes = std::fs::read(path).unwrap();
    let layer = {
        let here = engine(&directory, "here");
        let store = here.store().unwrap();
        let images = store.images().unwrap();
        let manifest = store.manifest(&images.entries()[0].manifest).unwrap();
        manifest.layers[0].digest.clone()
    };
    let name = format!("blobs/sha256/{}", layer.hex());
    let at = bytes
        .windows(name.len())
        .position(|part| part == name.as_bytes());
    let middle = at.unwrap() + 512 + 40;
    bytes[middle] ^= 1;
    let there = engine(&directory, "there");
    let error = fails(&there, &directory.write("bad.tar", &bytes));
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(there.store().unwrap().images().unwrap().entries(), []);
}

#[test]
fn an_image_that_is_damaged_here_is_mended() {
    let directory = Directory::new();
    let (path, id) = archive(&directory, 1, "team/app:1");
    let there = engine(&directory, "there");
    load_from(&there, &path, None).0.unwrap();
    let store = there.store().unwrap();
    let second = Reference::parse("team/app:2").unwrap();
    let tagged = store.update(|images| {
        images.tag(&id, &second, "");
        Ok::<_, Error>(())
    });
    tagged.unwrap();
    let entry = store.images().unwrap().by_id(&id).unwrap().clone();
    let manifest = store.manifest(&entry.manifest).unwrap();
    let blob = |digest: &Digest| {
        let (algorithm, hex) = ("sha256", digest.hex());
        store.root().join(format!("image/blobs/{algorithm}/{hex}"))
    };
    type Damage = fn(&Path);
    let damages: [Damage; 3] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::write(path, b"").unwrap(),
        |path| {
            let longer = [std::fs::read(path).unwrap(), b"x".to_vec()].concat();
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, longer).unwrap();
        },
    ];
    let targets = [
        &manifest.layers[0].digest,
        &manifest.config.digest,
        &entry.manifest.digest,
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        for target in targets {
            damage(&blob(target));
            assert!(
                !store.is_complete(&entry.manifest).unwrap(),
                "{number} {target}"
            );
            load_from(&there, &path, None).0.unwrap();
            let images = store.images().unwrap();
            for name in ["team/app:1", "team/app:2"] {
                let entry = images.by_name(&Reference::parse(name).unwrap()).unwrap();
                assert_eq!(entry.id, id);
                assert!(
                    store.is_complete(&entry.manifest).unwrap(),
                    "{number} {target}"
                );
            }
            let report = store.check(false).unwrap();
            assert!(report.is_whole(), "{number} {target} {:?}", report.problems);
        }
    }
    // A bit that flipped is found by the check, and the next load brings the blob again.
    let layer = blob(&manifest.layers[0].digest);
    let mut bytes = std::fs::read(&layer).unwrap();
    bytes[0] ^= 1;
    std::fs::remove_file(&layer).unwrap();
    std::fs::write(&layer, bytes).unwrap();
    assert!(!store.check(true).unwrap().is_whole());
    load_from(&there, &path, None).0.unwrap();
    assert!(store.check(false).unwrap().is_whole());
}

#[test]
fn a_load_that_fails_takes_back_what_it_brought_and_no_more() {
    let directory = Directory::new();
    let (path, _) = archive(&directory, 1, "team/app:1");
    let there = engine(&directory, "there");
    let store = there.store().unwrap();
    // What a pull had finished when it was interrupted.
    let half = store
        .put_bytes(lapstrake_spec::MediaType::OCI_LAYER_GZIP, b"half a pull")
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let here = engine(&directory, "here");
    let listed = here.store().unwrap().images().unwrap();
    let manifest = here
        .store()
        .unwrap()
        .manifest(&listed.entries()[0].manifest);
    let layers = manifest.unwrap().layers;
    let last = format!("blobs/sha256/{}", layers.last().unwrap().digest.hex());
    let at = bytes
        .windows(last.len())
        .position(|part| part == last.as_bytes());
    bytes[at.unwrap() + 512 + 40] ^= 1;
    fails(&there, &directory.write("bad.tar", &bytes));
    assert!(store.has_blob(&half.digest).unwrap());
    let blobs = std::fs::read_dir(store.root().join("image/blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 1);
    let layers = std::fs::read_dir(store.root().join("layers")).unwrap();
    assert_eq!(layers.count(), 0);
}
