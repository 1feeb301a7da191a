//! The form of body and payload: JSON, base64url, POST-as-GET.

use super::*;
use acme::{Base64urlError, NewOrder};

#[test]
fn other_forms_of_a_jws_are_refused_by_name() {
    let body = String::from_utf8(sign(&key(Algorithm::Es256), kid_header(), b"{}")).expect("JSON");
    let error = |body: &str| Jws::parse(body.as_bytes()).expect_err(body);
    assert_eq!(error("eyJhbGciOiJFUzI1NiJ9.e30.AAAA"), JwsError::Compact);
    assert_eq!(error("eyJhbGciOiJFUzI1NiJ9.e30.AAAA\n"), JwsError::Compact);
    assert_eq!(error(&body.replace("\"signature\"", "\"signatures\":[],\"signature\"")), JwsError::General);
    assert_eq!(error(&body.replace("\"signature\"", "\"header\":{},\"signature\"")), JwsError::UnprotectedHeader);
    assert_eq!(error(&body.replace("\"signature\"", "\"header\":null,\"signature\"")), JwsError::UnprotectedHeader);
    for (member, payload) in [("protected", "protect"), ("payload", "pay"), ("signature", "sign")] {
        assert_eq!(
            error(&body.replace(&format!("\"{member}\""), &format!("\"{payload}\""))),
            JwsError::Missing(member)
        );
    }
    for not_json in ["", "null", "[]", "{", "\"text\"", "{\"protected\":1}", &format!("{body}x"), &format!("[{body}]")]
    {
        assert!(matches!(error(not_json), JwsError::Json(_)), "{not_json}");
    }
    let twice = body.replace("\"payload\":\"e30\"", "\"payload\":\"e30\",\"payload\":\"e30\"");
    assert!(matches!(error(&twice), JwsError::Json(why) if why.contains("duplicate field `payload`")));
    assert!(matches!(error(&body.replace("\"e30\"", "null")), JwsError::Json(_)));
}

#[test]
fn members_that_nobody_defined_are_ignored() {
    let key = key(Algorithm::Es256);
    let protected = format!(r#"{{"typ":"x","alg":"ES256","kid":"{KID}","url":"{URL}","x-note":{{"a":[1]}}}}"#);
    let mut body = signed(&key, &protected, b"");
    body.splice(0..1, *br#"{"note":[1,{}],"#);
    assert!(verify(&key, &body).expect("verifies").is_post_as_get());
}

#[test]
fn members_in_another_order_or_with_escapes_verify_alike() {
    let key = key(Algorithm::Es256);
    let value: serde_json::Value = serde_json::from_slice(&sign(&key, kid_header(), b"{}")).expect("JSON");
    let (protected, payload, signature) = (&value["protected"], &value["payload"], &value["signature"]);
    let escaped = format!(r#" {{ "signature": {signature}, "payload": {payload}, "prot\u0065cted": {protected} }} "#)
        .replace("\"e30\"", "\"\\u006530\"");
    assert_eq!(verify(&key, escaped.as_bytes()).expect("verifies").payload(), Payload::Json(b"{}"));
}

#[test]
fn base64url_of_the_members_is_strict() {
    let error = |protected: &str, payload: &str, signature: &str| {
        Jws::parse(&body(protected, payload, signature)).expect_err("not base64url")
    };
    let fault = |member, fault| JwsError::Base64url { member, fault };
    let protected = base64url_encode(format!(r#"{{"alg":"ES256","kid":"{KID}","url":"{URL}"}}"#).as_bytes());
    assert_eq!(error("e3=", "e30", "AAAA"), fault("protected", Base64urlError::Padding(2)));
    assert_eq!(error(&protected, "e30=", "AAAA"), fault("payload", Base64urlError::Padding(3)));
    assert_eq!(error(&protected, "e31", "AAAA"), fault("payload", Base64urlError::TrailingBits));
    assert_eq!(error(&protected, "e3 0", "AAAA"), fault("payload", Base64urlError::Symbol(2)));
    assert_eq!(error(&protected, "e30", "AA+/"), fault("signature", Base64urlError::Symbol(2)));
    assert_eq!(error(&protected, "e30", "AAAAA"), fault("signature", Base64urlError::Length));
}

#[test]
fn a_body_over_the_limit_is_refused_unread() {
    let body = vec![b'{'; acme::jws::JWS_OCTETS_MAX + 1];
    let error = Jws::parse(&body).expect_err("too long");
    assert_eq!(error, JwsError::TooLong(body.len()));
    assert_eq!(error.problem().status, 413);
}

#[test]
fn post_as_get_has_an_empty_payload_and_nothing_else_is() {
    let empty = verified(b"");
    assert_eq!((empty.payload(), empty.is_post_as_get()), (Payload::Empty, true));
    assert_eq!(empty.expect_post_as_get(), Ok(()));
    assert_eq!(empty.json::<NewOrder>(), Err(JwsError::EmptyPayload));
    let object = verified(b"{}");
    assert!(!object.is_post_as_get());
    assert_eq!(object.expect_post_as_get(), Err(JwsError::NotPostAsGet));
    assert!(JwsError::NotPostAsGet.to_string().contains("not even `{}`"));
}

#[test]
fn a_payload_is_one_object_with_each_known_member_once() {
    let order = |json: &str| verified(json.as_bytes()).json::<NewOrder>();
    let good = order(r#"{"identifiers":[{"type":"dns","value":"a.example"}],"status":"valid","later":[{}]}"#);
    assert_eq!(good.expect("unknown members are ignored").identifiers.len(), 1);
    for bad in [
        r#"{"identifiers":[],"identifiers":[]}"#,
        r#"{"identifiers":[{"type":"dns","type":"dns","value":"a.example"}]}"#,
        r#"{"identifiers":[["dns","a.example"]]}"#,
        r#"[[{"type":"dns","value":"a.example"}]]"#,
        r#"{"identifiers":[]} x"#,
        r#"{}"#,
        "null",
        "\u{feff}{}",
    ] {
        assert!(matches!(order(bad), Err(JwsError::Payload(_))), "{bad}");
    }
}

#[test]
fn deep_nesting_is_refused_and_never_exhausts_the_stack() {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let order = |json: String| verified(json.as_bytes()).json::<NewOrder>();
    assert!(order(format!(r#"{{"identifiers":{deep}}}"#)).is_err());
    assert!(order(format!(r#"{{"identifiers":[],"later":{deep}}}"#)).is_err());
}
