use super::*;

fn id(byte: u8) -> Digest {
    Digest::from_sha256([byte; 32])
}

#[test]
fn keys_are_sorted_and_escaped() {
    let config = ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        created: Some("2026-01-02T03:04:05Z".to_owned()),
        author: "a <a@example.com>".to_owned(),
        os_version: "1".to_owned(),
        os_features: vec!["f".to_owned()],
        variant: "v2".to_owned(),
        rootfs: RootFs {
            diff_ids: vec![id(1)],
            ..RootFs::default()
        },
        history: vec![
            History {
                created_by: "a && b".to_owned(),
                ..History::default()
            },
            History {
                empty_layer: true,
                comment: "c".to_owned(),
                ..History::default()
            },
        ],
        ..ImageConfig::default()
    };
    let text = String::from_utf8(config.to_bytes()).unwrap();
    let expected = format!(
        r#"{{"architecture":"amd64","author":"a \u003ca@example.com\u003e","created":"2026-01-02T03:04:05Z","history":[{{"created_by":"a \u0026\u0026 b"}},{{"comment":"c","empty_layer":true}}],"os":"linux","os.features":["f"],"os.version":"1","rootfs":{{"type":"layers","diff_ids":["{}"]}},"variant":"v2"}}"#,
        id(1)
    );
    assert_eq!(text, expected);
    assert_eq!(ImageConfig::parse(text.as_bytes()).unwrap(), config);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    keys.sort();
    let positions: Vec<_> = keys
        .iter()
        .map(|key| text.find(&format!("\"{key}\":")))
        .collect();
    assert!(positions.is_sorted(), "{text}");
}

#[test]
fn hostile_and_incomplete_configurations_are_refused() {
    assert!(matches!(
        ImageConfig::parse(b"{}"),
        Err(ConfigError::NoRootFs)
    ));
    assert!(matches!(
        ImageConfig::parse(br#"{"rootfs":null}"#),
        Err(ConfigError::NoRootFs)
    ));
    assert!(matches!(
        ImageConfig::parse(b"not json"),
        Err(ConfigError::Json(_))
    ));
    let bad_id = br#"{"rootfs":{"type":"layers","diff_ids":["sha256:../x"]}}"#;
    assert!(matches!(
        ImageConfig::parse(bad_id),
        Err(ConfigError::Json(_))
    ));
    let large = vec![b' '; CONFIG_LIMIT + 1];
    assert!(matches!(
        ImageConfig::parse(&large),
        Err(ConfigError::TooLarge { .. })
    ));
}

#[test]
fn unknown_members_and_nulls_do_no_harm() {
    let config = ImageConfig::parse(
        br#"{"x":1,"history":null,"rootfs":{"type":"layers","diff_ids":null},"config":null,"author":null}"#,
    )
    .unwrap();
    assert_eq!(config, ImageConfig::default());
    assert_eq!(config.platform().os, "linux");
}

#[test]
fn chain_ids_are_ocis() {
    assert_eq!(chain_ids(&[]), []);
    let ids = [id(1), id(2), id(3)];
    let chain = chain_ids(&ids);
    assert_eq!(chain[0], ids[0]);
    assert_eq!(
        chain[1],
        Digest::sha256(format!("{} {}", ids[0], ids[1]).as_bytes())
    );
    assert_eq!(
        chain[2],
        Digest::sha256(format!("{} {}", chain[1], ids[2]).as_bytes())
    );
}
