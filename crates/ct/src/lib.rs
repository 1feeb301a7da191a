//! Certificate Transparency (RFC 6962): submission of precertificates to logs, the list of logs, and the built-in log.
//!
//! The submitter treats every log alike, as an [`Endpoint`]: one reached over HTTP ([`HttpLog`]), or one of this
//! process ([`BuiltinLog`]), which is a real log all the same. No SCT leaves the submitter that wasn't verified.

mod builtin;
mod endpoint;
mod http;
mod http_log;
mod log_list;
mod submitter;
#[cfg(test)]
mod testing;
pub mod wire;

pub use builtin::{Acceptance, BuiltinLog, ENTRIES_MAX, ReadError};
pub use endpoint::{Endpoint, EndpointError};
pub use http::{HttpLimits, TlsTrust, TlsTrustError};
pub use http_log::{HttpLog, HttpLogError};
pub use log_list::{ListedLog, LogList, LogListError, LogProtocol};
pub use submitter::{Log, LogState, Submitter, SubmitterSettings, TemporalInterval};
