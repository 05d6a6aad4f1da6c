//! Content trust: what is pulled, what the store may be used for, and what registries may try.

use super::{Told, block_on, count, engine, rmi};
use crate::ops::{self, CreateRequest, PullPolicy, PullRequest, PushRequest};
use crate::settings::{Inputs, Settings};
use crate::{Engine, Error, ErrorKind, Event, TrustFiles};
use lapstrake_container::HostConfig;
use lapstrake_spec::{ContainerConfig, Digest, Platform, Reference};
use lapstrake_testkit::{Directory, Fault, RandomImage, Shape, Signer, TestRegistry, When};
use serde_json::json;

/// A store, a registry, a folder for keys and a policy, and a signer whose key is in the folder.
struct Place {
    directory: Directory,
    registry: TestRegistry,
    signer: Signer,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            directory: Directory::new(),
            registry: TestRegistry::start(),
            signer: Signer::new(),
        };
        place
            .directory
            .write("trust.d/release.pub", place.signer.pem());
        place
    }

    /// A fresh engine, as each command has one.
    fn engine(&self) -> Engine {
        self.trusting(engine(&self.directory))
    }

    fn trusting(&self, engine: Engine) -> Engine {
        engine.with_content_trust(TrustFiles {
            named_policy: None,
            policies: vec![self.directory.join("policy.json")],
            key_folders: vec![self.directory.join("trust.d")],
        })
    }

    fn image(&self, name: &str, seed: u64) -> (Reference, Digest) {
        let image = RandomImage::with(seed, &Shape::small());
        (self.registry.put(name, &image), image.descriptor.digest)
    }

    fn policy(&self, policy: &serde_json::Value) {
        self.directory.write("policy.json", policy.to_string());
    }
}

fn pull_with(engine: &Engine, name: &Reference, all_tags: bool) -> Result<Vec<Event>, Error> {
    let request = PullRequest {
        reference: name.familiar(),
        all_tags,
        platform: Some(Platform::linux("amd64")),
    };
    let told = Told::default();
    block_on(ops::pull(engine, &request, &told))?;
    Ok(told.0.into_inner().unwrap())
}

fn pull(engine: &Engine, name: &Reference) -> Result<Vec<Event>, Error> {
    pull_with(engine, name, false)
}

/// As `create` does before it makes anything.
fn usable(engine: &Engine, image: &str) -> Result<(), Error> {
    let request = CreateRequest {
        image: image.to_owned(),
        name: None,
        config: ContainerConfig::default(),
        host: HostConfig::default(),
        pull: PullPolicy::Never,
        platform: None,
    };
    let id = ops::local_image(engine, &request)?.unwrap();
    block_on(ops::check_image(engine, &request, &id))
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, part: &str) {
    let Err(error) = result else {
        panic!("it was accepted, and should not be: {part}");
    };
    assert!(error.message().contains(part), "{error}");
    assert!(error.hint().is_some(), "{error}");
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[test]
fn a_signed_image_is_pulled_by_its_digest() {
    let place = Place::new();
    let (name, digest) = place.image("team/app:1", 1);
    place.registry.sign(&name, &digest, &place.signer);
    let events = pull(&place.engine(), &name).unwrap();
    let by_digest = name.without_tag().with_digest(digest.clone());
    let told: Vec<&Event> = events
        .iter()
        .filter(|event| !matches!(event, Event::Layer(_)))
        .collect();
    let key = place.directory.join("trust.d/release.pub");
    assert_eq!(
        told,
        [
            &Event::VerifiedPull {
                number: 1,
                total: 1,
                reference: name.with_digest(digest.clone()),
            },
            &Event::Verified {
                keys: vec![key.display().to_string()],
            },
            &Event::PullStarted {
                tag: by_digest.familiar(),
                path: "team/app".to_owned(),
            },
            &Event::Resolved { digest },
            &Event::PullFinished {
                reference: by_digest.clone(),
                newer: true,
                all_tags: false,
            },
            &Event::Tagged {
                from: by_digest.clone(),
                to: name.clone(),
            },
        ]
    );
    assert!(pull(&place.engine(), &by_digest).is_ok());
}

#[test]
fn what_is_not_signed_stays_away() {
    let place = Place::new();
    let (name, digest) = place.image("team/app:1", 1);
    let other = Digest::sha256(b"other");
    let registry = &place.registry;
    let signed = |signer: &Signer, name: &str, of: &Digest| {
        let payload = Signer::payload(name, of);
        let signature = signer.sign(&payload);
        registry.put_signatures(
            &Reference::parse(&registry.reference("team/app").canonical()).unwrap(),
            &digest,
            &[(payload, signature)],
        );
    };
    let repository = name.repository();
    refused(
        pull(&place.engine(), &name),
        "there is no signature of sha256:",
    );
    signed(&Signer::new(), &repository, &digest);
    refused(pull(&place.engine(), &name), "is by another key");
    signed(&place.signer, &repository, &other);
    refused(pull(&place.engine(), &name), "and the image is sha256:");
    signed(&place.signer, "elsewhere.example/app", &digest);
    refused(pull(&place.engine(), &name), "is of elsewhere.example/app");
    let many: Vec<(Vec<u8>, String)> = (0..2000)
        .map(|_| (Signer::payload(&repository, &digest), "AAAA".to_owned()))
        .collect();
    registry.put_signatures(&name, &digest, &many);
    refused(pull(&place.engine(), &name), "each of the 512 signatures");
    let padded = [Signer::payload(&repository, &digest), vec![b' '; 300 << 10]].concat();
    let signature = place.signer.sign(&padded);
    registry.put_signatures(&name, &digest, &[(padded, signature)]);
    refused(pull(&place.engine(), &name), "is larger than 262144 bytes");
    let images = place.engine().store().unwrap().images().unwrap();
    assert!(images.entries().is_empty());
    // The newest signature counts, however many there are before it.
    let payload = Signer::payload(&repository, &digest);
    let signature = place.signer.sign(&payload);
    let all = [many, vec![(payload, signature)]].concat();
    registry.put_signatures(&name, &digest, &all);
    assert!(pull(&place.engine(), &name).is_ok());
}

#[test]
fn bundles_are_found_with_and_without_a_list_of_referrers() {
    for tagged in [false, true] {
        let place = Place::new();
        let (name, digest) = place.image("team/app:1", 1);
        let attested = Signer::statement(&digest, "https://slsa.dev/provenance/v1");
        let attestation = place
            .signer
            .envelope("application/vnd.in-toto+json", &attested);
        place
            .registry
            .put_bundle(&name, &digest, &attestation, tagged);
        refused(pull(&place.engine(), &name), "statements about it");
        let bundle = place.signer.bundle(&digest);
        place.registry.put_bundle(&name, &digest, &bundle, tagged);
        assert!(pull(&place.engine(), &name).is_ok(), "{tagged}");
    }
}

#[test]
fn a_registry_that_fails_gives_no_answer() {
    let place = Place::new();
    let (name, digest) = place.image("team/app:1", 1);
    place.registry.sign(&name, &digest, &place.signer);
    let faults = place.registry.faults();
    for path in [".sig", "/referrers/"] {
        faults.add(When::path(path), Fault::Status(403, None), 100);
    }
    let error = pull(&place.engine(), &name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    faults.clear();
    // One place is enough, when what is there counts.
    faults.add(When::path("/referrers/"), Fault::Status(403, None), 100);
    assert!(pull(&place.engine(), &name).is_ok());
    faults.clear();
    faults.add(When::path(".sig"), Fault::Status(403, None), 100);
    let error = pull(&place.engine(), &name).unwrap_err();
    assert!(!error.message().contains("trust data"), "{error}");
    place
        .registry
        .put_bundle(&name, &digest, &place.signer.bundle(&digest), false);
    assert!(pull(&place.engine(), &name).is_ok());
}

#[test]
fn a_moved_tag_is_refused_and_the_old_image_stays() {
    let place = Place::new();
    let (name, digest) = place.image("team/app:1", 1);
    place.registry.sign(&name, &digest, &place.signer);
    pull(&place.engine(), &name).unwrap();
    let (_, moved) = place.image("team/app:1", 2);
    refused(pull(&place.engine(), &name), "there is no signature");
    // Its own signature is no signature of the new one.
    let payload = Signer::payload(&name.repository(), &digest);
    let signature = place.signer.sign(&payload);
    place
        .registry
        .put_signatures(&name, &moved, &[(payload, signature)]);
    refused(pull(&place.engine(), &name), "and the image is");
    assert!(usable(&place.engine(), &name.familiar()).is_ok());
}

#[test]
fn a_mirror_can_neither_alter_nor_hide() {
    let place = Place::new();
    let origin = &place.registry;
    let mirror = TestRegistry::start();
    let folder = place.directory.join("certs.d");
    let hosts = format!(
        "server = \"http://{0}\"\n[host.\"http://{1}\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
        origin.address(),
        mirror.address()
    );
    place
        .directory
        .write(&format!("certs.d/{}/hosts.toml", origin.address()), hosts);
    let engine = || {
        let inputs = Inputs {
            root: Some(place.directory.join("store")),
            config_dir: Some(place.directory.join("config")),
            config_files: vec![place.directory.join("no-such-file")],
            ..Inputs::default()
        };
        let mut settings = Settings::resolve(inputs).unwrap();
        settings.certs_dirs = vec![folder.clone()];
        place.trusting(Engine::open(settings, || {
            "2026-01-02T12:00:00Z".parse().unwrap()
        }))
    };
    let (name, digest) = place.image("team/app:1", 1);
    origin.sign(&name, &digest, &place.signer);
    origin.put_bundle(&name, &digest, &place.signer.bundle(&digest), false);
    // It has another image under the name.
    mirror.put("team/app:1", &RandomImage::with(2, &Shape::small()));
    refused(pull(&engine(), &name), "there is no signature");
    // It has the image, and no signatures: those of the registry count.
    mirror.put("team/app:1", &RandomImage::with(1, &Shape::small()));
    pull(&engine(), &name).unwrap();
    let seen = origin.faults().seen();
    assert!(seen.iter().any(|seen| seen.path.contains(".sig")));
    // The same for bundles.
    std::fs::remove_file(origin.root().join(format!(
        "repositories/team/app/_tags/sha256-{}.sig",
        digest.hex()
    )))
    .unwrap();
    pull(&engine(), &name).unwrap();
}

#[test]
fn images_of_the_store_count_when_they_were_verified() {
    let place = Place::new();
    let (name, digest) = place.image("team/app:1", 1);
    let typed = name.familiar();
    super::pull(&engine(&place.directory), &name);
    refused(usable(&place.engine(), &typed), "there is no signature");
    place.registry.sign(&name, &digest, &place.signer);
    // It is verified now, and needs no registry from then on.
    assert!(usable(&place.engine(), &typed).is_ok());
    let faults = place.registry.faults();
    faults.add(When::any(), Fault::Status(403, None), 1000);
    assert!(usable(&place.engine(), &typed).is_ok());
    let images = place.engine().store().unwrap().images().unwrap();
    let id = images.by_name(&name).unwrap().id.clone();
    assert!(usable(&place.engine(), id.short()).is_ok());
    // Another name is not what was signed, and ids go by any of the names.
    ops::tag(&place.engine(), &typed, "other:1").unwrap();
    refused(usable(&place.engine(), "other:1"), "made or loaded here");
    assert!(usable(&place.engine(), id.as_str()).is_ok());
    // A key that is no longer trusted takes its images with it.
    place
        .directory
        .write("trust.d/release.pub", Signer::new().pem());
    let error = usable(&place.engine(), &typed).unwrap_err();
    assert!(error.message().starts_with("cannot verify"), "{error}");
    faults.clear();
    refused(usable(&place.engine(), &typed), "is by another key");
    place
        .directory
        .write("trust.d/release.pub", place.signer.pem());
    assert!(usable(&place.engine(), &typed).is_ok());
    assert!(count(&rmi(&place.engine(), &typed, true).unwrap()).0 > 0);
    refused(usable(&place.engine(), "other:1"), "made or loaded here");
}

#[test]
fn a_tag_beside_a_digest_is_not_verified() {
    let place = Place::new();
    let (name, digest) = place.image("team/app:prod", 1);
    let payload = Signer::payload(&format!("{}:dev", name.repository()), &digest);
    let signature = place.signer.sign(&payload);
    place
        .registry
        .put_signatures(&name, &digest, &[(payload, signature)]);
    let engine = place.engine();
    refused(pull(&engine, &name), ":dev, and");
    let both = name.with_digest(digest);
    pull(&engine, &both).unwrap();
    assert!(usable(&engine, &both.familiar()).is_ok());
    ops::tag(&engine, &both.familiar(), &name.familiar()).unwrap();
    assert!(usable(&engine, &name.familiar()).is_err());
}

#[test]
fn every_requirement_of_a_policy_is_met() {
    let place = Place::new();
    let registry = place.registry.address();
    let (name, digest) = place.image("team/app:1", 1);
    let second = Signer::new();
    place.directory.write("second.pub", second.pem());
    let by = |key: &str| {
        json!({
            "type": "sigstoreSigned",
            "keyPath": key,
            "signedIdentity": {"type": "matchRepository"},
        })
    };
    place.policy(&json!({
        "default": [{"type": "reject"}],
        "transports": {"docker": {
            format!("{registry}/team"): [by("trust.d/release.pub"), by("second.pub")],
            format!("{registry}/open"): [{"type": "insecureAcceptAnything"}],
            format!("{registry}/gpg"): [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/x"}],
            format!("{registry}/strict"): [{"type": "sigstoreSigned", "keyPath": "second.pub"}],
        }},
    }));
    let payload = Signer::payload(&name.repository(), &digest);
    let one = (payload.clone(), place.signer.sign(&payload));
    let two = (payload.clone(), second.sign(&payload));
    place
        .registry
        .put_signatures(&name, &digest, std::slice::from_ref(&one));
    refused(pull(&place.engine(), &name), "is by another key");
    place.registry.put_signatures(&name, &digest, &[one, two]);
    pull(&place.engine(), &name).unwrap();
    assert!(usable(&place.engine(), &name.familiar()).is_ok());
    let (open, _) = place.image("open/app:1", 1);
    pull(&place.engine(), &open).unwrap();
    assert!(usable(&place.engine(), &open.familiar()).is_ok());
    let (gpg, _) = place.image("gpg/app:1", 2);
    let error = pull(&place.engine(), &gpg).unwrap_err();
    assert!(
        error.message().contains("GPG key, is not supported"),
        "{error}"
    );
    let (other, _) = place.image("other/app:1", 2);
    let error = pull(&place.engine(), &other).unwrap_err();
    assert!(error.message().contains("default: reject"), "{error}");
    // What the standard says when nothing is said: the tag must be signed.
    let (strict, digest) = place.image("strict/app:1", 3);
    place.registry.sign(&strict, &digest, &second);
    let error = pull(&place.engine(), &strict).unwrap_err();
    assert!(error.hint().unwrap().contains("matchRepository"), "{error}");
    place
        .registry
        .put_bundle(&strict, &digest, &second.bundle(&digest), false);
    pull(&place.engine(), &strict).unwrap();
}

#[test]
fn an_id_is_under_the_strictest_policy_of_its_names() {
    let place = Place::new();
    let registry = place.registry.address();
    let (name, digest) = place.image("team/app:1", 1);
    let open = json!([{"type": "insecureAcceptAnything"}]);
    let reject = json!([{"type": "reject"}]);
    place.policy(&json!({
        "default": reject,
        "transports": {"docker": {
            format!("{registry}/team/app:1"): [{
                "type": "sigstoreSigned",
                "keyPath": "trust.d/release.pub",
                "signedIdentity": {"type": "matchRepository"},
            }],
            "docker.io/library": open,
            "docker.io/bad": reject,
        }},
    }));
    super::pull(&engine(&place.directory), &name);
    let engine = place.engine();
    let images = engine.store().unwrap().images().unwrap();
    let id = images.by_name(&name).unwrap().id.clone();
    ops::tag(&engine, &name.familiar(), "open:1").unwrap();
    assert!(usable(&engine, "open:1").is_ok());
    refused(usable(&engine, id.as_str()), "there is no signature");
    place.registry.sign(&name, &digest, &place.signer);
    assert!(usable(&engine, id.as_str()).is_ok());
    ops::tag(&engine, &name.familiar(), "bad/app:1").unwrap();
    let error = usable(&engine, id.as_str()).unwrap_err();
    assert!(error.message().contains("bad/app:1 is refused"), "{error}");
}

#[test]
fn images_in_folders_are_as_images_without_a_name() {
    let place = Place::new();
    let check = || crate::trust::local::check_folder(&place.engine(), "layout");
    refused(check(), "No trust data for layout");
    for (kind, accepted) in [("reject", false), ("insecureAcceptAnything", true)] {
        place.policy(&json!({"default": [{"type": kind}]}));
        assert_eq!(check().is_ok(), accepted, "{kind}");
    }
    assert!(crate::trust::local::check_folder(&engine(&place.directory), "layout").is_ok());
}

#[test]
fn a_tag_given_here_stays_one_when_the_pulled_name_goes() {
    let place = Place::new();
    let (name, digest) = place.image("team/app:1", 1);
    place.registry.sign(&name, &digest, &place.signer);
    let local = name.with_tag("prod").unwrap().familiar();
    for pulled in [name.clone(), name.without_tag().with_digest(digest)] {
        super::pull(&engine(&place.directory), &pulled);
        ops::tag(&place.engine(), &pulled.familiar(), &local).unwrap();
        if pulled.digest().is_none() {
            rmi(&place.engine(), &pulled.familiar(), false).unwrap();
        }
        refused(usable(&place.engine(), &local), "made or loaded here");
    }
}

#[test]
fn each_verified_name_is_remembered() {
    let place = Place::new();
    let (name, digest) = place.image("team/app:1", 1);
    let (other, _) = place.image("team/app:2", 1);
    let by_digest = name.without_tag().with_digest(digest.clone());
    place.registry.sign(&name, &digest, &place.signer);
    let names = [&name, &other, &by_digest];
    for name in names {
        pull(&place.engine(), name).unwrap();
    }
    let faults = place.registry.faults();
    faults.add(When::any(), Fault::Status(403, None), 1000);
    for name in names {
        usable(&place.engine(), &name.familiar()).unwrap();
    }
    rmi(&place.engine(), &name.familiar(), false).unwrap();
    for name in &names[1..] {
        usable(&place.engine(), &name.familiar()).unwrap();
    }
}

#[test]
fn all_signed_tags_are_pulled_and_the_others_told() {
    let place = Place::new();
    let (name, first) = place.image("team/app:1", 1);
    let (_, second) = place.image("team/app:2", 2);
    place.image("team/app:3", 3);
    let repository = name.without_tag_and_digest();
    refused(
        pull_with(&place.engine(), &repository, true),
        "No signed tags",
    );
    for digest in [&first, &second] {
        place.registry.sign(&name, digest, &place.signer);
    }
    let events = pull_with(&place.engine(), &repository, true).unwrap();
    let tagged = events
        .iter()
        .filter(|event| matches!(event, Event::Tagged { .. }));
    assert_eq!(tagged.count(), 2);
    let warned: Vec<&Event> = events
        .iter()
        .filter(|event| matches!(event, Event::Warning { .. }))
        .collect();
    let [Event::Warning { text }] = warned.as_slice() else {
        panic!("{warned:?}");
    };
    assert!(
        text.starts_with("Skipping 3: remote trust data does not exist"),
        "{text}"
    );
}

#[test]
fn a_tag_of_signatures_with_something_else_stops_no_other() {
    let place = Place::new();
    let (name, first) = place.image("team/app:1", 1);
    let (_, second) = place.image("team/app:2", 2);
    place.registry.sign(&name, &second, &place.signer);
    let payload = Signer::payload(&name.repository(), &first);
    let huge = (payload, "A".repeat(4 << 20));
    place.registry.put_signatures(&name, &first, &[huge]);
    refused(pull(&place.engine(), &name), "cannot be used");
    let repository = name.without_tag_and_digest();
    pull_with(&place.engine(), &repository, true).unwrap();
    // What is elsewhere counts.
    place
        .registry
        .put_bundle(&name, &first, &place.signer.bundle(&first), false);
    pull(&place.engine(), &name).unwrap();
}

#[test]
fn nothing_is_pushed_that_would_not_be_signed() {
    let place = Place::new();
    let request = PushRequest {
        reference: "app:1".to_owned(),
        all_tags: false,
        platform: None,
    };
    let pushed = block_on(ops::push(&place.engine(), &request, &Told::default()));
    let error = pushed.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("cosign sign"), "{error}");
}

#[test]
fn a_registry_that_refuses_does_not_count_as_one_without_signatures() {
    let place = Place::new();
    let (name, digest) = place.image("team/app:1", 1);
    place.registry.sign(&name, &digest, &place.signer);
    let (second, digest) = place.image("team/app:2", 2);
    place.registry.sign(&second, &digest, &place.signer);
    let repository = name.without_tag();
    let faults = place.registry.faults();
    let files = || TrustFiles {
        named_policy: None,
        policies: Vec::new(),
        key_folders: vec![place.directory.join("trust.d")],
    };
    // The signatures of one, the signatures of both, the image itself.
    let signature = format!("sha256-{}.sig", digest.hex());
    for paths in [
        vec![signature.as_str(), "/referrers/"],
        vec![".sig", "/referrers/"],
        vec!["/manifests/2"],
    ] {
        for path in &paths {
            faults.add(When::path(*path), Fault::Status(403, None), 100);
        }
        let pulled = pull_with(&place.engine(), &repository, true).unwrap_err();
        let (engine, typed) = (place.engine(), repository.familiar());
        let inspected = block_on(ops::inspect_trust(&engine, &typed, files())).unwrap_err();
        for error in [pulled, inspected] {
            assert_eq!(error.kind(), ErrorKind::Denied, "{paths:?} {error}");
            assert!(!error.is_untrusted(), "{paths:?} {error}");
        }
        faults.clear();
    }
    pull_with(&place.engine(), &repository, true).unwrap();
}
