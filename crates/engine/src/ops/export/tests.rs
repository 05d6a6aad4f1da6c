//! Outputs of products that were made by hand.

use super::*;
use crate::Ignore;
use crate::ops::build::CacheLocation;
use crate::settings::{Inputs, Settings};
use lapstrake_archive::{Archive, Format};
use lapstrake_build::cache::{Cache, Inputs as StepInputs, Record};
use lapstrake_image::{ContentSource, validate};
use lapstrake_layer::{TarEntry, TarWriter, Time};
use lapstrake_spec::{MediaType, RootFs};
use lapstrake_testkit::{Directory, TestRegistry};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};

fn engine(directory: &Directory, store: &str) -> Engine {
    let inputs = Inputs {
        root: Some(directory.join(store)),
        config_dir: Some(directory.join("config")),
        config_files: vec![directory.join("no-such-file")],
        is_root: true,
        ..Inputs::default()
    };
    Engine::open(Settings::resolve(inputs).unwrap(), || {
        "2026-01-02T12:00:00Z".parse().unwrap()
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Entries of a tar: name, kind, content or target.
type Entries<'a> = &'a [(&'a str, u8, &'a str)];

fn tar_of(entries: Entries<'_>) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (name, kind, text) in entries {
        let content = match kind {
            b'0' => text.as_bytes(),
            _ => &[],
        };
        tar.header(&TarEntry {
            name: name.as_bytes(),
            link: if *kind == b'0' { &[] } else { text.as_bytes() },
            kind: *kind,
            mode: if *kind == b'5' { 0o750 } else { 0o4755 },
            uid: 12,
            gid: 34,
            size: content.len() as u64,
            mtime: Time {
                seconds: 1_000_000_000,
                nanoseconds: 0,
            },
            device: (0, 0),
            xattrs: &[],
        })
        .unwrap();
        let mut rest = content;
        tar.content(content.len() as u64, |room| {
            let count = room.len().min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            Ok(count)
        })
        .unwrap();
    }
    tar.finish().unwrap()
}

/// A product of these layers, and the lease that keeps them.
fn product(engine: &Engine, layers: &[Entries<'_>]) -> (Product, Lease) {
    let store = engine.store().unwrap();
    let lease = store.lease().unwrap();
    let mut built = Vec::new();
    for entries in layers {
        let layer = store.layer_from_tar(&*tar_of(entries), true).unwrap();
        let digests = [layer.descriptor.digest.clone(), layer.diff_id.clone()];
        lease.protect(&digests).unwrap();
        built.push(Layer {
            diff_id: layer.diff_id,
            blob: layer.descriptor,
        });
    }
    let diff_ids = built.iter().map(|layer| layer.diff_id.clone()).collect();
    let product = Product {
        platform: Platform::host(),
        config: ImageConfig {
            architecture: Platform::host().architecture,
            os: "linux".to_owned(),
            rootfs: RootFs::layers(diff_ids),
            ..ImageConfig::default()
        },
        layers: built,
        size: 3,
        parent: None,
        annotations: BTreeMap::new(),
    };
    (product, lease)
}

const LOWER: Entries<'static> = &[
    ("dir/", b'5', ""),
    ("dir/one", b'0', "one"),
    ("dir/two", b'1', "dir/one"),
    ("gone", b'0', "gone"),
    ("hidden/", b'5', ""),
    ("hidden/old", b'0', "old"),
    ("link", b'2', "dir/one"),
];

const UPPER: Entries<'static> = &[
    (".wh.gone", b'0', ""),
    ("hidden/", b'5', ""),
    ("hidden/.wh..wh..opq", b'0', ""),
    ("hidden/new", b'0', "new"),
];

/// Runs an output.
fn run(
    engine: &Engine,
    products: &[Product],
    output: &str,
    names: &[&str],
    directory: &Directory,
    lease: &Lease,
) -> Result<(Exported, Vec<u8>), Error> {
    let out = Shared::default();
    let names: Vec<Reference> = names.iter().map(|name| name.parse().unwrap()).collect();
    let request = ExportRequest {
        products,
        output: &parse_output(output)?,
        names: &names,
        annotations: &[],
        epoch: None,
        directory: directory.join(""),
        stdout: Some(Box::new(out.clone())),
        lease,
        notes: &|_| {},
    };
    let exported = block_on(export(engine, request, &Ignore))?;
    let bytes = out.0.lock().unwrap().clone();
    Ok((exported, bytes))
}

/// Standard output of a test.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Name, type byte and mode of each entry.
fn listed(tar: &[u8]) -> Vec<(String, u8, u32)> {
    let text = |bytes: &[u8]| {
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let number = |bytes: &[u8]| u32::from_str_radix(&text(bytes), 8).unwrap();
    let mut found = Vec::new();
    let mut at = 0;
    while tar[at] != 0 {
        let header = &tar[at..at + 512];
        found.push((text(&header[..100]), header[156], number(&header[100..108])));
        at += 512 + (number(&header[124..136]) as usize).next_multiple_of(512);
    }
    found
}

#[test]
fn privileged_the_merged_tree_goes_into_a_folder() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let (product, lease) = product(&engine, &[LOWER, UPPER]);
    let out = directory.join("out");
    std::fs::create_dir_all(out.join("dir")).unwrap();
    std::fs::write(out.join("kept"), "kept").unwrap();
    std::fs::write(out.join("dir/one"), "to be replaced").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", out.join("dir/two")).unwrap();
    for _ in 0..2 {
        let products = std::slice::from_ref(&product);
        let (exported, _) = run(&engine, products, "out", &[], &directory, &lease).unwrap();
        assert_eq!(exported, Exported::default());
    }
    let one = std::fs::symlink_metadata(out.join("dir/one")).unwrap();
    let two = std::fs::symlink_metadata(out.join("dir/two")).unwrap();
    assert_eq!(one.ino(), two.ino());
    // What lies in a folder belongs to whoever built it.
    let seen = (one.uid(), one.gid(), one.mode() & 0o7777, one.mtime());
    assert_eq!(seen, (0, 0, 0o4755, 1_000_000_000));
    let dir = std::fs::metadata(out.join("dir")).unwrap();
    assert_eq!((dir.mode() & 0o7777, dir.mtime()), (0o750, 1_000_000_000));
    assert_eq!(std::fs::read_to_string(out.join("dir/two")).unwrap(), "one");
    assert_eq!(
        std::fs::read_to_string(out.join("hidden/new")).unwrap(),
        "new"
    );
    assert!(!out.join("gone").exists() && !out.join("hidden/old").exists());
    let link = std::fs::read_link(out.join("link")).unwrap();
    assert_eq!(link.to_str(), Some("dir/one"));
    assert!(out.join("kept").exists());
}

#[test]
fn privileged_the_merged_tree_goes_into_a_tar() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let (one, lease) = product(&engine, &[LOWER, UPPER]);
    let products = std::slice::from_ref(&one);
    let (_, tar) = run(&engine, products, "-", &[], &directory, &lease).unwrap();
    let entry = |name: &str, kind, mode| (name.to_owned(), kind, mode);
    let tree = vec![
        entry("dir/", b'5', 0o750),
        entry("dir/one", b'0', 0o4755),
        entry("dir/two", b'1', 0o4755),
        entry("hidden/", b'5', 0o750),
        entry("hidden/new", b'0', 0o4755),
        entry("link", b'2', 0o777),
    ];
    assert_eq!(listed(&tar), tree);
    run(
        &engine,
        products,
        "type=tar,dest=x.tar",
        &[],
        &directory,
        &lease,
    )
    .unwrap();
    assert_eq!(std::fs::read(directory.join("x.tar")).unwrap(), tar);
    // Of several platforms, each has a folder of its own.
    let other = Product {
        platform: Platform::linux("riscv64"),
        ..one.clone()
    };
    let (_, tar) = run(&engine, &[one, other], "-", &[], &directory, &lease).unwrap();
    let names: Vec<String> = listed(&tar).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), 2 * (tree.len() + 1));
    assert!(names.contains(&"linux_riscv64/hidden/new".to_owned()));
}

#[test]
fn images_go_into_the_store_under_all_their_names() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let (product, lease) = product(&engine, &[&[("a", b'0', "a")]]);
    let products = std::slice::from_ref(&product);
    let (exported, _) = run(
        &engine,
        products,
        "type=image",
        &["a", "b:2"],
        &directory,
        &lease,
    )
    .unwrap();
    let images = engine.store().unwrap().images().unwrap();
    let id = exported.id.unwrap();
    assert_eq!(images.tags_of(&id).len(), 2);
    assert_eq!(id, Digest::sha256(&product.config.to_bytes()));
    let two = [product.clone(), product.clone()];
    let error = run(&engine, &two, "type=docker", &[], &directory, &lease).unwrap_err();
    let words = "docker exporter does not currently support exporting manifest lists";
    assert_eq!(error.message(), words);
    let error = run(&engine, products, "type=registry", &[], &directory, &lease).unwrap_err();
    assert_eq!(error.message(), "tag is needed when pushing to registry");
}

#[test]
fn archives_hold_the_image_and_its_names() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let (product, lease) = product(&engine, &[&[("a", b'0', "a")], &[("b", b'0', "b")]]);
    let products = std::slice::from_ref(&product);
    let rows = [
        ("type=oci,dest=x.tar", Format::OciTar),
        ("type=oci", Format::OciTar),
        ("type=docker,dest=y.tar,compression=gzip", Format::Docker),
        ("type=oci,dest=layout,tar=false", Format::OciFolder),
    ];
    for (output, format) in rows {
        let names = ["some/image:1"];
        let (exported, bytes) = run(&engine, products, output, &names, &directory, &lease).unwrap();
        let archive = match format {
            Format::OciFolder => Archive::open_folder(&directory.join("layout")),
            _ => {
                let path = match parse_output(output).unwrap() {
                    Output::Oci {
                        dest: Destination::Path(path),
                        ..
                    }
                    | Output::Docker {
                        dest: Some(Destination::Path(path)),
                        ..
                    } => directory.join(path.to_str().unwrap()),
                    _ => {
                        std::fs::write(directory.join("stdout"), &bytes).unwrap();
                        directory.join("stdout")
                    }
                };
                Archive::open_tar(std::fs::File::open(path).unwrap(), "tar")
            }
        };
        let archive = archive.unwrap();
        assert_eq!(archive.format(), format, "{output}");
        let top = exported.manifest.unwrap();
        let found = block_on(archive.resolve(&"some/image:1".parse().unwrap())).unwrap();
        assert_eq!(found.digest, top.digest, "{output}");
        block_on(validate(&archive, &top)).unwrap();
    }
    let leftovers = std::fs::read_dir(directory.join("")).unwrap();
    let leftovers = leftovers.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains(".tmp")
    });
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn several_platforms_are_one_index_in_an_archive_and_in_a_registry() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let registry = TestRegistry::start();
    let (one, lease) = product(&engine, &[&[("a", b'0', "a")]]);
    let mut other = Product {
        platform: Platform::linux("riscv64"),
        ..one.clone()
    };
    other.config.architecture = "riscv64".to_owned();
    let products = [one, other];
    let name = registry.reference("some/image:1").familiar();
    let (exported, _) = run(
        &engine,
        &products,
        "type=oci,dest=x",
        &[&name],
        &directory,
        &lease,
    )
    .unwrap();
    let archive = Archive::open_tar(std::fs::File::open(directory.join("x")).unwrap(), "x");
    let archive = archive.unwrap();
    let top = exported.manifest.unwrap();
    assert!(top.media_type.is_index());
    assert_eq!(archive.images().len(), 1);
    assert_eq!(block_on(validate(&archive, &top)).unwrap().documents, 3);
    let (exported, _) = run(
        &engine,
        &products,
        "type=registry",
        &[&name],
        &directory,
        &lease,
    )
    .unwrap();
    let source = crate::transfer::client(&engine).unwrap();
    let source = source.source(&name.parse().unwrap());
    let found = block_on(source.resolve(&name.parse().unwrap())).unwrap();
    assert_eq!(found.digest, exported.manifest.unwrap().digest);
    block_on(validate(source.as_ref(), &found)).unwrap();
}

#[test]
fn what_is_pushed_and_kept_has_one_manifest() {
    let directory = Directory::new();
    let registry = TestRegistry::start();
    let name = registry.reference("some/image:1").familiar();
    for (output, layer) in [
        ("type=registry", MediaType::DOCKER_LAYER_GZIP),
        (
            "type=image,push=true,store=false",
            MediaType::DOCKER_LAYER_GZIP,
        ),
        (
            "type=image,push=true,compression=uncompressed",
            MediaType::DOCKER_LAYER_TAR,
        ),
        (
            "type=image,push=true,compression=zstd,oci-mediatypes=true",
            MediaType::OCI_LAYER_ZSTD,
        ),
    ] {
        // What a store has pushed before it sends as it is.
        let engine = engine(&directory, output);
        let (product, lease) = product(&engine, &[&[("a", b'0', "a")]]);
        let products = std::slice::from_ref(&product);
        let (exported, _) = run(&engine, products, output, &[&name], &directory, &lease).unwrap();
        let client = crate::transfer::client(&engine).unwrap();
        let reference: Reference = name.parse().unwrap();
        let source = client.source(&reference);
        let found = block_on(source.resolve(&reference)).unwrap();
        assert_eq!(found.digest, exported.manifest.unwrap().digest, "{output}");
        let raw = block_on(source.manifest(&found)).unwrap();
        let pushed: lapstrake_spec::Manifest = serde_json::from_slice(&raw).unwrap();
        assert_eq!(pushed.layers[0].media_type, layer, "{output}");
        let images = engine.store().unwrap().images().unwrap();
        if output.contains("store=false") {
            assert!(images.entries().is_empty());
            continue;
        }
        let [entry] = images.entries() else {
            panic!("{output}");
        };
        assert_eq!(entry.manifest.digest, found.digest);
        let known = reference.without_tag_and_digest();
        let known = known.with_digest(found.digest.clone());
        assert!(entry.repo_digests.contains(&known), "{entry:?}");
    }
}

fn record_of(layer: &Layer, word: &str) -> Record {
    let inputs = StepInputs {
        operation: "run".to_owned(),
        words: vec![word.to_owned()],
        environment: BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]),
        ..StepInputs::default()
    };
    // What records say besides is not looked at here.
    let record = serde_json::json!({
        "version": 1,
        "key": inputs.key(),
        "name": format!("[1/1] RUN {word} hunter2"),
        "instruction": format!("RUN {word} hunter2"),
        "created": "2026-01-02T12:00:00Z",
        "size": 1,
        "entries": 1,
        "inputs": inputs,
        "arguments": {"TOKEN": "hunter2"},
        "Layers": [layer.diff_id],
        "LayerBlobs": [layer.blob],
    });
    serde_json::from_value(record).unwrap()
}

fn location(kind: &str, attributes: &[(&str, &str)]) -> CacheLocation {
    CacheLocation {
        kind: kind.to_owned(),
        attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

/// Imports into a fresh store: how many records there are, all of them fetched.
fn fetched(directory: &Directory, from: &CacheLocation) -> usize {
    static COUNTER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let engine = engine(directory, &format!("other{count}"));
    let from = parse_cache_from(from, &directory.join("")).unwrap();
    let imported = block_on(import_cache(&engine, &from)).unwrap();
    let store = engine.store().unwrap();
    let lease = store.lease().unwrap();
    for record in imported.records() {
        assert!(block_on(imported.fetch(store, &record.key, &lease)).unwrap());
        assert_eq!(Cache::of(store).record(&record.key).as_ref(), Some(record));
        store
            .ensure_layer(&record.layers[0], &record.blobs[0])
            .unwrap();
    }
    imported.records().count()
}

#[test]
fn privileged_a_cache_goes_to_another_place_and_comes_back() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let registry = TestRegistry::start();
    let (mut made, lease) = product(&engine, &[&[("a", b'0', "a")]]);
    let (stage, _held) = product(&engine, &[&[("b", b'0', "b")]]);
    let records = [
        record_of(&made.layers[0], "in the result"),
        record_of(&stage.layers[0], "in a stage before"),
    ];
    let reference = registry.reference("cache/x:1").familiar();
    let rows = [
        (
            location("local", &[("dest", "c")]),
            location("local", &[("src", "c")]),
            1,
        ),
        (
            location("local", &[("dest", "d"), ("mode", "max"), ("tag", "t")]),
            location("local", &[("src", "d"), ("tag", "t")]),
            2,
        ),
        (
            location("registry", &[("ref", &reference), ("mode", "max")]),
            location("registry", &[("ref", &reference)]),
            2,
        ),
    ];
    for (to, from, expected) in rows {
        let target = parse_cache_to(&to, &directory.join("")).unwrap();
        let products = std::slice::from_ref(&made);
        let exported = export_cache(&engine, &target, &records, products, &lease, &Ignore);
        block_on(exported).unwrap().unwrap();
        assert_eq!(fetched(&directory, &from), expected, "{to:?}");
    }
    inline_cache(&mut made, &records).unwrap();
    let name = registry.reference("some/image:1").familiar();
    let products = std::slice::from_ref(&made);
    run(
        &engine,
        products,
        "type=registry",
        &[&name],
        &directory,
        &lease,
    )
    .unwrap();
    let from = location("registry", &[("ref", &name)]);
    assert_eq!(fetched(&directory, &from), 1);
}

/// Whether a file below a folder has this text in it.
fn is_written(folder: &std::path::Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_written(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

#[test]
fn privileged_exported_caches_tell_no_arguments_and_replace_nothing() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let (mut made, lease) = product(&engine, &[&[("a", b'0', "a")]]);
    let record = record_of(&made.layers[0], "make");
    let records = [record.clone()];
    let to = location("local", &[("dest", "c"), ("mode", "max")]);
    let target = parse_cache_to(&to, &directory.join("")).unwrap();
    let products = std::slice::from_ref(&made);
    let exported = export_cache(&engine, &target, &records, products, &lease, &Ignore);
    block_on(exported).unwrap().unwrap();
    let key = record.key.to_string();
    for (text, expected) in [(key.as_str(), true), ("hunter2", false), ("TOKEN", false)] {
        assert_eq!(is_written(&directory.join("c"), text), expected, "{text}");
    }
    inline_cache(&mut made, &records).unwrap();
    let inline = format!("{:?}", made.annotations);
    assert!(inline.contains(&key));
    assert!(!inline.contains("hunter2") && !inline.contains("TOKEN"));

    let cache = Cache::of(engine.store().unwrap());
    cache.put(&record).unwrap();
    let from = location("local", &[("src", "c")]);
    let from = parse_cache_from(&from, &directory.join("")).unwrap();
    let imported = block_on(import_cache(&engine, &from)).unwrap();
    let store = engine.store().unwrap();
    assert!(block_on(imported.fetch(store, &record.key, &lease)).unwrap());
    assert_eq!(cache.record(&record.key), Some(record));
}

#[test]
fn configurations_that_nobody_could_read_are_refused() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let (mut product, lease) = product(&engine, &[&[("a", b'0', "a")]]);
    product.config.author = "x".repeat(lapstrake_spec::CONFIG_LIMIT);
    let new = crate::transfer::NewImage {
        config: product.config.clone(),
        layers: product
            .layers
            .iter()
            .map(|layer| layer.blob.clone())
            .collect(),
        family: crate::transfer::Family::Oci,
        size: 0,
        parent: None,
        name: None,
    };
    let recorded = crate::transfer::record(&engine, new, &lease).map(|_| ());
    let output = "type=image";
    let exported = run(&engine, &[product], output, &["a"], &directory, &lease).map(|_| ());
    for done in [recorded, exported] {
        let error = done.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(
            error
                .message()
                .contains("larger than the limit of 8388608 bytes")
        );
    }
    let images = engine.store().unwrap().images().unwrap();
    assert!(images.entries().is_empty());
}

#[test]
fn a_cache_that_cannot_be_written_or_read_says_where() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let (made, lease) = product(&engine, &[&[("a", b'0', "a")]]);
    let records = [record_of(&made.layers[0], "x")];
    std::fs::write(directory.join("file"), "").unwrap();
    let dest = directory.join("file/c").display().to_string();
    let to = location("local", &[("dest", "file/c")]);
    let target = parse_cache_to(&to, &directory.join("")).unwrap();
    let products = [made];
    let exported = export_cache(&engine, &target, &records, &products, &lease, &Ignore);
    let error = block_on(exported).unwrap_err();
    let words = format!("exporting cache to {dest}: mkdir {dest}/blobs/sha256: not a directory");
    assert_eq!(error.message(), words);

    let from = parse_cache_from(&location("local", &[("src", "none")]), &directory.join(""));
    let error = block_on(import_cache(&engine, &from.unwrap())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let refused = [
        (location("gha", &[]), "unknown cache exporter: \"gha\""),
        (location("local", &[]), "local cache exporter requires dest"),
        (
            location("registry", &[]),
            "registry cache exporter requires ref",
        ),
        (
            location("local", &[("dest", "x"), ("mode", "all")]),
            "invalid cache export mode \"all\"",
        ),
    ];
    for (location, words) in refused {
        let error = parse_cache_to(&location, &directory.join("")).unwrap_err();
        assert_eq!(error.message(), words);
    }
}

#[test]
fn compressed_archives_and_streams_are_opened() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let (product, lease) = product(&engine, &[&[("a", b'0', "a")]]);
    let output = "type=docker,dest=x.tar";
    run(&engine, &[product], output, &["a:1"], &directory, &lease).unwrap();
    let path = directory.join("x.tar");
    let tar = std::fs::read(&path).unwrap();
    let mut gzip = lapstrake_layer::GzipWriter::new(Vec::new(), 1);
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();
    std::fs::write(directory.join("x.tar.gz"), &gzip).unwrap();
    let file = |name: &str| std::fs::File::open(directory.join(name)).unwrap();
    let stream =
        |bytes: &[u8]| ArchiveInput::Stream(Box::new(std::io::Cursor::new(bytes.to_vec())));
    let inputs = [
        ArchiveInput::File(file("x.tar")),
        ArchiveInput::File(file("x.tar.gz")),
        stream(&tar),
        stream(&gzip),
    ];
    for input in inputs {
        let archive = open_archive(&engine, input, "x").unwrap();
        assert_eq!(archive.images()[0].names, ["a:1".parse().unwrap()]);
    }
    for broken in [&tar[..700], &gzip[..gzip.len() / 2], &[0]] {
        let error = open_archive(&engine, stream(broken), "x").unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Corrupt, "unexpected EOF")
        );
    }
}

#[test]
fn scripts_are_told_what_was_made() {
    let directory = Directory::new();
    let id = Digest::sha256(b"config");
    let exported = Exported {
        id: Some(id.clone()),
        manifest: Some(Descriptor::of(
            lapstrake_spec::MediaType::OCI_MANIFEST,
            b"{}",
        )),
        names: vec![
            "a:1".parse().unwrap(),
            "localhost:5000/b:2".parse().unwrap(),
        ],
        images: Vec::new(),
    };
    let document = build_metadata(&[exported], "default/default/x");
    let path = directory.join("metadata.json");
    write_metadata(&path, &document).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("{\n  \"buildx.build.ref\": \"default/default/x\",\n"));
    assert!(text.contains("\"image.name\": \"docker.io/library/a:1,localhost:5000/b:2\""));
    let keys: Vec<&String> = document.keys().collect();
    let known = [
        "buildx.build.ref",
        "containerimage.config.digest",
        "containerimage.descriptor",
        "containerimage.digest",
        "image.name",
    ];
    assert_eq!(keys, known);
    write_iidfile(&directory.join("iid"), &id).unwrap();
    assert_eq!(
        std::fs::read_to_string(directory.join("iid")).unwrap(),
        id.as_str()
    );
    let error = write_iidfile(&directory.join("none/iid"), &id).unwrap_err();
    let path = directory.join("none/iid").display().to_string();
    assert_eq!(
        error.message(),
        format!("open {path}: no such file or directory")
    );
}
