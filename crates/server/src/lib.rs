//! The `cairn` binary: configuration, command line, doors and workers around the domain.

pub mod admin_socket;
pub mod assembly;
mod checkpoints;
pub mod cli;
pub mod config;
pub mod dev;
pub mod found;
pub mod fsck;
pub mod hierarchy;
pub mod http;
pub mod metrics;
pub mod own;
pub mod pebble;
mod places;
pub mod publication;
pub mod published;
mod restoration;
pub mod serve;
pub mod telemetry;
pub mod upkeep;
pub mod world;
