//! Other chains of our issuer (RFC 8555 §7.4.2): the folder `chains` of a data folder, one PEM file each, named by its
//! number. A chain begins with a certificate for the issuer's name and key and ends with a root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ca::ports::AlternateChain;
use pki::{Certificate, Timestamp};

use super::{HierarchyError, write};

/// More chains than this serve nobody: clients download each to choose one.
pub const CHAINS_MAX: u16 = 9;
/// More certificates than this are no chain that clients verify.
const CERTIFICATES_MAX: usize = 10;

/// A chain that can't be used, and why. One line.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct ChainError {
    path: PathBuf,
    fault: ChainFault,
}

/// What is wrong with a chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainFault {
    /// The file or the folder.
    #[error("{doing} failed: {error}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// It is no file of certificates.
    #[error("no chain: {0}")]
    Form(String),
    /// Its first certificate is for a name and key that are not ours.
    #[error(
        "certificate 1 is for {subject} with a key that is not ours; a chain begins with a certificate for the name \
         and key of this CA's intermediate or root (intermediate.pem, root.pem)"
    )]
    Foreign {
        /// Whom it is for.
        subject: String,
    },
    /// One of its certificates can't be used there.
    #[error("certificate {number} ({subject}) {detail}")]
    Certificate {
        /// Which, from 1.
        number: usize,
        /// Whom it is for.
        subject: String,
        /// What is wrong.
        detail: String,
    },
    /// The chain is there already.
    #[error("this is the chain that the CA has already as {0}")]
    Known(String),
    /// There are enough.
    #[error("there are {CHAINS_MAX} chains already; remove one first (cairn chain list)")]
    TooMany,
    /// There is no chain of this number.
    #[error("there is no chain {0}; cairn chain list shows those that are there")]
    Unknown(u16),
}

impl ChainFault {
    fn at(self, path: &Path) -> ChainError {
        ChainError { path: path.to_owned(), fault: self }
    }
}

/// The file of a chain.
pub fn file(folder: &Path, number: u16) -> PathBuf {
    folder.join(format!("{number}.pem"))
}

/// Removes all of them: those of a first start that was cut short.
pub(super) fn clear(folder: &Path) -> Result<(), ChainError> {
    let failed = |doing| move |error| ChainFault::File { doing, error }.at(folder);
    match fs::remove_dir_all(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("emptying it")(error)),
    }
    fs::create_dir_all(folder).map_err(failed("making it"))
}

/// The chains that can be used now. One that has ended, or has not begun, is left out with a warning.
///
/// # Errors
/// A file that holds no chain of ours: somebody changed it by hand, or the hierarchy.
pub fn open(folder: &Path, own: &[Certificate], now: Timestamp) -> Result<Vec<AlternateChain>, ChainError> {
    let mut chains = Vec::new();
    for AlternateChain { number, certificates } in list(folder)? {
        let path = file(folder, number);
        let certificates = verified(certificates, own).map_err(|fault| fault.at(&path))?;
        match timely(&certificates, now) {
            Ok(()) => chains.push(AlternateChain { number, certificates }),
            Err(fault) => tracing::warn!(chain = number, %fault, "an alternate chain is not offered"),
        }
    }
    Ok(chains)
}

/// The chains as they stand in the folder, not verified, in the order of their numbers.
///
/// # Errors
/// The folder or a file can't be read.
pub fn list(folder: &Path) -> Result<Vec<AlternateChain>, ChainError> {
    let failed = |error| ChainFault::File { doing: "reading it", error }.at(folder);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".pem")).and_then(|number| number.parse().ok());
        numbers.extend(number.filter(|number: &u16| *number > 0));
    }
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| {
            let path = file(folder, number);
            read(&path).map(|certificates| AlternateChain { number, certificates }).map_err(|fault| fault.at(&path))
        })
        .collect()
}

/// Adds the chain of a file, verified, under the first free number. `own` is our own chain, from the issuer to the
/// root. The number is answered.
///
/// # Errors
/// See [`ChainFault`].
pub fn add(folder: &Path, source: &Path, own: &[Certificate], now: Timestamp) -> Result<u16, HierarchyError> {
    let refused = |fault: ChainFault| fault.at(source);
    let chain = read(source).map_err(refused)?;
    let chain = verified(chain, own).map_err(refused)?;
    timely(&chain, now).map_err(refused)?;
    let known = list(folder)?;
    if let Some(same) = known.iter().find(|one| one.certificates == chain) {
        return Err(refused(ChainFault::Known(format!("number {}", same.number))).into());
    }
    let free = (1..=CHAINS_MAX).find(|number| known.iter().all(|one| one.number != *number));
    let number = free.ok_or_else(|| refused(ChainFault::TooMany))?;
    fs::create_dir_all(folder).map_err(|error| ChainFault::File { doing: "making it", error }.at(folder))?;
    write(&file(folder, number), &chain)?;
    Ok(number)
}

/// Removes a chain. Its number may be given to another.
///
/// # Errors
/// There is none of this number, or its file can't be removed.
pub fn remove(folder: &Path, number: u16) -> Result<(), ChainError> {
    let path = file(folder, number);
    match fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ChainFault::Unknown(number).at(folder)),
        Err(error) => Err(ChainFault::File { doing: "removing it", error }.at(&path)),
    }
}

fn read(path: &Path) -> Result<Vec<Certificate>, ChainFault> {
    let text = fs::read_to_string(path).map_err(|error| ChainFault::File { doing: "reading it", error })?;
    let blocks = pki::pem::decode(&text).map_err(|error| ChainFault::Form(error.to_string()))?;
    if blocks.len() > CERTIFICATES_MAX {
        return Err(ChainFault::Form(format!("{} PEM blocks, at most {CERTIFICATES_MAX} are read", blocks.len())));
    }
    let certificate = |(number, (label, der)): (usize, &(String, Vec<u8>))| {
        if label != "CERTIFICATE" {
            return Err(ChainFault::Form(format!("PEM block {} is a {label}, not a CERTIFICATE", number + 1)));
        }
        Certificate::from_der(der)
            .map_err(|error| ChainFault::Form(format!("certificate {} can't be read: {error}", number + 1)))
    };
    blocks.iter().enumerate().map(certificate).collect()
}

/// The whole chain from the issuer to another root: what is missing below its first certificate is our own.
fn verified(given: Vec<Certificate>, own: &[Certificate]) -> Result<Vec<Certificate>, ChainFault> {
    let first = given.first().ok_or_else(|| ChainFault::Form("it is empty".to_owned()))?;
    let same = |one: &Certificate| one.subject() == first.subject() && one.public_key() == first.public_key();
    let below = own.iter().position(same).ok_or_else(|| ChainFault::Foreign { subject: name(first) })?;
    // What is below names its issuer's key by the identifier that we computed: clients look for a certificate with it.
    let (identifier, ours) = (first.key_identifier(), own[below].key_identifier());
    if let (Some(identifier), Some(ours)) = (identifier, ours)
        && identifier != ours
    {
        let hex = |octets: &[u8]| data_encoding::HEXUPPER.encode(octets);
        return Err(ChainFault::Certificate {
            number: 1,
            subject: name(first),
            detail: format!(
                "has the subjectKeyIdentifier {}, but what it is to certify names {}: ask its issuer for one with ours",
                hex(identifier),
                hex(ours)
            ),
        });
    }
    let mut chain = own[..below].to_vec();
    let added = chain.len();
    chain.extend(given);
    if chain == own {
        return Err(ChainFault::Known("its own".to_owned()));
    }
    if chain.len() > CERTIFICATES_MAX {
        return Err(ChainFault::Form(format!("{} certificates, at most {CERTIFICATES_MAX} are a chain", chain.len())));
    }
    for (index, certificate) in chain.iter().enumerate().skip(added) {
        let issuer = chain.get(index + 1);
        signed(certificate, index, issuer).map_err(|detail| ChainFault::Certificate {
            number: index + 1 - added,
            subject: name(certificate),
            detail,
        })?;
    }
    Ok(chain)
}

/// Whether a certificate can stand in its place: `below` intermediates are between it and a leaf.
fn signed(certificate: &Certificate, below: usize, issuer: Option<&Certificate>) -> Result<(), String> {
    if !certificate.is_authority() || !certificate.signs_certificates() {
        return Err("is no CA's: basicConstraints and keyUsage don't let it sign certificates".to_owned());
    }
    if let Some(path_length) = certificate.path_length().filter(|path_length| usize::from(*path_length) < below) {
        return Err(format!("allows {path_length} intermediates below it, and {below} are"));
    }
    let issuer = match issuer {
        Some(issuer) => issuer,
        None if certificate.issuer() == certificate.subject() => certificate,
        None => {
            return Err(format!(
                "is the last, and no root: append the certificate of {} and those above it; clients are not sent the \
                 root",
                certificate.issuer()
            ));
        }
    };
    if certificate.issuer() != issuer.subject() {
        return Err(format!("was issued by {}, but the next is {}", certificate.issuer(), name(issuer)));
    }
    let identifier = certificate.authority_key_identifier();
    if identifier.is_some() && issuer.key_identifier().is_some() && identifier != issuer.key_identifier() {
        return Err("names another key of its issuer (authorityKeyIdentifier)".to_owned());
    }
    certificate.verify_signed_by(issuer.public_key()).map_err(|error| format!("is not signed by the next: {error}"))
}

fn timely(chain: &[Certificate], now: Timestamp) -> Result<(), ChainFault> {
    for (index, certificate) in chain.iter().enumerate() {
        let validity = certificate.validity();
        if now < validity.not_before || now > validity.not_after {
            let detail =
                format!("is valid from {} to {}", validity.not_before.to_rfc3339(), validity.not_after.to_rfc3339());
            return Err(ChainFault::Certificate { number: index + 1, subject: name(certificate), detail });
        }
    }
    Ok(())
}

fn name(certificate: &Certificate) -> String {
    certificate.subject().to_string()
}
