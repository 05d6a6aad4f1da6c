//! Private keys, as cosign keeps them: PKCS #8 in a box that a passphrase opens.
//!
//! The file is PEM around a JSON document: scrypt makes a key of the passphrase, XSalsa20 and Poly1305
//! (`nacl/secretbox`) close the box.

use super::json::Json;
use super::key::TrustedKey;
use crate::error::{Error, ErrorKind, Origin};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapstrake_spec::Digest;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};

/// How the PEM of a private key begins; older ones have the other word.
const LABELS: [&str; 2] = [
    "ENCRYPTED SIGSTORE PRIVATE KEY",
    "ENCRYPTED COSIGN PRIVATE KEY",
];
/// Columns of PEM.
const COLUMNS: usize = 64;
/// The work of a passphrase: 64 MiB, as cosign.
const LOG_N: u8 = 16;
const R: u32 = 8;
const P: u32 = 1;
/// The most work that a file may ask for, N·r·p: a quarter of a gigabyte, and four times what cosign asks for.
const WORK_LIMIT: u64 = 1 << 21;

const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// A key that signs.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key, and its file's text.
    pub(crate) fn generate(passphrase: &str) -> Result<(Self, String), Error> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(Error::internal)?;
        let sealed = seal(document.as_ref(), passphrase).map_err(failed)?;
        let body = STANDARD.encode(sealed);
        let key = Self::of_pkcs8(document.as_ref()).map_err(failed)?;
        Ok((key, pem(LABELS[0], &body)))
    }

    /// Opens a file's text.
    pub fn open(text: &str, passphrase: &str) -> Result<Self, Error> {
        let body = LABELS.iter().find_map(|label| {
            let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
            rest.split_once(&format!("-----END {label}-----"))
        });
        let Some((body, _)) = body else {
            let text = "there is no encrypted private key in PEM format in it";
            return Err(failed(text).with_hint(
                "`lap trust key generate` and `cosign generate-key-pair` make such files, `cosign \
                 import-key-pair` makes them of other keys",
            ));
        };
        let body: String = body.split_ascii_whitespace().collect();
        let sealed = STANDARD
            .decode(body)
            .map_err(|error| failed(format!("it is no valid PEM: {error}")))?;
        let document = unseal(&sealed, passphrase).map_err(failed)?;
        Self::of_pkcs8(&document).map_err(failed)
    }

    fn of_pkcs8(document: &[u8]) -> Result<Self, String> {
        let kinds = [
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            &ECDSA_P384_SHA384_ASN1_SIGNING,
        ];
        let mut pairs = kinds
            .into_iter()
            .filter_map(|kind| EcdsaKeyPair::from_pkcs8(kind, document).ok());
        let pair = pairs.next().ok_or(
            "it is of another kind than ECDSA on P-256 or P-384, which alone can sign here",
        )?;
        let public = pair.public_key().as_der();
        let public = public.map_err(|_unspecified| "its public key cannot be written")?;
        Ok(Self {
            public: public.as_ref().to_vec(),
            pair,
        })
    }

    /// The digest of the public key.
    pub fn id(&self) -> Digest {
        Digest::sha256(&self.public)
    }

    /// The public key in PEM.
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &STANDARD.encode(&self.public))
    }

    /// Signs a message; in base64.
    pub(super) fn sign(&self, message: &[u8]) -> Result<String, Error> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(Error::internal)?;
        Ok(STANDARD.encode(signature))
    }

    /// The key that verifies what this one signs.
    pub(super) fn verifier(&self) -> Result<TrustedKey, Error> {
        let keys = TrustedKey::parse_all("", self.public_pem().as_bytes()).map_err(failed)?;
        keys.into_iter()
            .next()
            .ok_or_else(|| failed("it has no public key"))
    }
}

fn failed(text: impl std::fmt::Display) -> Error {
    let text = format!("the private key cannot be used: {text}");
    Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
}

fn pem(label: &str, body: &str) -> String {
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(COLUMNS).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out + &format!("-----END {label}-----\n")
}

fn stretch(passphrase: &str, salt: &[u8], log_n: u8, r: u32, p: u32) -> Result<[u8; 32], String> {
    let params = scrypt::Params::new(log_n, r, p).map_err(|error| error.to_string())?;
    let mut key = [0; 32];
    scrypt::scrypt(passphrase.as_bytes(), salt, &params, &mut key)
        .map_err(|error| error.to_string())?;
    Ok(key)
}

/// The cipher behind the bytes of its stream that are the key of the sum.
fn opened(key: [u8; 32], nonce: [u8; NONCE_BYTES]) -> (XSalsa20, Poly1305) {
    let mut cipher = XSalsa20::new(&key.into(), &nonce.into());
    let mut sum_key = [0; 32];
    cipher.apply_keystream(&mut sum_key);
    let sum = Poly1305::new(&sum_key.into());
    (cipher, sum)
}

fn seal(document: &[u8], passphrase: &str) -> Result<String, String> {
    let random = SystemRandom::new();
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    let filled = random
        .fill(&mut salt)
        .and_then(|()| random.fill(&mut nonce));
    filled.map_err(|_unspecified| "there are no random numbers")?;
    let key = stretch(passphrase, &salt, LOG_N, R, P)?;
    let (mut cipher, sum) = opened(key, nonce);
    let mut text = document.to_vec();
    cipher.apply_keystream(&mut text);
    let tag = sum.compute_unpadded(&text);
    let ciphertext = STANDARD.encode([tag.as_slice(), &text].concat());
    let (salt, nonce) = (STANDARD.encode(salt), STANDARD.encode(nonce));
    let n = 1_u32 << LOG_N;
    Ok(format!(
        "{{\"kdf\":{{\"name\":\"scrypt\",\"params\":{{\"N\":{n},\"r\":{R},\"p\":{P}}},\"salt\":\"{salt}\"}},\
         \"cipher\":{{\"name\":\"nacl/secretbox\",\"nonce\":\"{nonce}\"}},\"ciphertext\":\"{ciphertext}\"}}"
    ))
}

/// The numbers of scrypt, when they are some and do not ask for too much: log N, r and p.
fn work(n: u64, r: u64, p: u64) -> Option<(u8, u32, u32)> {
    let work = n.checked_mul(r)?.checked_mul(p)?;
    if !n.is_power_of_two() || work == 0 || work > WORK_LIMIT {
        return None;
    }
    let log_n = u8::try_from(n.ilog2()).ok()?;
    Some((log_n, u32::try_from(r).ok()?, u32::try_from(p).ok()?))
}

fn unseal(sealed: &[u8], passphrase: &str) -> Result<Vec<u8>, String> {
    let broken = |what: &str| format!("its box is not valid: {what}");
    let document = Json::parse(sealed).map_err(|error| broken(&error.to_string()))?;
    let text = |keys: &[&str]| document.at(keys).and_then(Json::text);
    let bytes = |keys: &[&str]| text(keys).and_then(|text| STANDARD.decode(text).ok());
    let number = |key: &str| document.at(&["kdf", "params", key]).and_then(Json::number);
    if text(&["kdf", "name"]) != Some("scrypt")
        || text(&["cipher", "name"]) != Some("nacl/secretbox")
    {
        return Err(broken("it is of an unknown kind"));
    }
    let numbers = number("N").zip(number("r")).zip(number("p"));
    let (log_n, r, p) = numbers
        .and_then(|((n, r), p)| work(n, r, p))
        .ok_or_else(|| broken("its numbers are out of range"))?;
    let salt = bytes(&["kdf", "salt"]).ok_or_else(|| broken("it has no salt"))?;
    let nonce = bytes(&["cipher", "nonce"]).and_then(|nonce| nonce.try_into().ok());
    let nonce: [u8; NONCE_BYTES] = nonce.ok_or_else(|| broken("it has no nonce"))?;
    let mut content = bytes(&["ciphertext"]).ok_or_else(|| broken("it has no content"))?;
    if content.len() < TAG_BYTES {
        return Err(broken("it has no content"));
    }
    let mut content_text = content.split_off(TAG_BYTES);
    let key = stretch(passphrase, &salt, log_n, r, p)?;
    let (mut cipher, sum) = opened(key, nonce);
    let tag = sum.compute_unpadded(&content_text);
    verify_slices_are_equal(tag.as_slice(), &content)
        .map_err(|_unspecified| "the passphrase is wrong".to_owned())?;
    cipher.apply_keystream(&mut content_text);
    Ok(content_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_asks_for_bounded_work() {
        let good = [
            // Those of cosign: now, before, and where more was wanted.
            ((1 << 16, 8, 1), (16, 8, 1)),
            ((1 << 15, 8, 1), (15, 8, 1)),
            ((1 << 17, 8, 1), (17, 8, 1)),
            ((1 << 18, 8, 1), (18, 8, 1)),
        ];
        for ((n, r, p), expected) in good {
            assert_eq!(work(n, r, p), Some(expected), "{n} {r} {p}");
        }
        let bad = [
            (1 << 20, 16, 16),
            (1 << 20, 8, 1),
            (1 << 16, 8, 8),
            (1 << 19, 8, 1),
            (3, 8, 1),
            (0, 8, 1),
            (1 << 16, 0, 1),
            (1 << 16, 8, 0),
            (1 << 63, 8, 1),
            (2, u64::MAX, u64::MAX),
        ];
        for (n, r, p) in bad {
            assert_eq!(work(n, r, p), None, "{n} {r} {p}");
            let sealed = format!(
                r#"{{"kdf":{{"name":"scrypt","params":{{"N":{n},"r":{r},"p":{p}}},"salt":"AA=="}},"cipher":{{"name":"nacl/secretbox"}}}}"#
            );
            let error = unseal(sealed.as_bytes(), "").unwrap_err();
            assert!(error.contains("not valid"), "{error}");
        }
    }
}
