//! The domain on real stores: one list of cases, each in memory and on SQLite, with real keys, signed requests, audit
//! logs and built-in CT logs. Only the world outside is a double, and time moves when a case moves it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on ends where it stands")]

mod cases;
mod world;
