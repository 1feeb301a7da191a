//! Files of serial numbers: a line each, or certificates in PEM.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use ca::ports::Ledger;
use pki::{Certificate, Serial};

use super::Failure;
use super::key::unusable;

/// Serials of one file: they are held in memory.
const SERIALS_MAX: usize = 1_000_000;
/// No line of PEM, and no serial with a remark behind it, is longer.
const LINE_OCTETS_MAX: u64 = 4096;
/// No certificate is longer.
const PEM_OCTETS_MAX: usize = 64 * 1024;
/// So many bad lines are told; the others are counted.
const FAULTS_SHOWN: usize = 10;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const EXPECTED: &str = "expected a serial number in hexadecimal (with or without colons or 0x), `decimal:` and one in \
                        decimal, or a certificate in PEM";

/// The serials that a file lists, each of which this ledger knows.
///
/// # Errors
/// Which lines are bad, and what would be right there.
pub(super) async fn read(file: &Path, ledger: &dyn Ledger) -> Result<BTreeSet<Serial>, Failure> {
    let mut lines = BufReader::new(File::open(file).map_err(|error| unusable(file, error))?);
    let mut list = List::default();
    let (mut number, mut line) = (0_u64, Vec::new());
    loop {
        line.clear();
        number += 1;
        let octets = (&mut lines).take(LINE_OCTETS_MAX).read_until(b'\n', &mut line);
        let octets = octets.map_err(|error| unusable(file, error))?;
        if octets == 0 {
            break;
        }
        if octets as u64 == LINE_OCTETS_MAX && !line.ends_with(b"\n") {
            return Err(unusable(file, format!("line {number} has more than {LINE_OCTETS_MAX} octets; {EXPECTED}")));
        }
        let found = match std::str::from_utf8(&line) {
            Ok(text) => list.line(number, text.trim()),
            Err(_) => Err(format!("this is no text; {EXPECTED}")),
        };
        match found {
            Ok(None) => {}
            Ok(Some(found)) => match found.known(ledger).await? {
                Ok(serial) => {
                    list.serials.insert(serial);
                }
                Err(fault) => list.fault(found.line, &fault),
            },
            Err(fault) => list.fault(number, &fault),
        }
        if list.serials.len() > SERIALS_MAX {
            return Err(unusable(file, format!("it lists more than {SERIALS_MAX} serials; split it")));
        }
    }
    list.end(file)
}

#[derive(Default)]
struct List {
    serials: BTreeSet<Serial>,
    /// The line where a certificate begins, and what there is of it.
    pem: Option<(u64, String)>,
    faults: Vec<String>,
    faults_more: u64,
}

/// A serial as it stands in a file.
struct Found {
    line: u64,
    text: String,
    serial: Serial,
    certificate: Option<Certificate>,
}

impl List {
    fn line(&mut self, number: u64, text: &str) -> Result<Option<Found>, String> {
        if let Some((begun, mut pem)) = self.pem.take() {
            if pem.len() + text.len() > PEM_OCTETS_MAX {
                return Err(format!("the certificate that begins in line {begun} has no end"));
            }
            pem.push_str(text);
            pem.push('\n');
            if text.starts_with("-----END ") {
                return certificate(begun, &pem).map(Some);
            }
            self.pem = Some((begun, pem));
            return Ok(None);
        }
        if text == BEGIN {
            self.pem = Some((number, format!("{BEGIN}\n")));
            return Ok(None);
        }
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(None);
        }
        let serial = serial(text).ok_or_else(|| format!("`{}` is no serial number; {EXPECTED}", shown(text)))?;
        Ok(Some(Found { line: number, text: text.to_owned(), serial, certificate: None }))
    }

    fn fault(&mut self, line: u64, fault: &str) {
        if self.faults.len() < FAULTS_SHOWN {
            self.faults.push(format!("line {line}: {fault}"));
        } else {
            self.faults_more += 1;
        }
    }

    fn end(mut self, file: &Path) -> Result<BTreeSet<Serial>, Failure> {
        if let Some((begun, _)) = self.pem.take() {
            self.fault(begun, "the certificate that begins here has no end");
        }
        if self.faults.is_empty() {
            return if self.serials.is_empty() { Err(unusable(file, "it lists no serial")) } else { Ok(self.serials) };
        }
        let more = match self.faults_more {
            0 => String::new(),
            more => format!("\n  and {more} lines more"),
        };
        Err(unusable(file, format!("nothing is revoked, since lines are bad:\n  {}{more}", self.faults.join("\n  "))))
    }
}

impl Found {
    /// Whether it is one of this CA's: a certificate of another CA may have any serial.
    async fn known(&self, ledger: &dyn Ledger) -> Result<Result<Serial, String>, Failure> {
        let serial = self.serial;
        let Some(certificate) = &self.certificate else {
            let known = ledger.status(serial).await.map_err(Failure::failed)?.is_some();
            let decimal = self.text.chars().all(|one| one.is_ascii_digit());
            let hint = if decimal { format!("; if it is decimal, write decimal:{}", self.text) } else { String::new() };
            return Ok(if known {
                Ok(serial)
            } else {
                Err(format!("this CA never allocated the serial {serial}{hint}"))
            });
        };
        let record = ledger.serial(serial).await.map_err(Failure::failed)?;
        let ours = record.is_some_and(|record| record.spki_hash == certificate.public_key().spki_hash());
        Ok(if ours { Ok(serial) } else { Err(format!("this CA did not issue this certificate ({serial})")) })
    }
}

fn certificate(line: u64, pem: &str) -> Result<Found, String> {
    let of_line = |error: String| format!("the certificate that begins in line {line}: {error}");
    let blocks = pki::pem::decode(pem).map_err(|error| of_line(error.to_string()))?;
    let Some((_, der)) = blocks.into_iter().next() else { return Err(of_line("it is empty".to_owned())) };
    let certificate = Certificate::from_der(&der).map_err(|error| of_line(error.to_string()))?;
    Ok(Found { line, text: String::new(), serial: certificate.serial(), certificate: Some(certificate) })
}

/// The beginning of what may be anything.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

fn serial(text: &str) -> Option<Serial> {
    if let Some(decimal) = text.strip_prefix("decimal:") {
        return of_decimal(decimal.trim());
    }
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    Serial::parse(&hex.replace(':', "")).ok()
}

/// By long multiplication: a serial has up to 20 octets.
fn of_decimal(digits: &str) -> Option<Serial> {
    let mut octets = [0_u8; 21];
    for digit in digits.chars() {
        let mut carry = digit.to_digit(10)?;
        for octet in octets.iter_mut().rev() {
            let [low, high, ..] = (u32::from(*octet) * 10 + carry).to_le_bytes();
            *octet = low;
            carry = u32::from(high);
        }
        if carry > 0 {
            return None;
        }
    }
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    Serial::parse(&hex).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_read_in_each_form_that_tools_write() {
        let due = Serial::parse("04a1b2ff").unwrap();
        for text in ["04a1b2ff", "4A1B2FF", "0x04a1b2ff", "04:A1:B2:FF", "decimal:77705983"] {
            assert_eq!(serial(text), Some(due), "{text}");
        }
        let longest = "7f".repeat(20);
        let decimal = "decimal:727885129180488904360266563744972327436484050815";
        assert_eq!(serial(decimal), Serial::parse(&longest).ok());
        for text in
            ["decimal:", "decimal:12a", "0x", "xyz", "0", &"7".repeat(42), &format!("decimal:{}", "9".repeat(60))]
        {
            assert_eq!(serial(text), None, "{text}");
        }
    }
}
