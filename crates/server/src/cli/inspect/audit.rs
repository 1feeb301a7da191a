//! `cairn audit`: verifying the audit log, its checkpoints and their key.

use std::fs;
use std::path::{Path, PathBuf};

use ca::InstanceId;
use ca::ports::CheckpointKey;
use clap::Subcommand;
use pki::PublicKey;
use serde_json::json;
use store::audit::{
    self, Examination, Examined, Fault, NOTE_OCTETS_MAX, Progress, SignedCheckpoint, Verified, parse_verifier_key,
    verifier_key,
};
use store::instance::Instance;

use super::print::Paper;
use super::{Failure, Folder, progress};
use crate::checkpoints;
use crate::hierarchy::Files;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verifies its hash chain and its checkpoints from the first line to the last; exit code 1 if anything is wrong
    Verify(Verify),
    /// Prints its newest checkpoint, a signed note: kept elsewhere, it shows later that nothing was cut off or changed
    Checkpoint(Folder),
    /// Prints the public key that its checkpoints are signed with, or changes the key
    Key(Key),
}

/// `cairn audit verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// A folder with files of the log that were moved away; may be given several times
    #[arg(long, value_name = "DIR")]
    files: Vec<PathBuf>,
    /// A checkpoint taken earlier: the log still has to be what it says; may be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// A key of checkpoints that is right, as `cairn audit key` printed it: only what this key signed is believed, and
    /// not the key in the data folder; may be given several times
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

/// `cairn audit key`.
#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    /// Makes a new key, which the old one signs for; no server may run
    #[arg(long)]
    change: bool,
    /// With --change: the old key is lost, so nothing signs for the new one
    #[arg(long, requires = "change")]
    lost: bool,
    #[command(flatten)]
    folder: Folder,
}

pub(super) async fn run(command: Command, paper: &mut Paper<'_>) -> Result<(), Failure> {
    match command {
        Command::Verify(asked) => verify(&asked, paper).await,
        Command::Checkpoint(folder) => checkpoint(&folder, paper),
        Command::Key(asked) => key(&asked, paper).await,
    }
}

fn instance(folder: &Folder) -> Result<InstanceId, Failure> {
    Instance::peek(&folder.data).map_err(|error| Failure::Failed(format!("{error}; --data names another folder")))
}

fn log_of(folder: &Folder) -> PathBuf {
    folder.data.join("audit")
}

async fn verify(asked: &Verify, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let what = examination(asked).await?;
    let bar = progress::Progress::of("audit log", None);
    let mut tell = |progress: Progress| {
        bar.set_length(progress.octets_total);
        bar.set_position(progress.octets);
    };
    let examined = audit::examine(&what, &mut tell);
    bar.finish_and_clear();
    let examined = examined.map_err(Failure::failed)?;
    if asked.folder.json {
        paper.json(&document(&what, &examined));
    } else if examined.faults.is_empty() {
        praise(&what, &examined, paper);
    }
    if examined.faults.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = examined.faults.iter().map(|fault| format!("\n  {}", spelled(fault))).collect();
    let more = match examined.faults_more {
        0 => String::new(),
        more => format!("\n  and {} more", counted(more, "fault")),
    };
    Err(Failure::Failed(format!("the audit log does not verify:{}{more}", lines.concat())))
}

fn spelled(fault: &Fault) -> String {
    format!("{}: {fault}; {}", fault.kind.name(), fault.kind.advice())
}

/// What is known of this log elsewhere. Files alone, far from their folder, are worth a look too.
async fn examination(asked: &Verify) -> Result<Examination, Failure> {
    let mut what = Examination::default();
    let mut folders = asked.files.clone();
    match instance(&asked.folder) {
        Ok(instance) => {
            folders.push(log_of(&asked.folder));
            what.instance = Some(instance);
            // The mark is read before the log: the log has it at least. Without a store the log is still worth a look.
            match asked.folder.open() {
                Ok(records) => what.known = records.ledger.audit_mark(instance).await.map_err(Failure::failed)?,
                Err(
                    Failure::Usage(error)
                    | Failure::Failed(error)
                    | Failure::Unable(error)
                    | Failure::NeedsRestoration(error),
                ) => {
                    eprintln!("cairn: {error}; the log is verified by itself, not against the ledger's mark");
                }
            }
            what.note = audit::read_note(&log_of(&asked.folder));
            what.own = own_key(&asked.folder.data);
        }
        Err(_) if !folders.is_empty() => {}
        Err(error) => return Err(error),
    }
    what.files = audit::files_of(&folders).map_err(Failure::failed)?;
    for path in &asked.checkpoint {
        let note = SignedCheckpoint::parse(&read(path)?);
        what.checkpoints.push(note.map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?);
    }
    for path in &asked.key {
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("{}: {error}", path.display()));
        let (of, key) = parse_verifier_key(&read(path)?).map_err(|error| failed(&error))?;
        let instance = *what.instance.get_or_insert(of);
        if instance != of {
            return Err(failed(&format!("it is the key of instance {of}, and this is the log of {instance}")));
        }
        what.keys.push(key);
    }
    Ok(what)
}

/// The key in the data folder, if whoever asks may read it: it is no more than a hint.
fn own_key(data: &Path) -> Option<PublicKey> {
    let files = Files::of(data);
    let key = match checkpoints::key_file(&files).exists() {
        Ok(false) => return None,
        Ok(true) => checkpoints::load(&files),
        Err(error) => Err(error.into()),
    };
    match key {
        Ok(key) => Some(key.public_key().clone()),
        Err(error) => {
            eprintln!("cairn: {error}; the log is verified without the key in its data folder");
            None
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::Failed(format!("{}: {what}", path.display()));
    let length = fs::metadata(path).map_err(|error| failed(&error))?.len();
    if length > NOTE_OCTETS_MAX as u64 {
        return Err(failed(&format!("it has {length} octets, and at most {NOTE_OCTETS_MAX} are read")));
    }
    fs::read_to_string(path).map_err(|error| failed(&error))
}

fn document(what: &Examination, examined: &Examined) -> serde_json::Value {
    let Verified { files, first, lines, chain, unfinished_octets, checkpoints, signed, unsigned } = examined.verified;
    let faults: Vec<_> = examined
        .faults
        .iter()
        .map(|fault| {
            json!({
                "fault": fault.kind.name(),
                "file": fault.place.as_ref().map(|place| place.path.display().to_string()),
                "line": fault.place.as_ref().and_then(|place| place.line),
                "sequence": fault.sequence,
                "detail": fault.detail,
                "advice": fault.kind.advice(),
            })
        })
        .collect();
    json!({
        "verified": examined.faults.is_empty(),
        "instance": what.instance,
        "files": files,
        "first": first,
        "lines": lines,
        "chain": chain.to_string(),
        "unfinished_octets": unfinished_octets,
        "checkpoints": checkpoints,
        "signed": signed,
        "unsigned": unsigned,
        "key": examined.key.as_ref().map(|key| key.spki_hash().to_string()),
        "faults": faults,
        "faults_more": examined.faults_more,
    })
}

fn praise(what: &Examination, examined: &Examined, paper: &mut Paper<'_>) {
    let found = examined.verified;
    paper.line(&format!(
        "the audit log verifies: {} in {}; the chain ends with {}",
        counted(found.lines - found.first, "line"),
        counted(found.files.into(), "file"),
        found.chain
    ));
    if found.first > 0 {
        paper.line(&format!("it begins with line {}: the files before it were moved away", found.first));
    }
    if found.checkpoints > 0 {
        let are = if found.checkpoints == 1 { "is" } else { "are" };
        let (checkpoints, lines) = (counted(found.checkpoints, "checkpoint"), counted(found.signed, "line"));
        paper.line(&format!("{checkpoints} {are} signed; the newest speaks for {lines}"));
        let key = examined.key.as_ref().map_or_else(String::new, |key| key.spki_hash().to_string());
        let whose = if !what.keys.is_empty() {
            "as --key says"
        } else if what.own.is_some() {
            "which stands in the data folder too; whoever could write there could change both, and --key compares it \
             with one that was kept elsewhere"
        } else {
            "a key that only the log itself names; --key compares it with one that was kept elsewhere"
        };
        paper.line(&format!("the key is {key}, {whose}"));
    }
    if found.unsigned > 0 {
        paper.line(&format!(
            "NOT SIGNED: the last {}. A running server leaves some, and one that was killed; but whoever can \
             write to the files can have written them",
            counted(found.unsigned, "line")
        ));
    }
    for (checkpoint, _) in what.checkpoints.iter().zip(&examined.compared).filter(|(_, compared)| **compared) {
        let checkpoint = checkpoint.checkpoint;
        paper.line(&format!(
            "it is the log of the checkpoint signed at {} for {}",
            checkpoint.signed,
            counted(checkpoint.lines, "line")
        ));
    }
    if found.unfinished_octets > 0 {
        paper.line(&format!(
            "behind that stand {} of a line that is being written, or was when its process died",
            counted(found.unfinished_octets, "octet")
        ));
    }
}

/// As a person says it: "1 line", "2 lines".
fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn checkpoint(folder: &Folder, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let newest = audit::newest_checkpoint(&log_of(folder), instance(folder)?).map_err(Failure::failed)?;
    let newest = newest.ok_or_else(|| Failure::Failed("the audit log has no checkpoint yet".to_owned()))?;
    if folder.json {
        let checkpoint = newest.checkpoint;
        paper.json(&json!({
            "instance": checkpoint.instance,
            "lines": checkpoint.lines,
            "head": checkpoint.head.to_string(),
            "signed": checkpoint.signed.to_string(),
            "note": newest.note(),
        }));
    } else {
        paper.text(&newest.note());
    }
    Ok(())
}

async fn key(asked: &Key, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let instance = instance(&asked.folder)?;
    if asked.change {
        checkpoints::change_key(&asked.folder.data, asked.lost).await.map_err(Failure::failed)?;
    }
    let named = audit::named_key(&log_of(&asked.folder)).map_err(Failure::failed)?;
    let key = named.ok_or_else(|| Failure::Failed("the audit log names no key of checkpoints yet".to_owned()))?;
    show(instance, &key, asked.folder.json, paper);
    Ok(())
}

fn show(instance: InstanceId, key: &PublicKey, as_json: bool, paper: &mut Paper<'_>) {
    let verifier = verifier_key(instance, key);
    if as_json {
        let pem = pki::pem::encode("PUBLIC KEY", key.spki_der());
        paper
            .json(&json!({ "instance": instance, "key": verifier, "sha256": key.spki_hash().to_string(), "pem": pem }));
    } else {
        paper.line(&verifier);
    }
}
