//! Values of `-o`, as docker takes and refuses them.

use super::*;

fn path(text: &str) -> Destination {
    Destination::Path(PathBuf::from(text))
}

fn oci(dest: Destination, tar: bool) -> Output {
    Output::Oci {
        dest,
        tar,
        names: Vec::new(),
        form: ImageForm::default(),
    }
}

fn docker(dest: Option<Destination>) -> Output {
    Output::Docker {
        dest,
        tar: true,
        names: Vec::new(),
        form: ImageForm::default(),
    }
}

#[test]
fn values_are_understood() {
    let local = |dest: &str| Output::Local {
        dest: PathBuf::from(dest),
        split: None,
    };
    let image = |names: &[&str], push, store| Output::Image {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        push,
        store,
        form: ImageForm::default(),
    };
    let rows = [
        ("out", local("out")),
        ("./a b", local("./a b")),
        ("type=local,dest=out", local("out")),
        ("TYPE=local,Dest=out", local("out")),
        ("\"type=local\",\"dest=a,b\"", local("a,b")),
        (
            "-",
            Output::Tar {
                dest: Destination::Stdout,
            },
        ),
        (
            "type=tar",
            Output::Tar {
                dest: Destination::Stdout,
            },
        ),
        (
            "type=tar,dest=-",
            Output::Tar {
                dest: Destination::Stdout,
            },
        ),
        (
            "type=tar,dest=x.tar",
            Output::Tar {
                dest: path("x.tar"),
            },
        ),
        ("type=oci,dest=x.tar", oci(path("x.tar"), true)),
        ("type=oci,dest=x,tar=false", oci(path("x"), false)),
        ("type=oci", oci(Destination::Stdout, true)),
        ("type=docker", docker(None)),
        ("type=docker,dest=x.tar", docker(Some(path("x.tar")))),
        ("type=docker,dest=-", docker(Some(Destination::Stdout))),
        ("type=image", image(&[], false, true)),
        (
            "type=image,name=a:1,push=true,store=0",
            image(&["a:1"], true, false),
        ),
        (
            "type=image,\"name=a:1,b\"",
            image(&["a:1", "b"], false, true),
        ),
        (
            "type=registry,name=a",
            Output::Registry {
                names: vec!["a".to_owned()],
                form: ImageForm::default(),
            },
        ),
    ];
    for (value, expected) in rows {
        assert_eq!(parse_output(value).unwrap(), expected, "{value}");
    }
}

#[test]
fn images_are_shaped_by_fields() {
    assert_eq!(parse_output("type=cacheonly").unwrap(), Output::Nothing);
    let split = Output::Local {
        dest: PathBuf::from("out"),
        split: Some(true),
    };
    let value = "type=local,dest=out,platform-split=true";
    assert_eq!(parse_output(value).unwrap(), split);
    let value = "type=image,compression=zstd,compression-level=9,force-compression=true,oci-mediatypes=1,\
                 rewrite-timestamp=true,annotation-index.a=b,annotation[linux/arm64].c=d";
    let output = parse_output(value).unwrap();
    let form = output.form().unwrap();
    let found = (form.compression, form.force_compression, form.oci_types);
    assert_eq!(found, (Some(LayerCompression::Zstd), true, Some(true)));
    assert!(form.rewrites_timestamps);
    let keys: Vec<_> = form
        .annotations
        .iter()
        .map(|one| one.key.as_str())
        .collect();
    assert_eq!(keys, ["a", "c"]);
}

#[test]
fn nonsense_is_refused_in_dockers_words() {
    let rows = [
        ("", "invalid empty output: \"\""),
        ("dest=out,tar=true", "type is required for output"),
        ("type=local", "dest is required for local output"),
        (
            "type=local,dest=-",
            "dest cannot be stdout for local exporter",
        ),
        ("type=local,out", "invalid value out"),
        ("type=nope,dest=x", "exporter \"nope\" could not be found"),
        ("type=oci,tar=false", "dest is required for oci exporter"),
        (
            "type=oci,tar=false,dest=-",
            "dest cannot be stdout for oci exporter",
        ),
        (
            "type=image,push=maybe",
            "non-bool value specified for push: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "type=oci,compression=rar",
            "unsupported compression type rar",
        ),
        (
            "type=oci,annotation-top.a=b",
            "unknown annotation type \"top\"",
        ),
        (
            "type=tar,colour=red",
            "unknown attribute \"colour\" of output tar",
        ),
        (
            "type=local,dest=a\"b",
            "parse error on line 1, column 18: bare \" in non-quoted-field",
        ),
        (
            "\"type=local",
            "parse error on line 1, column 12: extraneous or missing \" in quoted-field",
        ),
    ];
    for (value, words) in rows {
        assert_eq!(parse_output(value).unwrap_err().message(), words, "{value}");
    }
}

#[test]
fn push_and_load_join_the_outputs() {
    let parse = |values: &[&str], push, load| {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        parse_outputs(&values, push, load)
    };
    assert_eq!(parse(&[], false, false).unwrap(), []);
    assert_eq!(parse(&[], false, true).unwrap(), [docker(None)]);
    let pushed = Output::Registry {
        names: Vec::new(),
        form: ImageForm::default(),
    };
    assert_eq!(parse(&[], true, false).unwrap(), [pushed]);
    let stored = parse(&["type=image"], true, false).unwrap();
    assert!(matches!(&*stored, [Output::Image { push: true, .. }]));
    assert_eq!(parse(&["type=image"], false, true).unwrap().len(), 1);
    assert_eq!(parse(&["out"], false, true).unwrap().len(), 2);
    let error = parse(&[], true, true).unwrap_err();
    assert_eq!(
        error.message(),
        "push and load may not be set together at the moment"
    );
    let error = parse(&["-", "type=oci"], false, false).unwrap_err();
    assert_eq!(
        error.message(),
        "only one output can be written to standard output"
    );
}
