//! Blows against the real server, on real disks, while clients are at work: no order is lost, none is stuck, and what a
//! client was told is not taken back. The short form is a part of all tests; `CONTRIBUTING.md` says how to run the long
//! one.

mod book;
mod clock;
mod disk;
mod failed_sync;
mod full_disk;
mod kill;
mod load;
mod parameters;
mod power_cut;
mod seen_elsewhere;
mod small_disk;
mod stop;
#[path = "../serving/support/mod.rs"]
#[allow(dead_code, reason = "the tests of `serving` use the rest of it")]
mod support;
mod torn_line;
