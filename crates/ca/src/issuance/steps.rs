//! The nine steps.

use std::collections::BTreeSet;

use acme::order::SUBPROBLEMS_MAX;
use acme::{Problem, ProblemType};
use futures_util::future::join_all;
use pki::lint::{self, Linted};
use pki::{Csr, Ct, GeneralName, KeyUsage, Leaf, PrecertEntry, Purpose, Serial, TbsCertificate, Timestamp, Validity};

use super::receipts::{
    Allocated, Authorized, Committed, Finished, Logged, Permitted, Planned, Precertified, Precommitted, Profiled,
};
use super::{FIRST_PAUSE, IssuanceEnd, Issued, Run};
use crate::OrderId;
use crate::authorization::{CaaDecision, CaaRecord, EndedAuthorization};
use crate::order::Order;
use crate::ports::{
    AuditEvent, Begin, BeginRefused, CaaCheck, CtReadiness, CtSubmission, Issuer, SerialStatus, SignError, Signed,
    SigningRequest, StoredFinal,
};
use crate::profile::Profile;
use crate::settings::CaaMode;
use crate::signing::{general_name, is_fresh, permits};
use crate::stops::Stopped;
use crate::urls;

/// Room in the audit log for the two lines of an issuance, beside what its names take, in octets.
const AUDIT_ROOM: u64 = 16 * 1024;
/// Octets that an octet of a name takes in two lines of base64: twice 4/3, with a common name and lengths.
const AUDIT_ROOM_OF_NAMES: u64 = 4;

/// The DV policy of the Baseline Requirements (BR 7.1.6.1): domain-validated.
const DOMAIN_VALIDATED: &str = "2.23.140.1.2.1";

impl<'a> Run<'a> {
    /// 1. All authorizations of the order are good: asked of the ledger, which decides.
    pub(super) async fn check_authorizations(&self) -> Result<Authorized, IssuanceEnd> {
        let ids = self.order.authorization_ids();
        let found = self.ca.ledger.authorizations(&ids).await.map_err(|error| IssuanceEnd::wait(&error))?;
        let mut authorizations = Vec::with_capacity(ids.len());
        for (id, identifier) in ids.iter().zip(&self.order.identifiers) {
            let good = found.iter().find(|one| {
                one.id == *id
                    && one.account == self.order.account
                    && one.identifier == *identifier
                    && one.is_good(self.now())
            });
            match good {
                Some(authorization) => authorizations.push(authorization.clone()),
                None => {
                    return Err(dead(
                        ProblemType::Unauthorized,
                        format!("the authorization for {identifier} is no longer valid (stage issue)"),
                    ));
                }
            }
        }
        if authorizations.len() != self.order.identifiers.len() || authorizations.is_empty() {
            return Err(dead(ProblemType::ServerInternal, "the order lacks authorizations (stage issue)".into()));
        }
        self.done(1, None, "all authorizations are good");
        Ok(Authorized { authorizations })
    }

    /// 2. CAA is checked again for names whose check is too old.
    pub(super) async fn recheck_caa(&self, authorized: Authorized) -> Result<Permitted, IssuanceEnd> {
        let stale = match self.ca.settings.caa {
            CaaMode::Enforce => {
                planted!(StaleCaa { Vec::new() } else { self.without_fresh_caa(&authorized.authorizations).await? })
            }
            // Where CAA is only logged, what was seen beside validation is: nobody waits for another look-up.
            CaaMode::Log | CaaMode::Off => Vec::new(),
        };
        if !stale.is_empty() {
            let checks: Vec<CaaRecord> = join_all(stale.iter().map(|authorization| self.caa(authorization))).await;
            self.ca
                .ledger
                .record_rechecks(self.order.id, checks.clone())
                .await
                .map_err(|error| IssuanceEnd::wait(&error))?;
            judge_caa(&checks)?;
        }
        self.done(2, None, &format!("CAA checked again for {} names", stale.len()));
        Ok(Permitted { _authorized: authorized })
    }

    /// Those for which no fresh check permits the certificate, neither the one beside validation nor one that was made
    /// for this order before: a cycle that had to wait begins anew.
    async fn without_fresh_caa<'b>(
        &self,
        authorizations: &'b [EndedAuthorization],
    ) -> Result<Vec<&'b EndedAuthorization>, IssuanceEnd> {
        let reuse = self.ca.settings.times.caa_reuse.as_secs();
        let counts = |check: &CaaRecord| permits(&check.decision) && is_fresh(check, reuse, self.now());
        let mut stale: Vec<&EndedAuthorization> = authorizations
            .iter()
            // IP addresses have no CAA.
            .filter(|one| one.identifier.name().is_some() && !one.caa.as_ref().is_some_and(counts))
            .collect();
        if !stale.is_empty() {
            let before = self.ca.ledger.rechecks(self.order.id).await.map_err(|error| IssuanceEnd::wait(&error))?;
            stale.retain(|one| !before.iter().any(|check| check.identifier == one.identifier && counts(check)));
        }
        Ok(stale)
    }

    async fn caa(&self, authorization: &EndedAuthorization) -> CaaRecord {
        let method = authorization
            .validation
            .as_ref()
            .map_or(crate::authorization::Method::Operator, |validation| validation.method);
        let account_url =
            self.ca.settings.base_url.as_ref().map(|base| format!("{base}{}", urls::account(self.order.account)));
        self.ca
            .validator
            .check_caa(CaaCheck {
                identifier: authorization.identifier.clone(),
                method,
                account_url,
                time_limit: self.ca.settings.times.caa,
            })
            .await
    }

    /// 3. A serial number is drawn, once CT logs are known to answer and the audit log has room for both lines.
    pub(super) async fn allocate_serial(&self, permitted: Permitted) -> Result<Allocated, IssuanceEnd> {
        let profile = self.profile()?;
        if let Some(requirement) = profile.ct {
            let not_after = self.validity(profile, self.issuer()?)?.not_after;
            match self.ca.ct.readiness(requirement.into(), not_after).await {
                CtReadiness::Ready => {}
                CtReadiness::NotReady { detail } => return Err(IssuanceEnd::Wait { detail, after: None }),
            }
        }
        let names: usize = self.order.identifiers.iter().map(|one| one.to_string().len() + 8).sum();
        let octets = AUDIT_ROOM + AUDIT_ROOM_OF_NAMES * names as u64;
        let room = self.ca.audit.reserve(octets).await.map_err(|error| IssuanceEnd::wait(&error))?;
        let mut random = [0; 16];
        self.ca.random.fill(&mut random);
        planted!(SerialReused { random = [7; 16] });
        let serial = Serial::from_random(random);
        self.done(3, Some(serial), "serial number allocated");
        Ok(Allocated { permitted, serial, room })
    }

    fn profile(&self) -> Result<&'a Profile, IssuanceEnd> {
        let name = &self.order.profile;
        self.ca.settings.profile(name).ok_or_else(|| {
            dead(ProblemType::InvalidProfile, format!("profile {name} was taken out of service (stage issue)"))
        })
    }

    fn issuer(&self) -> Result<&'a Issuer, IssuanceEnd> {
        let issuer = self.ca.issuer();
        issuer.ok_or_else(|| dead(ProblemType::ServerInternal, "this CA has no issuer (stage issue)".into()))
    }

    fn validity(&self, profile: &Profile, issuer: &Issuer) -> Result<Validity, IssuanceEnd> {
        let validity = self.order.validity.of_certificate(profile, issuer.certificate.validity(), self.now());
        validity.ok_or_else(|| {
            dead(ProblemType::Malformed, "the validity that was asked for can't be had any more (stage issue)".into())
        })
    }

    /// The validity, once it has begun: no certificate is older than its own `notBefore`, unless its client wants that.
    /// Who asked for the whole life of a profile gets the second behind that of its order, which may not be over yet.
    async fn begun_validity(&self, profile: &Profile, issuer: &Issuer) -> Result<Validity, IssuanceEnd> {
        let validity = self.validity(profile, issuer)?;
        let ahead = validity.not_before.since(self.now());
        if self.order.validity.not_before.is_none() && !ahead.is_zero() {
            self.ca.clock.sleep(ahead).await;
        }
        Ok(validity)
    }

    /// 4. The profile is selected; its hash says under which rules the certificate is made.
    pub(super) fn select_profile(&self, allocated: Allocated) -> Result<Profiled<'a>, IssuanceEnd> {
        let profile = self.profile()?;
        self.done(4, Some(allocated.serial), &format!("certificate profile {} selected", profile.name));
        Ok(Profiled { allocated, profile, profile_hash: profile.hash() })
    }

    /// A workbench that was lost for a while made room for another order in this one's place, and came back with it.
    async fn replaced(&self, other: OrderId) -> IssuanceEnd {
        match self.ca.take_place(self.order).await {
            Ok(Some(problem)) => IssuanceEnd::Dead(Box::new(problem)),
            Ok(None) => {
                let detail = format!("order {other}, which came to nothing, had the place of this one");
                IssuanceEnd::Wait { detail, after: Some(FIRST_PAUSE) }
            }
            Err(error) => IssuanceEnd::wait(&error),
        }
    }

    /// 5. The TBSCertificate is built, linted, signed with a throwaway key, and stored: status `wait`.
    pub(super) async fn precommit(&self, profiled: Profiled<'a>) -> Result<Precommitted<'a>, IssuanceEnd> {
        let Profiled { allocated, profile, profile_hash } = profiled;
        let Allocated { permitted, serial, room } = allocated;
        let issuer = self.issuer()?;
        let csr = self.request()?;
        let names: BTreeSet<GeneralName> = self.order.identifiers.iter().map(general_name).collect();
        let validity = self.begun_validity(profile, issuer).await?;
        let not_after = validity.not_after;
        let leaf = LeafParts::new(&self.ca.settings, issuer, profile, &csr, serial, &names);
        let ct = if profile.ct.is_some() { Ct::Poison } else { Ct::None };
        let tbs = leaf.tbs(validity, ct);
        let kind = if profile.ct.is_some() { lint::Kind::Precertificate } else { lint::Kind::WithoutCt };
        let tbs = self.lint(tbs, kind, profile, issuer, &csr, &names).await?;
        let begun = self.ca.ledger.begin(Begin {
            order: self.order,
            serial,
            issuer: issuer.id,
            profile_hash,
            ct: profile.ct.is_some(),
            linting_certificate: tbs.linting_certificate(),
            spki_hash: csr.public_key().spki_hash(),
            names: &names,
            not_after,
            crl_generation: self.ca.settings.crls.current().id,
            at: self.now(),
            caps: planted!(UncountedIssuances { crate::planted::NO_CAPS } else { self.ca.settings.issuance_caps() }),
        });
        let number = match begun.await.map_err(|error| IssuanceEnd::over(serial, &error))? {
            Ok(number) => number,
            Err(BeginRefused::SerialTaken) => return Ok(Precommitted::SerialTaken(permitted)),
            Err(BeginRefused::Replaced(other)) => return Err(self.replaced(other).await),
            Err(refused) => return Err(refused_begin(&refused, self.order, self.now())),
        };
        self.done(5, Some(serial), "linting certificate stored, status wait");
        let tbs = planted!(OtherBytesSigned {
            let not_after = not_after.minus(std::time::Duration::from_secs(1));
            let other = leaf.tbs(Validity { not_after, ..validity }, ct);
            self.lint(other, kind, profile, issuer, &csr, &names).await?
        } else { tbs });
        let planned = Planned { serial, number, profile, issuer, csr, names, not_after, _room: room };
        Ok(Precommitted::Begun(Box::new(Committed { planned, tbs })))
    }

    fn request(&self) -> Result<Csr, IssuanceEnd> {
        let finalize = self.order.finalize_request().ok_or(IssuanceEnd::Superseded)?;
        // Its own signature was verified when it was taken.
        Csr::parse_without_proof(&finalize.csr)
            .map_err(|error| dead(ProblemType::BadCsr, format!("the CSR can't be used (stage issue): {error}")))
    }

    /// Signs with a throwaway key and lints: the only way to bytes that a signer takes.
    async fn lint(
        &self,
        tbs: TbsCertificate,
        kind: lint::Kind,
        profile: &Profile,
        issuer: &Issuer,
        csr: &Csr,
        names: &BTreeSet<GeneralName>,
    ) -> Result<Linted<TbsCertificate>, IssuanceEnd> {
        let serial = tbs.serial();
        let signature = self
            .ca
            .linting_key
            .sign(issuer.signature_algorithm, tbs.der())
            .await
            .map_err(|error| IssuanceEnd::Wait { detail: format!("throwaway key: {error}"), after: None })?;
        let linting_certificate = tbs.with_signature(issuer.signature_algorithm, &signature);
        let rules = lint::Rules {
            kind,
            baseline: profile.baseline,
            public_names: self.ca.settings.public_names,
            issuer: &issuer.certificate,
            now: self.now(),
            lifetime_max: profile.lifetime(),
            scts_min: profile.ct.map_or(0, |ct| ct.scts),
            names,
            public_key: csr.public_key(),
        };
        lint::certificate(tbs, linting_certificate, &rules).map_err(|failure| {
            let order = self.order.id;
            tracing::error!(%order, %serial, %failure, "a certificate failed its lints; nothing was signed");
            dead(ProblemType::ServerInternal, format!("the certificate would break rules (stage issue): {failure}"))
        })
    }

    /// 6. The precertificate is signed and logged; its status is `good` over `wait`.
    pub(super) async fn sign_precertificate(&self, committed: Committed<'a>) -> Result<Precertified<'a>, IssuanceEnd> {
        let Committed { planned, tbs } = committed;
        let serial = planned.serial;
        let bytes = tbs.tbs().clone();
        let signed = self.sign(serial, SigningRequest::Precertificate { issuer: planned.issuer.id, tbs }).await?;
        planted!(GoodBeforeLine { self.insist(serial, || self.ca.ledger.mark_good(serial, self.now())).await?; });
        let event = AuditEvent::Precertificate { order: self.order.id, serial, der: signed.der.clone() };
        let line = self.ca.audit.append(event).await.map_err(|error| IssuanceEnd::over(serial, &error))?;
        planted!(AppliedTooEarly { self.ca.audit.applied(line); });
        let marked = self.insist(serial, || self.ca.ledger.mark_good(serial, self.now())).await?;
        self.ca.audit.applied(line);
        let marked = marked.ok_or_else(|| unknown_serial(serial))?;
        self.done(6, Some(serial), "precertificate signed and logged, status good");
        match (marked.status, marked.current) {
            (SerialStatus::Good, true) => Ok(Precertified { planned, tbs: bytes, der: signed.der }),
            (SerialStatus::Good | SerialStatus::Wait, _) => Err(IssuanceEnd::Superseded),
            (SerialStatus::Revoked, _) => Err(revoked(serial)),
        }
    }

    async fn sign(&self, serial: Serial, request: SigningRequest) -> Result<Signed, IssuanceEnd> {
        self.may_sign(serial).await?;
        let over = |detail: String| IssuanceEnd::Over { serial, detail };
        match self.ca.within(self.ca.settings.times.signature, self.ca.signer.sign(request)).await {
            Some(Ok(signed)) => Ok(signed),
            Some(Err(error @ SignError::Refused(_))) => {
                tracing::warn!(order = %self.order.id, %serial, %error, "nothing was signed");
                self.why_refused(serial, error.to_string()).await
            }
            Some(Err(error @ (SignError::NotSigned(_) | SignError::Unknown(_)))) => Err(over(error.to_string())),
            None => Err(over("the signer did not answer in time: the outcome of a signature is unknown".into())),
        }
    }

    /// A signer refuses what the records don't bear out: because they changed meanwhile, or because we are wrong.
    async fn why_refused(&self, serial: Serial, detail: String) -> Result<Signed, IssuanceEnd> {
        let stopped = self.ca.stopped(self.order).await;
        match self.ca.ledger.serial(serial).await {
            Ok(Some(record)) if record.status == SerialStatus::Revoked => Err(revoked(serial)),
            Ok(Some(record)) if !record.current => Err(IssuanceEnd::Superseded),
            Ok(Some(_)) if let Ok(Some(stopped)) = stopped => Err(stopped.in_issuance(serial)),
            Ok(Some(_) | None) | Err(_) => Err(IssuanceEnd::Over { serial, detail }),
        }
    }

    /// A certificate that no order has: another issuance came first, or its serial was revoked while it was made.
    async fn why_detached(&self, serial: Serial) -> IssuanceEnd {
        match self.ca.ledger.serial(serial).await {
            Ok(Some(record)) if record.current => revoked(serial),
            Ok(Some(_) | None) | Err(_) => IssuanceEnd::Superseded,
        }
    }

    /// 7. The precertificate goes to CT logs, again and again within the lease; their SCTs are verified.
    pub(super) async fn submit_to_ct(&self, precertified: Precertified<'a>) -> Result<Logged<'a>, IssuanceEnd> {
        let Precertified { planned, tbs, der } = precertified;
        let serial = planned.serial;
        let requirement = planned.profile.ct.ok_or(IssuanceEnd::Superseded)?;
        let chain: Vec<Vec<u8>> = std::iter::once(&planned.issuer.certificate)
            .chain(&planned.issuer.chain)
            .map(|certificate| certificate.der().to_vec())
            .collect();
        let entry = PrecertEntry { issuer_key_hash: planned.issuer.id, tbs: tbs.without_ct() };
        let mut pause = FIRST_PAUSE;
        let scts = loop {
            // The final signature needs its own share of the lease.
            let left = self.remaining().saturating_sub(self.ca.settings.times.signature_margin);
            let submission = CtSubmission {
                serial,
                precertificate: der.clone(),
                chain: chain.clone(),
                entry: entry.clone(),
                not_after: planned.not_after,
                policy: requirement.into(),
                time_limit: left.min(self.ca.settings.times.ct),
            };
            match self.ca.ct.submit(submission).await {
                Ok(scts) => break scts,
                Err(error) if left > pause => {
                    tracing::warn!(order = %self.order.id, %serial, %error, "submission to CT logs failed; once more");
                    self.ca.clock.sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => return Err(IssuanceEnd::Over { serial, detail: format!("CT: {error}") }),
            }
        };
        self.done(7, Some(serial), &format!("precertificate logged, {} SCTs verified", scts.len()));
        Ok(Logged { planned, precertificate: tbs, scts })
    }

    /// 8. The final certificate is built and linted, and corresponds to its precertificate.
    pub(super) async fn lint_certificate(&self, logged: Logged<'a>) -> Result<Finished<'a>, IssuanceEnd> {
        let Logged { planned, precertificate, scts } = logged;
        let serial = planned.serial;
        let over = |detail: String| IssuanceEnd::Over { serial, detail };
        let tbs =
            precertificate.with_scts(&scts).map_err(|error| over(format!("the SCTs can't be embedded: {error}")))?;
        let Planned { profile, issuer, csr, names, .. } = &planned;
        let tbs = planted!(FinalBuiltAnew {
            let Validity { not_before, not_after } = self.validity(profile, issuer)?;
            let validity = Validity { not_before, not_after: not_after.minus(std::time::Duration::from_secs(1)) };
            let leaf = LeafParts::new(&self.ca.settings, issuer, profile, csr, serial, names);
            leaf.tbs(validity, Ct::Scts(&scts))
        } else { tbs });
        // The precertificate passed: what is wrong came since, as an SCT that is of the future once the clock is set
        // right.
        let tbs = self.lint(tbs, lint::Kind::Final, profile, issuer, csr, names).await.map_err(|end| match end {
            IssuanceEnd::Dead(problem) => over(problem.detail),
            other @ (IssuanceEnd::Wait { .. }
            | IssuanceEnd::Over { .. }
            | IssuanceEnd::CutShort { .. }
            | IssuanceEnd::Superseded) => other,
        })?;
        let compared =
            planted!(FinalBuiltAnew { Ok(()) } else { pki::corresponds(precertificate.der(), tbs.tbs().der()) });
        compared.map_err(|mismatch| {
            over(format!("the certificate does not correspond to its precertificate: {mismatch}"))
        })?;
        self.done(8, Some(serial), "certificate built and linted, corresponds to its precertificate");
        Ok(Finished { planned, tbs })
    }

    /// 6 to 8, where the profile makes no precertificate: the bytes of step 5 are the certificate's own.
    pub(super) fn without_ct(&self, committed: Committed<'a>) -> Result<Finished<'a>, IssuanceEnd> {
        let Committed { planned, tbs } = committed;
        Ok(Finished { planned, tbs })
    }

    /// 9. The certificate is signed, logged and stored, and with that its order is `valid`.
    pub(super) async fn sign_certificate(&self, finished: Finished<'a>) -> Result<Issued, IssuanceEnd> {
        let Finished { planned, tbs } = finished;
        let (serial, number) = (planned.serial, planned.number);
        let signed = self.sign(serial, SigningRequest::Certificate { issuer: planned.issuer.id, tbs }).await?;
        planted!(LineAfterStore {
            self.insist(serial, || self.ca.ledger.store_final(serial, &signed.der, self.now())).await?;
        });
        let event = AuditEvent::Certificate { order: self.order.id, serial, der: signed.der.clone() };
        let line = self.ca.audit.append(event).await.map_err(|error| IssuanceEnd::over(serial, &error))?;
        let stored = self.insist(serial, || self.ca.ledger.store_final(serial, &signed.der, self.now())).await?;
        self.ca.audit.applied(line);
        self.done(9, Some(serial), "certificate signed, logged and stored");
        match stored.ok_or_else(|| unknown_serial(serial))? {
            StoredFinal::OrderValid => Ok(Issued { serial, number }),
            StoredFinal::Detached => {
                self.ca.log_overtaken(serial).await;
                Err(self.why_detached(serial).await)
            }
        }
    }
}

/// What a leaf says, with the URLs that it borrows.
struct LeafParts<'a> {
    issuer: &'a Issuer,
    profile: &'a Profile,
    csr: &'a Csr,
    serial: Serial,
    names: &'a BTreeSet<GeneralName>,
    common_name: Option<String>,
    ca_issuers_url: String,
    crl_url: Option<String>,
    ocsp_url: Option<String>,
}

impl<'a> LeafParts<'a> {
    fn new(
        settings: &'a crate::settings::Settings,
        issuer: &'a Issuer,
        profile: &'a Profile,
        csr: &'a Csr,
        serial: Serial,
        names: &'a BTreeSet<GeneralName>,
    ) -> Self {
        let common_name = profile.common_name.then(|| common_name(csr, names)).flatten();
        let status = &settings.status_url;
        let ca_issuers_url = format!("{status}{}", urls::issuer(&issuer.id));
        let crls = &settings.crls;
        let crl_url = profile.crl.then(|| crls.url_of(&issuer.id, crls.current().id, serial)).flatten();
        let ocsp_url = settings.ocsp_pointer(profile);
        Self { issuer, profile, csr, serial, names, common_name, ca_issuers_url, crl_url, ocsp_url }
    }

    fn tbs(&self, validity: Validity, ct: Ct<'_>) -> TbsCertificate {
        let purposes: &[Purpose] =
            if self.profile.client_auth { &[Purpose::ServerAuth, Purpose::ClientAuth] } else { &[Purpose::ServerAuth] };
        TbsCertificate::leaf(&Leaf {
            serial: self.serial,
            issuer: self.issuer.certificate.subject(),
            issuer_key_identifier: self.issuer.certificate.public_key().key_identifier(),
            signature_algorithm: self.issuer.signature_algorithm,
            validity,
            common_name: self.common_name.as_deref(),
            names: self.names,
            public_key: self.csr.public_key(),
            key_usage: KeyUsage::DigitalSignature,
            extended_key_usage: purposes,
            policies: &[pki::ObjectIdentifier::new_unwrap(DOMAIN_VALIDATED)],
            ca_issuers_url: Some(&self.ca_issuers_url),
            ocsp_url: self.ocsp_url.as_deref(),
            crl_url: self.crl_url.as_deref(),
            subject_key_identifier: true,
            must_staple: self.csr.wants_must_staple(),
            ct,
        })
    }
}

/// The DNS name that the CSR has as its common name, or else the first; at most 64 characters (RFC 5280 appendix A).
fn common_name(csr: &Csr, names: &BTreeSet<GeneralName>) -> Option<String> {
    let mut fitting = names.iter().filter_map(|name| match name {
        GeneralName::Dns(name) if name.len() <= 64 => Some(name),
        GeneralName::Dns(_) | GeneralName::Ip(_) => None,
    });
    // Clients know a certificate by it, and look for theirs.
    let wanted = csr.common_name().unwrap_or_default();
    fitting.clone().find(|name| name.eq_ignore_ascii_case(wanted)).or_else(|| fitting.next()).cloned()
}

/// What follows from checks that were made anew, where CAA is enforced.
fn judge_caa(checks: &[CaaRecord]) -> Result<(), IssuanceEnd> {
    let mut forbidden = Vec::new();
    let mut failed = None;
    for check in checks {
        let identifier = &check.identifier;
        match &check.decision {
            CaaDecision::Permitted | CaaDecision::NotApplicable => {}
            CaaDecision::Forbidden { problem } => forbidden.push(problem.subproblem(identifier.wire())),
            CaaDecision::Failed { problem } => {
                failed.get_or_insert_with(|| format!("CAA of {identifier}: {}", problem.detail));
            }
        }
    }
    match (forbidden.as_slice(), failed) {
        ([], None) => Ok(()),
        // What is forbidden stays so, whatever the look-ups that failed would say.
        ([], Some(detail)) => Err(IssuanceEnd::Wait { detail, after: None }),
        ([only], _) => {
            let problem = Problem::new(only.kind.clone(), only.detail.clone());
            Err(IssuanceEnd::Dead(Box::new(problem.with_subproblems(forbidden))))
        }
        (several, _) => {
            let detail = format!("CAA forbids {} of the names (stage issue); see the subproblems", several.len());
            forbidden.truncate(SUBPROBLEMS_MAX);
            Err(IssuanceEnd::Dead(Box::new(Problem::of_several(detail, forbidden))))
        }
    }
}

fn dead(kind: ProblemType, detail: String) -> IssuanceEnd {
    IssuanceEnd::Dead(Box::new(Problem::new(kind, detail)))
}

fn revoked(serial: Serial) -> IssuanceEnd {
    dead(ProblemType::Unauthorized, format!("serial {serial} was revoked while it was being issued (stage issue)"))
}

fn unknown_serial(serial: Serial) -> IssuanceEnd {
    IssuanceEnd::Over { serial, detail: "the ledger does not know the serial that it allocated".into() }
}

fn refused_begin(refused: &BeginRefused, order: &Order, now: Timestamp) -> IssuanceEnd {
    match refused {
        BeginRefused::OrderEnded | BeginRefused::SerialTaken => IssuanceEnd::Superseded,
        BeginRefused::CapReached(number) => dead(
            ProblemType::ServerInternal,
            format!(
                "{number} issuances of this order were begun, the most it may have (stage issue); make a new order"
            ),
        ),
        BeginRefused::FailuresCapReached(number) => dead(
            ProblemType::ServerInternal,
            format!("{number} issuances of this order failed, the most it may have (stage issue); make a new order"),
        ),
        BeginRefused::TooSoon(until) => {
            IssuanceEnd::Wait { detail: refused.to_string(), after: Some(until.since(now).max(FIRST_PAUSE)) }
        }
        BeginRefused::KeyBlocked => {
            dead(ProblemType::BadPublicKey, "the certificate's key is blocked (stage issue)".into())
        }
        BeginRefused::Stopped(stops) => Stopped::of(stops, order)
            .map_or(IssuanceEnd::Wait { detail: refused.to_string(), after: None }, Stopped::before_issuance),
        BeginRefused::AccountNotValid => {
            dead(ProblemType::Unauthorized, "the account is no longer valid (stage issue)".into())
        }
        BeginRefused::Replaced(_) => IssuanceEnd::Wait { detail: refused.to_string(), after: Some(FIRST_PAUSE) },
        BeginRefused::AuthorizationNotGood(id) => {
            dead(ProblemType::Unauthorized, format!("authorization {id} is no longer valid (stage issue)"))
        }
    }
}
