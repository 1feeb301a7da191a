//! `cairn order show`.

use ca::authorization::{Authorization, AuthorizationEnd, Challenge, ChallengeState};
use ca::order::{Failure as Death, Order, Outcome, Progress, Stage};
use ca::ports::{ActiveOrder, LedgerOrder, SerialFilter, SerialRecord, Standing};
use pki::Timestamp;
use serde_json::{Value, json};

use super::Failure;
use super::order::{Show, delivery, standing, status_name};
use super::print::{Facts, Paper, duration, json_time};
use crate::fsck::Records;

/// An order has a few issuances at most.
const SERIALS: u32 = 100;

/// All that is known of one order.
struct Known {
    active: Option<ActiveOrder>,
    ledger: Option<LedgerOrder>,
    serials: Vec<SerialRecord>,
    now: Timestamp,
}

pub(super) async fn show(asked: &Show, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = asked.folder.open()?;
    let known = read(&records, asked).await.map_err(Failure::failed)?;
    let Some(order) = known.order() else {
        return Err(Failure::Failed(format!(
            "order {} is neither on the workbench nor in the ledger: it never was, or it died before Issue and its \
             retention has ended",
            asked.id
        )));
    };
    if asked.folder.json {
        paper.json(&known.json(order))
    } else {
        known.facts(order).write(paper)
    }
    Ok(())
}

async fn read(records: &Records, asked: &Show) -> Result<Known, ca::ports::StoreError> {
    // The ledger after the workbench: what has ended there wins.
    let mut active = records.workbench.read(asked.id).await?;
    if let Some(open) = active.as_mut().filter(|active| active.order.stage() == Stage::TestChallenge) {
        open.order.copy_back(&records.ledger.authorizations(&open.order.authorization_ids()).await?);
    }
    let ledger = records.ledger.order(asked.id).await?;
    let filter = SerialFilter { order: Some(asked.id), ..SerialFilter::default() };
    let serials = records.ledger.serials(filter, SERIALS).await?;
    Ok(Known { active, ledger, serials, now: records.now() })
}

impl Known {
    /// As the ledger says it ended, or as it stands on the workbench.
    fn order(&self) -> Option<Order> {
        match (&self.active, &self.ledger) {
            (active, Some(LedgerOrder { order, end: Some((end, ended)), delivered, acknowledged, .. })) => {
                let mut order = active.as_ref().map_or_else(|| order.clone(), |active| active.order.clone());
                let (delivered, acknowledged) = (*delivered, *acknowledged);
                order.progress = Progress::Done { outcome: end.clone().into(), ended: *ended, delivered, acknowledged };
                Some(order)
            }
            (Some(active), _) => Some(active.order.clone()),
            (None, Some(known)) => Some(known.order.clone()),
            (None, None) => None,
        }
    }

    fn place(&self) -> String {
        match (&self.active, &self.ledger) {
            (Some(active), _) => standing(active.standing),
            (None, Some(LedgerOrder { end: Some(_), .. })) => "ledger".to_owned(),
            (None, _) => "nowhere".to_owned(),
        }
    }

    fn facts(&self, order: Order) -> Facts {
        let mut facts = Facts::default();
        facts.add("order", order.id.to_string());
        facts.add("status", status_name(order.status(self.now)));
        facts.add("stage", order.stage().name());
        facts.add("place", self.place());
        if let Some(active) = &self.active {
            match active.standing {
                Standing::Lease { expires, holder } => {
                    facts.add("lease", format!("until {expires}, instance {holder}"))
                }
                Standing::Park { until } => facts.add("parked until", until.to_rfc3339()),
                Standing::Queue | Standing::Client | Standing::PendingDone | Standing::Nowhere => {}
            }
            let since = duration(self.now.since(active.since));
            facts.add("there since", format!("{}, {since}", active.since));
            facts.add("claims", active.claims.to_string());
        }
        facts.add("account", order.account.to_string());
        facts.add("profile", order.profile.clone());
        facts.add("created", format!("{}, {} ago", order.created, duration(self.now.since(order.created))));
        facts.add("expires", order.expires.to_rfc3339());
        let asked = [("not before", order.validity.not_before), ("not after", order.validity.not_after)];
        for (label, time) in asked.into_iter().filter_map(|(label, time)| Some((label, time?))) {
            facts.add(label, time.to_rfc3339());
        }
        if let Some(replaces) = &order.replaces {
            facts.add("replaces", replaces.to_string());
        }
        self.add_progress(&mut facts, &order);
        for authorization in &order.authorizations {
            facts.add("authorization", authorization_line(authorization));
            for challenge in &authorization.challenges {
                facts.add("", format!("{} {}", challenge.method, challenge_line(challenge)));
            }
        }
        if order.authorizations.is_empty() {
            let names: Vec<String> = order.identifiers.iter().map(ToString::to_string).collect();
            facts.add("names", names.join(" "));
        }
        for record in &self.serials {
            let attached = if record.attached { ", the order's certificate" } else { "" };
            let status = record.status.name();
            facts.add(
                "issuance",
                format!("{} {}: {status} since {}{attached}", record.number.0, record.serial, record.begun),
            );
        }
        facts
    }

    fn add_progress(&self, facts: &mut Facts, order: &Order) {
        // An ended order keeps its finalize request in the ledger.
        let asked = order.finalize_request().or_else(|| self.ledger.as_ref()?.order.finalize_request());
        if let Some(finalize) = asked {
            facts.add("finalized", finalize.received.to_rfc3339());
        }
        match &order.progress {
            Progress::Issue { deadline, due, .. } => {
                facts.add("deadline", deadline.to_rfc3339());
                if let Some(due) = due {
                    facts.add("next try", due.to_rfc3339());
                }
            }
            Progress::Done { outcome, ended, delivered, acknowledged } => {
                facts.add("ended", ended.to_rfc3339());
                match outcome {
                    Outcome::Valid(serial) => facts.add("certificate", serial.to_string()),
                    Outcome::Invalid(death) => {
                        facts.add("died in", death.stage.name());
                        facts.add("problem", format!("{}: {}", death.problem.kind, death.problem.detail));
                    }
                }
                if let Some(delivery) = delivery(matches!(outcome, Outcome::Valid(_)), *delivered, *acknowledged) {
                    let at = acknowledged.or(*delivered).map(|at| format!(" {at}")).unwrap_or_default();
                    facts.add("delivery", format!("{delivery}{at}"));
                }
            }
            Progress::MakeChallenge | Progress::TestChallenge => {}
        }
    }

    fn json(&self, order: Order) -> Value {
        let asked = order.finalize_request().or_else(|| self.ledger.as_ref()?.order.finalize_request());
        let mut document = json!({
            "id": order.id,
            "status": status_name(order.status(self.now)),
            "stage": order.stage().name(),
            "place": self.place(),
            "since": json_time(self.active.as_ref().map(|active| active.since)),
            "claims": self.active.as_ref().map(|active| active.claims),
            "account": order.account,
            "profile": order.profile,
            "created": json_time(order.created),
            "expires": json_time(order.expires),
            "not_before": json_time(order.validity.not_before),
            "not_after": json_time(order.validity.not_after),
            "replaces": order.replaces,
            "finalized": json_time(asked.map(|finalize| finalize.received)),
            "names": order.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "authorizations": order.authorizations.iter().map(authorization_json).collect::<Vec<_>>(),
            "issuances": self.serials.iter().map(issuance_json).collect::<Vec<_>>(),
        });
        for (key, value) in self.progress_json(&order) {
            document[key] = value;
        }
        document
    }

    fn progress_json(&self, order: &Order) -> Vec<(&'static str, Value)> {
        let mut members = match self.active.as_ref().map(|active| active.standing) {
            Some(Standing::Lease { expires, holder }) => {
                vec![("lease_expires", json_time(expires)), ("lease_holder", json!(holder))]
            }
            Some(Standing::Park { until }) => vec![("parked_until", json_time(until))],
            Some(Standing::Queue | Standing::Client | Standing::PendingDone | Standing::Nowhere) | None => Vec::new(),
        };
        match &order.progress {
            Progress::Issue { deadline, due, .. } => {
                members.extend([("deadline", json_time(*deadline)), ("due", json_time(*due))]);
            }
            Progress::Done { outcome, ended, delivered, acknowledged } => {
                let valid = matches!(outcome, Outcome::Valid(_));
                members.extend([
                    ("ended", json_time(*ended)),
                    ("delivery", json!(delivery(valid, *delivered, *acknowledged))),
                    ("delivered", json_time(*delivered)),
                    ("acknowledged", json_time(*acknowledged)),
                ]);
                members.push(match outcome {
                    Outcome::Valid(serial) => ("certificate", json!(serial)),
                    Outcome::Invalid(Death { stage, problem }) => {
                        ("failure", json!({ "stage": stage.name(), "problem": problem }))
                    }
                });
            }
            Progress::MakeChallenge | Progress::TestChallenge => {}
        }
        members
    }
}

fn authorization_line(authorization: &Authorization) -> String {
    let end = match authorization.end {
        None => "pending".to_owned(),
        Some(AuthorizationEnd::Valid { expires }) => format!("valid until {expires}"),
        Some(AuthorizationEnd::Invalid) => "invalid".to_owned(),
        Some(AuthorizationEnd::Deactivated) => "deactivated".to_owned(),
        Some(AuthorizationEnd::Revoked) => "revoked".to_owned(),
    };
    format!("{} {end} ({})", authorization.identifier, authorization.id)
}

fn challenge_line(challenge: &Challenge) -> String {
    match &challenge.state {
        ChallengeState::Pending => "pending".to_owned(),
        ChallengeState::Answered { at, tries, due, problem } => {
            let problem = problem.as_ref().map(|one| format!("; last: {}", one.detail)).unwrap_or_default();
            format!("answered {at}, {tries} tries, next due {due}{problem}")
        }
        ChallengeState::Valid { at } => format!("valid {at}"),
        ChallengeState::Invalid { at, problem } => format!("invalid {at}: {}", problem.detail),
    }
}

fn authorization_json(authorization: &Authorization) -> Value {
    let (status, expires) = match authorization.end {
        None => ("pending", None),
        Some(AuthorizationEnd::Valid { expires }) => ("valid", Some(expires)),
        Some(AuthorizationEnd::Invalid) => ("invalid", None),
        Some(AuthorizationEnd::Deactivated) => ("deactivated", None),
        Some(AuthorizationEnd::Revoked) => ("revoked", None),
    };
    json!({
        "id": authorization.id,
        "name": authorization.identifier.to_string(),
        "status": status,
        "expires": json_time(expires),
        "challenges": authorization.challenges.iter().map(challenge_json).collect::<Vec<_>>(),
    })
}

fn challenge_json(challenge: &Challenge) -> Value {
    let method = challenge.method.to_string();
    match &challenge.state {
        ChallengeState::Pending => json!({ "method": method, "state": "pending" }),
        ChallengeState::Answered { at, tries, due, problem } => json!({
            "method": method, "state": "answered", "at": json_time(*at), "tries": tries, "due": json_time(*due),
            "problem": problem,
        }),
        ChallengeState::Valid { at } => json!({ "method": method, "state": "valid", "at": json_time(*at) }),
        ChallengeState::Invalid { at, problem } => {
            json!({ "method": method, "state": "invalid", "at": json_time(*at), "problem": problem })
        }
    }
}

fn issuance_json(record: &SerialRecord) -> Value {
    json!({
        "number": record.number.0,
        "serial": record.serial,
        "status": record.status.name(),
        "begun": json_time(record.begun),
        "good": json_time(record.good),
        "stored": json_time(record.stored),
        "attached": record.attached,
        "current": record.current,
        "abandoned": record.is_abandoned(),
    })
}
