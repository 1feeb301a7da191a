//! Which precertificates the built-in logs take. All of them judge alike, so a precertificate is judged once for all.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ca::ports::{Issuer, Ledger, NewLeaf, SerialStatus};
use pki::{Certificate, PrecertEntry, Sha256};
use tokio::sync::OnceCell;

use super::recent::Recent;
use crate::EndpointError;

/// So many judgements are kept: a submission's logs ask for one within moments.
const JUDGEMENTS_MAX: usize = 1024;

/// The certificates of a submitted chain that are looked at.
const CHAIN_MAX: usize = 10;

/// A precertificate that was accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    /// What a log signs.
    pub(super) entry: PrecertEntry,
    /// What a log keeps.
    pub(super) leaf: NewLeaf,
}

type Judgement = Arc<OnceCell<Arc<Accepted>>>;

/// Judges precertificates: only those of this CA are taken whose serial the ledger has, that carry the poison and that
/// verify under their issuer's key.
pub struct Acceptance {
    issuers: Vec<Issuer>,
    ledger: Arc<dyn Ledger>,
    judgements: Mutex<Recent<Sha256, Judgement>>,
}

impl Acceptance {
    /// For the precertificates of these issuers.
    pub fn new(issuers: Vec<Issuer>, ledger: Arc<dyn Ledger>) -> Self {
        Self { issuers, ledger, judgements: Mutex::new(Recent::new(JUDGEMENTS_MAX)) }
    }

    /// The roots that chains end with (RFC 6962 §4.7).
    pub(super) fn roots(&self) -> Vec<&Certificate> {
        let mut roots: Vec<&Certificate> =
            self.issuers.iter().map(|issuer| issuer.chain.last().unwrap_or(&issuer.certificate)).collect();
        roots.dedup();
        roots
    }

    /// Judges a precertificate with the chain that was submitted with it.
    pub(super) async fn judge(&self, precertificate: &[u8], chain: &[Vec<u8>]) -> Result<Arc<Accepted>, EndpointError> {
        if chain.len() > CHAIN_MAX {
            return Err(refused(format!("{} certificates in the chain, at most {CHAIN_MAX} are taken", chain.len())));
        }
        let identity = Sha256::of(precertificate);
        let judgement = {
            let mut judgements = self.judgements.lock().unwrap_or_else(PoisonError::into_inner);
            judgements.find_or_make(identity, Judgement::default)
        };
        // Whoever comes first judges, the others wait for it; a judge that is dropped is followed by the next.
        let accepted = judgement.get_or_try_init(|| self.judge_anew(precertificate)).await;
        if accepted.is_err() {
            // The ledger may learn of this serial yet.
            self.judgements.lock().unwrap_or_else(PoisonError::into_inner).remove(&identity);
        }
        let accepted = accepted?;
        match chain.first() {
            Some(above) if accepted.leaf.chain.first() != Some(above) => {
                Err(refused("the chain goes on with a certificate that is not the issuer's".to_owned()))
            }
            Some(_) | None => Ok(Arc::clone(accepted)),
        }
    }

    async fn judge_anew(&self, der: &[u8]) -> Result<Arc<Accepted>, EndpointError> {
        let precertificate =
            Certificate::from_der(der).map_err(|error| refused(format!("the precertificate: {error}")))?;
        if !precertificate.is_precertificate() {
            return Err(refused("it has no poison: it is no precertificate (RFC 6962 §3.1)".to_owned()));
        }
        let serial = precertificate.serial();
        let record = self.ledger.serial(serial).await.map_err(|error| EndpointError::Failed(error.to_string()))?;
        let record = record.ok_or_else(|| refused(format!("serial {serial} is none that this CA allocated")))?;
        if record.status == SerialStatus::Wait {
            return Err(refused(format!("by the records, no precertificate with serial {serial} was signed yet")));
        }
        let issuer =
            self.issuers.iter().find(|issuer| issuer.id == record.issuer).ok_or_else(|| {
                refused(format!("serial {serial} is of issuer {}, which is not known", record.issuer))
            })?;
        precertificate
            .verify_signed_by(issuer.certificate.public_key())
            .map_err(|error| refused(format!("its issuer's signature: {error}")))?;
        Ok(Arc::new(accepted(&precertificate, issuer)))
    }
}

fn accepted(precertificate: &Certificate, issuer: &Issuer) -> Accepted {
    let entry = PrecertEntry { issuer_key_hash: issuer.id, tbs: precertificate.tbs().without_ct() };
    let above = std::iter::once(&issuer.certificate).chain(&issuer.chain);
    let leaf = NewLeaf {
        identity: Sha256::of_parts(&[entry.issuer_key_hash.as_bytes(), &entry.tbs]),
        issuer_key_hash: entry.issuer_key_hash,
        tbs: entry.tbs.clone(),
        precertificate: precertificate.der().to_vec(),
        chain: above.map(|one| one.der().to_vec()).collect(),
    };
    Accepted { entry, leaf }
}

fn refused(reason: String) -> EndpointError {
    EndpointError::Refused(reason)
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.issuers.iter().map(|issuer| &issuer.id);
        f.debug_list().entries(issuers).finish()
    }
}
