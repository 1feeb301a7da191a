//! Where CRLs and issuers' certificates are published to, and what is brought there.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ca::crl::CrlParts;
use ca::ports::{CrlRecord, Ledger, StoreError};

/// So many octets of a file are read to learn what it is.
pub const START_OCTETS: u64 = 4096;

/// Storage that others serve from.
#[async_trait]
pub trait Destination: Send + Sync + fmt::Debug {
    /// What people call it.
    fn name(&self) -> &str;

    /// The first octets of what is there, [`START_OCTETS`] at most, and how long the whole is. `None`: nothing is
    /// there. `path`: as in a URL, with a slash in front.
    ///
    /// # Errors
    /// It can't be read.
    async fn start(&self, path: &str) -> Result<Option<(Bytes, u64)>, PublicationError>;

    /// These octets of what is there, which has to have them.
    ///
    /// # Errors
    /// It can't be read.
    async fn read(&self, path: &str, octets: Range<u64>) -> Result<Bytes, PublicationError>;

    /// Puts this in the place of what is there. Readers see the one or the other, and nothing between.
    ///
    /// # Errors
    /// It can't be written, or what it is made of can't be read: then what was there is still there.
    async fn replace(&self, file: &PublishedFile, contents: &mut Pieces<'_>) -> Result<(), PublicationError>;
}

/// What a file is to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFile {
    /// As in its URL, with a slash in front.
    pub path: String,
    /// How long it is.
    pub octets: u64,
    /// Its media type.
    pub content_type: &'static str,
    /// How long caches may keep it.
    pub age_max: Duration,
}

/// What a file holds, piece by piece.
#[derive(Debug)]
pub enum Pieces<'a> {
    /// In one piece, until it was taken.
    Whole(Option<Bytes>),
    /// A CRL of the ledger.
    Crl {
        /// What stands before the entries, until it was taken.
        head: Option<Bytes>,
        /// The entries.
        parts: CrlParts<'a>,
        /// What stands behind the entries, until it was taken.
        tail: Option<Bytes>,
    },
}

impl<'a> Pieces<'a> {
    /// Of a CRL of this ledger.
    pub fn of_crl(ledger: &'a dyn Ledger, crl: &CrlRecord) -> Self {
        let (head, tail) = (Some(crl.head.clone().into()), Some(crl.tail.clone().into()));
        Self::Crl { head, parts: CrlParts::of(ledger, crl), tail }
    }

    /// The next one; `None` behind the last.
    ///
    /// # Errors
    /// The ledger can't be read, or a newer CRL has taken its place there.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Whole(whole) => Ok(whole.take()),
            Self::Crl { head, parts, tail } => {
                if let Some(head) = head.take() {
                    return Ok(Some(head));
                }
                Ok(parts.next().await?.map(Bytes::from).or_else(|| tail.take()))
            }
        }
    }
}

/// Why something could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// S3-compatible storage refuses, or isn't there.
    #[error("{bucket}: {said}")]
    Bucket {
        /// Which bucket, where.
        bucket: String,
        /// What was said, or what happened, in one line.
        said: String,
    },
    /// S3-compatible storage can't be used with this configuration.
    #[error("crl.publish.s3: {0}")]
    Configuration(String),
    /// A CRL could not be read.
    #[error("the ledger: {0}")]
    Store(#[from] StoreError),
    /// A number could not be allocated.
    #[error("the CRL that is there is newer than the ledger's, and could not be acknowledged: {0}")]
    Acknowledge(#[from] ca::Error),
    /// What is there is newer than what the ledger has.
    #[error(
        "CRL {there} of this CA is there, and the ledger's is {ours}: a backup has brought an older ledger back. It is \
         not replaced by an older one, but by the next, which gets a number above it"
    )]
    Newer {
        /// The number of the CRL that is there.
        there: u64,
        /// The number of the ledger's.
        ours: u64,
    },
}
