//! What a certificate authority decides, and in what order: policy, orders and their stages, the issuance cycle,
//! revocation, status. It reaches the world through [`ports`] alone: no I/O, no executor; it awaits and never spawns.

/// A fault put in on purpose for the simulation to find: there is none of it here. See `planted.rs`.
#[cfg(not(planted))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
    ($bug:ident $wrong:block else $right:block) => {
        $right
    };
    ($bug:ident $wrong:block) => {};
}
#[cfg(planted)]
#[macro_use]
pub mod planted;

pub mod account;
mod accounts;
mod authority;
pub mod authorization;
pub mod base64;
mod bell;
mod blocked_keys;
pub mod clock;
pub mod crl;
mod error;
pub mod external_account;
mod finalize;
mod guard;
mod id;
pub mod issuance;
mod new_order;
pub mod ocsp;
pub mod order;
mod order_list;
mod orders;
mod pipeline;
pub mod ports;
pub mod profile;
mod recovery;
mod renewal;
mod restoration;
mod revocation;
pub mod settings;
pub mod shares;
pub mod signing;
mod stops;
mod sweep;
mod terms;
mod testing;
pub mod urls;
pub mod validity;

pub use accounts::{KeyChanged, still_valid};
pub use authority::Ca;
pub use bell::Bell;
pub use blocked_keys::KeysRevoked;
pub use error::{Answer, Error};
pub use guard::{guarded, panics};
pub use id::{AccountId, AuthorizationId, ExternalKeyId, InstanceId, LeaseToken, OrderId, ParseIdError};
pub use order_list::{OrderCursor, OrderPage};
pub use orders::AuthorizationView;
pub use pipeline::Worked;
pub use recovery::{Recovered, RecoveryError};
pub use renewal::{Moved, RenewalAnswer, suggested_window};
pub use restoration::{Restoration, Survey, Unknown};
pub use revocation::{REVOKED_TOGETHER_MAX, RevokedTogether, Revoker};
pub use stops::{Resumed, STOPS_MAX, StopNumbers};
pub use sweep::{Swept, UnreadableOrders};
