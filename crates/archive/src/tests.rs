//! Endpoints as a whole, and archives made by hand.

use crate::{Archive, ArchiveError, Format, LayoutSink, TarFormat, TarOutput, TarSink, index};
use async_trait::async_trait;
use bytes::Bytes;
use lapstrake_image::contract::{Endpoint, source_sink_contract};
use lapstrake_image::memory::{Memory, tiny_tar};
use lapstrake_image::{
    BlobStream, ContentSink, ContentSource, CopyOptions, Error, ErrorKind, RetryPolicy, Silent,
    copy, validate,
};
use lapstrake_spec::{
    Descriptor, Digest, ImageConfig, Manifest, MediaType, Platform, Reference, RootFs,
};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is removed with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("lapstrake-archive-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn create(&self, name: &str) -> File {
        File::create(self.path(name)).unwrap()
    }

    pub(crate) fn open(&self, name: &str) -> File {
        File::open(self.path(name)).unwrap()
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> File {
        self.create(name).write_all(bytes).unwrap();
        self.open(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A tar that is put together entry by entry, sound or not.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name, b'0', "", content)
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'2', target, b"")
    }

    pub(crate) fn hardlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'1', target, b"")
    }

    /// A file whose name is in an extended header.
    pub(crate) fn long(self, name: &str, content: &[u8]) -> Self {
        let record = format!(" path={name}\n");
        let length = record.len() + 2;
        assert!((10..100).contains(&length), "two digits");
        self.entry("pax", b'x', "", format!("{length}{record}").as_bytes())
            .file("short", content)
    }

    pub(crate) fn entry(mut self, name: &str, kind: u8, link: &str, content: &[u8]) -> Self {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, b"0000644\0");
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn entries(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn bytes(mut self) -> Vec<u8> {
        self.raw(&[0; 1024]);
        self.0
    }

    fn open(self) -> Result<Archive, ArchiveError> {
        let folder = Folder::new();
        Archive::open_tar(folder.file("x.tar", &self.bytes()), "x.tar")
    }
}

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap().or_latest()
}

/// Reads what has been written so far to a tar that is not finished.
struct Unfinished {
    sink: Arc<TarSink>,
    tar: PathBuf,
}

impl Unfinished {
    fn archive(&self) -> Archive {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let copy = self.tar.with_extension(format!("copy{number}"));
        std::fs::copy(&self.tar, &copy).unwrap();
        let file = File::options().append(true).open(&copy).unwrap();
        let mut output = TarOutput::file(file, "copy");
        for (name, bytes) in self.sink.tables() {
            output.entry(name, &bytes).unwrap();
        }
        output.finish().unwrap();
        Archive::open_tar(File::open(&copy).unwrap(), "copy").unwrap()
    }
}

#[async_trait]
impl ContentSource for Unfinished {
    async fn resolve(&self, name: &Reference) -> Result<Descriptor, Error> {
        self.sink.roll_back().await;
        self.archive().resolve(name).await
    }

    async fn manifest(&self, desc: &Descriptor) -> Result<Bytes, Error> {
        self.archive().manifest(desc).await
    }

    async fn blob(&self, desc: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        self.archive().blob(desc, offset).await
    }
}

/// Reads a folder as it is now.
struct Now(PathBuf);

#[async_trait]
impl ContentSource for Now {
    async fn resolve(&self, name: &Reference) -> Result<Descriptor, Error> {
        Archive::open_folder(&self.0)?.resolve(name).await
    }

    async fn manifest(&self, desc: &Descriptor) -> Result<Bytes, Error> {
        Archive::open_folder(&self.0)?.manifest(desc).await
    }

    async fn blob(&self, desc: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        Archive::open_folder(&self.0)?.blob(desc, offset).await
    }
}

#[tokio::test]
async fn a_folder_keeps_the_contract_of_endpoints() {
    let folder = Folder::new();
    let count = std::cell::Cell::new(0);
    source_sink_contract(|| {
        count.set(count.get() + 1);
        let path = folder.path(&count.get().to_string());
        let sink = LayoutSink::create(&path).unwrap();
        Endpoint {
            source: Arc::new(Now(path)),
            sink: Arc::new(sink.with_retry(RetryPolicy::immediate())),
            name: name("localhost:5000/some/image:1"),
        }
    })
    .await
    .unwrap();
}

async fn tar_contract(format: TarFormat) {
    let folder = Folder::new();
    let count = std::cell::Cell::new(0);
    source_sink_contract(|| {
        count.set(count.get() + 1);
        let tar = folder.path(&format!("{}.tar", count.get()));
        let output = TarOutput::file(File::create(&tar).unwrap(), "x.tar");
        let sink = TarSink::new(output, format).with_retry(RetryPolicy::immediate());
        let sink = Arc::new(sink);
        Endpoint {
            source: Arc::new(Unfinished {
                sink: Arc::clone(&sink),
                tar,
            }),
            sink,
            name: name("ubuntu:18.04"),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_tar_keeps_the_contract_of_endpoints() {
    tar_contract(TarFormat::Oci).await;
}

#[tokio::test]
async fn a_docker_archive_keeps_the_contract_of_endpoints() {
    tar_contract(TarFormat::Docker).await;
}

/// Two images in Docker's words that share a layer.
fn docker_images() -> (Memory, Vec<(Reference, Descriptor)>) {
    let memory = Memory::new();
    let tars = ["base", "one", "two"].map(|name| tiny_tar(name, name.as_bytes()));
    let add = |reference: &str, parts: [usize; 2]| {
        let layers =
            parts.map(|part| memory.add_blob(MediaType::DOCKER_LAYER_TAR, tars[part].clone()));
        let diff_ids = layers.iter().map(|layer| layer.digest.clone()).collect();
        let config = image_config(diff_ids);
        let config = memory.add_blob(MediaType::DOCKER_CONFIG, config.to_bytes());
        let manifest = Manifest::new(MediaType::DOCKER_MANIFEST, config, layers.to_vec());
        let desc = memory.add_manifest(MediaType::DOCKER_MANIFEST, manifest.to_bytes());
        memory.name(&name(reference), &desc);
        (name(reference), desc)
    };
    let images = vec![
        add("ubuntu:18.04", [0, 1]),
        add("localhost:5000/b:2", [0, 2]),
    ];
    (memory, images)
}

fn image_config(diff_ids: Vec<Digest>) -> ImageConfig {
    ImageConfig {
        architecture: Platform::host().architecture,
        os: "linux".to_owned(),
        rootfs: RootFs::layers(diff_ids),
        ..ImageConfig::default()
    }
}

async fn copy_all(memory: &Memory, images: &[(Reference, Descriptor)], sink: &dyn ContentSink) {
    for (name, desc) in images {
        let options = CopyOptions {
            tag: Some(name.clone()),
            concurrency: 1,
            ..CopyOptions::push()
        };
        copy(memory, sink, desc, &options, &Silent).await.unwrap();
    }
}

async fn save(memory: &Memory, images: &[(Reference, Descriptor)], path: &Path) {
    let output = TarOutput::file(File::create(path).unwrap(), "x.tar");
    let sink = TarSink::new(output, TarFormat::Docker);
    copy_all(memory, images, &sink).await;
    sink.finish().await.unwrap();
}

#[tokio::test]
async fn a_saved_archive_has_dockers_tables_and_keeps_every_digest() {
    let folder = Folder::new();
    let (memory, images) = docker_images();
    let path = folder.path("x.tar");
    save(&memory, &images, &path).await;
    let archive = Archive::open_tar(File::open(&path).unwrap(), "x.tar").unwrap();
    assert_eq!(archive.format(), Format::Docker);
    for (image, (name, desc)) in archive.images().iter().zip(&images) {
        assert_eq!(image.names, std::slice::from_ref(name));
        assert_eq!(image.descriptor, *desc);
        assert_eq!(archive.resolve(name).await.unwrap(), *desc);
        validate(&archive, desc).await.unwrap();
        assert_eq!(archive.find(&name.familiar()).unwrap(), image);
    }
    let bytes = std::fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(r#""RepoTags":["ubuntu:18.04"],"Layers":["blobs/sha256/"#));
    assert!(text.contains(r#"{"localhost:5000/b":{"2":""#));
    let again = folder.path("y.tar");
    save(&memory, &images, &again).await;
    assert_eq!(std::fs::read(&again).unwrap(), bytes);
}

#[tokio::test]
async fn a_folder_collects_images_and_moves_names() {
    let folder = Folder::new();
    let (memory, images) = docker_images();
    let root = folder.path("layout");
    for image in &images {
        let sink = LayoutSink::create(&root).unwrap();
        copy_all(&memory, std::slice::from_ref(image), &sink).await;
    }
    let archive = Archive::open_folder(&root).unwrap();
    assert_eq!(archive.images().len(), 2);
    for (name, desc) in &images {
        assert_eq!(archive.resolve(name).await.unwrap(), *desc);
        validate(&archive, desc).await.unwrap();
    }
    // What other tools read is the OCI form.
    let index = std::fs::read_to_string(root.join("index.json")).unwrap();
    assert!(index.contains(r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json""#));
    let moved = [(images[0].0.clone(), images[1].1.clone())];
    copy_all(&memory, &moved, &LayoutSink::create(&root).unwrap()).await;
    let archive = Archive::open_folder(&root).unwrap();
    assert_eq!(archive.resolve(&images[0].0).await.unwrap(), images[1].1);
    assert_eq!(archive.images().len(), 1);
}

#[tokio::test]
async fn a_label_stands_for_one_image() {
    let folder = Folder::new();
    let (memory, images) = docker_images();
    let root = folder.path("layout");
    let output = TarOutput::pipe(folder.create("x.tar"), "x.tar");
    let tar = TarSink::new(output, TarFormat::Oci);
    for (_, desc) in &images {
        let sink = LayoutSink::create(&root).unwrap();
        let options = CopyOptions::push();
        copy(&memory, &sink, desc, &options, &Silent).await.unwrap();
        copy(&memory, &tar, desc, &options, &Silent).await.unwrap();
        sink.label("v1", desc).unwrap();
        tar.label("v1", desc);
    }
    let first = &images[0].1;
    LayoutSink::create(&root)
        .unwrap()
        .label("v0", first)
        .unwrap();
    tar.label("v0", first);
    tar.finish().await.unwrap();
    let archives = [
        Archive::open_folder(&root).unwrap(),
        Archive::open_tar(folder.open("x.tar"), "x.tar").unwrap(),
    ];
    for archive in archives {
        let found = |word: &str| archive.find(word).unwrap().descriptor.digest.clone();
        assert_eq!(found("v1"), images[1].1.digest);
        assert_eq!(found("v0"), first.digest);
        assert_eq!(archive.images().len(), 2);
    }
}

#[tokio::test]
async fn other_tools_find_a_complete_name_as_it_was_written() {
    let folder = Folder::new();
    let (memory, images) = docker_images();
    let root = folder.path("layout");
    let words = ["team/app:5", "localhost:5000/b"];
    let names = [name("team/app:5"), name("localhost:5000/b:latest")];
    for ((_, desc), word) in images.iter().zip(words) {
        let sink = LayoutSink::create(&root).unwrap();
        let options = CopyOptions::push();
        copy(&memory, &sink, desc, &options, &Silent).await.unwrap();
        sink.label(word, desc).unwrap();
    }
    let archive = Archive::open_folder(&root).unwrap();
    let index = std::fs::read_to_string(root.join("index.json")).unwrap();
    for (image, (name, word)) in archive.images().iter().zip(names.iter().zip(words)) {
        assert_eq!(image.names, std::slice::from_ref(name));
        assert_eq!(archive.find(word), Some(image));
        let (complete, literal) = (index::IMAGE_NAME, index::REF_NAME);
        let canonical = name.canonical();
        for pair in [(complete, canonical.as_str()), (literal, word)] {
            let text = format!("\"{}\":\"{}\"", pair.0, pair.1);
            assert!(index.contains(&text), "{text}: {index}");
        }
    }
}

#[tokio::test]
async fn files_of_a_trusted_source_are_copied() {
    let folder = Folder::new();
    let (memory, images) = docker_images();
    let root = folder.path("layout");
    copy_all(&memory, &images, &LayoutSink::create(&root).unwrap()).await;
    let archive = Archive::open_folder(&root).unwrap();
    let output = TarOutput::file(folder.create("x.tar"), "x.tar");
    let sink = TarSink::new(output, TarFormat::Oci).trusting();
    for (name, desc) in &images {
        let options = CopyOptions {
            tag: Some(name.clone()),
            ..CopyOptions::push()
        };
        copy(&archive, &sink, desc, &options, &Silent)
            .await
            .unwrap();
    }
    sink.finish().await.unwrap();
    let archive = Archive::open_tar(folder.open("x.tar"), "x.tar").unwrap();
    assert_eq!(archive.format(), Format::OciTar);
    for (_, desc) in &images {
        validate(&archive, desc).await.unwrap();
    }
}

/// An archive as docker before 25 writes it: two images, the second links to the first one's layer.
fn old_archive() -> (Tar, Vec<Digest>) {
    let layers = [tiny_tar("a", b"a"), tiny_tar("b", b"b")];
    let diff_ids: Vec<Digest> = layers.iter().map(|tar| Digest::sha256(tar)).collect();
    let first = image_config(diff_ids.clone()).to_bytes();
    let second = image_config(vec![diff_ids[0].clone()]).to_bytes();
    let ids = [Digest::sha256(&first), Digest::sha256(&second)];
    let table = format!(
        r#"[{{"Config":"{}.json","RepoTags":["a:1"],"Layers":["x/layer.tar","y/layer.tar"]}},
            {{"Config":"{}.json","RepoTags":null,"Layers":["z/layer.tar"]}}]"#,
        ids[0].hex(),
        ids[1].hex()
    );
    let tar = Tar::new()
        .file("x/VERSION", b"1.0")
        .file("x/layer.tar", &layers[0])
        .file("y/layer.tar", &layers[1])
        .symlink("z/layer.tar", "../x/layer.tar")
        .file(&format!("{}.json", ids[0].hex()), &first)
        .file(&format!("{}.json", ids[1].hex()), &second)
        .file("manifest.json", table.as_bytes())
        .file("repositories", br#"{"a":{"1":"y"}}"#);
    (tar, ids.to_vec())
}

#[tokio::test]
async fn old_archives_are_read_without_hashing_layers() {
    let (tar, ids) = old_archive();
    let archive = tar.open().unwrap();
    assert_eq!(archive.format(), Format::Docker);
    assert_eq!(archive.images()[0].names, [name("a:1")]);
    assert!(archive.images()[1].names.is_empty());
    for (image, id) in archive.images().iter().zip(&ids) {
        let back = Memory::new();
        let options = CopyOptions::pull();
        let copied = copy(&archive, &back, &image.descriptor, &options, &Silent)
            .await
            .unwrap();
        assert_eq!(copied.config, *id);
        validate(&archive, &image.descriptor).await.unwrap();
    }
}

#[tokio::test]
async fn a_layer_that_is_another_is_refused_when_it_is_copied() {
    let layer = tiny_tar("a", b"a");
    let config = image_config(vec![Digest::sha256(b"something else")]).to_bytes();
    let archive = Tar::new()
        .file("c", &config)
        .file("l", &layer)
        .file(
            "manifest.json",
            br#"[{"Config":"c","RepoTags":["a:1"],"Layers":["l"]}]"#,
        )
        .open()
        .unwrap();
    let desc = archive.images()[0].descriptor.clone();
    let options = CopyOptions::pull();
    let error = copy(&archive, &Memory::new(), &desc, &options, &Silent)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
}

#[test]
fn tables_that_make_no_sense_are_refused() {
    let config = image_config(Vec::new()).to_bytes();
    let image = |table: &str| {
        let tar = Tar::new().file("c", &config);
        tar.file("manifest.json", table.as_bytes())
    };
    let rows: Vec<(Tar, &str)> = vec![
        (
            Tar::new().file("x", b""),
            "unrecognized image format: neither manifest.json nor index.json in x.tar",
        ),
        (
            Tar::new().file("repositories", b"{}"),
            "repositories: archive was written by docker before 1.10 and has no manifest.json",
        ),
        (
            image("[{\"Config\":\"d\"}]"),
            "d: no such file in the archive",
        ),
        (
            image("[{\"Config\":\"../c\"}]"),
            "../c: path leads out of the archive",
        ),
        (
            image("[{\"Config\":\"c\",\"Layers\":[\"l\"]}]"),
            "c: invalid manifest, layers length mismatch: expected 1, got 0",
        ),
        (
            image("[{\"Config\":\"c\",\"RepoTags\":[\"A\"]}]"),
            "manifest.json: invalid tag \"A\"",
        ),
        (image("{"), "manifest.json is not valid: "),
        (
            Tar::new().file(
                "index.json",
                br#"{"schemaVersion":2,"config":{},"layers":[]}"#,
            ),
            "index.json: media type mismatch: expected application/vnd.oci.image.index.v1+json but found manifest",
        ),
        (
            Tar::new()
                .file(&format!("{}.json", "0".repeat(64)), &config)
                .file(
                    "manifest.json",
                    format!(r#"[{{"Config":"{}.json"}}]"#, "0".repeat(64)).as_bytes(),
                ),
            "image configuration has the digest",
        ),
    ];
    for (tar, words) in rows {
        let error = tar.open().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn links_in_a_folder_are_not_followed() {
    let folder = Folder::new();
    let root = folder.path("layout");
    LayoutSink::create(&root).unwrap();
    std::fs::remove_file(root.join("index.json")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("index.json")).unwrap();
    let error = Archive::open_folder(&root).unwrap_err().to_string();
    assert_eq!(error, "index.json: symbolic links are not followed");
}

#[test]
fn a_word_finds_what_a_layout_calls_so() {
    let desc = Descriptor::of(MediaType::OCI_MANIFEST, b"{}");
    let entry = |name: &str| {
        format!(
            r#"{{"mediaType":"{}","digest":"{}","size":2,"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}"#,
            desc.media_type, desc.digest
        )
    };
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
        entry("latest"),
        entry("docker.io/library/x:1")
    );
    let archive = Tar::new()
        .file("index.json", index.as_bytes())
        .open()
        .unwrap();
    assert_eq!(
        archive.find("latest").unwrap().label.as_deref(),
        Some("latest")
    );
    assert_eq!(archive.find("x:1").unwrap().names, [name("x:1")]);
    assert!(archive.find("y").is_none());
}
