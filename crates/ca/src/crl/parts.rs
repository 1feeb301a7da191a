//! The entries of a CRL, as the ledger has them: part by part.

use pki::Sha256;

use crate::ports::{CrlPart, CrlRecord, Ledger, StoreError, StoreErrorKind, Stored};

/// Reads the parts of one CRL's entries in their order.
#[derive(Debug)]
pub struct CrlParts<'a> {
    ledger: &'a dyn Ledger,
    next: CrlPart,
    left: u64,
}

impl<'a> CrlParts<'a> {
    /// Those of a CRL that is being made. `place`: its first part.
    pub const fn of_draft(ledger: &'a dyn Ledger, place: CrlPart, entry_octets: u64) -> Self {
        Self { ledger, next: CrlPart { part: 0, ..place }, left: entry_octets }
    }

    /// Those of a CRL that is stored.
    pub const fn of(ledger: &'a dyn Ledger, crl: &CrlRecord) -> Self {
        let place = CrlPart { issuer: crl.issuer, shard: crl.shard, number: crl.number, part: 0 };
        Self::of_draft(ledger, place, crl.entry_octets)
    }

    /// The next part; `None` behind the last.
    ///
    /// # Errors
    /// Those of a read; `Corrupt`: it is not there, or of another length.
    pub async fn next(&mut self) -> Stored<Option<Vec<u8>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let expected = self.left.min(CrlRecord::PART_OCTETS);
        let CrlPart { shard, number, part, .. } = self.next;
        // One octet more is asked for, so that a part that is too long is found.
        match self.ledger.crl_part(self.next, 0..expected + 1).await? {
            Some(octets) if octets.len() as u64 == expected => {
                self.left -= expected;
                self.next.part += 1;
                Ok(Some(octets))
            }
            found => {
                let found = match found {
                    None => "is not there".to_owned(),
                    Some(octets) if octets.len() as u64 > expected => "has more octets".to_owned(),
                    Some(octets) => format!("has {} octets", octets.len()),
                };
                let detail = format!("part {part} of CRL {number} of shard {shard} {found}; {expected} are expected");
                Err(StoreError::new(StoreErrorKind::Corrupt, detail))
            }
        }
    }
}

/// What keeps a stored CRL from being what was signed: a part is missing or of another length, or some octet is
/// another one. `None`: it is sound. It is read part by part.
///
/// # Errors
/// Those of a read, `Corrupt` not among them.
pub async fn damage(ledger: &dyn Ledger, crl: &CrlRecord) -> Stored<Option<String>> {
    let mut pieces = Sha256::pieces();
    pieces.add(&crl.head);
    let mut parts = CrlParts::of(ledger, crl);
    loop {
        match parts.next().await {
            Ok(Some(part)) => pieces.add(&part),
            Ok(None) => break,
            Err(error) if error.kind == StoreErrorKind::Corrupt => return Ok(Some(error.detail)),
            Err(error) => return Err(error),
        }
    }
    pieces.add(&crl.tail);
    let is_sound = pieces.finish() == crl.sha256;
    Ok((!is_sound).then(|| "its bytes are not those that were signed".to_owned()))
}
