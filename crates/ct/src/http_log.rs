//! A CT log that is reached over HTTP (RFC 6962 §4, and the submission side of static-ct-api).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ca::ports::{Clock, CtSubmission};
use pki::sct::tree;
use pki::{DigitallySigned, LogId, PublicKey, Sct};

use crate::http::{AddressError, HttpLimits, Server, TlsTrust};
use crate::wire::{AddPreChain, AddedChain, Base64, SignedTreeHead};
use crate::{Endpoint, EndpointError};

/// Octets of an SCT's extensions. static-ct-api's leaf index takes 8.
const EXTENSIONS_OCTETS_MAX: usize = 1024;

/// Why a log can't be used as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpLogError {
    /// Its URL.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Its key makes no signatures of RFC 6962.
    #[error("the log's key is {0}; RFC 6962 has ECDSA P-256 and RSA")]
    Key(pki::KeyKind),
}

/// A log that is reached over HTTP.
pub struct HttpLog {
    id: LogId,
    key: PublicKey,
    server: Server,
    /// Where static-ct-api keeps its checkpoint: such a log has no get-sth.
    monitoring: Option<Server>,
}

impl HttpLog {
    /// A log of RFC 6962 at this base URL, to which `ct/v1/add-pre-chain` is appended.
    ///
    /// # Errors
    /// A URL or key that no log has.
    pub fn new(
        url: &str,
        key: PublicKey,
        trust: Option<&TlsTrust>,
        clock: Arc<dyn Clock>,
        limits: HttpLimits,
    ) -> Result<Self, HttpLogError> {
        let server = Server::new(url, trust, clock, limits)?;
        // The kinds of keys that RFC 6962 §2.1.4 has are those with a TLS code.
        if DigitallySigned::sha256(&key, Vec::new()).is_none() {
            return Err(HttpLogError::Key(key.kind()));
        }
        Ok(Self { id: LogId::of(&key), key, server, monitoring: None })
    }

    /// A log of static-ct-api, with its submission and its monitoring prefix.
    ///
    /// # Errors
    /// A URL or key that no log has.
    pub fn tiled(
        submission_url: &str,
        monitoring_url: &str,
        key: PublicKey,
        trust: Option<&TlsTrust>,
        clock: Arc<dyn Clock>,
        limits: HttpLimits,
    ) -> Result<Self, HttpLogError> {
        let monitoring = Server::new(monitoring_url, trust, Arc::clone(&clock), limits)?;
        Ok(Self { monitoring: Some(monitoring), ..Self::new(submission_url, key, trust, clock, limits)? })
    }

    /// Reads an SCT as it came. Whether it is true is for the submitter to verify.
    fn read_sct(&self, body: &[u8]) -> Result<Sct, EndpointError> {
        let wrong = |what: String| EndpointError::Answer(what);
        let added: AddedChain =
            serde_json::from_slice(body).map_err(|error| wrong(format!("not an SCT in JSON: {error}")))?;
        if added.sct_version != 0 {
            return Err(wrong(format!("an SCT of version {}, expected 0 (v1)", added.sct_version)));
        }
        if added.id != self.id {
            return Err(wrong(format!("an SCT of log {}, expected {}", added.id, self.id)));
        }
        if added.extensions.0.len() > EXTENSIONS_OCTETS_MAX {
            let length = added.extensions.0.len();
            return Err(wrong(format!("{length} octets of extensions, at most {EXTENSIONS_OCTETS_MAX} are taken")));
        }
        let signature = DigitallySigned::from_tls(&added.signature.0).map_err(|error| wrong(error.to_string()))?;
        Ok(Sct { log_id: added.id, timestamp: added.timestamp.0, extensions: added.extensions.0, signature })
    }

    fn check_tree_head(&self, body: &[u8]) -> Result<(), EndpointError> {
        let wrong = |what: String| EndpointError::Answer(what);
        let head: SignedTreeHead =
            serde_json::from_slice(body).map_err(|error| wrong(format!("not a tree head in JSON: {error}")))?;
        let signed = tree::tree_head_signed_data(head.timestamp.0, head.tree_size, &head.sha256_root_hash.0);
        DigitallySigned::from_tls(&head.tree_head_signature.0)
            .and_then(|signature| signature.verify(&self.key, &signed))
            .map_err(|error| wrong(format!("its tree head: {error}")))
    }
}

/// Whether this looks like a checkpoint of static-ct-api: origin, size and root hash, each on its line, then
/// signatures.
fn check_checkpoint(body: &[u8]) -> Result<(), EndpointError> {
    let wrong = || EndpointError::Answer("not a checkpoint of static-ct-api".to_owned());
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let mut lines = text.lines();
    let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(wrong());
    };
    let root = data_encoding::BASE64.decode(root.as_bytes()).map_err(|_| wrong())?;
    if origin.is_empty() || size.parse::<u64>().is_err() || root.len() != 32 || !text.contains("\n\n\u{2014} ") {
        return Err(wrong());
    }
    Ok(())
}

#[async_trait]
impl Endpoint for HttpLog {
    fn log_id(&self) -> LogId {
        self.id
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    async fn add_pre_chain(&self, submission: &CtSubmission) -> Result<Sct, EndpointError> {
        let chain = std::iter::once(&submission.precertificate).chain(&submission.chain);
        let request = AddPreChain { chain: chain.cloned().map(Base64).collect() };
        let request = serde_json::to_vec(&request).map_err(|error| EndpointError::Failed(error.to_string()))?;
        self.read_sct(&self.server.post("ct/v1/add-pre-chain", request).await?)
    }

    async fn probe(&self) -> Result<(), EndpointError> {
        match &self.monitoring {
            None => self.check_tree_head(&self.server.get("ct/v1/get-sth").await?),
            Some(monitoring) => check_checkpoint(&monitoring.get("checkpoint").await?),
        }
    }
}

impl fmt::Debug for HttpLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpLog({:?})", self.server)
    }
}

#[cfg(test)]
mod tests;
