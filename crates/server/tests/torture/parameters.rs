//! How long and how hard: variables of the environment, for the long form.

use std::fmt::Debug;
use std::str::FromStr;

/// The number that `CAIRN_TORTURE_…` gives for this, or that of the short form.
#[allow(
    clippy::disallowed_methods,
    reason = "the environment says how long the long form is, as CONTRIBUTING.md shows"
)]
pub(crate) fn parameter<T>(name: &str, short_form: T) -> T
where
    T: FromStr,
    T::Err: Debug,
{
    let given = std::env::var(format!("CAIRN_TORTURE_{name}")).ok().filter(|value| !value.is_empty());
    given.map_or(short_form, |value| value.parse().expect("CAIRN_TORTURE_… are numbers"))
}
