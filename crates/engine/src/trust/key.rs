//! Public keys: PEM to something that verifies.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapstrake_spec::Digest;

/// Bytes of a file with keys.
pub(super) const FILE_LIMIT: usize = 64 << 10;
/// Keys that may sign one image.
pub(super) const KEYS_LIMIT: usize = 64;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// A key, and how errors and results call it.
#[derive(Debug, Clone)]
pub(super) struct TrustedKey {
    /// The file it is in, or the place in the policy.
    pub(super) name: String,
    /// The digest of its `SubjectPublicKeyInfo`.
    pub(super) id: Digest,
    /// The same key for every hash that signers use with its kind.
    ways: Vec<ParsedPublicKey>,
}

impl TrustedKey {
    /// Reads the keys of a PEM text. The error has no name in it.
    pub(super) fn parse_all(name: &str, pem: &[u8]) -> Result<Vec<Self>, String> {
        let text = std::str::from_utf8(pem).map_err(|_error| NO_KEY.to_owned())?;
        let mut keys = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(BEGIN) {
            let (label, after) = rest
                .get(at + BEGIN.len()..)
                .and_then(|found| found.split_once(DASHES))
                .ok_or(NO_KEY)?;
            let end = format!("-----END {label}-----");
            let (body, after) = after
                .split_once(&end)
                .ok_or_else(|| format!("there is no `{end}`"))?;
            keys.push(Self::parse(name, label, body)?);
            rest = after;
        }
        if keys.is_empty() {
            return Err(NO_KEY.to_owned());
        }
        Ok(keys)
    }

    fn parse(name: &str, label: &str, body: &str) -> Result<Self, String> {
        match label {
            "PUBLIC KEY" => {}
            "CERTIFICATE" => {
                return Err(
                    "it is a certificate; write its public key into the file: `openssl x509 \
                            -pubkey -noout`"
                        .to_owned(),
                );
            }
            "PGP PUBLIC KEY BLOCK" => {
                return Err(
                    "it is a PGP key, and signatures by such keys are not supported".to_owned(),
                );
            }
            private if private.contains("PRIVATE KEY") => {
                return Err("it is a private key: it belongs to the signer alone".to_owned());
            }
            other => return Err(format!("it is a {other}, no public key")),
        }
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD
            .decode(body)
            .map_err(|error| format!("it is no valid PEM: {error}"))?;
        let ways = ways(&der).ok_or(
            "it is of an unknown kind: ECDSA on P-256, P-384 and P-521, Ed25519 and RSA of 2048 to 8192 bits \
             are known",
        )?;
        Ok(Self {
            name: name.to_owned(),
            id: Digest::sha256(&der),
            ways,
        })
    }

    /// Whether it is of a kind that some signers use in a form (Ed25519ph) that is not supported.
    pub(super) fn is_ed25519(&self) -> bool {
        let mut ways = self.ways.iter();
        ways.any(|way| ParsedPublicKey::new(&ED25519, way.as_ref()).is_ok())
    }

    /// Whether it signed the message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.ways
            .iter()
            .any(|way| way.verify_sig(message, signature).is_ok())
    }
}

const NO_KEY: &str = "there is no public key in PEM format in it";

/// The key with every algorithm of its kind.
fn ways(der: &[u8]) -> Option<Vec<ParsedPublicKey>> {
    type Kind = &'static [&'static dyn VerificationAlgorithm];
    const KINDS: [Kind; 5] = [
        &[&ECDSA_P256_SHA256_ASN1],
        &[&ECDSA_P384_SHA384_ASN1, &ECDSA_P384_SHA256_ASN1],
        &[&ECDSA_P521_SHA512_ASN1, &ECDSA_P521_SHA256_ASN1],
        &[&ED25519],
        &[
            &RSA_PKCS1_2048_8192_SHA256,
            &RSA_PKCS1_2048_8192_SHA384,
            &RSA_PKCS1_2048_8192_SHA512,
        ],
    ];
    // The bare point of a curve, which the library would take too, is no `SubjectPublicKeyInfo`.
    if der.first() != Some(&SEQUENCE) {
        return None;
    }
    KINDS.iter().find_map(|kind| {
        let parsed = kind.iter().map(|way| ParsedPublicKey::new(*way, der));
        parsed.collect::<Result<_, _>>().ok()
    })
}

/// How DER begins.
const SEQUENCE: u8 = 0x30;
