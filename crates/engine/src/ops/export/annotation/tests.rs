//! Annotations, as docker takes and places them.

use super::*;

#[test]
fn values_name_places_and_platforms() {
    let arm: Platform = "linux/arm64".parse().unwrap();
    let one = |place, platform: Option<&Platform>, key: &str| Annotation {
        place,
        platform: platform.cloned(),
        key: key.to_owned(),
        value: "v=w".to_owned(),
    };
    use AnnotationPlace::{Index, IndexDescriptor, Manifest, ManifestDescriptor};
    let rows = [
        ("a=v=w", vec![one(Manifest, None, "a")]),
        ("index:a=v=w", vec![one(Index, None, "a")]),
        (
            "index-descriptor:a=v=w",
            vec![one(IndexDescriptor, None, "a")],
        ),
        (
            "manifest[linux/arm64],manifest-descriptor:a=v=w",
            vec![
                one(Manifest, Some(&arm), "a"),
                one(ManifestDescriptor, None, "a"),
            ],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(parse_annotation(text).unwrap(), expected, "{text}");
    }
    let bad = [
        ("a", "invalid annotation \"a\", expected key=value"),
        ("top:a=b", "unknown annotation type \"top\""),
        (
            "manifest[x:a=b",
            "invalid annotation type \"manifest[x\", expected type and optional platform in square brackets",
        ),
    ];
    for (text, words) in bad {
        assert_eq!(
            parse_annotation(text).unwrap_err().message(),
            words,
            "{text}"
        );
    }
}

#[test]
fn a_platform_of_several_has_its_own() {
    let all = parse_annotation("manifest,manifest[linux/arm64]:a=b").unwrap();
    let all: Vec<&Annotation> = all.iter().collect();
    let arm: Platform = "linux/arm64".parse().unwrap();
    let count = |platform| at(&all, AnnotationPlace::Manifest, platform).len();
    assert_eq!((count(None), count(Some(&arm))), (1, 1));
    let own: Vec<&Annotation> = all.into_iter().skip(1).collect();
    assert!(at(&own, AnnotationPlace::Manifest, None).is_empty());
}

#[test]
fn one_platform_has_no_index_to_annotate() {
    let index = parse_annotation("index:a=b").unwrap();
    let index: Vec<&Annotation> = index.iter().collect();
    let error = check(&index, false).unwrap_err();
    let words = "index annotations not supported for single platform export";
    assert_eq!(error.message(), words);
    check(&index, true).unwrap();
}
