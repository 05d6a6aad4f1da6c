use super::*;

fn mount(text: &str) -> Result<RunMount, String> {
    let text = MountText(text.to_owned());
    text.check_early().map_err(|error| error.to_string())?;
    text.resolve(&mut |value| Ok(value.replace("$v", "/value")))
        .map_err(|error| error.to_string())
}

#[test]
fn mounts() {
    for (text, wanted) in [
        (
            "target=/a",
            RunMount::Bind(BindMount {
                target: Some("/a".to_owned()),
                read_only: true,
                ..BindMount::default()
            }),
        ),
        (
            "type=bind,from=x,src=/s,dst=$v,rw",
            RunMount::Bind(BindMount {
                from: Some("x".to_owned()),
                source: Some("/s".to_owned()),
                target: Some("/value".to_owned()),
                read_only: false,
            }),
        ),
        (
            "TYPE=cache,id=i,destination=/c,sharing=locked,mode=0755,uid=1,gid=2,ro",
            RunMount::Cache(CacheMount {
                id: Some("i".to_owned()),
                target: Some("/c".to_owned()),
                read_only: true,
                sharing: Sharing::Locked,
                ownership: Ownership {
                    mode: Some(0o755),
                    uid: Some(1),
                    gid: Some(2),
                },
                ..CacheMount::default()
            }),
        ),
        (
            "type=tmpfs,target=/t,size=1.5g",
            RunMount::Tmpfs(TmpfsMount {
                target: Some("/t".to_owned()),
                size: 3 << 29,
                read_only: false,
            }),
        ),
        (
            "type=secret,id=k,env=K,required",
            RunMount::Secret(SecretMount {
                id: Some("k".to_owned()),
                env: Some("K".to_owned()),
                required: true,
                ..SecretMount::default()
            }),
        ),
        (
            "type=ssh,required=false,mode=600",
            RunMount::Ssh(SshMount {
                ownership: Ownership {
                    mode: Some(0o600),
                    ..Ownership::default()
                },
                ..SshMount::default()
            }),
        ),
    ] {
        assert_eq!(mount(text), Ok(wanted), "{text}");
    }
    let quoted = mount("type=bind,\"target=/a,\"\"b\"").unwrap();
    assert!(matches!(quoted, RunMount::Bind(bind) if bind.target == Some("/a,\"b".to_owned())));
}

#[test]
fn wrong_mounts() {
    for (text, error) in [
        (
            "type=bnd",
            "unsupported mount type \"bnd\" (did you mean bind?)",
        ),
        (
            "tpye=x",
            "unexpected key 'tpye' in 'tpye=x' (did you mean type?)",
        ),
        ("target", "invalid field 'target' must be a key=value pair"),
        (
            "required",
            "unexpected key 'required' for mount type 'bind'",
        ),
        ("size=1", "unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,size=x", "invalid value for size: x"),
        ("ro=maybe", "invalid value for ro: maybe"),
        ("type=cache,mode=9", "invalid value 9 for mode"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        (
            "type=cache,sharing=lock",
            "unsupported sharing value \"lock\" (did you mean locked?)",
        ),
        (
            "mode=1,target=/a",
            "mode not allowed for \"bind\" type mounts",
        ),
        (
            "type=secret",
            "invalid secret mount. one of source, target required",
        ),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
        (
            "type=secret,id=a,from=b",
            "secret mount should not have a from",
        ),
        (
            "type=tmpfs,sharing=shared",
            "invalid cache sharing set for tmpfs mount",
        ),
        (
            "from=$v,target=/a",
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        (
            "a\"b",
            "failed to parse csv mounts: parse error on line 1, column 2: bare \" in non-quoted-field",
        ),
    ] {
        assert_eq!(mount(text), Err(error.to_owned()), "{text}");
    }
}

#[test]
fn devices() {
    let device = |text: &str| Device::parse(text).map(|device| (device.name, device.required));
    assert_eq!(device("v/c=n"), Ok(("v/c=n".to_owned(), false)));
    assert_eq!(
        device("name=v/c=n,required"),
        Ok(("v/c=n".to_owned(), true))
    );
    assert_eq!(
        device("a,name=b"),
        Err("device name already set to a".to_owned())
    );
    assert_eq!(
        device("a,b"),
        Err("invalid field 'b' must be a key=value pair".to_owned())
    );
}
