//! One order as its client and the CA would have made it.

use std::collections::BTreeSet;
use std::time::Duration;

use acme::{
    DnsName, Finalize as FinalizePayload, Header, Identifier, NewAccount, Problem, ProblemType, SigningKey, Token,
    base64url_encode, sign,
};
use anyhow::Context;
use ca::authorization::{
    Authorization, AuthorizationEnd, CaaDecision, CaaRecord, Challenge, ChallengeState, EndedAuthorization, Method,
    ValidationRecord,
};
use ca::order::{Failure, Finalize, Order, Progress, Stage};
use ca::ports::NewAccountRecord;
use ca::validity::AskedValidity;
use ca::{AccountId, AuthorizationId, OrderId, urls};
use data_encoding::HEXLOWER;
use pki::Validity;
use pki::{Csr, Ct, GeneralName, KeyUsage, Leaf, PublicKey, Purpose as KeyPurpose, Serial, TbsCertificate, Timestamp};

use super::LIFETIME;
use super::folder::Folder;
use super::seed::{Kind, Purpose, Seed};
use crate::csr::certificate_request;

/// The start of the URLs in requests; it is compared with nothing.
const BASE: &str = "https://localhost:14000";
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);
/// From the validation of the names to the issuance.
const FINALIZED_BEHIND: Duration = Duration::from_secs(2);
/// All of an order is done so soon after its names were validated.
pub(super) const DONE_WITHIN: Duration = Duration::from_secs(10);

/// How accounts and orders are made.
#[derive(Debug)]
pub(super) struct Drafter {
    pub(super) seed: Seed,
    pub(super) accounts: u64,
    pub(super) names: u16,
    pub(super) domain: String,
    pub(super) profile: String,
    pub(super) ct: bool,
    /// So many certificates, the first ones, have the key of the first.
    pub(super) one_key: u64,
    /// When the first order was validated, and how long it is from there to the last one.
    pub(super) since: Timestamp,
    pub(super) span: Duration,
}

/// What a client asks for, and what came of the validation of its names.
#[derive(Debug)]
pub(super) struct Asked {
    number: u64,
    account: u64,
    /// The order's name.
    pub(super) order: OrderId,
    account_id: AccountId,
    identifiers: Vec<Identifier>,
    authorized: Timestamp,
}

/// What it finalizes the order with.
#[derive(Debug)]
pub(super) struct Requested {
    /// The order as it is when its issuance begins.
    pub(super) order: Order,
    /// What it is for.
    pub(super) names: BTreeSet<GeneralName>,
    /// The key of the certificate.
    pub(super) key: PublicKey,
    /// When the issuance begins.
    pub(super) at: Timestamp,
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Drafter {
    /// The name of an account.
    pub(super) fn account_id(&self, number: u64) -> AccountId {
        AccountId::from_bytes(self.seed.id(Purpose::AccountId, number))
    }

    /// An account with the request that made it.
    pub(super) fn account(&self, number: u64) -> anyhow::Result<NewAccountRecord> {
        let (id, key) = (self.account_id(number), self.seed.account_key(number)?);
        let contact = vec![format!("mailto:admin-{number}@{}", self.domain)];
        let payload =
            NewAccount { contact: Some(contact.clone()), terms_of_service_agreed: true, ..NewAccount::default() };
        let url = format!("{BASE}{}", urls::NEW_ACCOUNT);
        let jws = self.signed(&key, number, &url, None, &serde_json::to_vec(&payload)?);
        Ok(NewAccountRecord {
            id,
            key: key.jwk().clone(),
            contact,
            terms_of_service_agreed: true,
            terms_version: None,
            created: self.since.minus(DAY),
            jws,
        })
    }

    fn signed(&self, key: &SigningKey, number: u64, url: &str, kid: Option<&str>, payload: &[u8]) -> Vec<u8> {
        let nonce = base64url_encode(&self.seed.octets(Purpose::Nonce, number));
        sign(key, Header { nonce: Some(&nonce), url, kid }, payload)
    }

    /// The serial of a certificate.
    pub(super) fn serial(&self, number: u64) -> Serial {
        Serial::from_random(self.seed.id(Purpose::Serial, number))
    }

    /// An order whose names were validated at its turn of `total`.
    pub(super) fn asked(&self, kind: Kind, number: u64, total: u64) -> anyhow::Result<Asked> {
        let account = self.seed.one_of(Purpose::AccountOf, number, self.accounts);
        let label = HEXLOWER.encode(&self.seed.octets(Purpose::Name(kind), number)[..8]);
        let identifiers: Result<Vec<Identifier>, _> = (0..self.names)
            .map(|place| {
                let name = if place == 0 { label.clone() } else { format!("{place}.{label}") };
                DnsName::parse(&format!("{name}.{}", self.domain)).map(Identifier::Dns)
            })
            .collect();
        // As orders have them.
        let mut identifiers = identifiers.context("a name can't be made under the domain")?;
        identifiers.sort();
        let turn = u128::from(number) * self.span.as_millis() / u128::from(total.max(1));
        let authorized = self.since.plus(millis(u64::try_from(turn).unwrap_or(u64::MAX)));
        Ok(Asked {
            number,
            account,
            order: OrderId::from_bytes(self.seed.id(Purpose::Order(kind), number)),
            account_id: self.account_id(account),
            identifiers,
            authorized,
        })
    }

    /// The authorization of one of its names, ended.
    pub(super) fn authorization(&self, asked: &Asked, place: usize) -> EndedAuthorization {
        let ended = asked.authorized;
        let identifier = asked.identifiers[place].clone();
        let (began, name) = (ended.minus(millis(120)), identifier.to_string());
        EndedAuthorization {
            id: asked.id(place),
            account: asked.account_id,
            end: AuthorizationEnd::Valid { expires: ended.plus(30 * DAY) },
            ended,
            challenges: self.challenges(asked, place),
            validation: Some(ValidationRecord {
                method: Method::Http01,
                began,
                ended,
                evidence: vec![
                    format!("{name}: 1 address: 127.0.0.1"),
                    format!("GET http://{name}:5002/.well-known/acme-challenge/{}", self.token(asked, place).as_str()),
                    "127.0.0.1:5002 answered 200, 87 octets: the key authorization".to_owned(),
                ],
                problem: None,
            }),
            caa: Some(CaaRecord {
                identifier: identifier.clone(),
                checked: ended.minus(millis(40)),
                ttl_seconds: 0,
                decision: CaaDecision::Permitted,
                evidence: vec![format!("{name} CAA: no records"), format!("{} CAA: no records", self.domain)],
            }),
            identifier,
        }
    }

    fn token(&self, asked: &Asked, place: usize) -> Token {
        Token::from_random(self.seed.id(Purpose::Token, asked.number.wrapping_mul(128).wrapping_add(place as u64)))
    }

    fn challenges(&self, asked: &Asked, place: usize) -> Vec<Challenge> {
        let token = self.token(asked, place);
        let challenge = |method, state| Challenge { method, token: token.clone(), state };
        vec![
            challenge(Method::Http01, ChallengeState::Valid { at: asked.authorized }),
            challenge(Method::Dns01, ChallengeState::Pending),
            challenge(Method::TlsAlpn01, ChallengeState::Pending),
        ]
    }

    /// Its finalize request, and the order with it.
    pub(super) fn requested(&self, asked: &Asked) -> anyhow::Result<Requested> {
        let number = if asked.number < self.one_key { 0 } else { asked.number };
        let key = self.seed.certificate_key(number)?;
        let account_key = self.seed.account_key(asked.account)?;
        let names: BTreeSet<GeneralName> = asked.identifiers.iter().map(ca::signing::general_name).collect();
        let texts: Vec<String> = asked.identifiers.iter().map(ToString::to_string).collect();
        let csr = certificate_request(&key, &texts).context("a CSR could not be signed")?;
        let payload = serde_json::to_vec(&FinalizePayload { csr: base64url_encode(&csr) })?;
        let kid = format!("{BASE}{}", urls::account(asked.account_id));
        let url = format!("{BASE}{}", urls::finalize(asked.order));
        let jws = self.signed(&account_key, asked.number, &url, Some(&kid), &payload);
        let received = asked.authorized.plus(FINALIZED_BEHIND);
        let key = Csr::parse_without_proof(&csr).context("a CSR is not well-formed")?.public_key().clone();
        let progress =
            Progress::Issue { finalize: Finalize { csr, jws, received }, deadline: received.plus(DAY), due: None };
        let order = Order {
            id: asked.order,
            account: asked.account_id,
            profile: self.profile.clone(),
            identifiers: asked.identifiers.clone(),
            validity: AskedValidity::default(),
            replaces: None,
            method: None,
            created: asked.authorized.minus(Duration::from_secs(1)),
            expires: asked.authorized.plus(7 * DAY),
            authorizations: (0..asked.identifiers.len()).map(|place| self.of_order(asked, place)).collect(),
            progress,
        };
        Ok(Requested { order, names, key, at: received.plus(millis(5)) })
    }

    fn of_order(&self, asked: &Asked, place: usize) -> Authorization {
        Authorization {
            id: asked.id(place),
            identifier: asked.identifiers[place].clone(),
            challenges: self.challenges(asked, place),
            end: Some(AuthorizationEnd::Valid { expires: asked.authorized.plus(30 * DAY) }),
        }
    }

    /// What is to be signed: the precertificate, or without CT the certificate.
    pub(super) fn tbs(&self, folder: &Folder, serial: Serial, requested: &Requested) -> TbsCertificate {
        let (issuer, published) = (&folder.issuer, &folder.published);
        let not_before = requested.at.whole_second().minus(HOUR);
        let status = &published.status_url;
        let shard = published.current().shard_of(serial).number;
        TbsCertificate::leaf(&Leaf {
            serial,
            issuer: issuer.certificate.subject(),
            issuer_key_identifier: issuer.certificate.public_key().key_identifier(),
            signature_algorithm: issuer.algorithm,
            validity: Validity { not_before, not_after: not_before.plus(LIFETIME) },
            common_name: None,
            names: &requested.names,
            public_key: &requested.key,
            key_usage: KeyUsage::DigitalSignature,
            extended_key_usage: &[KeyPurpose::ServerAuth],
            policies: &[pki::oid::DOMAIN_VALIDATED],
            ca_issuers_url: Some(&format!("{status}{}", urls::issuer(&issuer.id))),
            ocsp_url: None,
            crl_url: Some(&format!("{status}{}", urls::crl(&issuer.id, shard))),
            subject_key_identifier: true,
            must_staple: false,
            ct: if self.ct { Ct::Poison } else { Ct::None },
        })
    }
}

impl Asked {
    fn id(&self, place: usize) -> AuthorizationId {
        AuthorizationId { order: self.order, number: u16::try_from(place).unwrap_or(u16::MAX) }
    }

    /// How many names it is for.
    pub(super) fn names(&self) -> usize {
        self.identifiers.len()
    }

    /// It was validated at that time, as the ledger has it.
    pub(super) const fn validated(&mut self, at: Timestamp) {
        self.authorized = at;
    }
}

/// Why an order ended without a certificate: by what its client can do something about.
pub(super) fn failure() -> Failure {
    let detail = "CAA forbids the certificate (stage issue)";
    Failure { stage: Stage::Issue, problem: Problem::new(ProblemType::Caa, detail) }
}
