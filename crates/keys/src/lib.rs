//! Keys and what is signed with them: key files, the signer, throwaway keys for linting, keys of the built-in CT logs.
//!
//! A private key never leaves [`KeyPair`] but into its own file. What an issuer's key signs is decided by the records
//! of the ledger, read anew before each signature ([`FileSigner`]); ceremonies ([`ceremony`]) are the one exception.

pub mod ceremony;
mod checkpoint_key;
mod file_signer;
mod key_file;
mod key_pair;
mod log_key;
mod throwaway;

pub use checkpoint_key::FileCheckpointKey;
pub use file_signer::{FileSigner, IssuerKey, IssuerKeyError};
pub use key_file::{KEY_FILE_OCTETS_MAX, KeyFile, KeyFileError, KeyFileFault};
pub use key_pair::{KeyAlgorithm, KeyPair, KeyPairError, ParseKeyAlgorithmError};
pub use log_key::FileLogKey;
pub use throwaway::ThrowawayKeys;
