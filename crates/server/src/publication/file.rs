//! What is to be published, and how it compares with what is there.

use std::time::Duration;

use bytes::Bytes;
use ca::crl::NUMBER_MAX;
use ca::ports::{CrlRecord, Issuer};
use ca::urls;
use pki::crl::CRL_OCTETS_MAX;
use pki::{Certificate, Crl, CrlOutline, PublicKey, Sha256, SignatureAlgorithm, SignedPieces, Timestamp};

use super::destination::{Destination, PublicationError, PublishedFile};

/// A CRL may be kept by caches for an hour: a new one may be made at any time.
const CRL_AGE_MAX: Duration = Duration::from_secs(3600);
/// An issuer's certificate doesn't change.
const ISSUER_AGE_MAX: Duration = Duration::from_secs(86_400);
/// Extensions and a signature are shorter.
const TAIL_OCTETS_MAX: u64 = 16 * 1024;
/// What is read at a time of one that is there.
const PIECE_OCTETS: u64 = 1 << 20;

/// What is to stand at a path.
#[derive(Debug)]
pub(super) enum ToPublish<'a> {
    Issuer(Form, &'a Certificate),
    Crl(Box<CrlToPublish>),
}

/// Tells one content of a file from the next: number and time of a CRL.
pub(super) type Version = Option<(u64, Timestamp)>;

impl ToPublish<'_> {
    pub(super) fn version(&self) -> Version {
        match self {
            Self::Issuer(..) => None,
            Self::Crl(crl) => Some((crl.number, crl.this_update)),
        }
    }
}

/// How an issuer's certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Der,
    Pem,
}

impl Form {
    pub(super) const ALL: [Self; 2] = [Self::Der, Self::Pem];

    pub(super) fn path(self, issuer: &Sha256) -> String {
        match self {
            Self::Der => urls::issuer(issuer),
            Self::Pem => urls::issuer_pem(issuer),
        }
    }

    pub(super) fn contents(self, certificate: &Certificate) -> Bytes {
        match self {
            Self::Der => certificate.der().to_vec().into(),
            Self::Pem => pki::pem::encode("CERTIFICATE", certificate.der()).into(),
        }
    }

    pub(super) fn file(self, path: &str, contents: &Bytes) -> PublishedFile {
        let content_type = match self {
            Self::Der => "application/pkix-cert",
            Self::Pem => "application/pem-certificate-chain",
        };
        PublishedFile { path: path.to_owned(), octets: contents.len() as u64, content_type, age_max: ISSUER_AGE_MAX }
    }
}

/// A CRL to be published.
#[derive(Debug)]
pub(super) struct CrlToPublish {
    pub(super) issuer: Sha256,
    pub(super) shard: u16,
    pub(super) number: u64,
    pub(super) contents: Contents,
    key: PublicKey,
    this_update: Timestamp,
    next_update: Timestamp,
    octets: u64,
}

#[derive(Debug)]
pub(super) enum Contents {
    Whole(Bytes),
    InLedger(CrlRecord),
}

impl CrlToPublish {
    pub(super) fn of(issuer: &Issuer, crl: CrlRecord) -> Self {
        Self {
            issuer: issuer.id,
            shard: crl.shard,
            number: crl.number,
            key: issuer.certificate.public_key().clone(),
            this_update: crl.this_update,
            next_update: crl.next_update,
            octets: crl.octets(),
            contents: Contents::InLedger(crl),
        }
    }

    pub(super) fn of_root(root: &Certificate, crl: &Crl) -> Self {
        Self {
            issuer: root.public_key().spki_hash(),
            shard: 0,
            number: crl.number(),
            key: root.public_key().clone(),
            this_update: crl.this_update(),
            next_update: crl.next_update(),
            octets: crl.der().len() as u64,
            contents: Contents::Whole(crl.der().to_vec().into()),
        }
    }

    pub(super) fn file(&self, path: &str, now: Timestamp) -> PublishedFile {
        PublishedFile {
            path: path.to_owned(),
            octets: self.octets,
            content_type: "application/pkix-crl",
            age_max: self.next_update.since(now).min(CRL_AGE_MAX),
        }
    }

    /// What stands behind the entries; the signature, at its end, is of no other CRL.
    fn tail(&self) -> Option<&[u8]> {
        match &self.contents {
            Contents::InLedger(crl) => Some(&crl.tail),
            Contents::Whole(der) => der.get(usize::try_from(CrlOutline::entries_within(der)?.end).ok()?..),
        }
    }

    fn distribution_point(&self) -> Option<String> {
        let crl = match &self.contents {
            Contents::InLedger(crl) => {
                CrlOutline::of_signed(&crl.head, (crl.entries, crl.entry_octets), &crl.tail)?.read().ok()?
            }
            Contents::Whole(der) => Crl::from_der(der).ok()?,
        };
        crl.distribution_point().map(str::to_owned)
    }

    /// Verifies the signature of one of so many octets that says to be signed by this issuer. `None`: it can't be that.
    fn verifier(&self, other: &Crl, octets: u64) -> Option<SignedPieces> {
        let algorithm = other.signature_algorithm();
        // It would have to be held as a whole.
        let is_too_long = algorithm == SignatureAlgorithm::Ed25519 && octets > CRL_OCTETS_MAX as u64;
        self.key.verify_pieces(algorithm).ok().filter(|_| !is_too_long)
    }
}

/// What is there, compared with what is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Same,
    Older,
    /// No CRL, or not of this issuer and shard.
    Foreign,
    /// One of this issuer and shard, with this number, which is not below that of ours, and other contents.
    NotOlder(u64),
}

/// Compares what is there. Of a CRL that is older, the parts around its entries are read, whoever signed it; one that
/// claims not to be is read to its end, piece by piece.
pub(super) async fn there(
    destination: &dyn Destination,
    path: &str,
    ours: &CrlToPublish,
) -> Result<There, PublicationError> {
    let Some((start, octets)) = destination.start(path).await? else { return Ok(There::Nothing) };
    let entries = CrlOutline::entries_within(&start);
    let Some(entries) = entries.filter(|at| at.end < octets && octets - at.end <= TAIL_OCTETS_MAX) else {
        return Ok(There::Foreign);
    };
    let tail = destination.read(path, entries.end..octets).await?;
    let head = usize::try_from(entries.start).ok().and_then(|head| start.get(..head)).unwrap_or_default();
    let length = entries.end - entries.start;
    // How many entries there are is of no use here; an empty list is left out.
    let outline = CrlOutline::of_signed(head, (length.min(1), length), &tail);
    let read = outline.and_then(|outline| outline.read().ok().map(|theirs| (outline, theirs)));
    let Some((outline, theirs)) = read else { return Ok(There::Foreign) };
    if theirs.number() < ours.number {
        return Ok(There::Older);
    }
    if theirs.number() == ours.number && ours.tail() == Some(&tail[..]) && octets == ours.octets {
        return Ok(There::Same);
    }
    // Whoever may write there must not be able to have numbers used up, nor to keep CRLs away.
    let is_of_the_same =
        theirs.number() <= NUMBER_MAX && theirs.distribution_point() == ours.distribution_point().as_deref();
    let signature = outline.signature(theirs.signature_algorithm(), &tail);
    let (Some(mut signed), Some(signature), true) = (ours.verifier(&theirs, octets), signature, is_of_the_same) else {
        return Ok(There::Foreign);
    };
    signed.add(outline.head());
    let mut at = entries.start;
    while at < entries.end {
        let to = entries.end.min(at + PIECE_OCTETS);
        signed.add(&destination.read(path, at..to).await?);
        at = to;
    }
    signed.add(outline.tail());
    let is_ours = signed.verify(signature).is_ok();
    Ok(if is_ours { There::NotOlder(theirs.number()) } else { There::Foreign })
}
