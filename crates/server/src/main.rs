//! Cairn: a certificate authority for ACME.

use std::process::ExitCode;

#[cfg(planted)]
compile_error!("`--cfg planted` puts faults in on purpose: it is for `cairn-sim` alone");

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    server::cli::run()
}
