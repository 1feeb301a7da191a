//! CRLs of this CA that its ledger does not know: a backup has brought an older ledger back.

use pki::Sha256;

use super::NUMBER_MAX;
use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::ports::CrlShard;

impl Ca {
    /// Takes note of a CRL that was found elsewhere, signed by this issuer: its number counts as allocated, so that the
    /// next CRL of the shard gets one above it, and is made at once. Whether the ledger didn't know of the number.
    ///
    /// No line of the audit log says so: nothing is signed for it here, and the number of the next CRL is logged.
    ///
    /// # Errors
    /// The ledger could not be asked, or no number may be as high.
    pub async fn acknowledge_crl(&self, issuer: Sha256, shard: u16, number: u64) -> Answer<bool> {
        if number > NUMBER_MAX {
            return Err(Error::Failed(format!("CRL number {number} is above {NUMBER_MAX}, the highest there may be")));
        }
        if self.ledger.crl_state(issuer, CrlShard::alone(shard)).await?.allocated >= number {
            return Ok(false);
        }
        self.ledger.allocate_crl_number(issuer, shard, number, self.now()).await?;
        self.crl_watch.look_anew(issuer);
        Ok(true)
    }
}
