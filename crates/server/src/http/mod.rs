//! The doors: three listeners over one accept loop.

pub mod acme;
pub mod admin;
pub mod listener;
pub mod status;
pub mod tls;
