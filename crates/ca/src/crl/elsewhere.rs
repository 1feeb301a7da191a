//! CRLs of this CA that its ledger does not know: a backup has brought an older ledger back.

use pki::Sha256;

use crate::authority::Ca;
use crate::error::Answer;
use crate::ports::CrlPart;

impl Ca {
    /// Takes note of a CRL that was found elsewhere, signed by this issuer: its number counts as allocated, so that the
    /// next CRL of the shard gets one above it, and is made at once. Whether the ledger didn't know of the number.
    ///
    /// # Errors
    /// The stores could not be asked, or another process has just allocated one above it.
    pub async fn acknowledge_crl(&self, issuer: Sha256, shard: u16, number: u64) -> Answer<bool> {
        let shards = self.settings.crl_shards.max(1);
        if self.ledger.crl_state(issuer, shard, shards).await?.allocated >= number {
            return Ok(false);
        }
        self.allocate_crl_number(CrlPart { issuer, shard, number, part: 0 }, self.now()).await?;
        self.crl_watch.look_anew(issuer);
        Ok(true)
    }
}
