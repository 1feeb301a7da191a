//! `begin`: the one write of steps 3 to 5.

use std::collections::BTreeSet;

use ca::ports::{Begin, BeginRefused, IssuanceNumber, MarkedGood, Recorded, SerialRecord, SerialStatus};
use pki::{Serial, Timestamp};

use super::records::{Issued, Records, heard_of, next_number};

impl Records {
    pub(super) fn begin(&mut self, begin: &Begin<'_>) -> Result<IssuanceNumber, BeginRefused> {
        let last = self.refusal(begin)?;
        let number = next_number(last);
        self.orders.entry(begin.order.id).or_insert_with(|| heard_of(begin.order)).last = Some(number);
        let record = SerialRecord {
            serial: begin.serial,
            status: SerialStatus::Wait,
            order: begin.order.id,
            number,
            account: begin.order.account,
            issuer: begin.issuer,
            profile: begin.order.profile.clone(),
            profile_hash: begin.profile_hash,
            ct: begin.ct,
            begun: begin.at,
            good: None,
            stored: None,
            not_after: begin.not_after,
            crl_generation: begin.crl_generation,
            spki_hash: begin.spki_hash,
            linting_certificate: begin.linting_certificate.to_vec(),
            certificate: None,
            failure: None,
            attached: false,
            current: true,
            revocation: None,
            restored: None,
        };
        let names: BTreeSet<_> = begin.names.clone();
        self.serials.insert(
            begin.serial,
            Issued { record, names, revocation_written: None, unsettled: false, came_revoked: false },
        );
        self.allocated.push(begin.serial);
        self.lasts_until(begin.crl_generation, begin.not_after);
        self.dated(begin.at, Recorded::Issuance(begin.serial));
        Ok(number)
    }

    pub(super) fn mark_good(&mut self, serial: Serial, at: Timestamp) -> Option<MarkedGood> {
        let issued = self.serials.get_mut(&serial)?;
        if issued.record.status == SerialStatus::Wait {
            issued.record.status = SerialStatus::Good;
            issued.record.good = Some(at.max(issued.record.begun));
            self.dated(at, Recorded::Issuance(serial));
        }
        let shown = self.show(self.serials.get(&serial)?);
        Some(MarkedGood { status: shown.status, current: shown.current })
    }

    fn check_caps(&self, begin: &Begin<'_>, had: u32) -> Result<(), BeginRefused> {
        let of_order = self.serials.values().map(|issued| &issued.record).filter(|one| one.order == begin.order.id);
        let failed = of_order.clone().filter(|one| one.failure.is_some()).count();
        let begun = of_order.map(|one| one.begun).max();
        begin.caps.check(had, u32::try_from(failed).unwrap_or(u32::MAX), begun, begin.at)
    }

    /// The number of the order's last issuance, if nothing speaks against another.
    fn refusal(&self, begin: &Begin<'_>) -> Result<Option<IssuanceNumber>, BeginRefused> {
        let known = self.orders.get(&begin.order.id);
        if known.is_some_and(|known| known.end.is_some()) {
            return Err(BeginRefused::OrderEnded);
        }
        let stops = self.stops_of(begin.order);
        if !stops.is_empty() {
            return Err(BeginRefused::Stopped(stops));
        }
        if !self.accounts.get(&begin.order.account).is_some_and(ca::account::Account::is_valid) {
            return Err(BeginRefused::AccountNotValid);
        }
        for authorization in &begin.order.authorizations {
            let good = self.authorizations.get(&authorization.id).is_some_and(|ended| {
                ended.account == begin.order.account
                    && ended.identifier == authorization.identifier
                    && ended.is_good(begin.at)
            });
            if !good {
                return Err(BeginRefused::AuthorizationNotGood(authorization.id));
            }
        }
        let place = begin.order.replaced_serial().and_then(|serial| self.replacements.get(&serial).copied());
        if let Some(other) = place.filter(|other| *other != begin.order.id) {
            return Err(BeginRefused::Replaced(other));
        }
        if self.blocked.contains_key(&begin.spki_hash) {
            return Err(BeginRefused::KeyBlocked);
        }
        let last = known.and_then(|known| known.last);
        self.check_caps(begin, last.map_or(0, |IssuanceNumber(last)| last))?;
        if self.serials.contains_key(&begin.serial) {
            return Err(BeginRefused::SerialTaken);
        }
        Ok(last)
    }
}
