//! Images of the store under content trust.
//!
//! A verified pull leaves a record in the image's entry of the index: which name and digest, when, and
//! by which key for each demand. It counts as long as every demand of the day names that key and
//! compares names in the same way, so that a key that is no longer trusted takes its images with it.
//! What has no record that counts is verified at its registry, by the digest that it was pulled under.

use super::{Demand, Needs, Proof, Trust, refusal};
use crate::error::Error;
use crate::{Engine, transfer};
use lapstrake_image::ContentSource as _;
use lapstrake_spec::{Digest, Reference};
use lapstrake_store::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// The record of a verification, as text: `NAME@DIGEST TIME PROOF…`. The tag beside a digest is not
/// verified, and so not recorded.
pub(crate) fn record(
    engine: &Engine,
    name: &Reference,
    digest: &Digest,
    proofs: &[Proof],
) -> String {
    let name = match name.digest() {
        Some(_) => name.without_tag(),
        None => name.clone(),
    };
    let mut words = vec![
        name.with_digest(digest.clone()).canonical(),
        engine.now().to_string(),
    ];
    words.extend(proofs.iter().map(word));
    words.join(" ")
}

/// `KEY/IDENTITY`
fn word(proof: &Proof) -> String {
    format!("{}/{}", proof.id, proof.identity)
}

/// Whether a record says that all demands on this name were met.
fn meets(record: &str, name: &Reference, demands: &[Demand]) -> bool {
    let mut words = record.split(' ');
    let verified = words.next().and_then(|name| Reference::parse(name).ok());
    let is_of_name = verified.is_some_and(|verified| match name.digest() {
        Some(_) => verified.without_tag() == name.without_tag(),
        None => verified.tag().is_some() && verified.without_digest() == *name,
    });
    let proofs: Vec<&str> = words.skip(1).collect();
    let is_met = |demand: &Demand| {
        demand.keys.iter().any(|key| {
            let wanted = format!("{}/{}", key.id, demand.identity.word());
            proofs.contains(&wanted.as_str())
        })
    };
    is_of_name && demands.iter().all(is_met)
}

/// Refuses an image of the store that was not verified and cannot be. `typed` is the name that was
/// asked for; none when it was asked for by its id.
pub(crate) async fn check(
    engine: &Engine,
    typed: Option<&Reference>,
    id: &Digest,
) -> Result<(), Error> {
    let Some(trust) = engine.trust()? else {
        return Ok(());
    };
    if let Some(name) = typed {
        return check_name(engine, &trust, &name.or_latest(), id).await;
    }
    let (tags, digests) = {
        let images = engine.store()?.images()?;
        (images.tags_of(id), images.digests_of(id))
    };
    if tags.is_empty() && digests.is_empty() {
        return match trust.needs(None)? {
            Needs::Nothing => Ok(()),
            Needs::Signatures(_) => Err(not_signed(id.short())),
        };
    }
    for alike in demanded(&trust, &tags, &digests)? {
        let mut first_error = None;
        for name in alike {
            match check_name(engine, &trust, name, id).await {
                Ok(()) => {
                    first_error = None;
                    break;
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
    }
    Ok(())
}

/// The names of an image for which signatures are demanded, those with the same demands together: one
/// name of each group must be signed. One that is refused refuses the image. A name with digest whose
/// repository has a tag here makes no demands of its own: it is how that tag was fetched.
fn demanded<'a>(
    trust: &Trust,
    tags: &'a [Reference],
    digests: &'a [Reference],
) -> Result<Vec<Vec<&'a Reference>>, Error> {
    let mut groups: BTreeMap<BTreeSet<String>, Vec<&Reference>> = BTreeMap::new();
    for name in tags {
        if let Needs::Signatures(demands) = trust.needs(Some(name))? {
            groups.entry(words_of(&demands)).or_default().push(name);
        }
    }
    for name in digests {
        let is_of_tag = tags.iter().any(|tag| tag.same_repository(name));
        match trust.needs(Some(name)) {
            Ok(Needs::Signatures(demands)) if is_of_tag => {
                if let Some(group) = groups.get_mut(&words_of(&demands)) {
                    group.push(name);
                }
            }
            Ok(Needs::Signatures(demands)) => {
                groups.entry(words_of(&demands)).or_default().push(name);
            }
            Err(error) if !is_of_tag => return Err(error),
            Ok(Needs::Nothing) | Err(_) => {}
        }
    }
    Ok(groups.into_values().collect())
}

/// Demands as something that can be compared.
fn words_of(demands: &[Demand]) -> BTreeSet<String> {
    let word = |demand: &Demand| {
        let keys: BTreeSet<&str> = demand.keys.iter().map(|key| key.id.as_str()).collect();
        format!("{} {keys:?}", demand.identity.word())
    };
    demands.iter().map(word).collect()
}

/// Refuses an image that comes from a folder, and so has no name, unless the policy accepts such.
pub(crate) fn check_folder(engine: &Engine, place: &str) -> Result<(), Error> {
    let Some(trust) = engine.trust()? else {
        return Ok(());
    };
    match trust.needs(None)? {
        Needs::Nothing => Ok(()),
        Needs::Signatures(_) => Err(refusal(format!(
            "No trust data for {place}: it is in a folder, not in a registry"
        ))
        .with_hint(
            "use it from a registry that has its signature, or allow images without a name by \
             `insecureAcceptAnything` in the policy's default; `--disable-content-trust` does without",
        )),
    }
}

async fn check_name(
    engine: &Engine,
    trust: &Trust,
    name: &Reference,
    id: &Digest,
) -> Result<(), Error> {
    let Needs::Signatures(demands) = trust.needs(Some(name))? else {
        return Ok(());
    };
    let store = engine.store()?;
    let pulled = {
        let images = store.images()?;
        let mut entries = images.entries().iter().filter(|entry| entry.id == *id);
        let counts = |entry: &Entry| {
            let mut records = entry.verified();
            records.any(|record| meets(record, name, &demands))
        };
        if entries.clone().any(counts) {
            return Ok(());
        }
        entries.find_map(|entry| pulled_as(entry, name))
    };
    let Some(pulled) = pulled else {
        return Err(not_signed(&name.familiar()));
    };
    let client = transfer::client(engine)?;
    let top = client.source(&pulled).resolve(&pulled).await.map_err(|error| {
        let error = Error::from(error);
        let text = format!("cannot verify {name}: {}", error.message());
        error
            .with_message(text)
            .or_hint("content trust is on, and the image in the store was not verified when it was pulled")
    })?;
    let proofs = trust.verify(&client, name, &top).await?;
    let digest = top.digest.clone();
    let record = record(engine, name, &digest, &proofs);
    store.update(|images| {
        images.set_verified(id, name, &record);
        Ok::<_, Error>(())
    })?;
    Ok(())
}

/// The name with digest under which an entry's image came from the registry by this name. A digest
/// that the entry has from another name of the image says nothing of its own.
fn pulled_as(entry: &Entry, name: &Reference) -> Option<Reference> {
    let of_repository = |known: &&Reference| known.same_repository(name);
    let Some(digest) = name.digest() else {
        let is_called = entry.name.as_ref() == Some(name);
        let mut own = entry.own_digests().filter(|_| is_called);
        return own.find(of_repository).cloned();
    };
    let mut known = entry.repo_digests.iter().filter(of_repository);
    known.find(|known| known.digest() == Some(digest)).cloned()
}

fn not_signed(name: &str) -> Error {
    let text =
        format!("No trust data for {name}: it was made or loaded here, not pulled from a registry");
    refusal(text).with_hint(
        "push it and sign it, or allow its name by `insecureAcceptAnything` in the policy; \
         `--disable-content-trust` does without",
    )
}
