//! CRLs and issuers' certificates where others serve them: in a folder or in S3-compatible storage, under the paths of
//! their URLs. A file is there whole or not at all, is never replaced by an older one, and no making of a CRL waits for
//! this.

mod bucket;
mod destination;
mod file;
mod folder;
mod http;
mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ca::Ca;
use ca::ports::CrlGenerationId;
use ca::urls;
use pki::{Certificate, Timestamp};

pub use bucket::Bucket;
pub use destination::{Destination, Pieces, PublicationError, PublishedFile, START_OCTETS};
use file::{Contents, CrlToPublish, Form, There, ToPublish, there};
pub use folder::Folder;
use state::State;

use crate::hierarchy::root_crl::RootCrl;
use crate::upkeep::{Stop, pause};

/// How often it is looked whether there is something new.
const LOOK: Duration = Duration::from_secs(2);
/// After so many failures one behind the other there is something wrong with more than these files.
const FAILURES_MAX: u32 = 3;

/// What is kept in one place as it is here.
#[derive(Debug)]
pub struct Publication {
    ca: Arc<Ca>,
    root: Certificate,
    root_crl: Arc<RootCrl>,
    destination: Box<dyn Destination>,
    state: Mutex<State>,
}

impl Publication {
    /// To this place.
    pub fn new(
        ca: Arc<Ca>,
        root: Certificate,
        root_crl: Arc<RootCrl>,
        destination: impl Destination + 'static,
    ) -> Self {
        Self { ca, root, root_crl, destination: Box::new(destination), state: Mutex::default() }
    }

    /// How old the oldest CRL is that stands there and is still renewed; `None`: none is known to.
    pub fn oldest(&self) -> Option<Duration> {
        self.lock().oldest().map(|oldest| self.ca.now().since(oldest))
    }

    /// Since when something can't be published, and a line about it; of several the one that lasts longest.
    pub fn trouble(&self) -> Option<(Timestamp, String)> {
        let (path, since, why) = self.lock().trouble()?;
        Some((since, format!("{path} can't be published since {}: {why}", since.to_rfc3339())))
    }

    /// How many files can't be published.
    pub fn failing(&self) -> u64 {
        self.lock().failing()
    }

    /// Publishes what is new until the server stops. What fails is tried again, later and later.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        loop {
            if let Some(Err(error)) = ca::guarded("the publication of CRLs", self.publish()).await {
                let (to, files) = (self.destination.name(), self.failing());
                tracing::error!(%error, files, "CRLs could not be published to {to}; trying again");
            }
            if pause(&self.ca, LOOK, &stop).await {
                return;
            }
        }
    }

    /// Publishes what is new, or is no longer there: how many files that were. What failed lately waits for its time.
    ///
    /// # Errors
    /// The first that could not be published; those behind it are tried all the same, unless it is one of several in
    /// a row.
    pub async fn publish(&self) -> Result<u32, PublicationError> {
        if self.lock().waits(self.ca.clock.monotonic()) {
            return Ok(0);
        }
        match self.ca.ended_crl_generations().await {
            Ok(ended) => self.lock().not_renewed(self.paths_of(&ended)),
            Err(error) => tracing::debug!(%error, "which CRLs are not renewed any more is not known"),
        }
        let (mut written, mut first, mut in_a_row) = (0, None, 0);
        let mut paths = self.paths();
        // Where several fail for good, those behind them get their turn after the pause.
        let begin = self.lock().begin(paths.len());
        paths.rotate_left(begin);
        for (looked, path) in (1..).zip(paths) {
            let Some((path, tried)) = self.look_after(path).await else { continue };
            match tried {
                Ok(anew) => {
                    written += u32::from(anew);
                    in_a_row = 0;
                }
                Err(error) => {
                    self.lock().failed(&path, &error, (self.ca.now(), self.ca.clock.monotonic()));
                    // The place itself is as it should be then.
                    let is_well = matches!(error, PublicationError::Newer { .. } | PublicationError::Store(_));
                    in_a_row = if is_well { 0 } else { in_a_row + 1 };
                    first.get_or_insert(error);
                }
            }
            if in_a_row == FAILURES_MAX {
                self.lock().pause(begin + looked, self.ca.clock.monotonic());
                break;
            }
        }
        if in_a_row < FAILURES_MAX {
            self.lock().goes_on();
        }
        first.map_or(Ok(written), Err)
    }

    fn paths_of(&self, generations: &BTreeSet<CrlGenerationId>) -> BTreeSet<String> {
        let shards = self.ca.settings.crls.shards().filter(|shard| generations.contains(&shard.generation));
        shards.flat_map(|shard| self.ca.issuers.iter().map(move |one| urls::crl(&one.id, shard.number))).collect()
    }

    /// Everything that is to be there. An issuer's certificate comes once, however many chains it stands in.
    fn paths(&self) -> Vec<Looked<'_>> {
        let mut seen = BTreeSet::new();
        let mut paths = Vec::new();
        for issuer in &self.ca.issuers {
            let above = issuer.alternates.iter().flat_map(|chain| chain.certificates.iter().skip(1));
            for certificate in std::iter::once(&issuer.certificate).chain(&issuer.chain).chain(above) {
                let issuer = certificate.public_key().spki_hash();
                if seen.insert(issuer) {
                    let forms = Form::ALL.into_iter();
                    paths.extend(forms.map(|form| Looked::Issuer(form.path(&issuer), form, certificate)));
                }
            }
        }
        paths.push(Looked::RootCrl);
        for issuer in 0..self.ca.issuers.len() {
            let shards = self.ca.settings.crls.shards();
            paths.extend(shards.map(|shard| Looked::Shard { issuer, shard: shard.number }));
        }
        paths
    }

    /// Publishes one if that is due: its path, and whether it was written. `None`: nothing is to be done.
    async fn look_after(&self, looked: Looked<'_>) -> Option<(String, Result<bool, PublicationError>)> {
        let (path, wanted) = match looked {
            Looked::Issuer(path, form, certificate) => (path, Ok(Some(ToPublish::Issuer(form, certificate)))),
            Looked::RootCrl => {
                let path = urls::crl(&self.root.public_key().spki_hash(), 0);
                (path, Ok(Some(ToPublish::Crl(Box::new(CrlToPublish::of_root(&self.root, &self.root_crl.current()))))))
            }
            Looked::Shard { issuer, shard } => {
                let issuer = &self.ca.issuers[issuer];
                let last = self.ca.ledger.last_crl(issuer.id, shard).await;
                let crl = last.map(|last| last.map(|crl| ToPublish::Crl(Box::new(CrlToPublish::of(issuer, crl)))));
                (urls::crl(&issuer.id, shard), crl)
            }
        };
        let wanted = match wanted {
            Ok(wanted) => wanted?,
            Err(error) => return Some((path, Err(error.into()))),
        };
        if !self.lock().is_due(&path, wanted.version(), self.ca.clock.monotonic()) {
            return None;
        }
        let settled = match &wanted {
            ToPublish::Issuer(form, certificate) => self.settle_issuer(&path, *form, certificate).await,
            ToPublish::Crl(crl) => self.settle_crl(&path, crl).await,
        };
        match settled {
            Ok(Settled::Overtaken) => None,
            Ok(settled) => {
                self.lock().settled(&path, wanted.version(), self.ca.clock.monotonic());
                Some((path, Ok(settled == Settled::Written)))
            }
            Err(error) => Some((path, Err(error))),
        }
    }

    async fn settle_issuer(
        &self,
        path: &str,
        form: Form,
        certificate: &Certificate,
    ) -> Result<Settled, PublicationError> {
        let contents = form.contents(certificate);
        if let Some((start, octets)) = self.destination.start(path).await?
            && octets == contents.len() as u64
            && contents.starts_with(&start)
            && self.destination.read(path, 0..octets).await? == contents
        {
            return Ok(Settled::AsItWas);
        }
        let file = form.file(path, &contents);
        self.destination.replace(&file, &mut Pieces::Whole(Some(contents))).await?;
        Ok(Settled::Written)
    }

    async fn settle_crl(&self, path: &str, crl: &CrlToPublish) -> Result<Settled, PublicationError> {
        match there(&*self.destination, path, crl).await? {
            There::Same => return Ok(Settled::AsItWas),
            There::Nothing | There::Older => {}
            There::Foreign => {
                let to = self.destination.name();
                tracing::warn!("what is at {path} in {to} is no CRL of this issuer and shard; it is replaced");
            }
            There::NotOlder(number) => {
                // The same number with other contents is as bad: the next has to be above both.
                let used = number.max(crl.number.saturating_add(u64::from(number == crl.number)));
                if self.ca.acknowledge_crl(crl.issuer, crl.shard, used).await? {
                    tracing::error!(number, ours = crl.number, "a CRL at {path} is newer than what the ledger has");
                }
                return Err(PublicationError::Newer { there: number, ours: crl.number });
            }
        }
        let mut pieces = match &crl.contents {
            Contents::Whole(der) => Pieces::Whole(Some(der.clone())),
            Contents::InLedger(record) => Pieces::of_crl(&*self.ca.ledger, record),
        };
        let replaced = self.destination.replace(&crl.file(path, self.ca.now()), &mut pieces).await;
        if let Err(PublicationError::Store(_)) = &replaced
            && self.is_overtaken(crl).await?
        {
            return Ok(Settled::Overtaken);
        }
        replaced.map(|()| Settled::Written)
    }

    /// Parts of a CRL are given up some time after a newer one was made.
    async fn is_overtaken(&self, crl: &CrlToPublish) -> Result<bool, PublicationError> {
        let last = self.ca.ledger.last_crl(crl.issuer, crl.shard).await?;
        Ok(last.is_some_and(|last| last.number > crl.number))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is looked after.
enum Looked<'a> {
    Issuer(String, Form, &'a Certificate),
    RootCrl,
    /// `issuer`: its place among the CA's.
    Shard {
        issuer: usize,
        shard: u16,
    },
}

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settled {
    AsItWas,
    Written,
    /// It was not written, since a newer one has been made: that is published next.
    Overtaken,
}
