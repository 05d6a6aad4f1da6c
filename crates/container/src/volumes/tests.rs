use super::*;

fn error(text: &str) -> String {
    Bind::parse(text).unwrap_err().to_string()
}

fn bound(binds: &[String]) -> HostConfig {
    HostConfig {
        binds: Some(binds.to_vec()),
        ..HostConfig::default()
    }
}

fn names() -> impl FnMut() -> Result<String> {
    let mut count = 0;
    move || {
        count += 1;
        Ok(format!("anonymous{count}"))
    }
}

#[test]
fn binds() {
    let bind = Bind::parse("/a/./b/../c/:/x//y/:ro,z").unwrap();
    assert_eq!(bind.source.as_deref(), Some("/a/c"));
    assert_eq!(bind.destination, "/x/y");
    assert_eq!((bind.mode().as_str(), bind.is_read_only()), ("z", true));
    assert_eq!(Bind::parse("/only").unwrap().source, None);
    assert_eq!(
        Bind::parse("/a:/b:rshared").unwrap().propagation(),
        Some("rshared")
    );
}

#[test]
fn bad_binds_are_named() {
    assert_eq!(error("/a:/b:zz"), "invalid mode: zz");
    assert_eq!(
        error("/a:/"),
        "invalid volume specification: '/a:/': invalid specification: destination can't be '/'"
    );
    assert_eq!(
        error("/a:b"),
        "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount \
         path: 'b' mount path must be absolute"
    );
    assert_eq!(error("a:b:c:d"), "invalid volume specification: 'a:b:c:d'");
    assert_eq!(error(":/b"), "invalid volume specification: ':/b'");
}

#[test]
fn binds_named_and_anonymous_volumes() {
    let config = ContainerConfig {
        volumes: Some(
            ["/data".to_owned(), "/bound".to_owned()]
                .into_iter()
                .collect(),
        ),
        ..ContainerConfig::default()
    };
    let binds = ["/host:/bound".to_owned(), "vol:/v:ro".to_owned()];
    let mounts = plan(&config, &bound(&binds), Path::new("/root/volumes"), names()).unwrap();
    let short: Vec<_> = mounts
        .iter()
        .map(|m| {
            (
                m.kind.as_str(),
                m.source.as_str(),
                m.destination.as_str(),
                m.read_write,
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            ("bind", "/host", "/bound", true),
            ("volume", "/root/volumes/vol/_data", "/v", false),
            ("volume", "/root/volumes/anonymous1/_data", "/data", true),
        ]
    );
    assert_eq!(
        mounts.iter().map(|m| m.anonymous).collect::<Vec<_>>(),
        [false, false, true]
    );
    assert_eq!(mounts[0].propagation, "rprivate");
}

#[test]
fn one_place_one_mount() {
    let binds = ["/a:/x".to_owned(), "/b:/x/".to_owned()];
    let config = ContainerConfig::default();
    let error = plan(&config, &bound(&binds), Path::new("/v"), names()).unwrap_err();
    assert_eq!(error.to_string(), "Duplicate mount point: /x");
    let error = plan(
        &config,
        &bound(&["a/b:/x".to_owned()]),
        Path::new("/v"),
        names(),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("includes invalid characters for a local volume name")
    );
}

#[test]
fn requests_keep_their_kind() {
    let request = |kind, source: &str, target: &str, read_only| MountRequest {
        kind,
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
        ..MountRequest::default()
    };
    let planned = |mounts: Vec<MountRequest>| {
        let config = ContainerConfig {
            volumes: Some(["/memory".to_owned()].into()),
            ..ContainerConfig::default()
        };
        let host = HostConfig {
            mounts,
            ..bound(&["vol:/v".to_owned()])
        };
        plan(&config, &host, Path::new("/volumes"), names())
    };
    let mounts = planned(vec![
        request(MountKind::Bind, "/", "/a:b", true),
        request(MountKind::Volume, "data", "/c", true),
        request(MountKind::Volume, "", "/d", false),
        request(MountKind::Tmpfs, "", "/memory", false),
    ]);
    let shown: Vec<String> = mounts
        .unwrap()
        .iter()
        .map(|m| {
            format!(
                "{} {} {} {} {}",
                m.kind, m.source, m.destination, m.read_write, m.anonymous
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "volume /volumes/vol/_data /v true false",
            "bind / /a:b false false",
            "volume /volumes/data/_data /c false false",
            "volume /volumes/anonymous1/_data /d true true",
        ]
    );
    let refused = |request| planned(vec![request]).unwrap_err().to_string();
    assert_eq!(
        refused(request(MountKind::Volume, "/etc", "/a", false)),
        "create /etc: \"/etc\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    );
    assert_eq!(
        refused(request(MountKind::Tmpfs, "", "/v/", false)),
        "Duplicate mount point: /v"
    );
}
