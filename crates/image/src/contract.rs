//! What every endpoint that can be read and written has to keep, as a suite that its tests call.

use crate::memory::{Fault, Memory, MemoryLayer, tiny_tar};
use crate::{ContentSink, ContentSource, CopyOptions, Error, ErrorKind, Silent, copy, validate};
use futures_util::StreamExt;
use lapstrake_spec::{Descriptor, Digest, MediaType, Reference};
use std::sync::Arc;

/// The two sides of one fresh, empty endpoint.
#[expect(missing_debug_implementations, reason = "trait objects, for tests")]
pub struct Endpoint {
    /// Its readable side.
    pub source: Arc<dyn ContentSource>,
    /// Its writable side.
    pub sink: Arc<dyn ContentSink>,
    /// A name that can be written and read there.
    pub name: Reference,
}

/// Checks an endpoint; the error says which rule it broke. `make` is called for each rule.
pub async fn source_sink_contract(make: impl Fn() -> Endpoint) -> Result<(), String> {
    let end = make();
    let (served, size) = survives_broken_streams(&end).await?;
    ensure("a broken stream goes on where it ended", served == size)?;
    remote_contract(make).await
}

/// The same for an endpoint behind a network, whose sink may have to send again what a broken
/// request carried.
pub async fn remote_contract(make: impl Fn() -> Endpoint) -> Result<(), String> {
    keeps_bytes(&make()).await?;
    copies_nothing_twice(&make()).await?;
    refuses_bad_blobs(&make()).await?;
    survives_broken_streams(&make()).await?;
    refuses_bad_manifests(&make()).await?;
    names_what_is_missing(&make()).await
}

type Checked = Result<(), String>;

/// A memory endpoint with an image of two layers.
fn fixture(name: &Reference) -> (Memory, Descriptor, [Descriptor; 2]) {
    let memory = Memory::new().with_chunk(700);
    let tars = [tiny_tar("a", &[b'a'; 3000]), tiny_tar("b", &[b'b'; 5000])];
    let layers = tars.clone().map(MemoryLayer::plain);
    let desc = memory.add_image(name, &layers);
    (
        memory,
        desc,
        tars.map(|tar| Descriptor::of(MediaType::OCI_LAYER_TAR, &tar)),
    )
}

fn tagged(name: &Reference) -> CopyOptions {
    CopyOptions {
        tag: Some(name.clone()),
        ..CopyOptions::pull()
    }
}

fn ensure(rule: &str, kept: bool) -> Checked {
    if kept {
        Ok(())
    } else {
        Err(format!("rule broken: {rule}"))
    }
}

fn told(rule: &'static str) -> impl Fn(Error) -> String {
    move |error| format!("{rule}: {error}")
}

async fn keeps_bytes(end: &Endpoint) -> Checked {
    let (memory, desc, [first, _]) = fixture(&end.name);
    let failed = told("an image can be written and read");
    copy(
        &memory,
        end.sink.as_ref(),
        &desc,
        &tagged(&end.name),
        &Silent,
    )
    .await
    .map_err(&failed)?;
    let found = end.source.resolve(&end.name).await.map_err(&failed)?;
    ensure(
        "a name resolves to what was written",
        found.digest == desc.digest,
    )?;
    ensure("the size is that of the manifest", found.size == desc.size)?;
    ensure(
        "the media type is kept",
        found.media_type == desc.media_type,
    )?;
    let raw = end.source.manifest(&found).await.map_err(&failed)?;
    ensure(
        "a manifest keeps its bytes",
        Digest::sha256(&raw) == desc.digest,
    )?;
    let whole = validate(end.source.as_ref(), &found)
        .await
        .map_err(&failed)?;
    ensure("configuration and layers are there", whole.blobs == 3)?;
    let by_digest = end.name.without_tag().with_digest(desc.digest.clone());
    let found = end.source.resolve(&by_digest).await.map_err(&failed)?;
    ensure("a digest resolves to itself", found.digest == desc.digest)?;

    let mut stream = end.source.blob(&first, 1000).await.map_err(&failed)?;
    let mut rest = Vec::new();
    while let Some(chunk) = stream.next().await {
        rest.extend_from_slice(&chunk.map_err(&failed)?);
    }
    let whole = memory.blob_bytes(&first.digest).unwrap_or_default();
    ensure(
        "a blob can be read from an offset",
        whole.get(1000..) == Some(rest.as_slice()),
    )?;

    let back = Memory::new();
    copy(
        end.source.as_ref(),
        &back,
        &found,
        &tagged(&end.name),
        &Silent,
    )
    .await
    .map_err(&failed)?;
    validate(&back, &desc).await.map_err(&failed)?;
    Ok(())
}

async fn copies_nothing_twice(end: &Endpoint) -> Checked {
    let (memory, desc, [first, second]) = fixture(&end.name);
    let failed = told("an image can be written twice");
    for expected in [2, 0] {
        let copied = copy(
            &memory,
            end.sink.as_ref(),
            &desc,
            &tagged(&end.name),
            &Silent,
        )
        .await
        .map_err(&failed)?;
        ensure(
            "only missing layers are transferred",
            copied.stored == expected,
        )?;
    }
    for layer in [first, second] {
        let once = memory.served_of(&layer.digest) == layer.size;
        ensure("the bytes of a layer are asked for once", once)?;
    }
    Ok(())
}

async fn refuses_bad_blobs(end: &Endpoint) -> Checked {
    let (memory, desc, [first, _]) = fixture(&end.name);
    memory.fault(&first.digest, [Fault::Corrupt; 8]);
    let result = copy(
        &memory,
        end.sink.as_ref(),
        &desc,
        &tagged(&end.name),
        &Silent,
    )
    .await;
    let refused = result.is_err_and(|error| error.kind() == ErrorKind::DigestMismatch);
    ensure("a layer with another digest is refused", refused)?;
    let absent = end.source.resolve(&end.name).await.is_err();
    ensure("nothing is named after a failure", absent)?;
    let absent = end.source.blob(&first, 0).await.is_err();
    ensure("a refused layer is not kept", absent)
}

/// Returns how many bytes of the broken layer were asked for, and how many it has.
async fn survives_broken_streams(end: &Endpoint) -> Result<(u64, u64), String> {
    let (memory, desc, [_, second]) = fixture(&end.name);
    memory.fault(
        &second.digest,
        [Fault::BreakAfter(1500), Fault::EndAfter(1500)],
    );
    copy(
        &memory,
        end.sink.as_ref(),
        &desc,
        &tagged(&end.name),
        &Silent,
    )
    .await
    .map_err(told("a broken stream is asked for again"))?;
    let found = end
        .source
        .resolve(&end.name)
        .await
        .map_err(told("the image is there"))?;
    validate(end.source.as_ref(), &found)
        .await
        .map_err(told("the image is whole"))?;
    Ok((memory.served_of(&second.digest), second.size))
}

async fn refuses_bad_manifests(end: &Endpoint) -> Checked {
    let (memory, desc, _) = fixture(&end.name);
    copy(
        &memory,
        end.sink.as_ref(),
        &desc,
        &CopyOptions::pull(),
        &Silent,
    )
    .await
    .map_err(told("an image can be written without a name"))?;
    let wrong = Descriptor {
        digest: Digest::sha256(b"another"),
        ..desc.clone()
    };
    let raw = memory
        .manifest(&desc)
        .await
        .map_err(told("the fixture is whole"))?;
    let refused = end.sink.put_manifest(&wrong, raw).await.is_err();
    ensure("a manifest with another digest is refused", refused)
}

async fn names_what_is_missing(end: &Endpoint) -> Checked {
    let missing =
        |result: Result<(), Error>| result.is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let result = end.source.resolve(&end.name).await.map(drop);
    ensure("an unknown name is not found", missing(result))?;
    let absent = Descriptor::of(MediaType::OCI_MANIFEST, b"{}");
    let result = end.source.manifest(&absent).await.map(drop);
    ensure("an unknown manifest is not found", missing(result))?;
    let absent = Descriptor::of(MediaType::OCI_LAYER_TAR, b"nowhere");
    let result = end.source.blob(&absent, 0).await.map(drop);
    ensure("an unknown blob is not found", missing(result))
}
