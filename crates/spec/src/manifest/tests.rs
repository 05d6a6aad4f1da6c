use super::*;
use crate::Digest;

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn manifest_json(media_type: &str) -> String {
    let (config, layer) = (digest("config"), digest("layer"));
    format!(
        r#"{{"schemaVersion":2,{media_type}"config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":6,"digest":"{config}"}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":5,"digest":"{layer}"}}]}}"#
    )
}

fn parse(content_type: Option<&MediaType>, text: &str) -> Result<Document, ManifestError> {
    Document::parse(content_type, text.as_bytes())
}

#[test]
fn docker_and_oci_manifests_are_read() {
    let docker =
        manifest_json(r#""mediaType":"application/vnd.docker.distribution.manifest.v2+json","#);
    for content_type in [
        None,
        Some(&MediaType::DOCKER_MANIFEST),
        Some(&MediaType::OCTET_STREAM),
    ] {
        let document = parse(content_type, &docker).unwrap();
        assert_eq!(document.media_type(), MediaType::DOCKER_MANIFEST);
        let Document::Manifest(manifest) = document else {
            panic!("no manifest")
        };
        assert_eq!(manifest.config.digest, digest("config"));
        assert_eq!(manifest.layers[0].size, 5);
    }
    // OCI lets a manifest leave its type to the delivery, or to its looks.
    let untyped = manifest_json("");
    for content_type in [None, Some(&MediaType::OCI_MANIFEST)] {
        assert_eq!(
            parse(content_type, &untyped).unwrap().media_type(),
            MediaType::OCI_MANIFEST
        );
    }
}

#[test]
fn indexes_are_read() {
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":7,"platform":{{"architecture":"arm","os":"linux","variant":"v7"}}}}]}}"#,
        digest("m")
    );
    let Document::Index(index) = parse(None, &text).unwrap() else {
        panic!("no index")
    };
    assert_eq!(index.kind(), MediaType::OCI_INDEX);
    assert_eq!(
        index.manifests[0].platform.as_ref().unwrap().to_string(),
        "linux/arm/v7"
    );
    let Document::Index(list) = parse(Some(&MediaType::DOCKER_MANIFEST_LIST), &text).unwrap()
    else {
        panic!("no index")
    };
    assert_eq!(list.kind(), MediaType::DOCKER_MANIFEST_LIST);
}

#[test]
fn schema_1_is_refused() {
    let old = r#"{"schemaVersion":1,"name":"x","fsLayers":[],"history":[]}"#;
    for content_type in [
        None,
        Some(&MediaType::DOCKER_SCHEMA1),
        Some(&MediaType::DOCKER_SCHEMA1_SIGNED),
    ] {
        assert!(matches!(
            parse(content_type, old),
            Err(ManifestError::Schema1)
        ));
    }
    let message = ManifestError::schema1_message("old/image:1");
    assert_eq!(
        message,
        "[DEPRECATION NOTICE] Docker Image Format v1 and Docker Image manifest version 2, schema 1 support is disabled by default and will be removed in an upcoming release. Suggest the author of old/image:1 to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/"
    );
}

#[test]
fn ambiguous_and_wrong_documents_are_refused() {
    let docker =
        manifest_json(r#""mediaType":"application/vnd.docker.distribution.manifest.v2+json","#);
    assert!(matches!(
        parse(Some(&MediaType::OCI_MANIFEST), &docker),
        Err(ManifestError::Mismatch { .. })
    ));
    assert!(matches!(
        parse(Some(&MediaType::OCI_INDEX), &manifest_json("")),
        Err(ManifestError::Mismatch { .. })
    ));
    let both = manifest_json(r#""manifests":[],"#);
    assert!(matches!(
        parse(None, &both),
        Err(ManifestError::Mismatch { .. })
    ));
    assert!(matches!(
        parse(None, &manifest_json(r#""mediaType":"text/plain","#)),
        Err(ManifestError::Unsupported(_))
    ));
    assert!(matches!(
        parse(None, "{}"),
        Err(ManifestError::Unsupported(_))
    ));
    assert!(matches!(parse(None, "["), Err(ManifestError::Json(_))));
    let negative = manifest_json("").replace("\"size\":5", "\"size\":-5");
    assert!(matches!(
        parse(None, &negative),
        Err(ManifestError::Json(_))
    ));
    let traversal = manifest_json("").replace(digest("layer").hex(), "../../../etc/passwd");
    assert!(matches!(
        parse(None, &traversal),
        Err(ManifestError::Json(_))
    ));
}

#[test]
fn the_limit_is_exact() {
    let mut text = manifest_json("");
    text.push_str(&" ".repeat(MANIFEST_LIMIT - text.len()));
    assert!(parse(None, &text).is_ok());
    text.push(' ');
    assert!(matches!(
        parse(None, &text),
        Err(ManifestError::TooLarge { .. })
    ));
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = format!("{{\"x\":{}", "[".repeat(1 << 20));
    assert!(matches!(parse(None, &deep), Err(ManifestError::Json(_))));
}

#[test]
fn new_manifests_are_read_back() {
    let config = Descriptor::of(MediaType::OCI_CONFIG, b"config");
    let layer = Descriptor::of(MediaType::OCI_LAYER_GZIP, b"layer");
    let manifest = Manifest::new(MediaType::OCI_MANIFEST, config, vec![layer]);
    let bytes = manifest.to_bytes();
    assert!(bytes.starts_with(
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"#
    ));
    assert_eq!(
        Document::parse(None, &bytes).unwrap(),
        Document::Manifest(manifest)
    );

    let index = Index::new(MediaType::OCI_INDEX, Vec::new());
    assert_eq!(
        Document::parse(None, &index.to_bytes()).unwrap(),
        Document::Index(index)
    );
}
