//! dns-01.

use acme::ProblemType;
use ca::authorization::Method;
use ca::ports::Validated;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::dns_server::{Asked, Reaction, alias, record, reply, reply_code, reply_records, text};
use crate::scene::{Scene, key_authorization};

fn digest() -> String {
    key_authorization().dns_value()
}

async fn scene(react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> Scene {
    Scene::new(react, |_| {}).await
}

#[tokio::test]
async fn digest_in_any_txt_record_shows_control() {
    let scene = scene(|asked| {
        assert_eq!((asked.name.as_str(), asked.kind), ("_acme-challenge.a.example", RecordType::TXT));
        reply(asked, vec![text(&["v=spf1 -all"]), text(&[&digest()])]).into()
    })
    .await;
    for identifier in ["a.example", "*.a.example"] {
        let (validated, record) = scene.validate(identifier, Method::Dns01).await;
        assert_eq!(validated, Validated::Shown);
        assert!(record.evidence[0].ends_with("TXT _acme-challenge.a.example: NOERROR"), "{record:?}");
        assert!(record.evidence[1].contains(&digest()), "{record:?}");
    }
}

#[tokio::test]
async fn strings_of_a_record_are_joined() {
    let scene = scene(|asked| reply(asked, vec![text(&[&digest()[..10], "", &digest()[10..]])]).into()).await;
    assert_eq!(scene.validate("a.example", Method::Dns01).await.0, Validated::Shown);
}

#[tokio::test]
async fn aliases_are_followed_within_an_answer_and_beyond() {
    let within = scene(|asked| {
        let records =
            vec![record("x.elsewhere.example", text(&[&digest()])), record(&asked.name, alias("X.Elsewhere.example"))];
        reply_records(asked, records).into()
    })
    .await;
    assert_eq!(within.validate("a.example", Method::Dns01).await.0, Validated::Shown);
    assert_eq!(within.dns.asked().len(), 1);

    let beyond = scene(|asked| match asked.name.as_str() {
        "x.elsewhere.example" => reply(asked, vec![text(&[&digest()])]).into(),
        _ => reply(asked, vec![alias("x.elsewhere.example")]).into(),
    })
    .await;
    let (validated, record) = beyond.validate("a.example", Method::Dns01).await;
    assert_eq!(validated, Validated::Shown);
    let line = "DNS: _acme-challenge.a.example is an alias of x.elsewhere.example";
    assert!(record.evidence.iter().any(|seen| seen == line), "{record:?}");
}

#[tokio::test]
async fn endless_aliases_end() {
    let scene = scene(|asked| reply(asked, vec![alias(&format!("x{}.example", asked.query.metadata.id))]).into()).await;
    scene.expect_may_pass("a.example", Method::Dns01, ProblemType::Dns, "more than 10 aliases").await;
    assert!(scene.dns.asked().len() <= 11);

    let circle = Scene::new(|asked| reply(asked, vec![alias(&asked.name)]).into(), |_| {}).await;
    circle.expect_may_pass("a.example", Method::Dns01, ProblemType::Dns, "more than 10 aliases").await;
    assert_eq!(circle.dns.asked().len(), 1);
}

#[tokio::test]
async fn other_values_are_unauthorized_and_shown() {
    let wrong = [digest().to_lowercase(), format!("{} ", digest()), format!("\"{}\"", digest()), String::new()];
    for value in wrong {
        let shown = value.escape_default().to_string();
        let scene = scene(move |asked| reply(asked, vec![text(&[&value])]).into()).await;
        scene.expect_failed("a.example", Method::Dns01, ProblemType::Unauthorized, &format!("found \"{shown}\"")).await;
    }
}

#[tokio::test]
async fn record_of_another_owner_does_not_count() {
    let scene =
        scene(|asked| reply_records(asked, vec![record("_acme-challenge.b.example", text(&[&digest()]))]).into()).await;
    scene.expect_may_pass("a.example", Method::Dns01, ProblemType::Dns, "has no TXT record").await;
}

#[tokio::test]
async fn absent_records_and_failures_may_pass() {
    for (code, detail) in [
        (ResponseCode::NoError, "has no TXT record"),
        (ResponseCode::NXDomain, "does not exist (NXDOMAIN)"),
        (ResponseCode::ServFail, "SERVFAIL"),
        (ResponseCode::Refused, "REFUSED"),
    ] {
        let scene = scene(move |asked| reply_code(asked, code).into()).await;
        scene.expect_may_pass("a.example", Method::Dns01, ProblemType::Dns, detail).await;
    }
}
