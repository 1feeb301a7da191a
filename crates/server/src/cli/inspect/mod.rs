//! Looking inside: orders, queues, certificates, the audit log and the invariants, on a live or a stopped store.

mod audit;
mod cert;
mod cert_choice;
mod cert_revoke;
mod cert_show;
mod chain;
mod change;
mod clock;
mod eab;
mod fsck;
mod key;
mod order;
mod order_show;
mod print;
mod progress;
mod queue;
mod recover;
mod renew;
mod root;
mod serial_file;
mod stop;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Subcommand;

use super::Failure;
use crate::fsck::Records;
use print::Paper;

/// Commands that look inside.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Looks at orders: where each stands, or how it ended
    #[command(subcommand)]
    Order(order::Command),
    /// Shows how many orders stand where, how old the oldest are, and which ended by the CA's own fault
    Queue(queue::Queue),
    /// Looks at serials and their certificates, and revokes them
    #[command(subcommand)]
    Cert(cert::Command),
    /// Looks at the chains to other roots that certificates can be had with, adds and removes them
    #[command(subcommand)]
    Chain(chain::Command),
    /// Makes the root's CRL where the root's key is, and brings it to the server
    #[command(subcommand)]
    Root(root::Command),
    /// Moves the windows within which clients are asked to renew (RFC 9773)
    #[command(subcommand)]
    Renew(renew::Command),
    /// Makes, lists and revokes keys that new accounts are bound with (external account binding)
    #[command(subcommand)]
    Eab(eab::Command),
    /// Blocks keys that are known to be compromised, and looks at them
    #[command(subcommand)]
    Key(key::Command),
    /// Stops issuance: for all, or for a profile, an account or a name; shows what is stopped
    StopIssuance(stop::Stop),
    /// Lets issuance go on that was stopped
    ResumeIssuance(stop::Resume),
    /// Says that the clock is right, when nothing is signed because the ledger has later times
    #[command(subcommand)]
    Clock(clock::Command),
    /// Looks at the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Checks the invariants that can be read from the records, of a live or a stopped store; repairs only when told to
    ///
    /// Exit codes: 0 all holds; 1 something does not hold; 2 the command is wrong; 3 it could not look, or not repair.
    Fsck(fsck::Fsck),
    /// Restores a ledger that is older than its audit log, as after a restored backup, from that log
    Recover(recover::Recover),
}

/// Which data folder, and how the answer is written.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Folder {
    /// The folder of the CA's keys, store and audit log
    #[arg(long, value_name = "DIR", default_value = "cairn-data")]
    data: PathBuf,
    /// Writes one JSON document
    #[arg(long)]
    json: bool,
}

impl Folder {
    fn open(&self) -> Result<Records, Failure> {
        Records::open(&self.data).map_err(Failure::failed)
    }
}

/// Runs one of them.
///
/// # Errors
/// What could not be done; for checks also: that something was found.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let runtime = super::runtime()?;
    let stdout = std::io::stdout();
    let mut out = stdout.lock();
    let mut paper = Paper::new(&mut out);
    let done = runtime.block_on(run_on(command, &mut paper));
    paper.finish()?;
    done
}

async fn run_on(command: Command, paper: &mut Paper<'_>) -> Result<(), Failure> {
    match command {
        Command::Order(order::Command::Show(asked)) => order_show::show(&asked, paper).await,
        Command::Order(order::Command::List(asked)) => order::list(&asked, paper).await,
        Command::Queue(asked) => queue::run(&asked, paper).await,
        Command::Cert(cert::Command::List(asked)) => cert::list(&asked, paper).await,
        Command::Cert(cert::Command::Show(asked)) => cert_show::show(&asked, paper).await,
        Command::Cert(cert::Command::Revoke(asked)) => cert_revoke::revoke(&asked, paper).await,
        Command::Chain(command) => chain::run(&command, paper),
        Command::Root(root::Command::Crl(asked)) => root::crl(&asked, paper),
        Command::Renew(renew::Command::Shift(asked)) => renew::shift(&asked, paper).await,
        Command::Renew(renew::Command::List(folder)) => renew::list(&folder, paper).await,
        Command::Renew(renew::Command::Undo(asked)) => renew::undo(&asked, paper).await,
        Command::Eab(eab::Command::Create(asked)) => eab::create(&asked, paper).await,
        Command::Eab(eab::Command::List(asked)) => eab::list(&asked, paper).await,
        Command::Eab(eab::Command::Revoke(asked)) => eab::revoke(&asked, paper).await,
        Command::Key(key::Command::Challenge(asked)) => key::challenge(&asked, paper),
        Command::Key(key::Command::Block(asked)) => key::block(&asked, paper).await,
        Command::Key(key::Command::List(asked)) => key::list(&asked, paper).await,
        Command::Key(key::Command::Show(asked)) => key::show(&asked, paper).await,
        Command::StopIssuance(asked) => stop::stop(&asked, paper).await,
        Command::ResumeIssuance(asked) => stop::resume(&asked, paper).await,
        Command::Clock(clock::Command::Accept(asked)) => clock::accept(&asked, paper).await,
        Command::Audit(command) => audit::run(command, paper).await,
        Command::Fsck(asked) => fsck::run(&asked, paper).await,
        Command::Recover(asked) => recover::run(&asked, paper).await,
    }
}
