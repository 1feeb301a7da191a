//! What is checked at each write and each signature.

use ca::OrderId;
use ca::authorization::{AuthorizationEnd, EndedAuthorization, Method};
use ca::order::Order;
use ca::ports::{AuditEvent, IssuanceNumber, Ledger, LedgerEnd, SerialFilter, SerialRecord, SerialStatus};
use ca::settings::CaaMode;
use ca::signing::{is_fresh, permits};
use pki::{Certificate, Serial, Sha256, Timestamp};

use super::{Auditor, Signed, now};
use crate::executor::Node;
use crate::keys::Hierarchy;

impl Auditor {
    /// 5, 7: an issuance begins.
    pub(super) fn begun(&self, serial: Serial, order: &Order, number: IssuanceNumber, at: Timestamp) {
        self.story.tell(|| format!("ledger: issuance {} of order {} begins", number.0, order.id));
        let of_order = SerialFilter { order: Some(order.id), ..SerialFilter::default() };
        let failed = now(self.ledger.serials(of_order, 1_000)).unwrap_or_default();
        let failed = failed.iter().filter(|record| record.failure.is_some()).count();
        let most = self.settings.limits.issuances;
        let within = failed < most as usize;
        self.holds(0, within, || format!("order {} had {failed} issuances that failed, and begins another", order.id));
        self.nothing_stops(order, None, "an issuance begins");
        let known = self.facts().statuses.contains_key(&serial);
        self.holds(2, !known, || format!("serial {serial} was allocated twice"));
        let ids = order.authorization_ids();
        let found = now(self.ledger.authorizations(&ids)).unwrap_or_default();
        let rechecks = now(self.ledger.rechecks(order.id)).unwrap_or_default();
        for (id, identifier) in ids.iter().zip(&order.identifiers) {
            let good = found.iter().find(|one| {
                one.id == *id && one.account == order.account && one.identifier == *identifier && holds_at(one.end, at)
            });
            self.holds(7, good.is_some(), || format!("{serial} was begun without an authorization for {identifier}"));
            if self.settings.caa != CaaMode::Enforce || identifier.name().is_none() {
                continue;
            }
            let reuse = self.settings.times.caa_reuse.as_secs();
            let of_authorization = good.and_then(|one| one.caa.as_ref()).into_iter();
            let checks = of_authorization.chain(rechecks.iter().filter(|check| check.identifier == *identifier));
            let mut fitting = checks.filter(|check| permits(&check.decision) && is_fresh(check, reuse, at));
            self.holds(7, fitting.next().is_some(), || format!("{serial} was begun with a stale CAA of {identifier}"));
        }
        self.wrote(serial);
    }

    /// 3, 4: the record of a serial may have changed.
    pub(super) fn wrote(&self, serial: Serial) {
        let Some(record) = self.record(serial) else { return };
        let before = self.facts().statuses.insert(serial, record.status);
        let moves = match (before, record.status) {
            (None, SerialStatus::Wait) => true,
            (Some(SerialStatus::Wait), _) => true,
            (Some(SerialStatus::Good), SerialStatus::Good | SerialStatus::Revoked) => true,
            (Some(SerialStatus::Revoked), SerialStatus::Revoked) => true,
            (None, SerialStatus::Good | SerialStatus::Revoked)
            | (Some(SerialStatus::Good), SerialStatus::Wait)
            | (Some(SerialStatus::Revoked), SerialStatus::Wait | SerialStatus::Good) => false,
        };
        self.holds(4, moves, || format!("serial {serial} went from {before:?} to {:?}", record.status));
        if before != Some(record.status) {
            if record.status == SerialStatus::Revoked {
                let mut facts = self.facts();
                facts.clock += 1;
                let at = facts.clock;
                facts.revoked.insert(serial, at);
            }
            self.story.tell(|| format!("ledger: {} is {}", serial, record.status.name()));
            self.ask_witness(serial);
        }
        self.good_is_signed(&record);
        self.one_certificate(&record);
    }

    /// 4, 10: what is good was signed, and the line of that was written before.
    fn good_is_signed(&self, record: &SerialRecord) {
        let facts = self.facts();
        let of_kind = if record.ct { &facts.precertificates } else { &facts.certificates };
        let logged = of_kind.get(&record.serial).map(|signed| signed.logged);
        let stored = facts.certificates.get(&record.serial).map(|signed| signed.logged);
        drop(facts);
        if record.status == SerialStatus::Good {
            self.holds(4, logged.is_some(), || format!("serial {} is good, and nothing was signed", record.serial));
            self.holds(10, logged != Some(false), || format!("serial {} is good before its line", record.serial));
        }
        if record.certificate.is_some() {
            self.holds(10, stored == Some(true), || format!("certificate {} is stored before its line", record.serial));
        }
    }

    fn one_certificate(&self, record: &SerialRecord) {
        if record.certificate.is_none() {
            return;
        }
        if !record.attached {
            let held = record.status == SerialStatus::Revoked;
            self.holds(3, held, || format!("certificate {} belongs to no order and is not revoked", record.serial));
            return;
        }
        let mut facts = self.facts();
        let first = *facts.attached.entry(record.order).or_insert(record.serial);
        drop(facts);
        self.holds(3, first == record.serial, || {
            format!("order {} names the certificates {first} and {}", record.order, record.serial)
        });
    }

    /// Whether it has not ended in the ledger.
    pub(super) fn is_open(&self, order: OrderId) -> bool {
        now(self.ledger.order(order)).ok().flatten().is_none_or(|known| known.end.is_none())
    }

    /// An order has ended in the ledger.
    pub(super) fn finished(&self, order: OrderId, end: &LedgerEnd) {
        self.story.tell(|| match end {
            LedgerEnd::Valid(serial) => format!("ledger: order {order} has ended with {serial}"),
            LedgerEnd::Invalid(failure) => format!("ledger: order {order} has died: {}", failure.problem.detail),
        });
        let attached = self.facts().attached.get(&order).copied();
        let held = match end {
            LedgerEnd::Valid(serial) => attached.is_none_or(|first| first == *serial),
            LedgerEnd::Invalid(_) => attached.is_none(),
        };
        self.holds(3, held, || format!("order {order} has ended twice: {end:?}, and with {attached:?}"));
    }

    /// 7: what the evidence says was really seen.
    pub(super) fn authorized(&self, ended: &EndedAuthorization) {
        let AuthorizationEnd::Valid { .. } = ended.end else { return };
        let Some(validation) = &ended.validation else {
            self.holds(7, false, || format!("authorization {} is valid without a test", ended.id));
            return;
        };
        let method = validation.method;
        let account = now(self.ledger.account(ended.account)).ok().flatten();
        let token = ended.challenges.iter().find(|one| one.method == method).map(|one| one.token.clone());
        let (Some(account), Some(token), Some(name)) = (account, token, ended.identifier.name()) else { return };
        let name: &str = name.as_ref();
        let thumbprints = ca::signing::proven_keys(&account).unwrap_or_default();
        let shown = thumbprints.iter().any(|key| {
            let expected = acme::KeyAuthorization::new(&token, &key.key.thumbprint());
            match method {
                Method::Dns01 => self.internet.has_shown(&format!("_acme-challenge.{name}"), &expected.dns_value()),
                Method::Http01 => self.internet.has_served(name, expected.as_str()),
                // No client shows anything by these.
                Method::TlsAlpn01 | Method::Operator => false,
            }
        });
        self.holds(7, shown, || format!("authorization {} is valid by {method}, and {name} never showed it", ended.id));
    }

    /// 12: what the signer believes, it has read now.
    pub(super) fn signer_read(&self, serial: Serial) {
        let mut facts = self.facts();
        facts.clock += 1;
        let at = facts.clock;
        facts.read.insert(serial, at);
    }

    /// 12: a key is blocked from now on, and these serials are revoked.
    pub(super) fn blocked(&self, key: Sha256, revoked: &[Serial]) {
        let mut facts = self.facts();
        facts.clock += 1;
        let at = facts.clock;
        facts.blocked.entry(key).or_insert(at);
        drop(facts);
        self.story.tell(|| format!("ledger: a key is blocked, {} serials are revoked", revoked.len()));
        for serial in revoked {
            self.wrote(*serial);
        }
    }

    /// 1, 2, 12: a precertificate or certificate has left the key.
    pub(super) fn signed(&self, der: &[u8], machine: usize, node: Node) {
        let Ok(certificate) = Certificate::from_der(der) else {
            self.holds(1, false, || "what was signed can't be read".to_owned());
            return;
        };
        let serial = certificate.serial();
        let Some(record) = self.record(serial) else {
            self.holds(1, false, || format!("serial {serial} was signed, and the ledger does not know it"));
            return;
        };
        self.planned(&certificate, &record);
        let issuer = &Hierarchy::shared().issuer.certificate;
        let verifies = certificate.verify_signed_by(issuer.public_key()).is_ok();
        self.holds(1, verifies, || format!("the signature of {serial} does not verify"));
        self.key_not_blocked(&record);
        let facts = self.facts();
        let (revoked, read) = (facts.revoked.get(&serial).copied(), facts.read.get(&serial).copied().unwrap_or(0));
        drop(facts);
        if let Ok(Some(known)) = now(self.ledger.order(record.order)) {
            self.nothing_stops(&known.order, Some(read), "something is signed");
        }
        let unseen = revoked.is_none_or(|at| at > read);
        self.holds(4, unseen, || format!("serial {serial} was signed, and the signer could see that it is revoked"));
        let precertificate = certificate.is_precertificate();
        if !precertificate {
            self.scts_verify(&certificate);
        }
        self.story.tell(|| {
            format!(
                "signer {machine}: signs {} {serial}",
                if precertificate { "precertificate" } else { "certificate" }
            )
        });
        let signed = Signed { certificate, machine, node, logged: false };
        let mut facts = self.facts();
        let of_kind = if precertificate { &mut facts.precertificates } else { &mut facts.certificates };
        let first = of_kind.insert(serial, signed).is_none();
        drop(facts);
        self.ask_witness(serial);
        self.holds(2, first, || format!("serial {serial} was signed twice (precertificate: {precertificate})"));
    }

    fn planned(&self, certificate: &Certificate, record: &SerialRecord) {
        let serial = record.serial;
        if certificate.is_precertificate() || !record.ct {
            let planned = Certificate::from_der(&record.linting_certificate);
            let same = planned.is_ok_and(|planned| planned.tbs_der() == certificate.tbs_der());
            self.holds(1, same, || format!("what was signed under {serial} is not what was recorded before"));
            return;
        }
        let precertificate = self.facts().precertificates.get(&serial).map(|signed| signed.certificate.clone());
        let corresponds = precertificate
            .is_some_and(|precertificate| pki::corresponds(precertificate.tbs_der(), certificate.tbs_der()).is_ok());
        self.holds(1, corresponds, || format!("certificate {serial} corresponds to no precertificate"));
    }

    fn key_not_blocked(&self, record: &SerialRecord) {
        let facts = self.facts();
        let blocked = facts.blocked.get(&record.spki_hash).copied();
        let read = facts.read.get(&record.serial).copied().unwrap_or(0);
        drop(facts);
        let held = blocked.is_none_or(|at| at > read);
        self.holds(12, held, || format!("serial {} was signed for a key that the signer saw blocked", record.serial));
    }

    /// 10: a line was written.
    pub(super) fn logged(&self, event: &AuditEvent) {
        let mut facts = self.facts();
        let signed = if let AuditEvent::Precertificate { serial, .. } = event {
            facts.precertificates.get_mut(serial)
        } else if let AuditEvent::Certificate { serial, .. } = event {
            facts.certificates.get_mut(serial)
        } else {
            None
        };
        if let Some(signed) = signed {
            signed.logged = true;
        }
    }

    /// 11: a CRL has left the key.
    pub(super) fn signed_crl(&self, issuer: Sha256, shard: u16, number: u64) {
        let mut facts = self.facts();
        let first = facts.crl_numbers.insert((issuer, shard, number));
        drop(facts);
        self.holds(11, first, || format!("CRL {number} of shard {shard} was signed twice"));
    }

    /// 11: a CRL is the newest from now on. A slow one with a smaller number may have been signed meanwhile.
    pub(super) fn published_crl(&self, issuer: Sha256, shard: u16, number: u64) {
        let last = self.facts().crls.insert((issuer, shard), number);
        let grew = last.is_none_or(|last| number > last);
        self.holds(11, grew, || format!("CRL {number} of shard {shard} was published after {last:?}"));
    }
}

/// Said here once more: what is checked must not be what checks it.
fn holds_at(end: AuthorizationEnd, at: Timestamp) -> bool {
    matches!(end, AuthorizationEnd::Valid { expires } if at <= expires)
}
