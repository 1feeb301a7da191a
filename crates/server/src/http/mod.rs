//! The doors: three listeners over one accept loop.

pub mod acme;
pub mod admin;
pub mod errands;
mod exchange;
mod guests;
pub mod limits;
pub mod listener;
pub mod ocsp;
mod paced;
mod representation;
pub mod status;
pub mod tls;
