//! TLS of the client's side: what it trusts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Where systems keep the certificates of the CAs they trust, one file for all: Debian, Fedora, Alpine and others.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// A configuration that trusts the certificates in this file, or those that the system trusts.
pub(crate) fn configuration(root: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let roots = match root {
        Some(file) => read_roots(file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS 1.2 and 1.3 with the built-in cryptography")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read_roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file)
        .with_context(|| format!("cannot read the certificates in {}", file.display()))?;
    for certificate in certificates {
        let certificate = certificate.with_context(|| format!("{} is not a PEM file", file.display()))?;
        roots.add(certificate).with_context(|| format!("a certificate in {} cannot be trusted", file.display()))?;
    }
    if roots.is_empty() {
        bail!("{} has no certificate; give the PEM file of the CA of the directory's TLS certificate", file.display());
    }
    Ok(roots)
}

fn system_roots() -> anyhow::Result<RootCertStore> {
    let Some(file) = SYSTEM_ROOTS.iter().map(PathBuf::from).find(|file| file.is_file()) else {
        bail!("this system has no file of trusted certificates; name one with --root FILE");
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(&file).with_context(|| format!("cannot read {}", file.display()))?;
    // A system's list may hold certificates of forms that rustls does not take: they are passed over.
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    Ok(roots)
}
