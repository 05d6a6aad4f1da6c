//! What other tools signed: `recorded.json` has the output of cosign 3.1.1 (each key in both forms) and
//! of skopeo 1.22.0, with keys made for it.

use super::{Identity, Image, Signature, TrustedKey, refused};
use crate::trust::judge::{Demand, judge};
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
