//! `cairn key`: keys that are known to be compromised. A proof is looked at here; what is asked of the CA is the hash
//! of the key that it proves, and says what the proof was.

use std::fs;
use std::path::{Path, PathBuf};

use ca::ports::{BlockedKey, Clock, SerialFilter, SerialStatus};
use clap::Subcommand;
use keys::KeyPair;
use pki::{Csr, PublicKey, Sha256, SignatureAlgorithm};
use serde_json::{Value, json};
use store::instance::Instance;

use super::print::{Facts, Listing, Paper, json_time, note_limit, time_or_dash};
use super::{Failure, Folder, change};
use crate::admin_socket;

const PAGE: u32 = 500;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints what has to be signed with a key to prove that it is compromised, and how
    Challenge(Challenge),
    /// Blocks a key for ever and revokes all that was issued for it: by a proof that it is compromised
    Block(Block),
    /// Lists blocked keys
    List(List),
    /// Shows whether a key is blocked, and what was issued for it
    Show(Show),
}

/// `cairn key challenge`.
#[derive(Debug, clap::Args)]
pub(crate) struct Challenge {
    #[command(flatten)]
    folder: Folder,
}

/// `cairn key block`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("proof").required(true).args(["csr", "private_key", "signature", "spki_hash"]))]
pub(crate) struct Block {
    /// A CSR (PEM or DER) signed with the key, whose common name is what `cairn key challenge` prints
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// The private key itself (PKCS#8, PEM or DER, without a password): read, and kept nowhere
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// A signature over what `cairn key challenge` prints, with --public-key
    #[arg(long, value_name = "FILE", requires = "public_key")]
    signature: Option<PathBuf>,
    /// The public key (PEM or DER) that verifies --signature
    #[arg(long, value_name = "FILE", requires = "signature")]
    public_key: Option<PathBuf>,
    /// SHA-256 of the key's SubjectPublicKeyInfo, in hexadecimal, on your word alone: with --without-proof
    #[arg(long, value_name = "HEX", requires = "without_proof")]
    spki_hash: Option<Sha256>,
    /// Says that nothing proves that the key is compromised; the audit log says so too, for ever
    #[arg(long, requires = "spki_hash")]
    without_proof: bool,
    /// The server's configuration file, used if no server runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

/// `cairn key list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those of which something may have yet to be revoked
    #[arg(long)]
    unsettled: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    folder: Folder,
}

/// `cairn key show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// SHA-256 of the key's SubjectPublicKeyInfo, in hexadecimal
    spki_hash: Sha256,
    #[command(flatten)]
    folder: Folder,
}

/// What is signed to prove that a key is compromised: short enough for a common name (64 characters), and of this CA
/// alone, so that no signature made for anything else is one.
fn challenge_of(folder: &Folder) -> Result<String, Failure> {
    let instance = Instance::peek(&folder.data)
        .map_err(|error| Failure::Failed(format!("{error}; --data names another folder")))?;
    let hash = Sha256::of(format!("a key is compromised: {instance}").as_bytes()).to_string();
    Ok(format!("key compromise {}", &hash[..32]))
}

pub(super) fn challenge(asked: &Challenge, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let challenge = challenge_of(&asked.folder)?;
    if asked.folder.json {
        paper.json(&json!({ "challenge": challenge }));
        return Ok(());
    }
    paper.line(&challenge);
    paper.line("");
    paper.line("as a CSR:");
    paper.line(&format!("  openssl req -new -key KEY.pem -subj '/CN={challenge}' -out proof.csr"));
    paper.line("  cairn key block --csr proof.csr");
    paper.line("or as a signature:");
    paper.line(&format!("  printf '%s' '{challenge}' | openssl dgst -sha256 -sign KEY.pem -out proof.sig"));
    paper.line("  openssl pkey -in KEY.pem -pubout -out key.pub");
    paper.line("  cairn key block --public-key key.pub --signature proof.sig");
    Ok(())
}

pub(super) async fn block(asked: &Block, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let (spki_hash, by) = proved(asked)?;
    if asked.without_proof {
        eprintln!(
            "cairn: nothing proves that this key is compromised: the audit log will say that it is your word alone"
        );
    }
    let command = admin_socket::Command::BlockKey { spki_hash, by };
    let lost = format!("`cairn key show {spki_hash}` tells whether it was done");
    let outcome = change::run(&asked.folder, asked.config.as_ref(), command, &lost).await?;
    change::tell(&outcome, &asked.folder, json!({ "key": spki_hash }), paper)
}

/// The key, and who says by what that it is compromised.
fn proved(asked: &Block) -> Result<(Sha256, String), Failure> {
    if let Some(file) = &asked.csr {
        let csr = Csr::parse(&der_of(file)?).map_err(|error| unusable(file, error))?;
        let challenge = challenge_of(&asked.folder)?;
        if csr.common_name() != Some(&challenge) {
            let detail =
                format!("its common name is not `{challenge}`, so it does not say that its key is compromised");
            return Err(unusable(file, detail));
        }
        return Ok((csr.public_key().spki_hash(), "the operator, with a CSR that says so".to_owned()));
    }
    if let Some(file) = &asked.private_key {
        let pair = KeyPair::from_pkcs8_der(&der_of(file)?).map_err(|error| {
            unusable(file, format!("{error}; `openssl pkcs8 -topk8 -nocrypt -in FILE` writes what is read here"))
        })?;
        return Ok((pair.public_key().spki_hash(), "the operator, who has the private key".to_owned()));
    }
    if let (Some(signature), Some(file)) = (&asked.signature, &asked.public_key) {
        let key = PublicKey::from_spki_der(&der_of(file)?).map_err(|error| unusable(file, error))?;
        let challenge = challenge_of(&asked.folder)?;
        let octets = read(signature)?;
        let mut algorithms = SignatureAlgorithm::ALL.into_iter();
        if !algorithms.any(|algorithm| key.verify(algorithm, challenge.as_bytes(), &octets).is_ok()) {
            let detail = format!("it is no signature of this key over `{challenge}`, without an end of line");
            return Err(unusable(signature, detail));
        }
        return Ok((key.spki_hash(), "the operator, with a signed challenge".to_owned()));
    }
    match asked.spki_hash {
        Some(spki_hash) => Ok((spki_hash, "the operator, without proof".to_owned())),
        None => Err(Failure::Usage("what proves that the key is compromised? See `cairn key block --help`".to_owned())),
    }
}

/// More than any key, CSR or signature.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let length = fs::metadata(file).map_err(|error| unusable(file, error))?.len();
    if length > FILE_OCTETS_MAX {
        return Err(unusable(file, format!("{length} octets are too many: at most {FILE_OCTETS_MAX}")));
    }
    fs::read(file).map_err(|error| unusable(file, error))
}

/// The first block of a PEM file, or the file as it is.
fn der_of(file: &Path) -> Result<Vec<u8>, Failure> {
    let octets = read(file)?;
    match std::str::from_utf8(&octets).ok().filter(|text| text.contains("-----BEGIN ")) {
        Some(text) => {
            let blocks = pki::pem::decode(text).map_err(|error| unusable(file, error))?;
            let first = blocks.into_iter().find(|(label, _)| label != "EC PARAMETERS");
            first.map(|(_, der)| der).ok_or_else(|| unusable(file, "it has nothing but parameters"))
        }
        None => Ok(octets),
    }
}

pub(super) fn unusable(file: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("{}: {why}", file.display()))
}

pub(super) async fn list(asked: &List, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = asked.folder.open()?;
    let headers = ["key (SHA-256 of its SubjectPublicKeyInfo)", "blocked", "all revoked", "by"];
    let mut listing = Listing::new(paper, asked.folder.json, &headers);
    let (mut after, mut left, mut cut) = (None, asked.limit, false);
    while !cut && !listing.is_torn() {
        let page = PAGE.min(left.saturating_add(1));
        let page = records.ledger.blocked_keys(after, asked.unsettled, page).await.map_err(Failure::failed)?;
        let Some(last) = page.last() else { break };
        after = Some(last.block.spki_hash);
        for key in &page {
            if left == 0 {
                cut = true;
                break;
            }
            left -= 1;
            listing.push(|| cells(key), || document(key));
        }
    }
    listing.end("no key is blocked");
    note_limit(cut, asked.limit);
    Ok(())
}

fn cells(key: &BlockedKey) -> Vec<String> {
    let BlockedKey { block, settled } = key;
    vec![block.spki_hash.to_string(), block.at.to_rfc3339(), time_or_dash(*settled), block.by.clone()]
}

fn document(key: &BlockedKey) -> Value {
    let BlockedKey { block, settled } = key;
    json!({
        "key": block.spki_hash,
        "blocked": json_time(block.at),
        "all_revoked": json_time(*settled),
        "by": block.by,
    })
}

pub(super) async fn show(asked: &Show, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = asked.folder.open()?;
    let key = records.ledger.blocked_key(asked.spki_hash).await.map_err(Failure::failed)?;
    let mut filter = SerialFilter { spki_hash: Some(asked.spki_hash), ..SerialFilter::default() };
    let (mut wait, mut good, mut expired, mut revoked) = (0_u64, 0_u64, 0_u64, 0_u64);
    let now = crate::world::SystemClock::new().now();
    loop {
        let page = records.ledger.serials(filter.clone(), PAGE).await.map_err(Failure::failed)?;
        let Some(last) = page.last() else { break };
        filter.after = Some(last.serial);
        for record in &page {
            match record.status {
                SerialStatus::Wait => wait += 1,
                SerialStatus::Good if record.not_after < now => expired += 1,
                SerialStatus::Good => good += 1,
                SerialStatus::Revoked => revoked += 1,
            }
        }
    }
    if asked.folder.json {
        let mut document = key.as_ref().map_or_else(|| json!({ "key": asked.spki_hash }), document);
        document["serials"] = json!({ "wait": wait, "good": good, "expired": expired, "revoked": revoked });
        paper.json(&document);
        return Ok(());
    }
    let mut facts = Facts::default();
    facts.add("key", asked.spki_hash.to_string());
    match &key {
        Some(BlockedKey { block, settled }) => {
            facts.add("blocked", format!("{}, by {}", block.at.to_rfc3339(), block.by));
            facts.add("all revoked", time_or_dash(*settled));
        }
        None => facts.add("blocked", "no"),
    }
    facts.add("serials", format!("good {good}, expired {expired}, wait {wait}, revoked {revoked}"));
    facts.write(paper);
    Ok(())
}
