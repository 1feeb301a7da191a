//! RFC 8555 on the wire: what an ACME client and an ACME server say to each other.
//!
//! Pure: no clock, no randomness, no I/O. Every type that a client sends is read strictly (base64url without padding,
//! no duplicate members, JSON objects where the RFC says object), and every error says what was wrong and what would
//! be right. Both sides are here, so that server, load tool and tests speak with one voice.

pub mod account;
pub mod authorization;
pub mod base64url;
pub mod challenge;
pub mod contact;
pub mod directory;
pub mod dns_name;
mod ed25519;
mod evidence;
pub mod external_account;
pub mod identifier;
mod idna2008;
pub mod jwk;
pub mod jws;
pub mod key_change;
pub mod order;
pub mod problem;
pub mod renewal;
pub mod revocation;
pub mod signing;
mod strict;
pub mod thumbprint;
pub mod verification;

pub use account::{AccountObject, AccountStatus, AccountUpdate, NewAccount, OrderList};
pub use authorization::{AuthorizationObject, AuthorizationStatus, AuthorizationUpdate, NewAuthorization};
pub use base64url::{Base64urlError, base64url_decode, base64url_encode};
pub use challenge::{
    ChallengeKind, ChallengeObject, ChallengeStatus, KeyAuthorization, Token, TokenError, UnknownChallengeKind,
};
pub use contact::{Contact, ContactError};
pub use directory::{Directory, DirectoryMeta};
pub use dns_name::DnsName;
pub use evidence::Evidence;
pub use external_account::{BindingError, ExternalAccountBinding, MacKey, bind_externally};
pub use identifier::{Identifier, IdentifierError, WireIdentifier};
pub use jwk::{Jwk, JwkError};
pub use jws::{ALGORITHMS, Algorithm, Jws, JwsError, KeyReference, Payload, Protected, Verified};
pub use key_change::{KeyChange, KeyChangeError};
pub use order::{Finalize, NewOrder, OrderObject, OrderStatus};
pub use problem::{Problem, ProblemType, Subproblem};
pub use renewal::{CertificateIdentifier, CertificateIdentifierError, RenewalInfo, SuggestedWindow};
pub use revocation::RevokeRequest;
pub use signing::{Header, SigningKey, SigningKeyError, sign};
pub use thumbprint::Thumbprint;
pub use verification::VerifyingKey;
