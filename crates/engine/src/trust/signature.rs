//! Signatures: what signers put beside an image, and whether it is a signature of this image.
//!
//! A *simple signing* payload is a text with the image's name and digest, signed as it is. A *bundle*
//! holds either an envelope around a statement about digests, or a signature of the manifest's own
//! bytes; neither names a repository. Nothing in a text is believed before its signature is verified.

use super::identity::Identity;
use super::json::Json;
use super::key::TrustedKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lapstrake_spec::{Digest, Reference};

/// The annotation of a layer that is a simple signing payload: its signature.
pub(super) const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The media type of simple signing payloads.
pub(super) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// How the media types of bundles begin.
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// What a simple signing payload says that it is.
const PAYLOAD_TYPE: &str = "cosign container image signature";
/// The bundles whose parts are known.
const BUNDLES: [&str; 4] = [
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
];
/// What an envelope holds.
const STATEMENT: &str = "application/vnd.in-toto+json";
const STATEMENTS: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];
/// The statement that an image is signed. Others are about how it was made or what is in it: their
/// signers have not said that it may be used.
pub(super) const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
/// Signatures of one envelope.
const ENVELOPE_SIGNATURES_LIMIT: usize = 16;

/// One signature, as it came.
#[derive(Debug, Clone)]
pub(super) enum Signature {
    /// A payload with its signature in base64.
    Simple {
        /// The text.
        payload: Bytes,
        /// The signature.
        signature: String,
    },
    /// A bundle.
    Bundle(Bytes),
    /// One that could not be read, and why.
    Broken(String),
}

/// The image that is to be verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// The name that was asked for.
    pub(super) name: &'a Reference,
    /// What it stands for.
    pub(super) digest: &'a Digest,
    /// The bytes of that manifest or index.
    pub(super) manifest: &'a [u8],
}

/// Why a signature does not count. A later one tells more about what happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// It is a statement about the image that is no signature of it.
    OtherStatement,
    /// Made without a key that lasts.
    Keyless,
    /// No configured key made it.
    OtherKey,
    /// It cannot be understood.
    Malformed(String),
    /// A configured key signed another digest.
    OtherDigest {
        /// The key.
        key: String,
        /// What is signed.
        signed: String,
    },
    /// A configured key signed this digest, without saying under which name.
    NoName {
        /// The key.
        key: String,
    },
    /// A configured key signed this digest under another name.
    OtherName {
        /// The key.
        key: String,
        /// The name.
        signed: Reference,
    },
}

/// The key that made this signature of this image.
pub(super) fn check<'k>(
    signature: &Signature,
    subject: Subject<'_>,
    keys: &'k [TrustedKey],
    identity: &Identity,
) -> Result<&'k TrustedKey, Fault> {
    match signature {
        Signature::Simple { payload, signature } => {
            let signature = base64(signature)?;
            let key = signer(keys, payload, &signature).ok_or(Fault::OtherKey)?;
            let (signed, digest) = payload_says(payload).map_err(Fault::Malformed)?;
            same_digest(&digest, subject, key)?;
            named(key, subject, Some(signed), identity)
        }
        Signature::Bundle(raw) => bundle(raw, subject, keys, identity),
        Signature::Broken(why) => Err(Fault::Malformed(why.clone())),
    }
}

fn signer<'k>(keys: &'k [TrustedKey], message: &[u8], signature: &[u8]) -> Option<&'k TrustedKey> {
    keys.iter().find(|key| key.verifies(message, signature))
}

fn base64(text: &str) -> Result<Vec<u8>, Fault> {
    STANDARD
        .decode(text.trim())
        .map_err(|error| Fault::Malformed(format!("the signature is not base64: {error}")))
}

fn same_digest(signed: &str, subject: Subject<'_>, key: &TrustedKey) -> Result<(), Fault> {
    if signed == subject.digest.as_str() {
        return Ok(());
    }
    Err(Fault::OtherDigest {
        key: key.name.clone(),
        signed: signed
            .chars()
            .filter(|c| !c.is_control())
            .take(160)
            .collect(),
    })
}

fn named<'k>(
    key: &'k TrustedKey,
    subject: Subject<'_>,
    signed: Option<Reference>,
    identity: &Identity,
) -> Result<&'k TrustedKey, Fault> {
    if identity.accepts(subject.name, signed.as_ref()) {
        return Ok(key);
    }
    let key = key.name.clone();
    Err(match signed {
        Some(signed) => Fault::OtherName { key, signed },
        None => Fault::NoName { key },
    })
}

/// The name and the digest in a payload.
fn payload_says(payload: &[u8]) -> Result<(Reference, String), String> {
    let document = Json::parse(payload).map_err(|error| format!("the payload: {error}"))?;
    let text = |keys: &[&str]| {
        let found = document.at(keys).and_then(Json::text);
        found.ok_or_else(|| format!("the payload has no {}", keys.join(".")))
    };
    let kind = text(&["critical", "type"])?;
    if kind != PAYLOAD_TYPE {
        return Err(format!("the payload is a {kind:?}, no {PAYLOAD_TYPE:?}"));
    }
    let name = text(&["critical", "identity", "docker-reference"])?;
    let digest = text(&["critical", "image", "docker-manifest-digest"])?;
    let name = Reference::parse(name)
        .map_err(|error| format!("the payload's docker-reference {name:?}: {error}"))?;
    Ok((name, digest.to_owned()))
}

fn bundle<'k>(
    raw: &[u8],
    subject: Subject<'_>,
    keys: &'k [TrustedKey],
    identity: &Identity,
) -> Result<&'k TrustedKey, Fault> {
    let malformed = |text: String| Fault::Malformed(format!("the bundle {text}"));
    let bundle = Json::parse(raw).map_err(|error| malformed(format!("is not valid: {error}")))?;
    let kind = bundle.at(&["mediaType"]).and_then(Json::text);
    if !kind.is_some_and(|kind| BUNDLES.contains(&kind)) {
        return Err(malformed(format!(
            "is of the unknown kind {}",
            kind.unwrap_or("\"\"")
        )));
    }
    let material = |key: &str| bundle.at(&["verificationMaterial", key]).is_some();
    let without_key = || {
        if material("certificate") || material("x509CertificateChain") {
            Fault::Keyless
        } else {
            Fault::OtherKey
        }
    };
    if let Some(envelope) = bundle.at(&["dsseEnvelope"]) {
        let (key, statement) = opened(envelope, keys, without_key)?;
        let digests = statement_says(&statement)?;
        let wanted = subject.digest.as_str();
        let first = digests.first().cloned().unwrap_or_default();
        let signed = digests.into_iter().find(|one| one == wanted);
        same_digest(&signed.unwrap_or(first), subject, key)?;
        return named(key, subject, None, identity);
    }
    let signature = bundle
        .at(&["messageSignature", "signature"])
        .and_then(Json::text)
        .ok_or_else(|| malformed("has no signature".to_owned()))?;
    let signature = base64(signature)?;
    let key = signer(keys, subject.manifest, &signature).ok_or_else(without_key)?;
    named(key, subject, None, identity)
}

/// Whose envelope it is, and what is in it.
fn opened<'k>(
    envelope: &Json,
    keys: &'k [TrustedKey],
    without_key: impl Fn() -> Fault,
) -> Result<(&'k TrustedKey, Vec<u8>), Fault> {
    let missing = |what: &str| Fault::Malformed(format!("the envelope has no {what}"));
    let text = |key: &str| envelope.at(&[key]).and_then(Json::text);
    let kind = text("payloadType").ok_or_else(|| missing("payloadType"))?;
    let payload = base64(text("payload").ok_or_else(|| missing("payload"))?)?;
    let signatures = envelope.at(&["signatures"]).and_then(Json::list);
    let signatures = signatures.ok_or_else(|| missing("signatures"))?;
    let message = pre_authentication(kind, &payload);
    for signature in signatures.iter().take(ENVELOPE_SIGNATURES_LIMIT) {
        let signature = signature.at(&["sig"]).and_then(Json::text);
        let signature = base64(signature.ok_or_else(|| missing("sig"))?)?;
        if let Some(key) = signer(keys, &message, &signature) {
            if kind != STATEMENT {
                return Err(Fault::OtherStatement);
            }
            return Ok((key, payload));
        }
    }
    Err(without_key())
}

/// What the signature of an envelope is made over.
fn pre_authentication(kind: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// The digests that a statement says are signed.
fn statement_says(statement: &[u8]) -> Result<Vec<String>, Fault> {
    let malformed = |text: String| Fault::Malformed(format!("the statement {text}"));
    let statement = Json::parse(statement).map_err(|error| malformed(error.to_string()))?;
    let text = |key: &str| statement.at(&[key]).and_then(Json::text);
    if !text("_type").is_some_and(|kind| STATEMENTS.contains(&kind)) {
        return Err(malformed("is of an unknown kind".to_owned()));
    }
    if text("predicateType") != Some(SIGNED) {
        return Err(Fault::OtherStatement);
    }
    let subjects = statement.at(&["subject"]).and_then(Json::list);
    let subjects = subjects.ok_or_else(|| malformed("is about nothing".to_owned()))?;
    let each = subjects
        .iter()
        .filter_map(|subject| subject.at(&["digest"])?.object());
    Ok(each
        .flatten()
        .filter_map(|(algorithm, hex)| Some(format!("{algorithm}:{}", hex.text()?)))
        .collect())
}
