//! Where signatures are: beside the image, in its own repository.
//!
//! Under the tag `sha256-HEX.sig` there is a manifest whose layers are simple signing payloads. What
//! names the image as its subject, listed by the registry or under the tag `sha256-HEX`, are manifests
//! with payloads or bundles as layers. A signature that is broken, or too many of them, keeps nobody
//! from finding a good one among the newest.

use super::signature::{BUNDLE, SIGNATURE_ANNOTATION, SIGNED, SIMPLE_SIGNING, Signature};
use bytes::Bytes;
use lapstrake_image::{ContentSource, Error, ErrorKind, RetryPolicy, Silent, read_blob};
use lapstrake_registry::client::{Client, Source};
use lapstrake_spec::{Descriptor, Digest, Manifest, MediaType, Reference};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Signatures of one image that are looked at, from one place; the newest.
const SIGNATURES_LIMIT: usize = 512;
/// Blobs with payloads or bundles that are fetched, from one place.
const BLOBS_LIMIT: usize = 64;
/// Manifests that name the image and are fetched.
const REFERRERS_LIMIT: usize = 64;
/// Bytes of a payload or bundle.
const BLOB_LIMIT: usize = 256 << 10;

/// The kind of a manifest with simple signing payloads, where it says one.
const COSIGN_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// What some writers of the list say of every manifest.
const EMPTY_ARTIFACT: &str = "application/vnd.oci.empty.v1+json";
/// The annotation of a bundle with a statement: what it states.
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
/// The annotation that says when a manifest was made.
const CREATED: &str = "org.opencontainers.image.created";

/// The signatures of one image in a registry.
pub(super) struct Signatures<'a> {
    client: &'a Client,
    source: Arc<Source>,
    name: &'a Reference,
    digest: &'a Digest,
}

impl<'a> Signatures<'a> {
    pub(super) fn new(client: &'a Client, name: &'a Reference, digest: &'a Digest) -> Self {
        Self {
            client,
            source: client.source(name),
            name,
            digest,
        }
    }

    /// Those under the tag made of the digest.
    pub(super) async fn tagged(&self) -> Result<Vec<Signature>, Error> {
        let (algorithm, hex) = (self.digest.algorithm().name(), self.digest.hex());
        // The digits of a long digest make no tag, so nobody can have used it.
        let Ok(tag) = self
            .name
            .without_tag_and_digest()
            .with_tag(&format!("{algorithm}-{hex}.sig"))
        else {
            return Ok(Vec::new());
        };
        let found = match self.source.resolve(&tag).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return broken(error),
            Ok(found) => found,
        };
        let mut blobs = Blobs::new(&self.source);
        let all = self.of_manifest(&found, &mut blobs).await;
        all.or_else(broken)
    }

    /// Those of the manifests that name the image as their subject.
    pub(super) async fn referring(&self) -> Result<Vec<Signature>, Error> {
        let listed = match self.client.referrers(self.name, self.digest).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return broken(error),
            Ok(listed) => listed,
        };
        let mut blobs = Blobs::new(&self.source);
        let mut all = Vec::new();
        for desc in &newest(listed) {
            let found = self.of_manifest(desc, &mut blobs).await;
            all.extend(found.or_else(broken)?);
        }
        let skipped = all.len().saturating_sub(SIGNATURES_LIMIT);
        Ok(all.split_off(skipped))
    }

    async fn of_manifest(
        &self,
        desc: &Descriptor,
        blobs: &mut Blobs<'_>,
    ) -> Result<Vec<Signature>, Error> {
        let raw = self.source.manifest(desc).await?;
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&raw) else {
            let text = format!("the manifest {} of the signature is not valid", desc.digest);
            return Ok(vec![Signature::Broken(text)]);
        };
        let skipped = manifest.layers.len().saturating_sub(SIGNATURES_LIMIT);
        let mut all = Vec::new();
        // From the newest on, as long as blobs may be fetched.
        for layer in manifest.layers.iter().skip(skipped).rev() {
            let media_type = layer.media_type.as_str();
            if media_type == SIMPLE_SIGNING {
                let signature = layer.annotations.get(SIGNATURE_ANNOTATION).cloned();
                let payload = blobs.get(layer).await?;
                all.push(match (payload, signature) {
                    (Ok(payload), Some(signature)) => Signature::Simple { payload, signature },
                    (Err(why), _) => Signature::Broken(why),
                    (_, None) => Signature::Broken("the payload has no signature".to_owned()),
                });
            } else if media_type.starts_with(BUNDLE) {
                let bundle = blobs.get(layer).await?;
                all.push(bundle.map_or_else(Signature::Broken, Signature::Bundle));
            }
        }
        all.reverse();
        Ok(all)
    }
}

/// Those in the list of referrers that are looked at: the newest that may be signatures, oldest first.
/// Registries list in any order; what does not say when it was made counts as older than what does.
pub(super) fn newest(listed: Vec<Descriptor>) -> Vec<Descriptor> {
    let mut wanted: Vec<Descriptor> = listed.into_iter().filter(may_sign).collect();
    wanted.sort_by_cached_key(|desc| {
        let created = desc.annotations.get(CREATED);
        created.and_then(|text| text.parse::<jiff::Timestamp>().ok())
    });
    let skipped = wanted.len().saturating_sub(REFERRERS_LIMIT);
    wanted.split_off(skipped)
}

/// Whether a manifest in the list of referrers may be a signature, by what the list says of it.
fn may_sign(desc: &Descriptor) -> bool {
    let is_kind = match desc.artifact_type.as_deref() {
        None | Some("" | EMPTY_ARTIFACT | COSIGN_ARTIFACT) => true,
        // The type of the configuration, which old lists have in this place.
        Some(kind) if kind == MediaType::OCI_CONFIG.as_str() => true,
        Some(kind) => kind.starts_with(BUNDLE),
    };
    let states = desc.annotations.get(PREDICATE);
    is_kind && states.is_none_or(|states| states == SIGNED)
}

/// What came and is wrong, as a signature that is none.
fn broken(error: Error) -> Result<Vec<Signature>, Error> {
    if is_of_content(&error) {
        return Ok(vec![Signature::Broken(error.message().to_owned())]);
    }
    Err(error)
}

/// Whether it is what came that is wrong, and not the way it came.
fn is_of_content(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::DigestMismatch
            | ErrorKind::TooLarge
            | ErrorKind::InvalidContent
            | ErrorKind::Unsupported
    )
}

/// The payloads and bundles of one place, each fetched once: signatures of the same image by several
/// keys have the same payload.
struct Blobs<'a> {
    source: &'a Source,
    known: BTreeMap<Digest, Result<Bytes, String>>,
}

impl<'a> Blobs<'a> {
    fn new(source: &'a Source) -> Self {
        Self {
            source,
            known: BTreeMap::new(),
        }
    }

    async fn get(&mut self, desc: &Descriptor) -> Result<Result<Bytes, String>, Error> {
        if let Some(known) = self.known.get(&desc.digest) {
            return Ok(known.clone());
        }
        if self.known.len() >= BLOBS_LIMIT {
            let text =
                format!("there are more than {BLOBS_LIMIT} payloads, and it is an older one");
            return Ok(Err(text));
        }
        let policy = RetryPolicy::default();
        let found = match read_blob(self.source, desc, BLOB_LIMIT, policy, &Silent).await {
            Ok(bytes) => Ok(bytes),
            Err(error) if is_of_content(&error) => Err(error.message().to_owned()),
            Err(error) => return Err(error),
        };
        self.known.insert(desc.digest.clone(), found.clone());
        Ok(found)
    }
}
