//! The other objects on the wire: exact member names, and what a client may and may not send.

use acme::{
    AccountObject, AccountStatus, AccountUpdate, AuthorizationObject, AuthorizationStatus, AuthorizationUpdate,
    ChallengeKind, ChallengeObject, ChallengeStatus, Contact, ContactError, Directory, DirectoryMeta, Finalize, Jwk,
    KeyAuthorization, KeyChange, NewAccount, NewOrder, OrderObject, OrderStatus, Problem, ProblemType, RevokeRequest,
    Token, TokenError, WireIdentifier,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Of RFC 7515 §A.3.
const P256: &str = concat!(
    r#"{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#,
    r#""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
);

fn written<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object).expect("JSON")
}

fn read<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("reads")
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(object: T, json: Value) {
    assert_eq!(written(&object), json);
    assert_eq!(serde_json::from_str::<T>(&json.to_string()).expect("reads"), object);
}

fn a_example() -> WireIdentifier {
    WireIdentifier { kind: "dns".to_owned(), value: "a.example".to_owned() }
}

#[test]
fn directory_has_the_names_of_the_rfc() {
    let directory = Directory {
        new_nonce: "https://ca/nonce".to_owned(),
        new_account: "https://ca/account".to_owned(),
        new_order: "https://ca/order".to_owned(),
        new_authz: None,
        revoke_cert: "https://ca/revoke".to_owned(),
        key_change: Some("https://ca/key".to_owned()),
        renewal_info: Some("https://ca/renewal".to_owned()),
        meta: DirectoryMeta {
            terms_of_service: Some("https://ca/terms".to_owned()),
            website: Some("https://ca".to_owned()),
            caa_identities: vec!["ca.example".to_owned()],
            external_account_required: true,
            profiles: [("classic".to_owned(), "90 days".to_owned())].into(),
        },
    };
    round_trip(
        directory,
        json!({
            "newNonce": "https://ca/nonce", "newAccount": "https://ca/account", "newOrder": "https://ca/order",
            "revokeCert": "https://ca/revoke", "keyChange": "https://ca/key", "renewalInfo": "https://ca/renewal",
            "meta": {
                "termsOfService": "https://ca/terms", "website": "https://ca", "caaIdentities": ["ca.example"],
                "externalAccountRequired": true, "profiles": {"classic": "90 days"},
            },
        }),
    );
    let bare: Directory = read(json!({"newNonce": "n", "newAccount": "a", "newOrder": "o", "revokeCert": "r"}));
    assert_eq!((bare.meta, bare.key_change), (DirectoryMeta::default(), None));
}

#[test]
fn order_has_the_names_of_the_rfc_and_leaves_out_what_is_not_there() {
    let order = OrderObject {
        status: OrderStatus::Valid,
        expires: Some("2026-11-28T10:00:00Z".to_owned()),
        identifiers: vec![a_example()],
        profile: None,
        replaces: None,
        not_before: None,
        not_after: None,
        error: None,
        authorizations: vec!["https://ca/authz/1".to_owned()],
        finalize: "https://ca/order/1/finalize".to_owned(),
        certificate: Some("https://ca/cert/1".to_owned()),
        acknowledge: None,
    };
    round_trip(
        order,
        json!({
            "status": "valid", "expires": "2026-11-28T10:00:00Z",
            "identifiers": [{"type": "dns", "value": "a.example"}],
            "authorizations": ["https://ca/authz/1"], "finalize": "https://ca/order/1/finalize",
            "certificate": "https://ca/cert/1",
        }),
    );
}

#[test]
fn new_order_ignores_what_belongs_to_the_server() {
    let order: NewOrder = read(json!({
        "identifiers": [{"type": "dns", "value": "a.example", "wildcard": true}], "status": "valid",
        "finalize": "x", "certificate": "x", "notBefore": "2026-01-01T00:00:00Z", "replaces": "a.b", "profile": "p",
    }));
    assert_eq!(order.identifiers, [a_example()]);
    assert_eq!(order.not_before.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!((order.replaces.as_deref(), order.profile.as_deref()), (Some("a.b"), Some("p")));
}

fn challenge(kind: ChallengeKind) -> ChallengeObject {
    ChallengeObject {
        kind,
        url: "https://ca/challenge/1".to_owned(),
        status: ChallengeStatus::Pending,
        validated: None,
        token: Token::from_random([7; 16]),
        error: None,
    }
}

#[test]
fn authorization_mentions_wildcard_only_if_it_is_one() {
    let mut authorization = AuthorizationObject {
        identifier: a_example(),
        status: AuthorizationStatus::Pending,
        expires: None,
        challenges: vec![challenge(ChallengeKind::Dns01)],
        wildcard: false,
    };
    let mut json = json!({
        "identifier": {"type": "dns", "value": "a.example"}, "status": "pending",
        "challenges": [{"type": "dns-01", "url": "https://ca/challenge/1", "status": "pending",
            "token": "BwcHBwcHBwcHBwcHBwcHBw"}],
    });
    round_trip(authorization.clone(), json.clone());
    authorization.wildcard = true;
    json["wildcard"] = true.into();
    round_trip(authorization, json);
}

#[test]
fn a_client_passes_over_challenges_of_unknown_kinds() {
    let json = r#"{"identifier":{"type":"dns","value":"a.example"},"status":"pending","challenges":[
        {"type":"dns-persist-01","url":"x","status":"pending","issuer-domain-names":["ca.example"]},
        {"type":"http-01","url":"https://ca/challenge/1","status":"pending","token":"BwcHBwcHBwcHBwcHBwcHBw"}]}"#;
    let authorization: AuthorizationObject = serde_json::from_str(json).expect("reads");
    assert_eq!(authorization.challenges, [challenge(ChallengeKind::Http01)]);
}

#[test]
fn challenge_kinds_have_their_registered_names() {
    for (kind, name) in [
        (ChallengeKind::Http01, "http-01"),
        (ChallengeKind::Dns01, "dns-01"),
        (ChallengeKind::TlsAlpn01, "tls-alpn-01"),
    ] {
        assert_eq!(kind.to_string(), name);
        assert_eq!(name.parse(), Ok(kind));
        round_trip(kind, json!(name));
    }
    let error = "HTTP-01".parse::<ChallengeKind>().expect_err("names are exact");
    assert!(error.to_string().contains("known are http-01, dns-01 and tls-alpn-01"));
}

#[test]
fn tokens_have_128_bits_of_the_base64url_alphabet() {
    let token = Token::from_random([0xff; 16]);
    assert_eq!(token.as_str(), "_____________________w");
    assert_eq!(Token::parse(token.as_str()), Ok(token));
    assert_eq!(Token::parse("AAAAAAAAAAAAAAAAAAAAA"), Err(TokenError::Length(21)));
    assert_eq!(Token::parse(&"A".repeat(257)), Err(TokenError::Length(257)));
    for bad in
        ["AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAA/A", "AAAAAAAAAAAAAAAAAAAA.A", "../../../../../../../../x"]
    {
        assert!(matches!(Token::parse(bad), Err(TokenError::Alphabet(_))), "{bad}");
    }
}

#[test]
fn key_authorization_joins_token_and_thumbprint() {
    // The account key of RFC 8037 §A.3; digest and text were computed independently, with Python's hashlib.
    let jwk = Jwk::parse(r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#);
    let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").expect("the RFC's token");
    let authorization = KeyAuthorization::new(&token, &jwk.expect("the RFC's key").thumbprint());
    assert_eq!(
        authorization.as_str(),
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    assert_eq!(authorization.dns_value(), "lAV291d372xyXVEZRY9j2FQ8g1TYpOaJr620CiahePA");
    assert_eq!(acme::base64url_encode(&authorization.sha256()), authorization.dns_value());
}

#[test]
fn account_has_the_names_of_the_rfc() {
    let account = AccountObject {
        status: AccountStatus::Deactivated,
        contact: vec!["mailto:a@b.example".to_owned()],
        terms_of_service_agreed: Some(true),
        key: Some(Jwk::parse(P256).expect("a good key")),
        external_account_binding: Some(json!({ "protected": "e30", "payload": "", "signature": "" })),
        orders: Some("https://ca/orders/1".to_owned()),
    };
    round_trip(
        account,
        json!({
            "status": "deactivated", "contact": ["mailto:a@b.example"], "termsOfServiceAgreed": true,
            "orders": "https://ca/orders/1", "key": serde_json::from_str::<Value>(P256).expect("JSON"),
            "externalAccountBinding": { "protected": "e30", "payload": "", "signature": "" },
        }),
    );
}

#[test]
fn new_account_reads_what_a_client_may_say_and_ignores_the_rest() {
    let account: NewAccount = serde_json::from_str(
        r#"{"contact":["mailto:a@b.example","MAILTO:a@B.example"],"termsOfServiceAgreed":true,
            "onlyReturnExisting":true,"status":"revoked","orders":"x",
            "externalAccountBinding":{"protected":"e30","payload":"","signature":""}}"#,
    )
    .expect("reads");
    assert!(account.terms_of_service_agreed && account.only_return_existing);
    let contacts = account.contacts().expect("one address, written twice");
    assert_eq!(contacts.iter().map(Contact::as_str).collect::<Vec<_>>(), ["mailto:a@b.example"]);
    let binding = account.external_account_binding.expect("kept as it was sent");
    assert_eq!(binding.get(), r#"{"protected":"e30","payload":"","signature":""}"#);
    let empty: NewAccount = serde_json::from_str("{}").expect("everything is optional");
    assert_eq!(empty.contacts(), Ok(Vec::new()));
    assert!(!empty.only_return_existing && !empty.terms_of_service_agreed);
}

#[test]
fn an_update_without_contact_keeps_and_an_empty_one_clears() {
    let update = |json: Value| read::<AccountUpdate>(json);
    assert_eq!(update(json!({})).contacts(), Ok(None));
    assert_eq!(update(json!({"contact": []})).contacts(), Ok(Some(Vec::new())));
    assert_eq!(update(json!({"status": "deactivated"})).deactivates(), Ok(true));
    assert_eq!(update(json!({"status": "valid"})).deactivates(), Ok(false));
    assert_eq!(update(json!({"status": "revoked"})).deactivates().expect_err("ours").kind, ProblemType::Malformed);
    assert!(serde_json::from_value::<AccountUpdate>(json!({"status": "gone"})).is_err());
}

#[test]
fn contacts_are_mailto_urls_with_one_address() {
    for (url, normal) in [
        ("mailto:a@b.example", "mailto:a@b.example"),
        ("MailTo:First.Last+tag@EXAMPLE.com", "mailto:First.Last+tag@example.com"),
        ("mailto:root@localhost", "mailto:root@localhost"),
    ] {
        assert_eq!(Contact::parse(url).expect(url).as_str(), normal);
    }
    for (url, fault) in [
        ("a@b.example", ContactError::NoScheme),
        ("tel:+123", ContactError::Scheme("tel".to_owned())),
        ("https://a.example", ContactError::Scheme("https".to_owned())),
        ("mailto:a@b.example,c@d.example", ContactError::SeveralAddresses),
        ("mailto:a@b.example?subject=x", ContactError::HeaderFields),
        ("mailto:a%2Cb@c.example", ContactError::PercentEncoded),
        ("mailto:ä@b.example", ContactError::NotAscii),
        ("mailto:", ContactError::NoAddress),
        ("mailto:a.example", ContactError::NoAddress),
        ("mailto:@a.example", ContactError::Local),
        ("mailto:.a@b.example", ContactError::Local),
        ("mailto:a..b@c.example", ContactError::Local),
        ("mailto:\"a b\"@c.example", ContactError::Local),
        ("mailto: a@b.example", ContactError::Local),
        ("mailto:<a@b.example>", ContactError::Local),
    ] {
        assert_eq!(Contact::parse(url), Err(fault.clone()), "{url}");
        let kind = if matches!(fault, ContactError::Scheme(_)) {
            ProblemType::UnsupportedContact
        } else {
            ProblemType::InvalidContact
        };
        assert_eq!(fault.problem().kind, kind);
    }
    for url in
        ["mailto:a@", "mailto:a@b_c.example", "mailto:a@b@c.example", "mailto:a@b.example\n", "mailto:a@192.0.2.1"]
    {
        assert!(matches!(Contact::parse(url), Err(ContactError::Domain(_))), "{url}");
    }
    assert_eq!(Contact::parse(&format!("mailto:{}@b.example", "a".repeat(65))), Err(ContactError::Local));
    assert_eq!(Contact::parse(&format!("mailto:{}", "a".repeat(255))), Err(ContactError::TooLong(255)));
    let many = NewAccount { contact: Some(vec!["mailto:a@b.example".to_owned(); 11]), ..NewAccount::default() };
    assert_eq!(many.contacts().expect_err("too many").kind, ProblemType::InvalidContact);
}

#[test]
fn key_change_names_account_and_old_key() {
    let json = concat!(
        r#"{"account":"https://ca/account/1","#,
        r#""oldKey":{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#
    );
    let change: KeyChange = serde_json::from_str(json).expect("reads");
    assert_eq!(serde_json::to_string(&change).expect("JSON"), json);
    let error = serde_json::from_str::<KeyChange>(&json.replace("\"kty\"", "\"d\":\"\",\"kty\"")).expect_err("private");
    assert!(error.to_string().contains("no longer secret"), "{error}");
}

#[test]
fn a_client_can_deactivate_an_authorization_and_nothing_else() {
    for (status, good) in
        [("deactivated", true), ("pending", false), ("valid", false), ("invalid", false), ("revoked", false)]
    {
        let update: AuthorizationUpdate = read(json!({"status": status}));
        assert_eq!(update.expect_deactivation().is_ok(), good, "{status}");
    }
    assert!(serde_json::from_value::<AuthorizationUpdate>(json!({})).is_err());
}

#[test]
fn csr_and_certificate_are_base64url_of_der() {
    assert_eq!(read::<Finalize>(json!({"csr": "MAA"})).csr_der(), Ok(vec![0x30, 0]));
    for bad in ["MAA=", "MA A", "M+/A", "-----BEGIN CERTIFICATE REQUEST-----"] {
        let problem = Finalize { csr: bad.to_owned() }.csr_der().expect_err(bad);
        assert_eq!(problem.kind, ProblemType::BadCsr);
    }
    let revoke = |json: Value| read::<RevokeRequest>(json);
    assert_eq!(revoke(json!({"certificate": "MAA"})).certificate_der(), Ok(vec![0x30, 0]));
    let problem = revoke(json!({"certificate": "MAA="})).certificate_der().expect_err("padded");
    assert_eq!(problem.kind, ProblemType::Malformed);
}

#[test]
fn revocation_reasons_are_those_of_rfc_5280() {
    let reason = |reason: Value| read::<RevokeRequest>(json!({"certificate": "", "reason": reason})).reason_code();
    assert_eq!(read::<RevokeRequest>(json!({"certificate": ""})).reason_code(), Ok(0));
    for good in [0, 1, 2, 3, 4, 5, 6, 8, 9, 10] {
        assert_eq!(reason(good.into()), Ok(good));
    }
    for bad in [-1, 7, 11, 255, 256, 1_i64 << 40] {
        assert_eq!(reason(bad.into()).expect_err("no such reason").kind, ProblemType::BadRevocationReason);
    }
}

#[test]
fn problems_have_registered_types_and_their_status() {
    let problem = Problem::new(ProblemType::RateLimited, "too many orders");
    round_trip(
        problem,
        json!({
            "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many orders", "status": 429,
        }),
    );
    for (kind, name, status) in [
        (ProblemType::BadCsr, "badCSR", 400),
        (ProblemType::BadNonce, "badNonce", 400),
        (ProblemType::Unauthorized, "unauthorized", 403),
        (ProblemType::OrderNotReady, "orderNotReady", 403),
        (ProblemType::ServerInternal, "serverInternal", 500),
        (ProblemType::AlreadyReplaced, "alreadyReplaced", 409),
        (ProblemType::UserActionRequired, "userActionRequired", 403),
    ] {
        assert_eq!(kind.urn(), format!("urn:ietf:params:acme:error:{name}"));
        assert_eq!(kind.status(), status);
        round_trip(kind.clone(), json!(kind.urn()));
    }
}

#[test]
fn problems_of_other_servers_are_kept_as_they_are() {
    let problem: Problem = read(json!({"type": "urn:ietf:params:acme:error:later", "detail": "d", "title": "t"}));
    assert_eq!(problem.kind, ProblemType::Other("urn:ietf:params:acme:error:later".into()));
    assert_eq!(written(&problem)["type"], "urn:ietf:params:acme:error:later");
    assert_eq!(problem.to_string(), "urn:ietf:params:acme:error:later: d");
    assert_eq!(read::<Problem>(json!({})).kind.urn(), "about:blank");
}

#[test]
fn a_problem_carries_what_its_type_wants() {
    let problem = Problem::new(ProblemType::UserActionRequired, "agree first")
        .with_status(451)
        .with_instance("https://ca/terms")
        .with_algorithms(acme::ALGORITHMS);
    round_trip(
        problem,
        json!({
            "type": "urn:ietf:params:acme:error:userActionRequired", "detail": "agree first", "status": 451,
            "instance": "https://ca/terms", "algorithms": ["ES256", "ES384", "ES512", "RS256", "EdDSA"],
        }),
    );
}
