use super::*;

#[test]
fn kinds_are_told_apart() {
    for media_type in MediaType::MANIFESTS {
        assert!(
            media_type.is_manifest() != media_type.is_index(),
            "{media_type}"
        );
    }
    assert!(MediaType::DOCKER_SCHEMA1_SIGNED.is_schema1());
    for media_type in [
        MediaType::DOCKER_LAYER_GZIP,
        MediaType::DOCKER_LAYER_TAR,
        MediaType::DOCKER_LAYER_ZSTD,
        MediaType::DOCKER_FOREIGN_LAYER,
        MediaType::OCI_LAYER_TAR,
        MediaType::OCI_LAYER_GZIP,
        MediaType::OCI_LAYER_ZSTD,
        MediaType::OCI_NONDISTRIBUTABLE_GZIP,
    ] {
        assert!(media_type.is_layer(), "{media_type}");
        assert!(
            !media_type.is_config() && !media_type.is_manifest(),
            "{media_type}"
        );
    }
    assert!(MediaType::DOCKER_FOREIGN_LAYER.is_foreign());
    assert!(!MediaType::DOCKER_LAYER_GZIP.is_foreign());
    assert!(MediaType::OCI_CONFIG.is_config() && MediaType::DOCKER_CONFIG.is_config());
    assert!(MediaType::DOCKER_CONFIG.is_docker() && !MediaType::OCI_CONFIG.is_docker());
}

#[test]
fn header_parameters_are_dropped() {
    let header = "Application/vnd.oci.image.manifest.v1+json ; charset=utf-8";
    assert_eq!(MediaType::from_header(header), MediaType::OCI_MANIFEST);
}
