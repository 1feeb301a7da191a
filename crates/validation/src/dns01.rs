//! dns-01 (RFC 8555 §8.4).

use acme::{DnsName, ProblemType};
use ca::ports::ChallengeTest;

use crate::dns::{Answer, Dns, Outcome, Record, RecordKind};
use crate::evidence::{Evidence, excerpt};
use crate::shortfall::Shortfall;

const LABEL: &str = "_acme-challenge";
/// Wrong values that the problem shows.
const SHOWN_MAX: usize = 3;

/// Looks for a TXT record with the digest of the key authorization.
pub(crate) async fn test(
    dns: &dyn Dns,
    name: &DnsName,
    test: &ChallengeTest,
    evidence: &Evidence,
) -> Result<(), Shortfall> {
    let owner = format!("{LABEL}.{name}");
    evidence.step(ProblemType::Dns, format!("looking up TXT records of {owner}"));
    let Answer { outcome, evidence: lines, ttl_seconds: _ } = dns.lookup(&owner, RecordKind::Txt).await;
    evidence.note_all(lines);
    let expected = test.key_authorization.dns_value();
    match outcome {
        Outcome::Records(records) => compare(&owner, &expected, &records),
        // Both may pass: a record that was just made has to reach all servers of its zone.
        Outcome::NoData => {
            Err(Shortfall::passing(ProblemType::Dns, format!("{owner} has no TXT record; expected \"{expected}\"")))
        }
        Outcome::NoName => {
            let detail = format!("{owner} does not exist (NXDOMAIN); expected a TXT record \"{expected}\" there");
            Err(Shortfall::passing(ProblemType::Dns, detail))
        }
        Outcome::Failed(failure) => {
            let detail = format!("looking up the TXT records of {owner} failed: {failure}");
            Err(Shortfall::passing(ProblemType::Dns, detail))
        }
    }
}

fn compare(owner: &str, expected: &str, records: &[Record]) -> Result<(), Shortfall> {
    let texts: Vec<&[u8]> = records
        .iter()
        .filter_map(|record| match record {
            Record::Text(text) => Some(text.as_slice()),
            Record::Address(_) | Record::Caa(_) => None,
        })
        .collect();
    if texts.contains(&expected.as_bytes()) {
        return Ok(());
    }
    let shown = texts.iter().take(SHOWN_MAX).map(|text| excerpt(text)).collect::<Vec<_>>().join(", ");
    let more = match texts.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Err(Shortfall::unauthorized(format!("no TXT record of {owner} is \"{expected}\"; found {shown}{more}")))
}
