//! Stored CRLs, read part by part: however long one is, it takes no more memory than a few parts.

use ca::crl::CrlParts;
use ca::ports::{CrlRecord, Ledger, StoreError, StoreErrorKind};
use pki::crl::CRL_OCTETS_MAX;
use pki::{Certificate, Crl, CrlEntry, CrlOutline, EntryReader, Serial, Sha256, SignatureAlgorithm, SignedPieces};

/// A stored CRL that could be read to its end.
pub(super) struct ReadCrl {
    /// As if it had no entries; its signature is none.
    pub(super) outline: Crl,
    /// What is wrong with its octets, its entries and its signature.
    pub(super) wrong: Vec<String>,
}

/// Reads a CRL. What keeps it from being read is the inner error.
pub(super) async fn read(
    ledger: &dyn Ledger,
    crl: &CrlRecord,
    issuer: Option<&Certificate>,
) -> Result<Result<ReadCrl, String>, StoreError> {
    let Some(outline) = CrlOutline::of_signed(&crl.head, (crl.entries, crl.entry_octets), &crl.tail) else {
        return Ok(Err("its lengths are not those of its parts".to_owned()));
    };
    let read = match outline.read() {
        Ok(read) => read,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut wrong = Vec::new();
    let (mut whole, mut signed) = (Sha256::pieces(), begin(issuer, crl, read.signature_algorithm(), &mut wrong));
    whole.add(&crl.head);
    add(&mut signed, outline.head());
    let mut entries = Entries::default();
    let mut parts = CrlParts::of(ledger, crl);
    loop {
        let part = match parts.next().await {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error) if error.kind == StoreErrorKind::Corrupt => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        whole.add(&part);
        add(&mut signed, &part);
        if let Err(why) = entries.push(&part) {
            return Ok(Err(why));
        }
    }
    whole.add(&crl.tail);
    add(&mut signed, outline.tail());
    if whole.finish() != crl.sha256 {
        wrong.push("its bytes are not those that were signed".to_owned());
    }
    if !entries.reader.is_between_entries() || entries.read != crl.entries {
        wrong.push(format!("it has {} entries, not {} as it is recorded", entries.read, crl.entries));
    }
    let signature = outline.signature(read.signature_algorithm(), &crl.tail);
    match (signed, signature) {
        (None, _) => {}
        (Some(_), None) => wrong.push("its signature can't be read".to_owned()),
        (Some(signed), Some(signature)) => {
            wrong.extend(signed.verify(signature).err().map(|error| format!("its signature is wrong: {error}")));
        }
    }
    Ok(Ok(ReadCrl { outline: read, wrong }))
}

/// What is signed, if it can be verified.
fn begin(
    issuer: Option<&Certificate>,
    crl: &CrlRecord,
    algorithm: SignatureAlgorithm,
    wrong: &mut Vec<String>,
) -> Option<SignedPieces> {
    // It would have to be held as a whole; that it is what the audit log has is checked all the same.
    if algorithm == SignatureAlgorithm::Ed25519 && crl.octets() > CRL_OCTETS_MAX as u64 {
        return None;
    }
    let Some(issuer) = issuer else {
        wrong.push("its issuer's certificate is not known".to_owned());
        return None;
    };
    let signed = issuer.public_key().verify_pieces(algorithm);
    signed.inspect_err(|error| wrong.push(format!("its signature is wrong: {error}"))).ok()
}

fn add(signed: &mut Option<SignedPieces>, piece: &[u8]) {
    if let Some(signed) = signed {
        signed.add(piece);
    }
}

/// Entries as they come.
#[derive(Default)]
struct Entries {
    reader: EntryReader,
    read: u64,
    last: Option<Serial>,
}

impl Entries {
    fn push(&mut self, part: &[u8]) -> Result<(), String> {
        let whole = self.reader.push(part).map_err(|error| error.to_string())?;
        for CrlEntry { serial, .. } in whole.entries {
            if self.last.is_some_and(|last| last >= serial) {
                return Err(format!("serial {serial} stands there twice, or out of the order of serials"));
            }
            (self.last, self.read) = (Some(serial), self.read + 1);
        }
        Ok(())
    }
}

/// What a CRL lists.
pub(super) struct Listed<'a> {
    parts: CrlParts<'a>,
    reader: EntryReader,
}

impl<'a> Listed<'a> {
    pub(super) fn of(ledger: &'a dyn Ledger, crl: &CrlRecord) -> Self {
        Self { parts: CrlParts::of(ledger, crl), reader: EntryReader::default() }
    }

    /// The next entries: those that end in the next part. `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<CrlEntry>>, StoreError> {
        let Some(part) = self.parts.next().await? else { return Ok(None) };
        let whole = self.reader.push(&part);
        let whole = whole.map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error.to_string()))?;
        Ok(Some(whole.entries))
    }
}
