//! What a client asked for at finalize, and how it stands in records.

use acme::Evidence;
use pki::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the client asked for at finalize (RFC 8555 §7.4), as it signed it.
///
/// In records it stands once and in clear: as the header, the payload and the signature of its JWS, in which the CSR
/// is. One whose CSR isn't that of its JWS, or whose JWS is not in its shortest form, is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finalize {
    /// The PKCS#10 request, in DER.
    pub csr: Vec<u8>,
    /// The whole request, as the client signed it: what the signer believes.
    pub jws: Vec<u8>,
    /// When it came.
    pub received: Timestamp,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Clear {
        #[serde(flatten)]
        evidence: Evidence,
        received: Timestamp,
    },
    Whole {
        #[serde(with = "crate::base64")]
        csr: &'a [u8],
        #[serde(with = "crate::base64")]
        jws: &'a [u8],
        received: Timestamp,
    },
}

#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    protected: Option<String>,
    #[serde(default)]
    payload: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    csr: Option<Octets>,
    #[serde(default)]
    jws: Option<Octets>,
    received: Timestamp,
}

#[derive(Deserialize)]
struct Octets(#[serde(with = "crate::base64")] Vec<u8>);

impl Serialize for Finalize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { csr, jws, received } = self;
        let clear = Evidence::of(jws).filter(|evidence| csr_of(evidence).is_ok_and(|asked| asked == *csr));
        match clear {
            Some(evidence) => Written::Clear { evidence, received: *received },
            None => Written::Whole { csr, jws, received: *received },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Finalize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Read::deserialize(deserializer)? {
            Read {
                protected: Some(protected), payload: Some(payload), signature: Some(signature), received, ..
            } => {
                let evidence = Evidence { protected, payload, signature };
                let csr = csr_of(&evidence).map_err(de::Error::custom)?;
                Ok(Self { csr, jws: evidence.to_jws(), received })
            }
            Read { csr: Some(Octets(csr)), jws: Some(Octets(jws)), received, .. } => Ok(Self { csr, jws, received }),
            Read { .. } => Err(de::Error::custom(
                "a finalize request has `protected`, `payload` and `signature`, or `csr` and `jws`",
            )),
        }
    }
}

/// The CSR for which it asks.
fn csr_of(evidence: &Evidence) -> Result<Vec<u8>, String> {
    let asked: acme::Finalize = evidence.json().map_err(|error| error.to_string())?;
    asked.csr_der().map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finalize(csr: &[u8], payload: &str) -> Finalize {
        let evidence = Evidence {
            protected: r#"{"alg":"ES256"}"#.to_owned(),
            payload: payload.to_owned(),
            signature: "c2lnbmF0dXJl".to_owned(),
        };
        Finalize { csr: csr.to_vec(), jws: evidence.to_jws(), received: Timestamp::from_millis(7) }
    }

    fn there_and_back(written: &Finalize) -> serde_json::Value {
        let json = serde_json::to_value(written).unwrap();
        assert_eq!(serde_json::from_value::<Finalize>(json.clone()).unwrap(), *written);
        json
    }

    #[test]
    fn what_was_signed_stands_in_clear_and_once() {
        let json = there_and_back(&finalize(b"csr", r#"{"csr":"Y3Ny"}"#));
        assert_eq!(
            json,
            serde_json::json!({
                "protected": r#"{"alg":"ES256"}"#,
                "payload": r#"{"csr":"Y3Ny"}"#,
                "signature": "c2lnbmF0dXJl",
                "received": 7
            })
        );
    }

    #[test]
    fn what_is_not_what_was_signed_is_kept_as_it_is() {
        let loose = Finalize { jws: b"{ }".to_vec(), ..finalize(b"csr", "") };
        for one in [finalize(b"other", r#"{"csr":"Y3Ny"}"#), finalize(b"csr", "{}"), finalize(b"csr", ""), loose] {
            assert!(there_and_back(&one).get("csr").is_some(), "{one:?}");
        }
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        let earlier = r#"{"csr":"Y3Ny","jws":"eyB9","received":7}"#;
        let loose = Finalize { jws: b"{ }".to_vec(), ..finalize(b"csr", "") };
        assert_eq!(serde_json::from_str::<Finalize>(earlier).unwrap(), loose);
    }

    #[test]
    fn half_a_record_is_none() {
        for record in [
            r#"{"csr":"Y3Ny","received":7}"#,
            r#"{"protected":"{}","payload":"{}","received":7}"#,
            r#"{"protected":"{}","payload":"{}","signature":"","received":7}"#,
            r#"{"protected":"{}","payload":"{\"csr\":\"Y3Ny\"}","signature":""}"#,
        ] {
            assert!(serde_json::from_str::<Finalize>(record).is_err(), "{record}");
        }
    }
}
