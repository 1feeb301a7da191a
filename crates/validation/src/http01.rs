//! http-01 (RFC 8555 §8.3).

use acme::ProblemType;
use ca::ports::ChallengeTest;
use http::StatusCode;

use crate::addresses::Host;
use crate::evidence::{Evidence, excerpt};
use crate::http_exchange::{Body, Fetched, fetch};
use crate::redirect::{Scheme, Target};
use crate::shortfall::Shortfall;
use crate::validator::NetworkValidator;

/// Fetches the token's URL, follows redirects, and compares what comes with the key authorization.
pub(crate) async fn test(
    validator: &NetworkValidator,
    test: &ChallengeTest,
    evidence: &Evidence,
) -> Result<(), Shortfall> {
    let settings = validator.settings();
    let mut target = Target {
        scheme: Scheme::Http,
        host: Host::of(&test.identifier),
        port: settings.http_port,
        path_and_query: format!("/.well-known/acme-challenge/{}", test.token),
    };
    let mut visited = Vec::new();
    loop {
        let fetched = fetch(validator, &target, evidence).await?;
        if !redirects(fetched.status) {
            return compare(&target, fetched, test);
        }
        let Some(location) = fetched.location else {
            let detail = format!("{target} answered {} from {}, without a Location", fetched.status, fetched.address);
            return Err(Shortfall::unauthorized(detail));
        };
        let refused = |detail| Shortfall::lasting(ProblemType::Connection, detail);
        let next = target.redirected(&location, &test.identifier, settings).map_err(refused)?;
        evidence.note(format!("redirected to {next}"));
        visited.push(std::mem::replace(&mut target, next));
        if visited.contains(&target) {
            return Err(refused(format!("the redirects go in a circle: {target} was asked before")));
        }
        if visited.len() > settings.redirects_max {
            let max = settings.redirects_max;
            return Err(refused(format!("more than {max} redirects; the last one leads to {target}")));
        }
    }
}

const fn redirects(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

fn compare(target: &Target, fetched: Fetched, test: &ChallengeTest) -> Result<(), Shortfall> {
    let Fetched { address, status, body, location: _ } = fetched;
    if status != StatusCode::OK {
        let detail = format!("{target} answered {status} from {address}; expected 200 and the key authorization");
        return Err(Shortfall::unauthorized(detail));
    }
    let expected = test.key_authorization.as_str();
    match body {
        // RFC 8555 §8.3: white space at the end is ignored, and nothing else.
        Body::Whole(octets) if octets.trim_ascii_end() == expected.as_bytes() => Ok(()),
        Body::Whole(octets) if octets.trim_ascii_end().is_empty() => {
            let detail = format!("{target} answered from {address} with an empty body; expected \"{expected}\"");
            Err(Shortfall::unauthorized(detail))
        }
        Body::Whole(octets) => {
            let found = excerpt(&octets);
            let detail = format!("{target} answered {found} from {address}; expected \"{expected}\"");
            Err(Shortfall::unauthorized(detail))
        }
        Body::TooLong(octets) => {
            let (found, max) = (excerpt(&octets), octets.len());
            let detail = format!(
                "{target} answered from {address} with more than {max} octets, beginning with {found}; expected \
                 \"{expected}\""
            );
            Err(Shortfall::lasting(ProblemType::Connection, detail))
        }
    }
}
