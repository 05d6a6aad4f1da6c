use super::*;

/// A record to change and test with.
pub(crate) fn record() -> Record {
    let id = ContainerId::parse(&"0123456789abcdef".repeat(4)).unwrap();
    let digest = Digest::sha256(b"layer");
    Record {
        config: ContainerConfig {
            hostname: id.short().to_owned(),
            ..ContainerConfig::default()
        },
        id,
        name: "test".to_owned(),
        created: "2026-01-02T03:04:05.6Z".to_owned(),
        image_id: Digest::sha256(b"config"),
        image: "ubuntu:18.04".to_owned(),
        path: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), "true".to_owned()],
        host_config: HostConfig::default(),
        mounts: Vec::new(),
        layers: vec![digest.clone()],
        layer_blobs: vec![Descriptor::new(
            lapstrake_spec::MediaType::DOCKER_LAYER_GZIP,
            digest,
            10,
        )],
        platform: Platform::parse("linux/amd64").unwrap(),
        driver: "overlay2".to_owned(),
    }
}

#[test]
fn ids_are_64_lower_case_hex_digits() {
    let hex = "0123456789abcdef".repeat(4);
    assert_eq!(ContainerId::parse(&hex).unwrap().short(), "0123456789ab");
    for bad in [
        "",
        "abc",
        &hex.to_uppercase(),
        &format!("{hex}0"),
        &hex.replace('0', "g"),
    ] {
        assert_eq!(ContainerId::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_record_survives_the_way_to_disk_and_back() {
    let json = serde_json::to_value(record()).unwrap();
    for key in [
        "ID",
        "Name",
        "Created",
        "ImageID",
        "Image",
        "Path",
        "Args",
        "Config",
        "HostConfig",
        "Layers",
        "LayerBlobs",
        "Platform",
        "Driver",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(serde_json::from_value::<Record>(json).unwrap(), record());
}

#[test]
fn states_have_dockers_words() {
    let text = serde_json::to_string(&State::default()).unwrap();
    assert_eq!(
        text,
        "{\"Status\":\"created\",\"Pid\":0,\"ExitCode\":0,\"Error\":\"\",\"OOMKilled\":false,\
         \"StartedAt\":\"0001-01-01T00:00:00Z\",\"FinishedAt\":\"0001-01-01T00:00:00Z\"}"
    );
    assert_eq!(
        serde_json::from_str::<State>(&text).unwrap(),
        State::default()
    );
    assert!(Status::Paused.is_alive() && !Status::Exited.is_alive());
}
