//! From signatures and demands to an answer.

use super::identity::Identity;
use super::key::TrustedKey;
use super::signature::{Fault, Signature, Subject, check};
use crate::error::{Error, ErrorKind, Origin};
use lapstrake_spec::{Digest, Reference};

/// A signature that an image needs: by one of these keys, under such a name.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    /// The keys.
    pub(super) keys: Vec<TrustedKey>,
    /// The name.
    pub(super) identity: Identity,
    /// Where it is demanded, for errors.
    pub(super) place: String,
}

/// A demand that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The key, as people know it.
    pub(crate) key: String,
    /// The key's digest.
    pub(crate) id: Digest,
    /// How the name was compared.
    pub(super) identity: String,
}

/// The proofs that all demands are met, in their order. The newest signatures are asked first.
pub(super) fn judge(
    demands: &[Demand],
    signatures: &[Signature],
    subject: Subject<'_>,
) -> Result<Vec<Proof>, Error> {
    let each = demands.iter();
    each.map(|demand| meet(demand, signatures, subject))
        .collect()
}

fn meet(demand: &Demand, signatures: &[Signature], subject: Subject<'_>) -> Result<Proof, Error> {
    let mut worst = None;
    for signature in signatures.iter().rev() {
        match check(signature, subject, &demand.keys, &demand.identity) {
            Ok(key) => {
                return Ok(Proof {
                    key: key.name.clone(),
                    id: key.id.clone(),
                    identity: demand.identity.word(),
                });
            }
            Err(fault) => worst = worst.max(Some(fault)),
        }
    }
    Err(match worst {
        None => unsigned(subject),
        Some(fault) => refused(&fault, signatures.len(), demand, subject),
    })
}

/// A refusal.
pub(super) fn refusal(text: String) -> Error {
    Error::new(ErrorKind::Denied, text)
        .with_origin(Origin::Client)
        .untrusted()
}

fn unsigned(subject: Subject<'_>) -> Error {
    let name = subject.name.familiar_name();
    let digest = subject.digest;
    refusal(format!(
        "remote trust data does not exist for {}: there is no signature of {digest}",
        subject.name.repository()
    ))
    .with_hint(format!(
        "its publisher can sign it: `cosign sign --key cosign.key {name}@{digest}`; \
         `--disable-content-trust` does without a signature"
    ))
}

/// What is known by its tag, or its digest, in docker's words.
fn which(name: &Reference) -> String {
    let tag = name.tag().map(str::to_owned);
    tag.or_else(|| name.digest().map(ToString::to_string))
        .unwrap_or_default()
}

fn refused(fault: &Fault, count: usize, demand: &Demand, subject: Subject<'_>) -> Error {
    let Subject { name, digest, .. } = subject;
    let start = format!("No valid trust data for {}", which(name));
    let these = if count == 1 {
        "the signature".to_owned()
    } else {
        format!("each of the {count} signatures")
    };
    let (text, hint) = match fault {
        Fault::OtherStatement => (
            format!("what is signed of {digest} are statements about it, no signature of the image"),
            "the publisher can sign it: `cosign sign`".to_owned(),
        ),
        Fault::Keyless => (
            format!("{these} of {digest} was made without a key (keyless), which is not supported"),
            "ask the publisher for a signature by a key".to_owned(),
        ),
        Fault::OtherKey => (
            format!(
                "{these} of {digest} is by another key than those of {}",
                demand.place
            ),
            other_key_hint(demand).to_owned(),
        ),
        Fault::Malformed(why) => (
            format!("{these} of {digest} cannot be used: {why}"),
            "the publisher can sign the image anew".to_owned(),
        ),
        Fault::OtherDigest { key, signed } => (
            format!("the signature by {key} is of {signed}, and the image is {digest}"),
            "somebody put a signature of another image beside this one: do not use it".to_owned(),
        ),
        Fault::NoName { key } => (
            format!(
                "the signature by {key} names no repository, and {} demands {}",
                demand.place,
                demand.identity.word()
            ),
            "sign with `cosign sign --new-bundle-format=false`, or leave `signedIdentity` out of the policy"
                .to_owned(),
        ),
        Fault::OtherName { key, signed } => (
            format!("the signature by {key} is of {signed}, and {name} was asked for"),
            other_name_hint(demand, name, signed),
        ),
    };
    refusal(format!("{start}: {text}")).with_hint(hint)
}

fn other_key_hint(demand: &Demand) -> &'static str {
    if demand.keys.iter().any(TrustedKey::is_ed25519) {
        return "with an Ed25519 key, cosign 3 signs in a form (Ed25519ph) that is not supported: use a key as \
                `cosign generate-key-pair` makes it";
    }
    "if the publisher has a new key, get it from the publisher and put it there"
}

fn other_name_hint(demand: &Demand, asked: &Reference, signed: &Reference) -> String {
    if demand.identity.wants_tag(asked, signed) {
        return "the signature names the repository alone, as cosign's do: the policy accepts that with \
                `\"signedIdentity\": {\"type\": \"matchRepository\"}`"
            .to_owned();
    }
    "an image that was copied from elsewhere keeps its signer's name: a policy accepts that with \
     `signedIdentity` of the type `exactRepository` or `remapIdentity`"
        .to_owned()
}
