//! TLS settings: the system's authorities, a host's own, client certificates.

use crate::hosts::certs::TlsFiles;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Protocols offered, the better first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The authorities that the system trusts. Loaded when first needed: that takes milliseconds.
static SYSTEM_ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// Settings for a client that never gets to use TLS.
pub(super) fn unused() -> Result<ClientConfig, String> {
    builder(Arc::new(RootCertStore::empty()), None).map(Builder::with_no_client_auth)
}

/// Settings for a host with these files.
pub(super) fn config(files: &TlsFiles, skip_verify: bool) -> Result<ClientConfig, String> {
    let roots = if skip_verify {
        Arc::new(RootCertStore::empty())
    } else {
        roots(files)?
    };
    let verifier = skip_verify.then(|| Arc::new(AcceptAll(provider())));
    let builder = builder(roots, verifier)?;
    let mut config = match files.clients.first() {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key = key
                .as_deref()
                .filter(|key| key.exists())
                .unwrap_or(certificate);
            builder
                .with_client_auth_cert(chain, private_key(key)?)
                .map_err(|error| format!("{}: {error}", certificate.display()))?
        }
    };
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn builder(roots: Arc<RootCertStore>, verifier: Option<Arc<AcceptAll>>) -> Result<Builder, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(match verifier {
        Some(verifier) => builder
            .dangerous()
            .with_custom_certificate_verifier(verifier),
        None => builder.with_root_certificates(roots),
    })
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// The system's authorities and those of the files.
fn roots(files: &TlsFiles) -> Result<Arc<RootCertStore>, String> {
    let system = SYSTEM_ROOTS.get_or_init(|| {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, ignored) = store.add_parsable_certificates(found.certs);
        tracing::debug!(
            added,
            ignored,
            "loaded the system's certificate authorities"
        );
        Arc::new(store)
    });
    if files.authorities.is_empty() {
        return Ok(Arc::clone(system));
    }
    let mut store = RootCertStore::clone(system);
    for path in &files.authorities {
        store.add_parsable_certificates(certificates(path)?);
    }
    Ok(Arc::new(store))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error: rustls::pki_types::pem::Error| pem_words(path, &error);
    CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| pem_words(path, &error))
}

fn pem_words(path: &Path, error: &rustls::pki_types::pem::Error) -> String {
    format!("could not load certificate `{}`: {error}", path.display())
}

/// Accepts any certificate; signatures are still checked.
#[derive(Debug)]
struct AcceptAll(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
