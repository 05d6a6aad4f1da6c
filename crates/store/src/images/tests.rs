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
