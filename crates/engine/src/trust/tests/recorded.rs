//! What other tools signed: `recorded.json` has the output of cosign 3.1.1 (each key in both forms) and
//! of skopeo 1.22.0, with keys made for it and used nowhere else.

use super::{Identity, Image, Signature, TrustedKey, refused};
use crate::trust::judge::{Demand, judge};
use crate::trust::private::SigningKey;
use base64::Engine as _;
use lapstrake_spec::Digest;
use serde_json::Value;

#[test]
fn signatures_of_other_tools_are_verified() {
    let all: Vec<Value> = serde_json::from_str(include_str!("recorded.json")).unwrap();
    assert_eq!(all.len(), 4);
    for recorded in &all {
        let text = |key: &str| recorded[key].as_str().unwrap_or_default().to_owned();
        let manifest = text("manifest").into_bytes();
        let image = Image {
            name: super::name(&format!("{}:1", text("name"))),
            digest: Digest::sha256(&manifest),
            manifest,
        };
        let keys = TrustedKey::parse_all("k.pub", text("key").as_bytes()).unwrap();
        let judged = |signature: Signature, digest: &Digest| {
            let demand = Demand {
                keys: keys.clone(),
                identity: Identity::SameRepository,
                place: "trust.d".to_owned(),
            };
            let mut subject = image.subject();
            subject.digest = digest;
            let proofs = judge(&[demand], &[signature], subject);
            proofs
                .map(|_| ())
                .map_err(|error| error.message().to_owned())
        };
        let payload = Signature::Simple {
            payload: text("payload").into(),
            signature: text("signature"),
        };
        let bundle = Signature::Bundle(text("bundle").into());
        let both = [Some(payload), recorded.get("bundle").map(|_| bundle)];
        for signature in both.into_iter().flatten() {
            let (tool, name) = (text("tool"), text("name"));
            let result = judged(signature.clone(), &image.digest);
            assert_eq!(result, Ok(()), "{tool}, {name}");
            let other = Digest::sha256(b"other");
            refused(judged(signature, &other), "is of sha256:");
        }
        let changed = Signature::Simple {
            payload: text("payload").replace("rec/", "rex/").into(),
            signature: text("signature"),
        };
        refused(judged(changed, &image.digest), "is by another key");
    }
}

#[test]
fn a_private_key_of_cosign_is_opened_by_its_passphrase() {
    let all: Vec<Value> = serde_json::from_str(include_str!("recorded.json")).unwrap();
    let text = |key: &str| all[0][key].as_str().unwrap();
    let key = SigningKey::open(text("private"), text("passphrase")).unwrap();
    assert_eq!(key.public_pem(), text("key"));
    let signature = key.sign(b"message").unwrap();
    let signature = super::STANDARD.decode(signature).unwrap();
    assert!(key.verifier().unwrap().verifies(b"message", &signature));
    let refused = |pem: &str, passphrase: &str| {
        let error = SigningKey::open(pem, passphrase).unwrap_err();
        error.message().to_owned()
    };
    assert!(refused(text("private"), "y").ends_with("the passphrase is wrong"));
    assert!(refused(text("key"), "x").contains("no encrypted private key"));
    let boxed = |json: &str| {
        let body = super::STANDARD.encode(json);
        let label = "ENCRYPTED COSIGN PRIVATE KEY";
        refused(
            &format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"),
            "x",
        )
    };
    let kdf = |n: &str| {
        format!(
            r#"{{"kdf":{{"name":"scrypt","params":{{"N":{n},"r":8,"p":1}},"salt":"AA=="}},
            "cipher":{{"name":"nacl/secretbox","nonce":"AAAA"}},"ciphertext":"AA=="}}"#
        )
    };
    for (json, part) in [
        ("{".to_owned(), "is not valid: EOF"),
        ("{}".to_owned(), "of an unknown kind"),
        (kdf("3"), "numbers are out of range"),
        (kdf("4611686018427387904"), "numbers are out of range"),
        (kdf("-1"), "numbers are out of range"),
        (kdf("1024"), "no nonce"),
    ] {
        let message = boxed(&json);
        assert!(message.contains(part), "{json}: {message}");
    }
}

#[test]
fn a_new_key_is_opened_by_its_passphrase() {
    let (key, text) = SigningKey::generate("open sesame").unwrap();
    let again = SigningKey::open(&text, "open sesame").unwrap();
    assert_eq!(key.id(), again.id());
    assert!(SigningKey::open(&text, "open").is_err());
}
