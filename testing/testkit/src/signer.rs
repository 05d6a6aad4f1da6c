//! Signs images as cosign does: simple signing payloads under a tag, bundles among the referrers.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapstrake_spec::{Digest, Reference};
use serde_json::{Value, json};

use crate::registry::TestRegistry;

/// The kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256 with SHA-256.
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 bits with SHA-256.
    Rsa,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A key pair made for a test.
pub struct Signer {
    pair: Pair,
    public: Vec<u8>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

fn der(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
    key.as_der().unwrap().as_ref().to_vec()
}

impl Signer {
    /// A new key on P-256, as cosign makes them.
    pub fn new() -> Self {
        Self::of(KeyKind::P256)
    }

    /// A new key of a kind.
    pub fn of(kind: KeyKind) -> Self {
        let (pair, public) = match kind {
            KeyKind::P256 | KeyKind::P384 => {
                let algorithm = match kind {
                    KeyKind::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
                    _ => &ECDSA_P256_SHA256_ASN1_SIGNING,
                };
                let pair = EcdsaKeyPair::generate(algorithm).unwrap();
                let public = der(pair.public_key());
                (Pair::Ecdsa(pair), public)
            }
            KeyKind::Ed25519 => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let public = der(pair.public_key());
                (Pair::Ed25519(pair), public)
            }
            KeyKind::Rsa => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let public = der(pair.public_key());
                (Pair::Rsa(pair), public)
            }
        };
        Self { pair, public }
    }

    /// The public key in PEM.
    pub fn pem(&self) -> String {
        let body = STANDARD.encode(&self.public);
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    /// Signs bytes; in base64.
    pub fn sign(&self, message: &[u8]) -> String {
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        };
        STANDARD.encode(signature)
    }

    /// What cosign signs: the image's name and digest.
    pub fn payload(name: &str, digest: &Digest) -> Vec<u8> {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": name },
                "image": { "docker-manifest-digest": digest.as_str() },
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        payload.to_string().into_bytes()
    }

    /// A bundle around a statement.
    pub fn envelope(&self, kind: &str, statement: &[u8]) -> Vec<u8> {
        let head = format!("DSSEv1 {} {kind} {} ", kind.len(), statement.len());
        let message = [head.as_bytes(), statement].concat();
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": { "publicKey": { "hint": "" } },
            "dsseEnvelope": {
                "payload": STANDARD.encode(statement),
                "payloadType": kind,
                "signatures": [{ "sig": self.sign(&message) }],
            },
        });
        bundle.to_string().into_bytes()
    }

    /// The statement about an image that is signed in bundles.
    pub fn statement(digest: &Digest, predicate: &str) -> Vec<u8> {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { digest.algorithm().name(): digest.hex() } }],
            "predicateType": predicate,
            "predicate": {},
        });
        statement.to_string().into_bytes()
    }

    /// The bundle that says that an image is signed.
    pub fn bundle(&self, digest: &Digest) -> Vec<u8> {
        let statement = Self::statement(digest, "https://sigstore.dev/cosign/sign/v1");
        self.envelope("application/vnd.in-toto+json", &statement)
    }

    /// A bundle with a signature of a manifest's own bytes.
    pub fn message_bundle(&self, manifest: &[u8]) -> Vec<u8> {
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": { "publicKey": { "hint": "" } },
            "messageSignature": {
                "messageDigest": { "algorithm": "SHA2_256", "digest": "" },
                "signature": self.sign(manifest),
            },
        });
        bundle.to_string().into_bytes()
    }
}

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}

impl TestRegistry {
    /// Puts payloads with their signatures under the tag where cosign looks for those of a digest.
    pub fn put_signatures(&self, name: &Reference, digest: &Digest, all: &[(Vec<u8>, String)]) {
        let layers: Vec<Value> = all
            .iter()
            .map(|(payload, signature)| {
                let annotations = json!({ "dev.cosignproject.cosign/signature": signature });
                let media_type = "application/vnd.dev.cosign.simplesigning.v1+json";
                layer(media_type, payload, &annotations)
            })
            .collect();
        let mut blobs: Vec<Vec<u8>> = all.iter().map(|(payload, _)| payload.clone()).collect();
        blobs.dedup();
        let tag = format!("{}-{}.sig", digest.algorithm(), digest.hex());
        self.put_artifact(name.path(), Some(&tag), &manifest(&layers), &blobs);
    }

    /// Signs what a name stands for, as `cosign sign` of version 2 does.
    pub fn sign(&self, name: &Reference, digest: &Digest, signer: &Signer) {
        let payload = Signer::payload(&name.repository(), digest);
        let signature = signer.sign(&payload);
        self.put_signatures(name, digest, &[(payload, signature)]);
    }

    /// Puts a bundle among the referrers of a digest, as `cosign sign` of version 3 does; under the tag
    /// that stands in for their list when `tagged`.
    pub fn put_bundle(&self, name: &Reference, digest: &Digest, bundle: &[u8], tagged: bool) {
        let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let mut made = manifest(&[layer(kind, bundle, &json!({}))]);
        made["artifactType"] = json!(kind);
        if !tagged {
            made["subject"] = json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest.as_str(),
                "size": 1,
            });
        }
        let size = made.to_string().len();
        let put = self.put_artifact(name.path(), None, &made, &[bundle.to_vec()]);
        if tagged {
            let list = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [{
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "digest": put.as_str(),
                    "size": size,
                    "artifactType": "application/vnd.oci.empty.v1+json",
                }],
            });
            let tag = format!("{}-{}", digest.algorithm(), digest.hex());
            self.put_artifact(name.path(), Some(&tag), &list, &[]);
        }
    }
}

fn manifest(layers: &[Value]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": Digest::sha256(b"{}").as_str(),
            "size": 2,
        },
        "layers": layers,
    })
}

fn layer(media_type: &str, bytes: &[u8], annotations: &Value) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::sha256(bytes).as_str(),
        "size": bytes.len(),
        "annotations": annotations,
    })
}
