//! `pull` under content trust: a name becomes a digest, its signature is verified, and the digest is
//! what is pulled.

use super::{Pull, Pulled, no_tag, with_damage};
use crate::error::{Error, ErrorKind, Origin};
use crate::event::Event;
use crate::trust::{Proof, Trust, is_of_signature, local};
use lapstrake_image::ContentSource as _;
use lapstrake_spec::{Descriptor, Digest, Reference};

/// What a name stands for, verified.
struct Verified {
    name: Reference,
    top: Descriptor,
    proofs: Vec<Proof>,
}

/// Pulls a name, or every tag of a repository that is signed.
pub(super) async fn pull(
    one: &Pull<'_>,
    trust: &Trust,
    reference: &Reference,
    all_tags: bool,
) -> Result<Pulled, Error> {
    let all = if all_tags {
        no_tag(reference)?;
        verified_tags(one, trust, reference).await?
    } else {
        if reference.is_name_only() {
            one.events.event(Event::DefaultTag {
                tag: "latest".to_owned(),
            });
        }
        vec![verified(one, trust, reference.or_latest()).await?]
    };
    let total = all.len();
    let mut ids = Vec::new();
    for (index, image) in all.iter().enumerate() {
        one.events.event(Event::VerifiedPull {
            number: index.saturating_add(1),
            total,
            reference: image.name.with_digest(image.top.digest.clone()),
        });
        ids.push(pinned(one, image).await.map_err(with_damage)?);
    }
    let reference = if all_tags {
        reference.clone()
    } else {
        reference.or_latest()
    };
    Ok(Pulled { reference, ids })
}

async fn verified(one: &Pull<'_>, trust: &Trust, name: Reference) -> Result<Verified, Error> {
    let top = one.client.source(&name).resolve(&name).await?;
    let proofs = trust.verify(one.client, &name, &top).await?;
    Ok(Verified { name, top, proofs })
}

/// The tags that are signed; the others are told of and left.
async fn verified_tags(
    one: &Pull<'_>,
    trust: &Trust,
    repository: &Reference,
) -> Result<Vec<Verified>, Error> {
    let mut all = Vec::new();
    for tag in one.client.tags(repository).await? {
        if is_of_signature(&tag) {
            continue;
        }
        let name = repository.with_tag(&tag).map_err(Error::internal)?;
        match verified(one, trust, name).await {
            Ok(image) => all.push(image),
            Err(error) if error.is_untrusted() => one.events.event(Event::Warning {
                text: format!("Skipping {tag}: {}", error.message()),
            }),
            Err(error) => return Err(error),
        }
    }
    if all.is_empty() {
        let text = format!("No signed tags for {}", repository.familiar_name());
        return Err(Error::new(ErrorKind::Denied, text)
            .with_origin(Origin::Client)
            .with_hint("`--disable-content-trust` pulls them without signatures"));
    }
    Ok(all)
}

/// Pulls a digest and gives it its name, in one step.
async fn pinned(one: &Pull<'_>, image: &Verified) -> Result<Digest, Error> {
    let Verified { name, top, proofs } = image;
    let by_digest = name.without_tag().with_digest(top.digest.clone());
    if !proofs.is_empty() {
        let keys = proofs.iter().map(|proof| proof.key.clone()).collect();
        one.events.event(Event::Verified { keys });
    }
    let source = one.client.source(&by_digest);
    let copied = one.fetch(&source, &by_digest, top).await?;
    let record = local::record(one.engine, name, &top.digest, proofs);
    let record = (!proofs.is_empty()).then_some(record);
    let (id, newer) = one.enter(name, &copied, record.as_deref())?;
    one.events.event(Event::PullFinished {
        reference: by_digest.clone(),
        newer,
        all_tags: false,
    });
    if name.digest().is_none() {
        one.events.event(Event::Tagged {
            from: by_digest,
            to: name.clone(),
        });
    }
    Ok(id)
}
