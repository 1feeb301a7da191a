//! What was written, and what it took.

use std::fmt;

use serde::Serialize;

/// What was written now; what was there before is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Accounts.
    pub accounts: u64,
    /// Certificates.
    pub certificates: u64,
    /// Revocations.
    pub revocations: u64,
    /// Orders that ended without a certificate.
    pub invalid: u64,
    /// Calls of the ledger's port that write.
    pub writes: u64,
}

/// What a run of `fill` did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Report {
    /// What was written.
    pub written: Written,
    /// How long that took.
    pub seconds: f64,
    /// How long it took until the store was closed, its log copied into its file.
    pub closed_seconds: f64,
    /// CPU time of this process, all its threads together.
    pub cpu_seconds: f64,
    /// By how many octets the store has grown.
    pub octets: u64,
}

#[expect(clippy::cast_precision_loss, reason = "the numbers are for people")]
const fn float(number: u64) -> f64 {
    number as f64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { accounts, certificates, revocations, invalid, writes } = self.written;
        writeln!(
            f,
            "written:      {accounts} accounts, {certificates} certificates, {revocations} revocations, {invalid} \
             orders that ended invalid"
        )?;
        let rate = |number: u64| float(number) / self.seconds.max(1e-9);
        writeln!(
            f,
            "time:         {:.1} s, {:.1} s until the store was closed; {:.1} s of CPU time",
            self.seconds, self.closed_seconds, self.cpu_seconds
        )?;
        writeln!(f, "writes:       {writes} through the ledger's port, {:.0} a second", rate(writes))?;
        writeln!(f, "certificates: {:.0} a second", rate(certificates))?;
        write!(f, "disk:         {} octets", self.octets)?;
        if certificates > 0 {
            write!(f, ", {:.0} for each certificate", float(self.octets) / float(certificates))?;
        }
        writeln!(f)
    }
}
