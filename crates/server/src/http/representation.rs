//! What may be asked of a file over HTTP: whether it has changed, and a part of it (RFC 9110 §13, §14).

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use pki::Timestamp;

/// A file as it is now.
#[derive(Clone, Debug)]
pub(super) struct Representation {
    /// A strong validator, quotes included.
    pub(super) tag: String,
    /// Two that differ have different times.
    pub(super) modified: Timestamp,
    /// Its length.
    pub(super) octets: u64,
    /// What it is.
    pub(super) content_type: &'static str,
    /// How long it may be kept, in seconds.
    pub(super) age_max: u64,
    /// The time of the answer.
    pub(super) now: Timestamp,
}

/// What is to be sent of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    NotModified,
    Whole,
    /// From this octet to before that one.
    Range(u64, u64),
    Unsatisfiable,
}

impl Representation {
    /// The head of the answer, and from which octet to before which one is to be sent.
    pub(super) fn answer(&self, method: &Method, asked: &HeaderMap) -> (Response, (u64, u64)) {
        let wanted = self.wanted(method, asked);
        let (status, (from, to)) = match wanted {
            Wanted::NotModified => (StatusCode::NOT_MODIFIED, (0, 0)),
            Wanted::Whole => (StatusCode::OK, (0, self.octets)),
            Wanted::Range(from, to) => (StatusCode::PARTIAL_CONTENT, (from, to)),
            Wanted::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, (0, 0)),
        };
        let mut response = status.into_response();
        let headers = response.headers_mut();
        let mut say = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        say(header::ETAG, &self.tag);
        say(header::CACHE_CONTROL, &format!("public, max-age={}", self.age_max));
        say(header::ACCEPT_RANGES, "bytes");
        if let Some(modified) = last_modified(self.modified, self.now) {
            say(header::LAST_MODIFIED, &modified);
        }
        let octets = self.octets;
        match wanted {
            Wanted::Range(from, to) => say(header::CONTENT_RANGE, &format!("bytes {from}-{}/{octets}", to - 1)),
            Wanted::Unsatisfiable => say(header::CONTENT_RANGE, &format!("bytes */{octets}")),
            Wanted::NotModified | Wanted::Whole => {}
        }
        if matches!(wanted, Wanted::Whole | Wanted::Range(..)) {
            say(header::CONTENT_TYPE, self.content_type);
            say(header::CONTENT_LENGTH, &(to - from).to_string());
        }
        (response, (from, to))
    }

    fn wanted(&self, method: &Method, asked: &HeaderMap) -> Wanted {
        let said = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
        if is_known(asked, &self.tag, self.modified, self.now) {
            return Wanted::NotModified;
        }
        let same = said(header::IF_RANGE).is_none_or(|seen| {
            seen == self.tag || read_http_date(seen).is_some_and(|seen| seen.seconds() == self.modified.seconds())
        });
        match said(header::RANGE) {
            Some(range) if same && *method == Method::GET => self.range(range),
            Some(_) | None => Wanted::Whole,
        }
    }

    /// One range. Several, and what is no range of octets, are answered with the whole (RFC 9110 §14.2).
    fn range(&self, range: &str) -> Wanted {
        let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
            return Wanted::Whole;
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let (from, to) = match (number(first), number(last)) {
            (None, Some(suffix)) if first.is_empty() => (self.octets.saturating_sub(suffix), self.octets),
            (Some(from), None) if last.is_empty() => (from, self.octets),
            (Some(from), Some(last)) if from <= last => (from, last.saturating_add(1).min(self.octets)),
            _ => return Wanted::Whole,
        };
        if from < to { Wanted::Range(from, to) } else { Wanted::Unsatisfiable }
    }
}

/// Whether the client says that it has what has this tag. `None`: it names no tags.
pub(super) fn has_tag(asked: &HeaderMap, tag: &str) -> Option<bool> {
    let tags = asked.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    Some(tags.split(',').map(str::trim).any(|one| one == "*" || weak(one) == tag))
}

/// Whether the client has this already: the tag tells, or, if it says none, the time. For what is changed at most once
/// a second.
fn is_known(asked: &HeaderMap, tag: &str, modified: Timestamp, now: Timestamp) -> bool {
    let said = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    // If-None-Match is stronger: the time is not looked at beside it (RFC 9110 §13.2.2).
    match has_tag(asked, tag) {
        Some(known) => known,
        // A time of the future says nothing (RFC 9110 §13.1.3), and one that is not just this one may be that of
        // something else: after a clock was wrong, later is not newer.
        None => said(header::IF_MODIFIED_SINCE)
            .and_then(read_http_date)
            .is_some_and(|since| since <= now && since.seconds() == modified.seconds()),
    }
}

/// Last-Modified: no later than the answer (RFC 9110 §8.8.2.1), so that what was made by a clock that was ahead has
/// none.
pub(super) fn last_modified(modified: Timestamp, now: Timestamp) -> Option<String> {
    http_date(modified).filter(|_| modified.seconds() <= now.seconds())
}

/// Whether something is known is asked by weak comparison (RFC 9110 §13.1.2).
fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// A time as HTTP writes it (RFC 9110 §5.6.7).
pub(super) fn http_date(time: Timestamp) -> Option<String> {
    let time = jiff::Timestamp::from_second(time.seconds()).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
}

fn read_http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok().map(|time| Timestamp::from_seconds(time.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Representation = Representation {
        tag: String::new(),
        modified: Timestamp::from_seconds(784_111_777),
        octets: 100,
        content_type: "application/pkix-crl",
        age_max: 60,
        now: Timestamp::from_seconds(784_111_800),
    };

    fn wanted(asked: &[(HeaderName, &'static str)]) -> Wanted {
        let asked = asked.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        Representation { tag: "\"7\"".to_owned(), ..FILE }.wanted(&Method::GET, &asked)
    }

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        for (range, expected) in [
            ("bytes=0-9", Wanted::Range(0, 10)),
            ("bytes=90-", Wanted::Range(90, 100)),
            ("bytes=90-1000", Wanted::Range(90, 100)),
            ("bytes=-5", Wanted::Range(95, 100)),
            ("bytes=-500", Wanted::Range(0, 100)),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=9-3", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(wanted(&[(header::RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn part_of_another_file_is_answered_with_the_whole() {
        let range = (header::RANGE, "bytes=0-9");
        for (seen, expected) in [
            ("\"7\"", Wanted::Range(0, 10)),
            ("\"6\"", Wanted::Whole),
            ("W/\"7\"", Wanted::Whole),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Wanted::Range(0, 10)),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Wanted::Whole),
        ] {
            assert_eq!(wanted(&[range.clone(), (header::IF_RANGE, seen)]), expected, "{seen}");
        }
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let earlier = (header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT");
        let since = (header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT");
        for tags in ["\"7\"", "W/\"7\"", "\"6\", \"7\"", "*"] {
            assert_eq!(wanted(&[(header::IF_NONE_MATCH, tags)]), Wanted::NotModified, "{tags}");
        }
        assert_eq!(wanted(std::slice::from_ref(&since)), Wanted::NotModified);
        assert_eq!(wanted(&[earlier]), Wanted::Whole);
        assert_eq!(wanted(&[since, (header::IF_NONE_MATCH, "\"6\"")]), Wanted::Whole, "the tag counts");
    }

    #[test]
    fn times_that_are_not_just_that_of_the_file_say_nothing() {
        for (since, why) in [
            ("Sun, 06 Nov 1994 08:50:00 GMT", "later than the file, as of one that a wrong clock dated"),
            ("Sun, 06 Nov 1994 08:50:01 GMT", "later than the answer"),
            ("Mon, 07 Nov 1994 08:49:37 GMT", "tomorrow"),
            ("yesterday", "no date"),
        ] {
            assert_eq!(wanted(&[(header::IF_MODIFIED_SINCE, since)]), Wanted::Whole, "{why}");
        }
        let ahead = Representation { modified: FILE.now.plus(std::time::Duration::from_secs(1)), ..FILE };
        let since = HeaderMap::from_iter([(
            header::IF_MODIFIED_SINCE,
            HeaderValue::from_static("Sun, 06 Nov 1994 08:50:01 GMT"),
        )]);
        assert_eq!(ahead.wanted(&Method::GET, &since), Wanted::Whole, "a file of the future");
        assert_eq!(ahead.answer(&Method::GET, &since).0.headers().get(header::LAST_MODIFIED), None);
        assert!(FILE.answer(&Method::GET, &since).0.headers().contains_key(header::LAST_MODIFIED));
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(FILE.modified).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    }
}
