//! Policies, names and signatures as bytes: no network, no store.

use super::fetch::newest;
use super::identity::Identity;
use super::judge::{Demand, judge};
use super::key::TrustedKey;
use super::policy::{Policy, Requirement};
use super::signature::{Signature, Subject};
use super::{Needs, Trust, TrustFiles};
use crate::ErrorKind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapstrake_spec::{Descriptor, Digest, Reference};
use lapstrake_testkit::{Directory, KeyKind, Signer};
use serde_json::json;

mod recorded;

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn demand(signer: &Signer, identity: Identity) -> Demand {
    Demand {
        keys: TrustedKey::parse_all("k.pub", signer.pem().as_bytes()).unwrap(),
        identity,
        place: "trust.d".to_owned(),
    }
}

/// An image that is signed or not.
struct Image {
    name: Reference,
    manifest: Vec<u8>,
    digest: Digest,
}

impl Image {
    fn new(text: &str) -> Self {
        let manifest = b"{\"schemaVersion\":2}".to_vec();
        Self {
            name: name(text),
            digest: Digest::sha256(&manifest),
            manifest,
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            name: &self.name,
            digest: &self.digest,
            manifest: &self.manifest,
        }
    }

    fn judged(&self, signer: &Signer, identity: Identity, all: &[Signature]) -> Result<(), String> {
        match judge(&[demand(signer, identity)], all, self.subject()) {
            Ok(proofs) => {
                assert_eq!(proofs[0].key, "k.pub");
                Ok(())
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Denied);
                Err(error.message().to_owned())
            }
        }
    }
}

fn simple(signer: &Signer, payload: Vec<u8>) -> Signature {
    Signature::Simple {
        signature: signer.sign(&payload),
        payload: payload.into(),
    }
}

#[track_caller]
fn refused(result: Result<(), String>, part: &str) {
    let message = result.unwrap_err();
    assert!(message.contains(part), "{message:?} has no {part:?}");
}

#[test]
fn each_kind_of_key_signs_in_each_form() {
    let image = Image::new("r.example/app:1");
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa] {
        let (signer, stranger) = (Signer::of(kind), Signer::of(kind));
        let payload = Signer::payload("r.example/app", &image.digest);
        for signature in [
            simple(&signer, payload),
            Signature::Bundle(signer.bundle(&image.digest).into()),
            Signature::Bundle(signer.message_bundle(&image.manifest).into()),
        ] {
            let all = [signature];
            let identity = Identity::SameRepository;
            assert_eq!(
                image.judged(&signer, identity.clone(), &all),
                Ok(()),
                "{kind:?}"
            );
            refused(image.judged(&stranger, identity, &all), "is by another key");
        }
    }
}

#[test]
fn a_signature_is_of_one_image_and_says_so() {
    let image = Image::new("r.example/app:1");
    let signer = Signer::new();
    let other = Digest::sha256(b"other");
    let judged = |signature| image.judged(&signer, Identity::SameRepository, &[signature]);
    let payload = |name: &str, digest| simple(&signer, Signer::payload(name, digest));
    refused(judged(payload("r.example/app", &other)), "is of sha256:");
    refused(
        judged(Signature::Bundle(signer.bundle(&other).into())),
        "is of sha256:",
    );
    refused(
        judged(Signature::Bundle(signer.message_bundle(b"other").into())),
        "is by another key",
    );
    refused(
        judged(payload("r.example/debug", &image.digest)),
        "is of r.example/debug, and r.example/app:1 was asked for",
    );
    refused(
        judged(payload("r.example/app:2", &image.digest)),
        "is of r.example/app:2",
    );
    assert_eq!(judged(payload("r.example/app:1", &image.digest)), Ok(()));
    refused(
        image.judged(&signer, Identity::SameRepository, &[]),
        "remote trust data does not exist for r.example/app: there is no signature of sha256:",
    );
}

#[test]
fn what_is_no_signature_is_refused_in_words() {
    let image = Image::new("r.example/app:1");
    let signer = Signer::new();
    let kind = "application/vnd.in-toto+json";
    let attested = Signer::statement(&image.digest, "https://slsa.dev/provenance/v1");
    let bundle = |bytes: Vec<u8>| Signature::Bundle(bytes.into());
    let twice = String::from_utf8(Signer::payload("r.example/app", &image.digest))
        .unwrap()
        .replace("\"critical\":", "\"critical\":{},\"critical\":");
    let rows: [(Signature, &str); 14] = [
        (simple(&signer, b"garbage".to_vec()), "the payload: expected value"),
        (simple(&signer, b"{}".to_vec()), "has no critical.type"),
        (simple(&signer, twice.into_bytes()), "the key \"critical\" stands twice"),
        (
            simple(
                &signer,
                br#"{"critical":{"type":"atomic container signature"}}"#.to_vec(),
            ),
            "is a \"atomic container signature\"",
        ),
        (
            simple(&signer, Signer::payload("", &image.digest)),
            "docker-reference",
        ),
        (
            Signature::Simple {
                payload: Signer::payload("r.example/app", &image.digest).into(),
                signature: "***".to_owned(),
            },
            "is not base64",
        ),
        (bundle(b"{".to_vec()), "the bundle is not valid"),
        (bundle(b"{}".to_vec()), "of the unknown kind"),
        (
            bundle(br#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}"#.to_vec()),
            "has no signature",
        ),
        (
            bundle(
                br#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial":{"certificate":{}},"messageSignature":{"signature":"aGVsbG8="}}"#
                    .to_vec(),
            ),
            "without a key (keyless)",
        ),
        (
            bundle(signer.envelope(kind, &attested)),
            "statements about it",
        ),
        (
            bundle(signer.envelope("text/plain", &Signer::statement(&image.digest, "x"))),
            "statements about it",
        ),
        (
            bundle(signer.envelope(kind, br#"{"_type":"what"}"#)),
            "of an unknown kind",
        ),
        (
            Signature::Broken("blob is larger".to_owned()),
            "blob is larger",
        ),
    ];
    for (signature, part) in rows {
        let result = image.judged(&signer, Identity::SameRepository, &[signature]);
        refused(result, part);
    }
}

#[test]
fn one_good_signature_is_enough_for_one_demand() {
    let image = Image::new("r.example/app:1");
    let (first, second, stranger) = (Signer::new(), Signer::new(), Signer::new());
    let payload = || Signer::payload("r.example/app", &image.digest);
    let all = [
        Signature::Broken("broken".to_owned()),
        simple(&first, payload()),
        simple(&stranger, payload()),
        simple(&first, Signer::payload("r.example/x", &image.digest)),
    ];
    let both = [
        demand(&first, Identity::MatchRepository),
        demand(&second, Identity::MatchRepository),
    ];
    assert!(judge(&both[..1], &all, image.subject()).is_ok());
    let error = judge(&both, &all, image.subject()).unwrap_err();
    assert!(
        error.message().contains("each of the 4 signatures"),
        "{error}"
    );
    let all = [all.to_vec(), vec![simple(&second, payload())]].concat();
    assert_eq!(judge(&both, &all, image.subject()).unwrap().len(), 2);
}

/// A rule, the name that was asked for, the name that is signed, and whether they agree. `@` stands for a digest.
const NAMES: [(&str, &str, &str, bool); 23] = [
    ("matchExact", "r.example/a/b:1", "r.example/a/b:1", true),
    ("matchExact", "r.example/a/b:1", "r.example/a/b:2", false),
    ("matchExact", "r.example/a/b:1", "r.example/a/b", false),
    (
        "matchRepoDigestOrExact",
        "r.example/a/b:1",
        "r.example/a/b:1",
        true,
    ),
    (
        "matchRepoDigestOrExact",
        "r.example/a/b:1",
        "r.example/a/b",
        false,
    ),
    (
        "matchRepoDigestOrExact",
        "r.example/a/b@",
        "r.example/a/b:7",
        true,
    ),
    (
        "matchRepoDigestOrExact",
        "r.example/a/b@",
        "r.example/a/c",
        false,
    ),
    ("unstated", "r.example/a/b:1", "r.example/a/b", false),
    ("matchRepository", "r.example/a/b:1", "r.example/a/b", true),
    ("matchRepository", "r.example/a/b:1", "r.example/a", false),
    (
        "matchRepository",
        "debian:12",
        "index.docker.io/library/debian",
        true,
    ),
    ("key", "debian:12", "docker.io/library/debian", true),
    ("key", "debian:12", "debian:11", false),
    ("key", "r.example/a/b@", "r.example/a/b:7", true),
    (
        "reference x.example/y:1",
        "r.example/a/b:1",
        "x.example/y:1",
        true,
    ),
    (
        "reference x.example/y:1",
        "r.example/a/b:1",
        "x.example/y:2",
        false,
    ),
    (
        "repository x.example/y",
        "r.example/a/b:1",
        "x.example/y:2",
        true,
    ),
    (
        "repository x.example/y",
        "r.example/a/b:1",
        "r.example/a/b",
        false,
    ),
    (
        "remap r.example/a up.example",
        "r.example/a/b:1",
        "up.example/b:1",
        true,
    ),
    (
        "remap r.example up.example/z",
        "r.example/a/b:1",
        "up.example/z/a/b:1",
        true,
    ),
    (
        "remap r.example/a/b up.example/c",
        "r.example/a/b:1",
        "up.example/c:1",
        true,
    ),
    (
        "remap r.example/a up.example",
        "r.example/ab:1",
        "up.example/ab:1",
        false,
    ),
    (
        "remap r.example/a up.example",
        "r.example/ab:1",
        "r.example/ab:1",
        true,
    ),
];

/// The rule that a policy with these words has.
fn rule(words: &str) -> Identity {
    let words: Vec<&str> = words.split(' ').collect();
    let json = match words.as_slice() {
        ["key"] => return Identity::SameRepository,
        ["unstated"] => return Identity::Unstated,
        ["reference", name] => json!({"type": "exactReference", "dockerReference": name}),
        ["repository", name] => json!({"type": "exactRepository", "dockerRepository": name}),
        ["remap", prefix, signed] => {
            json!({"type": "remapIdentity", "prefix": prefix, "signedPrefix": signed})
        }
        other => json!({"type": other[0]}),
    };
    let requirement = json!({"type": "sigstoreSigned", "keyPath": "k", "signedIdentity": json});
    let policy = json!({"default": [requirement]}).to_string();
    match Policy::parse(policy.as_bytes())
        .unwrap()
        .requirements(None)
        .0
    {
        [Requirement::Signed { identity, .. }] => identity.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_newest_of_the_referrers_are_looked_at() {
    let kind = lapstrake_spec::MediaType::OCI_MANIFEST;
    let referrer = |text: &str, created: Option<&str>| {
        let mut desc = Descriptor::of(kind.clone(), text.as_bytes());
        let created = created.map(|at| ("org.opencontainers.image.created".into(), at.into()));
        desc.annotations.extend(created);
        desc
    };
    let new = referrer("new", Some("2026-02-01T00:00:00+05:00"));
    let newer = referrer("newer", Some("2026-01-31T23:00:00Z"));
    let mut listed = vec![newer.clone(), new.clone()];
    let old = |i| match i % 3 {
        0 => None,
        1 => Some("2026-01-01T00:00:00Z"),
        _ => Some("yesterday"),
    };
    listed.extend((0..100).map(|i| referrer(&format!("old {i}"), old(i))));
    let mut attested = referrer("attested", Some("2027-01-01T00:00:00Z"));
    attested.artifact_type = Some("application/spdx+json".to_owned());
    listed.push(attested);
    let found = newest(listed);
    assert_eq!(found.len(), 64);
    assert_eq!(found[62..], [new, newer]);
}

#[test]
fn names_are_compared_as_the_policy_says() {
    let digest = format!("@sha256:{}", "a".repeat(64));
    for (words, asked, signed, wanted) in NAMES {
        let asked = name(&asked.replace('@', &digest));
        let accepts = rule(words).accepts(&asked, Some(&name(signed)));
        assert_eq!(accepts, wanted, "{words}: {asked} signed as {signed}");
    }
    let nameless = |words: &str| rule(words).accepts(&name("r.example/a:1"), None);
    assert!(nameless("key") && nameless("unstated"));
    assert!(!nameless("matchRepository") && !nameless("matchRepoDigestOrExact"));
}

#[test]
fn the_narrowest_scope_counts() {
    let policy = Policy::parse(
        br#"{"default": [{"type": "reject"}], "transports": {
            "docker-daemon": {"": [{"type": "insecureAcceptAnything"}]},
            "docker": {
                "r.example:5000/team/app:1": [{"type": "insecureAcceptAnything"}],
                "r.example:5000/team/app": [{"type": "reject"}],
                "r.example:5000/team": [{"type": "insecureAcceptAnything"}],
                "*.example": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/x"}],
                "docker.io/library": [{"type": "sigstoreSigned", "keyPath": "hub.pub"}]
            }}}"#,
    )
    .unwrap();
    let rows = [
        (
            "r.example:5000/team/app:1",
            "transports.docker[\"r.example:5000/team/app:1\"]",
        ),
        (
            "r.example:5000/team/app:2",
            "transports.docker[\"r.example:5000/team/app\"]",
        ),
        (
            "r.example:5000/team/x/y:2",
            "transports.docker[\"r.example:5000/team\"]",
        ),
        ("r.example:5000/other:1", "transports.docker[\"*.example\"]"),
        ("a.b.example/other:1", "transports.docker[\"*.example\"]"),
        ("debian:1", "transports.docker[\"docker.io/library\"]"),
        ("someone/debian:1", "default"),
        // The tag beside a digest is nothing that anybody looks at.
        (
            "r.example:5000/team/app:1@",
            "transports.docker[\"r.example:5000/team/app\"]",
        ),
    ];
    let digest = format!("@sha256:{}", "a".repeat(64));
    for (image, wanted) in rows {
        let image = image.replace('@', &digest);
        assert_eq!(
            policy.requirements(Some(&name(&image))).1,
            wanted,
            "{image}"
        );
    }
    let (gpg, _) = policy.requirements(Some(&name("x.example/a:1")));
    assert!(matches!(&gpg[0], Requirement::Unsupported(text) if text.contains("signedBy")));
    assert_eq!(policy.requirements(None).1, "default");
}

#[test]
fn a_registry_is_the_same_however_it_is_written() {
    let requirements = |scope: &str, image: &str| {
        let policy = json!({
            "default": [{"type": "insecureAcceptAnything"}],
            "transports": {"docker": {scope: [{"type": "reject"}]}},
        });
        let policy = Policy::parse(policy.to_string().as_bytes()).unwrap();
        policy.requirements(Some(&name(image))).0.to_vec()
    };
    let rows = [
        ("r.example/a", "R.Example/a:1", true),
        ("R.EXAMPLE", "r.example/a:1", true),
        ("r.example/a:1", "r.example:443/a:1", true),
        ("r.example:443", "r.example/a:1", true),
        ("r.example:00443/a", "R.example:443/a", true),
        ("r.example:5000", "r.example:05000/a", true),
        ("*.Example", "r.EXAMPLE:443/a", true),
        ("docker.io/library", "DOCKER.io/library/debian", true),
        ("[fe80::443]", "[FE80::443]:443/a", true),
        ("r.example:5000", "r.example/a", false),
        ("r.example", "r.example:80/a", false),
        ("r.example/a:Tag", "r.example/a:tag", false),
        ("[fe80::443]", "[fe80:]/a", false),
    ];
    for (scope, image, wanted) in rows {
        let found = requirements(scope, image);
        let is_found = found == [Requirement::Reject];
        assert_eq!(is_found, wanted, "{scope} {image}");
    }
    wrong_policy(
        r#"{"default": [{"type": "reject"}], "transports": {"docker": {
            "r.example": [{"type": "reject"}], "R.example:443": [{"type": "reject"}]}}}"#,
        "the scope stands twice",
    );
}

/// Policies as a whole.
const WRONG_POLICIES: [(&str, &str); 8] = [
    ("{", "line 1 column 1"),
    ("[]", "policy: must be an object"),
    ("{}", "policy: `default` is missing"),
    (r#"{"default": []}"#, "default: must not be empty"),
    (r#"{"default": {}}"#, "default: must be an array"),
    (
        r#"{"default": [{"type": "reject"}], "enforce": true}"#,
        "policy: unknown key \"enforce\"",
    ),
    (
        r#"{"default": [{"type": "reject"}], "default": [{"type": "reject"}]}"#,
        "the key \"default\" stands twice at line 1 column",
    ),
    (
        r#"{"default": [{"type": "reject"}], "transports": {"docker": 1}}"#,
        "transports.docker: must be an object",
    ),
];

/// Requirements.
const WRONG_REQUIREMENTS: [(&str, &str); 3] = [
    ("{}", "default[0]: `type` must be given"),
    (
        r#"{"type": "accept"}"#,
        "default[0]: unknown type \"accept\"",
    ),
    (
        r#"{"type": "reject", "x": 1}"#,
        "default[0]: unknown key \"x\"",
    ),
];

/// What stands in a requirement of the type `sigstoreSigned`.
const WRONG_SIGNED: [(&str, &str); 7] = [
    (r#""x": 1"#, "default[0]: unknown key \"x\""),
    (
        r#""signedIdentity": {"type": "matchExact"}"#,
        "exactly one of keyPath",
    ),
    (
        r#""keyPath": "a", "keyData": "b""#,
        "exactly one of keyPath",
    ),
    (r#""keyPath": 7"#, "default[0].keyPath: must be a string"),
    (r#""keyPaths": []"#, "default[0].keyPaths: must be an array"),
    (
        r#""keyPaths": ["a", ""]"#,
        "default[0].keyPaths[1]: must be a string",
    ),
    (
        r#""keyData": "***""#,
        "default[0].keyData: must be a PEM file in base64",
    ),
];

/// What stands behind `signedIdentity`.
const WRONG_IDENTITIES: [(&str, &str); 7] = [
    ("1", "default[0].signedIdentity: must be an object"),
    (r#"{"type": "any"}"#, "signedIdentity: unknown type \"any\""),
    (
        r#"{"type": "matchExact", "x": 1}"#,
        "signedIdentity: unknown key \"x\"",
    ),
    (
        r#"{"type": "exactReference"}"#,
        "`dockerReference` must be given",
    ),
    (
        r#"{"type": "exactReference", "dockerReference": "a"}"#,
        "must have a tag or digest",
    ),
    (
        r#"{"type": "exactRepository", "dockerRepository": "a:1"}"#,
        "must have no tag",
    ),
    (
        r#"{"type": "remapIdentity", "prefix": "r.example", "signedPrefix": "x y"}"#,
        "`signedPrefix` must be a registry",
    ),
];

/// Scopes.
const WRONG_SCOPES: [(&str, &str); 5] = [
    ("library/debian", "a scope begins with the registry"),
    ("https://r.example", "without scheme"),
    ("r.example/", "without a slash at its end"),
    ("r.example/*", "can only stand before a domain"),
    ("*.example/a", "is a domain"),
];

#[track_caller]
fn wrong_policy(text: &str, part: &str) {
    let wrong = Policy::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(wrong.contains(part), "{text}\n{wrong}\n{part}");
}

#[test]
fn a_wrong_policy_is_refused_with_its_place() {
    for (text, part) in WRONG_POLICIES {
        wrong_policy(text, part);
    }
    for (text, part) in WRONG_REQUIREMENTS {
        wrong_policy(&format!(r#"{{"default": [{text}]}}"#), part);
    }
    for (text, part) in WRONG_SIGNED {
        let text = format!(r#"{{"default": [{{"type": "sigstoreSigned", {text}}}]}}"#);
        wrong_policy(&text, part);
    }
    for (text, part) in WRONG_IDENTITIES {
        let text = format!(
            r#"{{"default": [{{"type": "sigstoreSigned", "keyPath": "k", "signedIdentity": {text}}}]}}"#
        );
        wrong_policy(&text, part);
    }
    for (scope, part) in WRONG_SCOPES {
        let reject = json!([{"type": "reject"}]);
        let policy = json!({"default": reject, "transports": {"docker": {scope: reject}}});
        wrong_policy(&policy.to_string(), part);
    }
    let deep = format!("{{\"default\": {}", "[".repeat(1 << 16));
    wrong_policy(&deep, "recursion limit exceeded");
}

#[test]
fn a_wrong_key_is_refused_in_words() {
    let signer = Signer::new();
    let with = |label: &str| signer.pem().replace("PUBLIC KEY", label);
    let rows = [
        (String::new(), "there is no public key"),
        ("hello".to_owned(), "there is no public key"),
        (
            signer.pem().replace("-----END", "-----"),
            "there is no `-----END PUBLIC KEY-----`",
        ),
        (with("CERTIFICATE"), "is a certificate"),
        (with("PGP PUBLIC KEY BLOCK"), "is a PGP key"),
        (with("EC PRIVATE KEY"), "is a private key"),
        (with("ENCRYPTED SIGSTORE PRIVATE KEY"), "is a private key"),
        (
            "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----".to_owned(),
            "no valid PEM",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\naGVsbG8=\n-----END PUBLIC KEY-----".to_owned(),
            "of an unknown kind",
        ),
    ];
    for (pem, part) in rows {
        let wrong = TrustedKey::parse_all("k", pem.as_bytes()).unwrap_err();
        assert!(wrong.contains(part), "{pem}\n{wrong}");
    }
    let two = format!(
        "# ours\n{}\n# theirs\n{}",
        signer.pem(),
        Signer::new().pem()
    );
    assert_eq!(TrustedKey::parse_all("k", two.as_bytes()).unwrap().len(), 2);
}

#[test]
fn files_are_found_where_they_are_documented() {
    let directory = Directory::new();
    let files = TrustFiles {
        named_policy: None,
        policies: vec![directory.join("own.json"), directory.join("machine.json")],
        key_folders: vec![directory.join("own.d"), directory.join("machine.d")],
    };
    let load = |files: &TrustFiles| Trust::load(files).map_err(|error| error.message().to_owned());
    assert!(load(&files).unwrap_err().contains("no key is configured"));
    let signer = Signer::new();
    directory.write("machine.d/a.pub", signer.pem());
    directory.write("own.d/b.pub", Signer::new().pem());
    directory.write("own.d/notes.txt", "no key");
    let count = |files: &TrustFiles| match load(files).unwrap().needs(Some(&name("a:1"))).unwrap() {
        Needs::Nothing => 0,
        Needs::Signatures(demands) => demands.iter().map(|one| one.keys.len()).sum(),
    };
    assert_eq!(count(&files), 2);
    directory.write("own.d/c.pub", "no key");
    let wrong = load(&files).unwrap_err();
    assert!(wrong.contains("own.d/c.pub cannot be used"), "{wrong}");
    let data = STANDARD.encode(signer.pem());
    let policy = format!(
        r#"{{"default": [{{"type": "sigstoreSigned", "keyPath": "machine.d/a.pub"}},
            {{"type": "sigstoreSigned", "keyDatas": ["{data}"]}}]}}"#
    );
    directory.write("machine.json", &policy);
    assert_eq!(count(&files), 2);
    directory.write(
        "own.json",
        r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
    );
    assert_eq!(count(&files), 0);
    let named = TrustFiles {
        named_policy: Some(directory.join("named.json")),
        ..files.clone()
    };
    assert!(
        load(&named)
            .unwrap_err()
            .contains("named.json: no such file")
    );
    directory.write("named.json", "{\"default\":\n\n x}");
    let wrong = load(&named).unwrap_err();
    assert!(
        wrong.contains("named.json cannot be used: expected value at line 3 column 2"),
        "{wrong}"
    );
    directory.write("named.json", "x".repeat((1 << 20) + 1));
    assert!(load(&named).unwrap_err().contains("larger than"));
    directory.write("own.json", policy.replace("machine.d/a.pub", "gone.pub"));
    let wrong = load(&files).unwrap().needs(Some(&name("a:1"))).unwrap_err();
    assert!(
        wrong
            .message()
            .contains("gone.pub cannot be used: no such file"),
        "{wrong}"
    );
}
