//! Requests before they are signed, so that everything in them can be wrong.

use acme::{SigningKey, base64url_encode};
use serde_json::{Map, Value, json};

/// A request that is right until a case spoils it.
#[derive(Clone, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) key: &'a SigningKey,
    /// The members of the protected header.
    pub(crate) header: Map<String, Value>,
    pub(crate) payload: Vec<u8>,
}

impl<'a> Draft<'a> {
    /// Signed by an account (`kid`), or with the key that it carries.
    pub(crate) fn new(key: &'a SigningKey, kid: Option<&str>, nonce: &str, url: &str, payload: &[u8]) -> Self {
        let mut header = Map::new();
        header.insert("alg".to_owned(), json!(key.algorithm().as_str()));
        match kid {
            Some(kid) => header.insert("kid".to_owned(), json!(kid)),
            None => header.insert("jwk".to_owned(), jwk(key)),
        };
        header.insert("nonce".to_owned(), json!(nonce));
        header.insert("url".to_owned(), json!(url));
        Self { key, header, payload: payload.to_vec() }
    }

    /// With another value of a member of the header.
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.header.insert(member.to_owned(), value.into());
        self
    }

    /// Without a member of the header.
    pub(crate) fn without(mut self, member: &str) -> Self {
        self.header.remove(member);
        self
    }

    /// The header as JSON.
    pub(crate) fn header_text(&self) -> String {
        Value::from(self.header.clone()).to_string()
    }

    pub(crate) fn sign(&self) -> Signed {
        self.sign_header(&self.header_text())
    }

    /// Signed with this text as protected header.
    pub(crate) fn sign_header(&self, header: &str) -> Signed {
        self.sign_texts(base64url_encode(header.as_bytes()), base64url_encode(&self.payload))
    }

    /// Signed over these texts, whatever they are.
    pub(crate) fn sign_texts(&self, protected: String, payload: String) -> Signed {
        let signature = self.key.signature(format!("{protected}.{payload}").as_bytes());
        Signed { protected, payload, signature: base64url_encode(&signature) }
    }

    /// The body of the request, signed.
    pub(crate) fn body(&self) -> Vec<u8> {
        self.sign().body()
    }
}

/// A signed request: the members of a flattened JWS.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) protected: String,
    pub(crate) payload: String,
    pub(crate) signature: String,
}

impl Signed {
    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        json!({ "protected": self.protected, "payload": self.payload, "signature": self.signature })
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.json().to_string().into_bytes()
    }
}

/// The public half of a key.
pub(crate) fn jwk(key: &SigningKey) -> Value {
    serde_json::to_value(key.jwk()).expect("keys are JSON")
}
