//! `cairn root`: the root's CRL, made where the root's key is, and brought to where it is served.

use std::fs;
use std::path::{Path, PathBuf};

use ca::ports::Clock;
use clap::Subcommand;
use pki::{Certificate, Crl, CrlEntry, Reason, Serial};
use serde_json::json;

use super::print::Paper;
use super::{Failure, Folder};
use crate::hierarchy::{self, Files, root_crl};
use crate::world::SystemClock;

/// Commands about the root.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes the root's CRL with the root's key, or brings one that was made elsewhere in
    ///
    /// With --out, on the machine that has the key: DIR/keys/root.pem, DIR/root.pem and the CRL before it,
    /// DIR/root.crl, unless they are named. With --import, in the data folder of the server, which serves it within a
    /// minute.
    Crl(MakeCrl),
}

/// `cairn root crl`.
#[derive(Debug, clap::Args)]
pub(crate) struct MakeCrl {
    /// Where the new CRL is written: DER
    #[arg(long, value_name = "FILE", required_unless_present = "import")]
    pub(super) out: Option<PathBuf>,
    /// A CRL to be served from now on: made by the root's key, newer than the one that is served, with all its entries
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "key", "root", "last", "number", "revoke"])]
    pub(super) import: Option<PathBuf>,
    /// The root's key: PKCS#8, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// The root's certificate: PEM
    #[arg(long, value_name = "FILE")]
    pub(super) root: Option<PathBuf>,
    /// The CRL that it takes the place of: what it lists is listed again
    #[arg(long, value_name = "FILE")]
    pub(super) last: Option<PathBuf>,
    /// Its number, above that of the one before [default: the next one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) number: Option<u64>,
    /// Lists an intermediate from now on; can be given several times
    #[arg(long, value_name = "SERIAL")]
    pub(super) revoke: Vec<Serial>,
    /// Why these are revoked, by number or name: 2 cACompromise (others have its key, or may have it; RFC 5280 §5.3.1
    /// has this for CAs, and 1 keyCompromise is taken too, as BR 7.2.2 has it), 3 affiliationChanged, 4 superseded, 5
    /// cessationOfOperation, 9 privilegeWithdrawn
    #[arg(long, value_name = "REASON", value_parser = reason, requires = "revoke")]
    #[arg(default_value = "cessationOfOperation")]
    pub(super) reason: Reason,
    #[command(flatten)]
    pub(super) folder: Folder,
}

/// Why a CA's certificate is revoked, by name or number. One has to stand in its entry (BR 7.2.2).
fn reason(text: &str) -> Result<Reason, String> {
    let named = text.parse::<u8>().map_or_else(|_| text.parse().ok(), Reason::from_code);
    named.filter(|reason| is_for_cas(*reason)).ok_or_else(|| {
        let open = Reason::ALL.into_iter().filter(|reason| is_for_cas(*reason));
        let open: Vec<String> = open.map(|reason| format!("{} {}", reason.code(), reason.name())).collect();
        format!("expected one of {}, by number or name (BR 7.2.2)", open.join(", "))
    })
}

const fn is_for_cas(reason: Reason) -> bool {
    match reason {
        Reason::KeyCompromise
        | Reason::CaCompromise
        | Reason::AffiliationChanged
        | Reason::Superseded
        | Reason::CessationOfOperation
        | Reason::PrivilegeWithdrawn => true,
        // An entry says unspecified by saying nothing; AAs are of attribute certificates.
        Reason::Unspecified | Reason::CertificateHold | Reason::RemoveFromCrl | Reason::AaCompromise => false,
    }
}

pub(super) fn crl(asked: &MakeCrl, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let files = Files::of(&asked.folder.data);
    let (crl, done) = match (&asked.import, &asked.out) {
        (Some(file), _) => (import(&files, file)?, "brought in; a running server serves it within a minute"),
        (None, Some(out)) => (make(asked, &files, out)?, "made; bring it to the server with --import"),
        (None, None) => return Err(Failure::Usage("name --out or --import".to_owned())),
    };
    let (number, entries) = (crl.number(), crl.entries().len());
    let (this_update, next_update) = (crl.this_update().to_rfc3339(), crl.next_update().to_rfc3339());
    if asked.folder.json {
        paper.json(&json!({
            "number": number, "entries": entries, "thisUpdate": this_update, "nextUpdate": next_update,
        }));
    } else {
        paper.line(&format!("the root's CRL {number}, with {entries} entries, valid until {next_update}, was {done}"));
    }
    Ok(())
}

fn make(asked: &MakeCrl, files: &Files, out: &Path) -> Result<Crl, Failure> {
    let root = certificate(asked.root.as_ref().unwrap_or(&files.root))?;
    let last = asked.last.as_ref().unwrap_or(&files.root_crl);
    let last = if asked.last.is_some() || last.exists() { Some(read(last)?) } else { None };
    let default = files.keys.join("root.pem");
    let pair = keys::KeyFile::new(asked.key.clone().unwrap_or(default)).load().map_err(Failure::failed)?;
    let number = match (asked.number, &last) {
        (Some(number), _) => number,
        (None, Some(last)) => last.number() + 1,
        (None, None) => {
            return Err(Failure::Usage(
                "there is no CRL before it: name it with --last, or a number above all that were used with --number"
                    .to_owned(),
            ));
        }
    };
    let now = SystemClock::new().now().whole_second();
    let mut entries: Vec<CrlEntry> = last.as_ref().map(|last| last.entries().to_vec()).unwrap_or_default();
    for serial in &asked.revoke {
        if !entries.iter().any(|entry| entry.serial == *serial) {
            entries.push(CrlEntry { serial: *serial, revoked_at: now, reason: asked.reason });
        }
    }
    let crl = root_crl::sign(&pair, &root, (&entries, number), now).map_err(Failure::failed)?;
    root_crl::check(&root, last.as_ref(), &crl, now).map_err(Failure::failed)?;
    hierarchy::write_file(out, crl.der()).map_err(Failure::failed)?;
    Ok(crl)
}

fn import(files: &Files, file: &Path) -> Result<Crl, Failure> {
    let (root, crl) = (certificate(&files.root)?, read(file)?);
    let last = if files.root_crl.exists() { Some(read(&files.root_crl)?) } else { None };
    root_crl::check(&root, last.as_ref(), &crl, SystemClock::new().now()).map_err(Failure::failed)?;
    root_crl::write(files, &crl).map_err(Failure::failed)?;
    Ok(crl)
}

fn certificate(path: &Path) -> Result<Certificate, Failure> {
    hierarchy::read(path).map_err(Failure::failed)
}

fn read(path: &Path) -> Result<Crl, Failure> {
    let failed = |detail: String| Failure::Failed(format!("{}: {detail}", path.display()));
    let octets = fs::read(path).map_err(|error| failed(error.to_string()))?;
    Crl::from_der(&octets).map_err(|error| failed(format!("{error}; the root's CRL is expected in DER")))
}
