//! What a start finds of the process before, and what it does about it: a few lines after an end that was not in order,
//! one after one that was.

use std::time::Duration;

use ca::ports::Clock;
use ca::{Recovered, Swept};
use pki::Timestamp;
use store::audit::{AuditLogError, AuditReader, FileAuditLog};
use store::instance::Instance;

use crate::config::Config;
use crate::world::SystemClock;

/// What was found when the data folder was taken.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The process that did not give the folder back in order.
    died: Option<u32>,
    /// Octets of a torn last line that were cut off the audit log.
    torn: u64,
    /// When the last line of the audit log was written.
    last: Option<Timestamp>,
    /// What recovery did.
    pub recovered: Recovered,
}

impl Found {
    /// Looks at a folder that was just taken, and at its log that was just opened.
    pub(crate) fn of(config: &Config, instance: &Instance, audit: &FileAuditLog) -> Result<Self, AuditLogError> {
        let last = AuditReader::new(&config.data.join("audit")).last()?.map(|line| line.at);
        Ok(Self { died: instance.died(), torn: audit.torn_octets(), last, recovered: Recovered::default() })
    }

    /// Whether there was anything to recover from.
    pub fn is_unclean(&self) -> bool {
        self.died.is_some() || self.torn > 0 || self.recovered != Recovered::default()
    }

    /// Says it, a line for each thing. `swept` is what the first sweep did.
    pub fn tell(&self, swept: Swept) {
        for line in self.lines(swept, SystemClock::new().now()) {
            tracing::info!("{line}");
        }
    }

    fn lines(&self, swept: Swept, now: Timestamp) -> Vec<String> {
        if !self.is_unclean() {
            return vec!["the process before stopped in order; there was nothing to recover".to_owned()];
        }
        let process = self.died.map_or_else(
            || "the process before did not stop in order".to_owned(),
            |pid| format!("the process before (pid {pid}) did not stop in order"),
        );
        let last = self.last.map_or_else(
            || "the audit log is empty".to_owned(),
            |last| format!("the last line of the audit log is {} old ({last})", spoken(now.since(last))),
        );
        let torn = match self.torn {
            0 => String::new(),
            octets => format!("; a torn line of {octets} octets was cut off its end"),
        };
        let brought = match self.recovered.lines {
            0 => "no line had to be brought into the ledger".to_owned(),
            1 => format!("1 line was brought into the ledger{}", kinds(&self.recovered)),
            lines => format!("{lines} lines were brought into the ledger{}", kinds(&self.recovered)),
        };
        vec![
            format!("recovered: {process}; {last}"),
            format!("recovered: audit log: {brought}{torn}"),
            format!(
                "recovered: orders: {} leases freed, {} put back on their queues, {} died at their deadlines",
                self.recovered.leases, swept.requeued, swept.died
            ),
        ]
    }
}

/// In brackets, if there are any of a kind.
fn kinds(recovered: &Recovered) -> String {
    let kinds = recovered.kinds.kinds().into_iter().filter(|(_, number)| *number > 0);
    let kinds: Vec<String> = kinds.map(|(kind, number)| format!("{kind} {number}")).collect();
    if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) }
}

/// A span of time in its two largest units.
pub(crate) fn spoken(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [("d", seconds / 86_400), ("h", seconds / 3600 % 24), ("min", seconds / 60 % 60), ("s", seconds % 60)];
    let from = units.iter().position(|(_, number)| *number > 0).unwrap_or(units.len() - 1);
    let shown = units[from..].iter().take(2).map(|(unit, number)| format!("{number} {unit}"));
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use ca::ports::LineCounts;

    use super::*;

    #[test]
    fn end_in_order_is_one_line_and_any_other_three() {
        let last = Timestamp::from_seconds(1_800_000_000);
        let mut found = Found { died: None, torn: 0, last: Some(last), recovered: Recovered::default() };
        let now = last.plus(Duration::from_secs(192));
        assert_eq!(found.lines(Swept::default(), now).len(), 1);
        found.died = Some(4711);
        found.torn = 12;
        let kinds = LineCounts { precertificates: 2, certificates: 1, ..LineCounts::default() };
        found.recovered = Recovered { lines: 4, kinds, leases: 2 };
        let lines = found.lines(Swept { requeued: 3, died: 1, retired: 0 }, now);
        assert_eq!(
            lines,
            [
                "recovered: the process before (pid 4711) did not stop in order; the last line of the audit log is \
                 3 min 12 s old (2027-01-15T08:00:00Z)",
                "recovered: audit log: 4 lines were brought into the ledger (precertificates 2, certificates 1); a \
                 torn line of 12 octets was cut off its end",
                "recovered: orders: 2 leases freed, 3 put back on their queues, 1 died at their deadlines",
            ]
        );
    }

    #[test]
    fn spans_are_spoken_in_two_units() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (3600, "1 h 0 min"), (90_061, "1 d 1 h")] {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }
}
