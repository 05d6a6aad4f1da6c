use crate::server::name::{RepositoryName, Tag, UploadId};
use crate::server::query::Query;
use crate::server::range::{Wanted, chunk, wanted};
use crate::server::route::{Route, Selector};
use crate::server::tokens::Grant;

#[test]
fn repository_names_follow_the_specification() {
    for good in [
        "a",
        "a/b",
        "a-b",
        "a--b",
        "a_b",
        "a__b",
        "a.b",
        "0/1/2",
        "a---b/c.d",
    ] {
        assert!(RepositoryName::parse(good).is_ok(), "{good}");
    }
    let long = "a".repeat(256);
    for bad in [
        "", "/", "a/", "/a", "a//b", ".", "..", "a/..", "../a", "a/../b", "a/./b", "A", "a..b",
        "a___b", "a._b", "-a", "a-", "_tags", "a/_blobs", "a b", "a\0", "ä", "a:b", &long,
    ] {
        assert!(RepositoryName::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn tags_follow_the_specification() {
    let (longest, long) = ("t".repeat(128), "t".repeat(129));
    for good in ["latest", "1.0", "_x", "A-b.C_d", &longest] {
        assert!(Tag::parse(good).is_some(), "{good}");
    }
    for bad in ["", ".", "..", "-a", ".a", "a/b", "a:b", "a b", "ä", &long] {
        assert!(Tag::parse(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn upload_ids_are_uuids() {
    let id = UploadId::random().unwrap();
    assert_eq!(UploadId::parse(id.as_str()), Some(id));
    for bad in [
        "",
        "..",
        "00000000-0000-0000-0000-00000000000",
        "00000000/0000-0000-0000-000000000000",
    ] {
        assert_eq!(UploadId::parse(bad), None, "{bad}");
    }
}

#[test]
fn ranges_of_a_download() {
    let part = |start, length| Wanted::Part { start, length };
    for (header, expected) in [
        ("bytes=0-0", part(0, 1)),
        ("bytes=2-5", part(2, 4)),
        ("bytes=2-", part(2, 8)),
        ("bytes=2-99", part(2, 8)),
        ("bytes=-3", part(7, 3)),
        ("bytes=-99", part(0, 10)),
        ("bytes=9-18446744073709551615", part(9, 1)),
        ("bytes=10-", Wanted::Unsatisfiable),
        ("bytes=10-12", Wanted::Unsatisfiable),
        ("bytes=-0", Wanted::Unsatisfiable),
        ("bytes=5-2", Wanted::All),
        ("bytes=0-1,4-5", Wanted::All),
        ("bytes=-", Wanted::All),
        ("bytes=a-b", Wanted::All),
        ("bytes=+1-+2", Wanted::All),
        ("lines=0-1", Wanted::All),
        ("", Wanted::All),
    ] {
        assert_eq!(wanted(Some(header), 10), expected, "{header}");
    }
    assert_eq!(wanted(None, 10), Wanted::All);
    assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Unsatisfiable);
}

#[test]
fn ranges_of_a_chunk() {
    for (header, expected) in [
        ("0-9", Some((0, 10))),
        ("10-10", Some((10, 1))),
        ("bytes 3-4/9", Some((3, 2))),
        ("bytes=3-4", Some((3, 2))),
        ("0-18446744073709551615", None),
        ("5-4", None),
        ("0--1", None),
        ("-1", None),
        ("x", None),
    ] {
        assert_eq!(chunk(header), expected, "{header}");
    }
}

#[test]
fn paths() {
    let name = |text| RepositoryName::parse(text).unwrap();
    let tag = |text| Selector::Tag(Tag::parse(text).unwrap());
    let route = |path: &str| Route::parse(path).ok().flatten();
    assert_eq!(route("/v2"), Some(Route::Ping));
    assert_eq!(route("/v2/"), Some(Route::Ping));
    assert_eq!(route("/v2/_catalog"), Some(Route::Catalog));
    assert_eq!(route("/v2/a/b/tags/list"), Some(Route::Tags(name("a/b"))));
    assert_eq!(
        route("/v2/a/manifests/1"),
        Some(Route::Manifest(name("a"), tag("1")))
    );
    assert_eq!(
        route("/v2/a/manifests/.x"),
        Some(Route::Manifest(name("a"), Selector::Malformed))
    );
    assert_eq!(route("/v2/blobs/uploads/"), None);
    assert_eq!(
        route("/v2/a/blobs/uploads"),
        Some(Route::Uploads(name("a")))
    );
    assert_eq!(route("/v2/manifests/manifests/manifests"), {
        Some(Route::Manifest(name("manifests"), tag("manifests")))
    });
    let hex = "0".repeat(64);
    let blob = route(&format!("/v2/a/blobs/sha256%3A{hex}"));
    assert!(matches!(blob, Some(Route::Blob(..))), "{blob:?}");
    for outside in [
        "/",
        "/v1/",
        "/v2x",
        "/v2/a",
        "/v2/a/tags",
        "/v2/%ff/tags/list",
        "/metrics",
    ] {
        assert_eq!(route(outside), None, "{outside}");
    }
    for refused in [
        "/v2/a/%2e%2e/tags/list",
        "/v2/../tags/list",
        "/v2/a/blobs/sha256:0",
        "/v2/a/blobs/../../lock",
        "/v2/a/blobs/uploads/../x",
    ] {
        assert!(!matches!(Route::parse(refused), Ok(Some(_))), "{refused}");
    }
}

#[test]
fn queries() {
    let query = Query::new(b"n=5&last=a%2Fb&x=1+2&x=3");
    assert_eq!(query.get("last").as_deref(), Some("a/b"));
    assert_eq!(query.all("x").collect::<Vec<_>>(), ["1 2", "3"]);
    assert_eq!(query.page_length(3).unwrap(), 3);
    assert_eq!(query.page_length(30).unwrap(), 5);
    assert!(Query::new(b"n=-1").page_length(3).is_err());
}

#[test]
fn scopes() {
    let scopes = ["repository:a/b:pull,push registry:catalog:*", "nonsense"];
    let grant = Grant::from_scopes(scopes.into_iter(), |_| true);
    assert!(grant.allows("repository:a/b", "push"));
    assert!(!grant.allows("repository:a/b", "delete"));
    assert!(grant.allows("registry:catalog", "anything"));
    assert!(!grant.allows("repository:a", "pull"));
    let grant = Grant::from_scopes(scopes.into_iter(), |action| action == "pull");
    assert!(grant.allows("repository:a/b", "pull"));
    assert!(!grant.allows("repository:a/b", "push"));
}
