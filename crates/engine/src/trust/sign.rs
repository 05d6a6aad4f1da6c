//! Puts a signature beside an image, where cosign puts and looks for those of simple signing.
//!
//! The payload names the tag, as those of skopeo do: a registry cannot put the signature of one tag
//! under another. Signatures that are there stay. Two who sign the same image at the same moment may
//! lose one of their signatures, as with cosign: registries have no way to change what another reads.

use super::private::SigningKey;
use super::signature::{SIGNATURE_ANNOTATION, SIMPLE_SIGNING};
use crate::error::{Error, ErrorKind, Origin};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lapstrake_image::memory::Memory;
use lapstrake_image::{ContentSink as _, ContentSource as _, Silent};
use lapstrake_registry::client::Client;
use lapstrake_spec::{Descriptor, Digest, Manifest, MediaType, Reference};
use serde_json::json;
use std::collections::BTreeMap;

/// Signs that `digest` is what `name` stands for.
pub(crate) async fn publish(
    client: &Client,
    name: &Reference,
    digest: &Digest,
    key: &SigningKey,
) -> Result<(), Error> {
    let worded = |error: lapstrake_image::Error| Error::from(error).with_origin(Origin::Stream);
    let payload = payload(&name.without_digest(), digest);
    let place = place(name, digest)?;
    let mut layers = present(client, &place).await?;
    let own = Descriptor::of(MediaType::new(SIMPLE_SIGNING), &payload);
    let verifier = key.verifier()?;
    let is_same = |layer: &Descriptor| {
        let signature = layer.annotations.get(SIGNATURE_ANNOTATION);
        let signature = signature.and_then(|text| STANDARD.decode(text).ok());
        layer.digest == own.digest
            && signature.is_some_and(|signature| verifier.verifies(&payload, &signature))
    };
    if layers.iter().any(is_same) {
        return Ok(());
    }
    let mut signed = own.clone();
    let signature = key.sign(&payload)?;
    signed
        .annotations
        .insert(SIGNATURE_ANNOTATION.to_owned(), signature);
    layers.push(signed);
    let memory = Memory::new();
    memory.add_blob(own.media_type.clone(), payload);
    let config = memory.add_blob(MediaType::OCI_CONFIG, config(&layers));
    let raw = serde_json::to_vec(&manifest(config.clone(), layers)).map_err(Error::internal)?;
    let raw = Bytes::from(raw);
    let made = Descriptor::of(MediaType::OCI_MANIFEST, &raw);
    let sink = client.sink(&place, BTreeMap::new());
    for blob in [&own, &config] {
        sink.put_blob(blob, None, &memory, &Silent)
            .await
            .map_err(worded)?;
    }
    sink.put_manifest(&made, raw).await.map_err(worded)?;
    sink.tag(&place, &made).await.map_err(worded)
}

/// Where the signatures of a digest are.
fn place(name: &Reference, digest: &Digest) -> Result<Reference, Error> {
    let tag = format!("{}-{}.sig", digest.algorithm(), digest.hex());
    name.without_tag_and_digest()
        .with_tag(&tag)
        .map_err(|error| {
            let text = format!("{digest} cannot be signed: {error}");
            Error::new(ErrorKind::Unsupported, text).with_origin(Origin::Client)
        })
}

/// The signatures that are there.
async fn present(client: &Client, place: &Reference) -> Result<Vec<Descriptor>, Error> {
    let source = client.source(place);
    let found = match source.resolve(place).await {
        Err(error) if error.kind() == lapstrake_image::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let raw = source.manifest(&found).await?;
    let manifest: Manifest = serde_json::from_slice(&raw).map_err(|error| {
        let text = format!("the signatures at {place} cannot be read: {error}");
        Error::new(ErrorKind::Corrupt, text).with_origin(Origin::Client)
    })?;
    Ok(manifest.layers)
}

fn payload(name: &Reference, digest: &Digest) -> Vec<u8> {
    let payload = json!({
        "critical": {
            "identity": { "docker-reference": name.canonical() },
            "image": { "docker-manifest-digest": digest.as_str() },
            "type": "cosign container image signature",
        },
        "optional": { "creator": concat!("lapstrake/", env!("CARGO_PKG_VERSION")) },
    });
    payload.to_string().into_bytes()
}

/// The configuration of an image whose layers are the payloads: some readers want one.
fn config(layers: &[Descriptor]) -> Vec<u8> {
    const NEVER: &str = "0001-01-01T00:00:00Z";
    let layers: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let history: Vec<_> = layers.iter().map(|_| json!({ "created": NEVER })).collect();
    let config = json!({
        "architecture": "",
        "created": NEVER,
        "history": history,
        "os": "",
        "rootfs": { "type": "layers", "diff_ids": layers },
        "config": {},
    });
    config.to_string().into_bytes()
}

fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: Some(MediaType::OCI_MANIFEST),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    }
}
