use super::*;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn bytes_are_hashed() {
    let digest = Digest::sha256(b"");
    assert_eq!(digest.to_string(), format!("sha256:{EMPTY}"));
    assert_eq!(digest.hex(), EMPTY);
    assert_eq!(digest.short(), "e3b0c44298fc");
    assert_eq!(digest.algorithm(), Algorithm::Sha256);
    assert_eq!(Digest::from_sha256_hex(EMPTY), Ok(digest.clone()));

    let mut hasher = Hasher::for_digest(&digest);
    hasher.update(b"");
    assert_eq!(hasher.finish(), digest);
    let parts = ["ab", "cde"]
        .iter()
        .fold(Hasher::sha256(), |mut hasher, part| {
            hasher.update(part.as_bytes());
            hasher
        });
    assert_eq!(parts.finish(), Digest::sha256(b"abcde"));
}

#[test]
fn the_longer_algorithms_work() {
    for algorithm in [Algorithm::Sha384, Algorithm::Sha512] {
        let digest = Hasher::new(algorithm).finish();
        assert_eq!(digest.hex().len(), algorithm.hex_len());
        assert_eq!(Digest::parse(digest.as_str()), Ok(digest.clone()));
        assert_eq!(Hasher::for_digest(&digest).finish(), digest);
    }
}

#[test]
fn only_digests_are_read() {
    let upper = EMPTY.to_uppercase();
    for (text, error) in [
        ("", DigestError::Format),
        (EMPTY, DigestError::Format),
        ("sha256:", DigestError::Format),
        (":abc", DigestError::Format),
        ("SHA256:abc", DigestError::Format),
        ("sha256:abc", DigestError::Length),
        (&format!("sha256:{EMPTY}00"), DigestError::Length),
        (&format!("sha512:{EMPTY}"), DigestError::Length),
        (&format!("md5:{EMPTY}"), DigestError::Unsupported),
        (&format!("sha256:{upper}"), DigestError::Format),
        (&format!("sha256:../{}", &EMPTY[3..]), DigestError::Format),
    ] {
        assert_eq!(Digest::parse(text), Err(error), "{text}");
    }
}

#[test]
fn json_is_a_string() {
    let digest = Digest::sha256(b"x");
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, format!("\"{digest}\""));
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    let error = serde_json::from_str::<Digest>("\"sha256:1\"")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("invalid checksum digest length: sha256:1"),
        "{error}"
    );
}
