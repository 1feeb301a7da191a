//! `cairn-load`: see the library, which is all of it.

use std::process::ExitCode;

// The client shares its cores with the server that it measures: it must be light itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    load::cli::main()
}
