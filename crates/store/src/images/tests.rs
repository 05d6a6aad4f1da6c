use super::*;

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn entry(id: &str, called: Option<&str>) -> Entry {
    Entry {
        manifest: Descriptor::of(lapstrake_spec::MediaType::OCI_MANIFEST, id.as_bytes()),
        id: digest(&format!("config of {id}")),
        name: called.map(name),
        repo_digests: Vec::new(),
        created: Some("2020-01-02T03:04:05.678Z".to_owned()),
        size: 123,
        parent: None,
        platform: Some(lapstrake_spec::Platform::linux("amd64")),
        tagged_at: Some("2021-01-02T03:04:05Z".to_owned()),
    }
}

fn round(images: &Images) -> Images {
    parse(&to_bytes(images).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let mut images = Images::default();
    let mut one = entry("one", Some("localhost:5000/a/b:1"));
    one.parent = Some(digest("parent"));
    one.repo_digests = vec![
        name("localhost:5000/a/b").with_digest(one.manifest.digest.clone()),
        name("localhost:5000/a/b").with_digest(digest("index")),
        name("ubuntu").with_digest(one.manifest.digest.clone()),
    ];
    images.insert(one);
    images.insert(entry("two", None));
    images.insert(entry("two", Some("two:latest")));
    assert_eq!(images.entries().len(), 2);
    assert_eq!(round(&images), images);
    let text = String::from_utf8(to_bytes(&images).unwrap()).unwrap();
    assert!(text.contains(&format!(
        "\"io.lapstrake.digests\":\"@ @{} docker.io/library/ubuntu@\"",
        digest("index")
    )));
}

#[test]
fn a_name_that_moves_leaves_a_nameless_image_with_its_digests() {
    let mut images = Images::default();
    let old = name("a").with_digest(digest("m"));
    let mut first = entry("first", Some("a:1"));
    first.repo_digests = vec![name("a:1").with_digest(digest("m"))];
    assert!(images.insert(first.clone()));
    assert!(!images.insert(first.clone()));
    assert!(images.insert(entry("second", Some("a:1"))));
    assert_eq!(images.tags_of(&first.id), []);
    assert_eq!(images.digests_of(&first.id), std::slice::from_ref(&old));
    assert_eq!(images.find("a:1").unwrap().id, entry("second", None).id);
    assert_eq!(images.find(&old.canonical()).unwrap().id, first.id);
    // Given a name again, it is one entry with everything.
    assert!(images.tag(&first.id, &name("b:1"), "now"));
    assert_eq!(images.entries().len(), 2);
    assert_eq!(images.digests_of(&first.id), std::slice::from_ref(&old));
    assert!(images.untag(&first.id, &name("b:1")));
    assert!(images.untag(&first.id, &old));
    assert!(!images.untag(&first.id, &old));
    assert!(images.by_id(&first.id).is_some());
    assert!(images.remove(&first.id));
    assert!(!images.remove(&first.id));
    assert!(!images.tag(&first.id, &name("b:1"), "now"));
}

#[test]
fn one_of_several_names_goes_and_its_digests_stay() {
    let mut images = Images::default();
    let one = entry("one", Some("a:1"));
    images.insert(one.clone());
    images.tag(&one.id, &name("b:2"), "later");
    let pushed = name("b:2").with_digest(one.manifest.digest.clone());
    images.add_digest(&one.id, &name("b:2"), &pushed);
    images.add_digest(&one.id, &name("b:2"), &pushed);
    assert!(images.untag(&one.id, &name("b:2")));
    assert_eq!(images.entries().len(), 1);
    assert_eq!(images.digests_of(&one.id), [pushed.without_tag()]);
    assert_eq!(images.entries()[0].tagged_at.as_deref(), Some("later"));
}

/// By which names the digests of an image were fetched.
fn own(images: &Images) -> Vec<String> {
    let mut own: Vec<String> = images
        .entries()
        .iter()
        .filter(|entry| entry.own_digests().next().is_some())
        .filter_map(|entry| entry.name.as_ref().map(Reference::familiar))
        .collect();
    own.sort();
    own
}

#[test]
fn a_digest_is_of_the_name_that_it_was_fetched_by() {
    let mut images = Images::default();
    let pulled = |called: &str| {
        let mut entry = entry("one", Some(called));
        entry.repo_digests = vec![name(called).with_digest(digest("m"))];
        entry
    };
    let id = pulled("a:1").id;
    images.insert(pulled("a:1"));
    images.tag(&id, &name("a:2"), "now");
    assert_eq!(own(&images), ["a:1"]);
    assert_eq!(round(&images), images);
    assert!(images.untag(&id, &name("a:1")));
    assert_eq!(own(&images), [""; 0]);
    assert_eq!(images.digests_of(&id).len(), 1);
    assert_eq!(round(&images), images);
    // By its own name it is.
    images.insert(pulled("a:2"));
    assert_eq!(own(&images), ["a:2"]);
    // So it is when it was pushed.
    images.tag(&id, &name("a:3"), "now");
    images.add_digest(&id, &name("a:3"), &name("a").with_digest(digest("m")));
    assert_eq!(own(&images), ["a:2", "a:3"]);
    assert!(images.untag(&id, &name("a:2")));
    assert_eq!(own(&images), ["a:3"]);
    // A pull by digest is of no tag.
    let mut images = Images::default();
    let mut by_digest = pulled("a:1");
    by_digest.name = None;
    images.insert(by_digest.clone());
    images.tag(&id, &name("a:1"), "now");
    assert_eq!(own(&images), [""; 0]);
    images.insert(by_digest.clone());
    assert_eq!(own(&images), [""; 0]);
    let mut images = Images::default();
    images.insert(entry("one", Some("a:1")));
    images.insert(by_digest);
    assert_eq!(own(&images), [""; 0]);
}

#[test]
fn records_of_several_names_are_kept() {
    let mut images = Images::default();
    let one = entry("one", Some("a:1"));
    images.insert(one.clone());
    images.tag(&one.id, &name("b:1"), "now");
    let by_digest = name("a").with_digest(digest("m"));
    for (called, record) in [
        (name("a:1"), "a:1 old"),
        (name("a:1"), "a:1 new"),
        (by_digest, "a@m new"),
        (name("b:1"), "b:1 new"),
    ] {
        images.set_verified(&one.id, &called, record);
    }
    let records = |images: &Images| -> Vec<String> {
        let entries = images.entries().iter();
        let mut all: Vec<String> = entries
            .flat_map(Entry::verified)
            .map(str::to_owned)
            .collect();
        all.sort();
        all
    };
    let wanted = ["a:1 new", "a@m new", "b:1 new"];
    assert_eq!(records(&images), wanted);
    assert_eq!(records(&round(&images)), wanted);
    assert!(images.untag(&one.id, &name("a:1")));
    assert_eq!(records(&images), wanted);
    for number in 0..100 {
        images.set_verified(&one.id, &name("b:1"), &format!("c:{number} new"));
    }
    assert_eq!(records(&images).len(), 16);
    assert!(records(&images).contains(&"c:99 new".to_owned()));
}

#[test]
fn words_stand_for_names_first_and_ids_then() {
    let mut images = Images::default();
    let one = entry("one", Some("docker.io/library/ubuntu:latest"));
    images.insert(one.clone());
    let prefix = one.id.hex()[..4].to_owned();
    let cases = [
        "ubuntu".to_owned(),
        "ubuntu:latest".to_owned(),
        prefix.clone(),
        one.id.hex().to_owned(),
        one.id.to_string(),
        format!("sha256:{prefix}"),
    ];
    for typed in cases {
        assert_eq!(
            images.find(&typed).map(|found| found.id),
            Ok(one.id.clone()),
            "{typed}"
        );
    }
    for typed in ["ubuntu:18.04", "nosuch", &"0".repeat(64)] {
        assert_eq!(images.find(typed), Err(LookupError::NotFound), "{typed}");
    }
    assert!(matches!(
        images.find("BAD::x"),
        Err(LookupError::Invalid(_))
    ));
    for i in 0..40 {
        images.insert(entry(&format!("more{i}"), None));
    }
    let first = &one.id.hex()[..1];
    assert_eq!(images.find(first), Err(LookupError::Ambiguous));
    // A name that looks like an id is a name.
    images.insert(entry("named", Some(&format!("{prefix}:latest"))));
    assert_eq!(images.find(&prefix).unwrap().id, entry("named", None).id);
}

#[test]
fn a_manifest_is_replaced_under_all_names() {
    let mut images = Images::default();
    let one = entry("one", Some("a:1"));
    images.insert(one.clone());
    images.tag(&one.id, &name("b:1"), "now");
    let new = Descriptor::of(lapstrake_spec::MediaType::OCI_MANIFEST, b"compressed");
    images.replace_manifest(&one.manifest.digest, &new);
    assert!(images.entries().iter().all(|entry| entry.manifest == new));
}

#[test]
fn nonsense_in_the_file_is_an_error_or_a_stranger() {
    assert!(parse(b"").is_err());
    assert!(parse(b"7").is_err());
    assert_eq!(parse(b"{}").unwrap(), Images::default());
    assert_eq!(
        parse(br#"{"manifests":null,"schemaVersion":2}"#).unwrap(),
        Images::default()
    );
}
