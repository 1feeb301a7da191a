//! Faults and short cuts for the tests of ACME clients: the table `[dev]` of a configuration and the variables
//! `CAIRN_DEV_…`, in the regime `dev` alone. They are put around the ports and doors; the domain knows none of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use acme::SuggestedWindow;
use async_trait::async_trait;
use ca::authorization::{CaaRecord, ValidationRecord};
use ca::ports::{
    CaaCheck, ChallengeTest, Clock, Random, SignError, Signed, Signer, SigningRequest, Validated, Validator,
};
use pki::Timestamp;
use serde::Deserialize;

/// The start of the names of the variables.
pub const VARIABLE_PREFIX: &str = "CAIRN_DEV_";
/// Longer waits than this are nobody's test, in seconds.
const SECONDS_MAX: u32 = 3600;

/// What tests of clients want to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Dev {
    /// So many of 100 good nonces are refused as `badNonce`.
    pub bad_nonce_percent: u8,
    /// Every so many'th newOrder is answered `rateLimited`; 0: none.
    pub rate_limit_every: u32,
    /// A challenge is tested after a random wait of up to so many seconds.
    pub validation_delay: u32,
    /// Challenges are not tested: every answer counts as shown.
    pub always_valid: bool,
    /// A certificate is there so many seconds after finalize.
    pub issuance_delay: u32,
    /// The windows of all renewals (RFC 9773) are so many seconds later, or, below 0, earlier.
    pub renewal_shift: i32,
}

/// A variable or key that can't be used, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {fault}")]
pub struct DevError {
    /// The key or variable.
    pub name: String,
    /// What is wrong with it.
    pub fault: String,
}

impl Dev {
    /// These with what variables say instead. Those that begin with [`VARIABLE_PREFIX`] are read, but for the ones
    /// named in `others`.
    ///
    /// # Errors
    /// An unknown variable, or a value that can't be used.
    pub fn with_variables(mut self, variables: &BTreeMap<String, String>, others: &[&str]) -> Result<Self, DevError> {
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(VARIABLE_PREFIX).filter(|key| !others.contains(key)) else { continue };
            match key {
                "BAD_NONCE_PERCENT" => self.bad_nonce_percent = percent(name, value)?,
                "RATE_LIMIT_EVERY" => self.rate_limit_every = number(name, value)?,
                "VALIDATION_DELAY" => self.validation_delay = number(name, value)?,
                "ALWAYS_VALID" => self.always_valid = switch(name, value)?,
                "ISSUANCE_DELAY" => self.issuance_delay = number(name, value)?,
                "RENEWAL_SHIFT" => {
                    self.renewal_shift =
                        value.parse().map_err(|_| wrong(name, value, "expected seconds, below 0 for earlier"))?;
                }
                _ => {
                    let fault = "there is no such variable; docs/pebble.md lists them".to_owned();
                    return Err(DevError { name: name.clone(), fault });
                }
            }
        }
        self.checked()
    }

    fn checked(self) -> Result<Self, DevError> {
        let fault = |name: &str, fault: String| Err(DevError { name: format!("dev.{name}"), fault });
        if self.bad_nonce_percent > 100 {
            return fault("bad-nonce-percent", format!("is {}; expected 0 to 100", self.bad_nonce_percent));
        }
        for (name, value) in [("validation-delay", self.validation_delay), ("issuance-delay", self.issuance_delay)] {
            if value > SECONDS_MAX {
                return fault(name, format!("is {value} s; expected 0 to {SECONDS_MAX}"));
            }
        }
        Ok(self)
    }

    /// What it adds to the time of a test of a challenge.
    pub fn validation_delay_max(&self) -> Duration {
        Duration::from_secs(self.validation_delay.into())
    }

    /// What it adds to the time of a signature.
    pub fn issuance_delay(&self) -> Duration {
        Duration::from_secs(self.issuance_delay.into())
    }
}

/// A number from 0 to 100.
///
/// # Errors
/// It is none.
pub fn percent(name: &str, value: &str) -> Result<u8, DevError> {
    let number = value.parse::<u8>().ok().filter(|number| *number <= 100);
    number.ok_or_else(|| wrong(name, value, "expected a number from 0 to 100"))
}

/// A number.
///
/// # Errors
/// It is none, or too big.
pub fn number(name: &str, value: &str) -> Result<u32, DevError> {
    value.parse().map_err(|_| wrong(name, value, "expected a number, 0 or more"))
}

/// On or off.
///
/// # Errors
/// It is neither.
pub fn switch(name: &str, value: &str) -> Result<bool, DevError> {
    match value {
        "1" | "true" | "True" | "TRUE" => Ok(true),
        "" | "0" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(wrong(name, value, "expected 1 or true, 0 or false")),
    }
}

/// Whether this variable is on; one that isn't there is off.
///
/// # Errors
/// It is neither on nor off.
pub fn switch_of(variables: &BTreeMap<String, String>, name: &str) -> Result<bool, DevError> {
    variables.get(name).map_or(Ok(false), |value| switch(name, value))
}

fn wrong(name: &str, value: &str, expected: &str) -> DevError {
    let shown: String = value.chars().take(60).collect();
    DevError { name: name.to_owned(), fault: format!("{shown:?} can't be used; {expected}") }
}

/// Faults of the ACME listener.
#[derive(Debug, Default)]
pub struct Faults {
    bad_nonce_percent: u8,
    rate_limit_every: u32,
    renewal_shift: i32,
    orders: AtomicU32,
}

impl Faults {
    /// Those that are wanted.
    pub fn new(dev: &Dev) -> Self {
        let Dev { bad_nonce_percent, rate_limit_every, renewal_shift, .. } = *dev;
        Self { bad_nonce_percent, rate_limit_every, renewal_shift, orders: AtomicU32::new(0) }
    }

    /// Whether a nonce that is good is refused.
    pub fn refuses_nonce(&self, random: &dyn Random) -> bool {
        happens(random, self.bad_nonce_percent)
    }

    /// The window of a renewal as tests want to see it.
    pub fn shifted(&self, window: SuggestedWindow) -> SuggestedWindow {
        if self.renewal_shift == 0 {
            return window;
        }
        let by = Duration::from_secs(self.renewal_shift.unsigned_abs().into());
        let shifted = |text: String| match Timestamp::parse_rfc3339(&text) {
            Some(time) if self.renewal_shift < 0 => time.minus(by).to_rfc3339(),
            Some(time) => time.plus(by).to_rfc3339(),
            None => text,
        };
        SuggestedWindow { start: shifted(window.start), end: shifted(window.end) }
    }

    /// Whether this newOrder is answered `rateLimited`.
    pub fn limits_order(&self) -> bool {
        self.rate_limit_every != 0
            && (self.orders.fetch_add(1, Ordering::Relaxed).wrapping_add(1)).is_multiple_of(self.rate_limit_every)
    }
}

/// Whether something happens that is wanted in so many of 100 cases.
fn happens(random: &dyn Random, percent: u8) -> bool {
    percent != 0 && below(random, 100) < u32::from(percent)
}

/// A random number below a limit that is not 0.
fn below(random: &dyn Random, limit: u32) -> u32 {
    let mut octets = [0; 8];
    random.fill(&mut octets);
    u32::try_from(u64::from_le_bytes(octets) % u64::from(limit)).unwrap_or(0)
}

/// A validator that waits before a test, or tests nothing.
#[derive(Debug)]
pub struct DevValidator {
    inner: Arc<dyn Validator>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    delay_max: Duration,
    always_valid: bool,
}

impl DevValidator {
    /// This validator with what is wanted around it.
    pub fn around(
        inner: Arc<dyn Validator>,
        dev: &Dev,
        clock: &Arc<dyn Clock>,
        random: &Arc<dyn Random>,
    ) -> Arc<dyn Validator> {
        if dev.validation_delay == 0 && !dev.always_valid {
            return inner;
        }
        let (delay_max, always_valid) = (dev.validation_delay_max(), dev.always_valid);
        Arc::new(Self { inner, clock: Arc::clone(clock), random: Arc::clone(random), delay_max, always_valid })
    }
}

#[async_trait]
impl Validator for DevValidator {
    async fn validate(&self, test: ChallengeTest) -> (Validated, ValidationRecord) {
        let limit = u32::try_from(self.delay_max.as_millis()).unwrap_or(u32::MAX);
        if limit > 0 {
            self.clock.sleep(Duration::from_millis(below(&*self.random, limit).into())).await;
        }
        if !self.always_valid {
            return self.inner.validate(test).await;
        }
        let now = self.clock.now();
        let evidence = vec!["nothing was tested: every answer counts (development mode)".to_owned()];
        let record = ValidationRecord { method: test.method, began: now, ended: now, evidence, problem: None };
        (Validated::Shown, record)
    }

    fn permits_address(&self, address: IpAddr) -> Result<(), String> {
        if self.always_valid { Ok(()) } else { self.inner.permits_address(address) }
    }

    async fn check_caa(&self, check: CaaCheck) -> CaaRecord {
        self.inner.check_caa(check).await
    }
}

/// A signer that is slow with certificates, once it is told that the server has started.
#[derive(Debug)]
pub struct SlowSigner {
    inner: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    delay: Duration,
    started: Arc<AtomicBool>,
}

impl SlowSigner {
    /// This signer, slower from the moment on that `started` says so: the server's own certificate doesn't wait.
    pub fn around(
        inner: Arc<dyn Signer>,
        dev: &Dev,
        clock: &Arc<dyn Clock>,
        started: &Arc<AtomicBool>,
    ) -> Arc<dyn Signer> {
        if dev.issuance_delay == 0 {
            return inner;
        }
        let (clock, started) = (Arc::clone(clock), Arc::clone(started));
        Arc::new(Self { inner, clock, delay: dev.issuance_delay(), started })
    }
}

#[async_trait]
impl Signer for SlowSigner {
    async fn sign(&self, request: SigningRequest) -> Result<Signed, SignError> {
        if matches!(request, SigningRequest::Certificate { .. }) && self.started.load(Ordering::Relaxed) {
            self.clock.sleep(self.delay).await;
        }
        self.inner.sign(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SystemRandom;

    fn variables(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn variables_count_before_the_file() {
        let file = Dev { bad_nonce_percent: 5, validation_delay: 3, ..Dev::default() };
        let set = variables(&[
            ("CAIRN_DEV_BAD_NONCE_PERCENT", "20"),
            ("CAIRN_DEV_RATE_LIMIT_EVERY", "3"),
            ("CAIRN_DEV_ALWAYS_VALID", "1"),
            ("CAIRN_DEV_ISSUANCE_DELAY", "2"),
            ("CAIRN_DEV_RENEWAL_SHIFT", "-86400"),
            ("CAIRN_DEV_CAA", "enforce"),
            ("PATH", "/bin"),
        ]);
        let wanted = Dev {
            bad_nonce_percent: 20,
            rate_limit_every: 3,
            validation_delay: 3,
            always_valid: true,
            issuance_delay: 2,
            renewal_shift: -86_400,
        };
        assert_eq!(file.with_variables(&set, &["CAA"]), Ok(wanted));
    }

    #[test]
    fn a_wrong_variable_is_named_with_what_would_be_right() {
        for (name, value, part) in [
            ("CAIRN_DEV_BAD_NONCE_PERCENT", "101", "0 to 100"),
            ("CAIRN_DEV_BAD_NONCE_PERCENT", "some", "\"some\""),
            ("CAIRN_DEV_RATE_LIMIT_EVERY", "-1", "0 or more"),
            ("CAIRN_DEV_ALWAYS_VALID", "yes", "1 or true"),
            ("CAIRN_DEV_ISSUANCE_DELAY", "4000", "0 to 3600"),
            ("CAIRN_DEV_RENEWAL_SHIFT", "soon", "below 0 for earlier"),
            ("CAIRN_DEV_NONSENSE", "1", "docs/pebble.md"),
        ] {
            let error = Dev::default().with_variables(&variables(&[(name, value)]), &[]).expect_err(name).to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
    }

    #[test]
    fn faults_come_as_often_as_they_are_wanted() {
        let often = |percent| (0..400).filter(|_| happens(&SystemRandom, percent)).count();
        assert_eq!((often(0), often(100)), (0, 400));
        assert!((100..300).contains(&often(50)), "half of 400 is far from 100 and 300");
        let faults = Faults::new(&Dev { rate_limit_every: 3, ..Dev::default() });
        let limited: Vec<bool> = (0..6).map(|_| faults.limits_order()).collect();
        assert_eq!(limited, [false, false, true, false, false, true]);
        assert!(!Faults::default().limits_order());
    }
}
