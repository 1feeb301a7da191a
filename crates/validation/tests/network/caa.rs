//! CAA over the network: the climb, failures, limits. What a record set means is tested beside the policy.

use std::time::Duration;

use acme::ProblemType;
use ca::authorization::CaaDecision;
use ca::ports::Validator;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, RecordType};

use crate::dns_server::{Asked, Reaction, alias, caa, record, reply, reply_code, reply_records};
use crate::scene::{ACCOUNT_URL, Scene, TIME_LIMIT, caa_check};

async fn scene(react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> Scene {
    Scene::new(react, |_| {}).await
}

/// These records at this name, none anywhere else.
async fn only_at(owner: &'static str, records: Vec<RData>) -> Scene {
    scene(move |asked| {
        assert_eq!(asked.kind, RecordType::CAA);
        if asked.name == owner { reply(asked, records.clone()).into() } else { reply(asked, vec![]).into() }
    })
    .await
}

#[tokio::test]
async fn without_records_up_to_the_top_level_every_ca_may_issue() {
    let scene = scene(|asked| reply_code(asked, ResponseCode::NXDomain).into()).await;
    let record = scene.check_caa("a.b.example").await;
    assert_eq!(record.decision, CaaDecision::Permitted);
    assert_eq!(record.ttl_seconds, 0);
    let mut names: Vec<_> = scene.dns.asked().into_iter().map(|asked| asked.name).collect();
    names.sort();
    assert_eq!(names, ["a.b.example", "b.example", "example"]);
    // The evidence is in the order of the climb, whatever the order of the answers.
    let order: Vec<_> = record.evidence.iter().map(|line| line.contains("CAA a.b.example")).collect();
    assert_eq!(order, [true, false, false, false]);
}

#[tokio::test]
async fn closest_record_set_decides() {
    let react = |asked: &Asked| match asked.name.as_str() {
        "b.example" => reply(asked, vec![caa(0, "issue", "ca.example")]).into(),
        "example" => reply(asked, vec![caa(0, "issue", ";")]).into(),
        _ => reply(asked, vec![]).into(),
    };
    let scene = scene(react).await;
    let record = scene.check_caa("a.b.example").await;
    assert_eq!(record.decision, CaaDecision::Permitted);
    assert_eq!(record.ttl_seconds, 300);
    let CaaDecision::Forbidden { problem } = scene.check_caa("c.example").await.decision else { panic!() };
    assert_eq!((problem.kind, problem.status), (ProblemType::Caa, 403));
}

#[tokio::test]
async fn top_level_domain_is_asked_too() {
    let scene = only_at("example", vec![caa(0, "issue", "other.example")]).await;
    let CaaDecision::Forbidden { problem } = scene.check_caa("*.a.b.example").await.decision else { panic!() };
    assert!(problem.detail.contains("the CAA records of example forbid"), "{problem}");
    assert!(problem.detail.contains("`0 issue \"other.example\"` authorises another CA"), "{problem}");
    assert_eq!(problem.subproblems.len(), 1);
    assert_eq!(problem.subproblems[0].identifier.as_ref().unwrap().value, "*.a.b.example");
}

#[tokio::test]
async fn alias_is_followed_but_its_parents_are_not_climbed() {
    let scene = scene(|asked| match asked.name.as_str() {
        "a.b.example" => {
            let target = record("x.cdn.test", caa(0, "issue", "ca.example"));
            reply_records(asked, vec![record(&asked.name, alias("x.cdn.test")), target]).into()
        }
        "c.b.example" => reply(asked, vec![alias("y.cdn.test")]).into(),
        "cdn.test" | "b.example" => reply(asked, vec![caa(0, "issue", "other.example")]).into(),
        _ => reply(asked, vec![]).into(),
    })
    .await;
    assert_eq!(scene.check_caa("a.b.example").await.decision, CaaDecision::Permitted);
    let CaaDecision::Forbidden { problem } = scene.check_caa("c.b.example").await.decision else { panic!() };
    assert!(problem.detail.contains("the CAA records of b.example forbid"), "{problem}");
    assert!(scene.dns.asked().iter().all(|asked| asked.name != "cdn.test"));
}

#[tokio::test]
async fn failure_on_the_way_is_no_permission() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotAuth] {
        let scene = scene(move |asked| match asked.name.as_str() {
            "b.example" => reply_code(asked, code).into(),
            _ => reply(asked, vec![]).into(),
        })
        .await;
        let CaaDecision::Failed { problem } = scene.check_caa("a.b.example").await.decision else { panic!("{code}") };
        assert_eq!(problem.kind, ProblemType::Dns);
        assert!(problem.detail.starts_with("looking up the CAA records of b.example failed"), "{problem}");
        let tries = scene.dns.asked().iter().filter(|asked| asked.name == "b.example").count();
        assert!(tries >= 2, "{tries}");
    }
}

#[tokio::test]
async fn failure_above_the_deciding_set_does_not_matter() {
    let scene = scene(|asked| match asked.name.as_str() {
        "a.b.example" => reply(asked, vec![caa(0, "issue", "ca.test")]).into(),
        "b.example" => Reaction::Silence,
        _ => reply_code(asked, ResponseCode::ServFail).into(),
    })
    .await;
    assert_eq!(scene.check_caa("a.b.example").await.decision, CaaDecision::Permitted);
}

#[tokio::test]
async fn silence_ends_with_the_time_limit_and_is_no_permission() {
    let scene = scene(|_| Reaction::Silence).await;
    let advance = async {
        for _ in 0..2 {
            scene.dns.arrival().await;
        }
        scene.clock.advance(TIME_LIMIT);
    };
    let (record, ()) = tokio::join!(scene.check_caa("a.example"), advance);
    let CaaDecision::Failed { problem } = record.decision else { panic!() };
    assert_eq!(problem.kind, ProblemType::Dns);
    let expected =
        "the time limit of 10 s ran out while looking up the CAA records of a.example and the names above it";
    assert_eq!(problem.detail, expected);
    assert_eq!(record.evidence, [expected]);
}

#[tokio::test]
async fn record_that_cannot_be_read_is_a_failure() {
    let mut beyond = caa(0, "issue", "ca.example");
    if let RData::Unknown { rdata, .. } = &mut beyond {
        rdata.anything[1] = 200;
    }
    for broken in [beyond, caa(0, "", "ca.example")] {
        let scene = only_at("a.example", vec![broken, caa(0, "issue", "ca.example")]).await;
        let record = scene.check_caa("a.example").await;
        assert!(matches!(record.decision, CaaDecision::Failed { .. }), "{record:?}");
    }
}

#[tokio::test]
async fn odd_tags_spoil_nothing_unless_they_are_critical() {
    let tag = "x_\u{1}-a-tag-that-is-longer-than-fifteen-octets";
    let scene = only_at("a.example", vec![caa(0, tag, "x"), caa(0, "issue", "ca.example")]).await;
    assert_eq!(scene.check_caa("a.example").await.decision, CaaDecision::Permitted);
    let scene = only_at("a.example", vec![caa(128, tag, "x"), caa(0, "issue", "ca.example")]).await;
    assert!(matches!(scene.check_caa("a.example").await.decision, CaaDecision::Forbidden { .. }));
}

#[tokio::test]
async fn account_and_method_are_those_of_the_check() {
    let value = format!("ca.example; accounturi={ACCOUNT_URL}; validationmethods=http-01");
    let scene = only_at("a.example", vec![caa(0, "issue", &value)]).await;
    assert_eq!(scene.check_caa("a.example").await.decision, CaaDecision::Permitted);
    let mut check = caa_check("a.example");
    check.account_url = None;
    assert!(matches!(scene.validator.check_caa(check).await.decision, CaaDecision::Forbidden { .. }));
    let mut check = caa_check("a.example");
    check.method = ca::authorization::Method::Dns01;
    assert!(matches!(scene.validator.check_caa(check).await.decision, CaaDecision::Forbidden { .. }));
}

#[tokio::test]
async fn addresses_have_no_caa_and_localhost_names_are_not_looked_up() {
    let scene = Scene::new(|_| Reaction::Silence, |settings| settings.localhost_names = true).await;
    assert_eq!(scene.check_caa("192.0.2.1").await.decision, CaaDecision::NotApplicable);
    let record = scene.check_caa("first.localhost").await;
    assert_eq!(record.decision, CaaDecision::Permitted);
    assert_eq!(record.evidence, ["CAA: first.localhost is this machine, and was not looked up"]);
    assert!(scene.dns.asked().is_empty());
}

#[tokio::test]
async fn time_of_the_check_is_when_it_ended() {
    let scene = scene(|asked| reply(asked, vec![]).into()).await;
    let first = scene.check_caa("a.example").await;
    scene.clock.advance(Duration::from_secs(60));
    assert_eq!(scene.check_caa("a.example").await.checked.since(first.checked), Duration::from_secs(60));
}
