//! Objects on the wire (RFC 8555 §7.1), made from what the domain says.

use acme::{
    AccountObject, AuthorizationObject, AuthorizationStatus, ChallengeObject, ChallengeStatus, Jws, KeyReference,
    NewAccount, OrderObject,
};
use ca::AuthorizationView;
use ca::account::Account;
use ca::authorization::{AuthorizationEnd, Challenge, ChallengeState};
use ca::order::{Order, Outcome};
use ca::{AuthorizationId, urls};
use pki::Timestamp;

use super::Base;

/// An account.
pub(super) fn account(base: &Base, account: &Account) -> AccountObject {
    AccountObject {
        status: account.status,
        contact: account.contact.clone(),
        terms_of_service_agreed: account.terms_of_service_agreed.then_some(true),
        key: Some(account.key.clone()),
        external_account_binding: binding(account),
        orders: Some(base.url(&urls::orders(account.id))),
    }
}

/// The binding of an account, as its newAccount had it: the first of the account's proofs.
fn binding(account: &Account) -> Option<serde_json::Value> {
    account.external_key.as_ref()?;
    let jws = Jws::parse(&account.proofs.first()?.jws).ok()?;
    let KeyReference::Jwk(key) = jws.protected().key.clone() else { return None };
    let asked: NewAccount = jws.verify(key.verifying_key()).ok()?.json().ok()?;
    serde_json::from_str(asked.external_account_binding?.get()).ok()
}

/// An order.
pub(super) fn order(base: &Base, order: &Order, now: Timestamp) -> OrderObject {
    let (certificate, error) = match order.outcome() {
        Some(Outcome::Valid(serial)) => (Some(base.url(&urls::certificate(*serial))), None),
        Some(Outcome::Invalid(failure)) => (None, Some(failure.problem.clone())),
        None => (None, order.cause_of_death(now).map(|failure| failure.problem)),
    };
    let acknowledge = certificate.is_some().then(|| base.url(&urls::acknowledge(order.id)));
    OrderObject {
        status: order.status(now),
        expires: Some(order.expires.to_rfc3339()),
        identifiers: order.identifiers.iter().map(acme::Identifier::wire).collect(),
        profile: Some(order.profile.clone()),
        replaces: order.replaces.as_ref().map(ToString::to_string),
        not_before: order.validity.not_before.map(Timestamp::to_rfc3339),
        not_after: order.validity.not_after.map(Timestamp::to_rfc3339),
        error,
        authorizations: order.authorizations.iter().map(|one| base.url(&urls::authorization(one.id))).collect(),
        finalize: base.url(&urls::finalize(order.id)),
        certificate,
        acknowledge,
    }
}

/// An authorization.
pub(super) fn authorization(base: &Base, view: &AuthorizationView, now: Timestamp) -> AuthorizationObject {
    let authorization = &view.authorization;
    let status = match authorization.end {
        Some(AuthorizationEnd::Valid { expires }) if now <= expires => AuthorizationStatus::Valid,
        Some(AuthorizationEnd::Valid { .. }) => AuthorizationStatus::Expired,
        Some(AuthorizationEnd::Invalid) => AuthorizationStatus::Invalid,
        Some(AuthorizationEnd::Deactivated) => AuthorizationStatus::Deactivated,
        Some(AuthorizationEnd::Revoked) => AuthorizationStatus::Revoked,
        None if view.open => AuthorizationStatus::Pending,
        None => AuthorizationStatus::Invalid,
    };
    // RFC 8555 §7.1.4: of an ended authorization, what decided it.
    let shown = |challenge: &&Challenge| match status {
        AuthorizationStatus::Valid => matches!(challenge.state, ChallengeState::Valid { .. }),
        AuthorizationStatus::Invalid => !matches!(challenge.state, ChallengeState::Pending),
        AuthorizationStatus::Pending
        | AuthorizationStatus::Deactivated
        | AuthorizationStatus::Expired
        | AuthorizationStatus::Revoked => true,
    };
    AuthorizationObject {
        identifier: authorization.identifier.authorization_wire(),
        status,
        expires: Some(view.expires.to_rfc3339()),
        challenges: authorization
            .challenges
            .iter()
            .filter(shown)
            .filter_map(|one| challenge(base, authorization.id, one))
            .collect(),
        wildcard: authorization.identifier.is_wildcard(),
    }
}

/// A challenge, if it is one that clients know.
pub(super) fn challenge(base: &Base, id: AuthorizationId, challenge: &Challenge) -> Option<ChallengeObject> {
    let kind = challenge.method.challenge()?;
    let (status, validated, error) = match &challenge.state {
        ChallengeState::Pending => (ChallengeStatus::Pending, None, None),
        ChallengeState::Answered { problem, .. } => (ChallengeStatus::Processing, None, problem.clone()),
        ChallengeState::Valid { at } => (ChallengeStatus::Valid, Some(at.to_rfc3339()), None),
        ChallengeState::Invalid { at, problem } => {
            (ChallengeStatus::Invalid, Some(at.to_rfc3339()), Some(problem.clone()))
        }
    };
    Some(ChallengeObject {
        url: base.url(&urls::challenge(id, &kind)),
        kind,
        status,
        validated,
        token: challenge.token.clone(),
        error,
    })
}
