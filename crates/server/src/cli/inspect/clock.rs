//! `cairn clock`: what to do when the clock is behind the newest record of the ledger, and nothing is signed.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::print::Paper;
use super::{Failure, Folder, change};
use crate::admin_socket;

/// Commands about the clock.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Says that the clock is right now, and was wrong when the newest record was written: signing goes on
    Accept(Accept),
}

/// `cairn clock accept`.
#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    #[command(flatten)]
    folder: Folder,
    /// The configuration of the CA, if it was started with one and does not run
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn accept(asked: &Accept, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let command = admin_socket::Command::AcceptClock;
    let lost = "the same command says what became of it";
    let outcome = change::run(&asked.folder, asked.config.as_ref(), command, lost).await?;
    change::tell(&outcome, &asked.folder, json!({}), paper)
}
