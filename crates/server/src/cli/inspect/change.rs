//! Commands that change something: through the running server, or by themselves if none runs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use ca::ports::StoreError;
use serde_json::Value;
use store::instance::Instance;

use super::print::Paper;
use super::{Failure, Folder, fsck};
use crate::admin_socket::{self, Command, Outcome};
use crate::assembly::Assembly;

/// Where commands on a data folder go: to the server that runs on it, as long as one does; else to this process, which
/// takes the folder with the first command and keeps it.
pub(super) struct Door<'a> {
    folder: &'a Folder,
    config: Option<&'a PathBuf>,
    own: Option<Assembly>,
}

impl<'a> Door<'a> {
    pub(super) const fn new(folder: &'a Folder, config: Option<&'a PathBuf>) -> Self {
        Self { folder, config, own: None }
    }

    /// Runs a command. If the server breaks off, `lost` says how to find out what became of it.
    pub(super) async fn run(&mut self, command: Command, lost: &str) -> Result<Outcome, Failure> {
        if let Some(own) = &self.own {
            return Ok(admin_socket::execute(&own.ca, command).await);
        }
        let data = &self.folder.data;
        // Nothing is made where nothing is: taking the folder would begin a new CA in it.
        Instance::peek(data).map_err(|error| Failure::Failed(format!("{error}; --data names another folder")))?;
        let answered = admin_socket::speak(data, &command).map_err(|error| {
            Failure::Failed(format!("the server that runs on {} broke off ({error}): {lost}", data.display()))
        })?;
        if let Some(outcome) = answered {
            return Ok(outcome);
        }
        let config = fsck::configuration(self.folder, self.config)?;
        let own = Assembly::open(&config).await.map_err(|error| Failure::assembly(&error))?;
        let outcome = admin_socket::execute(&own.ca, command).await;
        self.own = Some(own);
        Ok(outcome)
    }

    /// Whether commands are run by this process.
    pub(super) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// What a worker of a server would do next, nobody else does here, until `stop` says so.
    pub(super) async fn close(self, stop: &AtomicBool) -> Result<(), Failure> {
        let Some(own) = self.own else { return Ok(()) };
        let stopped = || stop.load(Ordering::Relaxed);
        let left = async {
            own.ca.revoke_blocked_keys(&stopped).await?;
            Ok::<_, StoreError>(stopped() && !own.ca.ledger.blocked_keys(None, true, 1).await?.is_empty())
        };
        let why = match left.await {
            Ok(false) => return Ok(()),
            Ok(true) => "stopped".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(Failure::Failed(format!(
            "not all that was issued for blocked keys is revoked ({why}); a server that starts does the rest"
        )))
    }
}

/// Runs a command. If the server breaks off, `lost` says how to find out what became of it.
pub(super) async fn run(
    folder: &Folder,
    config: Option<&PathBuf>,
    command: Command,
    lost: &str,
) -> Result<Outcome, Failure> {
    let mut door = Door::new(folder, config);
    let outcome = door.run(command, lost).await?;
    // Nobody listens to signals here: they end the process.
    door.close(&AtomicBool::new(false)).await?;
    Ok(outcome)
}

/// Writes what became of it; `named` says of what.
pub(super) fn tell(outcome: &Outcome, folder: &Folder, named: Value, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let (word, text) = match outcome {
        Outcome::Done(text) => ("done", text),
        Outcome::Refused(text) => ("refused", text),
        Outcome::Failed(text) => ("failed", text),
        Outcome::RevokedTogether(_) | Outcome::ExternalAccountKey { .. } => {
            return Err(Failure::failed("the server answered another command"));
        }
    };
    if folder.json {
        let mut document = named;
        document["outcome"] = word.into();
        document["detail"] = text.as_str().into();
        paper.json(&document);
    }
    match outcome {
        Outcome::Done(text) if !folder.json => paper.line(text),
        Outcome::Done(_) => {}
        Outcome::Refused(text) | Outcome::Failed(text) => return Err(Failure::Failed(text.clone())),
        Outcome::RevokedTogether(_) | Outcome::ExternalAccountKey { .. } => {}
    }
    Ok(())
}
