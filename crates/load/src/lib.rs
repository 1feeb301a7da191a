//! `cairn-load`: an ACME load client for any CA, the arithmetic of the least that an issuance can cost, and stores of
//! any size for a CA to be measured with. A library with a thin `main`, so that tests fill a store in their own
//! process.

pub mod cli;
mod client;
mod connection;
mod csr;
mod failure;
pub mod fill;
mod flow;
mod limit;
mod process;
mod report;
mod responder;
mod run;
mod tls;
mod world;
