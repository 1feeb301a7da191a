//! The real server, as its clients and its operator meet it: what bad input gets, what the command line says. Each test
//! has a server of its own, on ports of its own.

mod accounts;
mod audit;
mod bad_input;
mod chains;
mod cli;
mod crl_generations;
mod crls;
mod dev;
mod draining;
mod external_accounts;
mod filled;
mod front;
mod key_change;
mod keys;
mod new_orders;
mod ocsp;
mod orders;
mod pebble;
mod protocol;
mod publication;
mod recover;
mod renewal;
mod revocation;
mod revoke_many;
mod states;
mod stops;
mod support;
mod terms;
