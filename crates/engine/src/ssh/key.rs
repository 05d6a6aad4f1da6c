//! Private keys in files: OpenSSH's own form and PEM, Ed25519, ECDSA and RSA.

use super::der;
use super::wire::{Reader, Writer, without_zeros};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
};
use base64::Engine as _;

/// What stands before a key in OpenSSH's form.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Asks for SHA-256 with an RSA key, and for SHA-512.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;
/// Bytes of a number in an RSA key: 16,384 bits, twice what the library takes.
const INTEGER_LIMIT: usize = 2048;

/// Why a file is no usable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// No private key at all, or a broken one.
    NoKey,
    /// It needs a passphrase.
    Passphrase,
    /// A key of another kind, or of another size.
    Unsupported,
}

/// A key that signs.
#[derive(Debug)]
pub(super) struct PrivateKey {
    /// The public key as SSH writes it.
    pub(super) blob: Vec<u8>,
    pub(super) comment: String,
    signer: Signer,
}

#[derive(Debug)]
enum Signer {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair, &'static Curve),
    Rsa(RsaKeyPair),
}

#[derive(Debug)]
struct Curve {
    name: &'static str,
    kind: &'static str,
    algorithm: &'static EcdsaSigningAlgorithm,
    /// Bytes of a private number.
    size: usize,
}

static CURVES: [Curve; 3] = [
    Curve {
        name: "nistp256",
        kind: "ecdsa-sha2-nistp256",
        algorithm: &ECDSA_P256_SHA256_FIXED_SIGNING,
        size: 32,
    },
    Curve {
        name: "nistp384",
        kind: "ecdsa-sha2-nistp384",
        algorithm: &ECDSA_P384_SHA384_FIXED_SIGNING,
        size: 48,
    },
    Curve {
        name: "nistp521",
        kind: "ecdsa-sha2-nistp521",
        algorithm: &ECDSA_P521_SHA512_FIXED_SIGNING,
        size: 66,
    },
];

impl PrivateKey {
    /// Reads a file. PEM has no comment: then the file's name serves.
    pub(super) fn parse(file: &[u8], name: &str) -> Result<Self, Refused> {
        let text = std::str::from_utf8(file).map_err(|_binary| Refused::NoKey)?;
        let (label, body) = pem(text)?;
        let (signer, comment) = match label {
            "OPENSSH PRIVATE KEY" => {
                let (signer, comment) = openssh(&body)?;
                (signer, Some(comment).filter(|comment| !comment.is_empty()))
            }
            "RSA PRIVATE KEY" => (rsa(RsaKeyPair::from_der(&body))?, None),
            "EC PRIVATE KEY" => (curve(&body)?, None),
            "PRIVATE KEY" => (pkcs8(&body)?, None),
            "ENCRYPTED PRIVATE KEY" => return Err(Refused::Passphrase),
            _ => return Err(Refused::Unsupported),
        };
        Ok(Self {
            blob: signer.blob().ok_or(Refused::Unsupported)?,
            comment: comment.unwrap_or_else(|| name.to_owned()),
            signer,
        })
    }

    /// The signature as SSH writes it; nothing for what the key cannot do (RSA with SHA-1).
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let (kind, signature) = match &self.signer {
            Signer::Ed25519(pair) => ("ssh-ed25519", pair.sign(data).as_ref().to_vec()),
            Signer::Ecdsa(pair, curve) => {
                let signature = pair.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at_checked(curve.size)?;
                (curve.kind, Writer::default().integer(r).integer(s).0)
            }
            Signer::Rsa(pair) => {
                let (kind, algorithm) = if flags & RSA_SHA2_512 != 0 {
                    ("rsa-sha2-512", &RSA_PKCS1_SHA512)
                } else if flags & RSA_SHA2_256 != 0 {
                    ("rsa-sha2-256", &RSA_PKCS1_SHA256)
                } else {
                    return None;
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(algorithm, &random, data, &mut signature).ok()?;
                (kind, signature)
            }
        };
        let blob = Writer::default().string(kind.as_bytes()).string(&signature);
        Some(blob.0)
    }
}

impl Signer {
    /// The public key as SSH writes it.
    fn blob(&self) -> Option<Vec<u8>> {
        let out = Writer::default();
        Some(match self {
            Self::Ed25519(pair) => {
                out.string(b"ssh-ed25519")
                    .string(pair.public_key().as_ref())
                    .0
            }
            Self::Ecdsa(pair, curve) => {
                out.string(curve.kind.as_bytes())
                    .string(curve.name.as_bytes())
                    .string(pair.public_key().as_ref())
                    .0
            }
            Self::Rsa(pair) => {
                let (modulus, exponent) = der::two_integers(pair.public_key().as_ref())?;
                out.string(b"ssh-rsa").integer(exponent).integer(modulus).0
            }
        })
    }
}

/// The first private key of a PEM text: its label and bytes.
fn pem(text: &str) -> Result<(&str, Vec<u8>), Refused> {
    let mut lines = text.lines().map(str::trim);
    let label = lines
        .by_ref()
        .find_map(|line| {
            let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            label.ends_with("PRIVATE KEY").then_some(label)
        })
        .ok_or(Refused::NoKey)?;
    let mut body = String::new();
    for line in lines {
        if line.starts_with("-----END ") {
            let bytes = base64::prelude::BASE64_STANDARD.decode(body);
            return bytes
                .map(|bytes| (label, bytes))
                .map_err(|_no_base64| Refused::NoKey);
        }
        match line.split_once(':') {
            Some(("Proc-Type", value)) if value.contains("ENCRYPTED") => {
                return Err(Refused::Passphrase);
            }
            Some(_) => {}
            None => body.push_str(line),
        }
    }
    Err(Refused::NoKey)
}

/// OpenSSH's form with one key in it.
fn openssh(body: &[u8]) -> Result<(Signer, String), Refused> {
    let mut reader = Reader(body.strip_prefix(MAGIC).ok_or(Refused::NoKey)?);
    let mut head = || Some((reader.string()?, reader.string()?, reader.string()?));
    let (cipher, _, _) = head().ok_or(Refused::NoKey)?;
    if cipher != b"none" {
        return Err(Refused::Passphrase);
    }
    let mut parts = || {
        let count = reader.number()?;
        let _public = reader.string()?;
        Some((count, reader.string()?))
    };
    match parts().ok_or(Refused::NoKey)? {
        (1, private) => private_part(Reader(private)),
        _ => Err(Refused::Unsupported),
    }
}

fn private_part(mut reader: Reader<'_>) -> Result<(Signer, String), Refused> {
    let mut head = || Some((reader.number()?, reader.number()?, reader.text()?));
    let (check, again, kind) = head().ok_or(Refused::NoKey)?;
    if check != again {
        return Err(Refused::NoKey);
    }
    let signer = match kind {
        "ssh-ed25519" => ed25519(&mut reader),
        "ssh-rsa" => rsa_numbers(&mut reader),
        kind => {
            let known = CURVES.iter().find(|curve| curve.kind == kind);
            curve_numbers(&mut reader, known.ok_or(Refused::Unsupported)?)
        }
    }?;
    let comment = reader.string().unwrap_or_default();
    Ok((signer, String::from_utf8_lossy(comment).into_owned()))
}

fn ed25519(reader: &mut Reader<'_>) -> Result<Signer, Refused> {
    let mut fields = || Some((reader.string()?, reader.string()?));
    let (public, secret) = fields().ok_or(Refused::NoKey)?;
    let seed = secret.get(..32).ok_or(Refused::NoKey)?;
    let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public);
    pair.map(Signer::Ed25519).map_err(|_wrong| Refused::NoKey)
}

fn curve_numbers(reader: &mut Reader<'_>, curve: &'static Curve) -> Result<Signer, Refused> {
    let mut fields = || Some((reader.string()?, reader.string()?, reader.integer()?));
    let (_name, public, number) = fields().ok_or(Refused::NoKey)?;
    let lead = curve.size.checked_sub(number.len()).ok_or(Refused::NoKey)?;
    let mut secret = vec![0; lead];
    secret.extend(number);
    EcdsaKeyPair::from_private_key_and_public_key(curve.algorithm, &secret, public)
        .map(|pair| Signer::Ecdsa(pair, curve))
        .map_err(|_wrong| Refused::NoKey)
}

fn rsa_numbers(reader: &mut Reader<'_>) -> Result<Signer, Refused> {
    let mut field = || {
        let number = reader.integer().ok_or(Refused::NoKey)?;
        if number.is_empty() || number.len() > INTEGER_LIMIT {
            return Err(Refused::NoKey);
        }
        Ok(number)
    };
    let (modulus, exponent, secret) = (field()?, field()?, field()?);
    let (inverse, p, q) = (field()?, field()?, field()?);
    let (of_p, of_q) = (reduced(secret, p), reduced(secret, q));
    rsa(RsaKeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents {
            n: modulus,
            e: exponent,
        },
        d: secret,
        p,
        q,
        dP: &of_p,
        dQ: &of_q,
        qInv: inverse,
    }))
}

/// `number mod (prime - 1)`, which the file leaves to be computed.
fn reduced(number: &[u8], prime: &[u8]) -> Vec<u8> {
    let mut modulus = vec![0];
    modulus.extend(prime);
    // A prime is odd: nothing is borrowed. What is not prime the library refuses.
    if let Some(last) = modulus.last_mut() {
        *last &= 0xfe;
    }
    let mut rest = vec![0_u8; modulus.len()];
    for byte in number {
        for bit in (0..8).rev() {
            let mut carry = (byte >> bit) & 1;
            for digit in rest.iter_mut().rev() {
                let next = *digit >> 7;
                *digit = (*digit << 1) | carry;
                carry = next;
            }
            if rest >= modulus {
                subtract(&mut rest, &modulus);
            }
        }
    }
    without_zeros(&rest).to_vec()
}

/// Both of one length, `from` not the smaller one.
fn subtract(from: &mut [u8], what: &[u8]) {
    let mut borrowed = false;
    for (digit, other) in from.iter_mut().zip(what).rev() {
        let (half, first) = digit.overflowing_sub(*other);
        let (whole, second) = half.overflowing_sub(u8::from(borrowed));
        *digit = whole;
        borrowed = first || second;
    }
}

fn rsa<E>(pair: Result<RsaKeyPair, E>) -> Result<Signer, Refused> {
    pair.map(Signer::Rsa)
        .map_err(|_wrong_or_short| Refused::Unsupported)
}

/// SEC 1's form, or an elliptic curve in PKCS #8.
fn curve(body: &[u8]) -> Result<Signer, Refused> {
    let mut fitting = CURVES.iter().filter_map(|curve| {
        let pair = EcdsaKeyPair::from_private_key_der(curve.algorithm, body).ok()?;
        Some(Signer::Ecdsa(pair, curve))
    });
    fitting.next().ok_or(Refused::Unsupported)
}

fn pkcs8(body: &[u8]) -> Result<Signer, Refused> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(body) {
        return Ok(Signer::Ed25519(pair));
    }
    curve(body).or_else(|_no_curve| rsa(RsaKeyPair::from_pkcs8(body)))
}
