//! What a certificate authority decides, and in what order: policy, orders and their stages, the issuance cycle,
//! revocation, status. It reaches the world through [`ports`] alone: no I/O, no executor; it awaits and never spawns.

pub mod account;
pub mod authorization;
pub mod base64;
pub mod order;
pub mod ports;
pub mod profile;

mod id;

pub use id::{AccountId, AuthorizationId, InstanceId, LeaseToken, OrderId, ParseIdError};
