//! `cairn-load fill`: writes accounts and certificates by the million into the data folder of a CA for tests, through
//! the ledger's port, so that the CA can be measured at that size.
//!
//! What it writes is consistent: requests, certificates and linting certificates are signed by those who would have
//! signed them, and `cairn fsck` finds nothing wrong. What was signed is older than the folder's audit log, as if the
//! ledger had been moved here, so that no line is missing there; revocations are of now, and have their lines. No CT
//! log has the certificates.
//!
//! All but the signatures follows from the seed and a number, so that whoever goes on finds out from the ledger alone
//! where to go on from.

mod draft;
mod folder;
mod report;
mod seed;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use crate::run::check_domain;
use crate::world;
use folder::Folder;
pub use report::Report;
use work::Work;

/// Write accounts and certificates into the data folder of a stopped CA for tests (`cairn serve --dev`), to measure it
/// at that size. Run again with larger numbers, it goes on.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// The data folder. `cairn serve --dev` has made it, and no server runs on it.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// How many certificates there are to be.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    pub certificates: u64,
    /// How many accounts there are to be; each certificate is that of one of them.
    #[arg(long, value_name = "M", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub accounts: u64,
    /// How many of the certificates are to be revoked.
    #[arg(long, value_name = "R", default_value_t = 0)]
    pub revoked: u64,
    /// How many orders there are to be besides that ended without a certificate.
    #[arg(long, value_name = "I", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    pub invalid: u64,
    /// How many names each certificate has.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub names: u16,
    /// Certificates were issued, for 90 days each, in so many days before the CA was made.
    #[arg(long, value_name = "D", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub days: u16,
    /// So many certificates, the first ones, have one key: to measure what it takes to revoke them all.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub one_key: u64,
    /// Make certificates with SCTs, of logs that do not exist.
    #[arg(long)]
    pub ct: bool,
    /// The profile that orders name.
    #[arg(long, value_name = "NAME", default_value = "classic")]
    pub profile: String,
    /// Domain under which each certificate has names of its own.
    #[arg(long, value_name = "DOMAIN", default_value = "example.localhost", value_parser = check_domain)]
    pub domain: String,
    /// What all that is not a signature follows from: another number adds others.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The validity of each certificate; a second less, since both ends count (RFC 5280 §4.1.2.5).
const LIFETIME: Duration = Duration::from_secs(90 * 86_400 - 1);

/// Writes what is missing, and reports what it took.
///
/// # Errors
/// The folder is none of a stopped CA for tests, or its store can't be written.
pub async fn fill(arguments: &Arguments) -> anyhow::Result<Report> {
    let folder = Folder::open(&arguments.data)?;
    let octets_before = folder.octets()?;
    let (started, cpu_before) = (world::now(), world::process_cpu());
    let work = Work::begin(arguments.clone(), folder).await?;
    let written = work.run().await?;
    // The log of the store is copied into its file when the last who has it open is gone.
    let seconds = world::now().duration_since(started).as_secs_f64();
    let folder = work.close()?;
    let closed_seconds = world::now().duration_since(started).as_secs_f64();
    let cpu_seconds = world::process_cpu().saturating_sub(cpu_before).as_secs_f64();
    let octets = folder.octets()?.saturating_sub(octets_before);
    Ok(Report { written, seconds, closed_seconds, cpu_seconds, octets })
}
