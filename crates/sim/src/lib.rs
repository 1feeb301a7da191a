//! A simulated world in which whole CAs live, crash and recover, in one thread and decided by one seed: the real
//! handlers, domain, signer, logs and validation over simulated time, chance, network and disks.

pub mod audit;
pub mod chance;
pub mod client;
pub mod clock;
pub mod ct_logs;
pub mod disk;
pub mod enumeration;
pub mod executor;
pub mod internet;
pub mod keys;
pub mod machine;
mod mishaps;
pub mod network;
pub mod operators;
pub mod planted;
pub mod ports;
mod relying_party;
pub mod run;
pub mod scenario;
pub mod story;
pub mod tally;
pub mod world;
