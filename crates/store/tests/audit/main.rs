//! The audit log on files: what a restart finds, what a verification finds, what a power cut leaves.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod checkpoints;
mod files;
mod moved_away;
mod place;
mod torn;
mod verification;
mod witnesses;
