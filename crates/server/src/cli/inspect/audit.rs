//! `cairn audit verify`.

use clap::Subcommand;
use serde_json::json;
use store::audit::{self, Progress};
use store::instance::Instance;

use super::print::Paper;
use super::{Failure, Folder, progress_bar};

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verifies its hash chain from the first line to the last; exit code 1 names the first fault
    Verify(Folder),
}

pub(super) async fn verify(folder: &Folder, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let instance = Instance::peek(&folder.data)
        .map_err(|error| Failure::Failed(format!("{error}; --data names another folder")))?;
    // The mark is read before the log: the log has it at least. Without a store the log is still worth a look.
    let known = match folder.open() {
        Ok(records) => records.ledger.audit_mark(instance).await.map_err(Failure::failed)?,
        Err(Failure::Usage(error) | Failure::Failed(error)) => {
            eprintln!("cairn: {error}; the log is verified by itself, not against the ledger's mark");
            None
        }
    };
    let bar = progress_bar();
    bar.set_message("audit log");
    let mut tell = |progress: Progress| {
        bar.set_length(progress.octets_total);
        bar.set_position(progress.octets);
    };
    let verified = audit::verify(&folder.data.join("audit"), known, &mut tell);
    bar.finish_and_clear();
    match verified {
        Ok(found) => {
            if folder.json {
                paper.json(&json!({
                    "verified": true,
                    "instance": instance,
                    "files": found.files,
                    "lines": found.lines,
                    "chain": found.chain.to_string(),
                    "unfinished_octets": found.unfinished_octets,
                }));
                return Ok(());
            }
            paper.line(&format!(
                "the audit log verifies: {} lines in {} files; the chain ends with {}",
                found.lines, found.files, found.chain
            ));
            if found.unfinished_octets > 0 {
                paper.line(&format!(
                    "behind them stand {} octets of a line that is being written, or was when its process died",
                    found.unfinished_octets
                ));
            }
            Ok(())
        }
        Err(fault) => {
            if folder.json {
                paper.json(&json!({ "verified": false, "instance": instance, "fault": fault.to_string() }));
            }
            Err(Failure::Failed(format!("the audit log does not verify: {fault}")))
        }
    }
}
