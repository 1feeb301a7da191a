//! Layers around the ports of a process.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use ca::ports::{
    AuditEvent, AuditLine, AuditLog, AuditMark, CtSubmitter, Ledger, LintingKey, LogKey, LogStore, Reservation,
    SignError, Signed, Signer, SigningRequest, Stored, Validator, Workbench,
};
use ct::Endpoint;
use pki::{LogId, PublicKey, SignatureAlgorithm};

use super::faults::Faults;
use super::outside::{FaultyCt, FaultyEndpoint, FaultyValidator};
use super::stores::{
    Call, FaultyLedger, FaultyLogStore, FaultyWorkbench, LayeredLedger, LayeredLogStore, LayeredWorkbench, LedgerLayer,
    LogStoreLayer, WorkbenchLayer,
};

/// A layer around the ports of a process. What isn't overridden is left as it is.
pub trait Layer: Send + Sync + Debug {
    /// Around the ledger.
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        inner
    }

    /// Around the workbench.
    fn workbench(&self, inner: Arc<dyn Workbench>) -> Arc<dyn Workbench> {
        inner
    }

    /// Around the audit log.
    fn audit(&self, inner: Arc<dyn AuditLog>) -> Arc<dyn AuditLog> {
        inner
    }

    /// Around the store of the built-in logs.
    fn log_store(&self, inner: Arc<dyn LogStore>) -> Arc<dyn LogStore> {
        inner
    }

    /// Around the signer.
    fn signer(&self, inner: Arc<dyn Signer>) -> Arc<dyn Signer> {
        inner
    }

    /// Around the throwaway keys.
    fn linting_key(&self, inner: Arc<dyn LintingKey>) -> Arc<dyn LintingKey> {
        inner
    }

    /// Around the key of a built-in log.
    fn log_key(&self, inner: Arc<dyn LogKey>) -> Arc<dyn LogKey> {
        inner
    }

    /// Around the validator.
    fn validator(&self, inner: Arc<dyn Validator>) -> Arc<dyn Validator> {
        inner
    }

    /// Around a CT log, as the submitter sees it.
    fn endpoint(&self, inner: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        inner
    }

    /// Around the submitter.
    fn ct(&self, inner: Arc<dyn CtSubmitter>) -> Arc<dyn CtSubmitter> {
        inner
    }
}

/// Layers, the innermost first.
#[derive(Clone, Debug)]
pub struct Layers(pub Vec<Arc<dyn Layer>>);

impl Layers {
    /// A port with all of them around it.
    pub fn around<P>(&self, port: P, wrap: impl Fn(&dyn Layer, P) -> P) -> P {
        self.0.iter().fold(port, |port, layer| wrap(&**layer, port))
    }
}

/// What stands between callers and the audit log: each call goes on to `inner`, unless it is overridden.
#[async_trait]
pub trait AuditLayer: Send + Sync + Debug {
    /// See [`AuditLog::reserve`].
    async fn reserve(&self, inner: &dyn AuditLog, octets: u64) -> Stored<Box<dyn Reservation>> {
        inner.reserve(octets).await
    }

    /// See [`AuditLog::append`].
    async fn append(&self, inner: &dyn AuditLog, event: AuditEvent) -> Stored<u64> {
        inner.append(event).await
    }

    /// See [`AuditLog::applied`].
    fn applied(&self, inner: &dyn AuditLog, sequence: u64) {
        inner.applied(sequence);
    }

    /// See [`AuditLog::mark`].
    fn mark(&self, inner: &dyn AuditLog) -> AuditMark {
        inner.mark()
    }

    /// See [`AuditLog::lines`].
    async fn lines(&self, inner: &dyn AuditLog, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)> {
        inner.lines(from, limit).await
    }
}

/// What stands between callers and the signer.
#[async_trait]
pub trait SignerLayer: Send + Sync + Debug {
    /// See [`Signer::sign`].
    async fn sign(&self, inner: &dyn Signer, request: SigningRequest) -> Result<Signed, SignError>;
}

/// The port with a layer around it.
pub fn layered_ledger(inner: Arc<dyn Ledger>, layer: Arc<dyn LedgerLayer>) -> Arc<dyn Ledger> {
    Arc::new(LayeredLedger { inner, layer })
}

/// The port with a layer around it.
pub fn layered_workbench(inner: Arc<dyn Workbench>, layer: Arc<dyn WorkbenchLayer>) -> Arc<dyn Workbench> {
    Arc::new(LayeredWorkbench { inner, layer })
}

/// The port with a layer around it.
pub fn layered_log_store(inner: Arc<dyn LogStore>, layer: Arc<dyn LogStoreLayer>) -> Arc<dyn LogStore> {
    Arc::new(LayeredLogStore { inner, layer })
}

/// The port with a layer around it.
pub fn layered_audit(inner: Arc<dyn AuditLog>, layer: Arc<dyn AuditLayer>) -> Arc<dyn AuditLog> {
    Arc::new(LayeredAuditLog { inner, layer })
}

/// The port with a layer around it.
pub fn layered_signer(inner: Arc<dyn Signer>, layer: Arc<dyn SignerLayer>) -> Arc<dyn Signer> {
    Arc::new(LayeredSigner { inner, layer })
}

#[derive(Debug)]
struct LayeredAuditLog {
    inner: Arc<dyn AuditLog>,
    layer: Arc<dyn AuditLayer>,
}

#[async_trait]
impl AuditLog for LayeredAuditLog {
    async fn reserve(&self, octets: u64) -> Stored<Box<dyn Reservation>> {
        self.layer.reserve(&*self.inner, octets).await
    }

    async fn append(&self, event: AuditEvent) -> Stored<u64> {
        self.layer.append(&*self.inner, event).await
    }

    fn applied(&self, sequence: u64) {
        self.layer.applied(&*self.inner, sequence);
    }

    fn mark(&self) -> AuditMark {
        self.layer.mark(&*self.inner)
    }

    async fn lines(&self, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)> {
        self.layer.lines(&*self.inner, from, limit).await
    }
}

#[derive(Debug)]
struct LayeredSigner {
    inner: Arc<dyn Signer>,
    layer: Arc<dyn SignerLayer>,
}

#[async_trait]
impl Signer for LayeredSigner {
    async fn sign(&self, request: SigningRequest) -> Result<Signed, SignError> {
        self.layer.sign(&*self.inner, request).await
    }
}

/// Faults are the outermost layer.
impl Layer for Arc<Faults> {
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        Arc::new(FaultyLedger { inner, faults: Self::clone(self) })
    }

    fn workbench(&self, inner: Arc<dyn Workbench>) -> Arc<dyn Workbench> {
        Arc::new(FaultyWorkbench { inner, faults: Self::clone(self) })
    }

    fn audit(&self, inner: Arc<dyn AuditLog>) -> Arc<dyn AuditLog> {
        Arc::new(FaultyAuditLog { inner, faults: Self::clone(self) })
    }

    fn log_store(&self, inner: Arc<dyn LogStore>) -> Arc<dyn LogStore> {
        Arc::new(FaultyLogStore { inner, faults: Self::clone(self) })
    }

    fn signer(&self, inner: Arc<dyn Signer>) -> Arc<dyn Signer> {
        Arc::new(FaultySigner { inner, faults: Self::clone(self) })
    }

    fn linting_key(&self, inner: Arc<dyn LintingKey>) -> Arc<dyn LintingKey> {
        Arc::new(FaultyLintingKey { inner, faults: Self::clone(self) })
    }

    fn log_key(&self, inner: Arc<dyn LogKey>) -> Arc<dyn LogKey> {
        Arc::new(FaultyLogKey { inner, faults: Self::clone(self) })
    }

    fn validator(&self, inner: Arc<dyn Validator>) -> Arc<dyn Validator> {
        Arc::new(FaultyValidator { inner, faults: Self::clone(self) })
    }

    fn endpoint(&self, inner: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        Arc::new(FaultyEndpoint { inner, faults: Self::clone(self) })
    }

    fn ct(&self, inner: Arc<dyn CtSubmitter>) -> Arc<dyn CtSubmitter> {
        Arc::new(FaultyCt { inner, faults: Self::clone(self) })
    }
}

#[derive(Debug)]
struct FaultyAuditLog {
    inner: Arc<dyn AuditLog>,
    faults: Arc<Faults>,
}

#[async_trait]
impl AuditLog for FaultyAuditLog {
    async fn reserve(&self, octets: u64) -> Stored<Box<dyn Reservation>> {
        self.faults.around(Call::Reserve, self.inner.reserve(octets)).await
    }

    async fn append(&self, event: AuditEvent) -> Stored<u64> {
        let is_precertificate = matches!(event, AuditEvent::Precertificate { .. });
        let is_certificate = matches!(event, AuditEvent::Certificate { .. });
        let call = match (is_precertificate, is_certificate) {
            (true, _) => Call::AppendPrecertificate,
            (false, true) => Call::AppendCertificate,
            (false, false) => Call::AppendOther,
        };
        self.faults.around(call, self.inner.append(event)).await
    }

    fn applied(&self, sequence: u64) {
        self.inner.applied(sequence);
    }

    fn mark(&self) -> AuditMark {
        self.inner.mark()
    }

    async fn lines(&self, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)> {
        self.faults.around(Call::Lines, self.inner.lines(from, limit)).await
    }
}

#[derive(Debug)]
struct FaultySigner {
    inner: Arc<dyn Signer>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Signer for FaultySigner {
    async fn sign(&self, request: SigningRequest) -> Result<Signed, SignError> {
        let call = match &request {
            SigningRequest::Precertificate { .. } => Call::SignPrecertificate,
            SigningRequest::Certificate { .. } => Call::SignCertificate,
            SigningRequest::Crl { .. } => Call::SignCrl,
            SigningRequest::OcspAnswer { .. } => Call::SignOcspAnswer,
            SigningRequest::OcspResponder { .. } => Call::SignOcspResponder,
        };
        self.faults.around(call, self.inner.sign(request)).await
    }
}

#[derive(Debug)]
struct FaultyLintingKey {
    inner: Arc<dyn LintingKey>,
    faults: Arc<Faults>,
}

#[async_trait]
impl LintingKey for FaultyLintingKey {
    async fn sign(&self, algorithm: SignatureAlgorithm, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        self.faults.around(Call::SignLinting, self.inner.sign(algorithm, tbs)).await
    }
}

#[derive(Debug)]
struct FaultyLogKey {
    inner: Arc<dyn LogKey>,
    faults: Arc<Faults>,
}

#[async_trait]
impl LogKey for FaultyLogKey {
    fn log_id(&self) -> LogId {
        self.inner.log_id()
    }

    fn public_key(&self) -> &PublicKey {
        self.inner.public_key()
    }

    async fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        self.faults.around(Call::SignLog, self.inner.sign(data)).await
    }
}
