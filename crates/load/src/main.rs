//! `cairn-load`: an ACME load client for any CA, and the arithmetic of the least that an issuance can cost.

mod cli;
mod client;
mod connection;
mod csr;
mod failure;
mod flow;
mod limit;
mod process;
mod report;
mod responder;
mod run;
mod tls;
mod world;

use std::process::ExitCode;

// The client shares its cores with the server that it measures: it must be light itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
