use lapstrake_spec::Digest;
use serde_json::json;

use super::{Answer, Fixture, MANIFEST, manifest};

#[tokio::test]
async fn a_manifest_keeps_its_bytes_and_type() {
    let registry = Fixture::start().await;
    let (digest, raw) = registry.push_image("a/b", "t", "content").await;
    for reference in ["t", digest.as_str()] {
        let path = format!("/v2/a/b/manifests/{reference}");
        let read = registry.send("GET", &path).await;
        assert_eq!((read.status, read.text()), (200, raw.clone()));
        assert_eq!(read.header("content-type"), MANIFEST);
        assert_eq!(read.header("docker-content-digest"), digest.to_string());
        let head = registry.send("HEAD", &path).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), raw.len().to_string());
    }
    registry
        .send("GET", "/v2/a/b/manifests/none")
        .await
        .refused(404, "MANIFEST_UNKNOWN");
    registry
        .send("GET", "/v2/a/b/manifests/.none")
        .await
        .refused(404, "MANIFEST_UNKNOWN");
    registry
        .send("GET", "/v2/nowhere/manifests/t")
        .await
        .refused(404, "MANIFEST_UNKNOWN");
    registry
        .send("GET", &format!("/v2/c/manifests/{digest}"))
        .await
        .refused(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn what_a_manifest_refers_to_must_be_there() {
    let registry = Fixture::start().await;
    let config = registry.push_blob("r", b"{}").await;
    let absent = Digest::sha256(b"absent");
    let raw = manifest(&config, &absent, None);
    let refusal = registry.put_manifest("r", "t", &raw).await;
    refusal.refused(400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(
        refusal.json()["errors"][0]["detail"]["digest"],
        absent.to_string()
    );
    registry
        .send("GET", "/v2/r/manifests/t")
        .await
        .refused(404, "MANIFEST_UNKNOWN");
    let foreign = raw.replace(
        "application/x.layer",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    );
    assert_eq!(registry.put_manifest("r", "t", &foreign).await.status, 201);
    let index = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": MANIFEST, "digest": absent, "size": 1 }] });
    let put = registry
        .request("PUT", "/v2/r/manifests/i")
        .body(index.to_string());
    let put = put.header("content-type", "application/vnd.oci.image.index.v1+json");
    Answer::of(put).await.refused(400, "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn manifests_that_are_refused() {
    let registry = Fixture::start().await;
    let (digest, raw) = registry.push_image("r", "t", "x").await;
    let other = Digest::sha256(b"other");
    registry
        .put_manifest("r", other.as_str(), &raw)
        .await
        .refused(400, "DIGEST_INVALID");
    assert_eq!(
        registry
            .put_manifest("r", digest.as_str(), &raw)
            .await
            .status,
        201
    );
    registry
        .put_manifest("r", "-bad", &raw)
        .await
        .refused(400, "TAG_INVALID");
    for bad in [
        "",
        "[]",
        "{}",
        "{\"schemaVersion\":1}",
        "{\"schemaVersion\":2,\"layers\":3}",
    ] {
        registry
            .put_manifest("r", "t", bad)
            .await
            .refused(400, "MANIFEST_INVALID");
    }
    let typed = registry
        .request("PUT", "/v2/r/manifests/t")
        .body(raw.clone());
    let typed = typed.header(
        "content-type",
        "application/vnd.docker.distribution.manifest.v2+json",
    );
    Answer::of(typed).await.refused(400, "MANIFEST_INVALID");
    let untyped = registry.request("PUT", "/v2/r/manifests/u").body(raw);
    assert_eq!(Answer::of(untyped).await.status, 201);
    assert_eq!(
        registry
            .send("GET", "/v2/r/manifests/u")
            .await
            .header("content-type"),
        MANIFEST
    );
    let huge = format!(
        "{{\"schemaVersion\":2,\"x\":\"{}\"}}",
        "y".repeat(super::super::MANIFEST_LIMIT)
    );
    registry
        .put_manifest("r", "t", &huge)
        .await
        .refused(413, "MANIFEST_INVALID");
}

#[tokio::test]
async fn deleting_by_tag_and_by_digest() {
    let registry = Fixture::start().await;
    let (digest, raw) = registry.push_image("r", "one", "x").await;
    registry.put_manifest("r", "two", &raw).await;
    let (_, kept) = registry.push_image("r", "kept", "y").await;
    assert_eq!(
        registry.send("DELETE", "/v2/r/manifests/one").await.status,
        202
    );
    registry
        .send("DELETE", "/v2/r/manifests/one")
        .await
        .refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(
        registry.send("GET", "/v2/r/manifests/two").await.status,
        200
    );
    let path = format!("/v2/r/manifests/{digest}");
    assert_eq!(registry.send("DELETE", &path).await.status, 202);
    registry
        .send("DELETE", &path)
        .await
        .refused(404, "MANIFEST_UNKNOWN");
    registry
        .send("GET", "/v2/r/manifests/two")
        .await
        .refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(
        registry.get_json("/v2/r/tags/list").await["tags"],
        json!(["kept"])
    );
    assert_eq!(
        registry.send("GET", "/v2/r/manifests/kept").await.text(),
        kept
    );
    let registry = registry.restart().await;
    assert_eq!(
        registry.send("GET", "/v2/r/manifests/kept").await.text(),
        kept
    );
}

#[tokio::test]
async fn tags_and_repositories_come_in_pages() {
    let registry = Fixture::start().await;
    registry
        .send("GET", "/v2/r/tags/list")
        .await
        .refused(404, "NAME_UNKNOWN");
    let (_, raw) = registry.push_image("r", "c", "x").await;
    for tag in ["b", "d", "a"] {
        registry.put_manifest("r", tag, &raw).await;
    }
    registry.push_image("r/inner", "t", "x").await;
    registry.push_image("a", "t", "x").await;
    registry.push_blob("only-a-blob", b"x").await;
    let all = registry.get_json("/v2/r/tags/list").await;
    assert_eq!(all, json!({ "name": "r", "tags": ["a", "b", "c", "d"] }));
    let page = registry.send("GET", "/v2/r/tags/list?n=2&last=a").await;
    assert_eq!(page.json()["tags"], json!(["b", "c"]));
    assert_eq!(
        page.header("link"),
        "</v2/r/tags/list?last=c&n=2>; rel=\"next\""
    );
    let end = registry.send("GET", "/v2/r/tags/list?last=c&n=2").await;
    assert_eq!(
        (end.json()["tags"].clone(), end.header("link")),
        (json!(["d"]), "")
    );
    let none = registry.send("GET", "/v2/r/tags/list?n=0").await;
    assert_eq!(
        (none.json()["tags"].clone(), none.header("link")),
        (json!([]), "")
    );
    registry
        .send("GET", "/v2/r/tags/list?n=x")
        .await
        .refused(400, "PAGINATION_NUMBER_INVALID");
    let catalog = registry.get_json("/v2/_catalog").await;
    assert_eq!(catalog["repositories"], json!(["a", "r", "r/inner"]));
    let page = registry.send("GET", "/v2/_catalog?n=2").await;
    assert_eq!(
        page.header("link"),
        "</v2/_catalog?last=r&n=2>; rel=\"next\""
    );
    let rest = registry.get_json("/v2/_catalog?last=r&n=2").await;
    assert_eq!(rest["repositories"], json!(["r/inner"]));
}

#[tokio::test]
async fn referrers_of_a_subject() {
    let registry = Fixture::start().await;
    let (subject, _) = registry.push_image("r", "t", "x").await;
    let path = format!("/v2/r/referrers/{subject}");
    assert_eq!(registry.get_json(&path).await["manifests"], json!([]));
    let (config, layer) = (
        registry.push_blob("r", b"{}").await,
        registry.push_blob("r", b"signature").await,
    );
    let raw = manifest(&config, &layer, Some(&subject));
    let digest = Digest::sha256(raw.as_bytes());
    let put = registry.put_manifest("r", digest.as_str(), &raw).await;
    assert_eq!(
        (put.status, put.header("oci-subject")),
        (201, subject.to_string().as_str())
    );
    let list = registry.send("GET", &path).await;
    assert_eq!(
        list.header("content-type"),
        "application/vnd.oci.image.index.v1+json"
    );
    let entry = json!({
        "mediaType": MANIFEST,
        "digest": digest,
        "size": raw.len(),
        "artifactType": "application/x.config",
        "annotations": { "note": "n" },
    });
    assert_eq!(list.json()["manifests"], json!([entry]));
    let other = registry
        .send("GET", &format!("{path}?artifactType=application/y"))
        .await;
    assert_eq!(other.json()["manifests"], json!([]));
    assert_eq!(other.header("oci-filters-applied"), "artifactType");
    let same = registry
        .send(
            "GET",
            &format!("{path}?artifactType=application%2Fx.config"),
        )
        .await;
    assert_eq!(same.json()["manifests"], json!([entry]));
    assert_eq!(
        registry
            .send("DELETE", &format!("/v2/r/manifests/{digest}"))
            .await
            .status,
        202
    );
    assert_eq!(registry.get_json(&path).await["manifests"], json!([]));
}
