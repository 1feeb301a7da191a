//! What an active order has, against its stage; its authorizations and challenges, against each other and the ledger.

use ca::authorization::{Authorization, AuthorizationEnd, ChallengeState, EndedAuthorization};
use ca::order::{Order, Stage};

use store::sqlite::Mend;

use super::Invariant;
use super::report::Fault;

/// Whether it has what its stage needs, and nothing of a later one.
pub(super) fn stage_fault(order: &Order) -> Option<Fault> {
    let (stage, made) = (order.stage(), order.authorizations.len());
    let wrong = |detail: String| Some(Fault::new(Invariant::StageFits, detail));
    match stage {
        Stage::MakeChallenge if made > 0 => {
            let detail = format!("it is in stage {stage}, and has {made} authorizations with their challenges already");
            return wrong(detail).map(|fault| fault.mended(Mend::Order(order.id)));
        }
        Stage::MakeChallenge | Stage::Done => return None,
        Stage::TestChallenge | Stage::Issue => {}
    }
    if made == 0 {
        let fault = wrong(format!("it is in stage {stage}, and has no authorizations"));
        // Before finalize they can be made anew.
        return fault.map(|one| if stage == Stage::Issue { one } else { one.mended(Mend::Order(order.id)) });
    }
    let named = order.authorizations.iter().map(|one| &one.identifier);
    if !named.eq(order.identifiers.iter()) {
        return wrong(format!("it is in stage {stage}, and its authorizations are not those of its identifiers"));
    }
    let own = |at: usize, one: &Authorization| one.id.order != order.id || usize::from(one.id.number) == at;
    if !order.authorizations.iter().enumerate().all(|(at, one)| own(at, one)) {
        return wrong("its own authorizations are not numbered in the order of its identifiers".to_owned());
    }
    let open = order.authorizations.iter().find(|one| stage == Stage::Issue && one.end.is_none());
    open.and_then(|one| wrong(format!("it is in stage {stage}, and nobody has authorized {} yet", one.identifier)))
}

/// Whether challenges fit how their authorization stands.
pub(super) fn challenge_faults(order: &Order, tries_max: u8) -> Vec<Fault> {
    order.authorizations.iter().filter_map(|one| challenge_fault(one, tries_max)).collect()
}

fn challenge_fault(authorization: &Authorization, tries_max: u8) -> Option<Fault> {
    let identifier = &authorization.identifier;
    let wrong = |detail: String| Some(Fault::new(Invariant::ChallengesFit, detail));
    if authorization.challenges.is_empty() {
        return wrong(format!("the authorization for {identifier} has no challenges"));
    }
    let is_valid = |state: &ChallengeState| matches!(state, ChallengeState::Valid { .. });
    match authorization.end {
        Some(AuthorizationEnd::Valid { .. }) => {
            let shown = authorization.challenges.iter().any(|one| is_valid(&one.state));
            (!shown)
                .then(|| format!("the authorization for {identifier} is valid, and none of its challenges is"))
                .and_then(wrong)
        }
        Some(AuthorizationEnd::Invalid | AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked) => None,
        None => authorization.challenges.iter().find_map(|one| match &one.state {
            ChallengeState::Valid { .. } | ChallengeState::Invalid { .. } => {
                wrong(format!("{} for {identifier} has ended, and its authorization has not", one.method))
            }
            // A limit that was higher once is no fault of the records.
            ChallengeState::Answered { tries, .. } if *tries > tries_max => Some(Fault::warning(
                Invariant::ChallengesFit,
                format!("{} for {identifier} was tested {tries} times, and is to be tested again", one.method),
            )),
            ChallengeState::Answered { .. } | ChallengeState::Pending => None,
        }),
    }
}

/// Whether what has ended here has ended so in the ledger, which is written first.
pub(super) fn authorization_faults(order: &Order, ended: &[EndedAuthorization]) -> Vec<Fault> {
    let ends = order.authorizations.iter().filter_map(|one| Some((one, one.end?)));
    ends.filter_map(|(one, end)| {
        let known = ended.iter().find(|known| known.id == one.id);
        let wrong = match known {
            None => "the ledger does not know that it has ended".to_owned(),
            Some(known) if known.account != order.account => {
                format!("the ledger has it for account {}, the order is of account {}", known.account, order.account)
            }
            Some(known) if known.identifier != one.identifier => {
                format!("the ledger has it for {}", known.identifier)
            }
            Some(known) if !may_become(end, known.end) => "it has ended otherwise in the ledger".to_owned(),
            Some(_) => return None,
        };
        let detail = format!("authorization {} for {}: {wrong}", one.id, one.identifier);
        Some(Fault::new(Invariant::AuthorizationsEnded, detail))
    })
    .collect()
}

/// Whether an end that was copied before can be this one now.
const fn may_become(copied: AuthorizationEnd, now: AuthorizationEnd) -> bool {
    match (copied, now) {
        (AuthorizationEnd::Valid { .. }, AuthorizationEnd::Invalid) => false,
        (AuthorizationEnd::Valid { .. }, _)
        | (AuthorizationEnd::Invalid, AuthorizationEnd::Invalid)
        | (AuthorizationEnd::Deactivated, AuthorizationEnd::Deactivated)
        | (AuthorizationEnd::Revoked, AuthorizationEnd::Revoked) => true,
        (AuthorizationEnd::Invalid | AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked, _) => false,
    }
}
