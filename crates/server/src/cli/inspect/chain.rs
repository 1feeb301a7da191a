//! `cairn chain`: chains of the issuer to other roots (RFC 8555 §7.4.2).

use std::path::{Path, PathBuf};

use ca::ports::{AlternateChain, Clock};
use clap::Subcommand;
use pki::Certificate;
use serde_json::{Value, json};
use store::instance::Instance;

use super::print::{Listing, Paper};
use super::{Failure, Folder};
use crate::hierarchy::{Files, Hierarchy, chains};
use crate::world::SystemClock;

/// What can be done with chains.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Adds a chain: PEM, from a certificate for this CA's intermediate or root up to another root, that included
    Add(Add),
    /// Lists the chains: this CA's own, and those beside it
    List(Folder),
    /// Removes a chain
    Remove(Remove),
}

/// `cairn chain add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The chain's file
    file: PathBuf,
    #[command(flatten)]
    folder: Folder,
}

/// `cairn chain remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Its number, as `cairn chain list` shows it
    number: u16,
    #[command(flatten)]
    folder: Folder,
}

const NEXT_START: &str = "a running server takes this up at its next start";

pub(super) fn run(command: &Command, paper: &mut Paper<'_>) -> Result<(), Failure> {
    match command {
        Command::Add(asked) => {
            let files = files(&asked.folder.data)?;
            let own = Hierarchy::own_chain(&files).map_err(Failure::failed)?;
            let number = chains::add(&files.chains, &asked.file, &own, SystemClock::new().now());
            let number = number.map_err(Failure::failed)?;
            tell(paper, &asked.folder, number, &format!("chain {number} was added; {NEXT_START}"));
            Ok(())
        }
        Command::Remove(asked) => {
            let files = files(&asked.folder.data)?;
            chains::remove(&files.chains, asked.number).map_err(Failure::failed)?;
            tell(paper, &asked.folder, asked.number, &format!("chain {} was removed; {NEXT_START}", asked.number));
            Ok(())
        }
        Command::List(folder) => list(folder, paper),
    }
}

fn files(data: &Path) -> Result<Files, Failure> {
    Instance::peek(data).map_err(|error| Failure::Failed(format!("{error}; --data names another folder")))?;
    Ok(Files::of(data))
}

fn tell(paper: &mut Paper<'_>, folder: &Folder, number: u16, text: &str) {
    if folder.json { paper.json(&json!({ "chain": number, "detail": text })) } else { paper.line(text) }
}

fn list(folder: &Folder, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let files = files(&folder.data)?;
    let own = AlternateChain { number: 0, certificates: Hierarchy::own_chain(&files).map_err(Failure::failed)? };
    let others = chains::list(&files.chains).map_err(Failure::failed)?;
    let mut listing = Listing::new(paper, folder.json, &["chain", "root", "certificates", "until"]);
    for chain in std::iter::once(own).chain(others) {
        let root = chain.certificates.last().map(|root| root.subject().to_string()).unwrap_or_default();
        let until = chain.certificates.iter().map(|one| one.validity().not_after).min();
        let until = until.map(|until| until.to_rfc3339()).unwrap_or_default();
        listing.push(
            || {
                let number = if chain.number == 0 { "own".to_owned() } else { chain.number.to_string() };
                vec![number, root.clone(), chain.certificates.len().to_string(), until.clone()]
            },
            || json!({ "chain": chain.number, "until": until, "certificates": described(&chain.certificates) }),
        );
    }
    listing.end("");
    Ok(())
}

fn described(chain: &[Certificate]) -> Vec<Value> {
    let described = |one: &Certificate| {
        json!({
            "subject": one.subject().to_string(),
            "issuer": one.issuer().to_string(),
            "serial": one.serial(),
            "sha256": one.fingerprint().to_string(),
        })
    };
    chain.iter().map(described).collect()
}
