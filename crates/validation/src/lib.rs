//! The world outside, as a certificate authority has to see it: challenges tested over DNS, HTTP and TLS, and CAA.
//!
//! [`NetworkValidator`] is the port `ca::ports::Validator` over a real network. Whatever it meets there is hostile:
//! each step has a limit in time and octets, each address is checked against a [`TargetPolicy`] right before it is
//! dialled, and all that was asked, dialled and answered is written down as evidence. Time comes from the `Clock` port
//! alone.

pub mod caa;
pub mod dns;

mod addresses;
mod challenge_certificate;
mod dialler;
mod dns01;
mod evidence;
mod http01;
mod http_exchange;
mod metered;
mod network;
mod redirect;
mod settings;
mod shortfall;
mod targets;
mod time_limit;
mod tls;
mod tls_alpn01;
mod validator;

pub use network::{Connection, Network};
pub use settings::Settings;
pub use targets::{Forbidden, TargetPolicy};
pub use validator::NetworkValidator;
