//! `trust inspect`: which tags of a repository are signed, and by whom.

use crate::error::{Error, ErrorKind, Origin};
use crate::trust::is_of_signature;
use crate::{Engine, TrustFiles, lookup, transfer};
use lapstrake_image::ContentSource as _;
use lapstrake_spec::{Digest, Reference};

/// A key, and what it is called: its file, or its place in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedSigner {
    /// What it is called.
    pub name: String,
    /// The digest of the public key.
    pub id: Digest,
}

/// A tag with a signature that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTag {
    /// The tag.
    pub tag: String,
    /// What is signed.
    pub digest: Digest,
    /// By whom. Nobody, where the policy accepts anything.
    pub signers: Vec<String>,
}

/// What is known of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedTrust {
    /// The tags that a pull would take.
    pub tags: Vec<SignedTag>,
    /// The keys that may sign.
    pub signers: Vec<TrustedSigner>,
}

/// Verifies a tag, or all tags of a repository. That none is signed is an error.
pub async fn inspect_trust(
    engine: &Engine,
    typed: &str,
    files: TrustFiles,
) -> Result<InspectedTrust, Error> {
    let reference = lookup::parse(typed)?;
    let engine = engine.clone().with_content_trust(files);
    let Some(trust) = engine.trust()? else {
        return Err(none(typed));
    };
    let client = transfer::client(&engine)?;
    let names: Vec<Reference> = if reference.is_name_only() {
        let tags = client.tags(&reference).await?;
        let tags = tags.iter().filter(|tag| !is_of_signature(tag));
        tags.map(|tag| reference.with_tag(tag).map_err(Error::internal))
            .collect::<Result<_, _>>()?
    } else {
        vec![reference.clone()]
    };
    let mut tags = Vec::new();
    let mut refused = None;
    for name in &names {
        let top = client.source(name).resolve(name).await?;
        match trust.verify(&client, name, &top).await {
            Ok(proofs) => tags.push(SignedTag {
                tag: name.tag().unwrap_or_default().to_owned(),
                digest: top.digest,
                signers: proofs.into_iter().map(|proof| proof.key).collect(),
            }),
            Err(error) if error.is_untrusted() => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if tags.is_empty() => {
            let hint = error.message().to_owned();
            Err(none(typed).with_hint(hint))
        }
        None if tags.is_empty() => Err(none(typed)),
        _ => Ok(InspectedTrust {
            tags,
            signers: trust.signers(&reference)?,
        }),
    }
}

fn none(typed: &str) -> Error {
    let text = format!("no signatures or cannot access {typed}");
    Error::new(ErrorKind::NotFound, text).with_origin(Origin::Client)
}
