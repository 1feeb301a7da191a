//! Blows at random moments, under load: no request is lost and none is stuck.

mod kill;
mod load;
mod stop;
