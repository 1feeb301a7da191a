//! JSON read strictly: an object where the RFC says object (serde alone also takes an array), no second value after
//! it, `null` is not the same as absent, and nothing is nested deeper than any object of ACME.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The longest text of a parser's complaint that is passed on, in characters; it may quote what was sent.
const COMPLAINT_CHARS_MAX: usize = 200;

/// Objects and arrays within each other. A key change, the deepest of ACME's objects, needs 3.
const NESTING_MAX: usize = 16;

/// A text that borrows from the input unless it has escapes.
#[derive(Debug, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a member is there at all, whatever its value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presence(pub(crate) bool);

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// For `deserialize_with` beside `default`: the member may be absent, but not `null`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

/// Deserializes `T` from a JSON object and from nothing else.
pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

/// Reads the whole of `json` as one object.
///
/// # Errors
/// The complaint of the parser, cut to a bounded length.
pub(crate) fn object_from_slice<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    // Members that nobody knows are passed over, however deep they are: the parser itself sets them no limit.
    if nesting(json) > NESTING_MAX {
        return Err(format!("objects and arrays are nested more than {NESTING_MAX} deep"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    object(&mut deserializer).and_then(|value| deserializer.end().map(|()| value)).map_err(|error| complaint(&error))
}

/// The deepest nesting of what looks like JSON: brackets outside of strings.
fn nesting(json: &[u8]) -> usize {
    let (mut deepest, mut depth) = (0_usize, 0_usize);
    let mut octets = json.iter();
    while let Some(octet) = octets.next() {
        match octet {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => pass_string(&mut octets),
            _ => {}
        }
    }
    deepest
}

/// Goes on to the end of a string, past what is escaped.
fn pass_string(octets: &mut std::slice::Iter<'_, u8>) {
    while let Some(octet) = octets.next() {
        match octet {
            b'"' => return,
            b'\\' => drop(octets.next()),
            _ => {}
        }
    }
}

fn complaint(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.char_indices().nth(COMPLAINT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Pair<'a> {
        #[serde(borrow)]
        first: Text<'a>,
        #[serde(default)]
        second: Presence,
        #[serde(default, deserialize_with = "present")]
        third: Option<u8>,
    }

    #[test]
    fn text_borrows_unless_it_is_escaped() {
        let plain: Pair<'_> = object_from_slice(br#"{"first":"a"}"#).expect("reads");
        assert!(matches!(plain.first.0, Cow::Borrowed("a")));
        assert_eq!((plain.second, plain.third), (Presence(false), None));
        let escaped: Pair<'_> = object_from_slice(br#"{"first":"\u0061","second":null,"third":3}"#).expect("reads");
        assert!(matches!(&escaped.first.0, Cow::Owned(text) if text == "a"));
        assert_eq!((escaped.second, escaped.third), (Presence(true), Some(3)));
    }

    #[test]
    fn arrays_duplicates_nulls_and_second_values_are_refused() {
        for (json, complaint) in [
            (r#"["a",1]"#, "expected a JSON object"),
            (r#"{"first":"a","first":"a"}"#, "duplicate field `first`"),
            (r#"{"first":"a","second":1,"second":1}"#, "duplicate field `second`"),
            (r#"{"first":"a","third":null}"#, "invalid type: null"),
            (r#"{"first":"a"} {}"#, "trailing characters"),
            ("", "EOF"),
        ] {
            let error = object_from_slice::<Pair<'_>>(json.as_bytes()).expect_err(json);
            assert!(error.contains(complaint), "{json}: {error}");
        }
    }

    #[test]
    fn a_complaint_does_not_echo_an_endless_text() {
        let json = format!(r#"{{"first":"a","third":"{}"}}"#, "é".repeat(10_000));
        let error = object_from_slice::<Pair<'_>>(json.as_bytes()).expect_err("not a number");
        assert!(error.chars().count() <= COMPLAINT_CHARS_MAX + 1, "{error}");
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| format!(r#"{{"first":"a","second":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let json = nested(NESTING_MAX - 1);
        assert_eq!(object_from_slice::<Pair<'_>>(json.as_bytes()).expect("it is not deep").second, Presence(true));
        for depth in [NESTING_MAX, 200_000] {
            let error = object_from_slice::<Pair<'_>>(nested(depth).as_bytes()).expect_err("too deep");
            assert!(error.contains("nested more than 16 deep"), "{error}");
        }
    }

    #[test]
    fn brackets_in_strings_nest_nothing() {
        let json = format!(r#"{{"first":"{0}\\","second":"\"{0}"}}"#, "[{".repeat(100));
        assert!(object_from_slice::<Pair<'_>>(json.as_bytes()).is_ok());
    }
}
