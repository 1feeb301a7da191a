//! A validator with everything around it.

use std::sync::Arc;
use std::time::Duration;

use acme::{Jwk, KeyAuthorization, ProblemType, Token};
use ca::authorization::{CaaRecord, Method, ValidationRecord};
use ca::ports::{CaaCheck, ChallengeTest, Validated, Validator};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use validation::{NetworkValidator, Settings, TargetPolicy};

use crate::clock::{TestClock, TestRandom};
use crate::dns_server::{Asked, DnsServer, Reaction, address, reply, reply_code};

/// The account of all tests (RFC 8037 appendix A.2).
const ACCOUNT_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

/// What a test is allowed to take.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(10);
pub(crate) const ACCOUNT_URL: &str = "https://ca.example/account/1";

pub(crate) struct Scene {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) dns: DnsServer,
    pub(crate) validator: Arc<NetworkValidator>,
}

impl Scene {
    /// With a name server that says this, and everything else as the closure sets it.
    pub(crate) async fn new(
        react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static,
        set: impl FnOnce(&mut Settings),
    ) -> Self {
        let dns = DnsServer::start(react).await;
        let clock = Arc::new(TestClock::default());
        let mut settings = Settings {
            resolvers: vec![dns.address],
            targets: TargetPolicy::dev(),
            caa_identities: vec!["ca.example".to_owned(), "ca.test".to_owned()],
            ..Settings::default()
        };
        set(&mut settings);
        let random = Arc::new(TestRandom::new(u64::from(dns.address.port())));
        let validator = Arc::new(NetworkValidator::new(settings, Arc::clone(&clock) as _, random));
        Self { clock, dns, validator }
    }

    /// With `a.example` and `b.example` on this machine.
    pub(crate) async fn with_port(port: u16) -> Self {
        Self::new(loopback_names, |settings| all_ports(settings, port)).await
    }

    pub(crate) async fn validate(&self, identifier: &str, method: Method) -> (Validated, ValidationRecord) {
        self.validator.validate(challenge(identifier, method)).await
    }

    pub(crate) async fn check_caa(&self, identifier: &str) -> CaaRecord {
        self.validator.check_caa(caa_check(identifier)).await
    }

    /// Tests http-01 of `a.example` and expects it to fail for good.
    pub(crate) async fn expect_failed(&self, identifier: &str, method: Method, kind: ProblemType, detail: &str) {
        let (validated, record) = self.validate(identifier, method).await;
        let Validated::Failed(problem) = &validated else {
            panic!("{validated:?}");
        };
        assert_eq!(problem.kind, kind, "{problem}");
        assert!(problem.detail.contains(detail), "{problem}");
        assert_eq!(record.problem.as_ref(), Some(problem));
    }

    /// The same, but it may pass.
    pub(crate) async fn expect_may_pass(&self, identifier: &str, method: Method, kind: ProblemType, detail: &str) {
        let (validated, record) = self.validate(identifier, method).await;
        let Validated::MayPass(problem) = &validated else {
            panic!("{validated:?}");
        };
        assert_eq!(problem.kind, kind, "{problem}");
        assert!(problem.detail.contains(detail), "{problem}");
        assert_eq!(record.problem.as_ref(), Some(problem));
    }
}

pub(crate) fn all_ports(settings: &mut Settings, port: u16) {
    settings.http_port = port;
    settings.https_port = port;
    settings.tls_alpn_port = port;
}

/// `a.example` and `b.example` have an IPv4 address, nothing else exists.
pub(crate) fn loopback_names(asked: &Asked) -> Reaction {
    match (asked.name.as_str(), asked.kind) {
        ("a.example" | "b.example", RecordType::A) => reply(asked, vec![address("127.0.0.1")]).into(),
        ("a.example" | "b.example", _) => reply(asked, vec![]).into(),
        _ => reply_code(asked, ResponseCode::NXDomain).into(),
    }
}

pub(crate) fn challenge(identifier: &str, method: Method) -> ChallengeTest {
    ChallengeTest {
        identifier: identifier.parse().unwrap(),
        method,
        token: Token::parse(TOKEN).unwrap(),
        key_authorization: key_authorization(),
        time_limit: TIME_LIMIT,
    }
}

pub(crate) fn caa_check(identifier: &str) -> CaaCheck {
    CaaCheck {
        identifier: identifier.parse().unwrap(),
        method: Method::Http01,
        account_url: Some(ACCOUNT_URL.to_owned()),
        time_limit: TIME_LIMIT,
    }
}

pub(crate) fn key_authorization() -> KeyAuthorization {
    let thumbprint = Jwk::parse(ACCOUNT_KEY).unwrap().thumbprint();
    KeyAuthorization::new(&Token::parse(TOKEN).unwrap(), &thumbprint)
}

pub(crate) fn challenge_path() -> String {
    format!("/.well-known/acme-challenge/{TOKEN}")
}
