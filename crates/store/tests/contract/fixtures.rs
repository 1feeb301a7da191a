//! Orders, accounts and issuances for the cases.

use std::collections::BTreeSet;
use std::time::Duration;

use acme::{DnsName, Identifier, Jwk, Problem, ProblemType, Token};
use ca::account::Account;
use ca::authorization::{Authorization, AuthorizationEnd, Challenge, ChallengeState, EndedAuthorization, Method};
use ca::order::{Failure, Finalize, Order, Progress, Stage, Tested, Verdict};
use ca::ports::{
    Advance, Begin, BeginRefused, Claimed, Clock, CrlGenerationId, CrlRecord, IssuanceCaps, IssuanceNumber, Lease,
    LeaseTerms, NewAccountRecord, SerialRecord,
};
use ca::validity::AskedValidity;
use ca::{AccountId, AuthorizationId, InstanceId, OrderId};
use pki::{GeneralName, Serial, Sha256, Timestamp};

use super::Stores;

/// The issuer of all certificates, unless a case says otherwise.
pub(crate) fn issuer() -> Sha256 {
    Sha256::of(b"issuer")
}

/// The holder of all leases, unless a case says otherwise.
pub(crate) const HOLDER: InstanceId = InstanceId::from_bytes([0xa1; 16]);

/// Leases of 60 seconds.
pub(crate) const TERMS: LeaseTerms = LeaseTerms { holder: HOLDER, length: Duration::from_secs(60) };

/// Public keys on P-256: the examples of RFC 7515 A.3 and RFC 7517 A.1.
const KEYS: [(&str, &str); 2] = [
    ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"),
];

/// One of two account keys.
pub(crate) fn key(number: usize) -> Jwk {
    let (x, y) = KEYS[number];
    Jwk::parse(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)).unwrap()
}

/// A DNS identifier.
pub(crate) fn dns(name: &str) -> Identifier {
    Identifier::Dns(DnsName::parse(name).unwrap())
}

/// A wildcard identifier, named without its star.
pub(crate) fn wildcard(name: &str) -> Identifier {
    Identifier::Wildcard(DnsName::parse(name).unwrap())
}

/// DNS names of a certificate.
pub(crate) fn names(names: &[&str]) -> BTreeSet<GeneralName> {
    names.iter().map(|name| GeneralName::Dns((*name).to_owned())).collect()
}

/// Something went wrong.
pub(crate) fn problem(detail: &str) -> Problem {
    Problem::new(ProblemType::ServerInternal, detail)
}

/// An order that dies in `Issue` of this.
pub(crate) fn failure(detail: &str) -> Failure {
    Failure { stage: Stage::Issue, problem: problem(detail) }
}

/// An authorization that has ended.
pub(crate) fn ended(order: &Order, number: usize, end: AuthorizationEnd, at: Timestamp) -> EndedAuthorization {
    let authorization = &order.authorizations[number];
    EndedAuthorization {
        id: authorization.id,
        account: order.account,
        identifier: authorization.identifier.clone(),
        end,
        ended: at,
        challenges: authorization.challenges.clone(),
        validation: None,
        caa: None,
    }
}

/// So many issuances, one as soon as the other.
pub(crate) const fn at_most(begun: u32) -> IssuanceCaps {
    IssuanceCaps { failed: begun, begun, unpaced: begun, pace: Duration::from_secs(10) }
}

/// A certificate to be issued.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// For this order.
    pub(crate) order: Order,
    /// With this serial.
    pub(crate) serial: Serial,
    /// By this issuer.
    pub(crate) issuer: Sha256,
    /// With precertificate.
    pub(crate) ct: bool,
    /// For this key.
    pub(crate) spki_hash: Sha256,
    /// Until.
    pub(crate) not_after: Timestamp,
    /// In this generation of CRL shards.
    pub(crate) crl_generation: CrlGenerationId,
    /// How many issuances of the order there may be.
    pub(crate) caps: IssuanceCaps,
}

impl Stores {
    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A time to come.
    pub(crate) fn in_seconds(&self, seconds: u64) -> Timestamp {
        self.now().plus(Duration::from_secs(seconds))
    }

    /// A serial that no other has.
    pub(crate) fn serial(&self) -> Serial {
        Serial::from_random(self.random.octets())
    }

    /// Valid for a day.
    pub(crate) fn valid(&self) -> AuthorizationEnd {
        AuthorizationEnd::Valid { expires: self.in_seconds(86_400) }
    }

    /// What would make an account with one of two keys.
    pub(crate) fn new_account(&self, key_number: usize) -> NewAccountRecord {
        NewAccountRecord {
            id: AccountId::random(self.random.as_ref()),
            key: key(key_number),
            contact: vec!["mailto:admin@example.com".to_owned()],
            terms_of_service_agreed: true,
            terms_version: None,
            created: self.now(),
            jws: b"the request as it was signed".to_vec(),
        }
    }

    /// An account.
    pub(crate) async fn account(&self, key_number: usize) -> Account {
        self.ledger.create_account(self.new_account(key_number)).await.unwrap().0
    }

    /// A new order, known to nobody. It lives for a week.
    pub(crate) fn order_for(&self, account: AccountId, identifiers: &[Identifier]) -> Order {
        Order {
            id: OrderId::random(self.random.as_ref()),
            account,
            profile: "classic".to_owned(),
            identifiers: identifiers.to_vec(),
            validity: AskedValidity::default(),
            replaces: None,
            method: None,
            created: self.now(),
            expires: self.in_seconds(7 * 86_400),
            authorizations: Vec::new(),
            progress: Progress::MakeChallenge,
        }
    }

    /// Its authorizations, all pending.
    pub(crate) fn authorizations_of(&self, order: &Order) -> Vec<Authorization> {
        let identifiers = (0..).zip(&order.identifiers);
        identifiers
            .map(|(number, identifier)| Authorization {
                id: AuthorizationId { order: order.id, number },
                identifier: identifier.clone(),
                challenges: [Method::Http01, Method::Dns01]
                    .map(|method| {
                        let token = Token::from_random(self.random.octets());
                        Challenge { method, token, state: ChallengeState::Pending }
                    })
                    .to_vec(),
                end: None,
            })
            .collect()
    }

    /// An order in `Issue` of an account of the ledger, all authorizations valid there; not on the workbench.
    pub(crate) async fn order_in_issue(&self, account: &Account, identifiers: &[Identifier]) -> Order {
        let mut order = self.order_for(account.id, identifiers);
        order.authorizations = self.authorizations_of(&order);
        order.progress = Progress::TestChallenge;
        for number in 0..identifiers.len() {
            let ended = ended(&order, number, self.valid(), self.now());
            self.ledger.authorize(ended.clone()).await.unwrap();
            order.copy_back(&[ended]);
        }
        order.finalize(self.finalize(), self.in_seconds(600), self.now()).unwrap();
        order
    }

    /// What a client asks for at finalize.
    pub(crate) fn finalize(&self) -> Finalize {
        Finalize { csr: b"csr".to_vec(), jws: b"jws".to_vec(), received: self.now() }
    }

    /// A certificate for `one.example.com` of a new order of the first account.
    pub(crate) async fn wanted(&self) -> Wanted {
        let account = self.account(0).await;
        self.wanted_of(&account).await
    }

    /// The same, of this account.
    pub(crate) async fn wanted_of(&self, account: &Account) -> Wanted {
        Wanted {
            order: self.order_in_issue(account, &[dns("one.example.com")]).await,
            serial: self.serial(),
            issuer: issuer(),
            ct: true,
            spki_hash: Sha256::of(b"the certificate's key"),
            not_after: self.in_seconds(90 * 86_400),
            crl_generation: CrlGenerationId::default(),
            caps: at_most(3),
        }
    }

    /// Begins the issuance.
    pub(crate) async fn begin(&self, wanted: &Wanted) -> Result<IssuanceNumber, BeginRefused> {
        let names: BTreeSet<GeneralName> =
            wanted.order.identifiers.iter().map(|one| GeneralName::Dns(one.wire().value)).collect();
        let begin = Begin {
            order: &wanted.order,
            serial: wanted.serial,
            issuer: wanted.issuer,
            profile_hash: Sha256::of(b"profile"),
            ct: wanted.ct,
            linting_certificate: b"linting certificate",
            spki_hash: wanted.spki_hash,
            names: &names,
            not_after: wanted.not_after,
            crl_generation: wanted.crl_generation,
            at: self.now(),
            caps: wanted.caps,
        };
        self.ledger.begin(begin).await.unwrap()
    }

    /// An issuance that has begun.
    pub(crate) async fn begun(&self) -> Wanted {
        let wanted = self.wanted().await;
        self.begin(&wanted).await.unwrap();
        wanted
    }

    /// Another issuance of the same order, begun.
    pub(crate) async fn begun_again(&self, earlier: &Wanted) -> Wanted {
        let wanted = Wanted { serial: self.serial(), ..earlier.clone() };
        self.begin(&wanted).await.unwrap();
        wanted
    }

    /// What the ledger has of a serial that it knows.
    pub(crate) async fn record(&self, serial: Serial) -> SerialRecord {
        self.ledger.serial(serial).await.unwrap().unwrap()
    }

    /// What was committed in order before and not waited for can be read after this.
    pub(crate) async fn waited_for(&self) {
        self.ledger.store_authority(Sha256::of(b"authority"), b"authority").await.unwrap();
    }

    /// An order on the workbench that waits for its client, with pending authorizations.
    pub(crate) async fn pending(&self, identifiers: &[&str]) -> Order {
        self.pending_of(AccountId::from_bytes([0xac; 16]), identifiers).await
    }

    /// The same of this account.
    pub(crate) async fn pending_of(&self, account: AccountId, identifiers: &[&str]) -> Order {
        let identifiers: Vec<Identifier> = identifiers.iter().map(|name| dns(name)).collect();
        let order = self.order_for(account, &identifiers);
        let lease = self.workbench.create(order.clone(), TERMS).await.unwrap();
        let made = Advance::Made(self.authorizations_of(&order));
        self.workbench.advance(&lease, made).await.unwrap().unwrap()
    }

    /// The client answers the http-01 challenge of an authorization.
    pub(crate) async fn answer(&self, order: &Order, number: usize) -> Order {
        let id = order.authorizations[number].id;
        self.workbench.answer(id, Method::Http01, &[]).await.unwrap().unwrap().unwrap()
    }

    /// A worker takes the only order of a queue.
    pub(crate) async fn claim(&self, stage: Stage) -> Claimed {
        self.workbench.claim(stage, TERMS).await.unwrap().unwrap()
    }

    /// A test of an answered http-01 challenge ended the authorization.
    pub(crate) fn tested(&self, order: &Order, number: usize, end: AuthorizationEnd) -> Tested {
        let verdict = Verdict::Ended(Box::new(ended(order, number, end, self.now())));
        self.result(order, number, verdict)
    }

    /// A test failed, and is to be made again.
    pub(crate) fn tested_again(&self, order: &Order, number: usize, seconds: u64) -> Tested {
        let pause = Duration::from_secs(seconds);
        self.result(order, number, Verdict::Again { pause, problem: problem("no answer yet") })
    }

    fn result(&self, order: &Order, number: usize, verdict: Verdict) -> Tested {
        let authorization = &order.authorizations[number];
        let answered = match &authorization.challenge(Method::Http01).unwrap().state {
            ChallengeState::Answered { at, .. } => *at,
            ChallengeState::Pending | ChallengeState::Valid { .. } | ChallengeState::Invalid { .. } => self.now(),
        };
        Tested { authorization: authorization.id, method: Method::Http01, answered, verdict }
    }

    /// A CRL, made now.
    pub(crate) fn crl(&self, shard: u16, number: u64) -> CrlRecord {
        CrlRecord {
            issuer: issuer(),
            shard,
            number,
            this_update: self.now(),
            next_update: self.in_seconds(3600),
            head: number.to_be_bytes().to_vec(),
            entries: 7,
            entry_octets: 300,
            tail: b"tail".to_vec(),
            sha256: Sha256::of(&number.to_be_bytes()),
        }
    }

    /// An order on the workbench whose only authorization is valid.
    pub(crate) async fn ready(&self) -> Order {
        let order = self.pending(&["one.example.com"]).await;
        let end = [ended(&order, 0, self.valid(), self.now())];
        self.workbench.settle(order.id, &end, None).await.unwrap().unwrap()
    }

    /// An order in the queue of `Issue`. It dies after 600 seconds.
    pub(crate) async fn processing(&self) -> Order {
        let order = self.ready().await;
        let deadline = self.in_seconds(600);
        self.workbench.finalize(order.id, self.finalize(), deadline, &[]).await.unwrap().unwrap().unwrap()
    }

    /// A worker writes what it did.
    pub(crate) async fn advance(&self, lease: &Lease, advance: Advance) -> Order {
        self.workbench.advance(lease, advance).await.unwrap().unwrap()
    }
}
